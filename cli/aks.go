package cli

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const aksColumns = "[].{Name:name, Location:location, ResourceGroup:resourceGroup, KubernetesVersion:kubernetesVersion, State:provisioningState, ServicePrincipal:servicePrincipalProfile.clientId}"

type aksGroup struct {
	Create aksCreate `cmd:"" help:"Create a cluster. Its nodes pull images as a service principal: the one that is named, or one of its own; with a managed identity it cannot be attached to a workspace." example:"alvara aks create -n inference -g rg1 ;; alvara aks create -n inference -g rg1 --service-principal 0b1f6471-1bf0-4dda-aec3-cb9272f09590 --client-secret SECRET"`
	Show   aksShow   `cmd:"" help:"Show a cluster." example:"alvara aks show -n inference -g rg1 --query id -o tsv"`
	List   aksList   `cmd:"" help:"List clusters." example:"alvara aks list -g rg1 -o table"`
	Delete aksDelete `cmd:"" help:"Delete a cluster." example:"alvara aks delete -n inference -g rg1 --yes"`
}

// clusterName names a cluster.
type clusterName struct {
	Name          string `short:"n" required:"" help:"Name of the cluster."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (k clusterName) path(c *Call) (string, error) {
	scope, err := c.scopeOf(k.ResourceGroup)
	return scope + clusterProvider + "/" + segment(k.Name), err
}

type aksCreate struct {
	clusterName
	Location              string `short:"l" help:"Location; without it that of the group."`
	NodeCount             int    `name:"node-count" short:"c" default:"3" help:"Nodes. (${default})"`
	NodeVMSize            string `name:"node-vm-size" short:"s" help:"Size of the nodes."`
	KubernetesVersion     string `name:"kubernetes-version" short:"k" help:"Version of Kubernetes."`
	DNSNamePrefix         string `name:"dns-name-prefix" short:"p" help:"Beginning of the cluster's host name."`
	ServicePrincipal      string `name:"service-principal" placeholder:"APP" help:"Client id of the service principal that the nodes pull images as."`
	ClientSecret          string `name:"client-secret" help:"For scripts that say so: its secret, which the cluster neither needs nor keeps."`
	EnableManagedIdentity bool   `name:"enable-managed-identity" help:"Have the cluster work as a system-assigned identity. A workspace takes no such cluster."`
	AssignIdentity        string `name:"assign-identity" placeholder:"ID" help:"User-assigned identity, with --enable-managed-identity: its id, or its name in the group."`
	AttachACR             string `name:"attach-acr" placeholder:"REGISTRY" help:"Give who the nodes pull images as the role AcrPull on this registry: its name or id."`
	GenerateSSHKeys       bool   `name:"generate-ssh-keys" help:"For scripts that say so; there are no machines to sign in to."`
	NoSSHKey              bool   `name:"no-ssh-key" short:"x" help:"For scripts that say so."`
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (a *aksCreate) Run(c *Call) error {
	body, err := a.body(c)
	if err != nil {
		return err
	}
	path, err := a.path(c)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, path, clusterAPI, body, "Creating cluster "+a.Name, a.NoWait)
	if err != nil {
		return err
	}
	if a.AttachACR != "" {
		if err := a.attach(c, made); err != nil {
			return err
		}
	}
	return c.PrintColumns(flatten(made), aksColumns)
}

func (a *aksCreate) body(c *Call) (*document.Object, error) {
	switch {
	case a.ServicePrincipal != "" && (a.EnableManagedIdentity || a.AssignIdentity != ""):
		return nil, usagef("--service-principal and --enable-managed-identity exclude each other: the cluster works as one of them")
	case a.ServicePrincipal == "" && a.ClientSecret != "":
		return nil, usagef("--client-secret goes with --service-principal")
	case a.AssignIdentity != "" && !a.EnableManagedIdentity:
		return nil, usagef("--assign-identity goes with --enable-managed-identity")
	case a.AttachACR != "" && a.NoWait:
		return nil, usagef("--attach-acr waits until the cluster is there, and goes without --no-wait")
	}
	location, err := c.locationOf(a.Location, a.ResourceGroup)
	if err != nil {
		return nil, err
	}
	var identity *document.Object
	if a.EnableManagedIdentity {
		if identity, err = c.newIdentity([]string{first(a.AssignIdentity, systemIdentity)}, a.ResourceGroup); err != nil {
			return nil, err
		}
	}
	pool := document.New("name", "nodepool1", "count", a.NodeCount, "mode", "System", "osType", "Linux").SetIf("vmSize", a.NodeVMSize)
	properties := document.New("agentPoolProfiles", []any{pool}).SetIf("kubernetesVersion", a.KubernetesVersion).SetIf("dnsPrefix", a.DNSNamePrefix)
	if a.ServicePrincipal != "" {
		properties.Set("servicePrincipalProfile", document.New("clientId", a.ServicePrincipal))
	}
	tags, err := tagsOf(a.Tags)
	if err != nil {
		return nil, err
	}
	return document.New("location", location).SetIf("tags", tags).SetIf("identity", identity).Set("properties", properties), nil
}

// attach grants AcrPull on a registry to who the nodes pull as.
func (a *aksCreate) attach(c *Call, made *document.Object) error {
	registry := a.AttachACR
	if !strings.HasPrefix(registry, "/") {
		var err error
		if registry, err = c.registryPath(registry, ""); err != nil {
			return err
		}
	}
	who := made.Text("properties", "servicePrincipalProfile", "clientId")
	if who == "" || strings.EqualFold(who, "msi") {
		who = made.Text("identity", "principalId")
		for _, id := range made.Object("identity", "userAssignedIdentities").Keys() {
			who = made.Text("identity", "userAssignedIdentities", id, "principalId")
		}
	}
	whom, err := c.assignee(who)
	if err != nil {
		return err
	}
	role, err := c.roleID("AcrPull", registry)
	if err != nil {
		return err
	}
	if _, err := c.assign(assignment{scope: registry, roleID: role, who: whom}); err != nil {
		return err
	}
	c.Warn("the cluster's nodes may pull from %s: %s holds AcrPull there", lastName(registry), who)
	return nil
}

type aksShow struct{ clusterName }

func (a *aksShow) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, clusterAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(found), aksColumns)
}

type aksList struct{ optionalGroup }

func (a *aksList) Run(c *Call) error {
	scope, err := c.scopeOf(a.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+clusterProvider, clusterAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flattenAll(found), aksColumns)
}

type aksDelete struct {
	clusterName
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (a *aksDelete) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	if err := a.confirm(c, "delete the cluster "+a.Name); err != nil {
		return err
	}
	return c.deleteResource(path, clusterAPI, "cluster "+a.Name, a.NoWait)
}
