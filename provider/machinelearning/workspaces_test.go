package machinelearning_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
)

// MI-03: a workspace is created with all that it needs but a registry, and its identity with its roles.
func TestWorkspaceIsProvisioned(t *testing.T) {
	w := newWorld(t)
	got := w.do("PUT", ws, object{"properties": object{"friendlyName": "Trains", "hbiWorkspace": true, "v1LegacyMode": true, "systemDatastoresAuthMode": "accesskey"}})
	if got.Status != 200 || got.text("properties.provisioningState") != "Succeeded" || got.text("kind") != "Default" || got.text("location") != "local" {
		t.Fatalf("create: %d %s", got.Status, got.Raw)
	}
	if got.get("properties.containerRegistry") != nil || got.get("properties.missingGrants") != nil || got.text("properties.systemDatastoresAuthMode") != "Identity" ||
		got.get("properties.v1LegacyMode") != true || got.text("properties.discoveryUrl") == "" || got.get("properties.featureStoreSettings") != nil {
		t.Errorf("the workspace: %s", got.Raw)
	}
	principal := got.text("identity.principalId")
	for field, roles := range map[string][]string{
		"id":                        {access.RoleContributor},
		"properties.storageAccount": {access.RoleContributor, access.RoleStorageBlobDataContributor},
		"properties.keyVault":       {access.RoleContributor, roleKeyVaultAdministrator}, "properties.applicationInsights": {access.RoleContributor},
	} {
		held := w.roles(principal, w.must("GET", got.text(field), nil).text("id"))
		for _, role := range roles {
			if !held[role] {
				t.Errorf("on %s the identity holds %v; want %s", field, held, role)
			}
		}
		if len(held) != len(roles) {
			t.Errorf("on %s the identity holds %v", field, held)
		}
	}
	store := w.must("GET", ws+"/datastores/workspaceblobstore", nil)
	container := got.text("properties.storageAccount") + "/blobServices/default/containers/" + store.text("properties.containerName")
	if store.get("properties.isDefault") != true || w.do("GET", container, nil).Status != 200 || !strings.HasSuffix(container, got.text("properties.workspaceId")) {
		t.Errorf("the default datastore: %s", store.Raw)
	}
	again := w.must("PUT", ws, object{"properties": object{"hbiWorkspace": true, "description": "more"}})
	if again.text("properties.workspaceId") != got.text("properties.workspaceId") || again.text("identity.principalId") != principal || again.text("properties.storageAccount") != got.text("properties.storageAccount") {
		t.Errorf("a second PUT makes another workspace: %s", again.Raw)
	}
	if list := w.must("GET", group+"/providers/Microsoft.MachineLearningServices/workspaces", nil); list.count("value") != 1 {
		t.Errorf("the list: %s", list.Raw)
	}
	w.must("DELETE", ws, nil)
	if _, known := w.directory.Lookup(principal); known || w.do("GET", ws, nil).Status != 404 {
		t.Error("the workspace is deleted and its identity is there")
	}
	if w.do("GET", got.text("properties.storageAccount"), nil).Status != 200 {
		t.Error("the storage account went with the workspace")
	}
}

// MI-01: what is brought along is used, an existing registry with its admin user off too, and cannot be deleted meanwhile.
func TestWorkspaceWithABroughtRegistry(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", registries+"byo", object{"properties": object{"adminUserEnabled": false}})
	got := w.must("PUT", ws, object{"properties": object{"containerRegistry": strings.ToUpper(registries) + "byo"}})
	if !strings.EqualFold(got.text("properties.containerRegistry"), registries+"byo") {
		t.Errorf("the workspace: %s", got.Raw)
	}
	if held := w.roles(got.text("identity.principalId"), registries+"byo"); !held[access.RoleContributor] {
		t.Errorf("on the registry the identity holds %v", held)
	}
	refused(t, "delete it", w.do("DELETE", registries+"byo", nil), 409, "ResourceInUse", "workspaces/ws")
	if registry := w.must("GET", registries+"byo", nil); registry.get("properties.adminUserEnabled") != false {
		t.Errorf("the registry: %s", registry.Raw)
	}
	refused(t, "one that is not there", w.do("PUT", workspaces+"other", object{"properties": object{"containerRegistry": registries + "none"}}), 400, "LinkedResourceNotFound", "properties.containerRegistry")
}

