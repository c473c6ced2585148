package machinelearning_test

import (
	"context"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
)

// A deletion takes along what was provisioned for the workspace, the registry that was made later too, and nothing that was
// brought along; without the parameter it takes nothing along.
func TestDeletionTakesAlongWhatWasProvisioned(t *testing.T) {
	w := newWorld(t)
	vault := group + "/providers/Microsoft.KeyVault/vaults/mine"
	w.must("PUT", vault, object{"tags": object{"team": "fraud"}})
	body := object{"properties": object{"keyVault": vault}}
	there := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			if got := w.do("GET", id, nil); got.Status != 200 {
				t.Errorf("%s: %d %s", id, got.Status, got.Raw)
			}
		}
	}
	made := w.must("PUT", ws, body)
	owner, _ := w.directory.Lookup(w.owner)
	registry, err := machinelearning.EnsureRegistry(context.Background(), &arm.Call{Who: owner, Manager: w.manager}, resource.MustParseID(ws))
	if err != nil {
		t.Fatal(err)
	}
	w.settled(ws)
	provisioned := []string{made.text("properties.storageAccount"), made.text("properties.applicationInsights"), registry.String(),
		w.must("GET", made.text("properties.applicationInsights"), nil).text("properties.WorkspaceResourceId")}
	there(provisioned...)
	refused(t, "no truth", w.do("DELETE", ws+"?deleteAllResources=perhaps", nil), 400, "InvalidParameter", "deleteAllResources")
	w.must("DELETE", ws, nil)
	there(append(provisioned, vault)...)
	w.must("PUT", ws, body) // it finds them again
	if got := w.must("GET", ws, nil); got.get("properties.containerRegistry") != nil {
		t.Errorf("a new workspace has a registry: %s", got.Raw)
	}
	if _, err := machinelearning.EnsureRegistry(context.Background(), &arm.Call{Who: owner, Manager: w.manager}, resource.MustParseID(ws)); err != nil {
		t.Fatal(err)
	}
	w.settled(ws)

	// One right that is missing keeps everything.
	who := w.person("cleaner")
	w.grant(who, access.RoleContributor, ws)
	for _, id := range provisioned[1:] {
		w.grant(who, access.RoleContributor, id)
	}
	refused(t, "without the right to delete the account", w.as(who, "DELETE", ws+"?deleteAllResources=true", nil), 403, "LinkedAuthorizationFailed", "Microsoft.Storage/storageAccounts/delete", provisioned[0])
	there(append(provisioned, ws, vault)...)
	w.grant(who, access.RoleContributor, provisioned[0])
	// So does somebody else who works with one of them.
	w.must("PUT", workspaces+"other", object{"properties": object{"storageAccount": provisioned[0]}})
	refused(t, "another works with the account", w.as(who, "DELETE", ws+"?deleteAllResources=true", nil), 409, "ResourceInUse", "workspaces/other")
	there(append(provisioned, ws, vault)...)
	w.must("DELETE", workspaces+"other", nil)
	if got := w.as(who, "DELETE", ws+"?deleteAllResources=true", nil); got.Status != 200 {
		t.Fatalf("delete: %d %s", got.Status, got.Raw)
	}
	for _, id := range append(provisioned, ws) {
		if got := w.do("GET", id, nil); got.Status != 404 {
			t.Errorf("%s is there: %d", id, got.Status)
		}
	}
	there(vault)
	if tags := w.must("GET", vault, nil).get("tags"); len(tags.(object)) != 1 {
		t.Errorf("the vault that was brought along: %v", tags)
	}
	for _, assignment := range w.must("GET", group+strings.TrimSuffix(assignments, "/"), nil).get("value").([]any) {
		if scope := (answer{Body: assignment.(object)}).text("properties.scope"); strings.EqualFold(scope, provisioned[0]) {
			t.Errorf("a grant on what is gone: %v", assignment)
		}
	}
}

// settled waits until an update has ended.
func (w *world) settled(id string) {
	w.t.Helper()
	for got := w.must("GET", id, nil); ; got = w.must("GET", id, nil) {
		switch got.text("properties.provisioningState") {
		case "Succeeded":
			return
		case "Failed":
			w.t.Fatalf("%s: %s", id, got.Raw)
		}
	}
}

// The same for a feature store, with its materialization identity.
func TestDeletionOfAFeatureStoreTakesAlong(t *testing.T) {
	w := newWorld(t)
	made := w.must("PUT", ws, object{"kind": "FeatureStore", "properties": object{}})
	w.must("DELETE", ws+"?deleteAllResources=true", nil)
	for _, field := range []string{"storageAccount", "keyVault", "applicationInsights", "containerRegistry", "materializationIdentity.resourceId", "offlineStore.target"} {
		if id := made.text("properties." + field); id == "" || w.do("GET", id, nil).Status != 404 {
			t.Errorf("%s %q is there", field, id)
		}
	}
	if _, known := w.directory.Lookup(made.text("properties.materializationIdentity.principalId")); known {
		t.Error("the materialization identity is in the directory")
	}
}

// A workspace stays where it is; an update that says nothing of the place says nothing of it.
func TestWorkspaceStaysWhereItIs(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{"location": "West Europe"})
	for _, method := range []string{"PUT", "PATCH"} {
		refused(t, method, w.do(method, ws, object{"location": "eastus"}), 409, "InvalidResourceLocation", "westeurope", "eastus")
	}
	if got := w.must("PUT", ws, object{"location": "West Europe", "tags": object{"a": "b"}}); got.text("location") != "westeurope" {
		t.Errorf("the same: %s", got.Raw)
	}
	if got := w.must("PUT", ws, object{"properties": object{"description": "more"}}); got.text("location") != "westeurope" {
		t.Errorf("none: %s", got.Raw)
	}
}
