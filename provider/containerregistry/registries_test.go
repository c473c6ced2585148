package containerregistry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// TestCreate (MI-02, BX-01): a registry that says nothing of an admin user has none; what it shows is what clients expect.
func TestCreate(t *testing.T) {
	w := newWorld(t)
	got := w.do("PUT", fraud, map[string]any{
		"location": "local", "sku": map[string]any{"name": "standard"}, "tags": map[string]any{"team": "fraud"}, "identity": map[string]any{"type": "SystemAssigned"},
	})
	if got.Status != 201 {
		t.Fatalf("%d %s", got.Status, got.Raw)
	}
	for path, want := range map[string]any{
		"id": fraud, "name": "fraudacr", "type": "Microsoft.ContainerRegistry/registries", "sku.name": "Standard", "sku.tier": "Standard", "tags.team": "fraud",
		"identity.type": "SystemAssigned", "properties.adminUserEnabled": false, "properties.loginServer": "127.0.0.1:50001", "properties.provisioningState": "Succeeded",
		"properties.publicNetworkAccess": "Enabled", "properties.zoneRedundancy": "Disabled", "properties.anonymousPullEnabled": false, "properties.dataEndpointEnabled": false,
		"properties.networkRuleBypassOptions": "AzureServices", "properties.policies.retentionPolicy.status": "disabled", "properties.policies.retentionPolicy.days": 7.0,
		"properties.policies.exportPolicy.status": "enabled", "properties.policies.trustPolicy.type": "Notary", "properties.policies.quarantinePolicy.status": "disabled",
		"properties.own": nil,
	} {
		if have := got.get(path); have != want {
			t.Errorf("%s is %v; want %v", path, have, want)
		}
	}
	created := got.text("properties.creationDate")
	if created == "" || got.text("identity.principalId") == "" {
		t.Errorf("there is no creation date or identity: %s", got.Raw)
	}
	if read := w.must("GET", fraud, nil); read.Raw != got.Raw {
		t.Errorf("it is read as %s", read.Raw)
	}
	// Written again, it stays where it is.
	again := w.do("PUT", strings.ToUpper(fraud), with(map[string]any{"loginServer": "elsewhere", "creationDate": "1999-01-01T00:00:00Z", "own": map[string]any{"key": "k", "port": 1}}))
	if again.Status != 200 || again.text("properties.loginServer") != "127.0.0.1:50001" || again.text("properties.creationDate") != created || again.text("sku.name") != "Basic" {
		t.Errorf("written again, it is %d %s", again.Status, again.Raw)
	}
	if again.text("identity.principalId") != got.text("identity.principalId") {
		t.Errorf("written again, it has another identity: %s", again.Raw)
	}
}