// Everything is provisioned with the creator's rights: what is missing is named in one refusal. Roles that the creator
// cannot give are named by the workspace, until somebody who can writes it.
func TestWorkspaceNeedsItsCreatorsRights(t *testing.T) {
	w := newWorld(t)
	who := w.person("creator")
	writer := w.role("Writer of workspaces", "Microsoft.MachineLearningServices/workspaces/*")
	w.grant(who, writer, group)
	refused(t, "no rights to provision", w.as(who, "PUT", ws, object{}), 403, "LinkedAuthorizationFailed",
		"Microsoft.Storage/storageAccounts/write", "Microsoft.Storage/storageAccounts/blobServices/containers/write", "Microsoft.KeyVault/vaults/write",
		"Microsoft.Insights/components/write", "Microsoft.OperationalInsights/workspaces/write")
	if w.do("GET", ws, nil).Status != 404 {
		t.Error("the refusal leaves a workspace")
	}
	w.grant(who, access.RoleContributor, group)
	got := w.as(who, "PUT", ws, object{})
	if got.text("properties.provisioningState") != "Succeeded" || got.count("properties.missingGrants") != 6 || !strings.Contains(got.Raw, "Contributor on "+ws) {
		t.Fatalf("a contributor: %d %s", got.Status, got.Raw)
	}
	diagnosis := w.must("POST", ws+"/diagnose", object{})
	if diagnosis.count("value.storageAccountResults") != 2 || diagnosis.count("value.keyVaultResults") != 2 || !strings.Contains(diagnosis.Raw, "alvara role assignment create --assignee "+got.text("identity.principalId")) {
		t.Errorf("the diagnosis: %s", diagnosis.Raw)
	}
	if got := w.must("PATCH", ws, object{"tags": object{"a": "b"}}); got.get("properties.missingGrants") != nil {
		t.Errorf("after the owner's write: %s", got.Raw)
	}
	diagnosis = w.must("POST", ws+"/diagnose", object{})
	if diagnosis.count("value.storageAccountResults") != 0 || diagnosis.count("value.otherResults") != 0 || !strings.Contains(diagnosis.Raw, "RegistryNotCreated") {
		t.Errorf("the diagnosis after that: %s", diagnosis.Raw)
	}
	stranger := w.person("stranger")
	refused(t, "diagnose by a stranger", w.as(stranger, "POST", ws+"/diagnose", object{}), 403, "AuthorizationFailed", "workspaces/diagnose/read")
	refused(t, "resync by a stranger", w.as(stranger, "POST", ws+"/resyncKeys", nil), 403, "AuthorizationFailed", "workspaces/resynckeys/action")
	if got := w.as(who, "POST", ws+"/resyncKeys", nil); got.Status != 200 {
		t.Errorf("resync: %d %s", got.Status, got.Raw)
	}
	refused(t, "keys", w.do("POST", ws+"/listKeys", nil), 403, "KeyBasedAuthenticationNotPermitted", "identity")
}

// The rules for identities: a system-assigned one gets user-assigned ones beside it and none of both is ever taken away;
// an update that omits one of several user-assigned ones removes it.
func TestWorkspaceIdentityChanges(t *testing.T) {
	w := newWorld(t)
	one, _ := w.identity("one")
	two, _ := w.identity("two")
	refused(t, "no identity", w.do("PUT", ws, object{"identity": object{"type": "None"}}), 400, "InvalidIdentity", "identity.type")
	principal := w.must("PUT", ws, object{}).text("identity.principalId")
	patch := func(identity object) answer { return w.do("PATCH", ws, object{"identity": identity}) }
	refused(t, "user-assigned instead", patch(users("UserAssigned", one)), 400, "IdentityChangeNotSupported", "cannot be taken away")
	both := patch(users("SystemAssigned,UserAssigned", one, two))
	if both.Status != 200 || both.text("identity.principalId") != principal || len(both.get("identity.userAssignedIdentities").(object)) != 2 {
		t.Fatalf("both: %d %s", both.Status, both.Raw)
	}
	fewer := patch(users("SystemAssigned,UserAssigned", strings.ToUpper(two)))
	if held, _ := fewer.get("identity.userAssignedIdentities").(object); len(held) != 1 || held[two] == nil {
		t.Errorf("an update that omits one: %d %s", fewer.Status, fewer.Raw)
	}
	refused(t, "back to system-assigned alone", patch(object{"type": "SystemAssigned"}), 400, "IdentityChangeNotSupported", "cannot go back")
	refused(t, "a primary one that it does not carry", w.do("PATCH", ws, object{"properties": object{"primaryUserAssignedIdentity": one}}), 400, "InvalidIdentity", "identity.userAssignedIdentities")
	if got := w.must("PATCH", ws, object{"tags": object{"a": "b"}}); len(got.get("identity.userAssignedIdentities").(object)) != 1 {
		t.Errorf("an update that says nothing of identities: %s", got.Raw)
	}
	// MI-18
	who := w.person("writer")
	w.grant(who, access.RoleContributor, ws)
	body := object{"identity": users("SystemAssigned,UserAssigned", one, two)}
	refused(t, "somebody who may not assign it", w.as(who, "PATCH", ws, body), 403, "LinkedAuthorizationFailed", arm.AssignAction, one)
	w.grant(who, access.RoleManagedIdentityOperator, one)
	if got := w.as(who, "PATCH", ws, body); got.Status != 200 {
		t.Errorf("with Managed Identity Operator: %d %s", got.Status, got.Raw)
	}
}

