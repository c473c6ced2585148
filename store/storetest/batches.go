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
	"expectations":                  expectations,
	"vacant prefixes":               vacantPrefixes,
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

func expectations(t *testing.T, s store.Store) {
	parent := apply(t, s, put("/p", "k", "1"))[0]
	results := apply(t, s, store.Expect{Key: "/p", IfMatch: store.Any}, put("/p/a", "k", "1"), store.Expect{Key: "/p", IfMatch: parent.ETag}, store.Expect{Key: "/q", IfMatch: store.None})
	if len(results) != 1 || results[0].Key != "/p/a" {
		t.Errorf("an expectation has a result: %+v", results)
	}
	same(t, get(t, s, "/p"), parent)
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", put("/q/a", "k", "1"), store.Expect{Key: "/q", IfMatch: store.Any})
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", put("/q/a", "k", "1"), store.Expect{Key: "/p", IfMatch: "other"})
	refused(t, s, resource.Conflict, "DocumentExists", put("/q/a", "k", "1"), store.Expect{Key: "/p", IfMatch: store.None})
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", store.Delete{Key: "/p"}, store.Expect{Key: "/p", IfMatch: store.Any})
	absent(t, s, "/q/a")
	if _, err := s.Apply(context.Background(), store.Expect{Key: "/p"}); err == nil {
		t.Error("an expectation without a condition is accepted")
	}
}

func vacantPrefixes(t *testing.T, s store.Store) {
	apply(t, s, put("/p", "k", "1"), put("/p/a", "k", "1"), put("/p/b", "other", "1"), put("/pq", "k", "1"), store.Vacant{Prefix: "/x/"})
	refused(t, s, resource.Conflict, "DocumentsBelow", store.Delete{Key: "/p"}, store.Vacant{Prefix: "/p/"})
	refused(t, s, resource.Conflict, "DocumentsBelow", store.Delete{Key: "/p"}, store.Delete{Key: "/p/a"}, store.Vacant{Prefix: "/p/"})
	refused(t, s, resource.Conflict, "DocumentsBelow", put("/x/a", "k", "1"), store.Vacant{Prefix: "/x/"})
	get(t, s, "/p")
	apply(t, s, store.Delete{Key: "/p/b"}, store.Delete{Key: "/p"}, store.Delete{Key: "/p/a"}, store.Vacant{Prefix: "/p/"}, put("/p/c", "k", "1"))
	get(t, s, "/pq")
	get(t, s, "/p/c")
	if _, err := s.Apply(context.Background(), store.Vacant{}); err == nil {
		t.Error("an empty prefix is accepted")
	}
}

func noOps(t *testing.T, s store.Store) {
	if results, err := s.Apply(context.Background()); err != nil || len(results) != 0 {
		t.Errorf("got %v, %v", results, err)
	}
}
