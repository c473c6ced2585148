package content

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// Collect removes what nothing needs, while pushes go on: untagged manifests older than Retention, blobs that no
// manifest of their repository names and that nobody touched for Grace, uploads that stood still for Grace, and bytes
// that crashes and deletions left. It keeps what a tag, a lock, an index, a referrer or its subject, or a running
// push needs. Usage falls by the report's bytes at once.
func (r *Registry) Collect(ctx context.Context, options CollectOptions) (Report, error) {
	s, err := r.enter(ctx)
	if err != nil {
		return Report{}, err
	}
	s.collecting.Lock()
	defer s.collecting.Unlock()
	// From here on pushes note what they rely on. Those that passed the gate before have written their documents.
	open := s.close()
	dropped := s.dropped
	s.mark(map[string]bool{})
	open()
	defer s.mark(nil)
	if dropped {
		return Report{}, nil
	}
	now := r.engine.now()
	survey, err := r.survey(ctx, options, now)
	if err != nil {
		return Report{}, err
	}
	c := &collection{Registry: r, space: s, options: options, now: now, survey: survey, seen: -1}
	if options.DryRun {
		return c.forecast(ctx)
	}
	if err := errors.Join(c.removeDocuments(ctx), c.removeUploads(ctx), c.removeBytes(ctx)); err != nil {
		return c.report, err
	}
	s.forget(now.Add(-options.Grace))
	return c.report, nil
}

type collection struct {
	*Registry
	space   *space
	options CollectOptions
	now     time.Time
	survey  survey
	report  Report

	seen      int // how much pushes had noted when it was decided last; -1 before the first time
	manifests []found[manifestDocument]
	blobs     []found[blobDocument]
}

func (s *space) mark(marking map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marking = marking
}

// noted is what pushes relied on since the collection began; nil when that is no more than what was seen.
func (s *space) noted(seen int) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marking) == seen {
		return nil
	}
	return maps.Clone(s.marking)
}

func (s *space) lastTouched(key string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touched[key]
}

// forget drops touches that no longer keep anything.
func (s *space) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.touched, func(_ string, at time.Time) bool { return at.Before(before) })
}

// decide tells what nothing needs at this moment. It is the same as before unless a push has noted something since.
func (c *collection) decide() {
	noted := c.space.noted(c.seen)
	if noted == nil {
		return
	}
	c.seen = len(noted)
	c.manifests, c.blobs = c.survey.decide(noted, c.space.lastTouched)
}

// forecast reports what would be removed.
func (c *collection) forecast(ctx context.Context) (Report, error) {
	c.decide()
	c.report.Manifests, c.report.Blobs = len(c.manifests), len(c.blobs)
	lost := map[string]int{}
	for _, manifest := range c.manifests {
		lost[manifest.body.Digest]++
	}
	for _, blob := range c.blobs {
		lost[blob.body.Digest]++
	}
	c.space.mu.Lock()
	for digest, times := range lost {
		if h := c.space.held[digest]; h != nil && h.count <= times {
			c.report.Bytes += h.size
		}
	}
	c.space.mu.Unlock()
	uploads, err := c.uploads(ctx)
	if err != nil {
		return c.report, err
	}
	for _, upload := range uploads {
		idle, err := c.idle(ctx, upload)
		if err != nil {
			return c.report, err
		}
		if idle {
			c.report.Uploads++
		}
	}
	return c.report, nil
}

// removal is a document that is to go, with what goes along.
type removal struct {
	digest string
	ops    []store.Op
	count  *int // of the report
}