// MI-15: with a primary user-assigned identity everything is brought along, and the identity holds its roles; one refusal
// lists all that is missing, each thing with its cure.
func TestPrimaryUserAssignedIdentity(t *testing.T) {
	w := newWorld(t)
	id, principal := w.identity("primary")
	body := func(properties object) object {
		properties["primaryUserAssignedIdentity"] = id
		return object{"identity": users("UserAssigned", id), "properties": properties}
	}
	refused(t, "nothing is brought", w.do("PUT", ws, body(object{})), 400, "PrimaryUserAssignedIdentityIncomplete",
		"properties.storageAccount is not given", "properties.keyVault is not given", "properties.applicationInsights is not given", "properties.containerRegistry is not given")
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	vault := group + "/providers/Microsoft.KeyVault/vaults/vault"
	component := group + "/providers/Microsoft.Insights/components/insights"
	w.must("PUT", account, object{})
	w.must("PUT", vault, object{"properties": object{"enableRbacAuthorization": true}})
	w.must("PUT", component, object{})
	w.must("PUT", registries+"byo", object{})
	brought := object{"storageAccount": account, "keyVault": vault, "applicationInsights": component, "containerRegistry": registries + "byo"}
	got := w.do("PUT", ws, body(brought))
	refused(t, "no roles", got, 400, "PrimaryUserAssignedIdentityIncomplete", "Contributor on "+account, "Storage Blob Data Contributor on "+account,
		"Contributor on "+vault, "Key Vault Administrator on "+vault, "Contributor on "+component, "Contributor on "+registries+"byo",
		"alvara role assignment create --assignee "+principal+` --role "Key Vault Administrator" --scope `+vault)
	if got.count("error.details") != 6 {
		t.Errorf("%d details: %s", got.count("error.details"), got.Raw)
	}
	for _, scope := range []string{account, vault, component, registries + "byo"} {
		w.grant(principal, access.RoleContributor, scope)
	}
	w.grant(principal, roleKeyVaultAdministrator, vault)
	if got = w.do("PUT", ws, body(brought)); got.count("error.details") != 1 {
		t.Errorf("one role is missing: %s", got.Raw)
	}
	if w.do("GET", ws, nil).Status != 404 {
		t.Error("the refusal leaves a workspace")
	}
	w.grant(principal, access.RoleStorageBlobDataContributor, account)
	got = w.do("PUT", ws, body(brought))
	if got.text("properties.provisioningState") != "Succeeded" || got.text("properties.primaryUserAssignedIdentity") != id || got.get("identity.principalId") != nil {
		t.Fatalf("with all of it: %d %s", got.Status, got.Raw)
	}
	if held := w.roles(principal, ws); !held[access.RoleContributor] {
		t.Errorf("on the workspace the identity holds %v", held)
	}
	refused(t, "delete the identity", w.do("DELETE", id, nil), 409, "ResourceInUse", "workspaces/ws")
	delete(brought, "primaryUserAssignedIdentity")
	if got := w.do("PUT", workspaces+"second", object{"identity": users("UserAssigned", id), "properties": brought}); got.text("properties.primaryUserAssignedIdentity") != id {
		t.Errorf("the only identity is the primary one: %d %s", got.Status, got.Raw)
	}
	// The right to assign the identity comes first: without it nothing is told of its roles.
	who := w.person("creator")
	w.grant(who, w.role("Writer of workspaces", "Microsoft.MachineLearningServices/workspaces/*"), group)
	refused(t, "somebody who may not assign it", w.as(who, "PUT", workspaces+"third", body(object{})), 403, "LinkedAuthorizationFailed", arm.AssignAction)
}

