package disk_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/blobtest"
	"github.com/alvara-ml/alvara/dataplane/blob/disk"
	"github.com/alvara-ml/alvara/resource"
)

func open(t testing.TB, options disk.Options) *disk.Store {
	t.Helper()
	s, err := disk.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	blobtest.Run(t, func(t *testing.T, clock func() time.Time) blob.Objects {
		s := open(t, disk.Options{Dir: t.TempDir(), Clock: clock})
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func decide(*blob.Object) (blob.Object, error) { return blob.Object{Kind: blob.BlockBlob}, nil }

func draft(t testing.TB, s *disk.Store, content string) blob.Draft {
	t.Helper()
	d, err := s.Draft(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, content); err != nil {
		t.Fatal(err)
	}
	return d
}

func closed(t testing.TB, s *disk.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReopen: objects and staged blocks survive; files of drafts, of what was replaced, and of dropped containers go.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	clock := &blobtest.Clock{}
	options := disk.Options{Dir: dir, Clock: clock.Now}
	ctx := t.Context()
	s := open(t, options)
	for _, container := range []string{"keep", "drop"} {
		for _, name := range []string{"x", "y"} {
			if _, err := s.Put(ctx, container, name, draft(t, s, name+" in "+container), decide); err != nil {
				t.Fatal(err)
			}
			if err := s.Stage(ctx, container, name, "YQ==", draft(t, s, "staged")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Drop(ctx, "drop"); err != nil {
		t.Fatal(err)
	}
	draft(t, s, "never handed over") // its file is still open when the store goes down
	if n := files(t, dir); n != 5 {
		t.Fatalf("%d files before the restart, want 5", n)
	}
	closed(t, s)

	s = open(t, options)
	if n := files(t, dir); n != 4 {
		t.Fatalf("%d files after the restart, want 4", n)
	}
	o, r, err := s.Open(ctx, "keep", "x")
	if err != nil || o.Size != int64(len("x in keep")) {
		t.Fatal(o, err)
	}
	if _, err := s.Put(ctx, "keep", "x", nil, decide); err != nil { // drops the staged block of x too
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || string(body) != "x in keep" {
		t.Fatalf("the open reader read %q, %v", body, err)
	}
	if n := files(t, dir); n != 3 {
		t.Fatalf("%d files while an old one is read, want 3", n)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if staged, err := s.Staged(ctx, "keep", "y"); err != nil || len(staged) != 1 || staged[0].Size != 6 {
		t.Fatalf("staged: %v, %v", staged, err)
	}
	clock.Advance(blob.StagedFor + time.Minute)
	if err := s.Expire(); err != nil {
		t.Fatal(err)
	}
	if n := files(t, dir); n != 1 {
		t.Fatalf("%d files at the end, want 1", n)
	}
	if _, err := s.Put(ctx, "drop", "late", draft(t, s, "late"), decide); resource.KindOf(err) != resource.NotFound || err == nil {
		t.Fatalf("a write into a dropped container: %v", err)
	}
	closed(t, s)
}

// TestFullDisk: a write that does not fit has its own error, and nothing of it is visible or left.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	left := uint64(1 << 30)
	s := open(t, disk.Options{Dir: dir, Free: func() (uint64, error) { return left, nil }})
	ctx := t.Context()
	if _, err := s.Put(ctx, "c", "x", draft(t, s, "before"), decide); err != nil {
		t.Fatal(err)
	}
	full := func(err error) {
		t.Helper()
		if e, ok := resource.AsError(err); !ok || e.Code != "InsufficientStorage" {
			t.Fatalf("got %v", err)
		}
	}
	begun := draft(t, s, "begun before")
	large, err := s.Draft(ctx)
	if err != nil {
		t.Fatal(err)
	}
	left = 1 << 20
	_, err = s.Draft(ctx)
	full(err)
	_, err = io.Copy(large, io.LimitReader(zeros{}, 100<<20))
	full(err)
	if large.Size() > 20<<20 {
		t.Fatalf("%d bytes were written to a full disk", large.Size())
	}
	large.Discard()
	_, err = s.Put(ctx, "c", "x", begun, decide)
	full(err)
	if n := files(t, dir); n != 1 {
		t.Fatalf("%d files are left, want 1", n)
	}
	if o, err := s.Head(ctx, "c", "x"); err != nil || o.Size != 6 {
		t.Fatal(o, err)
	}
	// Deleting must work, or a full disk would stay full.
	if err := s.Delete(ctx, "c", "x", decide); err != nil || files(t, dir) != 0 {
		t.Fatal(err, files(t, dir))
	}
	closed(t, s)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestOneProcess: a second opener is told what is wrong.
func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, disk.Options{Dir: dir})
	if _, err := disk.Open(disk.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("the second opener was told %v", err)
	}
	closed(t, s)
}
