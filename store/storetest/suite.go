// Package storetest is the suite that every driver of package store passes: the contract's words, case by case, and
// random histories compared with a naive model. It knows no driver.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Run runs the suite on the stores that open makes, each of them empty. The suite closes them.
func Run(t *testing.T, open func(testing.TB) store.Store) {
	for _, group := range []map[string]func(*testing.T, store.Store){
		documents, lists, batches, follows, queues, concurrency,
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, opened(t, open(t)))
			})
		}
	}
	t.Run("model", func(t *testing.T) {
		t.Parallel()
		model(t, open)
	})
}

// opened has the store closed at the test's end.
func opened(t testing.TB, s store.Store) store.Store {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func put(key, kind, body string) store.Put {
	return store.Put{Key: key, Kind: kind, Body: []byte(body)}
}

// apply makes a change that must succeed.
func apply(t testing.TB, s store.Store, ops ...store.Op) []store.Document {
	t.Helper()
	results, err := s.Apply(context.Background(), ops...)
	if err != nil {
		t.Fatalf("Apply(%v): %v", ops, err)
	}
	return results
}

// refused makes a change that must fail with a kind and code.
func refused(t testing.TB, s store.Store, kind resource.Kind, code string, ops ...store.Op) {
	t.Helper()
	results, err := s.Apply(context.Background(), ops...)
	fails(t, err, kind, code)
	if results != nil {
		t.Errorf("Apply(%v) failed and gave results: %v", ops, results)
	}
}

func fails(t testing.TB, err error, kind resource.Kind, code string) {
	t.Helper()
	var e *resource.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Fatalf("error is %v; want kind %v, code %s", err, kind, code)
	}
}

func get(t testing.TB, s store.Store, key string) store.Document {
	t.Helper()
	document, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return document
}

func absent(t testing.TB, s store.Store, key string) {
	t.Helper()
	_, err := s.Get(context.Background(), key)
	fails(t, err, resource.NotFound, "DocumentNotFound")
}

func list(t testing.TB, s store.Store, query store.Query) []store.Document {
	t.Helper()
	documents, err := s.List(context.Background(), query)
	if err != nil {
		t.Fatalf("List(%+v): %v", query, err)
	}
	return documents
}

// same compares documents in every field.
func same(t testing.TB, got, want store.Document) {
	t.Helper()
	if got.Key != want.Key || got.Kind != want.Kind || string(got.Body) != string(want.Body) || got.ETag != want.ETag ||
		!got.Created.Equal(want.Created) || !got.Modified.Equal(want.Modified) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// receive takes one value, or fails after a while that no healthy store needs.
func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(20 * time.Second):
		t.Fatalf("waited 20 s for %s", what)
		panic("not reached")
	}
}

func sameJSON(t testing.TB, got []byte, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("%q is not JSON: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("got %s, want %s", got, want)
	}
}
