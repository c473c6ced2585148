package access

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/access/wildcard"
	"github.com/alvara-ml/alvara/resource"
)

// Any tells whether the principal may perform the action at the scope or at anything below it. A list that shows only
// what the caller may see asks it before descending. An assignment counts here when its condition could hold: Any says
// where it is worth looking, and only Can says what is allowed.
func (s *Snapshot) Any(principalID string, groups []string, action string, data bool, under resource.ID) bool {
	q, ok := s.ask(action, data)
	if !ok {
		return false
	}
	key := under.Key()
	action = wildcard.Lower(action)
	if h := s.holder(principalID); h != nil && h.any(s, &q, action, key) {
		return true
	}
	for _, group := range groups {
		if h := s.holder(group); h != nil && h.any(s, &q, action, key) {
			return true
		}
	}
	return false
}

func (h *holder) any(s *Snapshot, q *query, action, key string) bool {
	found := false
	if h.conditional != nil {
		h.conditional.each(func(e *held) bool {
			found = q.grantedBy(s, e.slot) && (covers(e.scope, key) || covers(key, e.scope)) && e.assignment.Condition.Effect(action) != condition.Never
			return !found
		})
	}
	return found || h.anyPlain(s, q, key)
}

func (h *holder) anyPlain(s *Snapshot, q *query, key string) bool {
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
	input := condition.Input{Action: s.lowerAction(&q, &r), Attributes: r.Attributes, Now: r.Now}
	var all []Decision
	s.eachGranting(&q, r, func(d Decision) {
		if d.Assignment.Condition.Holds(&input) {
			all = append(all, d)
		}
	})
	return all
}

// eachGranting yields every assignment that allows the request or would if its condition held: for each holder those
// without conditions before those with one.
func (s *Snapshot) eachGranting(q *query, r Request, yield func(Decision)) {
	seen := map[*holder]bool{}
	collect := func(principal, group string) {
		h := s.holder(principal)
		if h == nil || seen[h] {
			return
		}
		seen[h] = true
		add := func(e *held) {
			if q.grantedBy(s, e.slot) && covers(e.scope, r.Scope.Key()) {
				yield(Decision{Allowed: true, Assignment: e.assignment, Role: s.roles[e.slot].role, Group: group})
			}
		}
		for ; h != nil; h = h.conditional {
			for i := range h.few {
				add(&h.few[i])
			}
			if h.isMany() {
				for end, key := 0, r.Scope.Key(); end >= 0; end = nextScope(key, end) {
					h.list.at(key[:max(1, end)], add)
				}
			}
		}
	}
	collect(r.PrincipalID, "")
	for _, group := range r.Groups {
		collect(group, group)
	}
}

// Who gives the assignments through which anybody may perform the action at the scope, from the root downwards. A group
// in it stands for its members. An assignment whose condition holds for no request to perform the action is left out; one
// for which Conditional is true lets some requests pass and is no right to perform the action as such.
func (s *Snapshot) Who(action string, data bool, scope resource.ID) []*Assignment {
	q, ok := s.ask(action, data)
	if !ok {
		return nil
	}
	action = wildcard.Lower(action)
	var all []*Assignment
	s.scopes.above(s.seed, scope.Key(), func(e *held) bool {
		if q.grantedBy(s, e.slot) && (e.assignment.Condition == nil || e.assignment.Condition.Effect(action) != condition.Never) {
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
	id = wildcard.Lower(id)
	slot, ok := s.slots.get(maphash.String(s.seed, id), id)
	if !ok {
		return nil
	}
	return s.roles[slot]
}
