package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/sqlite"
)

func TestOneServer(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder)
	_, err := sqlite.Open(context.Background(), filepath.Join(folder, "store.db"))
	if err == nil || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "stop that one first") {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := open(t, folder).Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "none", "store.db")); err == nil {
		t.Error("opened in a folder that is not there")
	}
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first failure leaves no lock
		if _, err := sqlite.Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "in use") {
			t.Errorf("opened a file of another kind: %v", err)
		}
	}
}

func TestNewerSchema(t *testing.T) {
	folder := t.TempDir()
	if err := open(t, folder).Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "store.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE store_state SET version = 99`); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if _, err := sqlite.Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("opened a newer store: %v", err)
	}
}

// TestOddPath has characters in the path that mean something in a URI.
func TestOddPath(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a b?c#d%41&e='ç\"")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, folder)
	if _, err := s.Apply(context.Background(), store.Put{Key: "/a", Kind: "k", Body: []byte("1")}); err != nil {
		t.Error(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "store.db")); err != nil {
		t.Error(err)
	}
}

// TestLongRetry has a job wait longer than River keeps a failed job available for.
func TestLongRetry(t *testing.T) {
	if testing.Short() {
		t.Skip("waits six seconds")
	}
	t.Parallel()
	const delay = 6 * time.Second
	s, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "store.db"),
		sqlite.WithRetryDelay(func(int) time.Duration { return delay }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	attempts := make(chan time.Time, 10)
	s.Work("j", 1, func(_ context.Context, job store.Job) error {
		attempts <- time.Now()
		if job.Attempt == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(context.Background(), store.Enqueue{Kind: "j", Body: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	first, second := <-attempts, <-attempts
	if waited := second.Sub(first); waited < delay || waited > delay+2*time.Second {
		t.Errorf("the second attempt came after %v, want %v", waited, delay)
	}
}
