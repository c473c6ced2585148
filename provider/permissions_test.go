package provider_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

const ml = "Microsoft.MachineLearningServices/workspaces/"

// The document's minimal custom role of whoever creates a store, with what provisioning needs (FS-03, FS-04).
var (
	createActions = []string{ml + "featurestores/write", "Microsoft.Authorization/roleAssignments/write"}
	provisioning  = []string{
		"Microsoft.Storage/storageAccounts/write", "Microsoft.Storage/storageAccounts/blobServices/containers/write", "Microsoft.Insights/components/write",
		"Microsoft.KeyVault/vaults/write", "Microsoft.ContainerRegistry/registries/write", "Microsoft.OperationalInsights/workspaces/write",
		"Microsoft.ManagedIdentity/userAssignedIdentities/write",
	}
)

func without(list []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
}

// FS-03: the minimal role is enough to create a store, and when any one action of it is missing the refusal names it.
func TestEachActionOfTheMinimalRoleIsNeeded(t *testing.T) {
	w := newWorld(t)
	all := slices.Concat(createActions, provisioning)
	for i, missing := range append([]string{""}, all...) {
		who := w.person("creator" + string(rune('a'+i)))
		w.grant(who, w.role("Creator "+string(rune('a'+i)), append(without(all, missing), ml+"featurestores/read"), nil), group)
		before := w.contents()
		got := w.as(who, "PUT", group+"/providers/Microsoft.MachineLearningServices/workspaces/fs"+string(rune('a'+i)), map[string]any{"kind": "FeatureStore"})
		switch {
		case missing == "":
			if got.Status != 200 || got.text("properties.provisioningState") != "Succeeded" {
				t.Fatalf("the whole role is not enough: %d %s", got.Status, got.Raw)
			}
		case got.Status != 403 || !strings.Contains(got.message(), "'"+missing+"'"):
			t.Errorf("without %s: %d %s", missing, got.Status, got.Raw)
		default:
			w.unchanged(before, "a refusal for "+missing)
		}
	}
}

// FS-04: every missing write action is named at once; with resources brought along none is needed.
func TestAllMissingActionsAreNamed(t *testing.T) {
	w := newWorld(t)
	who := w.person("creator")
	w.grant(who, w.role("Creator", append(slices.Clone(createActions), ml+"featurestores/read"), nil), group)
	got := w.as(who, "PUT", fs, map[string]any{"kind": "FeatureStore"})
	refused(t, "nothing may be provisioned", got, 403, "LinkedAuthorizationFailed", provisioning...)
	if details, _ := got.get("error.details").([]any); len(details) != len(provisioning) {
		t.Errorf("%d details; want one for each of the %d actions", len(details), len(provisioning))
	}
	made := w.must("PUT", group+"/providers/Microsoft.MachineLearningServices/workspaces/other", map[string]any{"kind": "FeatureStore"})
	brought := map[string]any{
		"materializationIdentity": map[string]any{"resourceId": made.get("properties.materializationIdentity.resourceId")},
		"offlineStore":            map[string]any{"target": made.get("properties.offlineStore.target")},
	}
	for _, field := range []string{"storageAccount", "keyVault", "applicationInsights", "containerRegistry"} {
		brought[field] = made.get("properties." + field)
	}
	body := map[string]any{"kind": "FeatureStore", "properties": brought}
	refused(t, "the identity may not be assigned", w.as(who, "PUT", fs, body), 403, "LinkedAuthorizationFailed", "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action")
	w.grant(who, access.RoleManagedIdentityOperator, made.text("properties.materializationIdentity.resourceId"))
	if got := w.as(who, "PUT", fs, body); got.Status != 200 || got.text("properties.provisioningState") != "Succeeded" {
		t.Errorf("everything is brought along: %d %s", got.Status, got.Raw)
	}
}

