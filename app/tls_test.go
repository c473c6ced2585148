package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/identity"
)

// The bundle that clients trust stays the same file over restarts, so that whoever has it open keeps it; one that is not what it
// should be is written anew.
func TestBundleStays(t *testing.T) {
	dir := t.TempDir()
	sealer, err := identity.OpenSealer(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tls", "bundle.pem")
	start := func() os.FileInfo {
		t.Helper()
		if _, err := openAuthority(filepath.Join(dir, "tls"), sealer, time.Now, []string{"localhost"}, nil); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := start()
	// Another link keeps the first file's inode from being given to another one.
	if err := os.Link(path, filepath.Join(dir, "first")); err != nil {
		t.Fatal(err)
	}
	if second := start(); !os.SameFile(first, second) {
		t.Error("a restart has put another file in the place of the bundle")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third := start(); third.Size() != first.Size() {
		t.Errorf("a bundle of %d bytes was left in the place of one of %d", third.Size(), first.Size())
	}
}
