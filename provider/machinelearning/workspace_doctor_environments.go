package machinelearning

import (
	"context"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// environments are the versions that are in use: neither archived nor made by a job for itself.
func (e *examination) environments(ctx context.Context) ([]*arm.Resource[EnvironmentVersion], error) {
	all, err := readBelow[EnvironmentVersion](ctx, e, environmentVersionType)
	var out []*arm.Resource[EnvironmentVersion]
	for _, version := range all {
		if !version.Properties.archived() && !version.Properties.IsAnonymous {
			out = append(out, version)
		}
	}
	return out, err
}

// asItIs tells whether an environment's image is used without a build.
func asItIs(version *arm.Resource[EnvironmentVersion]) bool {
	return version.Properties.Build == nil && version.Properties.CondaFile == ""
}

// environmentLabel is the name and the version of an environment.
func environmentLabel(version *arm.Resource[EnvironmentVersion]) string {
	return version.ID.Parent().Name() + ":" + version.Name
}

// checkEnvironmentIdentities: the identities that environments name are there, and hold what a build needs (MI-12).
func checkEnvironmentIdentities(ctx context.Context, e *examination) error {
	versions, err := e.environments(ctx)
	if err != nil {
		return err
	}
	for _, version := range versions {
		identity := version.Properties.RegistryIdentity
		if identity == nil {
			continue
		}
		id, err := resource.ParseID(identity.ResourceID)
		if err != nil {
			return err
		}
		host, _, _ := splitReference(version.Properties.Image)
		one := namedIdentity{"The environment " + environmentLabel(version), version.ID, id, identity.ClientID, host}
		now, found, usable, err := one.entry(ctx, e)
		if err != nil {
			return err
		}
		if !usable && !e.hidden[string(id.Type())+"/read"+id.Key()] {
			f := Finding{
				ID: "EnvironmentIdentityGone", Level: levelError, What: version.ID.String(),
				Message: fmt.Sprintf("%s names the identity '%s' as its registryIdentity, which does not exist. Make a version that names another one, and archive this one.", one.from, id),
				Why:     "Its image cannot be built: what an environment consists of never changes.", Manual: true,
				Cure: []string{e.onWorkspace("ml", "environment", "archive", "-n", version.ID.Parent().Name(), "-v", version.Name)},
			}
			if found {
				f.Message = fmt.Sprintf("%s names the identity '%s' with the client id %s, and that identity has the client id %s now: it was made anew. Make a version that names it so, and archive this one.", one.from, id, identity.ClientID, now.ClientID)
			}
			e.add(f)
			continue
		}
		if err := e.checkNamed(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// checkEnvironmentBuilds: somebody as whom the workspace builds may pull the base images of what is to be built. An image that
// only a compute may pull is used as it is, or not at all (MI-10).
func checkEnvironmentBuilds(ctx context.Context, e *examination) error {
	versions, err := e.environments(ctx)
	if err != nil {
		return err
	}
	for _, version := range versions {
		p := version.Properties
		host, _, _ := splitReference(p.Image)
		registry, known := e.hosts[host]
		if asItIs(version) || p.Image == "" || !known || registry.Equal(e.registry) || p.RegistryIdentity != nil || e.who == "" {
			continue
		}
		if now := buildNow(ctx, e.call, version); now.State == buildSucceeded || !e.mayRead(registry, "whether base images may be pulled from it") {
			continue
		}
		by, err := e.connectionTo(ctx, host)
		if err != nil {
			return err
		}
		f := Finding{ID: "BaseImageNobodyPulls", Level: levelError, What: version.ID.String()}
		switch g := (grant{acrPull, registry}); {
		case by != nil && (by.Properties.AuthType == "ManagedIdentity" || by.Properties.AuthType == registryConnection):
			continue // what it lacks is found with the connection
		case by != nil:
			f.ID = "ConnectionWithPassword"
			f.Message = fmt.Sprintf("The environment %s needs a build on %s, and the connection %s to that registry has the authType %s.", environmentLabel(version), p.Image, by.Name, by.Properties.AuthType)
			f.Why = "Builds pull as identities, and use no passwords. Give the connection the authType ManagedIdentity with clientId and resourceId, or take it away."
			f.Cure, f.Manual = []string{e.onWorkspace("ml", "connection", "delete", "-n", by.Name, "--yes")}, true
		case g.heldBy(e.call, e.who):
			continue
		default:
			f.Message = fmt.Sprintf("The environment %s needs a build on %s, and nobody whom the build may act as can pull that image: no connection names an identity for %s, the environment has no registryIdentity, and the workspace's identity (principal %s) does not hold %s.",
				environmentLabel(version), p.Image, host, e.who, g)
			f.Why = "The build is refused."
			if able, err := e.ableComputes(ctx, registry); err != nil {
				return err
			} else if len(able) > 0 {
				f.Why += fmt.Sprintf(" Only %s may pull it: without a conda file the image is pulled as it is, as the identity of the compute.", strings.Join(able, ", "))
			}
			f.Cure = []string{g.cure(e.who)}
		}
		e.add(f)
	}
	return nil
}

// connectionTo is the connection that a build uses for a registry; nil when there is none.
func (e *examination) connectionTo(ctx context.Context, host string) (*arm.Resource[Connection], error) {
	connections, err := readBelow[Connection](ctx, e, connectionType)
	if err != nil {
		return nil, err
	}
	for _, connection := range connections {
		if connection.Properties.toRegistry() && hostOf(connection.Properties.Target) == host {
			return connection, nil
		}
	}
	return nil, nil
}

// ableComputes names the computes with an identity that may pull from a registry.
func (e *examination) ableComputes(ctx context.Context, registry resource.ID) ([]string, error) {
	computes, err := e.computes(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, compute := range computes {
		for _, identity := range carriedBy(compute.Identity) {
			if (grant{acrPull, registry}).heldBy(e.call, identity.principal) {
				out = append(out, "the compute "+compute.Name)
				break
			}
		}
	}
	return out, nil
}

// checkEnvironmentsAsTheyAre: some compute may pull each image that is used as it is (MI-09).
func checkEnvironmentsAsTheyAre(ctx context.Context, e *examination) error {
	versions, err := e.environments(ctx)
	if err != nil {
		return err
	}
	computes, err := e.computes(ctx)
	if err != nil {
		return err
	}
	for _, version := range versions {
		host, _, _ := splitReference(version.Properties.Image)
		registry, known := e.hosts[host]
		if !asItIs(version) || !known || registry.Equal(e.registry) || !e.mayRead(registry, "whether computes may pull from it") {
			continue
		}
		able, err := e.ableComputes(ctx, registry)
		if err != nil {
			return err
		}
		var cures []string
		for _, compute := range computes {
			if all := carriedBy(compute.Identity); len(all) > 0 {
				cures = append(cures, grant{acrPull, registry}.cure(all[0].principal))
			}
		}
		if len(able) > 0 || len(cures) == 0 {
			continue
		}
		e.add(Finding{
			ID: "ImageNobodyPulls", Level: levelError, What: version.ID.String(),
			Message: fmt.Sprintf("The environment %s is the image %s as it is, and no compute of the workspace may pull it: none of their identities holds AcrPull on %s.", environmentLabel(version), version.Properties.Image, registry),
			Why:     "An image that is used as it is is pulled as the identity of the compute.",
			Cure:    cures, Manual: len(cures) > 1, // which of them is to run it, is somebody's choice
		})
	}
	return nil
}
