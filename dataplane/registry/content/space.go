package content

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// space is what is in memory of a registry: counts that its documents imply, and the gate between pushes and removal.
type space struct {
	bytes *bytes

	// Held by many while something becomes visible or is relied on, by one while something unused is removed. Whoever
	// holds it may take mu, never the other way round.
	gate    sync.RWMutex
	dropped bool // guarded by gate

	loading    sync.Mutex // held while the counts are read for the first time
	collecting sync.Mutex // one collection at a time

	mu      sync.Mutex
	loaded  bool
	stale   bool                 // a change's outcome is unknown: count again before bytes are removed
	held    map[string]*holding  // by digest
	used    int64                // the sum of the sizes in held
	coming  map[string]int64     // by upload: the bytes that it has so far
	touched map[string]time.Time // by document key: when somebody relied on a blob
	marking map[string]bool      // document keys noted since the collection under way began; nil without one
	uploads map[string]*session  // by id
}

// holding counts how many documents name a content.
type holding struct {
	size  int64
	count int
}

// enter gives the registry's space, with its counts read.
func (r *Registry) enter(ctx context.Context) (*space, error) {
	s, err := r.engine.space(r.key)
	if err != nil {
		return nil, err
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.ready() {
		return s, nil
	}
	return s, r.count(ctx, s)
}

func (s *space) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded
}

// count reads the counts from the documents. Nothing may change them meanwhile: either nobody has entered yet, or the
// caller has the gate alone.
func (r *Registry) count(ctx context.Context, s *space) error {
	blobs, err := list[blobDocument](ctx, r.engine, kindBlob, prefix(r.key)+"blobs/")
	if err != nil {
		return err
	}
	manifests, err := list[manifestDocument](ctx, r.engine, kindManifest, prefix(r.key)+"manifests/")
	if err != nil {
		return err
	}
	uploads, err := list[uploadDocument](ctx, r.engine, kindUpload, prefix(r.key)+"uploads/")
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for _, upload := range uploads {
		if sizes[upload.body.ID], err = s.received(ctx, upload.body.ID); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.used = map[string]*holding{}, 0
	for _, blob := range blobs {
		s.add(blob.body.Digest, blob.body.Size)
	}
	for _, manifest := range manifests {
		s.add(manifest.body.Digest, manifest.body.Size)
	}
	for id, size := range sizes {
		if _, writing := s.coming[id]; !writing {
			s.coming[id] = size
		}
	}
	s.loaded, s.stale = true, false
	return nil
}

func (s *space) add(digest string, size int64) {
	h, ok := s.held[digest]
	if !ok {
		h = &holding{size: size}
		s.held[digest] = h
		s.used += size
	}
	h.count++
}

// hold counts a document before it is written; within the quota, when there is one. upload names the upload that it was,
// whose bytes count no longer; "" for none.
func (s *space) hold(digest string, size, quota int64, upload string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.held[digest]; !known && quota > 0 && s.taken()-s.coming[upload]+size > quota {
		return overQuota(quota)
	}
	delete(s.coming, upload)
	s.add(digest, size)
	return nil
}

// release counts a document that is gone, or was not written, and tells by how many bytes usage fell.
func (s *space) release(digest string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[digest]
	if !ok {
		return 0 // counted anew in between
	}
	if h.count--; h.count > 0 {
		return 0
	}
	delete(s.held, digest)
	s.used -= h.size
	return h.size
}

// doubt notes that a change may have been made or not.
func (s *space) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = true
}

func (s *space) holds(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.held[digest]
	return ok
}

// room is how many more bytes may come in; negative when there is no limit.
func (s *space) room(quota int64) int64 {
	if quota <= 0 {
		return -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(quota-s.taken(), 0)
}

func (s *space) usage() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// touch notes that a push relies on documents. The caller is in the gate.
func (s *space) touch(now time.Time, keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		s.touched[key] = now
		if s.marking != nil {
			s.marking[key] = true
		}
	}
}

// change runs fn in the gate with others, again as long as it loses against other changes. fn reads what it decides on
// and names all of it in the conditions of its Apply.
func (r *Registry) change(ctx context.Context, fn func(s *space) error) error {
	s, err := r.enter(ctx)
	if err != nil {
		return err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	return r.settle(ctx, s, fn)
}

// close takes the gate alone. Who waits in line for it keeps out everybody who comes later, and a commit of a large blob
// syncs it in the gate; so it is tried for a while before waiting in line.
func (s *space) close() (open func()) {
	for range 200 {
		if s.gate.TryLock() {
			return s.gate.Unlock
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.gate.Lock()
	return s.gate.Unlock
}

// alone is change with the gate to itself.
func (r *Registry) alone(ctx context.Context, fn func(s *space) error) error {
	s, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer s.close()()
	return r.settle(ctx, s, fn)
}

func (r *Registry) settle(ctx context.Context, s *space, fn func(s *space) error) error {
	if s.dropped {
		return resource.NotFoundf("NAME_UNKNOWN", "the registry has been deleted.")
	}
	const attempts = 500
	for attempt := range attempts {
		err := fn(s)
		if err == nil {
			return nil
		}
		if !raced(err) {
			if _, known := resource.AsError(err); !known {
				s.doubt()
			}
			return classed(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(min(attempt+1, 20)) * time.Millisecond)):
		}
	}
	return resource.Errorf(resource.Unavailable, "TOOMANYREQUESTS", "the content is being changed by too many at once; try again.")
}
