package machinelearning

import (
	"context"
	"encoding/json"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// ensureRegistry gives the registry of a workspace. Where there is none it is made, with its admin user enabled, because an
// operation needs it: a job or an image build (MI-03). It is made as the caller, or, when the caller may not, as the
// workspace's identity; when neither may, the refusal names what the caller lacks. It may be called by several operations at
// once, which all get the same registry.
//
// Computes that were there before hold no role on the new registry (MI-06).
func ensureRegistry(ctx context.Context, call *arm.Call, workspace resource.ID) (resource.ID, error) {
	r, err := workspaceOf(ctx, call, workspace)
	if err != nil {
		return resource.ID{}, err
	}
	if r.Properties.ContainerRegistry != "" {
		return resource.ParseID(r.Properties.ContainerRegistry)
	}
	id := associated(r).registry
	who, err := registryMaker(ctx, call, r, id)
	if err != nil {
		return resource.ID{}, err
	}
	exists, err := call.Manager.Exists(ctx, id)
	if err != nil {
		return resource.ID{}, err
	}
	if !exists {
		_, err := call.Manager.Do(ctx, call, who, "PUT", id.String(), map[string]any{
			"location": r.Location, "sku": map[string]any{"name": "Basic"}, "properties": map[string]any{"adminUserEnabled": true},
			"tags": map[string]any{provisionedFor: workspace.String()},
		})
		if err != nil {
			return resource.ID{}, err
		}
	}
	_, err = call.Manager.Do(ctx, call, who, "PATCH", workspace.String(), map[string]any{"properties": map[string]any{"containerRegistry": id.String()}})
	if err == nil {
		return id, nil
	}
	if now, again := workspaceOf(ctx, call, workspace); again == nil && now.Properties.ContainerRegistry != "" {
		return resource.ParseID(now.Properties.ContainerRegistry) // somebody else was faster
	}
	return resource.ID{}, err
}

// registryMaker is the one who makes a workspace's registry: the caller, else the workspace's identity, whichever may write
// both the registry and the workspace.
func registryMaker(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace], registry resource.ID) (identity.Principal, error) {
	may := func(who identity.Principal) bool {
		return call.Manager.Guard.Allowed(guard.Request{Who: who, Action: string(registryType) + "/write", Scopes: []resource.ID{registry}}) &&
			call.Manager.Guard.Allowed(guard.Request{Who: who, Action: string(workspaceType) + "/write", Scopes: []resource.ID{r.ID}})
	}
	if may(call.Who) {
		return call.Who, nil
	}
	principal, err := principalOf(ctx, call, r)
	if err != nil {
		return identity.Principal{}, err
	}
	if own, known := call.Manager.Identities.Lookup(principal); known && may(own) {
		return own, nil
	}
	return call.Who, nil // is refused by the door, which says what is missing
}

// workspaceOf reads a stored workspace. NotFound when there is none.
func workspaceOf(ctx context.Context, call *arm.Call, id resource.ID) (*arm.Resource[Workspace], error) {
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	if err != nil {
		return nil, err
	}
	r := &arm.Resource[Workspace]{}
	return r, json.Unmarshal(doc.Body, r)
}
