package machinelearning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// The types that a store is made of.
const (
	storageAccountType resource.Type = "Microsoft.Storage/storageAccounts"
	containerType                    = storageAccountType + "/blobServices/containers"
	vaultType          resource.Type = "Microsoft.KeyVault/vaults"
	insightsType       resource.Type = "Microsoft.Insights/components"
	logAnalyticsType   resource.Type = "Microsoft.OperationalInsights/workspaces"
	registryType       resource.Type = "Microsoft.ContainerRegistry/registries"
	assignmentType     resource.Type = "Microsoft.Authorization/roleAssignments"
)

// dependents names what a store needs and does not have yet, by ids that follow from the store's own.
type dependents struct {
	storage, container, vault, insights, logs, registry, identity resource.ID
	newStorage, newContainer, newVault, newInsights, newRegistry  bool
	newIdentity                                                   bool
}

func complete(p Workspace) bool {
	return p.StorageAccount != "" && p.KeyVault != "" && p.ApplicationInsights != "" && p.ContainerRegistry != "" &&
		p.OfflineStore != nil && p.OfflineStore.Target != "" && p.MaterializationIdentity != nil && p.MaterializationIdentity.PrincipalID != ""
}

// plan works out what must be provisioned for a store.
func plan(r *arm.Resource[Workspace]) dependents {
	d, p := associated(r), r.Properties
	target := ""
	if p.OfflineStore != nil {
		target = p.OfflineStore.Target
	}
	d.container, d.newContainer = given(target, d.storage.Child("blobServices/default/containers", "offlinestore"))
	if target != "" && p.StorageAccount == "" { // the container brings its account along
		d.storage, d.newStorage = d.container.Parent().Parent(), false
	}
	tail, short := tailAndShort(r.ID)
	d.identity, d.newIdentity = given(materializationIdentityOf(r), r.ID.GroupID().Child(string(arm.UserAssignedIdentities), "materialization-"+short+"-"+tail))
	return d
}

// associated names the resources that every workspace works with, by ids that follow from its own.
func associated(r *arm.Resource[Workspace]) dependents {
	tail, short := tailAndShort(r.ID)
	group, p := r.ID.GroupID(), r.Properties
	d := dependents{logs: group.Child(string(logAnalyticsType), short+"logs"+tail)}
	d.storage, d.newStorage = given(p.StorageAccount, group.Child(string(storageAccountType), short+tail))
	d.vault, d.newVault = given(p.KeyVault, group.Child(string(vaultType), short+"kv"+tail))
	d.insights, d.newInsights = given(p.ApplicationInsights, group.Child(string(insightsType), short+"insights"+tail))
	d.registry, d.newRegistry = given(p.ContainerRegistry, group.Child(string(registryType), short+"cr"+tail))
	return d
}

// tailAndShort give what the names of a workspace's resources are made of: a part of its hash, and the beginning of its name.
func tailAndShort(id resource.ID) (tail, short string) {
	sum := sha256.Sum256([]byte(id.Key()))
	tail = hex.EncodeToString(sum[:])[:10]
	short = strings.ToLower(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, id.Name()))
	short = short[:min(len(short), 12)]
	if short == "" || short[0] < 'a' {
		short = "fs" + short[:min(len(short), 10)]
	}
	return tail, short
}

func given(text string, otherwise resource.ID) (resource.ID, bool) {
	if id, err := resource.ParseID(text); err == nil && text != "" {
		return id, false
	}
	return otherwise, true
}

// materializationIdentityOf is the identity that the request brings along: the one that it names, or the only
// user-assigned one that the store carries.
func materializationIdentityOf(r *arm.Resource[Workspace]) string {
	if m := r.Properties.MaterializationIdentity; m != nil && m.ResourceID != "" {
		return m.ResourceID
	}
	if r.Identity != nil && len(r.Identity.UserAssigned) == 1 {
		for text := range r.Identity.UserAssigned {
			return text
		}
	}
	return ""
}

// linkedOfStore: whoever creates a store needs the right to write each thing that is provisioned for it (FS-04), to
// assign the identity that it brings along, and to assign roles on the store (FS-03).
func linkedOfStore(change *arm.Change[Workspace]) ([]arm.Requirement, error) {
	sketch := *change.Next
	if change.Prev != nil {
		keep(&sketch.Properties, change.Prev.Properties)
		if sketch.Identity == nil {
			sketch.Identity = change.Prev.Identity
		}
		if !storeChanged(sketch.Properties, change.Prev.Properties) && complete(sketch.Properties) {
			return nil, nil
		}
	}
	d := plan(&sketch)
	out := []arm.Requirement{{Action: string(assignmentType) + "/write", Scope: change.Next.ID}}
	need := func(new bool, t resource.Type, id resource.ID) {
		if new {
			out = append(out, arm.Requirement{Action: string(t) + "/write", Scope: id})
		}
	}
	need(d.newStorage, storageAccountType, d.storage)
	need(d.newContainer, containerType, d.container)
	need(d.newInsights, insightsType, d.insights)
	need(d.newVault, vaultType, d.vault)
	need(d.newRegistry, registryType, d.registry)
	need(d.newInsights, logAnalyticsType, d.logs)
	need(d.newIdentity, arm.UserAssignedIdentities, d.identity)
	if !d.newIdentity {
		out = append(out, arm.Requirement{Action: arm.AssignAction, Scope: d.identity})
	}
	return out, nil
}

