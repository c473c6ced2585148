// Package mem is the store in memory, for tests and for servers whose state may go with the process. It has the semantics
// of every other driver, jobs included, except that nothing survives.
package mem

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/internal/work"
)

// Store is a store.Store in memory.
type Store struct {
	clock func() time.Time
	jobs  *work.Queue

	commit    sync.Mutex // held for a whole Apply, followers included: commits have one order
	followers []follower
	lastJob   int64
	closed    bool

	mu       sync.RWMutex // guards what follows; never held while followers run
	docs     map[string]store.Document
	keys     map[string][]string // by kind, sorted
	revision int64
}

type follower struct {
	kinds []string
	fn    func([]store.Change)
}

// Option changes a store that New makes.
type Option func(*settings)

type settings struct {
	clock func() time.Time
	log   *slog.Logger
	retry func(attempt int) time.Duration
}

// WithClock sets the clock that stamps documents and that RunAt is compared with.
func WithClock(clock func() time.Time) Option { return func(s *settings) { s.clock = clock } }

// WithLogger sets where failed jobs are logged.
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// WithRetryDelay replaces store.RetryDelay.
func WithRetryDelay(delay func(attempt int) time.Duration) Option {
	return func(s *settings) { s.retry = delay }
}

// New makes an empty store.
func New(options ...Option) *Store {
	set := settings{clock: time.Now, log: slog.New(slog.DiscardHandler), retry: store.RetryDelay}
	for _, option := range options {
		option(&set)
	}
	return &Store{
		clock: set.clock,
		jobs:  &work.Queue{Clock: set.clock, Log: set.log, RetryDelay: set.retry},
		docs:  map[string]store.Document{},
		keys:  map[string][]string{},
	}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Document, error) {
	if err := ctx.Err(); err != nil {
		return store.Document{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	document, ok := s.docs[key]
	if !ok {
		return store.Document{}, store.Absent(key)
	}
	return clone(document), nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, query store.Query) ([]store.Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := s.keys[query.Kind]
	start, _ := slices.BinarySearch(keys, query.Prefix)
	if query.After != "" {
		after, found := slices.BinarySearch(keys, query.After)
		if found {
			after++
		}
		start = max(start, after)
	}
	var documents []store.Document
	for _, key := range keys[start:] {
		if !strings.HasPrefix(key, query.Prefix) || query.Limit > 0 && len(documents) == query.Limit {
			break
		}
		documents = append(documents, clone(s.docs[key]))
	}
	return documents, nil
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, ops ...store.Op) ([]store.Document, error) {
	if err := store.Validate(ops); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.closed {
		return nil, errors.New("store: closed")
	}
	batch := batch{store: s, now: store.Stamp(s.clock()), written: map[string]*store.Document{}}
	for _, op := range ops {
		if err := batch.add(op); err != nil {
			return nil, err
		}
	}
	s.write(&batch)
	for _, f := range s.followers {
		if changes := f.selects(batch.changes); len(changes) > 0 {
			f.fn(changes)
		}
	}
	s.jobs.Add(batch.jobs...)
	return batch.results, nil
}

func (s *Store) write(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision += b.revisions
	for key, document := range b.written {
		if old, ok := s.docs[key]; ok && (document == nil || old.Kind != document.Kind) {
			keys := s.keys[old.Kind]
			at, _ := slices.BinarySearch(keys, key)
			s.keys[old.Kind] = slices.Delete(keys, at, at+1)
		}
		if document == nil {
			delete(s.docs, key)
			continue
		}
		keys := s.keys[document.Kind]
		if at, found := slices.BinarySearch(keys, key); !found {
			s.keys[document.Kind] = slices.Insert(keys, at, key)
		}
		s.docs[key] = *document
	}
}

// Follow implements store.Store.
func (s *Store) Follow(kinds []string, fn func([]store.Change)) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	var changes []store.Change
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		documents, err := s.List(context.Background(), store.Query{Kind: kind})
		if err != nil {
			return err
		}
		for _, document := range documents {
			changes = append(changes, store.Change{Document: document})
		}
	}
	if len(changes) > 0 {
		fn(changes)
	}
	s.followers = append(s.followers, follower{slices.Clone(kinds), fn})
	return nil
}

// Work implements store.Store.
func (s *Store) Work(kind string, concurrency int, run func(context.Context, store.Job) error) {
	s.jobs.Work(kind, concurrency, run)
}

// Start implements store.Store. Jobs run until Close; ctx only lends them its values.
func (s *Store) Start(ctx context.Context) error { return s.jobs.Start(ctx) }

// Close implements store.Store. Running jobs may use the store until they return.
func (s *Store) Close(ctx context.Context) error {
	err := s.jobs.Close(ctx)
	s.commit.Lock()
	defer s.commit.Unlock()
	s.closed = true
	return err
}

// Stop implements store.Store.
func (s *Store) Stop(ctx context.Context) error { return s.jobs.Close(ctx) }

var _ store.Store = (*Store)(nil)
