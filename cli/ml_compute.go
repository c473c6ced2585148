package cli

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

const computeColumns = "[].{Name:name, Type:type, Size:size, State:(provisioning_state=='Succeeded' && state) || provisioning_state, Nodes:nodes, Identity:identity.type}"

type computeGroup struct {
	Create    computeCreate    `cmd:"" help:"Create a cluster or an instance." example:"alvara ml compute create -n cpu -w ws -g rg1 --type AmlCompute --min-instances 0 --max-instances 2 --identity-type SystemAssigned ;; alvara ml compute create -f cluster.yaml -w ws -g rg1"`
	Show      computeShow      `cmd:"" help:"Show a compute." example:"alvara ml compute show -n cpu -w ws -g rg1 --query identity.principal_id -o tsv"`
	List      computeList      `cmd:"" help:"List computes." example:"alvara ml compute list -w ws -g rg1 --type AmlCompute -o table"`
	Update    computeUpdate    `cmd:"" help:"Change a compute's scale, identity, description or tags." example:"alvara ml compute update -n cpu -w ws -g rg1 --max-instances 4"`
	Delete    computeDelete    `cmd:"" help:"Delete a compute." example:"alvara ml compute delete -n cpu -w ws -g rg1 --yes"`
	Attach    computeAttach    `cmd:"" help:"Attach a Kubernetes cluster." example:"alvara ml compute attach -n k8s -w ws -g rg1 --type Kubernetes --namespace ml --resource-id /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.Kubernetes/connectedClusters/arc"`
	Start     computeStart     `cmd:"" help:"Start an instance." example:"alvara ml compute start -n notebook -w ws -g rg1"`
	Stop      computeStop      `cmd:"" help:"Stop an instance." example:"alvara ml compute stop -n notebook -w ws -g rg1"`
	Restart   computeRestart   `cmd:"" help:"Stop an instance and start it again." example:"alvara ml compute restart -n notebook -w ws -g rg1"`
	ListNodes computeListNodes `cmd:"" name:"list-nodes" help:"List the nodes of a cluster, with what runs on them." example:"alvara ml compute list-nodes -n cpu -w ws -g rg1 -o table"`
	Detach    computeDetach    `cmd:"" help:"Detach what is attached; the cluster itself stays." example:"alvara ml compute detach -n k8s -w ws -g rg1 --yes"`
}

