package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/sqlite"
)

const body = `{"id":"/subscriptions/s/resourcegroups/g/providers/microsoft.storage/storageaccounts/a","properties":{"sku":"Standard_LRS","tags":{"a":"b"}}}`

// BenchmarkWrite compares Apply with transactions on SQLite itself, at the same durability (P9: Apply makes at least 0.7
// times as many). The two take turns, so that a busy machine is busy for both; ratio is Apply's rate ÷ SQLite's.
func BenchmarkWrite(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close(context.Background())
	raw := rawDatabase(b)
	var ours, limit time.Duration
	for i := range b.N {
		key := fmt.Sprint("/", i)
		begin := time.Now()
		if _, err := s.Apply(context.Background(), store.Put{Key: key, Kind: "k", Body: []byte(body)}); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		raw(b, key)
		ours += middle.Sub(begin)
		limit += time.Since(middle)
	}
	b.ReportMetric(float64(limit)/float64(ours), "ratio")
	b.ReportMetric(float64(b.N)/ours.Seconds(), "apply/s")
	b.ReportMetric(float64(b.N)/limit.Seconds(), "raw/s")
}

func rawDatabase(b *testing.B) func(*testing.B, string) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(b.TempDir(), "raw.db")+"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE d (key TEXT PRIMARY KEY, kind TEXT, body BLOB, revision INTEGER, created INTEGER, modified INTEGER); CREATE INDEX dk ON d (kind, key)`); err != nil {
		b.Fatal(err)
	}
	insert, err := db.Prepare(`INSERT INTO d VALUES (?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	return func(b *testing.B, key string) {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tx.Stmt(insert).Exec(key, "k", []byte(body), 1, 1, 1); err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteParallel has 32 writers at a time share commits.
func BenchmarkWriteParallel(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close(context.Background())
	var n atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Apply(context.Background(), store.Put{Key: fmt.Sprint("/", n.Add(1)), Kind: "k", Body: []byte(body)}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "apply/s")
}

// filled is a store of 100,000 documents.
func filled(b *testing.B) *sqlite.Store {
	s := open(b, b.TempDir())
	b.Cleanup(func() { s.Close(context.Background()) })
	for i := range 100 {
		var ops []store.Op
		for j := range 1000 {
			ops = append(ops, store.Put{Key: fmt.Sprintf("/%03d/%03d", i, j), Kind: fmt.Sprint("k", j%10), Body: []byte(body)})
		}
		if _, err := s.Apply(context.Background(), ops...); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkRead reads from a store of 100,000 documents.
func BenchmarkRead(b *testing.B) {
	s := filled(b)
	b.Run("get", func(b *testing.B) {
		for i := range b.N {
			if _, err := s.Get(context.Background(), fmt.Sprintf("/%03d/%03d", i%100, i%1000)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, after := range []string{"/010/", "/090/"} { // where a page begins makes no difference
		b.Run("page of 100 after "+after[1:4], func(b *testing.B) {
			for range b.N {
				page, err := s.List(context.Background(), store.Query{Kind: "k1", Prefix: "/", After: after, Limit: 100})
				if err != nil || len(page) != 100 {
					b.Fatal(len(page), err)
				}
			}
		})
	}
}

// BenchmarkJob enqueues a job and waits until it runs.
func BenchmarkJob(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close(context.Background())
	ran := make(chan bool)
	s.Work("j", 1, func(context.Context, store.Job) error { ran <- true; return nil })
	if err := s.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	var waited time.Duration
	b.ResetTimer()
	for range b.N {
		if _, err := s.Apply(context.Background(), store.Enqueue{Kind: "j", Body: []byte(`{}`)}); err != nil {
			b.Fatal(err)
		}
		committed := time.Now()
		<-ran
		waited += time.Since(committed)
	}
	b.ReportMetric(float64(waited.Microseconds())/float64(b.N), "µs/start")
}

// BenchmarkJobs runs many jobs, enqueued by sixteen.
func BenchmarkJobs(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close(context.Background())
	ran := make(chan bool, 1000)
	s.Work("j", 16, func(context.Context, store.Job) error { ran <- true; return nil })
	if err := s.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	for range 16 {
		go func() {
			for left.Add(-1) >= 0 {
				if _, err := s.Apply(context.Background(), store.Enqueue{Kind: "j", Body: []byte(`{}`)}); err != nil {
					b.Error(err)
				}
			}
		}()
	}
	for range b.N {
		<-ran
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkOpen opens, starts and closes a store that exists and has eight kinds of jobs.
func BenchmarkOpen(b *testing.B) {
	folder := b.TempDir()
	before := cpu()
	for range b.N {
		s := open(b, folder)
		for i := range 8 {
			s.Work(fmt.Sprint("kind", i), 4, func(context.Context, store.Job) error { return nil })
		}
		if err := s.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkIdle is what a store that has nothing to do costs.
func BenchmarkIdle(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close(context.Background())
	for i := range 8 {
		s.Work(fmt.Sprint("kind", i), 4, func(context.Context, store.Job) error { return nil })
	}
	if err := s.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	before, begin := cpu(), time.Now()
	for range b.N {
		time.Sleep(100 * time.Millisecond)
	}
	b.ReportMetric(100*float64(cpu()-before)/float64(time.Since(begin)), "%cpu")
}

// cpu is the time this process has used of all processors.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
