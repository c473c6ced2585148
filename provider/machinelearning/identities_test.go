package machinelearning_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/access"
)

// Whatever identities a workspace is asked to have, one after the other: it has what the last accepted request named, and
// what is refused changes nothing.
func TestWorkspaceIdentityTransitions(t *testing.T) {
	w := newWorld(t)
	names := []string{"one", "two", "three"}
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	vault := group + "/providers/Microsoft.KeyVault/vaults/vault"
	component := group + "/providers/Microsoft.Insights/components/insights"
	for _, id := range []string{account, vault, component, registries + "byo"} {
		w.must("PUT", id, object{})
	}
	for _, name := range names {
		_, principal := w.identity(name)
		w.grant(principal, access.RoleContributor, group)
		w.grant(principal, access.RoleStorageBlobDataContributor, account)
	}
	brought := object{"storageAccount": account, "keyVault": vault, "applicationInsights": component, "containerRegistry": registries + "byo"}
	type state struct {
		system  bool
		users   []string
		primary string
	}
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path, now, exists := fmt.Sprintf("%sr%d", workspaces, runs), state{}, false
		for range rapid.IntRange(1, 6).Draw(t, "requests") {
			next := state{system: rapid.Bool().Draw(t, "system")}
			for _, name := range names {
				if rapid.Bool().Draw(t, name) {
					next.users = append(next.users, name)
				}
			}
			method := "PUT"
			if exists && rapid.Bool().Draw(t, "patch") {
				method = "PATCH"
			}
			var words, ids []string
			if next.system {
				words = append(words, "SystemAssigned")
			}
			for _, name := range next.users {
				ids = append(ids, identities+name)
			}
			if len(ids) > 0 {
				words = append(words, "UserAssigned")
			}
			if len(words) == 0 {
				words = []string{"None"}
			}
			next.primary = now.primary
			if next.primary == "" && !next.system && len(next.users) == 1 {
				next.primary = next.users[0]
			}
			allowed := (next.system || len(next.users) > 0) && (!now.system || next.system) && (len(now.users) == 0 || len(next.users) > 0) &&
				(next.primary == "" || slices.Contains(next.users, next.primary)) && (next.system || next.primary != "")
			answer := w.do(method, path, object{"identity": users(strings.Join(words, ","), ids...), "properties": brought})
			if allowed != (answer.Status == 200) {
				t.Fatalf("%s %+v after %+v: %d %s", method, next, now, answer.Status, answer.Raw)
			}
			if allowed {
				now, exists = next, true
			}
			if !exists {
				continue
			}
			shown := w.do("GET", path, nil)
			held, _ := shown.get("identity.userAssignedIdentities").(object)
			same := len(held) == len(now.users) && (shown.text("identity.principalId") != "") == now.system && strings.HasSuffix(shown.text("properties.primaryUserAssignedIdentity"), now.primary)
			for _, name := range now.users {
				same = same && held[identities+name] != nil
			}
			if !same || shown.text("properties.provisioningState") != "Succeeded" {
				t.Fatalf("after %+v the workspace is %s", now, shown.Raw)
			}
		}
	})
}
