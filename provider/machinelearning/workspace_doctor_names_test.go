package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
)

func TestDoctorOnImagesThatNobodyPulls(t *testing.T) {
	w, _, _, _ := buildWorld(t)
	w.environment("1", object{"image": "private.example:5000/base/train:1"})
	w.none("ImageNobodyPulls") // there is no compute yet
	w.must("PUT", ws+"/computes/cpu", clusterBody(nil, nil))
	w.one("ComputeWithoutIdentity", "warning", ws+"/computes/cpu", "train:1")
	cpu := w.must("PATCH", ws+"/computes/cpu", object{"properties": object{}, "identity": system()}).text("identity.principalId")
	w.none("ComputeWithoutIdentity")
	f := w.one("ImageNobodyPulls", "error", ws+"/environments/train/versions/1", "as it is", cpu, registries+"private")
	w.grantAsSaid(f)
	w.none("ImageNobodyPulls")
}

func TestDoctorOnBuildsThatNobodyMayDo(t *testing.T) {
	w, principal, puller, client := buildWorld(t)
	w.environment("1", object{"image": "private.example:5000/base/train:1", "condaFile": conda})
	f := w.one("BaseImageNobodyPulls", "error", ws+"/environments/train/versions/1", principal, "no connection names an identity")
	if strings.Contains(f.text("why"), "Only") {
		t.Errorf("no compute may pull it: %v", f.Body)
	}
	cpu := w.must("PUT", ws+"/computes/cpu", clusterBody(system(), nil)).text("identity.principalId")
	w.grant(cpu, access.RoleAcrPull, registries+"private")
	w.one("BaseImageNobodyPulls", "error", ws+"/environments/train/versions/1", "Only the compute cpu may pull it", "as it is")
	connection := func(properties object) { w.must("PUT", ws+"/connections/base", object{"properties": properties}) }
	connection(object{"category": "ContainerRegistry", "authType": "UsernamePassword", "target": "private.example:5000", "credentials": object{"username": "a", "password": "b"}})
	w.none("BaseImageNobodyPulls")
	w.one("ConnectionWithPassword", "error", ws+"/environments/train/versions/1", "UsernamePassword", "no passwords")
	connection(object{"category": "ACR", "authType": "RegistryConnection", "target": "private.example:5000", "value": object{"ResourceId": puller, "ClientId": client}})
	w.none("ConnectionWithPassword")
	w.none("BaseImageNobodyPulls")
	w.must("DELETE", ws+"/connections/base", nil)
	w.grantAsSaid(w.one("BaseImageNobodyPulls", "error", ws+"/environments/train/versions/1"))
	w.none("BaseImageNobodyPulls")
}

func TestDoctorOnConnections(t *testing.T) {
	w := newWorld(t)
	principal := w.must("PUT", ws, object{}).text("identity.principalId")
	w.must("PUT", registries+"private", object{})
	puller, _ := w.identity("puller")
	clientOf := func() string { return w.must("GET", puller, nil).text("properties.clientId") }
	connect := func(target, client string) {
		w.must("PUT", ws+"/connections/private", object{"properties": object{"category": "ACR", "authType": "RegistryConnection", "target": target, "value": object{"ResourceId": puller, "ClientId": client}}})
	}
	connect("elsewhere.example", clientOf())
	w.one("ConnectionRegistryUnknown", "warning", ws+"/connections/private", "elsewhere.example", "--trust-registry")
	connect("private.example:5000", clientOf())
	w.none("ConnectionRegistryUnknown")
	w.grantAsSaid(w.one("OperatorRoleMissing", "error", puller, principal, `--role "Managed Identity Operator" --scope `+puller))
	w.none("OperatorRoleMissing")
	w.grantAsSaid(w.one("RegistryIdentityCannotPull", "error", ws+"/connections/private", `--role "AcrPull" --scope `+registries+"private"))
	if got := w.do("POST", ws+"/doctor", nil); got.count("value") != 1 { // there is no registry of its own yet
		t.Errorf("with all of it: %s", got.Raw)
	}
	// Deleted, and made anew: another principal under the same name.
	w.must("DELETE", puller, nil)
	f := w.one("ConnectionIdentityGone", "error", ws+"/connections/private", "does not exist", "alvara ml connection delete -n private --yes -w ws -g rg")
	if f.get("manual") != true {
		t.Errorf("a connection is deleted by itself: %v", f.Body)
	}
	w.none("OperatorRoleMissing")
	w.identity("puller")
	w.none("ConnectionIdentityGone")
	w.one("ConnectionClientDiffers", "error", ws+"/connections/private",
		`alvara ml connection create -n private --category ACR --auth-type RegistryConnection --target private.example:5000 --value '{"ResourceId":"`+puller+`","ClientId":"`+clientOf()+`"}' -w ws -g rg`)
	connect("private.example:5000", clientOf())
	w.none("ConnectionClientDiffers")
	w.one("OperatorRoleMissing", "error", puller) // the grants went with the old one
}

func TestDoctorOnRegistryIdentities(t *testing.T) {
	w, _, _, _ := buildWorld(t)
	chosen, _ := w.identity("chosen")
	w.environment("1", object{"image": "private.example:5000/base/train:1", "condaFile": conda, "registryIdentity": object{"resourceId": chosen, "clientId": w.must("GET", chosen, nil).text("properties.clientId")}})
	w.none("BaseImageNobodyPulls")
	w.grantAsSaid(w.one("OperatorRoleMissing", "error", chosen, "The environment train:1 names"))
	w.none("OperatorRoleMissing")
	w.grantAsSaid(w.one("RegistryIdentityCannotPull", "error", ws+"/environments/train/versions/1", "The environment train:1 names"))
	w.none("RegistryIdentityCannotPull")
	w.must("DELETE", chosen, nil)
	w.one("EnvironmentIdentityGone", "error", ws+"/environments/train/versions/1", "does not exist", "alvara ml environment archive -n train -v 1 -w ws -g rg")
	w.identity("chosen")
	w.one("EnvironmentIdentityGone", "error", ws+"/environments/train/versions/1", "made anew")
	w.must("PATCH", ws+"/environments/train/versions/1", object{"properties": object{"isArchived": true}})
	w.none("EnvironmentIdentityGone")
}

