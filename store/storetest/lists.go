package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/store"
)

var lists = map[string]func(*testing.T, store.Store){
	"list by kind":          listKind,
	"list by prefix":        listPrefix,
	"list in pages":         listPages,
	"list after and prefix": listAfterPrefix,
}

// names are keys that a careless prefix or order gets wrong.
var names = []string{
	"/a", "/a/", "/a/b", "/a/b/c", "/a0", "/a%", "/a%b", "/a_", "/a_b", "/aXb", "/A", "/A/b", "/ab", "/á", "/áb", "/a\u0301b", "/z\U0001F600",
	"/z\U0001F600\U0001F600", "/z\uffff", "/z\U0010ffff", "/z\U0010ffff\U0010ffff", "/a*", "/a[b]", "/a?b", "/a'b", `/a\b`, "b",
}

func fill(t *testing.T, s store.Store, kinds ...string) {
	t.Helper()
	var ops []store.Op
	for i, name := range names {
		ops = append(ops, put(name, kinds[i%len(kinds)], fmt.Sprint(i)))
	}
	apply(t, s, ops...)
}

func keysOf(documents []store.Document) []string {
	var keys []string
	for _, d := range documents {
		keys = append(keys, d.Key)
	}
	return keys
}

func want(kinds []string, query store.Query) []string {
	var keys []string
	for i, name := range names {
		if kinds[i%len(kinds)] == query.Kind && strings.HasPrefix(name, query.Prefix) && name > query.After {
			keys = append(keys, name)
		}
	}
	slices.Sort(keys)
	if query.Limit > 0 && len(keys) > query.Limit {
		keys = keys[:query.Limit]
	}
	return keys
}

func expect(t *testing.T, s store.Store, kinds []string, query store.Query) {
	t.Helper()
	if got, want := keysOf(list(t, s, query)), want(kinds, query); !slices.Equal(got, want) {
		t.Errorf("List(%+v)\ngot  %q\nwant %q", query, got, want)
	}
}

func listKind(t *testing.T, s store.Store) {
	kinds := []string{"k", "kk", "K"}
	for _, kind := range kinds {
		expect(t, s, []string{"-"}, store.Query{Kind: kind}) // nothing yet
	}
	fill(t, s, kinds...)
	for _, kind := range append(kinds, "", "other") {
		expect(t, s, kinds, store.Query{Kind: kind})
	}
	for _, d := range list(t, s, store.Query{Kind: "k"}) {
		same(t, d, get(t, s, d.Key))
	}
	apply(t, s, store.Delete{Key: names[0]})
	if keys := keysOf(list(t, s, store.Query{Kind: "k"})); slices.Contains(keys, names[0]) {
		t.Errorf("a deleted document is listed: %q", keys)
	}
}

func listPrefix(t *testing.T, s store.Store) {
	kinds := []string{"k", "other"}
	fill(t, s, kinds...)
	for _, kind := range kinds {
		for _, name := range names {
			for end := range len(name) + 1 { // cuts characters in two, too
				expect(t, s, kinds, store.Query{Kind: kind, Prefix: name[:end]})
			}
		}
		for _, prefix := range []string{"%", "_", "/%", "/_", "/a/b/c/d", "\xff", "zzz"} {
			expect(t, s, kinds, store.Query{Kind: kind, Prefix: prefix})
		}
	}
}

func listPages(t *testing.T, s store.Store) {
	kinds := []string{"k", "other"}
	fill(t, s, kinds...)
	for size := 1; size <= len(names)+1; size++ {
		var got []string
		query := store.Query{Kind: "k", Prefix: "/", Limit: size}
		for {
			page := keysOf(list(t, s, query))
			if len(page) > size {
				t.Fatalf("a page of %d has %d", size, len(page))
			}
			got = append(got, page...)
			if len(page) < size {
				break
			}
			query.After = page[len(page)-1]
		}
		if want := want(kinds, store.Query{Kind: "k", Prefix: "/"}); !slices.Equal(got, want) {
			t.Errorf("pages of %d\ngot  %q\nwant %q", size, got, want)
		}
	}
}

func listAfterPrefix(t *testing.T, s store.Store) {
	kinds := []string{"k"}
	fill(t, s, kinds...)
	for _, after := range append(names, "/", "0", "\U0010ffff", "/a/bb") {
		for _, prefix := range []string{"", "/a", "/a/", "/z", "b", "c"} {
			for _, limit := range []int{0, 1, 3} {
				expect(t, s, kinds, store.Query{Kind: "k", Prefix: prefix, After: after, Limit: limit})
			}
		}
	}
}
