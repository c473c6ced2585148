package pebble

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/alvara-ml/alvara/featurestore/online"
)

// Put implements online.Store: one batch of the database, synced to disk.
func (s *Store) Put(ctx context.Context, name string, batch online.Batch) error {
	if err := batch.Check(); err != nil {
		return err
	}
	t, err := s.table(name)
	if err != nil {
		return err
	}
	size := 0
	for _, row := range batch.Rows {
		size += len(row.Key) + len(row.Value) + 48
	}
	b := s.db.NewBatchWithSize(size)
	defer b.Close()
	if err := t.merge(b, batch); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.dropped {
		return online.ErrNoTable(name)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("online table %q: %w", name, err)
	}
	return nil
}

func (t *table) merge(b *pebble.Batch, batch online.Batch) error {
	var key []byte
	var record online.Record
	for _, row := range batch.Rows {
		key = t.key(key, row.Key)
		record = online.AppendRecord(record[:0], row, batch.TTL, batch.Run)
		if err := b.Merge(key, record, nil); err != nil {
			return err
		}
	}
	return nil
}

// Get implements online.Store.
func (s *Store) Get(ctx context.Context, name string, keys [][]byte, now time.Time, yield func(int, time.Time, []byte) error) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	var space [128]byte
	full := space[:0]
	for i, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		full = t.key(full, key)
		if err := s.get(full, i, now, yield); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) get(key []byte, i int, now time.Time, yield func(int, time.Time, []byte) error) error {
	stored, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return yield(i, time.Time{}, nil)
	}
	if err != nil {
		return fmt.Errorf("online row: %w", err)
	}
	defer closer.Close()
	record, err := online.ParseRecord(stored)
	if err != nil {
		return err
	}
	if record.Expired(now) {
		return yield(i, time.Time{}, nil)
	}
	return yield(i, record.Event(), record.Value())
}

// each calls f with every record of the table as it was when each began.
func (s *Store) each(ctx context.Context, t *table, f func(key []byte, record online.Record) error) error {
	iter, err := s.db.NewIterWithContext(ctx, bounds(t.number))
	if err != nil {
		return err
	}
	defer iter.Close()
	for iter.First(); iter.Valid(); iter.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		stored, err := iter.ValueAndErr()
		if err != nil {
			return err
		}
		record, err := online.ParseRecord(stored)
		if err != nil {
			return err
		}
		if err := f(iter.Key()[4:], record); err != nil {
			return err
		}
	}
	return iter.Error()
}

// Scan implements online.Store.
func (s *Store) Scan(ctx context.Context, name string, now time.Time, yield func(online.Row) error) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	return s.each(ctx, t, func(key []byte, record online.Record) error {
		if record.Expired(now) {
			return nil
		}
		return yield(online.Row{Key: key, Event: record.Event(), Value: record.Value()})
	})
}

// Stats implements online.Store.
func (s *Store) Stats(ctx context.Context, name string) (online.Stats, error) {
	var stats online.Stats
	t, err := s.table(name)
	if err != nil {
		return stats, err
	}
	err = s.each(ctx, t, func(key []byte, record online.Record) error {
		stats.Add(len(key), record)
		return nil
	})
	return stats, err
}

// Retract implements online.Store.
func (s *Store) Retract(ctx context.Context, name string, retraction online.Retraction) (int64, error) {
	if err := retraction.Check(); err != nil {
		return 0, err
	}
	return s.remove(ctx, name, retraction.Matches, func(keys [][]byte) (online.Batch, error) {
		batch := online.Batch{TTL: retraction.TTL, Run: retraction.Run}
		if retraction.Restore == nil {
			return batch, nil
		}
		var err error
		if batch.Rows, err = retraction.Restore(ctx, keys); err != nil {
			return batch, err
		}
		return batch, batch.Check()
	})
}

// Sweep implements online.Store.
func (s *Store) Sweep(ctx context.Context, name string, now time.Time) (int64, error) {
	expired := func(record online.Record) bool { return record.Expired(now) }
	return s.remove(ctx, name, expired, func([][]byte) (online.Batch, error) { return online.Batch{}, nil })
}

// removeChunk is how many keys are removed in one step.
const removeChunk = 4096

// remove deletes the records that match and puts others in their place, a chunk of keys in one batch. Records that
// writers changed since they were found are looked at again while no writer can come between.
func (s *Store) remove(ctx context.Context, name string, matches func(online.Record) bool, restore func(keys [][]byte) (online.Batch, error)) (int64, error) {
	t, err := s.table(name)
	if err != nil {
		return 0, err
	}
	var removed int64
	var keys [][]byte
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		batch, err := restore(keys)
		if err != nil {
			return err
		}
		n, err := s.removeChunk(name, t, keys, matches, batch)
		removed += n
		keys = keys[:0]
		return err
	}
	err = s.each(ctx, t, func(key []byte, record online.Record) error {
		if matches(record) {
			keys = append(keys, append([]byte{}, key...))
		}
		if len(keys) < removeChunk {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return removed, err
}

func (s *Store) removeChunk(name string, t *table, keys [][]byte, matches func(online.Record) bool, restored online.Batch) (int64, error) {
	b := s.db.NewBatch()
	defer b.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped {
		return 0, online.ErrNoTable(name)
	}
	var removed int64
	var full []byte
	for _, key := range keys {
		full = t.key(full, key)
		stored, closer, err := s.db.Get(full)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		record, err := online.ParseRecord(stored)
		if err == nil && matches(record) {
			removed++
			err = b.Delete(full, nil)
		}
		if err := errors.Join(err, closer.Close()); err != nil {
			return 0, err
		}
	}
	if err := t.merge(b, restored); err != nil { // a newer row that came meanwhile wins over a restored one
		return 0, err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return 0, fmt.Errorf("online table %q: %w", name, err)
	}
	return removed, nil
}
