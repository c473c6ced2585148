package storetest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
)

var follows = map[string]func(*testing.T, store.Store){
	"follow reports before Apply returns":    followInForce,
	"follow reports what is there":           followInitial,
	"follow reports chosen kinds":            followKinds,
	"follow reports commits, not failures":   followCommits,
	"follow loses nothing under writers":     followConcurrent,
	"followers see one order":                followOrder,
	"a job's change is reported before work": followBeforeJob,
}

func follow(t *testing.T, s store.Store, fn func([]store.Change), kinds ...string) {
	t.Helper()
	if err := s.Follow(kinds, fn); err != nil {
		t.Fatal(err)
	}
}

// followInForce needs no lock around bodies: Apply and its report are in the same order for every reader of them.
func followInForce(t *testing.T, s store.Store) {
	bodies := map[string]string{}
	follow(t, s, func(changes []store.Change) {
		for _, change := range changes {
			if bodies[change.Key] = string(change.Body); change.Deleted {
				delete(bodies, change.Key)
			}
		}
	}, "k")
	for i := range 20 {
		apply(t, s, put("/a", "k", fmt.Sprint(i)), put(fmt.Sprint(i), "k", "x"))
		if bodies["/a"] != fmt.Sprint(i) || bodies[fmt.Sprint(i)] != "x" {
			t.Fatalf("after write %d the follower holds %q", i, bodies)
		}
	}
	apply(t, s, store.Delete{Key: "/a"})
	if _, there := bodies["/a"]; there {
		t.Error("the follower has not heard of the deletion")
	}
}

func followInitial(t *testing.T, s store.Store) {
	fill(t, s, "k", "other", "third")
	var got []store.Change
	follow(t, s, func(changes []store.Change) { got = append(got, changes...) }, "k", "third")
	var keys []string
	for _, change := range got {
		if change.Deleted {
			t.Errorf("%q is reported as deleted", change.Key)
		}
		same(t, change.Document, get(t, s, change.Key))
		keys = append(keys, change.Key)
	}
	kinds := []string{"k", "other", "third"}
	want := append(want(kinds, store.Query{Kind: "k"}), want(kinds, store.Query{Kind: "third"})...)
	slices.Sort(want)
	if slices.Sort(keys); !slices.Equal(keys, want) {
		t.Errorf("got %q\nwant %q", keys, want)
	}
	// A kind named twice is reported once.
	count := 0
	follow(t, s, func(changes []store.Change) { count += len(changes) }, "k", "k")
	if n := len(list(t, s, store.Query{Kind: "k"})); count != n {
		t.Errorf("a kind named twice: %d changes, want %d", count, n)
	}
	apply(t, s, put("/new", "k", "1"))
	if n := len(list(t, s, store.Query{Kind: "k"})); count != n {
		t.Errorf("a change of a kind named twice: %d changes, want %d", count, n)
	}
}

func followKinds(t *testing.T, s store.Store) {
	var a, b, none []string
	record := func(to *[]string) func([]store.Change) {
		return func(changes []store.Change) {
			line := ""
			for _, change := range changes {
				line += fmt.Sprintf("%s=%s,%v ", change.Key, change.Body, change.Deleted)
			}
			*to = append(*to, line)
		}
	}
	follow(t, s, record(&a), "a")
	follow(t, s, record(&b), "b", "a")
	follow(t, s, record(&none))
	apply(t, s, put("/1", "a", "1"), put("/2", "b", "2"), put("/3", "c", "3"))
	apply(t, s, put("/4", "c", "4"))
	apply(t, s, store.Delete{Key: "/2"}, put("/1", "a", "5"), store.Delete{Key: "/1"})
	if want := []string{"/1=1,false ", "/1=5,false /1=5,true "}; !slices.Equal(a, want) {
		t.Errorf("a: got %q, want %q", a, want)
	}
	if want := []string{"/1=1,false /2=2,false ", "/2=2,true /1=5,false /1=5,true "}; !slices.Equal(b, want) {
		t.Errorf("b: got %q, want %q", b, want)
	}
	if none != nil {
		t.Errorf("a follower of no kind heard %q", none)
	}
}

