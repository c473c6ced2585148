package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/test/testenv"
)

// FS-03, FS-04: whoever owns a group creates a store with everything that it needs.
func TestStoreIsProvisioned(t *testing.T) {
	env := testenv.Start(t)
	admin := env.Admin()
	group := env.Group("rg")
	if got := admin.Do("PUT", group, map[string]any{"location": "local"}); got.Status != http.StatusCreated {
		t.Fatalf("group: %d %s", got.Status, got.Raw)
	}
	store := group + "/providers/Microsoft.MachineLearningServices/workspaces/fs"
	got := admin.Do("PUT", store, map[string]any{"location": "local", "kind": "FeatureStore", "properties": map[string]any{}})
	if got.Status != http.StatusOK || got.Text("properties.provisioningState") != "Succeeded" {
		t.Fatalf("store: %d %s", got.Status, got.Raw)
	}
	for _, field := range []string{"storageAccount", "keyVault", "applicationInsights", "containerRegistry", "offlineStore.target", "materializationIdentity.resourceId"} {
		id := got.Text("properties." + field)
		if linked := admin.Do("GET", id, nil); linked.Status != http.StatusOK {
			t.Errorf("%s: %s: %d %s", field, id, linked.Status, linked.Raw)
		}
	}
	grants := admin.Do("GET", store+"/providers/Microsoft.Authorization/roleAssignments?$filter=principalId+eq+'"+got.Text("properties.materializationIdentity.principalId")+"'", nil)
	if list, _ := grants.Get("value").([]any); len(list) != 1 {
		t.Errorf("the materialization identity holds %d roles on the store; one was expected: %s", len(list), grants.Raw)
	}
	if got := admin.Do("DELETE", group, nil); got.Status != http.StatusOK {
		t.Errorf("delete group: %d %s", got.Status, got.Raw)
	}
	if got := admin.Do("GET", store, nil); got.Status != http.StatusNotFound {
		t.Errorf("after the group's deletion the store answers %d", got.Status)
	}
}

// A caller without a token is sent to this server's own token service.
func TestChallengeNamesTheTokenService(t *testing.T) {
	env := testenv.Start(t)
	answer, err := env.HTTP.Get(env.Server.URL() + "/subscriptions?api-version=2022-12-01")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // not read
	want := `authorization_uri="` + env.Server.Endpoints.Authority + "/" + env.Server.Endpoints.Tenant + `"`
	if got := answer.Header.Get("WWW-Authenticate"); answer.StatusCode != http.StatusUnauthorized || !strings.Contains(got, want) {
		t.Errorf("%d, %s; %s was expected", answer.StatusCode, got, want)
	}
}