// What would be promised and not kept is refused by name; what stays as it was created is not changed.
func TestWorkspaceRefusals(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	w.must("PUT", account, object{})
	for _, c := range []struct {
		what, method, path string
		body               object
		code, want         string
	}{
		{"another kind", "PUT", workspaces + "hub", object{"kind": "Hub"}, "WorkspaceKindNotSupported", "Hub"},
		{"a change of kind", "PUT", ws, object{"kind": "FeatureStore"}, "WorkspaceKindImmutable", "FeatureStore"},
		{"another storage account", "PATCH", ws, object{"properties": object{"storageAccount": account}}, "WorkspacePropertyImmutable", "properties.storageAccount"},
		{"another impact", "PATCH", ws, object{"properties": object{"hbiWorkspace": true}}, "WorkspacePropertyImmutable", "properties.hbiWorkspace"},
		{"customer-managed keys", "PUT", workspaces + "new", object{"properties": object{"encryption": object{"status": "Enabled"}}}, "NotSupported", "properties.encryption"},
		{"a network", "PATCH", ws, object{"properties": object{"managedNetwork": object{"isolationMode": "AllowInternetOutbound"}}}, "NotSupported", "properties.managedNetwork"},
		{"no public access", "PATCH", ws, object{"properties": object{"publicNetworkAccess": "Disabled"}}, "NotSupported", "properties.publicNetworkAccess"},
		{"a compute for images", "PATCH", ws, object{"properties": object{"imageBuildCompute": "cpu"}}, "NotSupported", "properties.imageBuildCompute"},
		{"an unknown way to data", "PATCH", ws, object{"properties": object{"systemDatastoresAuthMode": "password"}}, "InvalidSystemDatastoresAuthMode", "password"},
		{"settings of a feature store", "PATCH", ws, object{"properties": object{"featureStoreSettings": object{}}}, "InvalidWorkspace", "featureStoreSettings"},
		{"several identities, none of them primary", "PUT", workspaces + "new", object{"identity": users("UserAssigned", identities+"one", identities+"two")}, "PrimaryUserAssignedIdentityRequired", "properties.primaryUserAssignedIdentity"},
	} {
		got := w.do(c.method, c.path, c.body)
		refused(t, c.what, got, got.Status, c.code, c.want)
		if got.Status != 400 && got.Status != 501 {
			t.Errorf("%s: %d", c.what, got.Status)
		}
	}
	// Clients say that there is no network and no key of their own.
	if got := w.do("PATCH", ws, object{"properties": object{"managedNetwork": object{"isolationMode": "Disabled"}, "encryption": object{"status": "Disabled"}}}); got.Status != 200 || got.get("properties.encryption") != nil {
		t.Errorf("nothing asked for: %d %s", got.Status, got.Raw)
	}
}

// MI-03: the first operation that needs a registry makes it, with its admin user enabled, once, however many need it.
func TestRegistryIsMadeByTheFirstThatNeedsIt(t *testing.T) {
	w := newWorld(t)
	made := w.must("PUT", ws, object{})
	ensure := func(who string) (resource.ID, error) {
		principal, _ := w.directory.Lookup(who)
		return machinelearning.EnsureRegistry(context.Background(), &arm.Call{Who: principal, Manager: w.manager}, resource.MustParseID(ws))
	}
	who := w.person("scientist")
	w.grant(who, access.RoleMLDataScientist, ws)
	_, err := ensure(who)
	if e, ok := resource.AsError(err); !ok || e.Kind != resource.Forbidden || !strings.Contains(e.Message, "Microsoft.ContainerRegistry/registries/write") {
		t.Fatalf("neither the caller nor the workspace may: %v", err)
	}
	// With the right for its group, the workspace's identity makes it for whoever needs it.
	w.grant(made.text("identity.principalId"), access.RoleContributor, group)
	var all sync.WaitGroup
	ids := make([]resource.ID, 6)
	for i := range ids {
		all.Add(1)
		go func() {
			defer all.Done()
			var err error
			if ids[i], err = ensure(who); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	got := w.must("GET", ws, nil)
	for _, id := range ids {
		if id.String() != got.text("properties.containerRegistry") {
			t.Errorf("%s was given and the workspace says %s", id, got.text("properties.containerRegistry"))
		}
	}
	if registry := w.must("GET", got.text("properties.containerRegistry"), nil); registry.get("properties.adminUserEnabled") != true {
		t.Errorf("the registry: %s", registry.Raw)
	}
	if diagnosis := w.must("POST", ws+"/diagnose", object{}); !strings.Contains(diagnosis.Raw, "AdminUserEnabled") {
		t.Errorf("the diagnosis: %s", diagnosis.Raw)
	}
	// Turning the admin user off is not undone by the next operation.
	w.must("PATCH", got.text("properties.containerRegistry"), object{"properties": object{"adminUserEnabled": false}})
	if _, err := ensure(w.owner); err != nil {
		t.Error(err)
	}
	if registry := w.must("GET", got.text("properties.containerRegistry"), nil); registry.get("properties.adminUserEnabled") != false {
		t.Errorf("the registry afterwards: %s", registry.Raw)
	}
}
