package access_test

import (
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/resource"
)

// naive decides by the documented rules, word for word and without haste: it splits strings and goes through every
// assignment. It shares no code with what it checks.
type naive struct {
	operations  []access.Operation
	roles       []*access.Role
	assignments []access.Assignment
	split       map[string][]string
	conditions  map[*condition.Condition]naiveCondition
}

func (n *naive) role(id string) *access.Role {
	for _, role := range n.roles {
		if strings.EqualFold(role.ID, id) {
			return role
		}
	}
	return nil
}

// grants gives the assignments that allow the request.
func (n *naive) grants(r access.Request) []access.Assignment {
	var found []access.Assignment
	for _, assignment := range n.ifConditionsHeld(r) {
		if assignment.Condition == nil || n.conditions[assignment.Condition].holds(r) {
			found = append(found, assignment)
		}
	}
	return found
}

// unmet gives the assignments that would allow the request if their conditions held.
func (n *naive) unmet(r access.Request) []access.Assignment {
	var found []access.Assignment
	for _, assignment := range n.ifConditionsHeld(r) {
		if assignment.Condition != nil && !n.conditions[assignment.Condition].holds(r) {
			found = append(found, assignment)
		}
	}
	return found
}

func (n *naive) ifConditionsHeld(r access.Request) []access.Assignment {
	asked := n.segments(r.Scope)
	return n.granting(r, func(assignment access.Assignment) bool {
		return naiveContains(n.segments(assignment.Scope), asked)
	})
}

func (n *naive) any(r access.Request) bool {
	asked := n.segments(r.Scope)
	return len(n.granting(r, func(assignment access.Assignment) bool {
		scope := n.segments(assignment.Scope)
		possible := assignment.Condition == nil || n.conditions[assignment.Condition].possible(r.Action)
		return possible && (naiveContains(scope, asked) || naiveContains(asked, scope))
	})) > 0
}

func (n *naive) granting(r access.Request, reaches func(access.Assignment) bool) []access.Assignment {
	if !naiveConcrete(r.Action) {
		return nil
	}
	var found []access.Assignment
	for _, assignment := range n.assignments {
		if !naiveHolds(r, assignment.PrincipalID) || !reaches(assignment) {
			continue
		}
		if role := n.role(assignment.RoleID); role != nil && naiveGrants(role, r.Action, r.Data) {
			found = append(found, assignment)
		}
	}
	return found
}

func (n *naive) smallestRoles(action string, data bool) []string {
	if !naiveConcrete(action) {
		return nil
	}
	type candidate struct {
		role  *access.Role
		power int
	}
	var found []candidate
	for _, role := range n.roles {
		if !naiveGrants(role, action, data) {
			continue
		}
		power := 0
		for _, operation := range n.operations {
			if naiveGrants(role, operation.Name, operation.Data) {
				power++
			}
		}
		found = append(found, candidate{role, power})
	}
	slices.SortFunc(found, func(a, b candidate) int {
		if a.power != b.power {
			return a.power - b.power
		}
		if c := strings.Compare(strings.ToLower(a.role.Name), strings.ToLower(b.role.Name)); c != 0 {
			return c
		}
		return strings.Compare(a.role.ID, b.role.ID)
	})
	ids := []string{}
	for _, each := range found {
		ids = append(ids, each.role.ID)
	}
	return ids
}

func naiveHolds(r access.Request, principal string) bool {
	if principal == "" {
		return false
	}
	if strings.EqualFold(principal, r.PrincipalID) {
		return true
	}
	for _, group := range r.Groups {
		if strings.EqualFold(principal, group) {
			return true
		}
	}
	return false
}

func naiveGrants(role *access.Role, action string, data bool) bool {
	for _, permission := range role.Permissions {
		allow, except := permission.Actions, permission.NotActions
		if data {
			allow, except = permission.DataActions, permission.NotDataActions
		}
		if naiveAny(allow, action) && !naiveAny(except, action) {
			return true
		}
	}
	return false
}

func naiveAny(patterns []string, action string) bool {
	for _, pattern := range patterns {
		if naiveMatch(pattern, action) {
			return true
		}
	}
	return false
}

// naiveMatch tries every way to leave out segments that are a lone star between two slashes, and matches what remains
// with plain stars.
func naiveMatch(pattern, action string) bool {
	return naiveVanish(strings.Split(pattern, "/"), 1, action)
}

func naiveVanish(segments []string, from int, action string) bool {
	for i := from; i < len(segments)-1; i++ {
		if segments[i] == "*" {
			without := append(append([]string{}, segments[:i]...), segments[i+1:]...)
			return naiveVanish(without, i, action) || naiveVanish(segments, i+1, action)
		}
	}
	return naiveGlob(strings.Join(segments, "/"), action)
}

func naiveGlob(pattern, action string) bool {
	if pattern == "" {
		return action == ""
	}
	if pattern[0] == '*' {
		for i := 0; i <= len(action); i++ {
			if naiveGlob(pattern[1:], action[i:]) {
				return true
			}
		}
		return false
	}
	return action != "" && naiveLower(pattern[0]) == naiveLower(action[0]) && naiveGlob(pattern[1:], action[1:])
}

func naiveLower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 32
	}
	return c
}

// naiveConcrete tells whether an action names a provider and an operation of it, without wildcards.
func naiveConcrete(action string) bool {
	segments := strings.Split(action, "/")
	for _, segment := range segments {
		if segment == "" || strings.Contains(segment, "*") {
			return false
		}
	}
	return len(segments) >= 2 && strings.Contains(segments[0], ".")
}

// naiveContains compares scopes segment by segment.
func naiveContains(outer, inner []string) bool {
	if len(outer) > len(inner) {
		return false
	}
	for i := range outer {
		if !strings.EqualFold(outer[i], inner[i]) {
			return false
		}
	}
	return true
}

// segments splits a scope, once per spelling.
func (n *naive) segments(id resource.ID) []string {
	text := id.String()
	segments, ok := n.split[text]
	if !ok {
		for _, segment := range strings.Split(text, "/") {
			if segment != "" {
				segments = append(segments, segment)
			}
		}
		if n.split == nil {
			n.split = map[string][]string{}
		}
		n.split[text] = segments
	}
	return segments
}
