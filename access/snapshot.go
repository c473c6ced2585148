package access

import (
	"hash/maphash"
	"strings"
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
}

// holder is what one principal holds. Most hold little, and a short list is searched faster than a tree is walked.
type holder struct {
	owner  *owner
	few    []held     // by scope then id; unused once there is a tree
	many   *scopeTree // nil for few
	filter filter     // the scopes in the tree at which something is held
	count  int
}

// filter says of a scope's hash "nothing is held there" or "perhaps". It fits into the nearest cache where the tree does
// not, and most scopes above a resource hold nothing. What is removed stays in it until it grows, which costs time only.
type filter []uint64

// filterLoad is how many scopes each word of 64 bits stands for at most.
const filterLoad = 4

func (f filter) add(hash uint64) { f[hash>>38&uint64(len(f)-1)] |= 1 << (hash >> 32 & 63) }

func (f filter) perhaps(hash uint64) bool {
	return f[hash>>38&uint64(len(f)-1)]>>(hash>>32&63)&1 != 0
}

// fewHeld is the number of assignments up to which a list is kept; about where walking the tree becomes as fast.
const fewHeld = 24

// Revision counts the changes that led to this snapshot; a later one has a higher revision.
func (s *Snapshot) Revision() uint64 { return s.revision }

// Can decides whether the principal may perform the action at the scope. What the principal holds itself is looked at
// before what its groups hold. It does not allocate for operations of the catalogue; other actions are decided by
// pattern, with the same answer and more slowly.
func (s *Snapshot) Can(r Request) Decision {
	q, ok := s.ask(r.Action, r.Data)
	if !ok {
		return Decision{}
	}
	key := r.Scope.Key()
	if h := s.holder(r.PrincipalID); h != nil {
		if found := h.find(s, &q, key); found != nil {
			return Decision{Allowed: true, Assignment: found.assignment, Role: s.roles[found.slot].role}
		}
	}
	for _, group := range r.Groups {
		if h := s.holder(group); h != nil {
			if found := h.find(s, &q, key); found != nil {
				return Decision{Allowed: true, Assignment: found.assignment, Role: s.roles[found.slot].role, Group: group}
			}
		}
	}
	return Decision{}
}

// query is an action as the roles of a snapshot are asked about it.
type query struct {
	row    []uint64 // the operation's row of grants; nil outside the catalogue
	action string   // in lower case, for actions outside the catalogue
	data   bool
}

func (s *Snapshot) ask(action string, data bool) (query, bool) {
	if n, known := s.catalogue.number(action, data); known {
		at := int(n) * s.stride
		return query{row: s.grants[at : at+s.stride]}, true
	}
	if !wellFormed(action) {
		return query{}, false
	}
	return query{action: lowerASCII(action), data: data}, true
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
		lower := lowerASCII(principal)
		h, _ := s.holders.get(maphash.String(s.seed, lower), lower)
		return h
	}
	return nil
}

// find gives the first assignment, from the root downwards, that grants what is asked at the scope.
func (h *holder) find(s *Snapshot, q *query, key string) *held {
	if h.many == nil {
		if q.action == "" {
			return findKnown(h.few, q.row, key)
		}
		for i := range h.few {
			if e := &h.few[i]; e.covers(key) && q.grantedBy(s, e.slot) {
				return e
			}
		}
		return nil
	}
	for end := 0; ; {
		prefix := "/"
		if end > 0 {
			prefix = key[:end]
		}
		if hash := maphash.String(s.seed, prefix); h.filter.perhaps(hash) {
			if node, ok := h.many.nodes.get(hash, prefix); ok {
				for i := range node.held {
					if q.grantedBy(s, node.held[i].slot) {
						return &node.held[i]
					}
				}
			}
		}
		if end = nextScope(key, end); end < 0 {
			return nil
		}
	}
}

// findKnown is the innermost loop: most principals hold little, and most actions are in the catalogue.
func findKnown(few []held, row []uint64, key string) *held {
	for i := range few {
		e := &few[i]
		if word := int(e.slot >> 6); word < len(row) && row[word]>>(e.slot&63)&1 != 0 && e.covers(key) {
			return e
		}
	}
	return nil
}

// each yields everything that the principal holds, in no meaningful order.
func (h *holder) each(yield func(*held) bool) {
	for i := range h.few {
		if !yield(&h.few[i]) {
			return
		}
	}
	if h.many != nil {
		h.many.nodes.each(func(_ string, node *scopeNode) bool {
			for i := range node.held {
				if !yield(&node.held[i]) {
					return false
				}
			}
			return true
		})
	}
}
