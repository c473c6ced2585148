package machinelearning

import (
	"context"
	"fmt"
	"strings"
)

// checkRegistryCreated: a workspace without a registry gets one later, on which the computes of today hold nothing (MI-03, MI-06).
func checkRegistryCreated(_ context.Context, e *examination) error {
	if !e.registry.IsRoot() || isStore(e.workspace, nil) {
		return nil
	}
	e.add(Finding{
		ID: "RegistryNotCreated", Level: levelInfo, What: e.workspace.ID.String(), place: "containerRegistryResults",
		Message: "There is no container registry yet; the first operation that needs one makes it, with its admin user turned on.",
		Why:     "Computes that are there before it are given no role on it: they are to be granted AcrPull then, and the admin user is to be turned off.",
	})
	return nil
}

// registryState is what the doctor wants to know of a registry.
type registryState struct {
	Properties struct {
		Admin bool `json:"adminUserEnabled"`
	} `json:"properties"`
}

// checkAdminUser: the registry's admin user is on only while something needs it, and is on while something does (MI-14).
func checkAdminUser(ctx context.Context, e *examination) error {
	if e.registry.IsRoot() {
		return nil
	}
	var registry registryState
	found, _, err := e.read(ctx, e.registry, "whether its admin user is on", &registry)
	if err != nil || !found {
		return err
	}
	needed, err := e.needAdminUser(ctx)
	if err != nil {
		return err
	}
	f := Finding{What: e.registry.String()}
	turn := func(to string) []string {
		return []string{commandLine("acr", "update", "-n", e.registry.Name(), "-g", e.registry.ResourceGroup(), "--admin-enabled", to)}
	}
	switch on := registry.Properties.Admin; {
	case on && len(needed) == 0:
		f.ID, f.Level = "AdminUserEnabled", levelWarning
		f.Message = fmt.Sprintf("The admin user of the registry %s is on, and nothing in the workspace needs it.", e.registry.Name())
		f.Why = "Whoever has its password pulls and pushes, whatever their roles, and nobody can tell who it was. Off, identities pull and push as before."
		f.Cure = turn("false")
	case on:
		f.ID, f.Level = "AdminUserNeeded", levelInfo
		f.Message = fmt.Sprintf("The admin user of the registry %s is on, because it is needed by %s.", e.registry.Name(), inWords(needed))
		f.Why = "Whoever has its password pulls and pushes, whatever their roles. It can be turned off when what needs it has an identity, or is gone."
	case len(needed) > 0:
		f.ID, f.Level = "AdminUserDisabled", levelError
		f.Message = fmt.Sprintf("The admin user of the registry %s is off, and it is needed by %s.", e.registry.Name(), inWords(needed))
		f.Why = "They pull with its password and with nothing else, and are refused."
		for _, one := range needed {
			if one.instead == "" {
				f.Cure, f.Manual = turn("true"), true // a password is turned on by nobody but somebody
				break
			}
			f.Cure = append(f.Cure, one.instead)
		}
	default:
		return nil
	}
	e.add(f)
	return nil
}

// passwordUse is something that pulls with the password of the registry's admin user.
type passwordUse struct {
	name    string // in words
	instead string // the command that gives it an identity; "" when it can have none
}

func inWords(uses []passwordUse) string {
	names := make([]string, len(uses))
	for i, use := range uses {
		names[i] = use.name
	}
	return strings.Join(names, ", ")
}

// needAdminUser gives what pulls with the password of the registry's admin user.
func (e *examination) needAdminUser(ctx context.Context) ([]passwordUse, error) {
	var out []passwordUse
	computes, err := e.computes(ctx)
	if err != nil {
		return nil, err
	}
	for _, compute := range computes {
		if nobody(compute) {
			out = append(out, passwordUse{"the compute " + compute.Name + ", which has no identity", e.giveIdentity(compute)})
		}
	}
	deployments, err := e.deployments(ctx)
	if err != nil {
		return nil, err
	}
	for _, deployment := range deployments {
		if deployment.Properties.EndpointComputeType == onContainer {
			out = append(out, passwordUse{name: "the deployment " + deployment.ID.Parent().Name() + "/" + deployment.Name + " on container instances"})
		}
	}
	return out, nil
}
