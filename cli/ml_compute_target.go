package cli

import (
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const (
	targetColumns         = "[].{Name:name, Type:computeType, Size:vmSize, State:provisioningState}"
	targetIdentityColumns = "[].{Type:type, PrincipalId:principalId, TenantId:tenantId}"
)

// computeTargetGroup is what the older commands call computes.
type computeTargetGroup struct {
	Create     targetCreateGroup `cmd:"" help:"Create a compute."`
	Attach     targetAttachGroup `cmd:"" help:"Attach a compute that there is."`
	Detach     targetDetach      `cmd:"" help:"Detach what is attached; the cluster itself stays." example:"alvara ml computetarget detach -n inference -w ws -g rg1"`
	Show       targetShow        `cmd:"" help:"Show a compute." example:"alvara ml computetarget show -n cpu -w ws -g rg1"`
	List       targetList        `cmd:"" help:"List computes." example:"alvara ml computetarget list -w ws -g rg1 -o table"`
	Delete     targetDelete      `cmd:"" help:"Delete a compute." example:"alvara ml computetarget delete -n cpu -w ws -g rg1"`
	Amlcompute amlcomputeGroup   `cmd:"" name:"amlcompute" help:"Clusters."`
}

type targetCreateGroup struct {
	Aks        aksTargetCreate  `cmd:"" help:"Make a cluster that models are served on, and attach it; its service principal gets AcrPull on the workspace's registry." example:"alvara ml computetarget create aks -n inference -w ws -g rg1"`
	Amlcompute amlcomputeCreate `cmd:"" name:"amlcompute" help:"Create a cluster." example:"alvara ml computetarget create amlcompute -n cpu -w ws -g rg1 --min-nodes 0 --max-nodes 2 --vm-size Standard_DS3_v2 --assign-identity [system]"`
}

type amlcomputeCreate struct {
	Name           string   `short:"n" required:"" help:"Name."`
	MinNodes       int      `name:"min-nodes" default:"0" help:"Nodes that stay when there are no jobs."`
	MaxNodes       int      `name:"max-nodes" default:"1" help:"Nodes at most."`
	VMSize         string   `name:"vm-size" short:"s" help:"Size of the nodes."`
	VMPriority     string   `name:"vm-priority" short:"p" help:"Dedicated or LowPriority."`
	Idle           int      `name:"idle-seconds-before-scaledown" default:"120" help:"Seconds before a node without a job goes."`
	Location       string   `short:"l" help:"Location; without it that of the workspace."`
	Description    string   `short:"d" help:"What the cluster is for."`
	AssignIdentity []string `name:"assign-identity" sep:"none" placeholder:"ID" help:"[system], or ids of user-assigned identities."`
	inWorkspace
	tagFlags
}

func (a *amlcomputeCreate) Run(c *Call) error {
	identity, err := c.newIdentity(a.AssignIdentity, a.ResourceGroup)
	if err != nil {
		return err
	}
	tags, err := tagsOf(a.Tags)
	if err != nil {
		return err
	}
	inner := document.New().SetIf("vmSize", a.VMSize).SetIf("vmPriority", a.VMPriority)
	scaleFlags{Min: &a.MinNodes, Max: &a.MaxNodes, Idle: &a.Idle}.apply(inner)
	properties := document.New("computeType", "AmlCompute", "properties", inner).SetIf("description", a.Description).SetIf("computeLocation", a.Location)
	body := document.New("properties", properties).SetIf("location", a.Location).SetIf("identity", identity).SetIf("tags", tags)
	made, err := c.putCompute(a.inWorkspace, a.Name, body, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(targetDocument(made), targetColumns)
}

// targetDocument is a compute as the older commands print it: flat, in the words of the wire.
func targetDocument(compute *document.Object) *document.Object {
	if compute == nil {
		return nil
	}
	out := flatten(compute)
	inner := compute.Object("properties", "properties")
	out.Delete("properties")
	for _, name := range inner.Keys() {
		if !out.Has(name) {
			out.Set(name, inner.Get(name))
		}
	}
	return out
}

type targetShow struct{ computeShow }

func (t *targetShow) Run(c *Call) error {
	found, err := t.get(c)
	if err != nil {
		return err
	}
	return c.PrintColumns(targetDocument(found), targetColumns)
}

type targetList struct{ inWorkspace }

func (t *targetList) Run(c *Call) error {
	found, err := t.list(c)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, compute := range found {
		out = append(out, targetDocument(compute))
	}
	return c.PrintColumns(out, targetColumns)
}

type targetDelete struct{ computeShow }

func (t *targetDelete) Run(c *Call) error { return c.removeCompute(t.computeShow, "", false) }

type amlcomputeGroup struct {
	Identity amlcomputeIdentityGroup `cmd:"" help:"Identities of a cluster."`
}

type amlcomputeIdentityGroup struct {
	Show   targetIdentityShow   `cmd:"" help:"Show a cluster's identity." example:"alvara ml computetarget amlcompute identity show --name cpu -w ws -g rg1 --query principalId -o tsv"`
	Assign targetIdentityAssign `cmd:"" help:"Give a cluster identities; a system-assigned one and user-assigned ones take each other's place." example:"alvara ml computetarget amlcompute identity assign --name cpu -w ws -g rg1 --identities puller"`
	Remove targetIdentityRemove `cmd:"" help:"Take identities from a cluster." example:"alvara ml computetarget amlcompute identity remove --name cpu -w ws -g rg1 --identities puller"`
}

type targetIdentityShow struct{ computeShow }

func (t *targetIdentityShow) Run(c *Call) error {
	found, err := t.get(c)
	if err != nil {
		return err
	}
	return c.printIdentity(found)
}

// printIdentity prints the identity of a compute, which may have none.
func (c *Call) printIdentity(compute *document.Object) error {
	identity := compute.Object("identity")
	if identity == nil {
		identity = document.New("type", "None")
	}
	return c.PrintColumns(identity, targetIdentityColumns)
}

type targetIdentityFlags struct {
	computeShow
	Identities []string `sep:"none" required:"" placeholder:"ID" help:"[system], or ids of user-assigned identities; a name is one of the workspace's group."`
}

type targetIdentityAssign struct{ targetIdentityFlags }

func (t *targetIdentityAssign) Run(c *Call) error {
	found, err := t.get(c)
	if err != nil {
		return err
	}
	wanted, err := c.newIdentity(t.Identities, t.ResourceGroup)
	if err != nil {
		return err
	}
	c.warnReplacedIdentity(t.Name, found, wanted)
	return t.patch(c, found, wanted)
}

func (t *targetIdentityFlags) patch(c *Call, found, identity *document.Object) error {
	body := document.New("location", found.Get("location"), "properties", document.New(), "identity", identity)
	changed, err := c.patchCompute(t.computeShow, body, false)
	if err != nil {
		return err
	}
	return c.printIdentity(changed)
}

type targetIdentityRemove struct{ targetIdentityFlags }

func (t *targetIdentityRemove) Run(c *Call) error {
	found, err := t.get(c)
	if err != nil {
		return err
	}
	held := found.Object("identity", "userAssignedIdentities").Keys()
	system, removed := found.Text("identity", "type") == "SystemAssigned", document.New()
	for _, one := range t.Identities {
		if strings.EqualFold(one, systemIdentity) {
			if !system {
				return &notFound{"the compute " + t.Name + " has no system-assigned identity"}
			}
			system = false
			continue
		}
		id, err := c.registryIdentityID(one, t.ResourceGroup)
		if err != nil {
			return err
		}
		name := ""
		for _, have := range held {
			if strings.EqualFold(have, id) {
				name = have
			}
		}
		if name == "" {
			return &notFound{"the compute " + t.Name + " does not have the identity " + id}
		}
		removed.Set(name, nil)
	}
	left := identityType(system, removed.Len() < len(held))
	return t.patch(c, found, document.New("type", left).SetIf("userAssignedIdentities", removed))
}
