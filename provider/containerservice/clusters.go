// Package containerservice provides the Microsoft.ContainerService namespace as far as machine learning refers to it: managed clusters, with
// who their nodes pull images as. There is no Kubernetes behind them: what is deployed to one runs on this server's machine, as the cluster's
// service principal where images are pulled.
package containerservice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// ClusterType is the type of managed clusters.
const ClusterType resource.Type = "Microsoft.ContainerService/managedClusters"

// managed is the client id that a cluster shows which works as a managed identity.
const managed = "msi"

// Directory is where clusters' service principals are.
type Directory interface {
	FindByClientID(clientID string) (identity.Principal, bool)
	Applications() []identity.ApplicationObject
	CreateApplication(ctx context.Context, displayName string) (identity.ApplicationObject, error)
	CreateServicePrincipal(ctx context.Context, appID string) (identity.ServicePrincipalObject, error)
	DeleteApplication(ctx context.Context, idOrAppID string) error
}

// Deps is what the namespace works with.
type Deps struct{ Directory Directory }

// Cluster is the properties of a managed cluster.
type Cluster struct {
	KubernetesVersion string            `json:"kubernetesVersion"`
	DNSPrefix         string            `json:"dnsPrefix"`
	FQDN              string            `json:"fqdn"`
	NodeResourceGroup string            `json:"nodeResourceGroup"`
	EnableRBAC        bool              `json:"enableRBAC"`
	AgentPools        []AgentPool       `json:"agentPoolProfiles"`
	ServicePrincipal  *ServicePrincipal `json:"servicePrincipalProfile,omitempty"`
	PowerState        *PowerState       `json:"powerState,omitempty"`

	// Own is the application id of the service principal that was made for the cluster, which goes with it. No caller sets it.
	Own string `json:"own,omitempty"`
}

// AgentPool is a kind of nodes.
type AgentPool struct {
	Name   string `json:"name"`
	Count  int    `json:"count"`
	VMSize string `json:"vmSize"`
	OSType string `json:"osType"`
	Mode   string `json:"mode"` // System or User
}

// ServicePrincipal is who the cluster's nodes pull images as. ClientID is msi for a cluster that works as a managed identity. The secret is
// neither kept nor shown.
type ServicePrincipal struct {
	ClientID string `json:"clientId"`
	Secret   string `json:"secret,omitempty"`
}

// PowerState is Running: there is nothing to stop.
type PowerState struct {
	Code string `json:"code"`
}

const usualVersion = "1.30.0"

var (
	dnsPrefix = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?$`)
	poolName  = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
	version   = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)
)

// Types declares the namespace.
func (d Deps) Types() []arm.Type { return []arm.Type{d.Clusters()} }

// Clusters declares managed clusters.
func (d Deps) Clusters() arm.Type {
	noCredentials := func(_ context.Context, _ *arm.Call, r *arm.Resource[Cluster]) (any, error) {
		return nil, resource.Errorf(resource.Unsupported, "NotSupported", "There is no Kubernetes behind the cluster %s to give credentials for; what is deployed to it runs on the server's machine: alvara ml online-deployment create", r.Name)
	}
	return arm.Define(arm.Spec[Cluster]{
		Type: ClusterType, Tracked: true, Identities: true, Followed: true, APIVersions: []string{"2024-09-01", "2024-05-01", "2023-10-01"},
		Name: regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`), NameRule: "1 to 63 letters, digits, '_' or '-', beginning and ending in a letter or digit",
		Validate:  d.validate,
		Provision: d.provision,
		NeedsProvision: func(change *arm.Change[Cluster]) bool {
			return change.Prev == nil || change.Next.Properties.ServicePrincipal == nil
		},
		Deleted: d.deleted,
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Cluster]) { r.Properties.Own = "" },
		Actions: []arm.Action[Cluster]{
			{Name: "listClusterUserCredential", Run: noCredentials}, {Name: "listClusterAdminCredential", Run: noCredentials},
		},
	})
}

func (d Deps) validate(_ context.Context, change *arm.Change[Cluster]) error {
	r, p := change.Next, &change.Next.Properties
	sum := sha256.Sum256([]byte(r.ID.Key()))
	short := hex.EncodeToString(sum[:4])
	var old Cluster
	if change.Prev != nil {
		old = change.Prev.Properties
		if r.Identity == nil {
			r.Identity = change.Prev.Identity
		}
	}
	p.Own = old.Own
	first := func(at *string, others ...string) {
		for _, other := range others {
			if *at == "" {
				*at = other
			}
		}
	}
	first(&p.KubernetesVersion, old.KubernetesVersion, usualVersion)
	if !version.MatchString(p.KubernetesVersion) {
		return invalid("kubernetesVersion", "is %q; a version such as %s was expected", p.KubernetesVersion, usualVersion)
	}
	first(&p.DNSPrefix, old.DNSPrefix, r.Name+"-dns")
	if !dnsPrefix.MatchString(p.DNSPrefix) {
		return invalid("dnsPrefix", "is %q; 1 to 54 letters, digits or '-' were expected, beginning and ending in a letter or digit", p.DNSPrefix)
	}
	p.FQDN = strings.ToLower(fmt.Sprintf("%s-%s.hcp.%s.alvara.local", p.DNSPrefix, short, r.Location))
	first(&p.NodeResourceGroup, old.NodeResourceGroup, fmt.Sprintf("MC_%s_%s_%s", r.ID.ResourceGroup(), r.Name, r.Location))
	p.EnableRBAC, p.PowerState = true, &PowerState{Code: "Running"}
	if p.AgentPools == nil {
		p.AgentPools = old.AgentPools
	}
	if err := settlePools(p); err != nil {
		return err
	}
	return d.settleWho(r, old)
}

