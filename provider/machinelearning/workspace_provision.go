package machinelearning

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// linkedOfWorkspace: whoever creates a workspace needs the right to write each thing that is provisioned for it. Roles
// are granted with the creator's rights too; a creator without them still gets the workspace, which says what is missing.
func linkedOfWorkspace(change *arm.Change[Workspace]) ([]arm.Requirement, error) {
	sketch := *change.Next
	if change.Prev != nil {
		keep(&sketch.Properties, change.Prev.Properties)
		if workspaceComplete(sketch.Properties) {
			return nil, nil
		}
	}
	if sketch.Properties.PrimaryUserAssignedIdentity != "" || (sketch.Identity != nil && !sketch.Identity.HasSystem()) {
		return nil, nil // everything is brought along, or the request is refused
	}
	d := associated(&sketch)
	out := []arm.Requirement{{Action: string(containerType) + "/write", Scope: d.storage}}
	for _, need := range []struct {
		new bool
		t   resource.Type
		id  resource.ID
	}{
		{d.newStorage, storageAccountType, d.storage}, {d.newInsights, insightsType, d.insights},
		{d.newInsights, logAnalyticsType, d.logs}, {d.newVault, vaultType, d.vault},
	} {
		if need.new {
			out = append(out, arm.Requirement{Action: string(need.t) + "/write", Scope: need.id})
		}
	}
	return out, nil
}

// provisionWorkspace makes what the workspace needs, as the caller and through the resource manager's own door. It may run
// again. There is no registry among it: ensureRegistry makes that (MI-03).
func provisionWorkspace(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) ([]store.Op, error) {
	p, needs := &r.Properties, associated(r)
	if err := provisionAssociated(ctx, call, r, needs, false); err != nil {
		return nil, err
	}
	p.StorageAccount, p.KeyVault, p.ApplicationInsights = needs.storage.String(), needs.vault.String(), needs.insights.String()
	who, err := principalOf(ctx, call, r)
	if err != nil {
		return nil, err
	}
	grants, err := grantsOfWorkspace(ctx, call, r)
	if err != nil {
		return nil, err
	}
	var wanted []grant
	for _, g := range grants {
		if !g.heldBy(call, who) {
			wanted = append(wanted, g)
		}
	}
	if p.MissingGrants, err = giveRoles(ctx, call, who, wanted); err != nil {
		return nil, err
	}
	return workspaceDatastores(ctx, call, r, needs)
}

// grantsOfWorkspace are the roles that the identity of a workspace works with.
func grantsOfWorkspace(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) ([]grant, error) {
	out := []grant{{contributor, r.ID}}
	p := r.Properties
	for _, text := range []string{p.StorageAccount, p.KeyVault, p.ApplicationInsights, p.ContainerRegistry} {
		if text == "" {
			continue
		}
		id, err := resource.ParseID(text)
		if err != nil {
			return nil, err
		}
		some, err := grantsOn(ctx, call, id)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// workspaceDatastores makes the datastores that every workspace begins with, each with its container, unless they are
// there.
func workspaceDatastores(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace], needs dependents) ([]store.Op, error) {
	var ops []store.Op
	for _, d := range []struct {
		name, container, description string
		isDefault                    bool
	}{
		{"workspaceblobstore", "azureml-blobstore-" + r.Properties.WorkspaceID, "Data and code of the workspace", true},
		{"workspaceartifactstore", "azureml", "What jobs leave behind", false},
	} {
		id := r.ID.Child("datastores", d.name)
		exists, err := call.Manager.Exists(ctx, id)
		if err != nil {
			return nil, err
		}
		if exists {
			continue
		}
		container := needs.storage.Child("blobServices/default/containers", d.container)
		if exists, err = call.Manager.Exists(ctx, container); err != nil {
			return nil, err
		}
		if err := provisionOne(ctx, call, !exists, container, map[string]any{}); err != nil {
			return nil, err
		}
		op, err := arm.Document(&arm.Resource[Datastore]{
			ID: id, Name: d.name, Type: datastoreType, SystemData: r.SystemData,
			Properties: Datastore{
				DatastoreType: "AzureBlob", AccountName: needs.storage.Name(), ContainerName: d.container, Protocol: "https", Description: d.description,
				Credentials: map[string]any{"credentialsType": "None"}, IsDefault: d.isDefault,
				SubscriptionID: needs.storage.Subscription(), ResourceGroup: needs.storage.ResourceGroup(), ServiceDataAccessAuthIdentity: "None",
			},
		})
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}
