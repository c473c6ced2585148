package containerregistry_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// TestCredentials (MI-02, BX-01): passwords exist while the admin user is on, and those of before never hold again.
func TestCredentials(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	ctx := t.Context()
	admin := func(on bool) {
		t.Helper()
		w.must("PATCH", fraud, map[string]any{"properties": map[string]any{"adminUserEnabled": on}})
	}
	passwords := func(a answer) []string {
		t.Helper()
		list, _ := a.get("passwords").([]any)
		var out []string
		for i, item := range list {
			entry := item.(map[string]any)
			if want := []string{"password", "password2"}[i]; entry["name"] != want {
				t.Errorf("password %d is called %v", i, entry["name"])
			}
			out = append(out, entry["value"].(string))
		}
		if len(out) != 2 || out[0] == out[1] || len(out[0]) < 40 || a.text("username") != "fraudacr" {
			t.Fatalf("the credentials are %s", a.Raw)
		}
		return out
	}
	check := func(password string) (string, error) { return w.catalog.CheckPassword(ctx, "FRAUDACR", password) }
	for _, action := range []struct {
		name string
		body any
	}{{"listCredentials", nil}, {"regenerateCredential", map[string]any{"name": "password"}}} {
		refused(t, action.name, w.do("POST", fraud+"/"+action.name, action.body), 400, "UnAuthorizedForCredentialOperations",
			"Cannot perform credential operations for "+fraud+" as admin user is disabled", "alvara acr update -n fraudacr --admin-enabled true")
	}
	if _, err := check(""); resource.KindOf(err) != resource.Unauthenticated {
		t.Errorf("while the admin user is off, an empty password gives %v", err)
	}
	admin(true)
	first := passwords(w.must("POST", fraud+"/listCredentials", nil))
	if again := passwords(w.must("POST", fraud+"/listCredentials", nil)); !slices.Equal(first, again) {
		t.Error("listing changes the passwords")
	}
	var generations []string
	for _, password := range first {
		generation, err := check(password)
		if now, _ := w.catalog.Generation(ctx, "fraudacr"); err != nil || generation == "" || generation != now {
			t.Errorf("a password gives %q, %v; the generation is %q", generation, err, now)
		}
		generations = append(generations, generation)
	}
	for _, wrong := range []string{"", "x", first[0] + "x", first[0][1:], first[0] + "\n" + first[1], strings.ToLower(first[0])} {
		if _, err := check(wrong); resource.KindOf(err) != resource.Unauthenticated {
			t.Errorf("the password %q gives %v", wrong, err)
		}
	}
	renewed := passwords(w.must("POST", fraud+"/regenerateCredential", map[string]any{"name": "password2"}))
	if renewed[0] != first[0] || renewed[1] == first[1] {
		t.Error("not the second password was renewed")
	}
	if _, err := check(first[1]); resource.KindOf(err) != resource.Unauthenticated {
		t.Errorf("the password of before gives %v", err)
	}
	if now, err := check(renewed[0]); err != nil || now == generations[0] {
		t.Errorf("after a renewal the generation is %q, %v", now, err)
	}
	refused(t, "a third password", w.do("POST", fraud+"/regenerateCredential", map[string]any{"name": "password3"}), 400, "InvalidPasswordName", "password3", "password or password2")
	refused(t, "no body", w.do("POST", fraud+"/regenerateCredential", nil), 400, "InvalidRequestContent")

	admin(false)
	if now, err := w.catalog.Generation(ctx, "fraudacr"); now != "" || err != nil {
		t.Errorf("turned off, the generation is %q, %v", now, err)
	}
	if _, err := check(renewed[0]); resource.KindOf(err) != resource.Unauthenticated || !strings.Contains(err.Error(), "off") {
		t.Errorf("turned off, a password gives %v", err)
	}
	doc, err := w.store.Get(ctx, resource.MustParseID(fraud).Key())
	if err != nil || strings.Contains(string(doc.Body), `"passwords"`) {
		t.Errorf("turned off, the document still has passwords: %s, %v", doc.Body, err)
	}
	admin(true)
	last := passwords(w.must("POST", fraud+"/listCredentials", nil))
	if slices.Contains(last, renewed[0]) || slices.Contains(last, renewed[1]) {
		t.Error("turned on again, an old password holds")
	}
	if doc, _ := w.store.Get(ctx, resource.MustParseID(fraud).Key()); strings.Contains(string(doc.Body), last[0]) {
		t.Error("the password is in the document as it is")
	}
	if _, err := w.catalog.CheckPassword(ctx, "nothing", "x"); resource.KindOf(err) != resource.NotFound {
		t.Errorf("an absent registry gives %v", err)
	}
	if _, err := w.catalog.Generation(ctx, "nothing"); resource.KindOf(err) != resource.NotFound {
		t.Errorf("an absent registry gives %v", err)
	}
}

// TestRolesOnCredentials: AcrPull reads the registry and not its passwords; Contributor has them.
func TestRolesOnCredentials(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", fraud, with(map[string]any{"adminUserEnabled": true}))
	puller, contributor := w.person("puller"), w.person("contributor")
	w.grant(puller, "7f951dda-4ed3-4680-a7ca-43fe172d538d", fraud)
	w.grant(contributor, "b24988ac-6180-42a0-ab88-20f7382dd24c", fraud)
	refused(t, "AcrPull", w.as(puller, "POST", fraud+"/listCredentials", nil), 403, "AuthorizationFailed", "registries/listCredentials/action")
	refused(t, "AcrPull", w.as(puller, "POST", fraud+"/regenerateCredential", map[string]any{"name": "password"}), 403, "AuthorizationFailed")
	if got := w.as(contributor, "POST", fraud+"/listCredentials", nil); got.Status != 200 {
		t.Errorf("Contributor: %d %s", got.Status, got.Raw)
	}
}

func TestConcurrentRenewals(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", fraud, with(map[string]any{"adminUserEnabled": true}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if got := w.do("POST", fraud+"/regenerateCredential", map[string]any{"name": []string{"password", "password2"}[i%2]}); got.Status != 200 {
				t.Errorf("%d %s", got.Status, got.Raw)
			}
		})
	}
	wg.Wait()
	list := w.must("POST", fraud+"/listCredentials", nil).get("passwords").([]any)
	for _, item := range list {
		if _, err := w.catalog.CheckPassword(t.Context(), "fraudacr", item.(map[string]any)["value"].(string)); err != nil {
			t.Error(err)
		}
	}
}
