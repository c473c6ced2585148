package access

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"
)

// scopeTable finds what a principal with many assignments holds at exactly one scope, by the scope's hash. A check looks
// once for every scope above the resource and finds nothing at most of them, so what counts is how few cache lines that
// touches: one word of a page's index tells in most cases.
//
// The table is a directory of pages. A page that grows too large is cut in two, and the directory doubles when a page
// needs one more bit of the hash than it has, so that no write copies or moves more than a page or two.
type scopeTable struct {
	pages []*tablePage // by the first bits of the hash; neighbours may be one page
	depth uint         // how many bits that is
}

// tablePage holds the assignments whose scopes' hashes begin with the same bits.
type tablePage struct {
	owner *owner
	depth uint // how many bits they share
	bits  uint // how many more bits choose a cell
	// cells has a word for each cell and one more: where its entries start, above tableFilter bits that say of a hash
	// "not here" or "perhaps".
	cells       []uint64
	keys        []uint64 // hash<<32 | slot, by hash and then by the id of the assignment
	assignments []*Assignment
}

const (
	tableLoad   = 6    // entries for each cell, at most
	tablePaged  = 1024 // entries of a page from which on it is cut in two
	tableFilter = 40   // bits of a cell's filter
	tableDeep   = 16   // bits of the directory at most
	tableCells  = 12   // bits of a page's index at most
)

// shortHash is the part of a scope's hash that the table uses.
func shortHash(hash uint64) uint32 { return uint32(hash >> 32) }

// filterMask sets the two bits of a filter that stand for a hash.
func filterMask(hash uint32) uint64 {
	mixed := hash * 0x9E3779B1
	return 1<<(mixed>>24*tableFilter>>8) | 1<<(mixed>>16&0xff*tableFilter>>8)
}

func (t *scopeTable) page(hash uint32) *tablePage { return t.pages[hash>>(32-t.depth)] }

func (p *tablePage) cell(hash uint32) uint32 { return hash << p.depth >> (32 - p.bits) }

// atOnce is how many scopes above a resource are looked up together; few resources lie deeper.
const atOnce = 12

// above gives the first assignment, from the root downwards, that grants what is asked at the scope. It hashes all scopes
// first, then looks at all their cells and only then at what these point to: memory answers many questions at once in the
// time of one, as long as no answer decides which question is next.
func (t *scopeTable) above(s *Snapshot, q *query, key string) (*Assignment, int32) {
	var hashes [atOnce]uint32
	var ends [atOnce]int
	for end := 0; end >= 0; {
		n := 0
		for ; n < atOnce && end >= 0; n++ {
			ends[n] = max(1, end)
			hashes[n] = shortHash(maphash.String(s.seed, key[:ends[n]]))
			end = nextScope(key, end)
		}
		for perhaps := t.perhaps(hashes[:n]); perhaps != 0; perhaps &= perhaps - 1 {
			i := bits.TrailingZeros64(perhaps)
			if found, slot := t.find(s, q, hashes[i], key[:ends[i]]); found != nil {
				return found, slot
			}
		}
	}
	return nil, 0
}

// perhaps has a bit for each hash at which something may be held. It does not branch on what it reads.
func (t *scopeTable) perhaps(hashes []uint32) (perhaps uint64) {
	for i, hash := range hashes {
		p := t.page(hash)
		missing := filterMask(hash) &^ p.cells[p.cell(hash)]
		perhaps |= (missing - 1) >> 63 << i // none missing: all 64 bits are set
	}
	return perhaps
}

// find gives the first assignment at exactly that scope whose role grants what is asked.
func (t *scopeTable) find(s *Snapshot, q *query, hash uint32, scope string) (*Assignment, int32) {
	p := t.page(hash)
	cell := p.cell(hash)
	for at, end := p.cells[cell]>>tableFilter, p.cells[cell+1]>>tableFilter; at < end; at++ {
		key := p.keys[at]
		if uint32(key>>32) == hash && q.grantedBy(s, int32(uint32(key))) && p.assignments[at].Scope.Key() == scope &&
			q.holds(p.assignments[at]) {
			return p.assignments[at], int32(uint32(key))
		}
	}
	return nil, 0
}

