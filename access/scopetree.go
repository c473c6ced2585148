package access

import (
	"hash/maphash"
	"slices"
	"strings"
)

// held is an assignment with the slot of its role.
type held struct {
	scope      string // the scope's key
	slot       int32
	tail       uint32 // the scope's last bytes, so that most scopes are told apart without reading them
	assignment *Assignment
}

func hold(assignment *Assignment, slot int32) held {
	scope := assignment.Scope.Key()
	return held{scope: scope, slot: slot, tail: tailOf(scope, len(scope)), assignment: assignment}
}

// tailOf is the four bytes of the key before end.
func tailOf(key string, end int) uint32 {
	if end < 4 {
		return 0
	}
	return uint32(key[end-4]) | uint32(key[end-3])<<8 | uint32(key[end-2])<<16 | uint32(key[end-1])<<24
}

// covers is the function covers for the scope of the assignment.
func (h *held) covers(key string) bool {
	n := len(h.scope)
	if n > len(key) || n < len(key) && key[n] != '/' || tailOf(key, n) != h.tail {
		return n == 1
	}
	return n == 1 || key[:n] == h.scope
}

// compareHeld orders assignments by scope, so that a scope stands before the scopes that it contains, then by id.
func compareHeld(a, b held) int {
	if c := strings.Compare(a.scope, b.scope); c != 0 {
		return c
	}
	return strings.Compare(a.assignment.ID.Key(), b.assignment.ID.Key())
}

func insertHeld(list []held, h held) []held {
	at, _ := slices.BinarySearchFunc(list, h, compareHeld)
	return slices.Insert(list, at, h)
}

func removeHeld(list []held, h held) []held {
	if at, found := slices.BinarySearchFunc(list, h, compareHeld); found {
		return slices.Delete(list, at, at+1)
	}
	return list
}

// scopeTree is a persistent tree of scopes that finds the assignments at a scope, above it and below it, each in time
// that grows with what is found and not with what is held.
type scopeTree struct{ nodes trie[*scopeNode] }

type scopeNode struct {
	owner    *owner
	held     []held         // by id
	children trie[struct{}] // keys of the scopes directly below that have a node
}

func (t *scopeTree) at(seed maphash.Seed, key string) *scopeNode {
	node, _ := t.nodes.get(maphash.String(seed, key), key)
	return node
}

func (t *scopeTree) own(o *owner, hash uint64, key string) *scopeNode {
	node, ok := t.nodes.get(hash, key)
	switch {
	case !ok:
		node = &scopeNode{owner: o}
	case node.owner == o:
		return node
	default:
		node = &scopeNode{owner: o, held: slices.Clone(node.held), children: node.children}
	}
	t.nodes.set(o, hash, key, node)
	return node
}

func (t *scopeTree) put(seed maphash.Seed, o *owner, h held) {
	key := h.scope
	hash := maphash.String(seed, key)
	_, known := t.nodes.get(hash, key)
	node := t.own(o, hash, key)
	node.held = insertHeld(node.held, h)
	for !known && key != "/" {
		child, childHash := key, hash
		key = parentKey(key)
		hash = maphash.String(seed, key)
		_, known = t.nodes.get(hash, key)
		node = t.own(o, hash, key)
		node.children.set(o, childHash, child, struct{}{})
	}
}

func (t *scopeTree) remove(seed maphash.Seed, o *owner, h held) {
	key := h.scope
	hash := maphash.String(seed, key)
	if _, known := t.nodes.get(hash, key); !known {
		return
	}
	node := t.own(o, hash, key)
	node.held = removeHeld(node.held, h)
	for len(node.held) == 0 && node.children.size == 0 {
		t.nodes.remove(o, hash, key)
		if key == "/" {
			return
		}
		child, childHash := key, hash
		key = parentKey(key)
		hash = maphash.String(seed, key)
		node = t.own(o, hash, key)
		node.children.remove(o, childHash, child)
	}
}

// above yields what is held at the scope and at every scope that contains it, from the root downwards.
func (t *scopeTree) above(seed maphash.Seed, key string, yield func(*held) bool) bool {
	for end := 0; ; {
		prefix := "/"
		if end > 0 {
			prefix = key[:end]
		}
		if node := t.at(seed, prefix); node != nil {
			for i := range node.held {
				if !yield(&node.held[i]) {
					return false
				}
			}
		}
		if end = nextScope(key, end); end < 0 {
			return true
		}
	}
}

// below yields what is held at scopes that the scope contains, without the scope itself.
func (t *scopeTree) below(seed maphash.Seed, key string, yield func(*held) bool) bool {
	node := t.at(seed, key)
	return node == nil || node.children.each(func(child string, _ struct{}) bool {
		below := t.at(seed, child)
		for i := range below.held {
			if !yield(&below.held[i]) {
				return false
			}
		}
		return t.below(seed, child, yield)
	})
}

// nextScope gives the end of the next longer prefix of the key that can be a scope: scopes have an even number of
// segments (subscriptions/x, resourceGroups/x, providers/x, type/name). It gives -1 after the key itself.
func nextScope(key string, end int) int {
	if end >= len(key) || len(key) == 1 {
		return -1
	}
	for range 2 {
		slash := strings.IndexByte(key[end+1:], '/')
		if slash < 0 {
			return len(key)
		}
		end += 1 + slash
	}
	return end
}

// parentKey is the prefix before the key in nextScope's order.
func parentKey(key string) string {
	parent := "/"
	for end := nextScope(key, 0); end > 0 && end < len(key); end = nextScope(key, end) {
		parent = key[:end]
	}
	return parent
}

// covers tells whether the scope contains the key, by whole segments. Both are keys of resource ids. The boundary is
// looked at first: it is one byte and settles most cases.
func covers(scope, key string) bool {
	n := len(scope)
	if n < len(key) && key[n] != '/' || n > len(key) {
		return scope == "/"
	}
	return key[:n] == scope || n == 1
}
