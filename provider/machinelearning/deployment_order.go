package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Orders makes the orders of deployments' instances. Manager is set before its first use.
type Orders struct {
	Deps    Deps
	Manager *arm.Manager
}

// Order gives the order of an instance: what its template says, as those who may at this moment. A role that was taken away, or an
// admin user that was turned off, refuses the next instance.
func (o *Orders) Order(ctx context.Context, _ string, text json.RawMessage) (workload.Order, error) {
	var template servingTemplate
	if err := json.Unmarshal(text, &template); err != nil {
		return workload.Order{}, err
	}
	deployment := &arm.Resource[OnlineDeployment]{}
	call := &arm.Call{Method: "GET", Manager: o.Manager}
	if err := readDocument(ctx, call, template.Deployment, deployment); err != nil {
		return workload.Order{}, err
	}
	p, err := o.Deps.planningOf(ctx, call, deployment)
	if err != nil {
		return workload.Order{}, err
	}
	order := workload.Order{Image: template.Image, Command: template.Command, Env: slices.Clone(template.Env), Limits: template.Limits, Nodes: 1, Port: template.Port}
	order.Env = append(order.Env,
		"AZUREML_ARM_SUBSCRIPTION="+p.workspace.ID.Subscription(), "AZUREML_ARM_RESOURCEGROUP="+p.workspace.ID.ResourceGroup(), "AZUREML_ARM_WORKSPACE_NAME="+p.workspace.Name,
		"AZUREML_ENDPOINT_NAME="+p.endpoint.Name, "AZUREML_DEPLOYMENT_NAME="+deployment.Name)
	if order.Who, err = p.identity(); err != nil {
		return workload.Order{}, err
	}
	order.ClientID = order.Who.ClientID
	for _, who := range p.identities() {
		order.Tokens = append(order.Tokens, who.ID)
	}
	if template.Code != nil {
		order.Code = []workload.File{*template.Code}
	}
	if template.Model != nil {
		order.Inputs = []workload.File{*template.Model}
	}
	if template.Image == "" {
		return order, nil
	}
	who, err := p.pullerOf(ctx, template)
	if err != nil {
		return workload.Order{}, err
	}
	order.Puller = who.Puller
	return order, nil
}

// identities are those that the endpoint works as, the usual one first: the system-assigned one, or the user-assigned ones in the
// order of their ids.
func (p *planning) identities() []identity.Principal {
	held := p.endpoint.Identity
	var out []identity.Principal
	add := func(principal string) {
		if who, known := p.call.Manager.Identities.Lookup(principal); known && principal != "" {
			out = append(out, who)
		}
	}
	if held.HasSystem() {
		add(held.PrincipalID)
	}
	if held != nil {
		for _, text := range slices.Sorted(maps.Keys(held.UserAssigned)) {
			add(held.UserAssigned[text].PrincipalID)
		}
	}
	return out
}

// identity is the one that the endpoint works as.
func (p *planning) identity() (identity.Principal, error) {
	all := p.identities()
	if len(all) == 0 {
		return identity.Principal{}, resource.Invalidf("IdentityNotFound", "The identity that the endpoint %s works as is not in the directory any more; make the endpoint again with another one.", p.endpoint.Name)
	}
	return all[0], nil
}

// servingPuller is as whom the image of an instance is pulled, and who that is, for refusals.
type servingPuller struct {
	workload.Puller
	principal identity.Principal // who asks which image a tag names
	words     string
}

func (s servingPuller) explain(err error, image string, registry resource.ID) error {
	switch resource.KindOf(err) {
	case resource.Forbidden, resource.Unauthenticated:
		g := grant{acrPull, registry}
		return resource.Forbiddenf("EndpointIdentityLacksRole", "%s (principal %s) may not pull the image %s: it does not hold %s. Grant it with: %s", s.words, s.principal.ID, image, g, g.cure(s.principal.ID))
	case resource.NotFound:
		return resource.NotFoundf("ImageNotFound", "The image %s does not exist in the registry %s; push it, or name another in a new version of the environment.", image, registry.Name())
	}
	return err
}

// pullerOf decides as whom the image of a template is pulled, and refuses who may not (MI-13, MI-14).
func (p *planning) pullerOf(ctx context.Context, template servingTemplate) (servingPuller, error) {
	host, _, _ := splitReference(template.Image)
	registry, ours := p.Registries.Hosts()[host]
	if !ours && template.ComputeType != onContainer {
		return servingPuller{}, nil // of a registry elsewhere, as nobody
	}
	var s servingPuller
	var err error
	switch template.ComputeType {
	case onContainer:
		return p.adminOf(ctx, registry, ours)
	case onKubernetes:
		s, err = p.clusterPuller(ctx)
	default:
		s.words = "The identity of the endpoint " + p.endpoint.Name
		s.principal, err = p.identity()
	}
	if err != nil {
		return s, err
	}
	s.Who = s.principal
	if g := (grant{acrPull, registry}); !g.heldBy(p.call, s.principal.ID) {
		return s, s.explain(resource.Forbiddenf("", ""), template.Image, registry)
	}
	return s, nil
}

