package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/cockroachdb/pebble/v2"
)

// Head implements blob.Objects.
func (s *Store) Head(_ context.Context, container, name string) (blob.Object, error) {
	r, err := s.load(container, name)
	if err != nil {
		return blob.Object{}, err
	}
	if r == nil {
		return blob.Object{}, notFound()
	}
	return r.object(name), nil
}

// Open implements blob.Objects.
func (s *Store) Open(_ context.Context, container, name string) (blob.Object, blob.Reader, error) {
	unlock := s.rlock(container, name)
	defer unlock()
	r, err := s.load(container, name)
	if err != nil {
		return blob.Object{}, nil, err
	}
	if r == nil {
		return blob.Object{}, nil, notFound()
	}
	s.pin(r.Pieces)
	return r.object(name), newReader(s, r.Pieces), nil
}

// reader reads pieces one after the other, with one file open at a time.
type reader struct {
	s      *Store
	pieces []piece
	ends   []int64 // where each piece ends
	at     int64
	open   int // the index of the piece whose file is open
	file   *os.File
	closed bool
}

func newReader(s *Store, pieces []piece) *reader {
	r := &reader{s: s, pieces: pieces, ends: make([]int64, len(pieces)), open: -1}
	var end int64
	for i, p := range pieces {
		end += p.Size
		r.ends[i] = end
	}
	return r
}

func (r *reader) size() int64 {
	if len(r.ends) == 0 {
		return 0
	}
	return r.ends[len(r.ends)-1]
}

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size() {
		return 0, io.EOF
	}
	i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > r.at })
	if i != r.open {
		if err := r.turn(i); err != nil {
			return 0, err
		}
	}
	piece := r.pieces[i]
	offset := r.at - (r.ends[i] - piece.Size)
	p = p[:min(int64(len(p)), piece.Size-offset)]
	n, err := r.file.ReadAt(p, offset)
	r.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	if n == 0 && errors.Is(err, io.EOF) && len(p) > 0 {
		return 0, fmt.Errorf("the file %s is shorter than its record says", piece.File)
	}
	return n, err
}

// turn opens the file of another piece.
func (r *reader) turn(to int) error {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file, r.open = nil, -1
	}
	f, err := os.Open(r.s.pathOf(r.pieces[to].File))
	if err != nil {
		return err
	}
	r.file, r.open = f, to
	return nil
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size()
	}
	if offset < 0 {
		return r.at, errors.New("seek before the first byte")
	}
	r.at = offset
	return offset, nil
}

func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.s.unpin(r.pieces)
	if r.file != nil {
		return r.file.Close()
	}
	return nil
}

// List implements blob.Objects.
func (s *Store) List(_ context.Context, container string, query blob.ListQuery) (blob.Page, error) {
	prefix := objectKey(container, "")
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte("o" + container + "\x01")})
	if err != nil {
		return blob.Page{}, err
	}
	defer iter.Close() //nolint:errcheck // its error is asked for below
	return blob.CollectPage(query, func(from string) (blob.Object, bool, error) {
		if !iter.SeekGE([]byte(prefix + from)) {
			return blob.Object{}, false, iter.Error()
		}
		name := string(iter.Key()[len(prefix):])
		r, err := decode(iter.Value())
		if err != nil {
			return blob.Object{}, false, err
		}
		return r.object(name), true, nil
	})
}

// staged reads the staged blocks of a name, expired ones too.
func (s *Store) staged(container, name string) (map[string]piece, error) {
	if err := checkName(container, name); err != nil {
		return nil, err
	}
	prefix := stagedPrefix(container, name)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte(prefix[:len(prefix)-1] + "\x01")})
	if err != nil {
		return nil, err
	}
	defer iter.Close() //nolint:errcheck // its error is asked for below
	out := map[string]piece{}
	for valid := iter.First(); valid; valid = iter.Next() {
		var p piece
		if err := json.Unmarshal(iter.Value(), &p); err != nil {
			return nil, fmt.Errorf("an index record is damaged: %w", err)
		}
		out[string(iter.Key()[len(prefix):])] = p
	}
	return out, iter.Error()
}

// fresh reads the staged blocks that have not expired.
func (s *Store) fresh(container, name string) (map[string]piece, error) {
	all, err := s.staged(container, name)
	for block, p := range all {
		if s.expired(p) {
			delete(all, block)
		}
	}
	return all, err
}

func (s *Store) expired(p piece) bool { return s.options.Clock().Sub(p.At) > blob.StagedFor }

// Staged implements blob.Objects.
func (s *Store) Staged(_ context.Context, container, name string) ([]blob.Block, error) {
	unlock := s.rlock(container, name)
	defer unlock()
	all, err := s.fresh(container, name)
	out := make([]blob.Block, 0, len(all))
	for block, p := range all {
		out = append(out, blob.Block{ID: block, Size: p.Size})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, err
}
