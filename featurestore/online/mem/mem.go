// Package mem is an online.Store in memory, for tests and as the reference for the other drivers. Nothing survives it.
package mem

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/featurestore/online"
)

// Store keeps the tables in maps. The zero Store is ready.
type Store struct {
	mu     sync.RWMutex
	tables map[string]*contents
}

type contents struct {
	schema *online.Schema
	rows   map[string]online.Record
}

var _ online.Store = (*Store)(nil)

func (s *Store) table(name string) (*contents, error) {
	if table, ok := s.tables[name]; ok {
		return table, nil
	}
	return nil, online.ErrNoTable(name)
}

// Create implements online.Store.
func (s *Store) Create(ctx context.Context, table string, schema *online.Schema) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if present, ok := s.tables[table]; ok {
		if !present.schema.Equal(schema) {
			return online.ErrSchemaChanged(table)
		}
		return nil
	}
	if s.tables == nil {
		s.tables = map[string]*contents{}
	}
	s.tables[table] = &contents{schema: schema, rows: map[string]online.Record{}}
	return ctx.Err()
}

// Tables implements online.Store.
func (s *Store) Tables(ctx context.Context) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.tables)), ctx.Err()
}

// Schema implements online.Store.
func (s *Store) Schema(_ context.Context, table string) (*online.Schema, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	present, err := s.table(table)
	if err != nil {
		return nil, err
	}
	return present.schema, nil
}

// Put implements online.Store.
func (s *Store) Put(ctx context.Context, table string, batch online.Batch) error {
	if err := batch.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	present, err := s.table(table)
	if err != nil {
		return err
	}
	present.put(batch)
	return ctx.Err()
}

func (c *contents) put(batch online.Batch) {
	for _, row := range batch.Rows {
		record := online.AppendRecord(nil, row, batch.TTL, batch.Run)
		if stored, ok := c.rows[string(row.Key)]; !ok || record.Supersedes(stored) {
			c.rows[string(row.Key)] = record
		}
	}
}

// Get implements online.Store.
func (s *Store) Get(ctx context.Context, table string, keys [][]byte, now time.Time, yield func(int, time.Time, []byte) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	present, err := s.table(table)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if record, ok := present.rows[string(key)]; ok && !record.Expired(now) {
			err = yield(i, record.Event(), record.Value())
		} else {
			err = yield(i, time.Time{}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Scan implements online.Store.
func (s *Store) Scan(ctx context.Context, table string, now time.Time, yield func(online.Row) error) error {
	s.mu.RLock()
	present, err := s.table(table)
	if err != nil {
		s.mu.RUnlock()
		return err
	}
	rows := maps.Clone(present.rows)
	s.mu.RUnlock()
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		if record := rows[key]; !record.Expired(now) {
			if err := yield(online.Row{Key: []byte(key), Event: record.Event(), Value: record.Value()}); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// Retract implements online.Store.
func (s *Store) Retract(ctx context.Context, table string, retraction online.Retraction) (int64, error) {
	if err := retraction.Check(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	present, err := s.table(table)
	if err != nil {
		return 0, err
	}
	var keys [][]byte
	for _, key := range slices.Sorted(maps.Keys(present.rows)) {
		if retraction.Matches(present.rows[key]) {
			keys = append(keys, []byte(key))
		}
	}
	var restored []online.Row
	if retraction.Restore != nil && len(keys) > 0 {
		if restored, err = retraction.Restore(ctx, keys); err != nil {
			return 0, err
		}
	}
	for _, key := range keys {
		delete(present.rows, string(key))
	}
	present.put(online.Batch{Rows: restored, TTL: retraction.TTL, Run: retraction.Run})
	return int64(len(keys)), nil
}

// Sweep implements online.Store.
func (s *Store) Sweep(ctx context.Context, table string, now time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	present, err := s.table(table)
	if err != nil {
		return 0, err
	}
	before := len(present.rows)
	maps.DeleteFunc(present.rows, func(_ string, record online.Record) bool { return record.Expired(now) })
	return int64(before - len(present.rows)), ctx.Err()
}

// Stats implements online.Store.
func (s *Store) Stats(ctx context.Context, table string) (online.Stats, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	present, err := s.table(table)
	if err != nil {
		return online.Stats{}, err
	}
	var stats online.Stats
	for key, record := range present.rows {
		stats.Add(len(key), record)
	}
	return stats, ctx.Err()
}

// DropTable implements online.Store.
func (s *Store) DropTable(_ context.Context, table string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.table(table); err != nil {
		return err
	}
	delete(s.tables, table)
	return nil
}

// Close implements online.Store.
func (s *Store) Close() error { return nil }
