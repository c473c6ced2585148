package content_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// Ten clients push one tag: all are answered, the tag is one of theirs, every manifest is there by its digest, and only
// one of them has the tag.
func TestTenClientsPushOneTag(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const clients = 10
		var group sync.WaitGroup
		faults := make(chan error, clients)
		for i := range clients {
			group.Go(func() {
				for round := range 3 {
					name := fmt.Sprintf("%d/%d", i, round)
					for _, blob := range []string{config(name), "layer " + name, "shared"} {
						if _, err := w.tryBlob("app", blob); err != nil {
							faults <- err
							return
						}
					}
					if _, err := w.PutManifest(w.ctx, "app", "latest", "", []byte(named(name))); err != nil {
						faults <- err
						return
					}
				}
			})
		}
		group.Wait()
		close(faults)
		for err := range faults {
			t.Fatal(err)
		}
		winner := w.pull("app", "latest")
		manifests, err := w.Manifests(w.ctx, "app", content.Page{})
		w.must(err)
		equal(t, len(manifests), 3*clients)
		for _, m := range manifests {
			w.pull("app", m.Digest)
			if (len(m.Tags) == 1) != (m.Digest == winner) {
				t.Errorf("%s has the tags %v, and the tag is at %s", m.Digest, m.Tags, winner)
			}
		}
		before, err := w.Usage(w.ctx)
		w.must(err)
		w.restart()
		after, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, before, after)
	})
}

// Collections without any grace run while clients push, mount, tag, untag and delete: a push that was answered always
// pulls, as long as nobody deletes it, and in the end nothing is left but what is needed.
func TestCollectRacesWithPushes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const clients = 6
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rounds := 25
		if w.folder != "" || testing.Short() { // syncs take their time
			rounds = 8
		}
		var group, collector sync.WaitGroup
		var done atomic.Bool
		faults := make(chan error, clients+1)
		collector.Go(func() {
			for !done.Load() {
				w.clock.pass(time.Second)
				if _, err := w.Collect(w.ctx, content.CollectOptions{Retention: time.Nanosecond}); err != nil {
					faults <- err
					return
				}
			}
		})
		for i := range clients {
			group.Go(func() {
				if err := w.client(i, rounds, rand.New(rand.NewPCG(seed, uint64(i)))); err != nil {
					faults <- fmt.Errorf("client %d: %w", i, err)
				}
			})
		}
		group.Wait()
		done.Store(true)
		collector.Wait()
		close(faults)
		for err := range faults {
			t.Fatal(err)
		}
		for i := range clients {
			_, err := w.DeleteRepository(w.ctx, fmt.Sprintf("app%d", i))
			if resource.KindOf(err) != resource.NotFound {
				w.must(err)
			}
		}
		_, err := w.DeleteRepository(w.ctx, "shared")
		w.must(err)
		w.clock.pass(time.Second)
		w.collect(0, time.Nanosecond)
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 0)
		if w.folder != "" {
			equal(t, w.files(), 0)
		}
	})
}

// client pushes as clients do: a blob that is gone by the time its manifest arrives is pushed again.
func (w *world) client(id, rounds int, random *rand.Rand) error {
	repo := fmt.Sprintf("app%d", id)
	for range rounds {
		name := fmt.Sprint(random.IntN(4)) // few contents, so that clients share them
		manifest, reference := named(name), fmt.Sprintf("t%d", random.IntN(2))
		target := repo
		if random.IntN(3) == 0 {
			target, reference = "shared", fmt.Sprintf("%d-%s", id, reference)
		}
		if err := w.insist(target, reference, manifest, config(name), "layer "+name); err != nil {
			return err
		}
		if got, err := w.tryPull(target, reference); err != nil || got != sum(manifest) {
			return fmt.Errorf("pushed %s to %s:%s and pulled %s: %w", sum(manifest), target, reference, got, err)
		}
		outer := index(manifest)
		if random.IntN(3) == 0 {
			if err := w.insist(target, reference, outer); err != nil {
				return err
			}
			if got, err := w.tryPull(target, reference); err != nil || got != sum(outer) {
				return fmt.Errorf("pushed the index %s to %s:%s and pulled %s: %w", sum(outer), target, reference, got, err)
			}
		}
		if random.IntN(4) == 0 {
			if err := w.DeleteTag(w.ctx, target, reference); err != nil {
				return err
			}
		}
	}
	return nil
}

// insist pushes a manifest and the blobs that it needs until the registry has them all at once.
func (w *world) insist(repo, reference, manifest string, blobs ...string) error {
	var err error
	for range 200 {
		for _, blob := range blobs {
			if _, err := w.MountBlob(w.ctx, repo, "shared", sum(blob)); err == nil {
				continue
			}
			// Without any grace an upload expires between two requests, too.
			if _, err := w.tryBlob(repo, blob); err != nil && resource.KindOf(err) != resource.NotFound {
				return err
			}
		}
		_, err = w.PutManifest(w.ctx, repo, reference, "", []byte(manifest))
		if e, ok := resource.AsError(err); ok && e.Code == "MANIFEST_BLOB_UNKNOWN" && len(blobs) > 0 {
			continue
		}
		return err
	}
	return err
}

// A quota that many push against is never exceeded.
func TestQuotaUnderConcurrency(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.limited(1000)
		var group sync.WaitGroup
		var accepted atomic.Int64
		for i := range 20 {
			group.Go(func() {
				body := fmt.Sprintf("%03d", i) + strings.Repeat("x", 97)
				if _, err := w.tryBlob("app", body); err == nil {
					accepted.Add(1)
				} else if e, _ := resource.AsError(err); e == nil || e.Code != content.CodeQuotaExceeded {
					t.Error(err)
				}
			})
		}
		group.Wait()
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, []int64{accepted.Load(), used}, []int64{10, 1000})
		if w.folder != "" {
			equal(t, w.files(), 10)
		}
	})
}

// Two requests on one upload: they take turns, and the second one is told where the upload is.
func TestOneRequestPerUpload(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		var group sync.WaitGroup
		var written atomic.Int64
		for range 8 {
			group.Go(func() {
				_, err := w.WriteUpload(w.ctx, "app", upload.ID, 0, strings.NewReader("hello"))
				if err == nil {
					written.Add(1)
				} else if resource.KindOf(err) != resource.RangeNotSatisfiable {
					t.Error(err)
				}
			})
		}
		group.Wait()
		equal(t, written.Load(), 1)
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, 5, nil, sum("hello"))
		w.must(err)
	})
}
