package access

import (
	"math/bits"
	"slices"
)

// trie is a persistent map: a hash trie with 64-way branches. A set or remove copies the nodes on one path and leaves
// the trie that it started from as it was, so a published trie may be read without locks for ever.
type trie[V any] struct {
	root *branch[V]
	size int
}

// owner marks the nodes that one edit has made itself and may therefore change in place. It has a size because two
// pointers to values of size zero may be equal.
type owner struct{ _ byte }

type branch[V any] struct {
	owner    *owner
	leafBits uint64
	nodeBits uint64
	leaves   []leaf[V] // in the order of leafBits; below the last level in no order
	nodes    []*branch[V]
}

type leaf[V any] struct {
	hash  uint64
	key   string
	value V
}

const (
	trieStep = 6  // bits per level
	trieEnd  = 64 // from this depth on all bits are used up and leaves are searched one by one
)

func (t *trie[V]) get(hash uint64, key string) (value V, ok bool) {
	n := t.root
	for shift := uint(0); n != nil; shift += trieStep {
		if shift >= trieEnd {
			for i := range n.leaves {
				if n.leaves[i].key == key {
					return n.leaves[i].value, true
				}
			}
			return value, false
		}
		bit := uint64(1) << (hash >> shift & 63)
		if n.leafBits&bit != 0 {
			l := &n.leaves[bits.OnesCount64(n.leafBits&(bit-1))]
			if l.hash == hash && l.key == key {
				return l.value, true
			}
			return value, false
		}
		if n.nodeBits&bit == 0 {
			return value, false
		}
		n = n.nodes[bits.OnesCount64(n.nodeBits&(bit-1))]
	}
	return value, false
}

func (t *trie[V]) set(o *owner, hash uint64, key string, value V) {
	if t.root == nil {
		t.root = &branch[V]{owner: o}
	}
	root, added := t.root.set(o, 0, leaf[V]{hash, key, value})
	t.root = root
	if added {
		t.size++
	}
}

func (t *trie[V]) remove(o *owner, hash uint64, key string) {
	if t.root == nil {
		return
	}
	root, removed := t.root.remove(o, 0, hash, key)
	if removed {
		t.root = root
		t.size--
	}
	if t.size == 0 {
		t.root = nil
	}
}

// each calls yield for every entry in no meaningful order until it returns false.
func (t *trie[V]) each(yield func(key string, value V) bool) bool {
	return t.root == nil || t.root.each(yield)
}

func (n *branch[V]) each(yield func(key string, value V) bool) bool {
	for i := range n.leaves {
		if !yield(n.leaves[i].key, n.leaves[i].value) {
			return false
		}
	}
	for _, child := range n.nodes {
		if !child.each(yield) {
			return false
		}
	}
	return true
}

func (n *branch[V]) own(o *owner) *branch[V] {
	if n.owner == o {
		return n
	}
	return &branch[V]{
		owner: o, leafBits: n.leafBits, nodeBits: n.nodeBits,
		leaves: append([]leaf[V](nil), n.leaves...),
		nodes:  append([]*branch[V](nil), n.nodes...),
	}
}

func (n *branch[V]) set(o *owner, shift uint, l leaf[V]) (*branch[V], bool) {
	n = n.own(o)
	if shift >= trieEnd {
		for i := range n.leaves {
			if n.leaves[i].key == l.key {
				n.leaves[i] = l
				return n, false
			}
		}
		n.leaves = append(n.leaves, l)
		return n, true
	}
	bit := uint64(1) << (l.hash >> shift & 63)
	leafAt := bits.OnesCount64(n.leafBits & (bit - 1))
	nodeAt := bits.OnesCount64(n.nodeBits & (bit - 1))
	switch {
	case n.nodeBits&bit != 0:
		child, added := n.nodes[nodeAt].set(o, shift+trieStep, l)
		n.nodes[nodeAt] = child
		return n, added
	case n.leafBits&bit == 0:
		n.leafBits |= bit
		n.leaves = slices.Insert(n.leaves, leafAt, l)
		return n, true
	case n.leaves[leafAt].hash == l.hash && n.leaves[leafAt].key == l.key:
		n.leaves[leafAt] = l
		return n, false
	}
	child := &branch[V]{owner: o}
	child, _ = child.set(o, shift+trieStep, n.leaves[leafAt])
	child, _ = child.set(o, shift+trieStep, l)
	n.leafBits &^= bit
	n.leaves = slices.Delete(n.leaves, leafAt, leafAt+1)
	n.nodeBits |= bit
	n.nodes = slices.Insert(n.nodes, nodeAt, child)
	return n, true
}

func (n *branch[V]) remove(o *owner, shift uint, hash uint64, key string) (*branch[V], bool) {
	if shift >= trieEnd {
		for i := range n.leaves {
			if n.leaves[i].key == key {
				n = n.own(o)
				n.leaves = slices.Delete(n.leaves, i, i+1)
				return n, true
			}
		}
		return n, false
	}
	bit := uint64(1) << (hash >> shift & 63)
	leafAt := bits.OnesCount64(n.leafBits & (bit - 1))
	nodeAt := bits.OnesCount64(n.nodeBits & (bit - 1))
	if n.leafBits&bit != 0 {
		if n.leaves[leafAt].hash != hash || n.leaves[leafAt].key != key {
			return n, false
		}
		n = n.own(o)
		n.leafBits &^= bit
		n.leaves = slices.Delete(n.leaves, leafAt, leafAt+1)
		return n, true
	}
	if n.nodeBits&bit == 0 {
		return n, false
	}
	child, removed := n.nodes[nodeAt].remove(o, shift+trieStep, hash, key)
	if !removed {
		return n, false
	}
	n = n.own(o)
	if len(child.nodes) > 0 || len(child.leaves) > 1 {
		n.nodes[nodeAt] = child
		return n, true
	}
	// One leaf needs no branch of its own.
	n.nodeBits &^= bit
	n.nodes = slices.Delete(n.nodes, nodeAt, nodeAt+1)
	if len(child.leaves) == 1 {
		n.leafBits |= bit
		n.leaves = slices.Insert(n.leaves, leafAt, child.leaves[0])
	}
	return n, true
}
