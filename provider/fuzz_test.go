package provider_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzRequests sends requests of any method, path and body: whatever is asked, the answer is never a fault of ours.
func FuzzRequests(f *testing.F) {
	for _, path := range []string{
		"/", "/subscriptions", group, group + "/resources", fs, setVersion, setVersion + "/backfill", setVersion + "/dataIntervals", fs + "/jobs",
		fs + "/featurestoreEntities/account/versions/1", group + definitions, group + definitions + "acdd72a7-3385-48ef-bd42-f606fba81ae7",
		fs + "/providers/Microsoft.Authorization/roleAssignments/acdd72a7-3385-48ef-bd42-f606fba81ae7",
		group + "/providers/Microsoft.Storage/storageAccounts/acct", group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uami",
		subscription + "/providers/Microsoft.Storage/checkNameAvailability", "/providers/a/providers/b/c/d", "/subscriptions/../x",
		fs + "/datastores/ds", fs + "/connections/c", group + "/providers/Microsoft.Storage/storageAccounts/acct/regenerateKey",
	} {
		for i, body := range []string{
			"", "{}", "[]", "null", `{"properties":null}`, `{"properties":{}}`, `{"properties":[]}`, `{"identity":{"type":"UserAssigned","userAssignedIdentities":{"/x":null}}}`,
			`{"kind":"FeatureStore","properties":{"materializationIdentity":null,"offlineStore":{}}}`, `{"properties":{"assignableScopes":[null],"permissions":[null]}}`,
			`{"properties":{"entities":[""],"specification":{"content":{"FeatureSetSpec.yaml":"a: b"}}}}`, `{"featureWindow":{},"dataAvailabilityStatus":[null]}`,
			`{"properties":{"principalId":"","roleDefinitionId":"/"}}`, `{"jobId":"a/b"}`, `{"tags":null,"sku":null,"location":null,"name":null,"identity":null}`,
		} {
			f.Add(uint8(i), path, body)
		}
	}
	w := newWorld(f)
	w.withStore("Offline")
	methods := []string{"GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS"}
	f.Fuzz(func(t *testing.T, method uint8, path, body string) {
		w.t = t
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \x7f%?#") || strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 }) {
			t.Skip()
		}
		for i, name := range methods {
			if int(method)%len(methods) != i && body != "" {
				continue
			}
			if name == "DELETE" && len(path) < len(group)+2 {
				continue // what the others need
			}
			if got := w.send(w.owner, name, path, body); got.Status >= 500 {
				t.Errorf("%s %s %s: %d %s", name, path, body, got.Status, got.Raw)
			}
		}
	})
}

// TestAnyBody makes bodies of pieces that are right in other places.
func TestAnyBody(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	pieces := []string{"{}", "[]", "null", "1", `""`, `"x"`, `{"a":null}`, "true", "-1e400", `["` + group + `"]`, `{"` + group + `":null}`, `"` + fs + `"`}
	fields := []string{"properties", "identity", "kind", "tags", "sku", "location", "type", "entities", "specification", "materializationSettings", "schedule", "stage",
		"isArchived", "indexColumns", "offlineStore", "materializationIdentity", "featureStoreSettings", "storageAccount", "permissions", "assignableScopes", "roleName",
		"roleDefinitionId", "principalId", "userAssignedIdentities", "featureWindow", "dataAvailabilityStatus", "jobId", "credentials", "issuer", "subject", "keyName"}
	paths := []string{fs, setVersion, fs + "/featurestoreEntities/e/versions/2", group + definitions + "acdd72a7-3385-48ef-bd42-f606fba81ae8", setVersion + "/backfill",
		group + "/providers/Microsoft.Authorization/roleAssignments/acdd72a7-3385-48ef-bd42-f606fba81ae9", group + "/providers/Microsoft.Storage/storageAccounts/acct",
		fs + "/datastores/ds", fs + "/connections/c", fs + "/featuresets/s", group + "/providers/Microsoft.Storage/storageAccounts/acct/regenerateKey"}
	var object func(depth int) string
	object = func(depth int) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range random.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			value := pieces[random.IntN(len(pieces))]
			if depth > 0 && random.IntN(2) == 0 {
				value = object(depth - 1)
			}
			b.WriteString(`"` + fields[random.IntN(len(fields))] + `":` + value)
		}
		b.WriteByte('}')
		return b.String()
	}
	n := 6000
	if testing.Short() {
		n = 500
	}
	for range n {
		method, path, body := []string{"PUT", "PATCH", "POST"}[random.IntN(3)], paths[random.IntN(len(paths))], object(3)
		if random.IntN(2) == 0 {
			body = `{"kind":"FeatureStore","properties":` + body + `}`
		}
		if got := w.send(w.owner, method, path, body); got.Status >= 500 {
			t.Fatalf("%s %s %s: %d %s", method, path, body, got.Status, got.Raw)
		}
	}
}
