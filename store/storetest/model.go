package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// naive is the contract in its plainest form.
type naive map[string]store.Document

// apply gives the model after ops, or the kind of the error. A result's ETag and times are the store's, since the model
// can't foretell them; got holds the store's results and may be short when the store failed.
func (n naive) apply(ops []store.Op, got []store.Document) (naive, resource.Kind, bool) {
	next := naive{}
	for key, d := range n {
		next[key] = d
	}
	for _, op := range ops {
		var key, condition string
		switch op := op.(type) {
		case store.Put:
			key, condition = op.Key, op.IfMatch
		case store.Delete:
			key, condition = op.Key, op.IfMatch
		}
		d, there := next[key]
		switch {
		case condition == store.None && there:
			return n, resource.Conflict, false
		case condition == store.Any && !there, condition != "" && condition != store.Any && condition != store.None && d.ETag != condition:
			return n, resource.PreconditionFailed, false
		}
		written := store.Document{}
		if len(got) > 0 {
			written, got = got[0], got[1:]
		}
		switch op := op.(type) {
		case store.Put:
			if there && d.Kind != op.Kind {
				return n, resource.Internal, false
			}
			created := written.Created
			if there {
				created = d.Created
			}
			next[key] = store.Document{Key: key, Kind: op.Kind, Body: op.Body, ETag: written.ETag, Created: created, Modified: written.Modified}
		case store.Delete:
			if !there {
				return n, resource.NotFound, false
			}
			delete(next, key)
		}
	}
	return next, 0, true
}

func (n naive) list(q store.Query) []store.Document {
	var documents []store.Document
	for _, d := range n {
		if d.Kind == q.Kind && strings.HasPrefix(d.Key, q.Prefix) && d.Key > q.After {
			documents = append(documents, d)
		}
	}
	slices.SortFunc(documents, func(a, b store.Document) int { return strings.Compare(a.Key, b.Key) })
	if q.Limit > 0 && len(documents) > q.Limit {
		documents = documents[:q.Limit]
	}
	return documents
}

// model runs random histories on a store and on naive, with a follower that must hold what the store holds.
func model(t *testing.T, open func(testing.TB) store.Store) {
	s := opened(t, open(t))
	history := 0
	rapid.Check(t, func(r *rapid.T) {
		history++ // every history has a corner of the store for itself
		root := fmt.Sprintf("/%d/", history)
		kinds := []string{root + "k", root + "l"}
		key := rapid.Custom(func(r *rapid.T) string {
			return root + rapid.SampledFrom([]string{"a", "a/b", "a%", "a_", "á", "A", "b", "\U0001F600"}).Draw(r, "name")
		})
		kindOf := func(r *rapid.T, key string) string { // mostly the same for a key
			i := len(key) % 2
			if rapid.IntRange(0, 19).Draw(r, "odd") == 0 {
				i = 1 - i
			}
			return kinds[i]
		}
		state := naive{}
		p := &projection{held: map[string]store.Document{}}
		r.Repeat(map[string]func(*rapid.T){
			"apply": func(r *rapid.T) {
				var ops []store.Op
				for range rapid.IntRange(1, 4).Draw(r, "ops") {
					key := key.Draw(r, "key")
					condition := rapid.SampledFrom([]string{"", "", store.Any, store.None, state[key].ETag, "nonsense"}).Draw(r, "condition")
					if rapid.IntRange(0, 2).Draw(r, "op") == 0 {
						ops = append(ops, store.Delete{Key: key, IfMatch: condition})
					} else {
						body := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(r, "body")
						ops = append(ops, store.Put{Key: key, Kind: kindOf(r, key), Body: body, IfMatch: condition})
					}
				}
				results, err := s.Apply(context.Background(), ops...)
				next, kind, ok := state.apply(ops, results)
				if ok != (err == nil) || err != nil && resource.KindOf(err) != kind {
					r.Fatalf("Apply(%+v) gave %v; the model says success %v, kind %v", ops, err, ok, kind)
				}
				if ok && len(results) != len(ops) {
					r.Fatalf("%d ops gave %d results", len(ops), len(results))
				}
				state = next
			},
			"list": func(r *rapid.T) {
				q := store.Query{
					Kind:   rapid.SampledFrom(kinds).Draw(r, "kind"),
					Prefix: rapid.SampledFrom([]string{"", root, root + "a", root + "a%", root + "_", "/none"}).Draw(r, "prefix"),
					Limit:  rapid.IntRange(0, 4).Draw(r, "limit"),
				}
				if rapid.Bool().Draw(r, "page") {
					q.After = key.Draw(r, "after")
				}
				got, err := s.List(context.Background(), q)
				if err != nil {
					r.Fatal(err)
				}
				equal(r, got, state.list(q))
			},
			"follow": func(r *rapid.T) {
				p = &projection{held: map[string]store.Document{}}
				if err := s.Follow(kinds, p.follow); err != nil {
					r.Fatal(err)
				}
				for key, d := range state {
					if p.held[key].ETag != d.ETag {
						r.Fatalf("a new follower holds version %q of %s, want %q", p.held[key].ETag, key, d.ETag)
					}
				}
			},
			"": func(r *rapid.T) {
				for _, kind := range kinds {
					got, err := s.List(context.Background(), store.Query{Kind: kind})
					if err != nil {
						r.Fatal(err)
					}
					equal(r, got, state.list(store.Query{Kind: kind}))
				}
				if len(p.faults) > 0 {
					r.Fatal(p.faults)
				}
			},
		})
	})
}

func equal(r *rapid.T, got, want []store.Document) {
	r.Helper()
	if !slices.EqualFunc(got, want, func(a, b store.Document) bool {
		return a.Key == b.Key && a.Kind == b.Kind && bytes.Equal(a.Body, b.Body) && a.ETag == b.ETag &&
			a.Created.Equal(b.Created) && a.Modified.Equal(b.Modified)
	}) {
		r.Fatalf("got  %+v\nwant %+v", got, want)
	}
}