// adminOf is the admin user of the workspace's registry, whose password the workspace's identity gets: container instances pull in no
// other way (MI-14).
func (p *planning) adminOf(ctx context.Context, registry resource.ID, ours bool) (servingPuller, error) {
	var s servingPuller
	own, _ := resource.ParseID(p.workspace.Properties.ContainerRegistry)
	cures := fmt.Sprintf("Either turn the admin user on: alvara acr update -n %s --admin-enabled true — or deploy with the compute type %s or %s, which pull as identities and need no password.", own.Name(), onManaged, onKubernetes)
	if !ours || !registry.Equal(own) {
		return s, resource.Errorf(resource.Unsupported, "ImageNotInWorkspaceRegistry", "Container instances pull as the admin user of the workspace's registry, and the image is in another one. Push it to the registry %s, or deploy with the compute type %s or %s.", own.Name(), onManaged, onKubernetes)
	}
	var kept struct {
		Properties struct {
			Admin bool `json:"adminUserEnabled"`
		}
	}
	if err := readDocument(ctx, p.call, registry, &kept); err != nil {
		return s, err
	}
	if !kept.Properties.Admin {
		return s, resource.Invalidf("AdminUserDisabled", "The deployment %s is of the type %s, which pulls its image as the admin user of the registry %s, and that is disabled. %s", p.deployment.Name, onContainer, own.Name(), cures)
	}
	principal, err := principalOf(ctx, p.call, p.workspace)
	if err != nil {
		return s, err
	}
	who, known := p.call.Manager.Identities.Lookup(principal)
	if !known {
		return s, resource.Invalidf("IdentityNotFound", "The identity that the workspace %s works as is not in the directory any more; give the workspace another one.", p.workspace.Name)
	}
	shown, err := p.call.Manager.Do(ctx, p.call, who, "POST", registry.String()+"/listCredentials", nil)
	if err != nil {
		if resource.KindOf(err) == resource.Forbidden {
			g := grant{contributor, registry}
			return s, resource.Forbiddenf("WorkspaceIdentityLacksRole", "The identity of the workspace %s (principal %s) may not read the password of the admin user of the registry %s: it does not hold %s. Grant it with: %s", p.workspace.Name, who.ID, registry.Name(), g, g.cure(who.ID))
		}
		return s, err
	}
	s.principal, s.words = who, "The identity of the workspace "+p.workspace.Name
	s.Username, _ = shown["username"].(string)
	if all, _ := shown["passwords"].([]any); len(all) > 0 {
		first, _ := all[0].(map[string]any)
		s.Password, _ = first["value"].(string)
	}
	return s, nil
}

// cluster is the compute that a deployment of the type Kubernetes runs on.
func (p *planning) cluster(ctx context.Context) (*arm.Resource[Compute], error) {
	if p.endpoint.Properties.Compute == "" {
		return nil, resource.Invalidf("ComputeRequired", "The deployment %s is of the type %s and the endpoint %s names no cluster; make an endpoint whose compute is an attached AKS or Kubernetes compute, or deploy with the type %s", p.deployment.Name, onKubernetes, p.endpoint.Name, onManaged)
	}
	id, err := resource.ParseID(p.endpoint.Properties.Compute)
	if err != nil {
		return nil, err
	}
	return computeOf(ctx, p.call, id)
}

// clusterPuller is the service principal of the cluster, as which its nodes pull; a cluster elsewhere pulls as the compute's identity.
func (p *planning) clusterPuller(ctx context.Context) (servingPuller, error) {
	var s servingPuller
	compute, err := p.cluster(ctx)
	if err != nil {
		return s, err
	}
	under, err := resource.ParseID(compute.Properties.ResourceID)
	if err == nil && under.Type().Is(managedCluster) {
		s.words = "The service principal of the cluster " + under.Name()
		s.principal, err = p.servicePrincipalOf(ctx, p.call, under)
		return s, err
	}
	s.words = "The identity of the compute " + compute.Name
	var principal string
	if held := compute.Identity; held.HasSystem() {
		principal = held.PrincipalID
	} else if held != nil {
		for _, text := range slices.Sorted(maps.Keys(held.UserAssigned)) {
			principal = held.UserAssigned[text].PrincipalID
			break
		}
	}
	who, known := p.call.Manager.Identities.Lookup(principal)
	if !known || principal == "" {
		return s, resource.Invalidf("ComputeHasNoIdentity", "The compute %s stands for a cluster elsewhere and has no identity to pull images as; give it one, such as with: alvara ml compute update -n %s -w %s -g %s --identity-type SystemAssigned",
			compute.Name, compute.Name, p.workspace.Name, p.workspace.ID.ResourceGroup())
	}
	s.principal = who
	return s, nil
}

// servicePrincipalOf is the service principal of a managed cluster. Invalid for a cluster that works as a managed identity (MI-13).
func (d Deps) servicePrincipalOf(ctx context.Context, call *arm.Call, cluster resource.ID) (identity.Principal, error) {
	var kept struct {
		Properties struct {
			ServicePrincipal struct {
				ClientID string `json:"clientId"`
			} `json:"servicePrincipalProfile"`
		}
	}
	if err := readDocument(ctx, call, cluster, &kept); err != nil {
		if resource.KindOf(err) == resource.NotFound {
			err = resource.Invalidf("ClusterNotFound", "The cluster '%s' does not exist.", cluster).At("properties.resourceId")
		}
		return identity.Principal{}, err
	}
	client := kept.Properties.ServicePrincipal.ClientID
	if client == "" || strings.EqualFold(client, "msi") {
		return identity.Principal{}, resource.Invalidf("ClusterUsesManagedIdentity", "The cluster %s works as a managed identity, and a cluster that is brought along needs a service principal, which gets AcrPull on the workspace's registry. "+
			"Make one that has it: alvara aks create -n NAME -g %s — or deploy with the compute type %s, which needs no cluster.", cluster.Name(), cluster.ResourceGroup(), onManaged).At("properties.resourceId")
	}
	who, known := d.ClusterPrincipal(client)
	if !known {
		return identity.Principal{}, resource.Invalidf("ServicePrincipalNotFound", "The service principal %s of the cluster %s is not in the directory any more; make the cluster again with another one.", client, cluster.Name()).At("properties.resourceId")
	}
	return who, nil
}
