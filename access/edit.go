package access

import (
	"hash/maphash"
	"slices"

	"github.com/alvara-ml/alvara/access/wildcard"
)

// edit builds the next snapshot from the present one. Tries and trees are copied node by node as they are touched; the
// small per-slot tables are copied whole, the first time they are needed.
type edit struct {
	next       *Snapshot
	owner      *owner
	ownsUses   bool
	ownsRoles  bool
	ownsGrants bool
}

func newEdit(s *Snapshot) *edit {
	next := *s
	next.revision++
	return &edit{next: &next, owner: new(owner)}
}

func (e *edit) finish() *Snapshot { return e.next }

func (c PutRole) apply(e *edit) {
	role := *c.Role
	compiled := compileRole(e.next.catalogue, &role)
	slot := e.slot(wildcard.Lower(role.ID))
	e.writeRoles()
	e.next.roles[slot] = compiled
	e.setColumn(slot, compiled.operations)
}

func (c DeleteRole) apply(e *edit) {
	id := wildcard.Lower(c.ID)
	slot, ok := e.next.slots.get(maphash.String(e.next.seed, id), id)
	if !ok || e.next.roles[slot] == nil {
		return
	}
	e.writeRoles()
	e.next.roles[slot] = nil
	e.setColumn(slot, nil)
	e.release(id, slot)
}

func (c PutAssignment) apply(e *edit) {
	s := e.next
	assignment := c.Assignment
	assignment.RoleID = wildcard.Lower(assignment.RoleID)
	assignment.PrincipalID = wildcard.Lower(assignment.PrincipalID)
	DeleteAssignment{assignment.ID}.apply(e)

	slot := e.slot(assignment.RoleID)
	e.writeUses()
	s.uses[slot]++
	key := assignment.ID.Key()
	s.assignments.set(e.owner, maphash.String(s.seed, key), key, &assignment)
	h := hold(&assignment, slot)
	s.scopes.put(s.seed, e.owner, h)
	if assignment.PrincipalID != "" { // nobody: it is kept and listed, and grants nothing
		e.holder(assignment.PrincipalID).part(&assignment, e.owner).put(s.seed, e.owner, h)
	}
	if assignment.Condition != nil {
		s.conditions++
	}
}

func (c DeleteAssignment) apply(e *edit) {
	s := e.next
	key := c.ID.Key()
	hash := maphash.String(s.seed, key)
	assignment, ok := s.assignments.get(hash, key)
	if !ok {
		return
	}
	s.assignments.remove(e.owner, hash, key)
	slot, _ := s.slots.get(maphash.String(s.seed, assignment.RoleID), assignment.RoleID)
	h := hold(assignment, slot)
	s.scopes.remove(s.seed, e.owner, h)
	if principal := assignment.PrincipalID; principal != "" {
		holder := e.holder(principal)
		part := holder.part(assignment, e.owner)
		if part.remove(s.seed, e.owner, h) && part == holder.conditional {
			holder.conditional = nil
		}
		if holder.count == 0 && holder.conditional == nil {
			s.holders.remove(e.owner, maphash.String(s.seed, principal), principal)
		}
	}
	if assignment.Condition != nil {
		s.conditions--
	}
	e.writeUses()
	s.uses[slot]--
	e.release(assignment.RoleID, slot)
}

// holder gives the principal's holder as one that this edit may change.
func (e *edit) holder(principal string) *holder {
	s := e.next
	hash := maphash.String(s.seed, principal)
	h, ok := s.holders.get(hash, principal)
	switch {
	case !ok:
		h = &holder{owner: e.owner}
	case h.owner == e.owner:
		return h
	default:
		h = h.copy(e.owner)
	}
	s.holders.set(e.owner, hash, principal, h)
	return h
}

