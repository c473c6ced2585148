// Package sqlite keeps documents and jobs in one SQLite file (write-ahead log, synchronous FULL), the store of a server
// that runs alone. It owns the file and its schema.
//
// One goroutine writes. Changes that arrive while a commit is being made durable wait and share the next transaction, each
// in its own savepoint, so that many writers cost about as many syncs as one, and one whose condition fails does not
// disturb the others. Readers have connections of their own and never wait for the writer.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/store"
)

var _ store.Store = (*Store)(nil)

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Document, error) {
	if err := ctx.Err(); err != nil {
		return store.Document{}, err
	}
	// A point read takes microseconds; watching ctx meanwhile would cost more than it.
	document, err := scan(s.get.QueryRowContext(context.WithoutCancel(ctx), key))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Document{}, store.Absent(key)
	}
	return document, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, query store.Query) ([]store.Document, error) {
	return list(ctx, s.reads, query)
}

func list(ctx context.Context, db interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, query store.Query) ([]store.Document, error) {
	statement, args := sqlListFrom, []any{query.Kind, query.Prefix}
	if query.After >= query.Prefix && query.After != "" {
		statement, args = sqlListAfter, []any{query.Kind, query.After}
	}
	if query.Limit > 0 {
		statement, args = statement+sqlLimit, append(args, query.Limit)
	}
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var documents []store.Document
	for rows.Next() {
		document, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(document.Key, query.Prefix) {
			break // keys are ordered by their bytes, so none follows that has it
		}
		documents = append(documents, document)
	}
	return documents, rows.Err()
}

func scan(row interface{ Scan(...any) error }) (store.Document, error) {
	var d store.Document
	var revision, created, modified int64
	if err := row.Scan(&d.Key, &d.Kind, &d.Body, &revision, &created, &modified); err != nil {
		return store.Document{}, err
	}
	d.ETag = etag(revision)
	d.Created, d.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	return d, nil
}

func etag(revision int64) string { return strconv.FormatInt(revision, 36) }

// Work implements store.Store.
func (s *Store) Work(kind string, concurrency int, run func(context.Context, store.Job) error) {
	s.jobs.Work(kind, concurrency, run)
}

// Start implements store.Store. Jobs run until Close; ctx only lends them its values.
func (s *Store) Start(ctx context.Context) error { return s.jobs.Start(ctx) }

// Stop implements store.Store.
func (s *Store) Stop(ctx context.Context) error { return s.jobs.Close(ctx) }

// Close implements store.Store. Running jobs may use the store until they return. A second call waits for the first and
// does nothing.
func (s *Store) Close(ctx context.Context) (err error) {
	s.closing.Do(func() {
		waited := s.jobs.Close(ctx)
		s.mu.Lock()
		s.ended = true
		close(s.wake)
		s.mu.Unlock()
		<-s.stopped
		err = errors.Join(waited, s.release())
	})
	return err
}
