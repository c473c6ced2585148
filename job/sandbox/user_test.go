//go:build linux

package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

func TestUser(t *testing.T) {
	needRoot(t)
	for name, want := range map[string]string{
		"": "0:0 []", "root": "0:0 []", "0": "0:0 []",
		"ann": "1000:1001 [10 50]", "1000": "1000:1001 [10 50]",
		"ann:staff": "1000:50 []", "ann:7": "1000:7 []", "1000:7": "1000:7 []", "4000": "4000:0 []", "4000:4001": "4000:4001 []",
		"65535:65535": "65535:65535 []",
	} {
		spec := box(t, "id")
		spec.User = name
		if got := succeed(t, spec); got != want {
			t.Errorf("%q is %q, not %q", name, got, want)
		}
	}
	spec := box(t, "env")
	spec.User, spec.Env = "ann", []string{"PATH=/bin"}
	if got := succeed(t, spec); got != "PATH=/bin\nHOME=/home/ann" {
		t.Error(got)
	}
}

func TestUserThatIsNot(t *testing.T) {
	names := []string{"bob", "ann:bobs", "65536", "0:65536", "-1", "1000:-1", "99999999999"}
	if os.Geteuid() != 0 {
		names = []string{"bob", "ann", "1", "0:1"}
	}
	for _, name := range names {
		spec := box(t, "id")
		spec.User = name
		_, err := Run(context.Background(), spec)
		if e, ok := resource.AsError(err); !ok || e.Kind != resource.Invalid || e.Target != "User" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Accounts are read as somebody inside sees them: a link does not lead to the host's, and a pipe is not waited for.
func TestAccountsStayInside(t *testing.T) {
	spec := box(t)
	outside := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(outside, []byte("ghost:x:7:8::/:/bin/sh\n"), 0o644))
	passwd := filepath.Join(spec.Root, "etc/passwd")
	read := func() string {
		content, err := readInside(spec.Root, "/etc/passwd")
		must(t, err)
		return string(content)
	}
	for _, target := range []string{outside, "../../../../../../../../" + outside, "/proc/self/environ", "passwd"} {
		must(t, os.Remove(passwd))
		must(t, os.Symlink(target, passwd))
		if got := read(); got != "" {
			t.Errorf("a link to %s gave %q", target, got)
		}
	}
	must(t, os.WriteFile(filepath.Join(spec.Root, "real"), []byte("inside"), 0o644))
	must(t, os.Remove(passwd))
	must(t, os.Symlink("/real", passwd))
	if got := read(); got != "inside" {
		t.Errorf("a link inside gave %q", got)
	}
	must(t, os.Remove(passwd))
	must(t, unix.Mkfifo(passwd, 0o600))
	if got := read(); got != "" {
		t.Errorf("a pipe gave %q", got)
	}
	must(t, os.Remove(passwd))
	must(t, os.WriteFile(passwd, nil, 0o644))
	must(t, os.Truncate(passwd, accountFileMax+1))
	if _, err := readInside(spec.Root, "/etc/passwd"); err == nil {
		t.Error("a huge file was read")
	}
}

func TestMap(t *testing.T) {
	m := Map()
	if id, ok := m.UID(0); !ok || os.Geteuid() == 0 && id != FirstID || os.Geteuid() != 0 && id != uint32(os.Geteuid()) {
		t.Errorf("%d %v", id, ok)
	}
	if _, ok := m.GID(m.Size); ok {
		t.Error("an id beyond the last")
	}
}