// copy gives the holder as one that an edit may change; what it holds under conditions is still shared.
func (h *holder) copy(o *owner) *holder {
	copied := &holder{owner: o, count: h.count, few: slices.Clone(h.few), table: h.table, conditional: h.conditional}
	copied.table.pages = slices.Clone(h.table.pages)
	copied.list.pages = slices.Clone(h.list.pages)
	return copied
}

// part gives the part of a holder that an edit may change in which an assignment is or belongs.
func (h *holder) part(assignment *Assignment, o *owner) *holder {
	switch {
	case assignment.Condition == nil:
		return h
	case h.conditional == nil:
		h.conditional = &holder{owner: o}
	case h.conditional.owner != o:
		h.conditional = h.conditional.copy(o)
	}
	return h.conditional
}

func (h *holder) put(seed maphash.Seed, o *owner, one held) {
	h.count++
	if !h.isMany() && h.count <= fewHeld {
		h.few = insertHeld(h.few, one)
		return
	}
	for _, each := range h.few {
		h.table.put(o, shortHash(maphash.String(seed, each.scope)), each)
		h.list.put(o, each)
	}
	h.few = nil
	h.table.put(o, shortHash(maphash.String(seed, one.scope)), one)
	h.list.put(o, one)
}

// remove tells whether nothing is left.
func (h *holder) remove(seed maphash.Seed, o *owner, one held) bool {
	h.count--
	if h.isMany() {
		h.table.remove(o, shortHash(maphash.String(seed, one.scope)), one)
		h.list.remove(o, one)
	} else {
		h.few = removeHeld(h.few, one)
	}
	return h.count == 0
}

// slot gives the slot of a role, a new one if the role was never heard of.
func (e *edit) slot(id string) int32 {
	s := e.next
	hash := maphash.String(s.seed, id)
	if slot, ok := s.slots.get(hash, id); ok {
		return slot
	}
	e.writeRoles()
	e.writeUses()
	var slot int32
	if n := len(s.free); n > 0 {
		slot, s.free = s.free[n-1], s.free[:n-1:n-1]
	} else {
		slot = int32(len(s.roles))
		s.roles = append(s.roles, nil)
		s.uses = append(s.uses, 0)
	}
	s.slots.set(e.owner, hash, id, slot)
	return slot
}

// release frees the slot of a role that neither exists nor is named by any assignment.
func (e *edit) release(id string, slot int32) {
	s := e.next
	if s.roles[slot] != nil || s.uses[slot] > 0 {
		return
	}
	s.slots.remove(e.owner, maphash.String(s.seed, id), id)
	s.free = append(s.free[:len(s.free):len(s.free)], slot)
}

// setColumn writes which operations the role in a slot grants. Rows are widened when the slot lies beyond them; a slot
// beyond them that grants nothing needs no room.
func (e *edit) setColumn(slot int32, operations []uint64) {
	s := e.next
	rows := len(s.catalogue.operations)
	word, bit := int(slot>>6), uint64(1)<<(slot&63)
	switch {
	case word >= s.stride && operations == nil:
		return
	case word >= s.stride:
		stride := max(word+1, s.stride*2)
		wider := make([]uint64, rows*stride)
		for row := range rows {
			copy(wider[row*stride:], s.grants[row*s.stride:(row+1)*s.stride])
		}
		s.grants, s.stride, e.ownsGrants = wider, stride, true
	case !e.ownsGrants:
		s.grants, e.ownsGrants = slices.Clone(s.grants), true
	}
	for row := range rows {
		at := row*s.stride + word
		if operations != nil && operations[row>>6]>>(row&63)&1 != 0 {
			s.grants[at] |= bit
		} else {
			s.grants[at] &^= bit
		}
	}
}

func (e *edit) writeRoles() {
	if !e.ownsRoles {
		e.next.roles, e.ownsRoles = slices.Clone(e.next.roles), true
	}
}

func (e *edit) writeUses() {
	if !e.ownsUses {
		e.next.uses, e.ownsUses = slices.Clone(e.next.uses), true
	}
}
