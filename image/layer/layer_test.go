package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
)

// entry is one of an archive.
type entry struct {
	name, text, link string
	kind             byte
	uid              int
	mode             int64
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		if e.mode == 0 {
			e.mode = 0o755
		}
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.text)), Mode: e.mode, Uid: e.uid, Gid: e.uid}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func owners() layer.Owners {
	if os.Geteuid() == 0 {
		return layer.Owners{UID: 200000, GID: 300000, Size: 65536, Chown: true}
	}
	return layer.Owners{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Size: 1}
}

func newStore(t testing.TB) *layer.Store {
	t.Helper()
	return &layer.Store{Dir: filepath.Join(t.TempDir(), "store"), Owners: owners(), Clock: time.Now}
}

func idOf(plain []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(plain)) }

func opener(plain []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil }
}

func get(t testing.TB, s *layer.Store, plain []byte) *layer.Held {
	t.Helper()
	held, err := s.Get(context.Background(), idOf(plain), opener(plain))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(held.Release)
	return held
}

// MI-11: whatever an archive says, nothing is written outside of the folder that it is unpacked into.
func TestUnpackStaysInside(t *testing.T) {
	for name, entries := range map[string][]entry{
		"dots":                     {{name: "../evil", text: "x"}},
		"dots within":              {{name: "a/../../evil", text: "x"}},
		"through a link":           {{name: "link", kind: tar.TypeSymlink, link: ".."}, {name: "link/evil", text: "x"}},
		"through an absolute link": {{name: "link", kind: tar.TypeSymlink, link: "OUTSIDE"}, {name: "link/evil", text: "x"}},
		"through two links":        {{name: "d", kind: tar.TypeDir}, {name: "d/up", kind: tar.TypeSymlink, link: "../.."}, {name: "d/up/evil", text: "x"}},
		"hard link to dots":        {{name: "evil", kind: tar.TypeLink, link: "../secret"}},
		"hard link outside":        {{name: "evil", kind: tar.TypeLink, link: "OUTSIDE/secret"}},
		"hard link through a link": {{name: "link", kind: tar.TypeSymlink, link: "OUTSIDE"}, {name: "evil", kind: tar.TypeLink, link: "link/secret"}},
		"whiteout of the parent":   {{name: "a/.wh...", text: ""}},
		"whiteout of the folder":   {{name: ".wh..", text: ""}},
		"root as a link":           {{name: "/", kind: tar.TypeSymlink, link: "x"}},
		"into a file":              {{name: "f", text: "x"}, {name: "f/evil", text: "x"}},
		"folder over a link":       {{name: "link", kind: tar.TypeSymlink, link: "OUTSIDE"}, {name: "link", kind: tar.TypeDir}, {name: "link/../evil"}},
		"unknown kind":             {{name: "x", kind: 'Z'}},
	} {
		t.Run(name, func(t *testing.T) {
			outside := t.TempDir()
			if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(outside, "in")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			for i := range entries {
				entries[i].link = strings.ReplaceAll(entries[i].link, "OUTSIDE", outside)
			}
			root, err := os.OpenRoot(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			err = layer.Unpack(context.Background(), bytes.NewReader(archive(t, entries...)), root, layer.Unpacking{Owners: owners(), Layer: true})
			if resource.KindOf(err) != resource.Invalid {
				t.Errorf("error %v; want Invalid", err)
			}
			names, err := os.ReadDir(outside)
			if err != nil || len(names) != 2 {
				t.Errorf("outside there is %v (%v)", names, err)
			}
		})
	}
}

// Absolute names lie below the root, links lead where they say and are not followed, a link's place can be taken.
func TestUnpackKeepsInside(t *testing.T) {
	s := newStore(t)
	plain := archive(t, entry{name: "/abs", text: "x"}, entry{name: "l", kind: tar.TypeSymlink, link: "/etc"}, entry{name: "l", text: "file"},
		entry{name: "dev/null", kind: tar.TypeChar}, entry{name: "f", text: "1"}, entry{name: "f", text: "2"}, entry{name: "h", kind: tar.TypeLink, link: "/f"})
	held := get(t, s, plain)
	for name, want := range map[string]string{"abs": "x", "l": "file", "f": "2", "h": "2"} {
		if text, err := os.ReadFile(filepath.Join(held.Folder, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(held.Folder, "dev/null")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a device was made: %v", err)
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		bytes   int64
		entries int
		plain   []byte
	}{
		"bytes":   {bytes: 10, plain: archive(t, entry{name: "a", text: "123456"}, entry{name: "b", text: "123456"})},
		"entries": {entries: 2, plain: archive(t, entry{name: "a"}, entry{name: "b"}, entry{name: "c"})},
		"behind":  {bytes: 1, plain: append(archive(t, entry{name: "a"}), make([]byte, 66<<20)...)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.MaxBytes, s.MaxEntries = c.bytes, c.entries
			if _, err := s.Get(context.Background(), idOf(c.plain), opener(c.plain)); resource.KindOf(err) != resource.TooLarge {
				t.Errorf("error %v; want TooLarge", err)
			}
			if s.Has(idOf(c.plain)) {
				t.Error("a layer that is too large is kept")
			}
		})
	}
}

// What is damaged, or is not what it says, is not kept, and leaves nothing behind.
func TestDamagedLayer(t *testing.T) {
	plain := archive(t, entry{name: "a", text: strings.Repeat("x", 10000)})
	for name, got := range map[string][]byte{"other": archive(t, entry{name: "b"}), "cut off": plain[:5000], "more": append(slices.Clone(plain), 0)} {
		s := newStore(t)
		if _, err := s.Get(context.Background(), idOf(plain), opener(got)); resource.KindOf(err) != resource.Invalid {
			t.Errorf("%s: error %v; want Invalid", name, err)
		}
		if left, err := os.ReadDir(filepath.Join(s.Dir, "tmp")); err != nil || len(left) != 0 || s.Has(idOf(plain)) {
			t.Errorf("%s: left %v (%v)", name, left, err)
		}
	}
	if _, err := newStore(t).Get(context.Background(), "sha256:../../x", opener(plain)); resource.KindOf(err) != resource.Invalid {
		t.Errorf("a digest that is a path: %v", err)
	}
}

// Many that want one layer at once unpack it once.
func TestShared(t *testing.T) {
	s := newStore(t)
	plain := archive(t, entry{name: "a", text: "x"})
	var mu sync.Mutex
	opened := 0
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			held, err := s.Get(context.Background(), idOf(plain), func() (io.ReadCloser, error) {
				mu.Lock()
				opened++
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
				return opener(plain)()
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer held.Release()
			if text, err := os.ReadFile(filepath.Join(held.Folder, "a")); err != nil || string(text) != "x" {
				t.Errorf("%q %v", text, err)
			}
		})
	}
	group.Wait()
	if opened != 1 {
		t.Errorf("unpacked %d times", opened)
	}
}

func TestEvict(t *testing.T) {
	s := newStore(t)
	now := time.Now()
	s.Clock = func() time.Time { return now }
	used := get(t, s, archive(t, entry{name: "used"}))
	old := archive(t, entry{name: "old"})
	get(t, s, old).Release()
	now = now.Add(time.Hour)
	young := archive(t, entry{name: "young"})
	get(t, s, young).Release()
	if n, err := s.Evict(now.Add(-time.Minute), 0); n != 1 || err != nil {
		t.Errorf("evicted %d, %v; want the one that is old and not in use", n, err)
	}
	if s.Has(idOf(old)) || !s.Has(idOf(young)) {
		t.Error("the wrong layer was evicted")
	}
	if _, err := os.Stat(filepath.Join(used.Folder, "used")); err != nil {
		t.Errorf("a layer in use was evicted: %v", err)
	}
	get(t, s, old) // comes back
}

// Who takes a layer's lock before the one who got it lets go holds it on.
func TestHeldOn(t *testing.T) {
	s := newStore(t)
	plain := archive(t, entry{name: "a"})
	held, err := s.Get(context.Background(), idOf(plain), opener(plain))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(held.Lock())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(other.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	held.Release()
	future := time.Now().Add(time.Hour)
	if n, err := s.Evict(future, 0); n != 0 || err != nil {
		t.Errorf("evicted %d layers that are held (%v)", n, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Evict(future, 0); n != 1 || err != nil {
		t.Errorf("evicted %d layers that nobody holds (%v)", n, err)
	}
}

// A tree that is deeper than files can be open is removed, also where it is closed to its owner.
func TestRemoveDeepTree(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(t.TempDir(), "tree")
	path := top
	for i := range 150 { // two branches at each
		if err := os.MkdirAll(filepath.Join(path, "side", "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if path = filepath.Join(path, "d"); i%50 == 49 {
			if err := os.Mkdir(path+"closed", 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	few := limit
	few.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	if err := layer.RemoveTree(top); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Temporary folders of processes that are gone are removed, those in use are not.
func TestClean(t *testing.T) {
	s := newStore(t)
	mine, remove, err := s.Temp()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	dead := filepath.Join(s.Dir, "tmp", "tdead")
	if err := os.MkdirAll(filepath.Join(dead, "fs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("a folder in use is gone: %v", err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dead process's folder is still there: %v", err)
	}
}
