package machinelearning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// aks is the properties of an AKS cluster that deployments run on, as the older clients write them.
type aks struct {
	ClusterFQDN    string `json:"clusterFqdn,omitempty"` // of the cluster; no caller sets it
	AgentCount     int    `json:"agentCount,omitempty"`
	AgentVMSize    string `json:"agentVmSize,omitempty"`
	ClusterPurpose string `json:"clusterPurpose,omitempty"` // FastProd, DenseProd or DevTest
}

const aksType = "AKS"

var refusedOfAKS = map[string]string{
	"sslConfiguration":           "endpoints are called through the server's gateway, which has a certificate",
	"aksNetworkingConfiguration": "there are no virtual networks for nodes",
	"loadBalancerSubnet":         "there are no virtual networks for nodes",
}

func settleAKS(_ *arm.Call, next, prev json.RawMessage) (json.RawMessage, error) {
	var a, old aks
	if err := readKind(next, &a, refusedOfAKS); err != nil {
		return nil, err
	}
	if prev != nil {
		if err := json.Unmarshal(prev, &old); err != nil {
			return nil, err
		}
	}
	const base = "properties.properties."
	if a.AgentCount == 0 {
		a.AgentCount = max(old.AgentCount, 3)
	}
	if a.AgentCount < 0 || a.AgentCount > maxNodes {
		return nil, resource.Invalidf("InvalidCompute", "%sagentCount is %d; 1 to %d was expected", base, a.AgentCount, maxNodes).At(base + "agentCount")
	}
	if a.AgentVMSize == "" {
		a.AgentVMSize = old.AgentVMSize
	}
	if a.AgentVMSize == "" {
		a.AgentVMSize = vmSizeExample
	}
	if !vmSize.MatchString(a.AgentVMSize) {
		return nil, resource.Invalidf("InvalidVmSize", "%sagentVmSize is %q; the name of a size was expected, such as %s", base, a.AgentVMSize, vmSizeExample).At(base + "agentVmSize")
	}
	switch {
	case a.ClusterPurpose == "" && old.ClusterPurpose != "":
		a.ClusterPurpose = old.ClusterPurpose
	case a.ClusterPurpose == "":
		a.ClusterPurpose = "FastProd"
	case a.ClusterPurpose != "FastProd" && a.ClusterPurpose != "DenseProd" && a.ClusterPurpose != "DevTest":
		return nil, resource.Invalidf("InvalidCompute", "%sclusterPurpose is %q; FastProd, DenseProd or DevTest was expected", base, a.ClusterPurpose).At(base + "clusterPurpose")
	}
	a.ClusterFQDN = ""
	return json.Marshal(a)
}

// managedClusterID reads the cluster that an AKS compute stands for; "" is one that is still to be made.
func managedClusterID(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	id, err := resource.ParseID(text)
	if err != nil || !id.Type().Is(managedCluster) {
		return "", resource.Invalidf("InvalidResourceId", "properties.resourceId is %q; the id of a %s was expected, or none for a cluster that is made", text, managedCluster).At("properties.resourceId")
	}
	return id.String(), nil
}

// clusterOf is the managed cluster that a compute stands for; the root when it is none.
func (c *Compute) clusterOf() resource.ID {
	if id, err := resource.ParseID(c.ResourceID); err == nil && c.isKubernetes() && id.Type().Is(managedCluster) {
		return id
	}
	return resource.Root
}

// made tells whether the cluster of an AKS compute is made with it: the name says so.
func (c *Compute) made(compute resource.ID) bool {
	return strings.EqualFold(c.ResourceID, clusterMadeFor(compute).String())
}

// clusterMadeFor is the cluster that is made for an AKS compute which names none, in the workspace's group.
func clusterMadeFor(compute resource.ID) resource.ID {
	sum := sha256.Sum256([]byte(compute.Key()))
	return resource.MustParseID(compute.GroupID().String() + "/providers/" + string(managedCluster) + "/" + compute.Name() + "-" + hex.EncodeToString(sum[:4]))
}

