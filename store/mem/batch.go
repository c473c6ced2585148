package mem

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/internal/work"
)

// batch is an Apply under way: what its ops wrote so far, over what the store holds.
type batch struct {
	store     *Store
	now       time.Time
	revisions int64
	written   map[string]*store.Document // nil: deleted
	results   []store.Document
	changes   []store.Change
	jobs      []work.Item
}

func (b *batch) current(key string) (store.Document, bool) {
	if document, ok := b.written[key]; ok {
		if document == nil {
			return store.Document{}, false
		}
		return *document, true
	}
	document, ok := b.store.docs[key] // only Apply writes, and it is us
	return document, ok
}

func (b *batch) add(op store.Op) error {
	switch op := op.(type) {
	case store.Put:
		return b.put(op)
	case store.Delete:
		return b.delete(op)
	case store.Expect:
		current, present := b.current(op.Key)
		return store.Check(op.Key, op.IfMatch, current.ETag, present)
	case store.Vacant:
		return b.vacant(op.Prefix)
	case store.Enqueue:
		b.enqueue(op)
	}
	return nil
}

func (b *batch) put(op store.Put) error {
	current, present := b.current(op.Key)
	if err := store.Check(op.Key, op.IfMatch, current.ETag, present); err != nil {
		return err
	}
	b.revisions++
	document := store.Document{
		Key: op.Key, Kind: op.Kind, Body: bytes.Clone(op.Body),
		ETag:    strconv.FormatInt(b.store.revision+b.revisions, 36),
		Created: b.now, Modified: b.now,
	}
	if present {
		if err := store.CheckKind(op.Key, current.Kind, op.Kind); err != nil {
			return err
		}
		document.Created = current.Created
	}
	b.written[op.Key] = &document
	b.results = append(b.results, clone(document))
	b.changes = append(b.changes, store.Change{Document: document})
	return nil
}

func (b *batch) delete(op store.Delete) error {
	current, present := b.current(op.Key)
	if !present && op.IfMatch == "" {
		return store.Absent(op.Key)
	}
	if err := store.Check(op.Key, op.IfMatch, current.ETag, present); err != nil {
		return err
	}
	if !present {
		return store.Absent(op.Key)
	}
	b.written[op.Key] = nil
	b.results = append(b.results, clone(current))
	b.changes = append(b.changes, store.Change{Document: current, Deleted: true})
	return nil
}

func (b *batch) vacant(prefix string) error {
	for key, document := range b.written {
		if document != nil && strings.HasPrefix(key, prefix) {
			return store.Occupied(prefix, key)
		}
	}
	for _, keys := range b.store.keys {
		at, _ := slices.BinarySearch(keys, prefix)
		for ; at < len(keys) && strings.HasPrefix(keys[at], prefix); at++ {
			if document, touched := b.written[keys[at]]; !touched || document != nil {
				return store.Occupied(prefix, keys[at])
			}
		}
	}
	return nil
}

func (b *batch) enqueue(op store.Enqueue) {
	b.store.lastJob++ // an id that a failing Apply took is lost, as in a database
	b.jobs = append(b.jobs, work.Item{
		Job:   store.Job{ID: b.store.lastJob, Kind: op.Kind, Body: bytes.Clone(op.Body), Attempt: 1, MaxAttempts: op.Attempts()},
		RunAt: op.RunAt,
	})
}

// selects gives the changes that a follower asked for, with bodies of its own.
func (f follower) selects(changes []store.Change) []store.Change {
	var selected []store.Change
	for _, change := range changes {
		if slices.Contains(f.kinds, change.Kind) {
			change.Document = clone(change.Document)
			selected = append(selected, change)
		}
	}
	return selected
}

func clone(document store.Document) store.Document {
	document.Body = bytes.Clone(document.Body)
	return document
}
