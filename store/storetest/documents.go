package storetest

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

var documents = map[string]func(*testing.T, store.Store){
	"get what was put":                getPut,
	"get an absent one":               func(t *testing.T, s store.Store) { absent(t, s, "/none") },
	"every write changes the etag":    etags,
	"an etag never comes back":        etagsAfterDelete,
	"created stays, modified moves":   times,
	"conditions of put":               putConditions,
	"conditions of delete":            deleteConditions,
	"bodies of every size":            bodies,
	"keys are bytes":                  keys,
	"results belong to the caller":    ownership,
	"malformed ops are refused":       malformed,
	"a kind is kept":                  kindKept,
	"an ended context":                ended,
	"a closed store":                  closed,
	"a context may end while waiting": endsWhileWaiting,
}

func getPut(t *testing.T, s store.Store) {
	before := time.Now().Add(-time.Second)
	result := apply(t, s, put("/a", "k", `{"x":1}`))
	if len(result) != 1 {
		t.Fatalf("one put gave %d results", len(result))
	}
	d := result[0]
	if d.Key != "/a" || d.Kind != "k" || string(d.Body) != `{"x":1}` || d.ETag == "" || strings.ContainsAny(d.ETag, `"*-`) {
		t.Errorf("got %+v", d)
	}
	if d.Created.Before(before) || d.Created.After(time.Now().Add(time.Second)) || !d.Created.Equal(d.Modified) || d.Created.Location() != time.UTC {
		t.Errorf("created %v, modified %v", d.Created, d.Modified)
	}
	same(t, get(t, s, "/a"), d)
}

func etags(t *testing.T, s store.Store) {
	seen := map[string]bool{}
	for range 20 {
		for _, key := range []string{"/a", "/b"} {
			d := apply(t, s, put(key, "k", `{}`))[0]
			if seen[d.ETag] {
				t.Fatalf("etag %q of %s was there before", d.ETag, key)
			}
			seen[d.ETag] = true
			same(t, get(t, s, key), d)
		}
	}
}

func etagsAfterDelete(t *testing.T, s store.Store) {
	first := apply(t, s, put("/a", "k", `{}`))[0]
	apply(t, s, store.Delete{Key: "/a"})
	second := apply(t, s, put("/a", "k", `{}`))[0]
	if first.ETag == second.ETag {
		t.Errorf("a new document has the etag %q of the deleted one", first.ETag)
	}
}

func times(t *testing.T, s store.Store) {
	first := apply(t, s, put("/a", "k", `1`))[0]
	time.Sleep(2 * time.Millisecond)
	second := apply(t, s, put("/a", "k", `2`))[0]
	if !second.Created.Equal(first.Created) || !second.Modified.After(first.Modified) {
		t.Errorf("first %+v, second %+v", first, second)
	}
	same(t, get(t, s, "/a"), second)
}

func putConditions(t *testing.T, s store.Store) {
	with := func(condition string) store.Put {
		return store.Put{Key: "/a", Kind: "k", Body: []byte(condition), IfMatch: condition}
	}
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", with(store.Any))
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", with("1"))
	absent(t, s, "/a")
	first := apply(t, s, with(store.None))[0]
	refused(t, s, resource.Conflict, "DocumentExists", with(store.None))
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", with(first.ETag+"0"))
	same(t, get(t, s, "/a"), first)
	second := apply(t, s, with(first.ETag))[0]
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", with(first.ETag))
	third := apply(t, s, with(store.Any))[0]
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", with(second.ETag))
	same(t, get(t, s, "/a"), third)
}

func deleteConditions(t *testing.T, s store.Store) {
	refused(t, s, resource.NotFound, "DocumentNotFound", store.Delete{Key: "/a"})
	refused(t, s, resource.NotFound, "DocumentNotFound", store.Delete{Key: "/a", IfMatch: store.None})
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", store.Delete{Key: "/a", IfMatch: store.Any})
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", store.Delete{Key: "/a", IfMatch: "1"})
	first := apply(t, s, put("/a", "k", `1`))[0]
	second := apply(t, s, put("/a", "k", `2`))[0]
	refused(t, s, resource.PreconditionFailed, "ETagMismatch", store.Delete{Key: "/a", IfMatch: first.ETag})
	refused(t, s, resource.Conflict, "DocumentExists", store.Delete{Key: "/a", IfMatch: store.None})
	same(t, get(t, s, "/a"), second)
	same(t, apply(t, s, store.Delete{Key: "/a", IfMatch: second.ETag})[0], second)
	absent(t, s, "/a")
	third := apply(t, s, put("/a", "k", `3`))[0]
	same(t, apply(t, s, store.Delete{Key: "/a", IfMatch: store.Any})[0], third)
	fourth := apply(t, s, put("/a", "k", `4`))[0]
	same(t, apply(t, s, store.Delete{Key: "/a"})[0], fourth)
	absent(t, s, "/a")
}

