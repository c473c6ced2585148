package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

func refuseKeys(_ context.Context, _ *arm.Call, r *arm.Resource[Workspace]) (any, error) {
	return nil, resource.Forbiddenf("KeyBasedAuthenticationNotPermitted", "What '%s' works with is used by identity; the workspace holds no keys to give.", r.ID)
}

// resyncKeys has nothing to read again: a workspace keeps no keys of the resources that it works with.
func resyncKeys(context.Context, *arm.Call, *arm.Resource[Workspace]) (any, error) {
	return &arm.Response{Status: 200}, nil
}

// finding is one line of a diagnosis: Level is Warning, Error or Information.
type finding struct {
	Code    string `json:"code"`
	Level   string `json:"level"`
	Message string `json:"message"`
}

// diagnose looks at what the workspace works with: whether it is there, and whether the workspace's identity holds its
// roles on it. An empty list is good news.
func diagnose(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (any, error) {
	p, results := r.Properties, map[string][]finding{}
	for _, name := range []string{"userDefinedRouteResults", "networkSecurityRuleResults", "resourceLockResults", "dnsResolutionResults",
		"storageAccountResults", "keyVaultResults", "containerRegistryResults", "applicationInsightsResults", "otherResults"} {
		results[name] = []finding{}
	}
	add := func(where, code, level, format string, args ...any) {
		results[where] = append(results[where], finding{code, level, fmt.Sprintf(format, args...)})
	}
	who, own, err := worker(ctx, call, r)
	if err != nil {
		return nil, err
	}
	if _, known := call.Manager.Identities.Lookup(who); !known {
		add("otherResults", "IdentityNotFound", "Error", "The identity that the workspace works as is not in the directory any more; give the workspace another one.")
	}
	check := func(where string, g grant) {
		if !g.heldBy(call, who) {
			add(where, "RoleMissing", "Warning", "The workspace's identity does not hold %s. Grant it with: %s", g, g.cure(who))
		}
	}
	for _, g := range own {
		check("otherResults", g)
	}
	for _, part := range []struct{ where, what, text string }{
		{"storageAccountResults", "storage account", p.StorageAccount}, {"keyVaultResults", "key vault", p.KeyVault},
		{"applicationInsightsResults", "application insights component", p.ApplicationInsights}, {"containerRegistryResults", "container registry", p.ContainerRegistry},
	} {
		if part.text == "" {
			if part.where == "containerRegistryResults" {
				add(part.where, "RegistryNotCreated", "Information", "There is no container registry yet; the first operation that needs one makes it.")
			}
			continue
		}
		id, err := resource.ParseID(part.text)
		if err != nil {
			return nil, err
		}
		exists, err := call.Manager.Exists(ctx, id)
		if err != nil {
			return nil, err
		}
		if !exists {
			add(part.where, "ResourceNotFound", "Error", "The %s '%s' does not exist.", part.what, id)
			continue
		}
		if isStore(r, nil) {
			continue
		}
		grants, err := grantsOn(ctx, call, id)
		if err != nil {
			return nil, err
		}
		for _, g := range grants {
			check(part.where, g)
		}
	}
	if err := diagnoseRegistry(ctx, call, r, func(code, message string) { add("containerRegistryResults", code, "Warning", "%s", message) }); err != nil {
		return nil, err
	}
	return map[string]any{"value": results}, nil
}

// worker is the identity by which the workspace works, with the roles that it holds on the workspace itself, and for a
// feature store on its offline data.
func worker(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (string, []grant, error) {
	p := r.Properties
	if !isStore(r, nil) {
		who, err := principalOf(ctx, call, r)
		if resource.KindOf(err) == resource.Invalid { // the identity was deleted
			err = nil
		}
		return who, []grant{{contributor, r.ID}}, err
	}
	if p.MaterializationIdentity == nil || p.OfflineStore == nil {
		return "", nil, nil // its provisioning has failed
	}
	container, err := resource.ParseID(p.OfflineStore.Target)
	return p.MaterializationIdentity.PrincipalID, []grant{{dataScientist, r.ID}, {blobContributor, container}}, err
}

// diagnoseRegistry looks for passwords where identities would do, and for computes that may not pull: those that are older
// than the registry (MI-06).
func diagnoseRegistry(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace], warn func(code, message string)) error {
	if r.Properties.ContainerRegistry == "" {
		return nil
	}
	id, err := resource.ParseID(r.Properties.ContainerRegistry)
	if err != nil {
		return err
	}
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	var registry struct {
		Properties struct {
			Admin bool `json:"adminUserEnabled"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(doc.Body, &registry); err != nil {
		return err
	}
	if registry.Properties.Admin {
		warn("AdminUserEnabled", fmt.Sprintf("The admin user of the registry is enabled: whoever has its password pulls and pushes, whatever their roles. Where no container instances are deployed, turn it off with: alvara acr update -n %s --admin-enabled false", id.Name()))
	}
	docs, err := call.Manager.Below(ctx, r.ID, computeType)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		var compute arm.Resource[Compute]
		if err := json.Unmarshal(doc.Body, &compute); err != nil {
			return err
		}
		for _, who := range principalsOf(compute.Identity) {
			if g := (grant{acrPull, id}); !g.heldBy(call, who) {
				warn("ComputeCannotPull", fmt.Sprintf("An identity of the compute '%s' does not hold %s, so that jobs on it cannot pull images from there. Grant it with: %s", compute.Name, g, g.cure(who)))
			}
		}
	}
	return nil
}

// principalsOf gives the object ids of a resource's identities, in the order of their names.
func principalsOf(identity *arm.Identity) []string {
	if identity == nil {
		return nil
	}
	var out []string
	if identity.HasSystem() {
		out = append(out, identity.PrincipalID)
	}
	for _, id := range slices.Sorted(maps.Keys(identity.UserAssigned)) {
		out = append(out, identity.UserAssigned[id].PrincipalID)
	}
	return out
}