func TestRefusedFields(t *testing.T) {
	w := newWorld(t)
	policy := func(name, status string) map[string]any {
		return with(map[string]any{"policies": map[string]any{name: map[string]any{"status": status}}})
	}
	for _, c := range []struct {
		what, path string
		body       map[string]any
		code       string
		wants      []string
	}{
		{"no sku", fraud, map[string]any{"location": "local"}, "MissingSku", []string{"sku", "Basic, Standard or Premium"}},
		{"a null sku", fraud, map[string]any{"location": "local", "sku": nil}, "MissingSku", nil},
		{"a sku without a name", fraud, map[string]any{"location": "local", "sku": map[string]any{"tier": "Basic"}}, "InvalidSku", []string{"name"}},
		{"a sku that is text", fraud, map[string]any{"location": "local", "sku": "Basic"}, "InvalidSku", nil},
		{"the classic sku", fraud, map[string]any{"location": "local", "sku": map[string]any{"name": "Classic"}}, "InvalidSku", []string{"Classic", "Premium"}},
		{"a short name", registries + "acr", with(nil), "InvalidResourceName", []string{"acr", "5 to 50"}},
		{"a name with a hyphen", registries + "fraud-acr", with(nil), "InvalidResourceName", []string{"letters and digits"}},
		{"anonymous pull", fraud, with(map[string]any{"anonymousPullEnabled": true}), "NotSupported", []string{"properties.anonymousPullEnabled", "AcrPull"}},
		{"a key of the customer's", fraud, with(map[string]any{"encryption": map[string]any{"status": "enabled"}}), "NotSupported", []string{"properties.encryption"}},
		{"a key without a status", fraud, with(map[string]any{"encryption": map[string]any{"keyVaultProperties": map[string]any{"keyIdentifier": "k"}}}), "NotSupported", nil},
		{"a closed network", fraud, with(map[string]any{"publicNetworkAccess": "Disabled"}), "NotSupported", []string{"properties.publicNetworkAccess"}},
		{"an unknown word", fraud, with(map[string]any{"publicNetworkAccess": "Maybe"}), "InvalidRequestContent", []string{"Maybe", "Enabled or Disabled"}},
		{"network rules", fraud, with(map[string]any{"networkRuleSet": map[string]any{"defaultAction": "Deny"}}), "NotSupported", []string{"networkRuleSet"}},
		{"permissions by condition alone", fraud, with(map[string]any{"roleAssignmentMode": "AbacRepositoryPermissions"}), "NotSupported", []string{"roleAssignmentMode"}},
		{"quarantine", fraud, policy("quarantinePolicy", "enabled"), "NotSupported", []string{"properties.policies.quarantinePolicy.status"}},
		{"content trust", fraud, policy("trustPolicy", "enabled"), "NotSupported", []string{"trustPolicy"}},
		{"soft deletion", fraud, policy("softDeletePolicy", "enabled"), "NotSupported", []string{"softDeletePolicy"}},
		{"no exports", fraud, policy("exportPolicy", "disabled"), "NotSupported", []string{"exportPolicy"}},
		{"no tokens of the resource manager", fraud, policy("azureADAuthenticationAsArmPolicy", "disabled"), "NotSupported", []string{"azureADAuthenticationAsArmPolicy"}},
		{"no days", fraud, with(map[string]any{"policies": map[string]any{"retentionPolicy": map[string]any{"days": 0, "status": "enabled"}}}), "InvalidRetentionPolicy", []string{"days is 0", "1 to 365"}},
		{"too many days", fraud, with(map[string]any{"policies": map[string]any{"retentionPolicy": map[string]any{"days": 366, "status": "enabled"}}}), "InvalidRetentionPolicy", []string{"366"}},
		{"days in words", fraud, with(map[string]any{"policies": map[string]any{"retentionPolicy": map[string]any{"days": "seven"}}}), "InvalidRequestContent", []string{"retentionPolicy.days"}},
		{"an admin user in words", fraud, with(map[string]any{"adminUserEnabled": "yes"}), "InvalidRequestContent", []string{"adminUserEnabled", "true or false"}},
	} {
		refused(t, c.what, w.do("PUT", c.path, c.body), 400, c.code, c.wants...)
	}
	if got := w.must("GET", group+"/providers/Microsoft.ContainerRegistry/registries", nil); len(got.names()) != 0 {
		t.Errorf("after refusals there is %v", got.names())
	}
	for what, body := range map[string]map[string]any{
		"encryption that is off": with(map[string]any{"encryption": map[string]any{"status": "disabled"}}), "a rule that lets all in": with(map[string]any{"networkRuleSet": map[string]any{"defaultAction": "allow", "ipRules": []any{}}}),
		"policies that ask for nothing": with(map[string]any{"policies": map[string]any{"trustPolicy": map[string]any{"status": "disabled", "type": "Notary"}, "exportPolicy": map[string]any{"status": "enabled"}}}),
		"unknown properties":            with(map[string]any{"somethingNew": 1}), "the usual mode": with(map[string]any{"roleAssignmentMode": "LegacyRegistryPermissions", "zoneRedundancy": "enabled", "dataEndpointEnabled": true}),
	} {
		if got := w.do("PUT", fraud, body); got.Status >= 300 {
			t.Errorf("%s: %d %s", what, got.Status, got.Raw)
		}
	}
}

