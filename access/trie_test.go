package access

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// TestTrieAgreesWithMap runs random writes on tries whose hashes collide never, often and always, and keeps old versions
// beside copies of the map to see that they stay as they were.
func TestTrieAgreesWithMap(t *testing.T) {
	hashes := map[string]func(string) uint64{
		"good": func(key string) uint64 { h := fnv.New64a(); h.Write([]byte(key)); return h.Sum64() },
		"few": func(key string) uint64 {
			h := fnv.New64a()
			h.Write([]byte(key))
			return h.Sum64() % 3 << 62
		},
		"one": func(string) uint64 { return 0x123456789abcdef },
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			type version struct {
				trie trie[int]
				want map[string]int
			}
			var current trie[int]
			want := map[string]int{}
			var versions []version
			for step := range 120 {
				o := new(owner)
				for range 1 + random.IntN(40) {
					key := fmt.Sprint("k", random.IntN(300))
					if random.IntN(5) < 3 != (step > 60) {
						current.set(o, hash(key), key, step)
						want[key] = step
					} else {
						current.remove(o, hash(key), key)
						delete(want, key)
					}
				}
				versions = append(versions, version{current, maps.Clone(want)})
			}
			for i, v := range versions {
				got := map[string]int{}
				v.trie.each(func(key string, value int) bool { got[key] = value; return true })
				if !maps.Equal(got, v.want) || v.trie.size != len(v.want) {
					t.Fatalf("version %d holds %d entries and counts %d, want %d", i, len(got), v.trie.size, len(v.want))
				}
				for k := range 300 {
					key := fmt.Sprint("k", k)
					value, ok := v.trie.get(hash(key), key)
					if wanted, wantOK := v.want[key]; ok != wantOK || value != wanted {
						t.Fatalf("version %d: %s is %d, %v, want %d, %v", i, key, value, ok, wanted, wantOK)
					}
				}
			}
		})
	}
}

func TestTrieStopsWhenToldTo(t *testing.T) {
	var tr trie[int]
	o := new(owner)
	for i := range 500 {
		tr.set(o, uint64(i)*0x9E3779B97F4A7C15, fmt.Sprint(i), i)
	}
	count := 0
	if tr.each(func(string, int) bool { count++; return count < 10 }) || count != 10 {
		t.Errorf("each went on to %d", count)
	}
}

func TestNextScopeWalksWholeScopes(t *testing.T) {
	key := "/subscriptions/s/resourcegroups/g/providers/n/t/a/u/b"
	var got []string
	for end := nextScope(key, 0); end >= 0; end = nextScope(key, end) {
		got = append(got, key[:end])
	}
	want := []string{"/subscriptions/s", "/subscriptions/s/resourcegroups/g", "/subscriptions/s/resourcegroups/g/providers/n",
		"/subscriptions/s/resourcegroups/g/providers/n/t/a", key}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if nextScope("/", 0) != -1 || parentKey("/subscriptions/s") != "/" || parentKey(key) != want[3] {
		t.Error("the root or a parent is wrong")
	}
}

// Slots of deleted roles are used again, so that years of role changes do not widen the table of grants.
func TestSlotsAreReused(t *testing.T) {
	live := NewLive(Catalogue(), BuiltIn()...)
	for i := range 1000 {
		id := fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		live.Apply(PutRole{&Role{ID: id, Name: id, Permissions: []Permission{{Actions: []string{"*"}}}}})
		live.Apply(DeleteRole{id})
	}
	if s := live.Snapshot(); len(s.roles) > 120 || s.stride > 2 {
		t.Errorf("%d slots and a stride of %d after a thousand roles came and went", len(s.roles), s.stride)
	}
}