func followCommits(t *testing.T, s store.Store) {
	calls := 0
	follow(t, s, func([]store.Change) { calls++ }, "k")
	if calls != 0 {
		t.Errorf("an empty store was reported")
	}
	apply(t, s, put("/a", "k", "1"))
	_, _ = s.Apply(context.Background(), put("/b", "k", "1"), store.Delete{Key: "/none"})
	_, _ = s.Apply(context.Background(), store.Put{Key: "/a", Kind: "k", IfMatch: store.None})
	if calls != 1 {
		t.Errorf("%d calls for one commit and two failures", calls)
	}
}

// projection is what a follower holds when it believes what it hears, with what it finds wrong in it.
type projection struct {
	mu     sync.Mutex
	held   map[string]store.Document
	faults []string
}

func (p *projection) follow(changes []store.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, change := range changes {
		old, there := p.held[change.Key]
		switch {
		case change.Deleted && (!there || old.ETag != change.ETag):
			p.faults = append(p.faults, fmt.Sprintf("%s: version %q deleted, held %q", change.Key, change.ETag, old.ETag))
		case there && old.ETag == change.ETag && !change.Deleted:
			p.faults = append(p.faults, fmt.Sprintf("%s: version %q seen twice", change.Key, change.ETag))
		}
		if change.Deleted {
			delete(p.held, change.Key)
		} else {
			p.held[change.Key] = change.Document
		}
	}
}

// check compares the projection with the store, which nobody writes any more.
func (p *projection) check(t *testing.T, s store.Store, kind string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		t.Error(fault)
	}
	there := map[string]string{}
	for _, d := range list(t, s, store.Query{Kind: kind}) {
		there[d.Key] = d.ETag
	}
	held := map[string]string{}
	for key, d := range p.held {
		held[key] = d.ETag
	}
	if !maps.Equal(there, held) {
		t.Errorf("the follower holds %v\nthe store %v", held, there)
	}
}

func followConcurrent(t *testing.T, s store.Store) {
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				key := fmt.Sprint("/", random.IntN(10))
				if random.IntN(3) == 0 {
					_, _ = s.Apply(context.Background(), store.Delete{Key: key})
				} else if _, err := s.Apply(context.Background(), put(key, "k", "1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var projections []*projection
	for range 8 {
		p := &projection{held: map[string]store.Document{}}
		follow(t, s, p.follow, "k")
		projections = append(projections, p)
	}
	writers.Wait()
	for _, p := range projections {
		p.check(t, s, "k")
	}
}

// followOrder has two followers record everything: both hear the same commits in the same order, whole.
func followOrder(t *testing.T, s store.Store) {
	var first, second []string
	record := func(to *[]string) func([]store.Change) {
		return func(changes []store.Change) {
			line := ""
			for _, change := range changes {
				line += change.Key + "@" + change.ETag + " "
			}
			*to = append(*to, line)
			if len(changes) != 3 {
				t.Errorf("a commit of three changes is reported as %d", len(changes))
			}
		}
	}
	follow(t, s, record(&first), "k")
	follow(t, s, record(&second), "k")
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 25 {
				body := fmt.Sprint(w, i)
				apply(t, s, put("/a", "k", body), put("/b", "k", body), put(fmt.Sprint("/", w), "k", body))
			}
		})
	}
	writers.Wait()
	if len(first) != 100 || !slices.Equal(first, second) {
		t.Errorf("first heard %d commits, second %d", len(first), len(second))
	}
}

func followBeforeJob(t *testing.T, s store.Store) {
	var heard sync.Map
	follow(t, s, func(changes []store.Change) {
		time.Sleep(3 * time.Millisecond) // a queue that looks by itself finds the job meanwhile
		heard.Store(changes[0].Key, true)
	}, "k")
	done := make(chan bool, 20)
	s.Work("j", 2, func(_ context.Context, job store.Job) error {
		var key string
		decode(t, job.Body, &key)
		_, ok := heard.Load(key)
		done <- ok
		return nil
	})
	start(t, s)
	for i := range 20 {
		key := fmt.Sprint("/", i)
		apply(t, s, put(key, "k", "1"), store.Enqueue{Kind: "j", Body: fmt.Appendf(nil, "%q", key)})
	}
	for range 20 {
		if !receive(t, done, "a job") {
			t.Error("a job ran before its change was reported")
		}
	}
}
