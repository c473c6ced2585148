package machinelearning

import (
	"context"
	"fmt"
	"slices"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

func (e *examination) endpoints(ctx context.Context) ([]*arm.Resource[OnlineEndpoint], error) {
	return readBelow[OnlineEndpoint](ctx, e, endpointType)
}

func (e *examination) deployments(ctx context.Context) ([]*arm.Resource[OnlineDeployment], error) {
	return readBelow[OnlineDeployment](ctx, e, deploymentType)
}

// checkEndpointRoles: the identity of an endpoint may pull the images of its deployments and read their models. What runs on a
// cluster or on container instances pulls as somebody else.
func checkEndpointRoles(ctx context.Context, e *examination) error {
	endpoints, err := e.endpoints(ctx)
	if err != nil {
		return err
	}
	deployments, err := e.deployments(ctx)
	if err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		all := carriedBy(endpoint.Identity)
		if len(all) == 0 {
			continue
		}
		here := slices.DeleteFunc(slices.Clone(deployments), func(d *arm.Resource[OnlineDeployment]) bool { return !d.ID.Parent().Equal(endpoint.ID) })
		pulls := endpoint.Properties.Compute == "" && (len(here) == 0 ||
			slices.ContainsFunc(here, func(d *arm.Resource[OnlineDeployment]) bool { return d.Properties.EndpointComputeType == onManaged }))
		var wanted []grant
		if pulls && !e.registry.IsRoot() && e.mayRead(e.registry, "whether endpoints may pull from it") {
			wanted = append(wanted, grant{acrPull, e.registry})
		}
		if text := e.workspace.Properties.StorageAccount; text != "" {
			storage, err := resource.ParseID(text)
			if err != nil {
				return err
			}
			if e.mayRead(storage, "whether endpoints may read models there") {
				wanted = append(wanted, grant{blobReader, storage})
			}
		}
		for _, g := range wanted {
			if _, known := e.call.Manager.Identities.Lookup(all[0].principal); !known || g.heldBy(e.call, all[0].principal) {
				continue
			}
			e.add(Finding{
				ID: "EndpointRoleMissing", Level: levelError, What: endpoint.ID.String(),
				Message: fmt.Sprintf("The endpoint %s, as %s (principal %s), does not hold %s.", endpoint.Name, all[0].name, all[0].principal, g),
				Why:     "Its deployments pull their image, and read their model and code, as this identity: the next one, or the next instance, is refused.",
				Cure:    []string{g.cure(all[0].principal)},
			})
		}
	}
	return nil
}

// checkEndpointIdentities: the user-assigned identities of endpoints are still there.
func checkEndpointIdentities(ctx context.Context, e *examination) error {
	endpoints, err := e.endpoints(ctx)
	if err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		for _, identity := range carriedBy(endpoint.Identity) {
			if _, known := e.call.Manager.Identities.Lookup(identity.principal); !known {
				e.add(Finding{
					ID: "EndpointIdentityGone", Level: levelError, What: endpoint.ID.String(),
					Message: fmt.Sprintf("The endpoint %s works as %s (principal %s), which is not in the directory any more.", endpoint.Name, identity.name, identity.principal),
					Why:     "Its deployments get no tokens, pull no images and read no models. An endpoint keeps its identity: make another one, and take this one away.",
					Cure:    []string{e.onWorkspace("ml", "online-endpoint", "delete", "-n", endpoint.Name, "--yes")}, Manual: true,
				})
			}
		}
	}
	return nil
}

// checkEndpointKeys: endpoints are called as somebody, not with a key (BX-01).
func checkEndpointKeys(ctx context.Context, e *examination) error {
	endpoints, err := e.endpoints(ctx)
	if err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		if endpoint.Properties.AuthMode == authKey {
			e.add(Finding{
				ID: "EndpointKeysEnabled", Level: levelWarning, What: endpoint.ID.String(),
				Message: fmt.Sprintf("The endpoint %s lets in whoever has its key.", endpoint.Name),
				Why:     "A key tells nobody who called, and goes on working for those who have it until it is changed. With aad_token callers are let in by their roles; those who call with the key now have to sign in.",
				Cure:    []string{e.onWorkspace("ml", "online-endpoint", "update", "-n", endpoint.Name, "--set", "auth_mode=aad_token")}, Manual: true,
			})
		}
	}
	return nil
}

// checkClusters: the clusters that are attached have a service principal, which may pull from the workspace's registry (MI-13).
func checkClusters(ctx context.Context, e *examination) error {
	computes, err := e.computes(ctx)
	if err != nil {
		return err
	}
	for _, compute := range computes {
		if !compute.Properties.isKubernetes() {
			continue
		}
		id := compute.Properties.clusterOf()
		if id.IsRoot() {
			e.checkClusterElsewhere(compute)
			continue
		}
		if !e.mayRead(id, "whether the compute "+compute.Name+" can pull images") {
			continue
		}
		f := Finding{
			ID: "ClusterCannotServe", Level: levelError, What: compute.ID.String(),
			Why: "What is deployed to a cluster pulls its image as the cluster's service principal. Deployments on it are refused.",
		}
		who, err := e.servicePrincipalOf(ctx, e.call, id)
		if refusal, ok := resource.AsError(err); ok && refusal.Kind == resource.Invalid {
			f.Message = fmt.Sprintf("The compute %s cannot serve: %s", compute.Name, refusal.Message)
			e.add(f)
			continue
		}
		if err != nil {
			return err
		}
		if g := (grant{acrPull, e.registry}); !e.registry.IsRoot() && e.mayRead(e.registry, "whether clusters may pull from it") && !g.heldBy(e.call, who.ID) {
			f.ID = "ClusterCannotPull"
			f.Message = fmt.Sprintf("The service principal of the cluster %s (principal %s), for which the compute %s stands, does not hold %s.", id.Name(), who.ID, compute.Name, g)
			f.Cure = []string{g.cure(who.ID)}
			e.add(f)
		}
	}
	return nil
}

// checkClusterElsewhere: a cluster that is not managed here pulls as the identity of the compute that stands for it.
func (e *examination) checkClusterElsewhere(compute *arm.Resource[Compute]) {
	if len(carriedBy(compute.Identity)) > 0 {
		return
	}
	e.add(Finding{
		ID: "ClusterCannotServe", Level: levelWarning, What: compute.ID.String(),
		Message: fmt.Sprintf("The compute %s stands for a cluster elsewhere, and has no identity.", compute.Name),
		Why:     "What is deployed to it pulls its image as the identity of the compute, and is refused.",
		Cure:    []string{e.onWorkspace("ml", "compute", "update", "-n", compute.Name, "--identity-type", "SystemAssigned")},
	})
}
