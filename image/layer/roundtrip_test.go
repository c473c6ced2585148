package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/image/layer"
)

// model is a tree as the naive reading of layers has it: names and what is there. "dir" is a folder, "=text" a file,
// ">target" a link, each with its mode.
type model map[string]string

// apply reads a layer's archive the naive way: marks first, which remove what was there, then what is in it.
func (m model) apply(plain []byte) error {
	type item struct {
		name, what string
	}
	var items []item
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		base := path.Base(name)
		switch {
		case base == ".wh..wh..opq":
			m.remove(path.Dir(name), false)
		case strings.HasPrefix(base, ".wh."):
			m.remove(path.Join(path.Dir(name), strings.TrimPrefix(base, ".wh.")), true)
		case h.Typeflag == tar.TypeDir:
			items = append(items, item{name, fmt.Sprintf("dir %o %d", h.Mode, h.Uid)})
		case h.Typeflag == tar.TypeSymlink:
			items = append(items, item{name, ">" + h.Linkname})
		default:
			text, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			items = append(items, item{name, fmt.Sprintf("=%s %o %d", text, h.Mode, h.Uid)})
		}
	}
	for _, i := range items {
		if old, ok := m[i.name]; ok && (!strings.HasPrefix(old, "dir") || !strings.HasPrefix(i.what, "dir")) {
			m.remove(i.name, true)
		}
		m[i.name] = i.what
	}
	return nil
}

func (m model) remove(name string, itself bool) {
	for known := range m {
		if strings.HasPrefix(known, name+"/") || known == name && itself {
			delete(m, known)
		}
	}
}

// look reads a tree into a model.
func look(t *rapid.T, tree layer.Tree, name string, into model) {
	names, err := tree.Names(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range names {
		child := path.Join(name, base)
		info, err := tree.Lstat(child)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case info.IsDir():
			into[child] = fmt.Sprintf("dir %o %d", info.Mode.Perm(), info.UID)
			look(t, tree, child, into)
		case info.Type&fs.ModeSymlink != 0:
			into[child] = ">" + info.Link
		default:
			text, err := layer.ReadFile(tree, child, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			into[child] = fmt.Sprintf("=%s %o %d", text, info.Mode.Perm(), info.UID)
		}
	}
}

// Random layers on top of each other: the stack shows what a naive reading of the archives gives, a layer that is packed
// from changes and read again is the same, and packing twice gives the same bytes.
func TestLayersAgainstModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		place, err := os.MkdirTemp(dir, "case")
		if err != nil {
			t.Fatal(err)
		}
		defer layer.RemoveTree(place)
		s := &layer.Store{Dir: place, Owners: owners(), Clock: time.Now}
		want := model{}
		var folders []string
		for range rapid.IntRange(1, 4).Draw(t, "layers") {
			upper, _, remove, err := s.Fresh()
			if err != nil {
				t.Fatal(err)
			}
			defer remove()
			change(t, s, upper, folders)
			var first bytes.Buffer
			made, err := s.Keep(context.Background(), upper, &first, layer.Packing{Clamp: time.Unix(0, 0)})
			if err != nil {
				t.Fatal(err)
			}
			plain := unzip(t, first.Bytes())
			if err := want.apply(plain); err != nil {
				t.Fatal(err)
			}
			if idOf(plain) != made.DiffID || idOf(first.Bytes()) != made.Digest {
				t.Fatal("digests are not those of the archive")
			}
			// Unpacked from its archive, the layer is the same.
			other := &layer.Store{Dir: path.Join(place, fmt.Sprint("other", len(folders))), Owners: owners(), Clock: time.Now}
			held, err := other.Get(context.Background(), made.DiffID, opener(plain))
			if err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(held.Folder)
			if err != nil {
				t.Fatal(err)
			}
			var again bytes.Buffer
			if _, err := layer.Pack(context.Background(), &again, root, layer.Packing{Owners: owners(), Clamp: time.Unix(0, 0)}); err != nil {
				t.Fatal(err)
			}
			_ = root.Close()
			if !bytes.Equal(plain, again.Bytes()) {
				t.Fatal("a layer that was unpacked packs to other bytes")
			}
			folders = append(folders, held.Folder)
			held.Release()
		}
		stack, err := layer.OpenStack(owners(), folders)
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Close()
		got := model{}
		look(t, stack, ".", got)
		if !maps.Equal(got, want) {
			t.Fatalf("the stack shows\n%v\nthe archives say\n%v", sorted(got), sorted(want))
		}
	})
}

func sorted(m model) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, name+" "+m[name])
	}
	return strings.Join(lines, "\n")
}

var names = rapid.SampledFrom([]string{"a", "b", "a/c", "a/d", "b/c", "a/c/e", "a/c/f", "b/c/e"})

// change makes random changes on top of layers, of those that make sense.
func change(t *rapid.T, s *layer.Store, upper string, below []string) {
	c, err := layer.Begin(s.Owners, upper, below)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	touched := map[string]bool{}
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		name := names.Draw(t, "name")
		if touched[name] || !parentIsFolder(c.Tree(), name) {
			continue
		}
		touched[name] = true
		info, err := c.Tree().Lstat(name)
		there := err == nil
		a := layer.Attributes{Mode: rapid.SampledFrom([]fs.FileMode{0o755, 0o644, 0o600}).Draw(t, "mode"), UID: rapid.SampledFrom([]int{0, 7, 1000}).Draw(t, "uid")}
		switch what := rapid.SampledFrom([]string{"file", "folder", "link", "remove", "replace"}).Draw(t, "what"); {
		case what == "remove" && there && !inUpper(upper, name):
			err = c.Remove(name)
		case what == "replace" && there && info.IsDir() && !inUpper(upper, name):
			if err = c.Remove(name); err == nil {
				err = c.Folder(name, layer.Attributes{Mode: 0o755})
			}
		case what == "file" && (!there || !info.IsDir()):
			err = c.File(name, strings.NewReader(rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "text")), a)
		case what == "link" && (!there || !info.IsDir()):
			err = c.Link(name, "a", layer.Attributes{})
		case what == "folder" && (!there || info.IsDir()):
			a.Mode |= 0o700
			err = c.Fit(name, a)
		default:
			continue
		}
		if err != nil && !there && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func inUpper(upper, name string) bool {
	_, err := os.Lstat(path.Join(upper, name))
	return err == nil
}

func parentIsFolder(t layer.Tree, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := t.Lstat(dir); err == nil && !info.IsDir() {
			return false
		}
	}
	return true
}
