package containerregistry_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/provider/containerregistry"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// TestCallingIdentity (MI-11): a managed identity that may schedule runs has them act as itself, as long as it is there.
func TestCallingIdentity(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", fraud, with(nil))
	uami := w.must("PUT", builder, map[string]any{"location": "local"})
	other := w.must("PUT", registries+"otheracr", map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}, "identity": map[string]any{"type": "SystemAssigned"}})
	request := w.request(fraud, map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"identity": "[caller]"}}})
	for name, who := range map[string]string{"a user-assigned identity": uami.text("properties.principalId"), "the identity of another resource": other.text("identity.principalId")} {
		refused(t, name+" without a role", w.as(who, "POST", fraud+"/scheduleRun", request), 403, "AuthorizationFailed", "registries/scheduleRun/action")
		w.grant(who, "b24988ac-6180-42a0-ab88-20f7382dd24c", fraud) // Contributor
		got := w.as(who, "POST", fraud+"/scheduleRun", request)
		if got.Status != 200 {
			t.Fatalf("%s: %d %s", name, got.Status, got.Raw)
		}
		if end := w.ended(got.text("id")); end.text("properties.status") != "Succeeded" {
			t.Errorf("%s: the run ended as %s", name, end.Raw)
		}
		principal, _ := w.directory.Lookup(who)
		order, run := w.build.last()
		if want := (image.Credential{ClientID: principal.ClientID, Principal: who}); order.Credentials["127.0.0.1:50001"] != want || principal.ClientID == "" {
			t.Errorf("%s: the credentials are %+v", name, order.Credentials)
		}
		if !slices.Equal(run.Identities, []string{who}) || run.Default != "" {
			t.Errorf("%s: it runs as %+v", name, run)
		}
	}
	// Queued, and begun when the identity is gone.
	waiting := openWorld(t, newStore(), w.sealer, 0)
	waiting.must("PUT", group, map[string]any{"location": "local"})
	waiting.must("PUT", fraud, with(nil))
	who := waiting.must("PUT", registries+"otheracr", map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}, "identity": map[string]any{"type": "SystemAssigned"}}).text("identity.principalId")
	waiting.grant(who, "b24988ac-6180-42a0-ab88-20f7382dd24c", fraud)
	got := waiting.as(who, "POST", fraud+"/scheduleRun", waiting.request(fraud, map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"identity": "[caller]"}}}))
	waiting.must("PATCH", registries+"otheracr", map[string]any{"identity": map[string]any{"type": "None"}})
	runner := &containerregistry.Runner{Store: waiting.store, Deps: waiting.deps, Build: waiting.build.Build, Clock: time.Now, Tell: func(resource.ID, error) {}}
	body, err := json.Marshal(got.text("id"))
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Run(t.Context(), store.Job{Body: body, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if end := waiting.ended(got.text("id")); end.text("properties.status") != "Failed" || !strings.Contains(end.text("properties.runErrorMessage"), "otheracr") {
		t.Errorf("the run whose identity is gone: %s", end.Raw)
	}
}
