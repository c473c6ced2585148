package access

import (
	"hash/maphash"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/access/wildcard"
	"github.com/alvara-ml/alvara/resource"
)

// Role finds a role definition by its guid, in any case; nil when there is none.
func (s *Snapshot) Role(id string) *Role {
	if role := s.compiled(id); role != nil {
		return role.role
	}
	return nil
}

// Roles gives all role definitions by name.
func (s *Snapshot) Roles() []*Role {
	var roles []*Role
	for _, role := range s.roles {
		if role != nil {
			roles = append(roles, role.role)
		}
	}
	slices.SortFunc(roles, compareRoles)
	return roles
}

// RoleByName finds a role by its name, ignoring case and spaces as people do when they type one: acrpull,
// managedidentityoperator. A role of exactly that name, but for case, goes before one that is equal only without spaces.
// It gives nil when there is none, and when several answer and none of them exactly: RolesNamed tells which.
func (s *Snapshot) RoleByName(name string) *Role {
	candidates := s.RolesNamed(name)
	var exact []*Role
	for _, role := range candidates {
		if strings.EqualFold(role.Name, name) {
			exact = append(exact, role)
		}
	}
	switch {
	case len(exact) == 1:
		return exact[0]
	case len(candidates) == 1:
		return candidates[0]
	}
	return nil
}

// RolesNamed gives all roles of that name, ignoring case and spaces. Custom roles of different scopes may share a name.
func (s *Snapshot) RolesNamed(name string) []*Role {
	wanted := squeeze(name)
	var found []*Role
	for _, role := range s.roles {
		if role != nil && role.squeezed == wanted {
			found = append(found, role.role)
		}
	}
	slices.SortFunc(found, compareRoles)
	return found
}

// RoleUses counts the assignments of a role, whether or not the role exists.
func (s *Snapshot) RoleUses(id string) int {
	id = wildcard.Lower(id)
	slot, ok := s.slots.get(maphash.String(s.seed, id), id)
	if !ok {
		return 0
	}
	return int(s.uses[slot])
}

// Assignment finds an assignment by its id; nil when there is none.
func (s *Snapshot) Assignment(id resource.ID) *Assignment {
	key := id.Key()
	assignment, _ := s.assignments.get(maphash.String(s.seed, key), key)
	return assignment
}

// AssignmentCount is the number of all assignments.
func (s *Snapshot) AssignmentCount() int { return s.assignments.size }

// AssignmentsFor gives what the principal and its groups hold at any scope, by scope and then by id.
func (s *Snapshot) AssignmentsFor(principalID string, groups ...string) []*Assignment {
	var all []held
	seen := map[*holder]bool{}
	for _, principal := range append([]string{principalID}, groups...) {
		if h := s.holder(principal); h != nil && !seen[h] {
			seen[h] = true
			h.each(func(e *held) bool { all = append(all, *e); return true })
		}
	}
	return sorted(all)
}

// AssignmentsAt gives the assignments at exactly that scope, by id.
func (s *Snapshot) AssignmentsAt(scope resource.ID) []*Assignment {
	node := s.scopes.at(s.seed, scope.Key())
	if node == nil {
		return nil
	}
	return sorted(node.held)
}

// AssignmentsAbove gives the assignments in force at the scope: those at it and at every scope that contains it, from
// the root downwards.
func (s *Snapshot) AssignmentsAbove(scope resource.ID) []*Assignment {
	var all []*Assignment
	s.scopes.above(s.seed, scope.Key(), func(e *held) bool { all = append(all, e.assignment); return true })
	return all
}

// AssignmentsBelow gives the assignments at scopes that the scope contains, without the scope itself, by scope and id.
func (s *Snapshot) AssignmentsBelow(scope resource.ID) []*Assignment {
	var all []held
	s.scopes.below(s.seed, scope.Key(), func(e *held) bool { all = append(all, *e); return true })
	return sorted(all)
}

func sorted(all []held) []*Assignment {
	if !slices.IsSortedFunc(all, compareHeld) {
		slices.SortFunc(all, compareHeld)
	}
	assignments := make([]*Assignment, len(all))
	for i := range all {
		assignments[i] = all[i].assignment
	}
	return assignments
}