// inWorkspace names the workspace that something lies in. A feature store is a workspace too, and may be named in its own words.
type inWorkspace struct {
	Workspace     string `name:"workspace-name" short:"w" alt:"-fs" aliases:"workspace,feature-store,feature-store-name,fs-name" required:"" help:"Workspace."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (w inWorkspace) path(c *Call) (string, error) {
	return workspaceName{Name: w.Workspace, ResourceGroup: w.ResourceGroup}.path(c)
}

func (w inWorkspace) compute(c *Call, name string) (string, error) {
	path, err := w.path(c)
	return path + "/computes/" + segment(name), err
}

// scaleFlags are how a cluster grows and shrinks.
type scaleFlags struct {
	Min  *int `name:"min-instances" help:"Nodes that stay when there are no jobs."`
	Max  *int `name:"max-instances" help:"Nodes at most."`
	Idle *int `name:"idle-time-before-scale-down" placeholder:"SECONDS" help:"Seconds before a node without a job goes."`
}

// apply puts the flags over what the cluster has.
func (s scaleFlags) apply(properties *document.Object) {
	scale := properties.Object("scaleSettings").Clone()
	if s.Min != nil {
		scale.Set("minNodeCount", *s.Min)
	}
	if s.Max != nil {
		scale.Set("maxNodeCount", *s.Max)
	}
	if s.Idle != nil {
		scale.Set("nodeIdleTimeBeforeScaleDown", fmt.Sprintf("PT%dS", *s.Idle))
	}
	properties.SetIf("scaleSettings", scale)
}

// computeIdentityFlags give a compute identities in the newer words.
type computeIdentityFlags struct {
	IdentityType string   `name:"identity-type" placeholder:"TYPE" help:"SystemAssigned, UserAssigned or None."`
	Identities   []string `name:"user-assigned-identities" short:"i" aliases:"identities" sep:"," placeholder:"ID" help:"Ids of user-assigned identities, or names in the group."`
}

// read gives the identity block; nil when nothing is asked for.
func (f computeIdentityFlags) read(c *Call, group string) (*document.Object, error) {
	wanted := append([]string{}, f.Identities...)
	switch strings.ToLower(strings.ReplaceAll(f.IdentityType, "_", "")) {
	case "":
	case "none":
		if len(wanted) > 0 {
			return nil, usagef("--identity-type None goes without --user-assigned-identities")
		}
		return document.New("type", "None"), nil
	case "systemassigned":
		wanted = append(wanted, systemIdentity)
	case "userassigned":
		if len(wanted) == 0 {
			return nil, usagef("--identity-type UserAssigned needs --user-assigned-identities")
		}
	default:
		return nil, usagef("--identity-type is %q; SystemAssigned, UserAssigned or None was expected", f.IdentityType)
	}
	return c.newIdentity(wanted, group)
}

type computeCreate struct {
	Name        string `short:"n" help:"Name; may also stand in the file."`
	File        string `short:"f" type:"existingfile" help:"compute.yaml; flags win over it."`
	Type        string `short:"t" help:"AmlCompute or ComputeInstance."`
	Size        string `short:"s" help:"Size of the nodes, such as Standard_DS3_v2."`
	Tier        string `help:"Dedicated or LowPriority."`
	Location    string `short:"l" help:"Location; without it that of the workspace."`
	Description string `short:"d" help:"What the compute is for."`
	scaleFlags
	computeIdentityFlags
	inWorkspace
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *computeCreate) Run(c *Call) error {
	given := document.New()
	if f.File != "" {
		var err error
		if given, err = readYAML(f.File); err != nil {
			return err
		}
		given.SetIf("type", f.Type)
		if err := typeOfFile(given, "amlcompute or computeinstance was expected. Kubernetes clusters are attached: `alvara ml compute attach -f FILE`; Spark pools and virtual machines are not offered", "amlcompute", "computeinstance"); err != nil {
			return err
		}
		if err := knownFields(filepath.Base(f.File), given, "name", "type", "size", "tier", "location", "description", "tags", "min_instances", "max_instances",
			"idle_time_before_scale_down", "identity", "enable_node_public_ip"); err != nil {
			return err
		}
	}
	given.SetIf("name", f.Name).SetIf("type", f.Type).SetIf("size", f.Size).SetIf("tier", f.Tier).SetIf("location", f.Location).SetIf("description", f.Description)
	if f.Name = given.Text("name"); f.Name == "" {
		return usagef("the compute has no name: give --name, or name in the file")
	}
	if given.Text("type") == "" {
		return usagef("the compute has no type: give --type, or type in the file")
	}
	inner, err := clusterOfFile(given)
	if err != nil {
		return err
	}
	f.apply(inner)
	identity, err := identityOfFile(given.Object("identity"))
	if err != nil {
		return err
	}
	if over, err := f.read(c, f.ResourceGroup); err != nil {
		return err
	} else if over != nil {
		identity = over
	}
	tags, err := tagsOf(f.Tags)
	if err != nil {
		return err
	}
	if tags == nil {
		tags = given.Object("tags")
	}
	properties := document.New("computeType", given.Text("type")).SetIf("description", given.Text("description")).SetIf("computeLocation", given.Text("location")).
		SetIf("properties", inner)
	body := document.New("properties", properties).SetIf("location", given.Text("location")).SetIf("identity", identity).SetIf("tags", tags)
	made, err := c.putCompute(f.inWorkspace, f.Name, body, f.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(computeDocument(made), computeColumns)
}

// clusterOfFile is what a file says of nodes, on the wire.
func clusterOfFile(given *document.Object) (*document.Object, error) {
	inner, scale := document.New().SetIf("vmSize", given.Text("size")), document.New()
	switch tier := strings.ToLower(strings.NewReplacer("_", "", " ", "").Replace(given.Text("tier"))); tier {
	case "":
	case "dedicated":
		inner.Set("vmPriority", "Dedicated")
	case "lowpriority":
		inner.Set("vmPriority", "LowPriority")
	default:
		return nil, usagef("tier is %q; dedicated or low_priority was expected", given.Text("tier"))
	}
	if public := given.Get("enable_node_public_ip"); public != nil {
		inner.Set("enableNodePublicIp", public)
	}
	for _, field := range []struct{ name, wire, format string }{
		{"min_instances", "minNodeCount", ""}, {"max_instances", "maxNodeCount", ""}, {"idle_time_before_scale_down", "nodeIdleTimeBeforeScaleDown", "PT%dS"},
	} {
		value := given.Get(field.name)
		if value == nil {
			continue
		}
		n, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil {
			return nil, usagef("%s is %v; a whole number was expected", field.name, value)
		}
		if field.format != "" {
			scale.Set(field.wire, fmt.Sprintf(field.format, n))
		} else {
			scale.Set(field.wire, n)
		}
	}
	if scale.Len() > 0 && !scale.Has("maxNodeCount") {
		scale.Set("maxNodeCount", 1)
	}
	return inner.SetIf("scaleSettings", scale), nil
}

// putCompute creates a compute and says what its identity lacks.
func (c *Call) putCompute(in inWorkspace, name string, body *document.Object, noWait bool) (*document.Object, error) {
	path, err := in.compute(c, name)
	if err != nil {
		return nil, err
	}
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, body, "Creating compute "+name, noWait)
	if err != nil {
		return nil, err
	}
	c.warnMissingGrants("compute", made)
	return made, nil
}

// warnMissingGrants says what the system-assigned identity of something that was made lacks.
func (c *Call) warnMissingGrants(what string, made *document.Object) {
	for _, missing := range made.List("properties", "missingGrants") {
		role, scope, _ := strings.Cut(fmt.Sprint(missing), " on ")
		c.Warn("the %s's identity still needs %s; you may not grant it, somebody who may does it with: alvara role assignment create --assignee %s --role %q --scope %s",
			what, missing, made.Text("identity", "principalId"), role, scope)
	}
}

// computeDocument is a compute as the newer commands print it.
func computeDocument(compute *document.Object) *document.Object {
	if compute == nil {
		return nil
	}
	p := compute.Object("properties")
	inner := p.Object("properties")
	out := document.New("name", compute.Get("name"), "id", compute.Get("id"), "type", strings.ToLower(p.Text("computeType")), "location", compute.Get("location"),
		"description", p.Get("description"), "tags", compute.Get("tags"), "provisioning_state", p.Get("provisioningState"), "created_on", p.Get("createdOn"))
	out.SetIf("resource_id", p.Text("resourceId")).SetIf("size", inner.Text("vmSize")).SetIf("namespace", inner.Text("namespace")).SetIf("state", inner.Text("state"))
	if tier := inner.Text("vmPriority"); tier != "" {
		out.Set("tier", snake(tier))
	}
	if scale := inner.Object("scaleSettings"); scale != nil {
		out.Set("min_instances", scale.Get("minNodeCount")).Set("max_instances", scale.Get("maxNodeCount"))
		if idle, err := spec.ParseISODuration(scale.Text("nodeIdleTimeBeforeScaleDown")); err == nil {
			out.Set("idle_time_before_scale_down", int(idle/time.Second))
		}
		out.Set("current_instances", inner.Get("currentNodeCount")).SetIf("nodes", nodesText(inner))
	}
	out.Set("identity", identityDocument(compute.Object("identity")))
	return out.SetIf("missing_grants", p.List("missingGrants"))
}

// nodesText says how many nodes a cluster has of those it may have, and what they do: "2 of 4 (1 running, 1 idle)".
func nodesText(cluster *document.Object) string {
	var parts []string
	counts := cluster.Object("nodeStateCounts")
	for _, state := range []string{"running", "preparing", "idle", "leaving", "unusable", "preempted"} {
		if n := counts.Text(state + "NodeCount"); n != "" && n != "0" {
			parts = append(parts, n+" "+state)
		}
	}
	out := first(cluster.Text("currentNodeCount"), "0") + " of " + cluster.Text("scaleSettings", "maxNodeCount")
	if len(parts) > 0 {
		out += " (" + strings.Join(parts, ", ") + ")"
	}
	return out
}

// typeOfFile refuses a file of a compute of another type before its fields, which belong to that type.
func typeOfFile(given *document.Object, how string, offered ...string) error {
	kind := strings.ToLower(strings.NewReplacer("_", "", " ", "").Replace(given.Text("type")))
	if kind == "" || slices.Contains(offered, kind) {
		return nil
	}
	return usagef("type is %q; %s", given.Text("type"), how)
}

type computeShow struct {
	Name string `short:"n" required:"" help:"Name."`
	inWorkspace
}

func (f *computeShow) Run(c *Call) error {
	found, err := f.get(c)
	if err != nil {
		return err
	}
	return c.PrintColumns(computeDocument(found), computeColumns)
}

func (f *computeShow) get(c *Call) (*document.Object, error) {
	path, err := f.compute(c, f.Name)
	if err != nil {
		return nil, err
	}
	return c.arm(http.MethodGet, path, machineLearnAPI, nil)
}

type computeList struct {
	Type string `short:"t" help:"Only this type."`
	inWorkspace
}

func (f *computeList) Run(c *Call) error {
	found, err := f.list(c)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, compute := range found {
		if f.Type == "" || strings.EqualFold(f.Type, compute.Text("properties", "computeType")) {
			out = append(out, computeDocument(compute))
		}
	}
	return c.PrintColumns(out, computeColumns)
}

func (w inWorkspace) list(c *Call) ([]*document.Object, error) {
	path, err := w.path(c)
	if err != nil {
		return nil, err
	}
	return c.armList(path+"/computes", machineLearnAPI, nil)
}