// TestUpdate sends what `az acr update`, `az acr identity` and `az acr config` send.
func TestUpdate(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.must("PUT", builder, map[string]any{"location": "local"})
	patch := func(body any) answer { t.Helper(); return w.must("PATCH", fraud, body) }
	if got := patch(map[string]any{"properties": map[string]any{"adminUserEnabled": true}}); got.get("properties.adminUserEnabled") != true {
		t.Errorf("the admin user is off: %s", got.Raw)
	}
	got := patch(map[string]any{"sku": map[string]any{"name": "Premium"}, "tags": map[string]any{"a": "b"}})
	if got.text("sku.name") != "Premium" || got.text("sku.tier") != "Premium" || got.text("tags.a") != "b" || got.get("properties.adminUserEnabled") != true {
		t.Errorf("%s", got.Raw)
	}
	got = patch(map[string]any{"properties": map[string]any{"policies": map[string]any{"retentionPolicy": map[string]any{"status": "enabled", "days": 30}}}})
	if r, _ := w.catalog.Registry(t.Context(), "FraudACR"); r.RetentionDays != 30 || r.Quota != 500<<30 {
		t.Errorf("the catalog has %+v", r)
	}
	updated := got.text("properties.policies.retentionPolicy.lastUpdatedTime")
	if same := patch(map[string]any{"tags": map[string]any{"c": "d"}}); same.text("properties.policies.retentionPolicy.lastUpdatedTime") != updated || same.text("tags.a") != "b" {
		t.Errorf("another change changed the policy: %s", same.Raw)
	}
	got = patch(map[string]any{"identity": map[string]any{"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": map[string]any{builder: map[string]any{}}}})
	if entry, _ := got.get("identity.userAssignedIdentities").(map[string]any)[builder].(map[string]any); entry["clientId"] == "" || got.text("identity.principalId") == "" {
		t.Errorf("the identities are %s", got.Raw)
	}
	got = patch(map[string]any{"identity": map[string]any{"type": "SystemAssigned", "userAssignedIdentities": map[string]any{builder: nil}}})
	if got.get("identity.userAssignedIdentities") != nil || got.text("identity.type") != "SystemAssigned" {
		t.Errorf("the identity is not taken off: %s", got.Raw)
	}
	refused(t, "patching away the sku", w.do("PATCH", fraud, map[string]any{"sku": nil}), 400, "MissingSku")
	refused(t, "patching what is not there", w.do("PATCH", registries+"nothing", map[string]any{}), 404, "ResourceNotFound", "registries/nothing")
	// MI-18: who assigns an identity needs a role on it.
	editor := w.person("editor")
	w.grant(editor, "b24988ac-6180-42a0-ab88-20f7382dd24c", fraud)
	refused(t, "assigning without a role on the identity",
		w.as(editor, "PATCH", fraud, map[string]any{"identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": map[string]any{builder: map[string]any{}}}}), 403, "LinkedAuthorizationFailed", arm.AssignAction)
}

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

func TestUsages(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.usage[w.key("fraudacr")] = 12345
	for sku, want := range map[string][2]float64{"Basic": {10 << 30, 2}, "Standard": {100 << 30, 10}, "Premium": {500 << 30, 500}} {
		w.must("PATCH", fraud, map[string]any{"sku": map[string]any{"name": sku}})
		got := w.must("GET", fraud+"/listUsages", nil)
		list, _ := got.get("value").([]any)
		if len(list) != 2 {
			t.Fatalf("%s", got.Raw)
		}
		size, hooks := list[0].(map[string]any), list[1].(map[string]any)
		if size["name"] != "Size" || size["unit"] != "Bytes" || size["limit"] != want[0] || size["currentValue"] != 12345.0 {
			t.Errorf("%s: %v", sku, size)
		}
		if hooks["name"] != "Webhooks" || hooks["unit"] != "Count" || hooks["limit"] != want[1] || hooks["currentValue"] != 0.0 {
			t.Errorf("%s: %v", sku, hooks)
		}
		if r, _ := w.catalog.Registry(t.Context(), "fraudacr"); r.Quota != int64(want[0]) {
			t.Errorf("%s: the quota is %d", sku, r.Quota)
		}
	}
	refused(t, "a stranger", w.as(w.person("stranger"), "GET", fraud+"/listUsages", nil), 403, "AuthorizationFailed", "registries/listUsages/read")
}