func invalid(field, format string, args ...any) error {
	return resource.Invalidf("InvalidParameter", "properties."+field+" "+format, args...).At("properties." + field)
}

func settlePools(p *Cluster) error {
	if len(p.AgentPools) == 0 {
		p.AgentPools = []AgentPool{{Name: "nodepool1", Count: 3}}
	}
	for i := range p.AgentPools {
		pool, field := &p.AgentPools[i], fmt.Sprintf("agentPoolProfiles[%d]", i)
		switch {
		case !poolName.MatchString(pool.Name):
			return invalid(field+".name", "is %q; 1 to 12 lower-case letters or digits were expected, beginning with a letter", pool.Name)
		case pool.Count < 0 || pool.Count > 1000:
			return invalid(field+".count", "is %d; 0 to 1000 was expected", pool.Count)
		case pool.OSType != "" && !strings.EqualFold(pool.OSType, "Linux"):
			return resource.Errorf(resource.Unsupported, "NotSupported", "properties.%s.osType is %q; nodes run Linux", field, pool.OSType).At("properties." + field + ".osType")
		}
		if pool.VMSize == "" {
			pool.VMSize = "Standard_DS2_v2"
		}
		if pool.Mode == "" {
			pool.Mode = "System"
		}
		pool.OSType = "Linux"
	}
	return nil
}

// settleWho settles who the nodes pull as: the service principal that is named, the cluster's managed identity, or, when neither is given, a
// service principal that provision makes.
func (d Deps) settleWho(r *arm.Resource[Cluster], old Cluster) error {
	p := &r.Properties
	hasIdentity := r.Identity != nil && (r.Identity.HasSystem() || len(r.Identity.UserAssigned) > 0)
	client := ""
	if p.ServicePrincipal != nil {
		client = strings.ToLower(strings.TrimSpace(p.ServicePrincipal.ClientID))
	}
	switch {
	case client == "" && old.ServicePrincipal != nil && !hasIdentity:
		client = old.ServicePrincipal.ClientID
	case client == "" && hasIdentity:
		client = managed
	}
	switch {
	case client == "":
		p.ServicePrincipal = nil
		return nil
	case client == managed && !hasIdentity:
		return invalid("servicePrincipalProfile.clientId", "is %s, and the cluster has no identity; give it one (identity.type SystemAssigned), or name a service principal", managed)
	case client != managed && hasIdentity:
		return invalid("servicePrincipalProfile", "names a service principal, and the cluster has a managed identity too; give it one of them")
	case client != managed:
		if _, known := d.Directory.FindByClientID(client); !known {
			return resource.Invalidf("ServicePrincipalNotFound", "properties.servicePrincipalProfile.clientId is %q, which is the client id of no service principal in the directory; make one with: alvara ad sp create-for-rbac", client).At("properties.servicePrincipalProfile.clientId")
		}
	}
	p.ServicePrincipal = &ServicePrincipal{ClientID: client}
	return nil
}

// provision makes the service principal of a cluster that was given nobody to work as. It may run again.
func (d Deps) provision(ctx context.Context, _ *arm.Call, r *arm.Resource[Cluster]) ([]store.Op, error) {
	if r.Properties.ServicePrincipal != nil {
		return nil, nil
	}
	name := "aks " + r.ID.Key()
	app := ""
	for _, known := range d.Directory.Applications() {
		if known.DisplayName == name {
			app = known.AppID
		}
	}
	if app == "" {
		made, err := d.Directory.CreateApplication(ctx, name)
		if err != nil {
			return nil, err
		}
		app = made.AppID
	}
	if _, known := d.Directory.FindByClientID(app); !known {
		if _, err := d.Directory.CreateServicePrincipal(ctx, app); err != nil {
			return nil, err
		}
	}
	r.Properties.ServicePrincipal, r.Properties.Own = &ServicePrincipal{ClientID: app}, app
	return nil, nil
}

// deleted forgets the service principal that was made for the cluster.
func (d Deps) deleted(ctx context.Context, r *arm.Resource[Cluster]) error {
	if r.Properties.Own == "" {
		return nil
	}
	err := d.Directory.DeleteApplication(ctx, r.Properties.Own)
	if resource.KindOf(err) == resource.NotFound {
		return nil
	}
	return err
}