// FS-08: who the materialization identity is comes from the directory: no caller can name another principal.
func TestNobodyElseBecomesTheMaterializationIdentity(t *testing.T) {
	w := newWorld(t)
	w.withStore("")
	real := w.must("GET", fs, nil).text("properties.materializationIdentity.principalId")
	for _, body := range []map[string]any{
		{"materializationIdentity": map[string]any{"principalId": w.owner}},
		{"workspaceId": "mine", "missingGrants": []string{"x"}, "materializationIdentity": map[string]any{"principalId": w.owner, "clientId": w.owner}},
	} {
		got := w.do("PATCH", fs, map[string]any{"properties": body})
		if now := w.must("GET", fs, nil); now.text("properties.materializationIdentity.principalId") != real || now.text("properties.workspaceId") == "mine" || now.get("properties.missingGrants") != nil {
			t.Errorf("%v answers %d, and the store is %s", body, got.Status, now.Raw)
		}
	}
	other := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/other"
	principal := w.must("PUT", other, map[string]any{}).text("properties.principalId")
	body := map[string]any{"properties": map[string]any{"materializationIdentity": map[string]any{"resourceId": other, "principalId": w.owner}}}
	who := w.person("writer")
	w.grant(who, access.RoleContributor, group)
	refused(t, "another identity, by a contributor", w.as(who, "PATCH", fs, body), 403, "LinkedAuthorizationFailed", "roleAssignments/write")
	if got := w.do("PATCH", fs, body); got.text("properties.materializationIdentity.principalId") != principal {
		t.Errorf("another identity, by the owner: %d %s", got.Status, got.Raw)
	}
}

// MI-18: whoever assigns an identity to a resource needs assign/action on that identity, also when it was made anew under
// its old name.
func TestAssigningAnIdentity(t *testing.T) {
	w := newWorld(t)
	identities := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
	w.must("PUT", identities+"one", map[string]any{})
	w.must("PUT", identities+"two", map[string]any{})
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	who := w.person("writer")
	w.grant(who, w.role("Writer", []string{"Microsoft.Storage/storageAccounts/*"}, nil), group)
	with := func(names ...string) map[string]any {
		held := map[string]any{}
		for _, name := range names {
			held[identities+name] = map[string]any{}
		}
		return map[string]any{"identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": held}}
	}
	refused(t, "two identities", w.as(who, "PUT", account, with("one", "two")), 403, "LinkedAuthorizationFailed", "userAssignedIdentities/assign/action", identities+"one", identities+"two")
	w.grant(who, access.RoleManagedIdentityOperator, identities+"one")
	if got := w.as(who, "PUT", account, with("one")); got.Status != 200 {
		t.Fatalf("one identity: %d %s", got.Status, got.Raw)
	}
	if got := w.as(who, "PATCH", account, map[string]any{"tags": map[string]any{"a": "b"}}); got.Status != 200 {
		t.Errorf("an identity that is there already needs no right: %d %s", got.Status, got.Raw)
	}
	refused(t, "a patch that adds one", w.as(who, "PATCH", account, with("two")), 403, "LinkedAuthorizationFailed", identities+"two")
	w.must("PATCH", account, with("two"))
	got := w.as(who, "PATCH", account, map[string]any{"identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": map[string]any{strings.ToUpper(identities + "one"): nil}}})
	if held, _ := got.get("identity.userAssignedIdentities").(map[string]any); got.Status != 200 || len(held) != 1 {
		t.Errorf("a null takes one off: %d %s", got.Status, got.Raw)
	}
	w.must("DELETE", identities+"two", nil)
	if got := w.as(who, "PATCH", account, map[string]any{"tags": map[string]any{"a": "c"}}); got.Status != 200 {
		t.Errorf("an identity that was deleted stands in nobody's way: %d %s", got.Status, got.Raw)
	}
	w.must("PUT", identities+"two", map[string]any{})
	refused(t, "an identity made anew", w.as(who, "PATCH", account, map[string]any{"tags": map[string]any{"a": "d"}}), 403, "LinkedAuthorizationFailed", identities+"two")
	got = w.as(who, "PATCH", account, map[string]any{"identity": map[string]any{"type": "None"}})
	if got.Status != 200 || got.get("identity.userAssignedIdentities") != nil {
		t.Errorf("the type None takes all off: %d %s", got.Status, got.Raw)
	}
	system := w.must("PATCH", account, map[string]any{"identity": map[string]any{"type": "SystemAssigned"}}).text("identity.principalId")
	if _, known := w.directory.Lookup(system); !known {
		t.Error("a system-assigned identity has no principal")
	}
	w.must("DELETE", account, nil)
	if _, known := w.directory.Lookup(system); known {
		t.Error("a system-assigned identity outlives its resource")
	}
}

