package pebble_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"testing"
	"time"

	raw "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/online/pebble"
)

// The benchmarks of P3's inner loop and of P5's online part: our store beside a raw loop on the same database engine
// with the same bytes. Run them together and compare within one run.

// benchRows fit into the default cache.
const benchRows = 50_000

func benchSchema(b *testing.B) *online.Schema {
	b.Helper()
	features := make([]online.Column, 50)
	for i := range features {
		features[i] = online.Column{Name: fmt.Sprintf("feature_%02d", i), Type: online.Double}
		if i%5 == 0 {
			features[i].Type = online.Long
		}
	}
	s, err := online.NewSchema([]online.Column{{Name: "entity", Type: online.Long}}, features)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchBatch(b *testing.B, schema *online.Schema, from, count int) []online.Row {
	b.Helper()
	random := rand.New(rand.NewSource(int64(from)))
	rows := make([]online.Row, count)
	values := make([]any, 50)
	for n := range rows {
		for i, column := range schema.Features() {
			if column.Type == online.Long {
				values[i] = random.Int63n(1000)
			} else {
				values[i] = random.NormFloat64() * 100
			}
		}
		key, err := schema.AppendKey(nil, []any{int64(from + n)})
		if err != nil {
			b.Fatal(err)
		}
		value, err := schema.AppendRow(nil, values)
		if err != nil {
			b.Fatal(err)
		}
		rows[n] = online.Row{Key: key, Event: time.Unix(1_750_000_000, 0), Value: value}
	}
	return rows
}

func openRaw(b *testing.B) *raw.DB {
	b.Helper()
	cache := raw.NewCache(64 << 20)
	defer cache.Unref()
	o := &raw.Options{Cache: cache, MemTableSize: 16 << 20, MemTableStopWritesThreshold: 4, LBaseMaxBytes: 64 << 20, FormatMajorVersion: raw.FormatNewest, Logger: quiet{}}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].IndexBlockSize = 256 << 10
	}
	db, err := raw.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

// cpu reports the processor time per operation, which other work on the machine disturbs less than wall time.
func cpu(b *testing.B) func() {
	used := func() time.Duration {
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	start := used()
	return func() { b.ReportMetric(float64((used()-start).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func BenchmarkGet(b *testing.B) {
	schema := benchSchema(b)
	store, err := pebble.Open(b.TempDir(), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(b.Context(), "t", schema); err != nil {
		b.Fatal(err)
	}
	db := openRaw(b)
	var rows []online.Row
	for from := 0; from < benchRows; from += 10_000 {
		rows = benchBatch(b, schema, from, 10_000)
		if err := store.Put(b.Context(), "t", online.Batch{Rows: rows, TTL: time.Hour, Run: 1}); err != nil {
			b.Fatal(err)
		}
		batch := db.NewBatch()
		for _, row := range rows {
			if err := batch.Set(append([]byte{0, 0, 0, 16}, row.Key...), online.AppendRecord(nil, row, time.Hour, 1), nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Commit(raw.Sync); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.Compact(b.Context(), "t"); err != nil {
		b.Fatal(err)
	}
	if err := db.Compact(b.Context(), []byte{0}, []byte{1}, false); err != nil {
		b.Fatal(err)
	}
	now := time.Unix(1_750_000_001, 0)
	for n := range benchRows { // read all once, so that neither side reads from disk later
		key, err := schema.AppendKey(nil, []any{int64(n)})
		if err != nil {
			b.Fatal(err)
		}
		_, closer, err := db.Get(append([]byte{0, 0, 0, 16}, key...))
		if err != nil {
			b.Fatal(err)
		}
		closer.Close()
		if err := store.Get(b.Context(), "t", [][]byte{key}, now, func(int, time.Time, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	for _, count := range []int{1, 100} {
		random := rand.New(rand.NewSource(1))
		keys := make([][]byte, count)
		draw := func() {
			for i := range keys {
				key, err := schema.AppendKey(keys[i][:0], []any{random.Int63n(benchRows)})
				if err != nil {
					b.Fatal(err)
				}
				keys[i] = key
			}
		}
		var out []byte
		b.Run(fmt.Sprintf("raw/rows=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			var full []byte
			for b.Loop() {
				draw()
				for _, key := range keys {
					full = append(append(full[:0], 0, 0, 0, 16), key...)
					value, closer, err := db.Get(full)
					if err != nil {
						b.Fatal(err)
					}
					out = append(out[:0], value...)
					closer.Close()
				}
			}
		})
		b.Run(fmt.Sprintf("ours/rows=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				draw()
				err := store.Get(b.Context(), "t", keys, now, func(_ int, _ time.Time, value []byte) error {
					out = append(out[:0], value...)
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("ours-json/rows=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				draw()
				out = out[:0]
				err := store.Get(b.Context(), "t", keys, now, func(_ int, _ time.Time, value []byte) error {
					var err error
					out, err = schema.AppendJSONArray(out, value, nil)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(out)))
		})
		b.Run(fmt.Sprintf("decode-and-marshal/rows=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			var values []any
			for b.Loop() {
				draw()
				err := store.Get(b.Context(), "t", keys, now, func(_ int, _ time.Time, value []byte) error {
					var err error
					if values, err = schema.DecodeRow(value, values); err == nil {
						out, err = json.Marshal(values)
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoad writes batches of 10,000 rows of 50 features; the rate counts until all is on disk.
func BenchmarkLoad(b *testing.B) {
	schema := benchSchema(b)
	batches := make([][]online.Row, 10)
	for i := range batches {
		batches[i] = benchBatch(b, schema, i*10_000, 10_000)
	}
	rate := func(b *testing.B) {
		b.ReportMetric(float64(b.N)*float64(len(batches)*10_000)/b.Elapsed().Seconds(), "rows/s")
	}
	b.Run("raw", func(b *testing.B) {
		defer cpu(b)()
		db := openRaw(b)
		for b.Loop() {
			for _, rows := range batches {
				batch := db.NewBatch()
				for _, row := range rows {
					if err := batch.Set(append([]byte{0, 0, 0, 16}, row.Key...), online.AppendRecord(nil, row, time.Hour, 1), nil); err != nil {
						b.Fatal(err)
					}
				}
				if err := batch.Commit(raw.Sync); err != nil {
					b.Fatal(err)
				}
			}
		}
		rate(b)
	})
	b.Run("ours", func(b *testing.B) {
		defer cpu(b)()
		store, err := pebble.Open(b.TempDir(), pebble.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		if err := store.Create(b.Context(), "t", schema); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for _, rows := range batches {
				if err := store.Put(b.Context(), "t", online.Batch{Rows: rows, TTL: time.Hour, Run: 1}); err != nil {
					b.Fatal(err)
				}
			}
		}
		rate(b)
	})
}
