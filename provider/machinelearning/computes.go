package machinelearning

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Compute is the properties of a compute: what jobs are to run on. Properties are those of its type.
type Compute struct {
	ComputeType       string          `json:"computeType"` // AmlCompute, ComputeInstance, Kubernetes or AKS
	ComputeLocation   string          `json:"computeLocation,omitempty"`
	Description       string          `json:"description,omitempty"`
	ResourceID        string          `json:"resourceId,omitempty"`
	DisableLocalAuth  bool            `json:"disableLocalAuth"` // always: nobody signs in to a node with a password or key
	IsAttachedCompute bool            `json:"isAttachedCompute"`
	CreatedOn         *time.Time      `json:"createdOn,omitempty"`
	ModifiedOn        *time.Time      `json:"modifiedOn,omitempty"`
	Properties        json.RawMessage `json:"properties,omitempty"`
	// MissingGrants are the roles that the system-assigned identity is to hold and that nobody who wrote the compute could
	// give (MI-05).
	MissingGrants []string `json:"missingGrants,omitempty"`
}

// Computes declares computes. They are resources with identities, and have Nodes for jobs.
func (d Deps) Computes() arm.Type {
	return arm.Define(arm.Spec[Compute]{
		Type: computeType, Identities: true, APIVersions: apiVersions, Followed: true,
		Name: regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,30}[A-Za-z0-9]$`), NameRule: "2 to 32 letters, digits or '-', beginning with a letter and not ending in '-'",
		Linked:    linkedOfCompute,
		Validate:  d.validateCompute,
		Provision: d.provisionCompute,
		NeedsProvision: func(change *arm.Change[Compute]) bool {
			p := change.Next.Properties
			return len(p.MissingGrants) > 0 || change.Prev == nil && !p.clusterOf().IsRoot()
		},
		Deleting: deletingCompute,
		Present:  d.presentCompute,
		Actions: []arm.Action[Compute]{
			{Name: "listNodes", Run: d.listNodes},
			{Name: "listKeys", Run: func(_ context.Context, _ *arm.Call, r *arm.Resource[Compute]) (any, error) {
				return nil, resource.Forbiddenf("KeyBasedAuthenticationNotPermitted", "'%s' is used by identity; it holds no keys to give.", r.ID)
			}},
			{Name: "start", Run: changeState("started", instanceRunning)}, {Name: "stop", Run: changeState("stopped", instanceStopped)},
			{Name: "restart", Run: changeState("restarted", instanceRunning)},
		},
	})
}

func (d Deps) validateCompute(ctx context.Context, change *arm.Change[Compute]) error {
	p := &change.Next.Properties
	kind, err := kindOfCompute(p.ComputeType)
	if err != nil {
		return err
	}
	p.ComputeType, p.DisableLocalAuth, p.IsAttachedCompute, p.CreatedOn, p.ModifiedOn = kind.name, true, kind.attached, nil, nil
	workspace, err := workspaceOf(ctx, change.Call, change.Next.ID.Parent())
	if err != nil {
		return err
	}
	if err := settlePlace(change, workspace); err != nil {
		return err
	}
	if err := checkComputeIdentity(change); err != nil {
		return err
	}
	if p.ResourceID, err = kind.underlying(p.ResourceID); err != nil {
		return err
	}
	if err := d.settleManagedCluster(ctx, change); err != nil {
		return err
	}
	var prev json.RawMessage
	if change.Prev != nil {
		old := change.Prev.Properties
		if !strings.EqualFold(old.ComputeType, p.ComputeType) {
			return fixed("properties.computeType", p.ComputeType, old.ComputeType)
		}
		if !strings.EqualFold(old.ResourceID, p.ResourceID) {
			return fixed("properties.resourceId", p.ResourceID, old.ResourceID)
		}
		prev = old.Properties
	}
	if p.Properties, err = kind.settle(change.Call, p.Properties, prev); err != nil {
		return err
	}
	p.MissingGrants = wantedGrants(change, workspace)
	return nil
}

func fixed(field, next, prev string) error {
	return resource.Invalidf("ComputePropertyImmutable", "%s is %q and the compute was created with %q; it cannot be changed", field, next, prev).At(field)
}

// settlePlace gives a compute its workspace's location unless it has one.
func settlePlace(change *arm.Change[Compute], workspace *arm.Resource[Workspace]) error {
	r, p := change.Next, &change.Next.Properties
	place := func(text string) string { return strings.ToLower(strings.ReplaceAll(text, " ", "")) }
	p.ComputeLocation = place(p.ComputeLocation)
	if change.Prev != nil {
		if r.Location == "" {
			r.Location = change.Prev.Location
		}
		if p.ComputeLocation == "" {
			p.ComputeLocation = change.Prev.Properties.ComputeLocation
		}
		if p.ComputeLocation != change.Prev.Properties.ComputeLocation {
			return fixed("properties.computeLocation", p.ComputeLocation, change.Prev.Properties.ComputeLocation)
		}
		return nil
	}
	if r.Location == "" {
		r.Location = workspace.Location
	}
	if p.ComputeLocation == "" {
		p.ComputeLocation = r.Location
	}
	return nil
}

// checkComputeIdentity: a compute has one system-assigned identity or several user-assigned ones; an instance has one at
// most. Jobs run as the system-assigned one, or as the first of the others.
func checkComputeIdentity(change *arm.Change[Compute]) error {
	if change.Next.Identity == nil && change.Prev != nil && change.Method == "PUT" {
		change.Next.Identity = change.Prev.Identity // a PUT that says nothing of identities leaves them alone
	}
	identity := change.Next.Identity
	switch {
	case identity == nil:
		return nil
	case identity.HasSystem() && len(identity.UserAssigned) > 0:
		return resource.Invalidf("InvalidIdentity", "identity.type is %q; a compute has a system-assigned identity or user-assigned ones, not both", identity.Type).At("identity.type")
	case len(identity.UserAssigned) > 1 && strings.EqualFold(change.Next.Properties.ComputeType, "ComputeInstance"):
		return resource.Invalidf("InvalidIdentity", "identity.userAssignedIdentities names %d identities; a compute instance has one at most", len(identity.UserAssigned)).At("identity.userAssignedIdentities")
	}
	return nil
}

// wantedGrants are the roles that the compute's system-assigned identity is to be given: AcrPull on the workspace's
// registry, when the registry is there at the moment in which the identity comes into being (MI-05), and not otherwise
// (MI-06). What could not be given then is tried again with each write. On a managed cluster it is the cluster's service principal that
// is given the role (MI-13).
func wantedGrants(change *arm.Change[Compute], workspace *arm.Resource[Workspace]) []string {
	if change.Prev != nil && !change.Next.Properties.clusterOf().IsRoot() {
		return change.Prev.Properties.MissingGrants
	}
	if !change.Next.Identity.HasSystem() || !change.Next.Properties.clusterOf().IsRoot() {
		return nil
	}
	if change.Prev != nil && change.Prev.Identity.HasSystem() {
		return change.Prev.Properties.MissingGrants
	}
	registry, err := resource.ParseID(workspace.Properties.ContainerRegistry)
	if err != nil || registry.IsRoot() {
		return nil
	}
	return []string{grant{acrPull, registry}.String()}
}

// registryOf reads the registry out of what wantedGrants gives.
func registryOf(missing string) (resource.ID, error) {
	return resource.ParseID(strings.TrimPrefix(missing, acrPull.name+" on "))
}

// provisionCompute gives the compute's identity its role, as the caller. It may run again.
func (d Deps) provisionCompute(ctx context.Context, call *arm.Call, r *arm.Resource[Compute]) ([]store.Op, error) {
	if !r.Properties.clusterOf().IsRoot() {
		return nil, d.provisionManagedCluster(ctx, call, r)
	}
	var wanted []grant
	for _, text := range r.Properties.MissingGrants {
		registry, err := registryOf(text)
		if err != nil {
			return nil, err
		}
		if g := (grant{acrPull, registry}); !g.heldBy(call, r.Identity.PrincipalID) {
			wanted = append(wanted, g)
		}
	}
	var err error
	r.Properties.MissingGrants, err = giveRoles(ctx, call, r.Identity.PrincipalID, wanted)
	return nil, err
}

// presentCompute shows a compute with what it is doing, and what its identity still lacks at this moment.
func (d Deps) presentCompute(ctx context.Context, call *arm.Call, r *arm.Resource[Compute]) {
	p := &r.Properties
	if r.SystemData != nil {
		p.CreatedOn, p.ModifiedOn = &r.SystemData.CreatedAt, &r.SystemData.LastModifiedAt
	}
	if p.clusterOf().IsRoot() {
		p.MissingGrants = stillMissing(call, r.Identity, p.MissingGrants)
	} else {
		d.presentCluster(ctx, call, r)
	}
	if kind, err := kindOfCompute(p.ComputeType); err == nil {
		p.Properties = kind.shown(p.Properties, r, d.Nodes.of(r.ID))
	}
}

// deletingCompute refuses to take a compute away from its jobs, and reads what is to become of what an attached compute stands for.
// Nothing of it is Alvara's to delete.
func deletingCompute(ctx context.Context, call *arm.Call, r *arm.Resource[Compute]) ([]store.Op, error) {
	if !call.Target.ID.Equal(r.ID) {
		return nil, nil // it goes with its workspace
	}
	const field = "underlyingResourceAction"
	action := call.QueryValue(field)
	switch {
	case action == "", strings.EqualFold(action, "Delete") && !r.Properties.IsAttachedCompute, strings.EqualFold(action, "Detach") && r.Properties.IsAttachedCompute:
		return nil, unused(ctx, call, r.ID, "deleted")
	case r.Properties.IsAttachedCompute:
		return nil, resource.Invalidf("InvalidParameter", "%s is %q; '%s' is attached, so that it can be detached: Detach was expected", field, action, r.ID).At(field)
	}
	return nil, resource.Invalidf("InvalidParameter", "%s is %q; '%s' is not attached to anything: Delete was expected", field, action, r.ID).At(field)
}