func bodies(t *testing.T, s store.Store) {
	for name, body := range map[string][]byte{
		"empty": {}, "nil": nil, "large": bytes.Repeat([]byte(`"0123456789"`), 200_000), "unicode": []byte("\"ação \u2028 \U0001F600\""),
		"not text": {0, 0xff, 0xfe, 0},
	} {
		apply(t, s, store.Put{Key: "/" + name, Kind: "k", Body: body})
		if got := get(t, s, "/"+name).Body; !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes came back as %d", name, len(body), len(got))
		}
	}
}

func keys(t *testing.T, s store.Store) {
	all := []string{"a", "A", "á", "a\u0301", "a%", "a_", "a'", `a"`, `a\`, "a;--", "a b", "a?", "a#", "\x01", "日本", "\U0001F600", strings.Repeat("k", 2000)}
	for _, key := range all {
		apply(t, s, store.Put{Key: key, Kind: "k", Body: []byte(key), IfMatch: store.None})
	}
	for _, key := range all {
		if d := get(t, s, key); d.Key != key || string(d.Body) != key {
			t.Errorf("Get(%q) gave %q", key, d.Key)
		}
	}
	if got := list(t, s, store.Query{Kind: "k"}); len(got) != len(all) {
		t.Errorf("%d keys are %d documents", len(all), len(got))
	}
}

func ownership(t *testing.T, s store.Store) {
	body := []byte(`"original"`)
	results := apply(t, s, store.Put{Key: "/a", Kind: "k", Body: body})
	spoil := func(b []byte) { copy(b, "XXXXXXXXXX") }
	spoil(body)
	spoil(results[0].Body)
	spoil(get(t, s, "/a").Body)
	spoil(list(t, s, store.Query{Kind: "k"})[0].Body)
	if err := s.Follow([]string{"k"}, func(changes []store.Change) { spoil(changes[0].Body) }); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "/a").Body; string(got) != `"original"` {
		t.Errorf("a caller's bytes are the store's: %s", got)
	}
}

func malformed(t *testing.T, s store.Store) {
	for name, op := range map[string]store.Op{
		"no key": put("", "k", "1"), "no kind": put("/a", "", "1"), "NUL": put("/a\x00", "k", "1"), "not UTF-8": put("/\xff", "k", "1"),
		"no key to delete": store.Delete{}, "job without kind": store.Enqueue{Body: []byte("1")}, "job without body": store.Enqueue{Kind: "j"},
		"job that is not JSON": store.Enqueue{Kind: "j", Body: []byte("{")}, "negative attempts": store.Enqueue{Kind: "j", Body: []byte("1"), MaxAttempts: -1},
		"nil": nil,
	} {
		if _, err := s.Apply(context.Background(), put("/beside", "k", "1"), op); err == nil || resource.KindOf(err) != resource.Internal {
			t.Errorf("%s: error is %v, want an internal one", name, err)
		}
	}
	absent(t, s, "/beside")
}

func kindKept(t *testing.T, s store.Store) {
	first := apply(t, s, put("/a", "k", "1"))[0]
	if _, err := s.Apply(context.Background(), put("/a", "other", "2")); err == nil {
		t.Error("a document moved to another kind")
	}
	same(t, get(t, s, "/a"), first)
	apply(t, s, store.Delete{Key: "/a"}, put("/a", "other", "3"))
	if d := get(t, s, "/a"); d.Kind != "other" || len(list(t, s, store.Query{Kind: "k"})) != 0 {
		t.Errorf("got %+v", d)
	}
}

func ended(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "k", "1"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Get(ctx, "/a"); err == nil {
		t.Error("Get ran")
	}
	if _, err := s.List(ctx, store.Query{Kind: "k"}); err == nil {
		t.Error("List ran")
	}
	if _, err := s.Apply(ctx, store.Delete{Key: "/a"}); err == nil {
		t.Error("Apply ran")
	}
	get(t, s, "/a")
}

func closed(t *testing.T, s store.Store) {
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(context.Background(), put("/a", "k", "1")); err == nil {
		t.Error("Apply on a closed store succeeded")
	}
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// endsWhileWaiting has contexts end at random moments: an Apply that fails has changed nothing, one that succeeds has.
func endsWhileWaiting(t *testing.T, s store.Store) {
	for range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Microsecond)
		_, err := s.Apply(ctx, put("/a", "k", "1"))
		cancel()
		if err != nil {
			absent(t, s, "/a")
			continue
		}
		apply(t, s, store.Delete{Key: "/a"})
	}
}