func TestCheckName(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	check := func(body any) answer {
		t.Helper()
		return w.do("POST", subscription+"/providers/Microsoft.ContainerRegistry/checkNameAvailability", body)
	}
	for _, c := range []struct {
		name, reason string
	}{{"freeacr", ""}, {"fraudacr", "AlreadyExists"}, {"FRAUDACR", "AlreadyExists"}, {"acr", "Invalid"}, {"fraud-acr", "Invalid"}, {"", "Invalid"}} {
		got := check(map[string]any{"name": c.name, "type": "Microsoft.ContainerRegistry/registries"})
		if got.Status != 200 || got.get("nameAvailable") != (c.reason == "") || got.text("reason") != c.reason || (c.reason != "" && got.text("message") == "") {
			t.Errorf("%q: %d %s", c.name, got.Status, got.Raw)
		}
	}
	if got := check(map[string]any{"name": "freeacr", "type": "Microsoft.ContainerRegistry/registries", "resourceGroupName": "rg", "autoGeneratedDomainNameLabelScope": "Unsecure"}); got.get("nameAvailable") != true {
		t.Errorf("the newer form: %d %s", got.Status, got.Raw)
	}
	refused(t, "another type", check(map[string]any{"name": "freeacr", "type": "Microsoft.Storage/storageAccounts"}), 400, "InvalidResourceType", "Microsoft.ContainerRegistry/registries")
	refused(t, "a stranger", w.as(w.person("stranger"), "POST", subscription+"/providers/Microsoft.ContainerRegistry/checkNameAvailability", map[string]any{"name": "freeacr"}), 403, "AuthorizationFailed")
	w.must("PUT", subscription+"/resourceGroups/other", map[string]any{"location": "local"})
	refused(t, "the same name in another group", w.do("PUT", subscription+"/resourceGroups/other/providers/Microsoft.ContainerRegistry/registries/FraudAcr", with(nil)), 409, "NameAlreadyExists", "FraudAcr")
}

// TestLists lists by group, by subscription, and among the resources of a group.
func TestLists(t *testing.T) {
	w := newWorld(t)
	other := subscription + "/resourceGroups/other"
	w.must("PUT", other, map[string]any{"location": "local"})
	w.must("PUT", fraud, with(nil))
	w.must("PUT", registries+"secondacr", with(nil))
	w.must("PUT", other+"/providers/Microsoft.ContainerRegistry/registries/thirdacr", with(nil))
	for path, want := range map[string][]string{
		group + "/providers/Microsoft.ContainerRegistry/registries":                                  {"fraudacr", "secondacr"},
		subscription + "/providers/Microsoft.ContainerRegistry/registries":                           {"fraudacr", "secondacr", "thirdacr"},
		subscription + "/resources?$filter=resourceType eq 'Microsoft.ContainerRegistry/registries'": {"fraudacr", "secondacr", "thirdacr"},
	} {
		got := w.must("GET", path, nil).names()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestEvents: the hooks hear of registries before the requests are answered, and a registry that is made again is another.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	if got := w.happened(); !slices.Equal(got, []string{"opened fraudacr 50001"}) {
		t.Errorf("making it: %q", got)
	}
	first := w.key("fraudacr")
	w.must("PATCH", fraud, map[string]any{"properties": map[string]any{"adminUserEnabled": true}})
	if got := w.happened(); len(got) != 0 {
		t.Errorf("changing it: %q", got)
	}
	w.must("DELETE", fraud, nil)
	if got := w.happened(); !slices.Equal(got, []string{"closed fraudacr"}) {
		t.Errorf("deleting it: %q", got)
	}
	if _, err := w.catalog.Registry(t.Context(), "fraudacr"); resource.KindOf(err) != resource.NotFound {
		t.Errorf("deleted, it gives %v", err)
	}
	if !slices.Equal(w.dropped, []string{first}) {
		t.Errorf("dropped %q; want %q", w.dropped, first)
	}
	w.withRegistry()
	if second := w.key("fraudacr"); second == first {
		t.Error("made again, it has the key of before")
	}
	if got := w.happened(); len(got) != 1 || !strings.HasPrefix(got[0], "opened fraudacr") {
		t.Errorf("making it again: %q", got)
	}
	w.must("PUT", registries+"secondacr", with(nil))
	w.happened()
	w.openCatalog()
	got := w.happened()
	if slices.Sort(got); len(got) != 2 || len(w.catalog.LoginServers()) != 2 || len(w.catalog.All()) != 2 {
		t.Errorf("opened anew, the catalog tells of %q", got)
	}
	w.must("DELETE", group, nil)
	for range 500 {
		if _, err := w.catalog.Registry(t.Context(), "secondacr"); err != nil {
			return
		}
		wait()
	}
	t.Error("deleting the group leaves the registry")
}

// TestPorts: no two registries share a port, even when the machine offers one twice.
func TestPorts(t *testing.T) {
	w := newWorld(t)
	w.ports = []int{41000}
	w.must("PUT", registries+"firstacr", with(nil))
	w.ports = []int{41000, 41000, 41001}
	if got := w.must("PUT", registries+"secondacr", with(nil)); got.text("properties.loginServer") != "127.0.0.1:41001" {
		t.Errorf("the second registry is at %s", got.text("properties.loginServer"))
	}
	w.ports = nil
	for range 40 {
		w.ports = append(w.ports, 42000, 42001, 42002, 42003)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { w.must("PUT", fmt.Sprintf("%sracing%d", registries, i), with(nil)) })
	}
	wg.Wait()
	servers := w.catalog.LoginServers()
	if slices.Sort(servers); len(servers) != 6 || len(slices.Compact(servers)) != 6 {
		t.Errorf("the login servers are %q", servers)
	}
	w.domain = true
	if got := w.must("PUT", registries+"Domains", with(nil)); got.text("properties.loginServer") != "domains.cr.example.com" {
		t.Errorf("with a domain it is at %s", got.text("properties.loginServer"))
	}
	w.must("PUT", registries+"domains2", with(nil)) // none of them has a port
	// Served without a domain later, they get ports.
	w.domain, w.ports = false, nil
	w.openCatalog()
	r, err := w.catalog.Registry(t.Context(), "domains")
	if err != nil || !strings.HasPrefix(r.LoginServer, "127.0.0.1:") {
		t.Errorf("without the domain it is %+v, %v", r, err)
	}
	if got := w.must("GET", registries+"domains", nil); got.text("properties.loginServer") != r.LoginServer {
		t.Errorf("it shows %s and the catalog has %s", got.text("properties.loginServer"), r.LoginServer)
	}
	w.ports = slices.Repeat([]int{41000}, 200)
	refused(t, "no free port", w.do("PUT", registries+"portless", with(nil)), 503, "NoFreePort")
}

