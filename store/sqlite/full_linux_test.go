package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/sqlite"
)

// A full disk refuses changes with its reason, and keeps what was acknowledged.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a small file system can be mounted by root only")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("no small file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(folder, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(ctx) }() // the disk is full
	body := []byte(`"` + strings.Repeat("x", 50_000) + `"`)
	kept := 0
	for i := range 1000 {
		if _, err = s.Apply(ctx, store.Put{Key: fmt.Sprintf("/k/%d", i), Kind: "k", Body: body}); err != nil {
			break
		}
		kept++
	}
	if resource.KindOf(err) != resource.Unavailable {
		t.Fatalf("after %d documents: %v", kept, err)
	}
	for i := range kept {
		if _, err := s.Get(ctx, fmt.Sprintf("/k/%d", i)); err != nil {
			t.Errorf("document %d of %d: %v", i, kept, err)
		}
	}
}
