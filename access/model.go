package access

import (
	"time"

	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/access/wildcard"
	"github.com/alvara-ml/alvara/resource"
)

// Permission is one block of a role. Its strings are action patterns as Match reads them.
type Permission struct {
	Actions        []string `json:"actions,omitempty"`
	NotActions     []string `json:"notActions,omitempty"`
	DataActions    []string `json:"dataActions,omitempty"`
	NotDataActions []string `json:"notDataActions,omitempty"`
}

// Role is a role definition. A Role that was handed to Live or came from a Snapshot is shared and must not be changed.
type Role struct {
	ID               string        `json:"id"` // a guid, compared without regard to case
	Name             string        `json:"name"`
	Description      string        `json:"description,omitempty"`
	BuiltIn          bool          `json:"builtIn,omitempty"`
	Permissions      []Permission  `json:"permissions"`
	AssignableScopes []resource.ID `json:"assignableScopes,omitempty"`
}

// AssignableAt tells whether the role may be assigned at the scope: one of its assignable scopes contains it.
func (r *Role) AssignableAt(scope resource.ID) bool {
	for _, assignable := range r.AssignableScopes {
		if assignable.Contains(scope) {
			return true
		}
	}
	return false
}

// Assignment gives a principal a role at a scope. One that came from a Snapshot is shared and must not be changed.
type Assignment struct {
	ID            resource.ID `json:"id"`
	RoleID        string      `json:"roleId"`      // the guid of the role definition
	PrincipalID   string      `json:"principalId"` // the object id of a user, group, service principal or managed identity
	PrincipalType string      `json:"principalType"`
	Scope         resource.ID `json:"scope"`
	Created       time.Time   `json:"created"`
	CreatedBy     string      `json:"createdBy,omitempty"` // the object id of who assigned it

	// Condition says for which requests the assignment counts; nil for all of them.
	Condition *condition.Condition `json:"-"`
}

// Conditional tells whether the assignment counts for some requests to perform the action and perhaps not for others.
func (a *Assignment) Conditional(action string) bool {
	return a.Condition.Effect(wildcard.Lower(action)) == condition.Depends
}

// Request asks whether a principal may perform an action at a scope.
type Request struct {
	PrincipalID string
	Groups      []string // object ids of every group that holds the principal, directly or through other groups
	Action      string   // a concrete operation such as Microsoft.Storage/storageAccounts/read, in any case
	Data        bool     // a data action, as opposed to a control-plane action
	Scope       resource.ID

	// Attributes and Now are what conditions on assignments ask about. What is not given is missing, and a condition that
	// asks about it does not hold.
	Attributes condition.Attributes
	Now        time.Time
}

// Decision is the answer with its reason. A refusal has no assignment and no role. An assignment without a condition goes
// before one with a condition that holds.
type Decision struct {
	Allowed    bool
	Assignment *Assignment // the assignment that grants it; nearest the root when several do
	Role       *Role       // the role of that assignment
	Group      string      // the group that holds the assignment; "" when the principal holds it itself
}

// Change is one change of the stored definitions and assignments, for Live.Apply.
type Change interface{ apply(*edit) }

// PutRole creates or replaces a role definition. Assignments that name it follow at once.
type PutRole struct{ Role *Role }

// DeleteRole removes a role definition. Assignments that still name it grant nothing from then on.
type DeleteRole struct{ ID string }

// PutAssignment creates or replaces the assignment of that id.
type PutAssignment struct{ Assignment Assignment }

// DeleteAssignment removes an assignment; removing one that is not there changes nothing.
type DeleteAssignment struct{ ID resource.ID }