// MI-08: roles are found by name, ignoring case and spaces; a grant and its end are in force on the next request.
func TestGrantsAreInForceAtOnce(t *testing.T) {
	w := newWorld(t)
	for filter, want := range map[string]string{
		"roleName eq 'acrpull'": "7f951dda-4ed3-4680-a7ca-43fe172d538d", "roleName eq 'managedidentityoperator'": access.RoleManagedIdentityOperator,
		"roleName eq 'Managed Identity Operator'": access.RoleManagedIdentityOperator, "RoleName EQ 'STORAGE blob data READER'": access.RoleStorageBlobDataReader,
	} {
		got := w.do("GET", group+strings.TrimSuffix(definitions, "/")+"?$filter="+strings.ReplaceAll(filter, " ", "%20"), nil)
		if names := got.names(); len(names) != 1 || names[0] != want {
			t.Errorf("%s gives %s", filter, got.Raw)
		}
	}
	who := w.person("reader")
	for range 20 {
		refused(t, "before the grant", w.as(who, "GET", group, nil), 403, "AuthorizationFailed", "subscriptions/resourceGroups/read")
		id := w.grant(who, access.RoleReader, group)
		if got := w.as(who, "GET", group, nil); got.Status != 200 {
			t.Fatalf("after the grant: %d %s", got.Status, got.Raw)
		}
		w.must("DELETE", id, nil)
	}
}

// FS-10: custom roles are created, updated, assigned and deleted, not while they are assigned.
func TestCustomRoles(t *testing.T) {
	w := newWorld(t)
	guid, who := uuid.NewString(), w.person("holder")
	path := group + definitions + guid
	if got := w.do("PUT", path, roleBody("Looker", []string{group}, []string{"Microsoft.Storage/storageAccounts/read"}, nil)); got.Status != 201 || got.text("properties.type") != "CustomRole" {
		t.Fatalf("create: %d %s", got.Status, got.Raw)
	}
	refused(t, "the same name", w.do("PUT", group+definitions+uuid.NewString(), roleBody("LOOKER", []string{group}, []string{"*/read"}, nil)), 409, "RoleDefinitionWithSameNameExists", "LOOKER")
	assignment := w.grant(who, guid, group)
	if got := w.as(who, "GET", group+"/providers/Microsoft.Storage/storageAccounts", nil); got.Status != 200 {
		t.Errorf("the role does not grant: %d %s", got.Status, got.Raw)
	}
	w.must("PUT", path, roleBody("Looker", []string{group}, []string{"Microsoft.KeyVault/vaults/read"}, nil))
	refused(t, "after the update", w.as(who, "GET", group+"/providers/Microsoft.Storage/storageAccounts", nil), 403, "AuthorizationFailed", "storageAccounts/read")
	refused(t, "delete while assigned", w.do("DELETE", path, nil), 409, "RoleDefinitionHasAssignments", guid)
	refused(t, "assign outside of its scopes", w.do("PUT", subscription+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(), grantBody(who, guid)), 400, "RoleDefinitionNotAssignable", "Looker")
	w.must("DELETE", assignment, nil)
	if got := w.do("DELETE", path, nil); got.Status != 200 {
		t.Errorf("delete: %d %s", got.Status, got.Raw)
	}
	if got := w.do("GET", path, nil); got.Status != 404 {
		t.Errorf("after the deletion: %d", got.Status)
	}
	w.must("PUT", path, roleBody("Looker", []string{group}, []string{"*/read"}, nil))
	refused(t, "a built-in role is changed", w.do("PUT", group+definitions+access.RoleReader, roleBody("Reader", []string{group}, []string{"*"}, nil)), 403, "RoleDefinitionBuiltIn", "Reader")
	refused(t, "a built-in role is deleted", w.do("DELETE", group+definitions+access.RoleReader, nil), 403, "RoleDefinitionBuiltIn", "Reader")
	// Who writes a role needs the right at every scope where it could be assigned.
	w.grant(who, access.RoleUserAccessAdministrator, group)
	refused(t, "a wider scope", w.as(who, "PUT", group+definitions+uuid.NewString(), roleBody("Wide", []string{group, subscription}, []string{"*/read"}, nil)), 403, "LinkedAuthorizationFailed", "roleDefinitions/write", subscription)
}

