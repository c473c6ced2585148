package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/mattn/go-sqlite3"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// most is how many requests share a transaction at most, so that none waits for long.
const most = 256

// request is an Apply, or a Follow, that waits for the writer.
type request struct {
	ctx     context.Context
	ops     []store.Op
	follow  *follower
	results []store.Document
	changes []store.Change
	jobs    []func() // tell the queue of them, once they are committed
	err     error
	done    chan struct{}
}

type follower struct {
	kinds []string
	fn    func([]store.Change)
}

// Apply implements store.Store. Once the writer has taken the change up, ctx's end no longer stops it.
func (s *Store) Apply(ctx context.Context, ops ...store.Op) ([]store.Document, error) {
	if err := store.Validate(ops); err != nil {
		return nil, err
	}
	r := &request{ctx: ctx, ops: ops, done: make(chan struct{})}
	if err := s.submit(r); err != nil {
		return nil, err
	}
	return r.results, nil
}

// Follow implements store.Store.
func (s *Store) Follow(kinds []string, fn func([]store.Change)) error {
	kinds = slices.Compact(slices.Sorted(slices.Values(kinds)))
	return s.submit(&request{ctx: context.Background(), follow: &follower{kinds, fn}, done: make(chan struct{})})
}

func (s *Store) submit(r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return errors.New("store: closed")
	}
	s.waiting = append(s.waiting, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	s.mu.Unlock()
	<-r.done
	return classed(r.err)
}

// classed tells a full disk from faults that nobody expects.
func classed(err error) error {
	var fault sqlite3.Error
	if errors.As(err, &fault) && fault.Code == sqlite3.ErrFull {
		return resource.Errorf(resource.Unavailable, "StorageFull", "the disk that holds the server's database is full; nothing was changed").Because(err)
	}
	return err
}

// run is the writer.
func (s *Store) run() {
	defer close(s.stopped)
	for range s.wake {
		s.drain()
	}
	s.drain()
}

func (s *Store) drain() {
	for {
		s.mu.Lock()
		group := s.waiting[:min(len(s.waiting), most)]
		s.waiting = s.waiting[len(group):]
		if len(s.waiting) == 0 {
			s.waiting = nil
		}
		s.mu.Unlock()
		if len(group) == 0 {
			return
		}
		s.serve(group)
	}
}

// serve carries out requests in their order: runs of Apply in one transaction each, a Follow between them.
func (s *Store) serve(group []*request) {
	for len(group) > 0 {
		n := slices.IndexFunc(group, func(r *request) bool { return r.follow != nil })
		if n == 0 {
			group[0].err = s.follow(group[0].follow)
			close(group[0].done)
			group = group[1:]
			continue
		}
		if n < 0 {
			n = len(group)
		}
		s.commit(group[:n])
		group = group[n:]
	}
}

func (s *Store) follow(f *follower) error {
	var changes []store.Change
	for _, kind := range f.kinds {
		documents, err := list(context.Background(), s.writes, store.Query{Kind: kind})
		if err != nil {
			return err
		}
		for _, document := range documents {
			changes = append(changes, store.Change{Document: document})
		}
	}
	if len(changes) > 0 {
		f.fn(changes)
	}
	s.followers = append(s.followers, *f)
	return nil
}

// commit carries out a group in one transaction, tells the followers, and answers.
func (s *Store) commit(group []*request) {
	s.telling.Lock()
	reserved := s.reserved
	if err := s.transact(group); err != nil {
		s.reserved = reserved // what was written of it is gone; revisions given out are not given out again
		for _, r := range group {
			if r.err == nil {
				r.err = fmt.Errorf("store: write: %w", err)
			}
		}
	}
	for _, r := range group {
		if r.err != nil {
			r.results = nil
			continue
		}
		for _, f := range s.followers {
			if changes := f.selects(r.changes); len(changes) > 0 {
				f.fn(changes)
			}
		}
	}
	s.telling.Unlock()
	for _, r := range group {
		if r.err == nil {
			for _, tell := range r.jobs {
				tell()
			}
		}
		close(r.done)
	}
}

// told waits until the followers have heard of everything that is committed.
func (s *Store) told() {
	s.telling.RLock()
	defer s.telling.RUnlock()
}

func (s *Store) transact(group []*request) (err error) {
	tx, err := s.writes.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	b := batch{store: s, tx: tx, now: store.Stamp(s.clock())}
	for _, r := range group {
		if err := s.step(&b, r, len(group) > 1); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// step carries out one request. A failure of the request alone is in r.err, and its part is undone; an error that comes
// back dooms the transaction.
func (s *Store) step(b *batch, r *request, shared bool) error {
	if r.err = r.ctx.Err(); r.err != nil {
		return nil
	}
	if shared {
		if err := b.exec(s.write.savepoint); err != nil {
			return err
		}
	}
	if r.err = b.apply(r); r.err == nil {
		if shared {
			return b.exec(s.write.release)
		}
		return nil
	}
	if !shared {
		return r.err
	}
	if err := b.exec(s.write.undo); err != nil {
		return err
	}
	return b.exec(s.write.release)
}

// selects gives the changes that a follower asked for, with bodies of its own.
func (f follower) selects(changes []store.Change) []store.Change {
	var selected []store.Change
	for _, change := range changes {
		if _, found := slices.BinarySearch(f.kinds, change.Kind); found {
			change.Body = slices.Clone(change.Body)
			selected = append(selected, change)
		}
	}
	return selected
}

// statements are the writer's prepared statements.
type statements struct {
	get, head, next, insert, update, remove, reserve, savepoint, release, undo *sql.Stmt
}

func (s *statements) prepare(ctx context.Context, db *sql.DB) (err error) {
	for _, p := range []struct {
		statement **sql.Stmt
		sql       string
	}{
		{&s.get, sqlGet}, {&s.head, sqlHead}, {&s.next, sqlNext}, {&s.insert, sqlInsert}, {&s.update, sqlUpdate}, {&s.remove, sqlDelete},
		{&s.reserve, sqlReserve}, {&s.savepoint, sqlSavepoint}, {&s.release, sqlRelease}, {&s.undo, sqlUndo},
	} {
		if *p.statement, err = db.PrepareContext(ctx, p.sql); err != nil {
			return err
		}
	}
	return nil
}