// provisionStore makes what the store needs, as the caller and through the resource manager's own door. It may run again.
func provisionStore(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) ([]store.Op, error) {
	p, needs := &r.Properties, plan(r)
	if err := provisionAssociated(ctx, call, r, needs, true); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		wanted bool
		id     resource.ID
		body   map[string]any
	}{
		{needs.newContainer, needs.container, map[string]any{}},
		{needs.newRegistry, needs.registry, map[string]any{"location": r.Location, "sku": map[string]any{"name": "Basic"}, "properties": map[string]any{"adminUserEnabled": false}}},
		{needs.newIdentity, needs.identity, map[string]any{"location": r.Location}},
	} {
		if err := provisionFor(ctx, call, r, step.wanted, step.id, step.body); err != nil {
			return nil, err
		}
	}
	who, err := call.Manager.UserAssigned(ctx, needs.identity)
	if err != nil {
		return nil, err
	}
	p.StorageAccount, p.KeyVault, p.ApplicationInsights = needs.storage.String(), needs.vault.String(), needs.insights.String()
	p.ContainerRegistry = needs.registry.String()
	p.OfflineStore = &StoreTarget{Type: "azure_data_lake_gen2", Target: needs.container.String()}
	if p.OnlineStore == nil {
		p.OnlineStore = &StoreTarget{Type: "pebble"}
	}
	p.MaterializationIdentity = &MaterializationIdentity{ResourceID: needs.identity.String(), ClientID: who.ClientID, PrincipalID: who.PrincipalID}
	carry(r, needs.identity, who)
	if p.WorkspaceID == "" {
		p.WorkspaceID = newWorkspaceID()
	}
	p.FeatureStoreSettings.OfflineStoreConnectionName = "OfflineStoreConnection"
	if p.MissingGrants, err = giveRoles(ctx, call, who.PrincipalID, []grant{{dataScientist, r.ID}, {blobContributor, needs.container}}); err != nil {
		return nil, err
	}
	return storeChildren(r, needs)
}

// provisionAssociated makes the storage account, the component for insights and the vault that a workspace brings none of.
func provisionAssociated(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace], needs dependents, hierarchical bool) error {
	for _, step := range []struct {
		wanted bool
		id     resource.ID
		body   map[string]any
	}{
		{needs.newStorage, needs.storage, map[string]any{"location": r.Location, "kind": "StorageV2", "sku": map[string]any{"name": "Standard_LRS"}, "properties": map[string]any{"isHnsEnabled": hierarchical}}},
		{needs.newInsights, needs.logs, map[string]any{"location": r.Location, "properties": map[string]any{}}},
		{needs.newInsights, needs.insights, map[string]any{"location": r.Location, "kind": "web", "properties": map[string]any{"Application_Type": "web", "WorkspaceResourceId": needs.logs.String()}}},
		{needs.newVault, needs.vault, map[string]any{"location": r.Location, "properties": map[string]any{"tenantId": call.Manager.Tenant, "sku": map[string]any{"family": "A", "name": "standard"}, "enableRbacAuthorization": true}}},
	} {
		if err := provisionFor(ctx, call, r, step.wanted, step.id, step.body); err != nil {
			return err
		}
	}
	return nil
}

// provisionedFor is the tag of what was provisioned for a workspace, whose id is its value: by that it is known from what was
// brought along.
const provisionedFor = "provisionedFor"

// provisionFor makes something for a workspace, and marks what can be marked.
func provisionFor(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace], wanted bool, id resource.ID, body map[string]any) error {
	if !id.Type().Is(containerType) {
		body["tags"] = map[string]any{provisionedFor: r.ID.String()}
	}
	return provisionOne(ctx, call, wanted, id, body)
}

func provisionOne(ctx context.Context, call *arm.Call, wanted bool, id resource.ID, body map[string]any) error {
	if !wanted {
		return nil
	}
	_, err := call.Manager.Do(ctx, call, call.Who, "PUT", id.String(), body)
	return err
}

// carry puts the materialization identity among the store's own identities, where clients look for it.
func carry(r *arm.Resource[Workspace], id resource.ID, who arm.UserAssignedEntry) {
	if r.Identity.Has(id) {
		return
	}
	kind := "UserAssigned"
	if r.Identity.HasSystem() {
		kind = "SystemAssigned,UserAssigned"
	}
	if r.Identity == nil {
		r.Identity = &arm.Identity{}
	}
	if r.Identity.UserAssigned == nil {
		r.Identity.UserAssigned = map[string]*arm.UserAssignedEntry{}
	}
	r.Identity.Type, r.Identity.UserAssigned[id.String()] = kind, &who
}

// storeChildren makes the store's default datastore and the connection that clients read its offline store from. They
// are parts of the store, written with it.
func storeChildren(r *arm.Resource[Workspace], needs dependents) ([]store.Op, error) {
	datastore, err := arm.Document(&arm.Resource[Datastore]{
		ID: r.ID.Child("datastores", "offlinestore"), Name: "offlinestore", Type: datastoreType, SystemData: r.SystemData,
		Properties: Datastore{
			DatastoreType: "AzureBlob", AccountName: needs.storage.Name(), ContainerName: needs.container.Name(), Protocol: "https",
			Description: "The offline store", Credentials: map[string]any{"credentialsType": "None"}, IsDefault: true,
			SubscriptionID: needs.container.Subscription(), ResourceGroup: needs.container.ResourceGroup(), ServiceDataAccessAuthIdentity: "None",
		},
	})
	if err != nil {
		return nil, err
	}
	m := r.Properties.MaterializationIdentity
	connection, err := arm.Document(&arm.Resource[Connection]{
		ID: r.ID.Child("connections", "OfflineStoreConnection"), Name: "OfflineStoreConnection", Type: connectionType, SystemData: r.SystemData,
		Properties: Connection{
			Category: "ADLSGen2", AuthType: "ManagedIdentity", Target: needs.container.String(),
			Credentials: map[string]any{"clientId": m.ClientID, "resourceId": m.ResourceID},
		},
	})
	return []store.Op{datastore, connection}, err
}
