package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/alvara-ml/alvara/dataplane/blob"
)

// draft is a file that is being written.
type draft struct {
	s       *Store
	id      string
	file    *os.File // nil until the first byte, and when it is done with
	size    int64
	checked int64 // size when the free room was last looked at
}

// checkEvery is how many bytes are written between two looks at the free room.
const checkEvery = 8 << 20

// Draft implements blob.Objects.
func (s *Store) Draft(context.Context) (blob.Draft, error) {
	if err := s.room(); err != nil {
		return nil, err
	}
	return &draft{s: s, id: s.newFile()}, nil
}

func (d *draft) Size() int64 { return d.size }

func (d *draft) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if d.file == nil {
		f, err := os.OpenFile(d.s.pathOf(d.id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, medium(err)
		}
		d.file = f
		d.s.count(1)
	}
	if d.size-d.checked >= checkEvery {
		if err := d.s.room(); err != nil {
			return 0, err
		}
		d.checked = d.size
	}
	n, err := d.file.Write(p)
	d.size += int64(n)
	return n, medium(err)
}

func (s *Store) count(by int) {
	s.mu.Lock()
	s.drafts += by
	s.mu.Unlock()
}

// Discard implements blob.Draft.
func (d *draft) Discard() {
	if d.file == nil {
		return
	}
	_ = d.file.Close() // its bytes are not wanted
	if err := os.Remove(d.file.Name()); err != nil {
		d.s.options.Log.Warn("a discarded file could not be removed", "file", d.id, "error", err)
	}
	d.file = nil
	d.s.count(-1)
}

// seal makes the bytes durable and gives the pieces that hold them. On a fault the draft is discarded.
func seal(d blob.Draft) (pieces []piece, undo func(), err error) {
	if d == nil {
		return nil, func() {}, nil
	}
	own, ok := d.(*draft)
	if !ok {
		return nil, nil, errors.New("the draft is another store's")
	}
	if own.size == 0 {
		own.Discard()
		return nil, func() {}, nil
	}
	name := own.file.Name()
	if err := errors.Join(own.file.Sync(), syncFolder(filepath.Dir(name))); err != nil {
		own.Discard()
		return nil, nil, medium(err)
	}
	// From here on the file is the caller's, who drops it by undo when no record takes it.
	s, id := own.s, own.id
	err = own.file.Close()
	own.file = nil
	s.count(-1)
	undo = func() {
		if err := os.Remove(name); err != nil {
			s.options.Log.Warn("a file that was not taken could not be removed", "file", id, "error", err)
		}
	}
	if err != nil {
		undo()
		return nil, nil, medium(err)
	}
	return []piece{{File: id, Size: own.size}}, undo, nil
}
