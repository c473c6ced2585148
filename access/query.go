package access

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// Any tells whether the principal may perform the action at the scope or at anything below it. A list that shows only
// what the caller may see asks it before descending.
func (s *Snapshot) Any(principalID string, groups []string, action string, data bool, under resource.ID) bool {
	q, ok := s.ask(action, data)
	if !ok {
		return false
	}
	key := under.Key()
	if h := s.holder(principalID); h != nil && h.any(s, &q, key) {
		return true
	}
	for _, group := range groups {
		if h := s.holder(group); h != nil && h.any(s, &q, key) {
			return true
		}
	}
	return false
}

func (h *holder) any(s *Snapshot, q *query, key string) bool {
	if !h.isMany() {
		for i := range h.few {
			e := &h.few[i]
			if q.grantedBy(s, e.slot) && (covers(e.scope, key) || covers(key, e.scope)) {
				return true
			}
		}
		return false
	}
	if found, _ := h.find(s, q, key); found != nil {
		return true
	}
	return h.list.below(key, func(e *held) bool { return q.grantedBy(s, e.slot) })
}

// Grants gives every assignment that allows the request, the principal's own first, then group by group, each from the
// root downwards. It is empty exactly when Can refuses.
func (s *Snapshot) Grants(r Request) []Decision {
	q, ok := s.ask(r.Action, r.Data)
	if !ok {
		return nil
	}
	var all []Decision
	seen := map[*holder]bool{}
	collect := func(principal, group string) {
		h := s.holder(principal)
		if h == nil || seen[h] {
			return
		}
		seen[h] = true
		add := func(e *held) {
			if q.grantedBy(s, e.slot) && covers(e.scope, r.Scope.Key()) {
				all = append(all, Decision{Allowed: true, Assignment: e.assignment, Role: s.roles[e.slot].role, Group: group})
			}
		}
		for i := range h.few {
			add(&h.few[i])
		}
		if h.isMany() {
			for end, key := 0, r.Scope.Key(); end >= 0; end = nextScope(key, end) {
				h.list.at(key[:max(1, end)], add)
			}
		}
	}
	collect(r.PrincipalID, "")
	for _, group := range r.Groups {
		collect(group, group)
	}
	return all
}

// Who gives the assignments through which anybody may perform the action at the scope, from the root downwards. A group
// in it stands for its members.
func (s *Snapshot) Who(action string, data bool, scope resource.ID) []*Assignment {
	q, ok := s.ask(action, data)
	if !ok {
		return nil
	}
	var all []*Assignment
	s.scopes.above(s.seed, scope.Key(), func(e *held) bool {
		if q.grantedBy(s, e.slot) {
			all = append(all, e.assignment)
		}
		return true
	})
	return all
}

// SmallestRoles gives the roles that grant the action, built-in and custom, the least powerful first: by the number of
// operations of the catalogue that they grant, then by name, then by id.
func (s *Snapshot) SmallestRoles(action string, data bool) []*Role {
	q, ok := s.ask(action, data)
	if !ok {
		return nil
	}
	var found []*compiledRole
	for slot, role := range s.roles {
		if role != nil && q.grantedBy(s, int32(slot)) {
			found = append(found, role)
		}
	}
	slices.SortFunc(found, func(a, b *compiledRole) int {
		return cmp.Or(cmp.Compare(a.power, b.power), compareRoles(a.role, b.role))
	})
	roles := make([]*Role, len(found))
	for i, role := range found {
		roles[i] = role.role
	}
	return roles
}

func compareRoles(a, b *Role) int {
	return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
}

// Operations gives the catalogue, in its order.
func (s *Snapshot) Operations() []Operation { return slices.Clone(s.catalogue.operations) }

// OperationsOf gives the operations of the catalogue that a role grants; nil for an unknown role.
func (s *Snapshot) OperationsOf(roleID string) []Operation {
	role := s.compiled(roleID)
	if role == nil {
		return nil
	}
	granted := make([]Operation, 0, role.power)
	for n, operation := range s.catalogue.operations {
		if role.operations[n>>6]>>(n&63)&1 != 0 {
			granted = append(granted, operation)
		}
	}
	return granted
}

func (s *Snapshot) compiled(id string) *compiledRole {
	id = lowerASCII(id)
	slot, ok := s.slots.get(maphash.String(s.seed, id), id)
	if !ok {
		return nil
	}
	return s.roles[slot]
}
