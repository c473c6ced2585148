// Package guard is the one door: every plane asks it before it does anything for anybody. It joins the decision engine
// with the audit log, so that no request can be decided without being recorded, and words a refusal so that the reader
// knows which action on which scope was missing and which role would grant it.
package guard

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// Request asks whether somebody may do something.
type Request struct {
	Who       identity.Principal
	Action    string        // full operation name, such as Microsoft.Storage/storageAccounts/read
	Data      bool          // a data action
	Scopes    []resource.ID // the action must be allowed on one of them; mostly there is just one
	Plane     string        // resourceManager, blob, features, graph …
	Target    string        // the object below the scope, for the audit record
	RequestID string
	Client    string // the caller's address
	Job       string // the job on whose behalf the caller acts

	// Attributes is what conditions on role assignments may ask about, as in
	// condition.Attributes{{Attribute: condition.RepositoryName, Text: "team/app"}}. One that is not given is missing: a
	// condition that asks about it does not hold.
	Attributes condition.Attributes
}

// Guard decides and records. Its fields are set once.
type Guard struct {
	Access *access.Live
	Audit  audit.Log
	Clock  func() time.Time
}

// Check returns nil when the request is allowed on one of its scopes, and otherwise an error of kind Forbidden with the
// code AuthorizationFailed. Both outcomes are in the audit log when it returns; when the log cannot take the record,
// nothing is allowed.
func (g *Guard) Check(ctx context.Context, request Request) error {
	decision, scope := g.decide(request)
	record := audit.Record{
		Time: g.Clock(), RequestID: request.RequestID, Plane: request.Plane, Principal: request.Who.ID,
		Name: request.Who.Name, Action: request.Action, Scope: scope.String(), Target: request.Target,
		Allowed: decision.Allowed, Client: request.Client, Job: request.Job,
	}
	var refusal *resource.Error
	if decision.Allowed {
		record.Assignment, record.Role = decision.Assignment.ID.String(), decision.Role.Name
	} else {
		refusal = g.Refusal(request)
		record.Reason = "no role assignment grants the action on the scope"
		if unmet := g.unmet(request); len(unmet) > 0 {
			record.Reason = "the condition of the role assignment does not hold: " + unmet[0].Assignment.ID.String()
		}
	}
	if err := g.Audit.Record(ctx, record); err != nil {
		return audit.Unavailable(err)
	}
	if refusal != nil {
		return refusal
	}
	return nil
}

// Allowed answers like Check and leaves no record. It is for choosing what to show in a list, never for letting a
// request pass.
func (g *Guard) Allowed(request Request) bool {
	decision, _ := g.decide(request)
	return decision.Allowed
}

func (g *Guard) decide(request Request) (access.Decision, resource.ID) {
	snapshot, now := g.Access.Snapshot(), g.Clock()
	for _, scope := range request.Scopes {
		decision := snapshot.Can(request.asked(scope, now))
		if decision.Allowed {
			return decision, scope
		}
	}
	if len(request.Scopes) == 0 {
		return access.Decision{}, resource.Root
	}
	return access.Decision{}, request.Scopes[0]
}

// asked gives the request as the access engine takes it, for one of its scopes.
func (r *Request) asked(scope resource.ID, now time.Time) access.Request {
	return access.Request{
		PrincipalID: r.Who.ID, Groups: r.Who.Groups, Action: r.Action, Data: r.Data, Scope: scope, Attributes: r.Attributes, Now: now,
	}
}

// unmet gives the assignments that would allow the request if their conditions held, for the first scope that has any.
func (g *Guard) unmet(request Request) []access.Decision {
	snapshot, now := g.Access.Snapshot(), g.Clock()
	for _, scope := range request.Scopes {
		if unmet := snapshot.Unmet(request.asked(scope, now)); len(unmet) > 0 {
			return unmet
		}
	}
	return nil
}

// unmetCondition is the sentence about a condition that does not hold, with a space before it, or nothing.
func (g *Guard) unmetCondition(request Request) string {
	unmet := g.unmet(request)
	if len(unmet) == 0 {
		return ""
	}
	const longest = 400 // characters of a condition that are shown
	text := []rune(strings.Join(strings.Fields(unmet[0].Assignment.Condition.Text()), " "))
	if len(text) > longest {
		text = append(text[:longest], '…')
	}
	return fmt.Sprintf(" The role '%s' is assigned at '%s' under a condition that does not hold for this request: %s",
		unmet[0].Role.Name, unmet[0].Assignment.Scope, string(text))
}

// Refusal words the error that a request gets when it is not allowed. When an assignment would grant the action but for its
// condition, it says so.
func (g *Guard) Refusal(request Request) *resource.Error {
	scope := resource.Root
	if len(request.Scopes) > 0 {
		scope = request.Scopes[0]
	}
	what := "action"
	if request.Data {
		what = "data action"
	}
	return resource.Forbiddenf("AuthorizationFailed",
		"The client '%s' with object id '%s' does not have authorization to perform %s '%s' over scope '%s' or the scope is invalid. "+
			"If access was recently granted, please refresh your credentials.%s%s",
		request.Who.Name, request.Who.ID, what, request.Action, scope, g.unmetCondition(request), g.Cure(request.Who, request.Action, request.Data, scope))
}

// Cure says which roles would grant an action, the smallest first, and the command that grants the first one. It is a
// sentence that starts with a space, or nothing when no role grants the action.
func (g *Guard) Cure(who identity.Principal, action string, data bool, scope resource.ID) string {
	roles := g.Access.Snapshot().SmallestRoles(action, data)
	if len(roles) == 0 {
		return ""
	}
	names := make([]string, 0, 3)
	for _, role := range roles[:min(3, len(roles))] {
		names = append(names, "'"+role.Name+"'")
	}
	return fmt.Sprintf(" It is granted by %s: alvara role assignment create --assignee %s --role %q --scope %s",
		strings.Join(names, ", "), who.ID, roles[0].Name, scope)
}
