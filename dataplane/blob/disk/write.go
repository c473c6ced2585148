package disk

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/cockroachdb/pebble/v2"
)

// write is the one way in which an object's record changes. build gives the pieces that the object is to have, out of
// the record before and the staged blocks; keep says whether the staged blocks stay.
func (s *Store) write(container, name string, decide blob.Decide, must, keep bool, build func(before *record) ([]piece, error)) (blob.Object, error) {
	if err := s.room(); err != nil {
		return blob.Object{}, err
	}
	unlock := s.lock(container, name)
	defer unlock()
	before, err := s.load(container, name)
	if err != nil {
		return blob.Object{}, err
	}
	o, err := decide(before.current(name))
	if err != nil {
		return blob.Object{}, err
	}
	if must && before == nil {
		return blob.Object{}, notFound()
	}
	pieces, err := build(before)
	if err != nil {
		return blob.Object{}, err
	}
	after := s.next(o, before, pieces)
	c := s.change()
	defer c.close()
	if err := c.put(container, name, before, after); err != nil {
		return blob.Object{}, err
	}
	if !keep {
		if err := c.unstage(container, name); err != nil {
			return blob.Object{}, err
		}
	}
	if err := c.commit(container); err != nil {
		return blob.Object{}, err
	}
	return after.object(name), nil
}

// Put implements blob.Objects.
func (s *Store) Put(_ context.Context, container, name string, d blob.Draft, decide blob.Decide) (blob.Object, error) {
	pieces, undo, err := seal(d)
	if err != nil {
		return blob.Object{}, err
	}
	o, err := s.write(container, name, decide, false, false, func(*record) ([]piece, error) { return pieces, nil })
	return o, settle(err, undo)
}

// Append implements blob.Objects.
func (s *Store) Append(_ context.Context, container, name string, d blob.Draft, decide blob.Decide) (blob.Object, error) {
	pieces, undo, err := seal(d)
	if err != nil {
		return blob.Object{}, err
	}
	o, err := s.write(container, name, decide, true, true, func(before *record) ([]piece, error) {
		return append(append([]piece{}, before.Pieces...), pieces...), nil
	})
	return o, settle(err, undo)
}

// Update implements blob.Objects.
func (s *Store) Update(_ context.Context, container, name string, decide blob.Decide) (blob.Object, error) {
	return s.write(container, name, decide, true, true, func(before *record) ([]piece, error) { return before.Pieces, nil })
}

// Copy implements blob.Objects. The bytes of an object of this store are not copied: each file gets a second name.
func (s *Store) Copy(ctx context.Context, container, name string, source blob.Reader, decide blob.Decide) (blob.Object, error) {
	own, ok := source.(*reader)
	if !ok || own.s != s {
		return s.copyBytes(ctx, container, name, source, decide)
	}
	pieces, undo, err := s.link(own.pieces)
	if err != nil {
		return blob.Object{}, err
	}
	o, err := s.write(container, name, decide, false, false, func(*record) ([]piece, error) { return pieces, nil })
	return o, settle(err, undo)
}

func (s *Store) copyBytes(ctx context.Context, container, name string, source blob.Reader, decide blob.Decide) (blob.Object, error) {
	d, err := s.Draft(ctx)
	if err != nil {
		return blob.Object{}, err
	}
	if _, err = source.Seek(0, io.SeekStart); err == nil {
		_, err = io.Copy(d, source)
	}
	if err != nil {
		d.Discard()
		return blob.Object{}, err
	}
	return s.Put(ctx, container, name, d, decide)
}

// link gives the files of pieces names of their own.
func (s *Store) link(from []piece) (out []piece, undo func(), err error) {
	folders := map[string]bool{}
	var made []string
	undo = func() {
		for _, name := range made {
			if err := os.Remove(name); err != nil {
				s.options.Log.Warn("a file that was not taken could not be removed", "file", name, "error", err)
			}
		}
	}
	for _, p := range from {
		if p.File != "" {
			id := s.newFile()
			name := s.pathOf(id)
			if err := os.Link(s.pathOf(p.File), name); err != nil {
				undo()
				return nil, nil, medium(err)
			}
			made, p.File = append(made, name), id
			folders[filepath.Dir(name)] = true
		}
		out = append(out, p)
	}
	for folder := range folders {
		if err := syncFolder(folder); err != nil {
			undo()
			return nil, nil, medium(err)
		}
	}
	return out, undo, nil
}

