package content_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

func no() *bool  { b := false; return &b }
func yes() *bool { b := true; return &b }

func TestTagLocks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("app", "1", "a")
		w.push("app", "2", "b")
		tag, err := w.SetTagAttributes(w.ctx, "app", "1", content.Changes{WriteEnabled: no()})
		w.must(err)
		equal(t, tag.Attributes, content.Attributes{DeleteEnabled: true, ReadEnabled: true, ListEnabled: true})
		denied := func(err error) { t.Helper(); w.refused(err, resource.MethodNotAllowed, "DENIED") }
		_, err = w.PutManifest(w.ctx, "app", "1", "", []byte(named("b")))
		denied(err)
		denied(w.DeleteTag(w.ctx, "app", "1"))
		denied(w.DeleteManifest(w.ctx, "app", d))
		_, err = w.DeleteRepository(w.ctx, "app")
		denied(err)
		w.restart() // locks are kept
		denied(w.DeleteTag(w.ctx, "app", "1"))
		_, err = w.SetTagAttributes(w.ctx, "app", "1", content.Changes{WriteEnabled: yes(), DeleteEnabled: no()})
		w.must(err)
		denied(w.DeleteTag(w.ctx, "app", "1"))
		w.put("app", "1", named("b"))
		_, err = w.SetTagAttributes(w.ctx, "app", "1", content.Changes{ReadEnabled: no()})
		w.must(err)
		_, err = w.StatManifest(w.ctx, "app", "1")
		denied(err)
		_, err = w.DescribeTag(w.ctx, "app", "1")
		w.must(err)
		_, err = w.SetTagAttributes(w.ctx, "app", "1", content.Changes{DeleteEnabled: yes()})
		w.must(err)
		w.must(w.DeleteTag(w.ctx, "app", "1"))
		_, err = w.SetTagAttributes(w.ctx, "app", "1", content.Changes{})
		w.refused(err, resource.NotFound, "TAG_UNKNOWN")
	})
}

func TestManifestLocks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("app", "1", "a")
		_, err := w.SetManifestAttributes(w.ctx, "app", d, content.Changes{DeleteEnabled: no(), ReadEnabled: no()})
		w.must(err)
		denied := func(err error) { t.Helper(); w.refused(err, resource.MethodNotAllowed, "DENIED") }
		denied(w.DeleteManifest(w.ctx, "app", d))
		_, err = w.DeleteRepository(w.ctx, "app")
		denied(err)
		_, _, err = w.Manifest(w.ctx, "app", "1")
		denied(err)
		m, err := w.DescribeManifest(w.ctx, "app", d)
		w.must(err)
		equal(t, m.Attributes, content.Attributes{WriteEnabled: true, ListEnabled: true})
		_, err = w.SetManifestAttributes(w.ctx, "app", d, content.Changes{DeleteEnabled: yes()})
		w.must(err)
		w.must(w.DeleteManifest(w.ctx, "app", d))
	})
}

func TestRepositoryLocks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("app", "1", "a")
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.SetRepositoryAttributes(w.ctx, "app", content.Changes{WriteEnabled: no()})
		w.must(err)
		denied := func(err error) { t.Helper(); w.refused(err, resource.MethodNotAllowed, "DENIED") }
		_, err = w.PutManifest(w.ctx, "app", "2", "", []byte(named("a")))
		denied(err)
		_, err = w.BeginUpload(w.ctx, "app")
		denied(err)
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, 0, strings.NewReader("late"), sum("late"))
		denied(err)
		w.pushBlob("other", "x")
		_, err = w.MountBlob(w.ctx, "app", "other", sum("x"))
		denied(err)
		denied(w.DeleteTag(w.ctx, "app", "1"))
		denied(w.DeleteManifest(w.ctx, "app", d))
		_, err = w.DeleteRepository(w.ctx, "app")
		denied(err)
		w.pull("app", "1")
		info, err := w.SetRepositoryAttributes(w.ctx, "app", content.Changes{WriteEnabled: yes(), ReadEnabled: no()})
		w.must(err)
		equal(t, []any{info.Attributes.ReadEnabled, info.Manifests}, []any{false, 1})
		_, err = w.StatManifest(w.ctx, "app", "1")
		denied(err)
		_, err = w.StatBlob(w.ctx, "app", sum("layer a"))
		denied(err)
		_, err = w.MountBlob(w.ctx, "other", "app", sum("layer a"))
		denied(err)
		// The upload is where it was, and ends well now.
		progress, err := w.Upload(w.ctx, "app", upload.ID)
		w.must(err)
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, progress.Offset, nil, sum("late"))
		w.must(err)
		deleted, err := w.DeleteRepository(w.ctx, "app")
		w.must(err)
		equal(t, deleted, content.Deleted{Manifests: []string{d}, Tags: []string{"1"}})
		_, err = w.StatBlob(w.ctx, "app", sum("layer a"))
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		_, err = w.DeleteRepository(w.ctx, "app")
		w.refused(err, resource.NotFound, "NAME_UNKNOWN")
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 1) // x in other
	})
}

// A lock and a change that race: when the lock was there first, the change fails; never are both acknowledged with the
// change after the lock.
func TestLockRacesWithChanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.push("app", "1", "a")
		b := w.push("app", "other", "b")
		for range 20 {
			var group sync.WaitGroup
			var moved, removed error
			group.Go(func() { _, moved = w.PutManifest(w.ctx, "app", "1", "", []byte(named("b"))) })
			group.Go(func() { removed = w.DeleteManifest(w.ctx, "app", a) })
			tag, locked := w.SetTagAttributes(w.ctx, "app", "1", content.Changes{WriteEnabled: no(), DeleteEnabled: no()})
			before, statErr := w.StatManifest(w.ctx, "app", "1")
			group.Wait()
			if locked == nil {
				w.must(statErr)
				after, err := w.StatManifest(w.ctx, "app", "1")
				w.must(err)
				if before.Digest != after.Digest || before.Digest != tag.Digest {
					t.Fatalf("the tag was locked at %s and is at %s", tag.Digest, after.Digest)
				}
				if after.Digest == a && (moved == nil || removed == nil) {
					t.Fatal("the tag stayed, and moving or removing it succeeded")
				}
				if after.Digest == b && moved != nil {
					t.Fatal("the tag moved, and moving it failed")
				}
				_, err = w.SetTagAttributes(w.ctx, "app", "1", content.Changes{WriteEnabled: yes(), DeleteEnabled: yes()})
				w.must(err)
			}
			w.put("app", "1", named("a"))
		}
	})
}
