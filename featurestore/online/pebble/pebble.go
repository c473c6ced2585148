// Package pebble is an online.Store in an embedded Pebble database: one process owns the folder. Rows are written blind
// with a merge operator that keeps the latest by event time, so writers never read and never wait for each other.
package pebble

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/resource"
)

// Options of a store; the zero value suits a small server.
type Options struct {
	CacheBytes    int64 // of read blocks, taken as they are read; 0 means 64 MiB
	MemTableBytes int   // written before a flush, taken as it fills; 0 means 16 MiB
	Log           *slog.Logger
}

// Store is an open database. Keys are a table's number (4 bytes, big-endian) and the row's key.
type Store struct {
	db     *pebble.DB
	mu     sync.RWMutex
	tables map[string]*table
	next   uint32
}

type table struct {
	number uint32
	schema *online.Schema
	// Writers share it; whoever removes rows holds it alone, so that nothing newer is removed.
	mu      sync.RWMutex
	dropped bool
}

var _ online.Store = (*Store)(nil)

// Numbers below firstTable hold the catalog: number 0 its entries by name.
const firstTable = 16

type entry struct {
	Number uint32         `json:"number"`
	Schema *online.Schema `json:"schema"`
}

// Open opens or makes the database in a folder.
func Open(folder string, options Options) (*Store, error) {
	if options.CacheBytes <= 0 {
		options.CacheBytes = 64 << 20
	}
	if options.MemTableBytes <= 0 {
		options.MemTableBytes = 16 << 20
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	cache := pebble.NewCache(options.CacheBytes)
	defer cache.Unref()
	o := &pebble.Options{
		Cache: cache, MemTableSize: uint64(options.MemTableBytes), MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, LBaseMaxBytes: 64 << 20, MaxOpenFiles: 500,
		Merger: latest, FormatMajorVersion: pebble.FormatNewest, Logger: logger{options.Log},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].IndexBlockSize = 256 << 10 // one level of index: a point read then needs one block beside it
	}
	db, err := pebble.Open(folder, o)
	if err != nil {
		return nil, fmt.Errorf("open online store %s: %w", folder, err)
	}
	s := &Store{db: db, tables: map[string]*table{}, next: firstTable}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *Store) load() error {
	iter, err := s.db.NewIter(bounds(0))
	if err != nil {
		return err
	}
	defer iter.Close()
	for iter.First(); iter.Valid(); iter.Next() {
		var e entry
		if err := json.Unmarshal(iter.Value(), &e); err != nil {
			return fmt.Errorf("online store: table %q: %w", iter.Key()[4:], err)
		}
		s.next = max(s.next, e.Number+1)
		if name := string(iter.Key()[4:]); name != "" { // the entry without a name keeps the last number
			s.tables[name] = &table{number: e.Number, schema: e.Schema}
		}
	}
	return iter.Error()
}

func prefix(number uint32) []byte { return binary.BigEndian.AppendUint32(nil, number) }

func bounds(number uint32) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: prefix(number), UpperBound: prefix(number + 1)}
}

func (t *table) key(to, key []byte) []byte {
	return append(binary.BigEndian.AppendUint32(to[:0], t.number), key...)
}

func (s *Store) table(name string) (*table, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t, ok := s.tables[name]; ok {
		return t, nil
	}
	return nil, online.ErrNoTable(name)
}

// Create implements online.Store.
func (s *Store) Create(_ context.Context, name string, schema *online.Schema) error {
	if name == "" {
		return resource.Invalidf("InvalidBatch", "the online table's name is empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if present, ok := s.tables[name]; ok {
		if !present.schema.Equal(schema) {
			return online.ErrSchemaChanged(name)
		}
		return nil
	}
	text, err := json.Marshal(entry{Number: s.next, Schema: schema})
	if err != nil {
		return err
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(batch.Set(append(prefix(0), name...), text, nil), batch.Set(prefix(0), text, nil)); err != nil {
		return err
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("create online table %q: %w", name, err)
	}
	s.tables[name] = &table{number: s.next, schema: schema}
	s.next++
	return nil
}

// Tables implements online.Store.
func (s *Store) Tables(context.Context) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.tables)), nil
}

// Schema implements online.Store.
func (s *Store) Schema(_ context.Context, name string) (*online.Schema, error) {
	t, err := s.table(name)
	if err != nil {
		return nil, err
	}
	return t.schema, nil
}

// DropTable implements online.Store. The rows go with one range tombstone; compaction frees their space.
func (s *Store) DropTable(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tables[name]
	if !ok {
		return online.ErrNoTable(name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := s.db.NewBatch()
	defer batch.Close()
	err := errors.Join(
		batch.Delete(append(prefix(0), name...), nil),
		batch.DeleteRange(prefix(t.number), prefix(t.number+1), nil),
	)
	if err == nil {
		err = batch.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("drop online table %q: %w", name, err)
	}
	t.dropped = true
	delete(s.tables, name)
	return nil
}

// Compact merges what was written to the table: reads after a large load become cheaper, and the space of replaced rows
// is freed. The database does this by itself in time; reads and writes go on meanwhile.
func (s *Store) Compact(ctx context.Context, name string) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	if err := s.db.Compact(ctx, prefix(t.number), prefix(t.number+1), false); err != nil {
		return fmt.Errorf("compact online table %q: %w", name, err)
	}
	return nil
}

// Close implements online.Store.
func (s *Store) Close() error { return s.db.Close() }

type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf is called when the database cannot go on without risking its data.
func (l logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error(text)
	panic("online store: " + text)
}