func (t *scopeTable) put(o *owner, hash uint32, h held) {
	if t.pages == nil {
		t.pages = []*tablePage{{owner: o, cells: make([]uint64, 2)}}
	}
	p := t.own(o, hash)
	at := p.search(hash, h.assignment.ID.Key())
	p.keys = slices.Insert(p.keys, at, uint64(hash)<<32|uint64(uint32(h.slot)))
	p.assignments = slices.Insert(p.assignments, at, h.assignment)
	if len(p.keys) > tablePaged && t.cut(p, hash) {
		return
	}
	if len(p.keys) > tableLoad<<p.bits && p.bits < tableCells {
		p.index()
		return
	}
	cell := p.cell(hash)
	p.cells[cell] |= filterMask(hash)
	for after := cell + 1; int(after) < len(p.cells); after++ {
		p.cells[after] += 1 << tableFilter
	}
}

func (t *scopeTable) remove(o *owner, hash uint32, h held) {
	id := h.assignment.ID.Key()
	p := t.page(hash)
	at := p.search(hash, id)
	if at == len(p.keys) || uint32(p.keys[at]>>32) != hash || p.assignments[at].ID.Key() != id {
		return
	}
	p = t.own(o, hash)
	p.keys = slices.Delete(p.keys, at, at+1)
	p.assignments = slices.Delete(p.assignments, at, at+1)
	cell := p.cell(hash)
	for after := cell + 1; int(after) < len(p.cells); after++ {
		p.cells[after] -= 1 << tableFilter
	}
	start, end := p.cells[cell]>>tableFilter, p.cells[cell+1]>>tableFilter
	p.cells[cell] = start << tableFilter
	for _, key := range p.keys[start:end] {
		p.cells[cell] |= filterMask(uint32(key >> 32))
	}
}

// own gives the page of a hash as one that this edit may change. The directory belongs to the edit already.
func (t *scopeTable) own(o *owner, hash uint32) *tablePage {
	p := t.page(hash)
	if p.owner != o {
		p = &tablePage{owner: o, depth: p.depth, bits: p.bits, cells: slices.Clone(p.cells), keys: slices.Clone(p.keys),
			assignments: slices.Clone(p.assignments)}
		t.place(p, hash)
	}
	return p
}

// place puts a page wherever hashes begin as this one does.
func (t *scopeTable) place(p *tablePage, hash uint32) {
	wide := t.depth - p.depth
	first := int(hash>>(32-p.depth)) << wide
	for at := first; at < first+1<<wide; at++ {
		t.pages[at] = p
	}
}

// cut makes two pages of one, by the next bit of the hash. It leaves a page whole that a single scope fills: cutting
// would not make it smaller.
func (t *scopeTable) cut(p *tablePage, hash uint32) bool {
	if p.depth == tableDeep {
		return false
	}
	bit := uint32(1) << (31 - p.depth)
	n := len(p.keys)
	at := sort.Search(n, func(i int) bool { return uint32(p.keys[i]>>32)&bit != 0 })
	if min(at, n-at) < n/8 {
		return false
	}
	if p.depth == t.depth {
		wider := make([]*tablePage, 2*len(t.pages))
		for i, page := range t.pages {
			wider[2*i], wider[2*i+1] = page, page
		}
		t.pages, t.depth = wider, t.depth+1
	}
	low := &tablePage{owner: p.owner, depth: p.depth + 1, keys: slices.Clone(p.keys[:at]), assignments: slices.Clone(p.assignments[:at])}
	high := &tablePage{owner: p.owner, depth: p.depth + 1, keys: slices.Clone(p.keys[at:]), assignments: slices.Clone(p.assignments[at:])}
	low.index()
	high.index()
	t.place(low, hash&^bit)
	t.place(high, hash|bit)
	return true
}

// search gives where the assignment of that hash and id stands, or would stand.
func (p *tablePage) search(hash uint32, id string) int {
	return sort.Search(len(p.keys), func(i int) bool {
		other := uint32(p.keys[i] >> 32)
		return other > hash || other == hash && p.assignments[i].ID.Key() >= id
	})
}

// index makes the cells from the keys.
func (p *tablePage) index() {
	for p.bits = 0; len(p.keys) > tableLoad/2<<p.bits && p.bits < tableCells; p.bits++ {
	}
	p.cells = make([]uint64, 1<<p.bits+1)
	for _, key := range p.keys {
		cell := p.cell(uint32(key >> 32))
		p.cells[cell] |= filterMask(uint32(key >> 32))
		p.cells[cell+1] += 1 << tableFilter
	}
	for cell := 1; cell < len(p.cells); cell++ {
		p.cells[cell] += p.cells[cell-1] >> tableFilter << tableFilter
	}
}