func TestDoctorOnRolesOfTheWorkspace(t *testing.T) {
	w := newWorld(t)
	got := w.must("PUT", ws, object{})
	principal, vault := got.text("identity.principalId"), got.text("properties.keyVault")
	w.none("RoleMissing")
	for id := range assignmentsAt(w, vault) {
		w.must("DELETE", id, nil)
	}
	all := w.found(w.owner, "RoleMissing")
	if len(all) != 2 || all[0].text("what") != vault || !strings.Contains(all[0].text("message"), principal) {
		t.Fatalf("%d roles are missing: %v", len(all), all)
	}
	w.grant(principal, access.RoleContributor, vault)
	w.grant(principal, roleKeyVaultAdministrator, vault)
	w.none("RoleMissing")

	w.must("PUT", registries+"byo", object{})
	id, primary := w.identity("primary")
	for _, scope := range []string{group, got.text("properties.storageAccount"), vault} {
		w.grant(primary, access.RoleContributor, scope)
	}
	w.grant(primary, access.RoleStorageBlobDataContributor, got.text("properties.storageAccount"))
	administrator := w.grant(primary, roleKeyVaultAdministrator, vault)
	w.must("PATCH", ws, object{"identity": users("SystemAssigned,UserAssigned", id), "properties": object{"primaryUserAssignedIdentity": id, "containerRegistry": registries + "byo"}})
	w.none("RoleMissing")
	w.must("DELETE", administrator, nil)
	w.one("RoleMissing", "error", vault, primary, "The identity '"+id+"' (principal "+primary+"), as which the workspace works,", "Key Vault Administrator")
}

func assignmentsAt(w *world, scope string) map[string]bool {
	out := map[string]bool{}
	list, _ := w.must("GET", scope+strings.TrimSuffix(assignments, "/")+"?$filter=atScope()", nil).get("value").([]any)
	for _, item := range list {
		if one := (answer{Body: item.(object)}); strings.EqualFold(one.text("properties.scope"), scope) {
			out[one.text("id")] = true
		}
	}
	return out
}

func TestDoctorOnStorage(t *testing.T) {
	w := newWorld(t)
	account := w.must("PUT", ws, object{}).text("properties.storageAccount")
	name := account[strings.LastIndex(account, "/")+1:]
	w.must("PATCH", account, object{"properties": object{"allowSharedKeyAccess": true}})
	w.one("SharedKeysEnabled", "warning", account, "alvara storage account update -n "+name+" -g rg --allow-shared-key-access false")
	w.must("PATCH", account, object{"properties": object{"allowSharedKeyAccess": false}})
	w.none("SharedKeysEnabled")

	lake := group + "/providers/Microsoft.Storage/storageAccounts/lake"
	w.must("PUT", ws+"/datastores/lake", object{"properties": object{"datastoreType": "AzureBlob", "accountName": "lake", "containerName": "raw"}})
	w.one("DatastoreStorageMissing", "error", ws+"/datastores/lake", "alvara storage account create -n lake -g rg\nalvara storage container create -n raw --account-name lake")
	w.must("PUT", lake, object{"properties": object{"allowSharedKeyAccess": true}})
	w.one("SharedKeysEnabled", "warning", lake)
	w.one("DatastoreStorageMissing", "error", ws+"/datastores/lake", "The container raw")
	w.must("PUT", lake+"/blobServices/default/containers/raw", object{})
	w.none("DatastoreStorageMissing")
}

func TestDoctorOnFeatureStores(t *testing.T) {
	w := newWorld(t)
	got := w.must("PUT", ws, object{"kind": "FeatureStore", "properties": object{}})
	principal, container := got.text("properties.materializationIdentity.principalId"), got.text("properties.offlineStore.target")
	if findings := w.do("POST", ws+"/doctor", nil); findings.count("value") != 0 {
		t.Fatalf("a new store: %s", findings.Raw)
	}
	for id := range assignmentsAt(w, container) {
		w.must("DELETE", id, nil)
	}
	f := w.one("RoleMissing", "error", container, "The materialization identity (principal "+principal+")", "Storage Blob Data Contributor")
	w.grantAsSaid(f)
	w.none("RoleMissing")
}

// What the workspace works with and as is gone, which nobody can bring about through the resource manager; the doctor still looks
// at the rest.
func TestDoctorOnWhatIsGone(t *testing.T) {
	w := newWorld(t)
	got := w.must("PUT", ws, object{})
	vault, account, principal := got.text("properties.keyVault"), got.text("properties.storageAccount"), got.text("identity.principalId")
	w.unstored(vault)
	f := w.one("ResourceNotFound", "error", vault, "The key vault")
	if len(f.cures()) != 0 {
		t.Errorf("a vault cannot be made again by a command: %v", f.Body)
	}
	w.none("RoleMissing")
	w.unstored(account)
	found := w.found(w.owner, "ResourceNotFound")
	if len(found) != 2 || found[0].get("manual") != true || !strings.HasPrefix(found[0].cures()[0], "alvara storage account create -n ") {
		t.Errorf("the account too: %v", found)
	}
	if _, err := w.store.Apply(t.Context(), w.directory.RemoveOps(principal)...); err != nil {
		t.Fatal(err)
	}
	w.one("IdentityNotFound", "error", ws)
}
