package provider_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
)

// MI-08, BX-08: az joins assignments with definitions by id, both read at the same scope. So both name the subscription of that
// scope and nothing below it, also where the assignment was made above all subscriptions.
func TestRoleIDsAreTheSameInListsAtOneScope(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", registry, map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}})
	who := w.person("puller")
	w.grant(who, access.RoleAcrPull, registry)
	w.grant(who, access.RoleReader, "") // above all subscriptions
	for _, scope := range []string{registry, group, subscription, ""} {
		prefix := "/providers/Microsoft.Authorization/roleDefinitions/"
		if scope != "" {
			prefix = subscription + prefix
		}
		known := map[any]bool{}
		for _, item := range w.must("GET", scope+"/providers/Microsoft.Authorization/roleDefinitions", nil).values() {
			id, _ := item["id"].(string)
			if strings.TrimPrefix(id, prefix) != item["name"] {
				t.Errorf("at %q: the definition's id is %s; %s{name} was expected", scope, id, prefix)
			}
			known[id] = true
		}
		assignments := w.must("GET", scope+"/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()", nil).values()
		if len(assignments) == 0 {
			t.Errorf("at %q: no assignments", scope)
		}
		for _, item := range assignments {
			if role := item["properties"].(map[string]any)["roleDefinitionId"]; !known[role] {
				t.Errorf("at %q: the assignment's role %v is in no definition of the list", scope, role)
			}
		}
	}
}
