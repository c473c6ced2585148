package machinelearning

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// computes are those of the workspace that the caller may read.
func (e *examination) computes(ctx context.Context) ([]*arm.Resource[Compute], error) {
	return readBelow[Compute](ctx, e, computeType)
}

// nobody tells whether a compute that runs jobs has no identity. What is attached pulls as what it stands for.
func nobody(compute *arm.Resource[Compute]) bool {
	return !compute.Properties.IsAttachedCompute && (compute.Identity == nil || (!compute.Identity.HasSystem() && len(compute.Identity.UserAssigned) == 0))
}

// giveIdentity is the command that gives a compute a system-assigned identity, with which it is granted AcrPull.
func (e *examination) giveIdentity(compute *arm.Resource[Compute]) string {
	return e.onWorkspace("ml", "computetarget", "amlcompute", "identity", "assign", "--name", compute.Name, "--identities", "[system]")
}

// carried is an identity that a resource carries.
type carried struct {
	principal string
	name      string // "its system-assigned identity" or the id of a user-assigned one
}

// carriedBy gives the identities that a resource carries, the one that it pulls as by default first.
func carriedBy(identity *arm.Identity) []carried {
	if identity == nil {
		return nil
	}
	var out []carried
	if identity.HasSystem() {
		out = append(out, carried{identity.PrincipalID, "its system-assigned identity"})
	}
	for _, id := range slices.Sorted(maps.Keys(identity.UserAssigned)) {
		out = append(out, carried{identity.UserAssigned[id].PrincipalID, "'" + id + "'"})
	}
	return out
}

// checkComputeIdentities: the user-assigned identities of computes are still there, and are still the same.
func checkComputeIdentities(ctx context.Context, e *examination) error {
	computes, err := e.computes(ctx)
	if err != nil {
		return err
	}
	for _, compute := range computes {
		if compute.Identity == nil {
			continue
		}
		for _, text := range slices.Sorted(maps.Keys(compute.Identity.UserAssigned)) {
			id, err := resource.ParseID(text)
			if err != nil {
				return err
			}
			var now struct {
				Properties arm.UserAssignedEntry `json:"properties"`
			}
			found, readable, err := e.read(ctx, id, "whether the compute "+compute.Name+" still has it", &now)
			if err != nil {
				return err
			}
			if !readable || (found && now.Properties.PrincipalID == compute.Identity.UserAssigned[text].PrincipalID) {
				continue
			}
			f := Finding{ID: "ComputeIdentityGone", Level: levelError, What: compute.ID.String(), Why: "Jobs that run as it get no tokens, and pull no images."}
			change := func(verb, identity string) []string {
				return []string{e.onWorkspace("ml", "computetarget", "amlcompute", "identity", verb, "--name", compute.Name, "--identities", identity)}
			}
			switch {
			case found:
				f.Message = fmt.Sprintf("The identity '%s' of the compute %s was made anew since it was assigned: it is another principal now, which the compute is not.", id, compute.Name)
				f.Cure = change("assign", id.String())
			case len(compute.Identity.UserAssigned) > 1:
				f.Message = fmt.Sprintf("The identity '%s' of the compute %s does not exist any more.", id, compute.Name)
				f.Cure = change("remove", id.String())
			default:
				f.Message = fmt.Sprintf("The only identity of the compute %s, '%s', does not exist any more.", compute.Name, id)
				f.Why += " With a system-assigned identity it is granted AcrPull on the workspace's registry at once."
				f.Cure = []string{e.giveIdentity(compute)}
			}
			e.add(f)
		}
	}
	return nil
}

// checkComputePulls: the identities of computes may pull from the workspace's registry. A compute that is older than the registry
// was granted nothing there (MI-05, MI-06).
func checkComputePulls(ctx context.Context, e *examination) error {
	computes, err := e.computes(ctx)
	if err != nil || e.registry.IsRoot() {
		return err
	}
	if found, _, err := e.read(ctx, e.registry, "whether computes may pull from it", &struct{}{}); err != nil || !found {
		return err
	}
	for _, compute := range computes {
		for i, identity := range carriedBy(compute.Identity) {
			g := grant{acrPull, e.registry}
			if _, known := e.call.Manager.Identities.Lookup(identity.principal); !known || g.heldBy(e.call, identity.principal) {
				continue
			}
			level := levelError
			if i > 0 {
				level = levelWarning // jobs use it when they ask for it
			}
			e.add(Finding{
				ID: "ComputeCannotPull", Level: level, What: compute.ID.String(), place: "containerRegistryResults",
				Message: fmt.Sprintf("The compute %s, as %s (principal %s), does not hold %s.", compute.Name, identity.name, identity.principal, g),
				Why:     "Its jobs cannot pull images from the workspace's registry. A compute is granted the role when it gets a system-assigned identity while the registry is there; one that is older than the registry, or has user-assigned identities, is not.",
				Cure:    []string{g.cure(identity.principal)},
			})
		}
	}
	return nil
}

// checkComputesWithoutIdentity: a compute without an identity pulls with the admin user's password, and from the workspace's
// registry alone.
func checkComputesWithoutIdentity(ctx context.Context, e *examination) error {
	computes, err := e.computes(ctx)
	if err != nil {
		return err
	}
	var private []string
	for _, compute := range computes {
		if !nobody(compute) {
			continue
		}
		if private == nil {
			if private, err = e.privateImages(ctx); err != nil {
				return err
			}
		}
		f := Finding{
			ID: "ComputeWithoutIdentity", Level: levelInfo, What: compute.ID.String(),
			Message: fmt.Sprintf("The compute %s has no identity.", compute.Name),
			Why:     "Its jobs run as nobody: they read and write no data by URI, and their images are pulled with the password of the admin user of the workspace's registry, while that is on. An identity needs no password.",
			Cure:    []string{e.giveIdentity(compute)}, Manual: true,
		}
		if len(private) > 0 {
			f.Level, f.Manual = levelWarning, false
			f.Message = fmt.Sprintf("The compute %s has no identity, and cannot pull what these environments name in private registries: %s.", compute.Name, strings.Join(private, ", "))
		}
		e.add(f)
	}
	return nil
}

// privateImages names the environments whose image, used as it is, lies in a registry of this server other than the workspace's.
func (e *examination) privateImages(ctx context.Context) ([]string, error) {
	versions, err := e.environments(ctx)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, version := range versions {
		if host, _, _ := splitReference(version.Properties.Image); asItIs(version) && !e.hosts[host].IsRoot() && !e.hosts[host].Equal(e.registry) {
			out = append(out, environmentLabel(version))
		}
	}
	return out, nil
}
