package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// folder makes files from a table of names and contents; a content "-> x" is a link to x, a name that ends in a slash a folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, file)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(file, 0o755)
		} else {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pack(t *testing.T, b *buildContext) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := b.write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packed reads an archive back: contents of files, "-> x" for links, "" for folders.
func packed(t *testing.T, text []byte) (names []string, content map[string]string) {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(unzipped)
	content = map[string]string{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names, content
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		content[header.Name] = string(body)
		if header.Typeflag == tar.TypeSymlink {
			content[header.Name] = "-> " + header.Linkname
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Gname != "" {
			t.Errorf("%s tells who packed it: %+v", header.Name, header)
		}
	}
}

func TestPackingHonoursDockerignore(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		file  string
		want  []string
	}{
		"without an ignore file": {
			map[string]string{"Dockerfile": "", "a": "", "d/b": "", "empty/": "", ".git/HEAD": "", "d/.git/HEAD": "", ".hidden": ""}, "Dockerfile",
			[]string{".hidden", "Dockerfile", "a", "d/", "d/b", "empty/"}},
		"patterns and exceptions": {
			map[string]string{"Dockerfile": "", ".dockerignore": "# no data\n*.log\ndata\n!data/keep\n**/tmp\n/x.txt\n", "a.log": "", "d/a.log": "", "data/big": "", "data/keep/k": "", "q/tmp/t": "", "x.txt": "", "d/x.txt": ""}, "Dockerfile",
			[]string{".dockerignore", "Dockerfile", "d/", "d/a.log", "d/x.txt", "data/", "data/keep/", "data/keep/k", "q/"}},
		"everything but one file deep below": {
			map[string]string{"Dockerfile": "", ".dockerignore": "*\n!**/wanted\n", "a/b/wanted": "", "a/other": "", "c/d": ""}, "Dockerfile",
			[]string{".dockerignore", "Dockerfile", "a/", "a/b/", "a/b/wanted"}},
		"Dockerfile and ignore file always come along": {
			map[string]string{"docker/Dockerfile": "", "docker/x": "", ".dockerignore": "docker\n.dockerignore\n", "a": ""}, "docker/Dockerfile",
			[]string{".dockerignore", "a", "docker/", "docker/Dockerfile"}},
		"an ignore file of the Dockerfile's own": {
			map[string]string{"docker/b.Dockerfile": "", "docker/b.Dockerfile.dockerignore": "a\n", ".dockerignore": "b\n", "a": "", "b": ""}, "docker/b.Dockerfile",
			[]string{".dockerignore", "b", "docker/", "docker/b.Dockerfile", "docker/b.Dockerfile.dockerignore"}},
		"history brought back": {
			map[string]string{"Dockerfile": "", ".dockerignore": "!.git\n", ".git/HEAD": ""}, "Dockerfile",
			[]string{".dockerignore", ".git/", ".git/HEAD", "Dockerfile"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := openContext(folder(t, c.files), c.file)
			if err != nil {
				t.Fatal(err)
			}
			names, _ := packed(t, pack(t, b))
			if !slices.Equal(names, c.want) {
				t.Errorf("packed %q, want %q", names, c.want)
			}
			if b.dockerfile != c.file {
				t.Errorf("the Dockerfile is %s, want %s", b.dockerfile, c.file)
			}
		})
	}
}

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

// The same folder gives the same bytes, whoever packs it.
func TestPackingIsReproducible(t *testing.T) {
	files := map[string]string{"Dockerfile": "FROM x", "b": "1", "a/c": "2", "a/d": "-> c"}
	var archives [][]byte
	for range 2 {
		dir := folder(t, files)
		at := time.Date(2025, 1, 2, 3, 4, 5, 600, time.UTC)
		for name := range files {
			if name != "a/d" {
				if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.Chtimes(filepath.Join(dir, "a"), at, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "a/d")); err != nil { // a link's time cannot be set everywhere
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, "a"), at, at); err != nil {
			t.Fatal(err)
		}
		b, err := openContext(dir, "Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, pack(t, b))
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same files differ")
	}
}

// A Dockerfile from elsewhere comes along under a name that no COPY brings into an image.
func TestDockerfileOutsideOfTheFolder(t *testing.T) {
	elsewhere := folder(t, map[string]string{"Dockerfile.prod": "FROM prod"})
	for name, c := range map[string]struct {
		files map[string]string
		given string
	}{
		"an absolute path":         {map[string]string{"a": "1", ".dockerignore": "b\n", "b": "2"}, filepath.Join(elsewhere, "Dockerfile.prod")},
		"a link out of the folder": {map[string]string{"a": "1", ".dockerignore": "b\n", "b": "2", "Dockerfile": "-> " + filepath.Join(elsewhere, "Dockerfile.prod")}, "Dockerfile"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := openContext(folder(t, c.files), c.given)
			if err != nil {
				t.Fatal(err)
			}
			names, content := packed(t, pack(t, b))
			if content[b.dockerfile] != "FROM prod" || !strings.HasPrefix(b.dockerfile, ".dockerfile.") {
				t.Errorf("the Dockerfile is %s among %q", b.dockerfile, names)
			}
			rules := strings.Fields(content[b.dockerfile+".dockerignore"])
			if !slices.Equal(rules, []string{"b", b.dockerfile, b.dockerfile + ".dockerignore"}) {
				t.Errorf("the ignore file has %q", rules)
			}
			if _, has := content["b"]; has || content["a"] != "1" {
				t.Errorf("packed %q", names)
			}
		})
	}
	t.Run("the current folder", func(t *testing.T) {
		t.Chdir(elsewhere)
		b, err := openContext(folder(t, map[string]string{"a": "1"}), "Dockerfile.prod")
		if err != nil {
			t.Fatal(err)
		}
		if _, content := packed(t, pack(t, b)); content[b.dockerfile] != "FROM prod" {
			t.Errorf("packed %q", content)
		}
	})
}

func TestFoldersThatCannotBePacked(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		file  string
		want  string
	}{
		"no Dockerfile":          {map[string]string{"a": ""}, "Dockerfile", "there is no Dockerfile Dockerfile"},
		"a folder as Dockerfile": {map[string]string{"d/a": ""}, "d", "is no file"},
		"a pattern that is none": {map[string]string{"Dockerfile": "", ".dockerignore": "a[\n"}, "Dockerfile", ".dockerignore"},
	} {
		if _, err := openContext(folder(t, c.files), c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openContext(filepath.Join(t.TempDir(), "nosuch"), "Dockerfile"); err == nil {
		t.Error("a folder that is not there was opened")
	}
}
