package storetest

import (
	"context"
	"testing"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

var batches = map[string]func(*testing.T, store.Store){
	"all or none":                   allOrNone,
	"ops see the ones before":       opsSeeEarlier,
	"results are in the ops' order": resultOrder,
	"no ops at all":                 noOps,
}

func allOrNone(t *testing.T, s store.Store) {
	a := apply(t, s, put("/a", "k", "1"))[0]
	b := apply(t, s, put("/b", "k", "1"))[0]
	refused(t, s, resource.Conflict, "DocumentExists",
		put("/a", "k", "2"), store.Delete{Key: "/b"}, put("/c", "k", "2"), store.Put{Key: "/a", Kind: "k", Body: []byte("3"), IfMatch: store.None})
	same(t, get(t, s, "/a"), a)
	same(t, get(t, s, "/b"), b)
	absent(t, s, "/c")
	refused(t, s, resource.NotFound, "DocumentNotFound", put("/c", "k", "2"), store.Delete{Key: "/d"})
	absent(t, s, "/c")
	if got := list(t, s, store.Query{Kind: "k"}); len(got) != 2 {
		t.Errorf("%d documents, want 2", len(got))
	}
}

func opsSeeEarlier(t *testing.T, s store.Store) {
	results := apply(t, s,
		store.Put{Key: "/a", Kind: "k", Body: []byte("1"), IfMatch: store.None},
		store.Put{Key: "/a", Kind: "k", Body: []byte("2"), IfMatch: store.Any},
		store.Delete{Key: "/a", IfMatch: store.Any},
		store.Put{Key: "/a", Kind: "k", Body: []byte("3"), IfMatch: store.None},
	)
	if len(results) != 4 || string(results[2].Body) != "2" || results[2].ETag != results[1].ETag {
		t.Fatalf("got %+v", results)
	}
	same(t, get(t, s, "/a"), results[3])
	refused(t, s, resource.NotFound, "DocumentNotFound", store.Delete{Key: "/a"}, store.Delete{Key: "/a"})
	get(t, s, "/a")
}

func resultOrder(t *testing.T, s store.Store) {
	apply(t, s, put("/gone", "k", "0"))
	results := apply(t, s, put("/b", "k", "1"), store.Enqueue{Kind: "j", Body: []byte("1")}, store.Delete{Key: "/gone"}, put("/a", "k", "2"))
	if got := keysOf(results); len(got) != 3 || got[0] != "/b" || got[1] != "/gone" || got[2] != "/a" {
		t.Errorf("got %q", got)
	}
}

func noOps(t *testing.T, s store.Store) {
	if results, err := s.Apply(context.Background()); err != nil || len(results) != 0 {
		t.Errorf("got %v, %v", results, err)
	}
}
