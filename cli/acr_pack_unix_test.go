//go:build unix

package cli

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
)

// Links stay links wherever they lead, what they lead to stays outside, and what is no file is named and left out.
func TestPackingKeepsLinksAndSkipsSockets(t *testing.T) {
	secret := folder(t, map[string]string{"key": "secret"})
	dir := folder(t, map[string]string{"Dockerfile": "FROM x", "in": "-> Dockerfile", "out": "-> " + secret + "/key", "outdir": "-> " + secret, "up": "-> ../..", "broken": "-> nowhere"})
	if err := os.Chmod(filepath.Join(dir, "Dockerfile"), 0o750); err != nil {
		t.Fatal(err)
	}
	// A socket's name is limited to 108 bytes: bound by a short name.
	short, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	listener, err := net.Listen("unix", filepath.Join(short, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Rename(filepath.Join(short, "s"), filepath.Join(dir, "socket")); err != nil {
		t.Skip("the folders are on two file systems: ", err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := openContext(dir, "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, content := packed(t, pack(t, b))
	want := map[string]string{"Dockerfile": "FROM x", "in": "-> Dockerfile", "out": "-> " + secret + "/key", "outdir": "-> " + secret, "up": "-> ../..", "broken": "-> nowhere"}
	if !reflect.DeepEqual(content, want) {
		t.Errorf("packed %q, want %q", content, want)
	}
	if !slices.Equal(b.Skipped, []string{"pipe", "socket"}) {
		t.Errorf("skipped %q", b.Skipped)
	}
}
