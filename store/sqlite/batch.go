package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// batch is a transaction under way. ctx is nowhere in it: a transaction that the writer has begun is finished.
type batch struct {
	store *Store
	tx    *sql.Tx
	now   time.Time
}

func (b *batch) exec(statement *sql.Stmt, args ...any) error {
	_, err := b.tx.StmtContext(context.Background(), statement).ExecContext(context.Background(), args...)
	return err
}

func (b *batch) row(statement *sql.Stmt, args ...any) *sql.Row {
	return b.tx.StmtContext(context.Background(), statement).QueryRowContext(context.Background(), args...)
}

func (b *batch) apply(r *request) error {
	for _, op := range r.ops {
		var err error
		switch op := op.(type) {
		case store.Put:
			err = b.put(r, op)
		case store.Delete:
			err = b.delete(r, op)
		case store.Expect:
			err = b.expect(op)
		case store.Vacant:
			err = b.vacant(op.Prefix)
		case store.Enqueue:
			var tell func()
			if tell, err = b.store.jobs.add(b.tx, op); err == nil {
				r.jobs = append(r.jobs, tell)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) put(r *request, op store.Put) error {
	var kind string
	var revision, created int64
	err := b.row(b.store.write.head, op.Key).Scan(&kind, &revision, &created)
	present := err == nil
	if !present && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := store.Check(op.Key, op.IfMatch, etag(revision), present); err != nil {
		return err
	}
	next, err := b.revision()
	if err != nil {
		return err
	}
	body := bytes.Clone(op.Body)
	if body == nil {
		body = []byte{}
	}
	d := store.Document{Key: op.Key, Kind: op.Kind, Body: body, ETag: etag(next), Created: b.now, Modified: b.now}
	if present {
		if err := store.CheckKind(op.Key, kind, op.Kind); err != nil {
			return err
		}
		d.Created = time.UnixMicro(created).UTC()
		err = b.exec(b.store.write.update, body, next, b.now.UnixMicro(), op.Key)
	} else {
		err = b.exec(b.store.write.insert, op.Key, op.Kind, body, next, b.now.UnixMicro(), b.now.UnixMicro())
	}
	if err != nil {
		return err
	}
	r.results = append(r.results, d)
	r.changes = append(r.changes, store.Change{Document: d})
	return nil
}

func (b *batch) delete(r *request, op store.Delete) error {
	d, err := scan(b.row(b.store.write.get, op.Key))
	present := err == nil
	if !present && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := store.Check(op.Key, op.IfMatch, d.ETag, present); err != nil {
		return err
	}
	if !present {
		return store.Absent(op.Key)
	}
	if err := b.exec(b.store.write.remove, op.Key); err != nil {
		return err
	}
	r.results = append(r.results, d)
	r.changes = append(r.changes, store.Change{Document: d, Deleted: true})
	return nil
}

func (b *batch) expect(op store.Expect) error {
	var kind string
	var revision, created int64
	err := b.row(b.store.write.head, op.Key).Scan(&kind, &revision, &created)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return store.Check(op.Key, op.IfMatch, etag(revision), err == nil)
}

func (b *batch) vacant(prefix string) error {
	var key string
	err := b.row(b.store.write.next, prefix).Scan(&key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case strings.HasPrefix(key, prefix):
		return store.Occupied(prefix, key)
	}
	return nil // keys are ordered by their bytes, so none follows that has it
}

// revision gives out the next one.
func (b *batch) revision() (int64, error) {
	s := b.store
	if s.revision >= s.reserved {
		next := s.revision + reserve
		if err := b.exec(s.write.reserve, next); err != nil {
			return 0, err
		}
		s.reserved = next
	}
	s.revision++
	return s.revision, nil
}
