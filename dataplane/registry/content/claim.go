package content

import (
	"context"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// session is what is in memory of an upload: who works on it, and when somebody last did.
type session struct {
	busy  chan struct{} // holds a token while somebody works on the upload
	users int           // who hold or wait for the token; guarded by space.mu
}

// claimed is an upload that nobody else works on until leave.
type claimed struct {
	*Registry
	space    *space
	repo     string
	document found[uploadDocument]
	leave    func()
}

// How long a request waits for the one that works on the upload: a client that was cut off comes back while the server may
// still be reading from the dead connection.
const (
	patience = 10 * time.Second
	glance   = time.Second // of one that only looks
)

// claim takes an upload when nobody works on it, or within a time. Errors: as Upload; Conflict, BLOB_UPLOAD_INVALID.
func (r *Registry) claim(ctx context.Context, repo, id string, within time.Duration) (*claimed, error) {
	if err := CheckRepositoryName(repo); err != nil {
		return nil, err
	}
	if err := checkUploadID(id); err != nil {
		return nil, err
	}
	s, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	leave, err := s.seize(ctx, id, within)
	if err != nil {
		return nil, err
	}
	document, err := get[uploadDocument](ctx, r.engine, r.uploadKey(repo, id))
	if err == nil && !document.present() {
		err = unknownUpload(id)
	}
	if err != nil {
		leave()
		return nil, err
	}
	return &claimed{Registry: r, space: s, repo: repo, document: document, leave: leave}, nil
}

// look finds an upload that somebody else works on, to read of it alone.
func (r *Registry) look(ctx context.Context, repo, id string) (*claimed, error) {
	s, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	document, err := get[uploadDocument](ctx, r.engine, r.uploadKey(repo, id))
	if err == nil && !document.present() {
		err = unknownUpload(id)
	}
	return &claimed{Registry: r, space: s, repo: repo, document: document, leave: func() {}}, err
}

// seize waits until nobody else works on an upload.
func (s *space) seize(ctx context.Context, id string, within time.Duration) (leave func(), err error) {
	s.mu.Lock()
	working, ok := s.uploads[id]
	if !ok {
		working = &session{busy: make(chan struct{}, 1)}
		s.uploads[id] = working
	}
	working.users++
	s.mu.Unlock()
	waiting := time.NewTimer(within)
	defer waiting.Stop()
	select {
	case working.busy <- struct{}{}:
		return func() { <-working.busy; s.quit(id, working) }, nil
	case <-ctx.Done():
		s.quit(id, working)
		return nil, ctx.Err()
	case <-waiting.C:
		s.quit(id, working)
		return nil, resource.Conflictf("BLOB_UPLOAD_INVALID", "another request is writing to the upload %q; wait for it to end.", id)
	}
}

// grab is seize without waiting.
func (s *space) grab(id string) (leave func(), free bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.uploads[id]; busy {
		return nil, false
	}
	working := &session{busy: make(chan struct{}, 1), users: 1}
	working.busy <- struct{}{}
	s.uploads[id] = working
	return func() { <-working.busy; s.quit(id, working) }, true
}

// quit is the end of somebody's interest in an upload.
func (s *space) quit(id string, working *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if working.users--; working.users == 0 {
		delete(s.uploads, id)
	}
}