// removeDocuments removes manifests and then blobs, a batch at a time with the gate closed. Before each batch it is
// decided anew, in memory, with what pushes noted meanwhile.
func (c *collection) removeDocuments(ctx context.Context) error {
	gone := map[string]bool{}
	for {
		more, err := c.removeBatch(ctx, gone)
		if err != nil || !more {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (c *collection) removeBatch(ctx context.Context, gone map[string]bool) (more bool, err error) {
	const most = 100
	defer c.space.close()()
	if c.space.dropped {
		return false, nil
	}
	c.decide()
	var batch []removal
	for _, manifest := range c.manifests {
		if len(batch) < most && !gone[manifest.key] {
			gone[manifest.key] = true
			ops := append(c.removeManifest(manifest.body.Repository, manifest), c.survey.repositories[manifest.body.Repository].expect())
			batch = append(batch, removal{manifest.body.Digest, ops, &c.report.Manifests})
		}
	}
	for _, blob := range c.blobs {
		if len(batch) < most && !gone[blob.key] {
			gone[blob.key] = true
			batch = append(batch, removal{blob.body.Digest, []store.Op{blob.remove()}, &c.report.Blobs})
		}
	}
	return len(batch) == most, c.remove(ctx, batch)
}

// remove removes documents, except those that are no longer as they were seen.
func (c *collection) remove(ctx context.Context, batch []removal) error {
	var ops []store.Op
	for _, removal := range batch {
		ops = append(ops, removal.ops...)
	}
	_, err := c.engine.apply(ctx, ops...)
	switch {
	case raced(err) && len(batch) > 1: // somebody deleted one of them, or set a lock
		for i := range batch {
			if err := c.remove(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case raced(err):
		return nil
	case err != nil:
		c.space.doubt()
		return err
	}
	for _, removal := range batch {
		c.report.Bytes += c.space.release(removal.digest)
		*removal.count++
	}
	return nil
}

// removeBytes removes contents that no document names.
func (c *collection) removeBytes(ctx context.Context) error {
	const most = 100
	contents, torn, err := c.space.bytes.walk(ctx)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(torn, most) {
		// Nothing is written while the gate is closed: what is still there was cut off.
		if err := c.closed(func() error { return c.space.bytes.discard(ctx, batch) }); err != nil {
			return err
		}
	}
	contents = slices.DeleteFunc(contents, c.space.holds)
	for batch := range slices.Chunk(contents, most) {
		err := c.closed(func() error {
			for _, digest := range batch {
				if err := c.removeUnheld(ctx, c.space, digest); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// closed runs fn with the gate to itself.
func (c *collection) closed(fn func() error) error {
	defer c.space.close()()
	if c.space.dropped {
		return nil
	}
	return fn()
}

func (c *collection) uploads(ctx context.Context) ([]found[uploadDocument], error) {
	return list[uploadDocument](ctx, c.engine, kindUpload, prefix(c.key)+"uploads/")
}

// idle tells whether nobody added to an upload for the grace time.
func (c *collection) idle(ctx context.Context, upload found[uploadDocument]) (bool, error) {
	last := upload.body.Started
	info, err := c.space.bytes.driver.Stat(ctx, uploadPath+"/"+upload.body.ID+"/data")
	if err != nil && !pathNotFound(err) {
		return false, err
	}
	if err == nil {
		last = later(last, info.ModTime())
	}
	return !last.After(c.now.Add(-c.options.Grace)), nil
}

// removeUploads removes expired uploads, and the bytes of uploads that have no document.
func (c *collection) removeUploads(ctx context.Context) error {
	uploads, err := c.uploads(ctx)
	if err != nil {
		return err
	}
	for _, upload := range uploads {
		leave, free := c.space.grab(upload.body.ID)
		if !free {
			continue // somebody works on it right now
		}
		idle, err := c.idle(ctx, upload)
		if err == nil && idle {
			err = (&claimed{Registry: c.Registry, space: c.space, document: upload}).abandon(ctx)
			c.report.Uploads++
		}
		leave()
		if err != nil {
			return err
		}
	}
	return c.closed(func() error { return c.removeOrphans(ctx) }) // no upload is between its folder and its document
}

func (c *collection) removeOrphans(ctx context.Context) error {
	folders, err := c.space.bytes.list(ctx, uploadPath)
	if err != nil {
		return err
	}
	uploads, err := c.uploads(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, upload := range uploads {
		known[upload.body.ID] = true
	}
	c.space.keepComing(known)
	folders = slices.DeleteFunc(folders, func(folder string) bool { return known[path.Base(folder)] })
	return c.space.bytes.discard(ctx, folders)
}