// settleManagedCluster settles which cluster an AKS compute stands for, and refuses one that works as a managed identity (MI-13).
func (d Deps) settleManagedCluster(ctx context.Context, change *arm.Change[Compute]) error {
	p := &change.Next.Properties
	if p.ResourceID == "" && p.ComputeType == aksType {
		p.ResourceID = clusterMadeFor(change.Next.ID).String()
		if change.Prev != nil {
			p.ResourceID = change.Prev.Properties.ResourceID
		}
	}
	cluster := p.clusterOf()
	if cluster.IsRoot() || p.made(change.Next.ID) || change.Prev != nil && strings.EqualFold(change.Prev.Properties.ResourceID, p.ResourceID) {
		return nil
	}
	_, err := d.servicePrincipalOf(ctx, change.Call, cluster)
	return err
}

// linkedOfCompute: what runs on a cluster pulls images as it, so that whoever attaches it is its administrator, and whoever has one made may
// make it.
func linkedOfCompute(_ context.Context, change *arm.Change[Compute]) ([]arm.Requirement, error) {
	p := change.Next.Properties
	if change.Prev != nil {
		return nil, nil
	}
	if strings.EqualFold(p.ComputeType, aksType) && p.ResourceID == "" {
		return []arm.Requirement{{Action: string(managedCluster) + "/write", Scope: clusterMadeFor(change.Next.ID)}}, nil
	}
	if cluster := p.clusterOf(); !cluster.IsRoot() {
		return []arm.Requirement{{Action: string(managedCluster) + "/listClusterAdminCredential/action", Scope: cluster}}, nil
	}
	return nil, nil
}

// provisionManagedCluster makes the cluster of an AKS compute that named none, and gives the cluster's service principal AcrPull on the
// workspace's registry, which is made when there is none: all as the caller (MI-13). It may run again.
func (d Deps) provisionManagedCluster(ctx context.Context, call *arm.Call, r *arm.Resource[Compute]) error {
	p, cluster := &r.Properties, r.Properties.clusterOf()
	if p.made(r.ID) {
		if err := makeCluster(ctx, call, r, cluster); err != nil {
			return err
		}
	}
	registry, err := ensureRegistry(ctx, call, r.ID.Parent())
	if err != nil {
		return err
	}
	who, err := d.servicePrincipalOf(ctx, call, cluster)
	if err != nil {
		return err
	}
	p.MissingGrants = nil
	if g := (grant{acrPull, registry}); !g.heldBy(call, who.ID) {
		p.MissingGrants, err = giveRoles(ctx, call, who.ID, []grant{g})
	}
	return err
}

func makeCluster(ctx context.Context, call *arm.Call, r *arm.Resource[Compute], cluster resource.ID) error {
	exists, err := call.Manager.Exists(ctx, cluster)
	if err != nil {
		return err
	}
	if !exists {
		var a aks
		if err := json.Unmarshal(r.Properties.Properties, &a); err != nil {
			return err
		}
		_, err := call.Manager.Do(ctx, call, call.Who, "PUT", cluster.String(), map[string]any{
			"location": r.Location, "properties": map[string]any{
				"dnsPrefix": cluster.Name(), "agentPoolProfiles": []any{map[string]any{"name": "nodepool1", "count": a.AgentCount, "vmSize": a.AgentVMSize, "mode": "System"}},
			},
		})
		if err != nil {
			return err
		}
	}
	return settled(ctx, call, cluster)
}

// presentCluster shows what the cluster of a compute is called, and which roles its service principal lacks at this moment.
func (d Deps) presentCluster(ctx context.Context, call *arm.Call, r *arm.Resource[Compute]) {
	p, cluster := &r.Properties, r.Properties.clusterOf()
	who, err := d.servicePrincipalOf(ctx, call, cluster)
	var missing []string
	for _, text := range p.MissingGrants {
		if g, bad := grantNamed(text); err != nil || bad != nil || !g.heldBy(call, who.ID) {
			missing = append(missing, text)
		}
	}
	p.MissingGrants = missing
	var kept struct {
		Properties struct {
			FQDN string `json:"fqdn"`
		}
	}
	if p.ComputeType == aksType && readDocument(ctx, call, cluster, &kept) == nil {
		p.Properties = with(p.Properties, map[string]any{"clusterFqdn": kept.Properties.FQDN})
	}
}
