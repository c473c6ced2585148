package guard_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
)

// BX-05: a condition is asked about what the plane tells and about the guard's clock. The refusal and the record name the
// assignment whose condition did not hold.
func TestConditions(t *testing.T) {
	const pull, content = "Microsoft.ContainerRegistry/registries/pull/read", "Microsoft.ContainerRegistry/registries/repositories/content/read"
	const text = "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'\n AND @Environment[UtcNow] DateTimeLessThan '2026-02-01T00:00:00Z'"
	only, err := condition.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	records := &log{}
	g := newGuard(records)
	id := group.Extension("Microsoft.Authorization/roleAssignments", "bcdd72a7-3385-48ef-bd42-f606fba81ae7")
	g.Access.Apply(access.PutAssignment{Assignment: access.Assignment{ID: id, RoleID: access.RoleAcrPull, PrincipalID: who.ID, Scope: group, Condition: only}},
		access.DeleteAssignment{ID: group.Extension("Microsoft.Authorization/roleAssignments", "acdd72a7-3385-48ef-bd42-f606fba81ae7")})
	request := func(action, repository string) guard.Request {
		r := guard.Request{Who: who, Action: action, Data: action == content, Scopes: []resource.ID{other, group}}
		if repository != "" {
			r.Attributes = condition.Attributes{{Attribute: condition.RepositoryName, Text: repository}}
		}
		return r
	}
	if err := g.Check(t.Context(), request(pull, "team/app")); err != nil {
		t.Errorf("the condition holds: %v", err)
	}
	if records.records[0].Assignment != id.String() {
		t.Errorf("the record names %q", records.records[0].Assignment)
	}
	for _, repository := range []string{"other/app", "", "team"} {
		err := g.Check(t.Context(), request(pull, repository))
		e, _ := resource.AsError(err)
		if e == nil || e.Kind != resource.Forbidden {
			t.Fatalf("%q: %v", repository, err)
		}
		for _, want := range []string{"'AcrPull' is assigned at '" + group.String() + "' under a condition that does not hold", "'team/' AND @Environment"} {
			if !strings.Contains(e.Message, want) {
				t.Errorf("the refusal does not say %q: %s", want, e.Message)
			}
		}
		if last := records.records[len(records.records)-1]; last.Allowed || !strings.Contains(last.Reason, id.String()) {
			t.Errorf("the record does not name the assignment: %+v", last)
		}
	}
	// Of several rights the refusal names the one that is held under a condition.
	err = g.CheckAny(t.Context(), request(content, "other"), request(pull, "other"))
	if e, _ := resource.AsError(err); e == nil || !strings.Contains(e.Message, pull) || !strings.Contains(e.Message, "does not hold") {
		t.Errorf("%v", err)
	}
	if err := g.CheckAny(t.Context(), request(content, "team/a"), request(pull, "team/a")); err != nil {
		t.Error(err)
	}
	err = g.CheckAny(t.Context(), request(content, "team/a"), request(read, "team/a"))
	if e, _ := resource.AsError(err); e == nil || !strings.Contains(e.Message, content) || strings.Contains(e.Message, "does not hold") {
		t.Errorf("nothing is held under a condition here: %v", err)
	}
	// The list looks where something could be allowed, and the door does not open for that.
	if !g.AllowedBelow(request(pull, "")) || g.Allowed(request(pull, "")) {
		t.Error("a conditional assignment is worth looking, and no right")
	}
	now = now.AddDate(0, 1, 0)
	defer func() { now = now.AddDate(0, -1, 0) }()
	if g.Allowed(request(pull, "team/app")) {
		t.Error("the time is over")
	}
}
