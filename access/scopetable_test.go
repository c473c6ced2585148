package access

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// TestManyHeldAgreesWithMap gives one principal thousands of assignments and takes them away again, with hashes that are
// good, that collide for many scopes and that are all one, with most assignments at one scope and without. It asks every
// version for what is held at scopes and below them, and keeps the old ones to see that they stay as they were.
func TestManyHeldAgreesWithMap(t *testing.T) {
	hashes := map[string]func(uint64) uint32{
		"good":       func(n uint64) uint32 { return uint32(n * 0x9E3779B97F4A7C15 >> 32) },
		"few":        func(n uint64) uint32 { return uint32(n%5) << 30 },
		"low bits":   func(n uint64) uint32 { return uint32(n) },
		"one":        func(uint64) uint32 { return 0xfedcba98 },
		"half alike": func(n uint64) uint32 { return uint32(n*0x9E3779B97F4A7C15>>32) >> (n & 1 * 17) },
	}
	steps, each := 12, 900
	if testing.Short() {
		steps, each = 6, 500
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for name, hash := range hashes {
		for _, crowd := range []int{0, 2} {
			t.Run(fmt.Sprint(name, "/crowd ", crowd), func(t *testing.T) {
				m := newManyHeld(rand.New(rand.NewPCG(seed, uint64(crowd))), hash, crowd)
				type version struct {
					table scopeTable
					list  scopeList
					want  map[string]held
				}
				var versions []version
				deepest := uint(0)
				for step := range steps {
					m.next()
					for range each {
						m.write(step < steps/2)
					}
					versions = append(versions, version{m.table, m.list, maps.Clone(m.want)})
					deepest = max(deepest, m.table.depth)
				}
				if name == "good" && deepest == 0 || name == "one" && deepest > 0 {
					t.Errorf("the directory has %d bits", deepest)
				}
				for i, v := range versions {
					if fault := m.check(v.table, v.list, v.want); fault != "" {
						t.Fatalf("version %d of %d assignments: %s", i, len(v.want), fault)
					}
				}
				for len(m.want) > 0 {
					m.next()
					m.write(false)
				}
				if fault := m.check(m.table, m.list, m.want); fault != "" || len(m.list.pages) > 0 {
					t.Fatalf("%d pages are left: %s", len(m.list.pages), fault)
				}
			})
		}
	}
}

type manyHeld struct {
	random *rand.Rand
	hash   func(uint64) uint32
	crowd  int // one assignment in so many stands at one scope; 0 for none
	scopes []resource.ID
	hashOf map[string]uint32
	owner  *owner
	table  scopeTable
	list   scopeList
	want   map[string]held
	ids    []string
}

func newManyHeld(random *rand.Rand, hash func(uint64) uint32, crowd int) *manyHeld {
	m := &manyHeld{random: random, hash: hash, crowd: crowd, want: map[string]held{}, hashOf: map[string]uint32{}}
	m.scopes = []resource.ID{resource.Root}
	for i := range 1500 {
		var scope resource.ID
		switch up := m.scopes[random.IntN(len(m.scopes))]; len(up.Segments()) {
		case 0:
			scope = resource.MustParseID(fmt.Sprintf("/subscriptions/s%d", i))
		case 2:
			scope = resource.MustParseID(fmt.Sprintf("%s/resourceGroups/g%d", up, i))
		default:
			scope = up.Extension("Microsoft.Storage/storageAccounts", fmt.Sprint("a", i))
		}
		m.scopes = append(m.scopes, scope)
	}
	for i, scope := range m.scopes {
		m.hashOf[scope.Key()] = hash(uint64(i))
	}
	return m
}

// next starts an edit, as edit.holder does.
func (m *manyHeld) next() {
	m.owner = new(owner)
	m.table.pages, m.list.pages = slices.Clone(m.table.pages), slices.Clone(m.list.pages)
}

func (m *manyHeld) write(grow bool) {
	if len(m.ids) > 0 && m.random.IntN(10) > 0 != grow {
		at := m.random.IntN(len(m.ids))
		h := m.want[m.ids[at]]
		m.table.remove(m.owner, m.hashOf[h.scope], h)
		m.list.remove(m.owner, h)
		delete(m.want, m.ids[at])
		m.ids = slices.Delete(m.ids, at, at+1)
		return
	}
	scope := m.scopes[m.random.IntN(len(m.scopes))]
	if m.crowd > 0 && m.random.IntN(m.crowd) == 0 {
		scope = m.scopes[7]
	}
	id := scope.Extension("Microsoft.Authorization/roleAssignments", fmt.Sprintf("%08x", m.random.Uint32()))
	h := hold(&Assignment{ID: id, Scope: scope}, int32(m.random.IntN(70)))
	if _, known := m.want[id.Key()]; known {
		return
	}
	m.table.put(m.owner, m.hashOf[h.scope], h)
	m.list.put(m.owner, h)
	m.want[id.Key()] = h
	m.ids = append(m.ids, id.Key())
}

func (m *manyHeld) check(table scopeTable, list scopeList, want map[string]held) string {
	all := slices.SortedFunc(maps.Values(want), compareHeld)
	listed := 0
	list.from("", func(h *held) bool {
		if listed >= len(all) || *h != all[listed] {
			listed = -1
			return false
		}
		listed++
		return true
	})
	if listed != len(all) {
		return fmt.Sprintf("the list yields %d", listed)
	}
	for range 60 {
		key := m.scopes[m.random.IntN(len(m.scopes))].Key()
		var here []held
		below := map[int32]bool{}
		for i := range all {
			if all[i].scope == key {
				here = append(here, all[i])
			} else if strings.HasPrefix(all[i].scope, strings.TrimSuffix(key, "/")+"/") {
				below[all[i].slot] = true
			}
		}
		var at []held
		list.at(key, func(h *held) { at = append(at, *h) })
		if !slices.Equal(at, here) {
			return fmt.Sprintf("the list has %d at %s, want %d", len(at), key, len(here))
		}
		for range 3 {
			slot := int32(m.random.IntN(70))
			s := &Snapshot{}
			q := query{row: make([]uint64, 2)}
			q.row[slot>>6] = 1 << (slot & 63)
			var found *Assignment
			var foundSlot int32
			if table.pages != nil && table.perhaps([]uint32{0, m.hashOf[key]})>>1 == 1 {
				found, foundSlot = table.find(s, &q, m.hashOf[key], key)
			}
			first := slices.IndexFunc(here, func(h held) bool { return h.slot == slot })
			if first < 0 && found != nil || first >= 0 && (found != here[first].assignment || foundSlot != slot) {
				return fmt.Sprintf("the table finds %v with slot %d at %s, want number %d of %d", found, slot, key, first, len(here))
			}
			if got := list.below(key, func(h *held) bool { return h.slot == slot }); got != below[slot] {
				return fmt.Sprintf("slot %d below %s: %v, want %v", slot, key, got, below[slot])
			}
		}
	}
	for i, p := range table.pages {
		if len(p.keys) != len(p.assignments) || int(p.cells[len(p.cells)-1]>>tableFilter) != len(p.keys) || !slices.IsSorted(hashesOf(p)) {
			return fmt.Sprintf("page %d is broken", i)
		}
	}
	return ""
}

func hashesOf(p *tablePage) []uint32 {
	hashes := make([]uint32, len(p.keys))
	for i, key := range p.keys {
		hashes[i] = uint32(key >> 32)
	}
	return hashes
}
