package containerregistry_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/image"
)

// TestAnyBody sends requests that are right but for a field or two: whatever is in those, the answer is never a fault of
// ours, and what is accepted gives orders that name no registry without a credential.
func TestAnyBody(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", builder, map[string]any{"location": "local"})
	body := with(nil)
	body["identity"] = map[string]any{"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": map[string]any{builder: map[string]any{}}}
	w.must("PUT", fraud, body)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pieces := []any{
		nil, true, 0, -1, 1 << 40, 1.5, "", "x", "[system]", builder, fraud, "app:v1", "127.0.0.1:50001/app", "other.example.com/app", "{{.Run.ID}}", "{{", "..", "/", "@", "Linux", "amd64",
		"Default", "None", "Opaque", "enabled", "disabled", "Premium", "DockerBuildRequest", []any{}, map[string]any{}, []any{nil}, []any{"app", "app:{{.Run.Date}}"},
		map[string]any{"os": "linux"}, map[string]any{"name": "A", "value": "b", "isSecret": true}, map[string]any{"127.0.0.1:50001": map[string]any{"identity": "[system]"}},
		map[string]any{"type": "Opaque", "value": "p"}, map[string]any{"status": "enabled", "days": 3}, map[string]any{"": nil},
	}
	fields := map[string][]string{
		"/scheduleRun": {"imageNames", "isPushEnabled", "noCache", "dockerFilePath", "target", "arguments", "timeout", "platform", "agentConfiguration", "sourceLocation",
			"credentials", "type", "isArchiveEnabled", "logTemplate", "os", "architecture", "cpu", "sourceRegistry", "customRegistries", "loginMode", "identity", "userName", "password"},
		"/regenerateCredential": {"name"},
		"": {"adminUserEnabled", "policies", "retentionPolicy", "trustPolicy", "encryption", "networkRuleSet", "publicNetworkAccess", "own", "sku", "identity", "properties", "tags", "location",
			"name", "tier", "status", "days", "defaultAction", "ipRules"},
	}
	var piece func(names []string, depth int) any
	piece = func(names []string, depth int) any {
		if depth == 0 || random.IntN(3) > 0 {
			return pieces[random.IntN(len(pieces))]
		}
		object := map[string]any{}
		for range random.IntN(3) {
			object[names[random.IntN(len(names))]] = piece(names, depth-1)
		}
		if random.IntN(3) == 0 {
			return []any{object}
		}
		return object
	}
	accepted := 0
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		names, method, base := fields[path], "POST", map[string]any{}
		switch path {
		case "":
			method, base = "PUT", maps.Clone(body)
		case "/scheduleRun":
			base = w.request(fraud, nil)
		}
		for range 400 {
			changed := maps.Clone(base)
			for range 1 + random.IntN(2) {
				changed[names[random.IntN(len(names))]] = piece(names, 3)
			}
			verb := method
			if verb == "PUT" && random.IntN(2) == 0 {
				verb = "PATCH"
			}
			got := w.do(verb, fraud+path, changed)
			switch {
			case got.Status >= 500:
				t.Errorf("%s %s %v: %d %s", verb, path, changed, got.Status, got.Raw)
			case got.Status == 429: // faster than the builder
				w.ended(fmt.Sprintf("%s/runs/%s", fraud, w.must("GET", fraud+"/runs?$filter=FinishTime ne 2001-01-01T00:00:00Z", nil).names()[0]))
			case got.Status < 300:
				accepted++
			}
		}
	}
	if accepted < 50 {
		t.Errorf("only %d were accepted; the test shows nothing", accepted)
	}
	w.build.mu.Lock()
	orders := slices.Clone(w.build.orders)
	w.build.mu.Unlock()
	for _, order := range orders {
		for _, name := range order.Images {
			host, _, _ := strings.Cut(name, "/")
			if credential := order.Credentials[host]; order.Push && credential == (image.Credential{}) {
				t.Errorf("%s is to be pushed without a credential: %+v", name, order)
			}
		}
	}
}