// Delete implements blob.Objects.
func (s *Store) Delete(_ context.Context, container, name string, decide blob.Decide) error {
	unlock := s.lock(container, name)
	defer unlock()
	before, err := s.load(container, name)
	if err != nil {
		return err
	}
	if _, err := decide(before.current(name)); err != nil {
		return err
	}
	if before == nil {
		return notFound()
	}
	c := s.change()
	defer c.close()
	if err := c.remove(container, name, before); err != nil {
		return err
	}
	if err := c.unstage(container, name); err != nil {
		return err
	}
	return c.commit()
}

// Stage implements blob.Objects.
func (s *Store) Stage(_ context.Context, container, name, block string, d blob.Draft) error {
	if err := checkName(container, name+block); err != nil {
		d.Discard()
		return err
	}
	pieces, undo, err := seal(d)
	if err != nil {
		return err
	}
	p := piece{Block: block, At: s.options.Clock().UTC()}
	if len(pieces) > 0 {
		p.File, p.Size = pieces[0].File, pieces[0].Size
	}
	return settle(s.stage(container, name, p), undo)
}

func (s *Store) stage(container, name string, p piece) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	unlock := s.lock(container, name)
	defer unlock()
	key := stagedPrefix(container, name) + p.Block
	old, err := s.get(key)
	if err != nil {
		return err
	}
	c := s.change()
	defer c.close()
	if old != nil {
		var before piece
		if err := json.Unmarshal(old, &before); err != nil {
			return err
		}
		c.lose([]piece{before})
	}
	c.own([]piece{p})
	if err := c.batch.Set([]byte(key), value, nil); err != nil {
		return err
	}
	return c.commit(container)
}

// PutBlocks implements blob.Objects.
func (s *Store) PutBlocks(_ context.Context, container, name string, blocks []blob.BlockRef, decide blob.Decide) (blob.Object, error) {
	return s.write(container, name, decide, false, false, func(before *record) ([]piece, error) {
		staged, err := s.fresh(container, name)
		if err != nil {
			return nil, err
		}
		var present []piece
		if before != nil {
			present = before.Pieces
		}
		pieces, err := blob.SelectBlocks(blocks, present, func(p piece) string { return p.Block }, staged)
		out := make([]piece, len(pieces))
		for i, p := range pieces {
			out[i] = piece{File: p.File, Size: p.Size, Block: p.Block}
		}
		return out, err
	})
}

// Move implements blob.Objects.
func (s *Store) Move(_ context.Context, moves []blob.Move) error {
	if err := s.room(); err != nil {
		return err
	}
	s.tree.Lock()
	defer s.tree.Unlock()
	c := s.change()
	defer c.close()
	containers := map[string]bool{}
	for _, m := range moves {
		containers[m.FromContainer], containers[m.ToContainer] = true, true
		if err := s.move(c, m); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(containers))
	for name := range containers {
		names = append(names, name)
	}
	return c.commit(names...)
}

func (s *Store) move(c *change, m blob.Move) error {
	source, err := c.load(m.FromContainer, m.From)
	if err != nil {
		return err
	}
	if source == nil {
		return notFound()
	}
	destination, err := c.load(m.ToContainer, m.To)
	if err != nil {
		return err
	}
	o, err := m.Decide(source.object(m.From), destination.current(m.To))
	if err != nil {
		return err
	}
	if err := c.unstage(m.FromContainer, m.From); err != nil {
		return err
	}
	if err := c.unstage(m.ToContainer, m.To); err != nil {
		return err
	}
	if err := c.batch.Delete([]byte(objectKey(m.FromContainer, m.From)), nil); err != nil {
		return err
	}
	return c.put(m.ToContainer, m.To, destination, s.next(o, source, source.Pieces))
}

// load reads a record as it is within the change.
func (c *change) load(container, name string) (*record, error) {
	if err := checkName(container, name); err != nil {
		return nil, err
	}
	value, closer, err := c.batch.Get([]byte(objectKey(container, name)))
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close() //nolint:errcheck // releases memory, cannot fail
	return decode(value)
}
