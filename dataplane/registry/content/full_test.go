package content_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
)

// A medium that is full: the push is refused with a clear error, nothing of it is visible or stays, what was there
// before is whole, and once there is room the same push succeeds.
func TestDiskFull(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small medium can't be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
	clock := newClock()
	w := (&world{t: t, clock: clock, store: mem.New(mem.WithClock(clock.Now)), folder: filepath.Join(folder, "registry")}).open()

	w.push("app", "1", "a")
	noise := make([]byte, 2<<20)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(noise) // never fails
	_, err := w.tryBlob("app", string(noise))
	w.refused(err, resource.Unavailable, content.CodeInsufficientStorage)
	_, err = w.StatBlob(w.ctx, "app", sum(string(noise)))
	w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
	w.pushBlob("app", "there is room again") // the upload is gone

	// Full to the last byte: manifests and uploads are refused as well.
	w.pushBlob("app", config("b"))
	w.pushBlob("app", "layer b")
	ballast := filepath.Join(folder, "ballast")
	file, err := os.Create(ballast)
	w.must(err)
	for err == nil {
		_, err = file.Write(noise[:4096])
	}
	w.must(file.Close())
	_, err = w.PutManifest(w.ctx, "app", "2", "", []byte(named("b")))
	w.refused(err, resource.Unavailable, content.CodeInsufficientStorage)
	_, err = w.StatManifest(w.ctx, "app", "2")
	w.refused(err, resource.NotFound, "MANIFEST_UNKNOWN")
	_, err = w.BeginUpload(w.ctx, "app")
	w.refused(err, resource.Unavailable, content.CodeInsufficientStorage)
	w.pull("app", "1")

	w.must(os.Remove(ballast))
	w.put("app", "2", named("b"))
	w.pull("app", "2")
	w.pull("app", "1")
	used, err := w.Usage(context.Background())
	w.must(err)
	w.collect(0, 0)
	w.restart()
	after, err := w.Usage(w.ctx)
	w.must(err)
	if after > used {
		t.Errorf("usage rose from %d to %d by a collection", used, after)
	}
}
