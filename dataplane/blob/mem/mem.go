// Package mem keeps objects in memory, for tests and as the plainest statement of what a driver of blob.Objects does.
package mem

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
)

// Store is a blob.Objects in memory. Make it with New.
type Store struct {
	clock func() time.Time
	mu    sync.Mutex
	held  map[key]held
	stage map[key]map[string]piece
	gone  map[string]bool // containers that were dropped
}

type key struct{ container, name string }

type held struct {
	object blob.Object
	pieces []piece
}

type piece struct {
	id   string
	data []byte
	at   time.Time
}

// New gives an empty store.
func New(clock func() time.Time) *Store {
	return &Store{clock: clock, held: map[key]held{}, stage: map[key]map[string]piece{}, gone: map[string]bool{}}
}

var _ blob.Objects = (*Store)(nil)

func notFound() error {
	return resource.NotFoundf("BlobNotFound", "The specified blob does not exist.")
}

// Head implements blob.Objects.
func (s *Store) Head(_ context.Context, container, name string) (blob.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[key{container, name}]
	if !ok {
		return blob.Object{}, notFound()
	}
	return clone(h.object), nil
}

type reader struct {
	*bytes.Reader
	pieces []piece
}

func (reader) Close() error { return nil }

// Open implements blob.Objects.
func (s *Store) Open(_ context.Context, container, name string) (blob.Object, blob.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[key{container, name}]
	if !ok {
		return blob.Object{}, nil, notFound()
	}
	var all []byte
	for _, p := range h.pieces {
		all = append(all, p.data...)
	}
	return clone(h.object), reader{bytes.NewReader(all), h.pieces}, nil
}

// List implements blob.Objects.
func (s *Store) List(_ context.Context, container string, query blob.ListQuery) (blob.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k := range s.held {
		if k.container == container {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return blob.CollectPage(query, func(from string) (blob.Object, bool, error) {
		i, _ := slices.BinarySearch(names, from)
		if i == len(names) {
			return blob.Object{}, false, nil
		}
		return clone(s.held[key{container, names[i]}].object), true, nil
	})
}

type draft struct{ bytes.Buffer }

func (d *draft) Size() int64 { return int64(d.Len()) }
func (d *draft) Discard()    { d.Reset() }

// Draft implements blob.Objects.
func (s *Store) Draft(context.Context) (blob.Draft, error) { return &draft{}, nil }

func bytesOf(d blob.Draft) []byte {
	if d == nil {
		return nil
	}
	return bytes.Clone(d.(*draft).Bytes())
}

// change is the one place where objects change. build gives the pieces out of the present ones.
func (s *Store) change(container, name string, decide blob.Decide, must bool, build func(current held) ([]piece, error)) (blob.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[container] {
		return blob.Object{}, resource.NotFoundf("ContainerNotFound", "The specified container does not exist.")
	}
	k := key{container, name}
	h, ok := s.held[k]
	var current *blob.Object
	if ok {
		copied := clone(h.object)
		current = &copied
	}
	next, err := decide(current)
	if err != nil {
		return blob.Object{}, err
	}
	if must && !ok {
		return blob.Object{}, notFound()
	}
	pieces, err := build(h)
	if err != nil {
		return blob.Object{}, err
	}
	next = s.fill(next, name, current, pieces)
	s.held[k] = held{next, pieces}
	return clone(next), nil
}

func (s *Store) fill(next blob.Object, name string, current *blob.Object, pieces []piece) blob.Object {
	next = clone(next)
	next.Name, next.ETag, next.Modified, next.Created = name, newETag(), s.clock(), s.clock()
	if current != nil {
		next.Created = current.Created
	}
	next.Size, next.Blocks = 0, nil
	for _, p := range pieces {
		next.Size += int64(len(p.data))
		next.Blocks = append(next.Blocks, blob.Block{ID: p.id, Size: int64(len(p.data))})
	}
	return next
}

// newETag gives a version's name, never the same twice.
func newETag() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "0x" + strings.ToUpper(hex.EncodeToString(b[:]))
}

func clone(o blob.Object) blob.Object {
	o.Metadata, o.Blocks, o.Headers.ContentMD5 = maps.Clone(o.Metadata), slices.Clone(o.Blocks), bytes.Clone(o.Headers.ContentMD5)
	return o
}

// whole gives the pieces of bytes that came at once.
func whole(data []byte) []piece {
	if len(data) == 0 {
		return nil
	}
	return []piece{{data: data}}
}

// Put implements blob.Objects.
func (s *Store) Put(_ context.Context, container, name string, d blob.Draft, decide blob.Decide) (blob.Object, error) {
	data := bytesOf(d)
	return s.change(container, name, decide, false, func(held) ([]piece, error) {
		delete(s.stage, key{container, name})
		return whole(data), nil
	})
}

// Append implements blob.Objects.
func (s *Store) Append(_ context.Context, container, name string, d blob.Draft, decide blob.Decide) (blob.Object, error) {
	data := bytesOf(d)
	return s.change(container, name, decide, true, func(current held) ([]piece, error) {
		return append(slices.Clone(current.pieces), whole(data)...), nil
	})
}

// Update implements blob.Objects.
func (s *Store) Update(_ context.Context, container, name string, decide blob.Decide) (blob.Object, error) {
	return s.change(container, name, decide, true, func(current held) ([]piece, error) { return current.pieces, nil })
}

// Copy implements blob.Objects.
func (s *Store) Copy(_ context.Context, container, name string, source blob.Reader, decide blob.Decide) (blob.Object, error) {
	var pieces []piece
	if own, ok := source.(reader); ok {
		pieces = own.pieces
	} else {
		if _, err := source.Seek(0, io.SeekStart); err != nil {
			return blob.Object{}, err
		}
		data, err := io.ReadAll(source)
		if err != nil {
			return blob.Object{}, err
		}
		pieces = whole(data)
	}
	return s.change(container, name, decide, false, func(held) ([]piece, error) {
		delete(s.stage, key{container, name})
		return pieces, nil
	})
}

// Delete implements blob.Objects.
func (s *Store) Delete(_ context.Context, container, name string, decide blob.Decide) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{container, name}
	var current *blob.Object
	h, ok := s.held[k]
	if ok {
		copied := clone(h.object)
		current = &copied
	}
	if _, err := decide(current); err != nil {
		return err
	}
	if !ok {
		return notFound()
	}
	delete(s.held, k)
	delete(s.stage, k)
	return nil
}

