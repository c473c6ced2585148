package machinelearning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"

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

// The roles that the materialization identity holds (FS-08).
const (
	dataScientist   = "f6c7c914-8db3-469d-8ca1-694a8f32e121" // AzureML Data Scientist
	blobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe" // Storage Blob Data Contributor
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
	sum := sha256.Sum256([]byte(r.ID.Key()))
	tail := hex.EncodeToString(sum[:])[:10]
	short := strings.ToLower(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, r.ID.Name()))
	short = short[:min(len(short), 12)]
	if short == "" || short[0] < 'a' {
		short = "fs" + short[:min(len(short), 10)]
	}
	group, p := r.ID.GroupID(), r.Properties
	d := dependents{logs: group.Child(string(logAnalyticsType), short+"logs"+tail)}
	d.storage, d.newStorage = given(p.StorageAccount, group.Child(string(storageAccountType), short+tail))
	d.vault, d.newVault = given(p.KeyVault, group.Child(string(vaultType), short+"kv"+tail))
	d.insights, d.newInsights = given(p.ApplicationInsights, group.Child(string(insightsType), short+"insights"+tail))
	d.registry, d.newRegistry = given(p.ContainerRegistry, group.Child(string(registryType), short+"cr"+tail))
	target := ""
	if p.OfflineStore != nil {
		target = p.OfflineStore.Target
	}
	d.container, d.newContainer = given(target, d.storage.Child("blobServices/default/containers", "offlinestore"))
	if target != "" && p.StorageAccount == "" { // the container brings its account along
		d.storage, d.newStorage = d.container.Parent().Parent(), false
	}
	d.identity, d.newIdentity = given(materializationIdentityOf(r), group.Child(string(arm.UserAssignedIdentities), "materialization-"+short+"-"+tail))
	return d
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
func linkedOfStore(_ context.Context, change *arm.Change[Workspace]) ([]arm.Requirement, error) {
	if !strings.EqualFold(change.Next.Kind, FeatureStoreKind) && (change.Prev == nil || !strings.EqualFold(change.Prev.Kind, FeatureStoreKind)) {
		return nil, nil
	}
	sketch := *change.Next
	if change.Prev != nil {
		keepStore(&sketch.Properties, change.Prev.Properties)
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

// provision makes what the store needs, as the caller and through the resource manager's own door. It may run again.
func (d Deps) provision(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) ([]store.Op, error) {
	p, needs := &r.Properties, plan(r)
	base := map[string]any{"location": r.Location, "properties": map[string]any{}}
	make := func(new bool, id resource.ID, body map[string]any) error {
		if !new {
			return nil
		}
		_, err := call.Manager.Do(ctx, call, call.Who, "PUT", id.String(), body)
		return err
	}
	steps := []func() error{
		func() error {
			return make(needs.newStorage, needs.storage, map[string]any{"location": r.Location, "kind": "StorageV2", "sku": map[string]any{"name": "Standard_LRS"}, "properties": map[string]any{"isHnsEnabled": true}})
		},
		func() error { return make(needs.newContainer, needs.container, map[string]any{}) },
		func() error { return make(needs.newInsights, needs.logs, base) },
		func() error {
			return make(needs.newInsights, needs.insights, map[string]any{"location": r.Location, "kind": "web", "properties": map[string]any{"Application_Type": "web", "WorkspaceResourceId": needs.logs.String()}})
		},
		func() error {
			return make(needs.newVault, needs.vault, map[string]any{"location": r.Location, "properties": map[string]any{"tenantId": call.Manager.Tenant, "sku": map[string]any{"family": "A", "name": "standard"}, "enableRbacAuthorization": true}})
		},
		func() error {
			return make(needs.newRegistry, needs.registry, map[string]any{"location": r.Location, "sku": map[string]any{"name": "Basic"}, "properties": map[string]any{"adminUserEnabled": false}})
		},
		func() error { return make(needs.newIdentity, needs.identity, map[string]any{"location": r.Location}) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
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
	if p.MissingGrants, err = grantRoles(ctx, call, r.ID, needs, who.PrincipalID); err != nil {
		return nil, err
	}
	return storeChildren(r, needs)
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

// grantRoles gives the materialization identity its roles. Where the creator may not assign one, the store says what is
// missing; a job then fails with that reason until somebody grants it (FS-08).
func grantRoles(ctx context.Context, call *arm.Call, id resource.ID, needs dependents, principal string) ([]string, error) {
	var missing []string
	for _, grant := range []struct {
		role, name string
		scope      resource.ID
	}{{dataScientist, "AzureML Data Scientist", id}, {blobContributor, "Storage Blob Data Contributor", needs.container}} {
		name := uuid.NewSHA1(uuid.NameSpaceURL, []byte(grant.scope.Key()+"|"+grant.role+"|"+principal)).String()
		_, err := call.Manager.Do(ctx, call, call.Who, "PUT", grant.scope.Extension(string(assignmentType), name).String(), map[string]any{
			"properties": map[string]any{"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + grant.role, "principalId": principal, "principalType": "ServicePrincipal"},
		})
		if e, ok := resource.AsError(err); ok && e.Code == "RoleAssignmentExists" {
			continue
		}
		if resource.KindOf(err) == resource.Forbidden {
			missing = append(missing, fmt.Sprintf("%s on %s", grant.name, grant.scope))
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return missing, nil
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
