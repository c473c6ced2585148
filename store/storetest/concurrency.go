package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

var concurrency = map[string]func(*testing.T, store.Store){
	"compare-and-swap counts every increment": increments,
	"one of many creators wins":               creators,
	"a failure does not disturb others":       neighbours,
	"readers see whole batches in order":      readers,
}

// increments has goroutines read a counter and write it with its ETag until each has succeeded n times. The counter is a
// linearizable register when every value is written once and none is lost.
func increments(t *testing.T, s store.Store) {
	const goroutines = 8
	n := 40
	if testing.Short() {
		n = 10
	}
	apply(t, s, put("/counter", "k", "0"))
	var written sync.Map
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			last := -1
			for done := 0; done < n; {
				d, err := s.Get(context.Background(), "/counter")
				if err != nil {
					t.Error(err)
					return
				}
				value, _ := strconv.Atoi(string(d.Body))
				if value < last {
					t.Errorf("read %d after having written %d", value, last)
				}
				_, err = s.Apply(context.Background(), store.Put{Key: "/counter", Kind: "k", Body: []byte(strconv.Itoa(value + 1)), IfMatch: d.ETag})
				switch {
				case err == nil:
					if other, twice := written.LoadOrStore(value+1, g); twice {
						t.Errorf("%d was written by %d and %d", value+1, other, g)
					}
					last = value + 1
					done++
				case resource.KindOf(err) != resource.PreconditionFailed:
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if got := string(get(t, s, "/counter").Body); got != strconv.Itoa(goroutines*n) {
		t.Errorf("the counter is %s, want %d", got, goroutines*n)
	}
}

func creators(t *testing.T, s store.Store) {
	for round := range 20 {
		var winners atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, err := s.Apply(context.Background(), store.Put{Key: fmt.Sprint("/", round), Kind: "k", IfMatch: store.None})
				if err == nil {
					winners.Add(1)
				} else if resource.KindOf(err) != resource.Conflict {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if winners.Load() != 1 {
			t.Errorf("round %d has %d winners", round, winners.Load())
		}
	}
}

// neighbours mixes changes that succeed with ones that fail half-way: they may share a transaction, never a fate.
func neighbours(t *testing.T, s store.Store) {
	const goroutines, rounds = 8, 30
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range rounds {
				key := fmt.Sprintf("/%d/%d", g, i)
				if g%2 == 0 {
					apply(t, s, put(key+"/a", "k", "1"), put(key+"/b", "k", "1"))
				} else {
					_, err := s.Apply(context.Background(), put(key+"/a", "k", "1"), enqueue("j", "1"), put(key+"/b", "k", "1"), store.Delete{Key: "/none"})
					if resource.KindOf(err) != resource.NotFound {
						t.Errorf("got %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	if got := len(list(t, s, store.Query{Kind: "k"})); got != goroutines/2*rounds*2 {
		t.Errorf("%d documents, want %d", got, goroutines/2*rounds*2)
	}
}

// readers checks that a List never shows half a batch, and that time does not run backwards for a reader.
func readers(t *testing.T, s store.Store) {
	const rounds = 60
	write := func(i int) {
		body := strconv.Itoa(i)
		apply(t, s, put("/a", "k", body), put("/b", "k", body), put("/c", "k", body))
	}
	write(0)
	stop := make(chan bool)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				documents := list(t, s, store.Query{Kind: "k"})
				for _, d := range documents {
					if string(d.Body) != string(documents[0].Body) {
						t.Errorf("half a batch: %s and %s", documents[0].Body, d.Body)
						return
					}
				}
				value, _ := strconv.Atoi(string(documents[0].Body))
				if value < last {
					t.Errorf("read %d after %d", value, last)
				}
				last = value
			}
		})
	}
	for i := range rounds {
		write(i + 1)
		if got := string(get(t, s, "/b").Body); got != strconv.Itoa(i+1) {
			t.Errorf("read %s after having written %d", got, i+1)
		}
	}
	close(stop)
	all.Wait()
}
