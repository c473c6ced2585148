package provider_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/resource"
)

const (
	registry  = group + "/providers/Microsoft.ContainerRegistry/registries/registry"
	onlyTeam  = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/pull/read'})) OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'))"
	pull      = "Microsoft.ContainerRegistry/registries/pull/read"
	onTheRole = "/providers/Microsoft.Authorization/roleAssignments/"
)

func conditionBody(principal, role, text string, more ...any) map[string]any {
	body := grantBody(principal, role)
	properties := body["properties"].(map[string]any)
	properties["condition"] = text
	for i := 0; i < len(more); i += 2 {
		properties[more[i].(string)] = more[i+1]
	}
	return body
}

func (w *world) pulls(who, repository string) bool {
	return w.live.Snapshot().Can(access.Request{PrincipalID: who, Action: pull, Scope: resource.MustParseID(registry).Child("repositories", strings.ReplaceAll(repository, "/", ":")),
		Attributes: condition.Attributes{{Attribute: condition.RepositoryName, Text: repository}}}).Allowed
}

// BX-05, MI-08: a condition is kept, shown, in force at once, changed and taken away; the grant stays one.
func TestConditionsOnAssignments(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", registry, map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}})
	who := w.person("puller")
	id := registry + onTheRole + uuid.NewString()
	made := w.must("PUT", id, conditionBody(who, access.RoleAcrPull, onlyTeam, "description", "for the team"))
	if made.text("properties.condition") != onlyTeam || made.text("properties.conditionVersion") != "2.0" || made.text("properties.description") != "for the team" {
		t.Errorf("created: %s", made.Raw)
	}
	if !w.pulls(who, "team/app") || w.pulls(who, "other/app") {
		t.Error("the condition is not in force")
	}
	changed := strings.Replace(onlyTeam, "team/", "other/", 1)
	w.must("PUT", id, conditionBody(who, access.RoleAcrPull, changed, "conditionVersion", "2.0", "description", "for the others"))
	if got := w.must("GET", id, nil); got.text("properties.condition") != changed || got.text("properties.description") != "for the others" {
		t.Errorf("changed: %s", got.Raw)
	}
	if w.pulls(who, "team/app") || !w.pulls(who, "other/app") {
		t.Error("the changed condition is not in force")
	}
	refused(t, "the same grant with another condition", w.do("PUT", registry+onTheRole+uuid.NewString(), conditionBody(who, access.RoleAcrPull, onlyTeam)), 409, "RoleAssignmentExists")
	got := w.must("PUT", id, grantBody(who, access.RoleAcrPull))
	if got.text("properties.condition") != "" || got.text("properties.conditionVersion") != "" || !w.pulls(who, "team/app") {
		t.Errorf("without a condition: %s", got.Raw)
	}
}

// What is not understood is refused by name, and nothing is stored.
func TestConditionsRefused(t *testing.T) {
	w := newWorld(t)
	who := w.person("puller")
	before := w.contents()
	for text, wants := range map[string][]string{
		"(" + onlyTeam: {"properties.condition", "column"},
		strings.Replace(onlyTeam, "StringStartsWith", "StringEndsWith", 1):                   {"\"StringEndsWith\" is not supported", fmt.Sprintf("column %d", strings.Index(onlyTeam, "StringStartsWith")+1)},
		strings.Replace(onlyTeam, "repositories:name", "repositories:size", 1):               {"repositories:size] is not supported"},
		strings.Replace(onlyTeam, "pull/read", "pull/reed", 1):                               {"pull/reed", "matches no operation"},
		"@Principal[Microsoft.Directory/CustomSecurityAttributes/Id:a_b] StringEquals 'red'": {"custom security attributes"},
		"'" + strings.Repeat("x", 9000) + "' StringEquals 'x'":                               {"8 KB"},
	} {
		refused(t, text, w.do("PUT", group+onTheRole+uuid.NewString(), conditionBody(who, access.RoleAcrPull, text)), 400, "InvalidCondition", wants...)
	}
	refused(t, "version 1.0", w.do("PUT", group+onTheRole+uuid.NewString(), conditionBody(who, access.RoleAcrPull, onlyTeam, "conditionVersion", "1.0")), 400, "InvalidConditionVersion", "1.0", "2.0")
	w.unchanged(before, "refused conditions")
}

// The last one who assigns roles cannot be restricted, and one who is restricted does not count as another.
func TestTheLastAdministratorStaysUnrestricted(t *testing.T) {
	w := newWorld(t)
	ours := w.live.Snapshot().AssignmentsFor(w.owner)[0].ID.String()
	restricted := "@Environment[UtcNow] DateTimeLessThan '2030-01-01T00:00:00Z'"
	refused(t, "restrict", w.do("PUT", ours, conditionBody(w.owner, access.RoleOwner, restricted)), 409, "LastRBACAdminAssignment", "restrict")
	second := w.person("second")
	theirs := "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString()
	w.must("PUT", theirs, conditionBody(second, access.RoleOwner, restricted))
	refused(t, "delete", w.do("DELETE", ours, nil), 409, "LastRBACAdminAssignment")
	w.must("PUT", theirs, grantBody(second, access.RoleOwner))
	w.must("PUT", ours, conditionBody(w.owner, access.RoleOwner, restricted))
}

// BX-08: roles on one repository, before it exists, under both spellings; they are listed, and go with the registry.
func TestRolesOnRepositories(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", registry, map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}})
	who, other := w.person("puller"), w.person("other")
	canonical := registry + "/repositories/team:app"
	w.grant(who, access.RoleAcrPull, canonical)
	name := uuid.NewString()
	made := w.must("PUT", registry+"/repositories/team/app"+onTheRole+name, grantBody(other, access.RoleAcrPull))
	if made.text("properties.scope") != canonical || made.text("id") != canonical+onTheRole+name {
		t.Errorf("the natural spelling gives %s", made.Raw)
	}
	if !w.pulls(who, "team/app") || !w.pulls(other, "team/app") || w.pulls(who, "team/app2") || w.pulls(who, "team") {
		t.Error("the role is not on that repository alone")
	}
	for _, scope := range []string{canonical, registry + "/repositories/team/app", registry} {
		got := w.must("GET", scope+"/providers/Microsoft.Authorization/roleAssignments?$filter="+url.QueryEscape("principalId eq '"+other+"'"), nil)
		if names := got.names(); len(names) != 1 || names[0] != name {
			t.Errorf("listed at %s: %s", scope, got.Raw)
		}
	}
	w.must("DELETE", registry+"/repositories/team/app"+onTheRole+name, nil)
	if w.pulls(other, "team/app") {
		t.Error("the deleted role is still in force")
	}
	for _, ill := range []string{"Team:app", "team::app", "-team", "a:b:", "team/App", "a%20b", strings.Repeat("a", 300)} {
		refused(t, ill, w.do("PUT", registry+"/repositories/"+ill+onTheRole+uuid.NewString(), grantBody(other, access.RoleAcrPull)), 400, "InvalidScope", "repository", "':' for '/'")
	}
	refused(t, "no registry", w.do("PUT", strings.TrimSuffix(registry, "y")+"ies/repositories/team:app"+onTheRole+uuid.NewString(), grantBody(other, access.RoleAcrPull)), 404, "ResourceNotFound", "registries/registries")
	w.must("DELETE", registry, nil)
	if left := w.live.Snapshot().AssignmentsFor(who); len(left) != 0 {
		t.Errorf("%d assignments outlive the registry", len(left))
	}
}