// FS-18: who holds what: by principal, with the groups', at a scope alone, and what is left of a deleted principal.
func TestListsOfAssignments(t *testing.T) {
	w := newWorld(t)
	w.withStore("")
	ctx := t.Context()
	who := w.person("member")
	team, err := w.directory.CreateGroup(ctx, "team", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.directory.AddMember(ctx, team.ID, who); err != nil {
		t.Fatal(err)
	}
	own, teams := w.grant(who, access.RoleReader, fs), w.grant(team.ID, access.RoleContributor, group)
	list := func(scope, filter string) string {
		got := w.do("GET", scope+"/providers/Microsoft.Authorization/roleAssignments?$filter="+strings.ReplaceAll(filter, " ", "%20"), nil)
		if got.Status != 200 {
			t.Fatalf("%s: %d %s", filter, got.Status, got.Raw)
		}
		var out []string
		for _, name := range got.names() {
			switch {
			case strings.HasSuffix(own, name):
				out = append(out, "own")
			case strings.HasSuffix(teams, name):
				out = append(out, "team's")
			}
		}
		return sorted(out)
	}
	for _, c := range []struct{ scope, filter, want string }{
		{fs, "principalId eq '" + who + "'", "[own]"},
		{fs, "assignedTo('" + who + "')", "[own team's]"},
		{group, "atScope()", "[team's]"},
		{fs, "atScope()", "[own team's]"},
		{group, "", "[own team's]"},
		{group, "atScope() and assignedTo('" + who + "')", "[team's]"},
	} {
		if got := list(c.scope, c.filter); got != c.want {
			t.Errorf("%s at %s gives %s; want %s", c.filter, c.scope, got, c.want)
		}
	}
	refused(t, "an unknown filter", w.do("GET", group+"/providers/Microsoft.Authorization/roleAssignments?$filter=colour%20eq%20'x'", nil), 400, "InvalidFilter", "colour")
	refused(t, "a stranger", w.as(w.person("stranger"), "GET", group+"/providers/Microsoft.Authorization/roleAssignments", nil), 403, "AuthorizationFailed", "roleAssignments/read")
	if err := w.directory.DeleteUser(ctx, who); err != nil {
		t.Fatal(err)
	}
	if got := w.do("GET", own, nil); got.text("properties.principalType") != "Unknown" {
		t.Errorf("the assignment of a deleted principal: %d %s", got.Status, got.Raw)
	}
}

// FS-19: a role on one feature set opens that set and no other.
func TestRoleOnOneFeatureSet(t *testing.T) {
	w := newWorld(t)
	w.withStore("None")
	w.must("PUT", fs+"/featuresets/transactions2/versions/1", setBody("None"))
	who := w.person("reader")
	w.grant(who, access.RoleMLDataScientist, fs+"/featuresets/transactions")
	if got := w.as(who, "GET", setVersion, nil); got.Status != 200 {
		t.Errorf("the set: %d %s", got.Status, got.Raw)
	}
	refused(t, "another set, whose name begins with the first's", w.as(who, "GET", fs+"/featuresets/transactions2/versions/1", nil), 403, "AuthorizationFailed", "featuresets/read")
	refused(t, "the store", w.as(who, "GET", fs, nil), 403, "AuthorizationFailed", "workspaces")
	if got := w.as(who, "GET", fs+"/featuresets", nil); sorted(got.names()) != "[transactions]" {
		t.Errorf("the list shows %s", got.Raw)
	}
	if got := w.as(who, "GET", group+"/resources", nil); got.Status != 200 || len(got.values()) != 0 {
		t.Errorf("the group's resources: %d %s", got.Status, got.Raw)
	}
}

// The last assignment through which anybody can assign roles stays, however many try to delete it at once.
func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t)
	second := w.person("second")
	theirs := w.grant(second, access.RoleOwner, "/")
	ours := ""
	for _, a := range w.live.Snapshot().AssignmentsFor(w.owner) {
		ours = a.ID.String()
	}
	done := make(chan answer)
	for _, try := range [][2]string{{w.owner, theirs}, {second, ours}} {
		go func() { done <- w.send(try[0], "DELETE", try[1], nil) }()
	}
	first, other := <-done, <-done
	if left := len(w.live.Snapshot().Who("Microsoft.Authorization/roleAssignments/write", false, resource.Root)); left != 1 {
		t.Errorf("%d administrators are left after %d %s and %d %s", left, first.Status, first.Raw, other.Status, other.Raw)
	}
	for _, a := range w.live.Snapshot().Who("Microsoft.Authorization/roleAssignments/write", false, resource.Root) {
		refused(t, "the last one", w.send(a.PrincipalID, "DELETE", a.ID.String(), nil), 409, "LastRBACAdminAssignment")
	}
}