// Stage implements blob.Objects.
func (s *Store) Stage(_ context.Context, container, name, block string, d blob.Draft) error {
	data := bytesOf(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[container] {
		return resource.NotFoundf("ContainerNotFound", "The specified container does not exist.")
	}
	k := key{container, name}
	if s.stage[k] == nil {
		s.stage[k] = map[string]piece{}
	}
	s.stage[k][block] = piece{block, data, s.clock()}
	return nil
}

// staged gives the blocks that have not expired.
func (s *Store) staged(k key) map[string]piece {
	out := maps.Clone(s.stage[k])
	maps.DeleteFunc(out, func(_ string, p piece) bool { return s.clock().Sub(p.at) > blob.StagedFor })
	return out
}

// Staged implements blob.Objects.
func (s *Store) Staged(_ context.Context, container, name string) ([]blob.Block, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []blob.Block
	for id, p := range s.staged(key{container, name}) {
		out = append(out, blob.Block{ID: id, Size: int64(len(p.data))})
	}
	slices.SortFunc(out, func(a, b blob.Block) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// PutBlocks implements blob.Objects.
func (s *Store) PutBlocks(_ context.Context, container, name string, blocks []blob.BlockRef, decide blob.Decide) (blob.Object, error) {
	k := key{container, name}
	return s.change(container, name, decide, false, func(current held) ([]piece, error) {
		pieces, err := blob.SelectBlocks(blocks, current.pieces, func(p piece) string { return p.id }, s.staged(k))
		if err == nil {
			delete(s.stage, k)
		}
		return pieces, err
	})
}

// Move implements blob.Objects.
func (s *Store) Move(_ context.Context, moves []blob.Move) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	after, stage := maps.Clone(s.held), maps.Clone(s.stage)
	for _, m := range moves {
		from, to := key{m.FromContainer, m.From}, key{m.ToContainer, m.To}
		h, ok := after[from]
		if !ok {
			return notFound()
		}
		if s.gone[m.ToContainer] {
			return resource.NotFoundf("ContainerNotFound", "The specified container does not exist.")
		}
		var destination *blob.Object
		if there, ok := after[to]; ok {
			copied := clone(there.object)
			destination = &copied
		}
		next, err := m.Decide(clone(h.object), destination)
		if err != nil {
			return err
		}
		next = s.fill(next, m.To, &h.object, h.pieces)
		delete(after, from)
		delete(stage, from)
		delete(stage, to)
		after[to] = held{next, h.pieces}
	}
	s.held, s.stage = after, stage
	return nil
}

// Drop implements blob.Objects.
func (s *Store) Drop(_ context.Context, container string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone[container] = true
	maps.DeleteFunc(s.held, func(k key, _ held) bool { return k.container == container })
	maps.DeleteFunc(s.stage, func(k key, _ map[string]piece) bool { return k.container == container })
	return nil
}
