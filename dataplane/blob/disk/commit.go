package disk

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/alvara-ml/alvara/resource"
	"github.com/cockroachdb/pebble/v2"
)

// change gathers what one commit does to the index and to files.
type change struct {
	s     *Store
	batch *pebble.Batch
	added map[string]bool // files that records of this change own
	lost  map[string]bool // files that records lost
}

func (s *Store) change() *change {
	return &change{s: s, batch: s.db.NewIndexedBatch(), added: map[string]bool{}, lost: map[string]bool{}}
}

func (c *change) close() { _ = c.batch.Close() } // releases memory, cannot fail

// own notes that a record keeps these pieces.
func (c *change) own(pieces []piece) {
	for _, p := range pieces {
		if p.File != "" {
			c.added[p.File] = true
		}
	}
}

// lose notes that a record gives these pieces up.
func (c *change) lose(pieces []piece) {
	for _, p := range pieces {
		if p.File != "" {
			c.lost[p.File] = true
		}
	}
}

// put writes an object's record in place of the one before.
func (c *change) put(container, name string, before, after *record) error {
	if before != nil {
		c.lose(before.Pieces)
	}
	c.own(after.Pieces)
	value, err := json.Marshal(after)
	if err != nil {
		return err
	}
	return c.batch.Set([]byte(objectKey(container, name)), value, nil)
}

// remove deletes an object's record.
func (c *change) remove(container, name string, before *record) error {
	c.lose(before.Pieces)
	return c.batch.Delete([]byte(objectKey(container, name)), nil)
}

// unstage deletes all staged blocks of a name.
func (c *change) unstage(container, name string) error {
	staged, err := c.s.staged(container, name)
	if err != nil {
		return err
	}
	for block, p := range staged {
		c.lose([]piece{p})
		if err := c.batch.Delete([]byte(stagedPrefix(container, name)+block), nil); err != nil {
			return err
		}
	}
	return nil
}

// commit makes the change durable, and then removes the files that nobody owns any more.
func (c *change) commit(containers ...string) error {
	for _, container := range containers {
		dropped, err := c.s.get("x" + container)
		if err != nil {
			return err
		}
		if dropped != nil {
			return resource.NotFoundf("ContainerNotFound", "The specified container does not exist.")
		}
	}
	var gone []string
	for file := range c.added {
		if err := c.batch.Set([]byte("f"+file), nil, nil); err != nil {
			return err
		}
	}
	for file := range c.lost {
		if c.added[file] {
			continue
		}
		gone = append(gone, file)
		if err := errors.Join(c.batch.Delete([]byte("f"+file), nil), c.batch.Set([]byte("d"+file), nil, nil)); err != nil {
			return err
		}
	}
	if err := c.batch.Commit(pebble.Sync); err != nil {
		return unsure{err}
	}
	c.s.discard(gone)
	return nil
}

// unsure is a commit whose outcome is not known. Files that it would have taken must stay: the next start decides.
type unsure struct{ error }

func (u unsure) Unwrap() error { return u.error }

// settle drops the files of a write that certainly did not happen.
func settle(err error, undo func()) error {
	var open unsure
	if err != nil && !errors.As(err, &open) {
		undo()
	}
	return err
}

// discard removes files that the index has given up, those that readers hold when the last reader is done.
func (s *Store) discard(files []string) {
	for _, file := range files {
		s.mu.Lock()
		held := s.pins[file] > 0
		if held {
			s.doomed[file] = true
		}
		s.mu.Unlock()
		if !held {
			s.erase(file)
		}
	}
}

// erase removes a file. If that fails, the next start tries again.
func (s *Store) erase(file string) {
	if err := os.Remove(s.pathOf(file)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.options.Log.Warn("a file that nobody owns could not be removed", "file", file, "error", err)
		return
	}
	if err := s.db.Delete([]byte("d"+file), pebble.NoSync); err != nil {
		s.options.Log.Warn("object index", "error", err)
	}
}

// pin keeps the files of pieces until unpin. The caller holds the lock of their object.
func (s *Store) pin(pieces []piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pieces {
		s.pins[p.File]++
	}
}

func (s *Store) unpin(pieces []piece) {
	var gone []string
	s.mu.Lock()
	for _, p := range pieces {
		if s.pins[p.File]--; s.pins[p.File] == 0 {
			delete(s.pins, p.File)
			if s.doomed[p.File] {
				delete(s.doomed, p.File)
				gone = append(gone, p.File)
			}
		}
	}
	s.mu.Unlock()
	for _, file := range gone {
		s.erase(file)
	}
}
