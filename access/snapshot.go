package access

import (
	"hash/maphash"
	"strings"

	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/access/wildcard"
)

// Snapshot is the compiled state of all role definitions and assignments at one moment. It never changes and may be
// used by any number of goroutines. Get the current one from Live for every check: an old one knows nothing of what was
// granted or revoked since.
type Snapshot struct {
	revision  uint64
	seed      maphash.Seed
	catalogue *catalogue

	slots  trie[int32]     // role id → slot
	roles  []*compiledRole // by slot; nil where an assignment names a role that does not exist, and in free slots
	uses   []int32         // assignments by slot
	free   []int32         // slots that may be given out again
	stride int             // words per row of grants
	grants []uint64        // operation × slot, one bit each

	holders     trie[*holder]     // principal id → what it holds
	assignments trie[*Assignment] // assignment id's key → assignment
	scopes      scopeTree         // all assignments by scope
	conditions  int               // how many assignments have a condition
}

// holder is what one principal holds. Most hold little, and a short list is searched faster than a table is asked.
type holder struct {
	owner *owner
	count int
	few   []held     // by scope then id; unused once there is a table
	table scopeTable // all of it by the scope's hash; empty for few
	list  scopeList  // the same by scope

	conditional *holder // what it holds under conditions, apart from all the above; nil for nothing
}

func (h *holder) isMany() bool { return h.table.pages != nil }

// fewHeld is the number of assignments up to which a list is kept; about where asking the table becomes as fast.
const fewHeld = 24

// Revision counts the changes that led to this snapshot; a later one has a higher revision.
func (s *Snapshot) Revision() uint64 { return s.revision }

// Can decides whether the principal may perform the action at the scope. What the principal holds itself is looked at
// before what its groups hold, and what is held without a condition before what is held with one. It does not allocate
// for operations of the catalogue; other actions are decided by pattern, with the same answer and more slowly.
func (s *Snapshot) Can(r Request) Decision {
	q, ok := s.ask(r.Action, r.Data)
	if !ok {
		return Decision{}
	}
	key := r.Scope.Key()
	if h := s.holder(r.PrincipalID); h != nil {
		if found, slot := h.find(s, &q, key); found != nil {
			return Decision{Allowed: true, Assignment: found, Role: s.roles[slot].role}
		}
	}
	for _, group := range r.Groups {
		if h := s.holder(group); h != nil {
			if found, slot := h.find(s, &q, key); found != nil {
				return Decision{Allowed: true, Assignment: found, Role: s.roles[slot].role, Group: group}
			}
		}
	}
	if s.conditions == 0 {
		return Decision{}
	}
	return s.canConditionally(&q, &r, key)
}

// query is an action as the roles of a snapshot are asked about it.
type query struct {
	row    []uint64 // the operation's row of grants; nil outside the catalogue
	action string   // in lower case, for actions outside the catalogue
	data   bool

	input *condition.Input // what conditions are asked about; nil among assignments that have none
}

// holds tells whether the condition of an assignment holds for what is asked.
func (q *query) holds(assignment *Assignment) bool {
	return q.input == nil || assignment.Condition.Holds(q.input)
}

func (s *Snapshot) ask(action string, data bool) (query, bool) {
	if n, known := s.catalogue.number(action, data); known {
		at := int(n) * s.stride
		return query{row: s.grants[at : at+s.stride]}, true
	}
	if !wellFormed(action) {
		return query{}, false
	}
	return query{action: wildcard.Lower(action), data: data}, true
}

// grantedBy tells whether the role in a slot grants what is asked.
func (q *query) grantedBy(s *Snapshot, slot int32) bool {
	if q.action == "" {
		word := int(slot >> 6)
		return word < len(q.row) && q.row[word]>>(slot&63)&1 != 0
	}
	role := s.roles[slot]
	return role != nil && role.grants(q.action, q.data)
}

func (s *Snapshot) holder(principal string) *holder {
	if h, ok := s.holders.get(maphash.String(s.seed, principal), principal); ok {
		return h
	}
	if strings.ContainsFunc(principal, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		lower := wildcard.Lower(principal)
		h, _ := s.holders.get(maphash.String(s.seed, lower), lower)
		return h
	}
	return nil
}

// find gives the first assignment, from the root downwards, that grants what is asked at the scope, and its role's slot.
func (h *holder) find(s *Snapshot, q *query, key string) (*Assignment, int32) {
	if !h.isMany() {
		if q.action == "" && q.input == nil {
			return findKnown(h.few, q.row, key)
		}
		for i := range h.few {
			if e := &h.few[i]; e.covers(key) && q.grantedBy(s, e.slot) && q.holds(e.assignment) {
				return e.assignment, e.slot
			}
		}
		return nil, 0
	}
	return h.table.above(s, q, key)
}

// findKnown is the innermost loop: most principals hold little, and most actions are in the catalogue.
func findKnown(few []held, row []uint64, key string) (*Assignment, int32) {
	for i := range few {
		e := &few[i]
		if word := int(e.slot >> 6); word < len(row) && row[word]>>(e.slot&63)&1 != 0 && e.covers(key) {
			return e.assignment, e.slot
		}
	}
	return nil, 0
}

// each yields everything that the principal holds: without conditions by scope and then by id, then likewise with them.
func (h *holder) each(yield func(*held) bool) {
	going := true
	if h.isMany() {
		h.list.from("", func(e *held) bool { going = yield(e); return going })
	} else {
		for i := 0; going && i < len(h.few); i++ {
			going = yield(&h.few[i])
		}
	}
	if going && h.conditional != nil {
		h.conditional.each(yield)
	}
}
