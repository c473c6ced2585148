package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/store"
)

// Store is a store.Store in one SQLite file.
type Store struct {
	clock   func() time.Time
	log     *slog.Logger
	lock    *os.File
	writes  *sql.DB // one connection
	reads   *sql.DB // several
	get     *sql.Stmt
	write   statements
	jobs    *jobs
	closing sync.Once

	// Held by the writer from before a commit until its followers were told. River may fetch a job as soon as it is
	// committed; the job begins when its change is in force.
	telling sync.RWMutex

	mu      sync.Mutex
	waiting []*request
	ended   bool          // no more requests are taken
	wake    chan struct{} // holds a token when waiting is not empty, closed by Close
	stopped chan struct{} // closed when the writer has returned

	// Owned by the writer.
	followers []follower
	revision  int64 // the last one given out
	reserved  int64 // the last one that may be given out before the next reservation
}

// Option changes how Open opens a store.
type Option func(*settings)

type settings struct {
	clock   func() time.Time
	log     *slog.Logger
	retry   func(attempt int) time.Duration
	readers int
}

// WithClock sets the clock that stamps documents and that RunAt is compared with.
func WithClock(clock func() time.Time) Option { return func(s *settings) { s.clock = clock } }

// WithLogger sets where failed jobs are logged.
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// WithRetryDelay replaces store.RetryDelay.
func WithRetryDelay(delay func(attempt int) time.Duration) Option {
	return func(s *settings) { s.retry = delay }
}

// WithReaders sets how many connections read beside the writer; the default is 4.
func WithReaders(n int) Option { return func(s *settings) { s.readers = n } }

// Open opens the store in the file at path, and creates it when it is absent; the folder must exist. The store is this
// process's alone until Close or the process's end: a second Open fails with an error that says so.
func Open(ctx context.Context, path string, options ...Option) (_ *Store, err error) {
	set := settings{clock: time.Now, log: slog.New(slog.DiscardHandler), retry: store.RetryDelay, readers: 4}
	for _, option := range options {
		option(&set)
	}
	s := &Store{clock: set.clock, log: set.log, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if s.lock, err = lock(path); err != nil {
		return nil, err
	}
	if s.writes, err = connect(path, "_txlock=immediate", 1); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, fmt.Errorf("store: prepare %s: %w", path, err)
	}
	if err := s.write.prepare(ctx, s.writes); err != nil {
		return nil, fmt.Errorf("store: prepare statements on %s: %w", path, err)
	}
	if s.reads, err = connect(path, "_query_only=1", set.readers); err != nil {
		return nil, err
	}
	if s.get, err = s.reads.PrepareContext(ctx, sqlGet); err != nil {
		return nil, fmt.Errorf("store: read %s: %w", path, err)
	}
	if s.jobs, err = newJobs(ctx, s, set); err != nil {
		return nil, fmt.Errorf("store: prepare the queue in %s: %w", path, err)
	}
	go s.run()
	return s, nil
}

// lock takes path.lock for this process. The kernel gives it back when the process ends, however it ends.
func lock(path string) (*os.File, error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		_ = file.Close()
		return nil, fmt.Errorf("store: the folder %s is in use by another server; stop that one first, or give this one a folder of its own",
			filepath.Dir(path))
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("store: lock %s: %w", file.Name(), err)
	}
	return file, nil
}

func connect(path, setting string, connections int) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_foreign_keys=1&" + setting
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// migrate brings the documents' tables to the present version.
func (s *Store) migrate(ctx context.Context) error {
	have := -1
	err := s.writes.QueryRowContext(ctx, sqlReadState).Scan(&have, &s.reserved)
	if err == nil && have == version {
		s.revision = s.reserved
		return nil
	}
	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range []string{sqlCreateState, sqlInsertState} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if err := tx.QueryRowContext(ctx, sqlReadState).Scan(&have, &s.reserved); err != nil {
		return err
	}
	if have > version {
		return fmt.Errorf("it was written by a newer release (schema %d, this release knows %d); start that release", have, version)
	}
	for _, migration := range migrations[have:] {
		if _, err := tx.ExecContext(ctx, migration); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, sqlSetVersion, version); err != nil {
		return err
	}
	s.revision = s.reserved
	return tx.Commit()
}

// release gives back what Open took, in the reverse order.
func (s *Store) release() error {
	var errs []error
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.writes != nil {
		errs = append(errs, s.writes.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
