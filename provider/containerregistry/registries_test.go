package containerregistry_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/arm"
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