// TestOlderDocuments: registries that were plain documents, as an earlier version wrote them, become whole.
func TestOlderDocuments(t *testing.T) {
	for _, domain := range []bool{false, true} {
		t.Run(fmt.Sprintf("domain=%t", domain), func(t *testing.T) {
			w := newWorld(t)
			for name, properties := range map[string]string{"oldacr": `{}`, "adminacr": `{"adminUserEnabled":true}`} {
				_, err := w.store.Apply(t.Context(), store.Put{Key: resource.MustParseID(registries + name).Key(), Kind: "microsoft.containerregistry/registries",
					Body: []byte(`{"id":"` + registries + name + `","name":"` + name + `","type":"Microsoft.ContainerRegistry/registries","location":"local","properties":` + properties + `,"state":"Succeeded"}`)})
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.catalog.Registry(t.Context(), "oldacr"); resource.KindOf(err) != resource.NotFound {
				t.Errorf("a registry without a key is served: %v", err)
			}
			w.domain = domain
			w.openCatalog()
			r, err := w.catalog.Registry(t.Context(), "oldacr")
			if err != nil || r.Key == "" || r.Quota != 10<<30 || r.AdminEnabled {
				t.Errorf("%+v, %v", r, err)
			}
			if admin, _ := w.catalog.Registry(t.Context(), "adminacr"); !admin.AdminEnabled || admin.LoginServer == r.LoginServer {
				t.Errorf("%+v", admin)
			}
			w.must("POST", registries+"adminacr/listCredentials", nil)
			w.must("PATCH", registries+"oldacr", map[string]any{"tags": map[string]any{"a": "b"}})
			if now := w.key("oldacr"); now != r.Key {
				t.Error("a change gives it another key")
			}
			w.must("DELETE", registries+"oldacr", nil)
		})
	}
}

func TestDropIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	key := w.key("fraudacr")
	if _, err := w.catalog.Registry(context.Background(), ""); resource.KindOf(err) != resource.NotFound {
		t.Errorf("the empty name gives %v", err)
	}
	w.must("DELETE", fraud, nil)
	if !slices.Equal(w.dropped, []string{key}) {
		t.Errorf("dropped %q", w.dropped)
	}
	if got := w.do("DELETE", fraud, nil); got.Status != 204 {
		t.Errorf("deleting what is gone: %d %s", got.Status, got.Raw)
	}
}
