package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/patternmatcher"
	"pgregory.net/rapid"
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

// Whatever the patterns, a file is packed exactly when the patterns do not leave it out, and so are the folders above it.
func TestPackingAgreesWithThePatterns(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c.log", "tmp"})
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "pack")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		files := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(t, "files") {
			file := strings.Join(rapid.SliceOfN(names, 1, 3).Draw(t, "path"), "/")
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o755); err != nil {
				continue // a file stands where a folder would
			}
			if os.WriteFile(filepath.Join(dir, file), nil, 0o644) == nil {
				files[file] = true
			}
		}
		var rules []string
		pattern := rapid.SampledFrom([]string{"a", "b", "*.log", "**/tmp", "*", "a/b", "**/a", "tmp/*", "b/**"})
		for range rapid.IntRange(0, 4).Draw(t, "patterns") {
			rules = append(rules, rapid.SampledFrom([]string{"", "!"}).Draw(t, "sign")+pattern.Draw(t, "pattern"))
		}
		for file, text := range map[string]string{"Dockerfile": "", ".dockerignore": strings.Join(rules, "\n")} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		matcher, err := patternmatcher.New(rules)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{"Dockerfile": true, ".dockerignore": true}
		for file := range files {
			// As BuildKit decides: part by part, each knowing what its parent matched.
			ignored, above, at := false, patternmatcher.MatchInfo{}, ""
			for part := range strings.SplitSeq(file, "/") {
				at = path.Join(at, part)
				if ignored, above, err = matcher.MatchesUsingParentResults(at, above); err != nil {
					t.Fatal(err)
				}
			}
			if !ignored {
				want[file] = true
			}
		}
		b, err := openContext(dir, "Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := b.write(&out); err != nil {
			t.Fatal(err)
		}
		unzipped, err := gzip.NewReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		got, folders := map[string]bool{}, map[string]bool{".": true}
		for archive := tar.NewReader(unzipped); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(header.Name, "/")
			if !folders[path.Dir(name)] {
				t.Errorf("%s comes before the folder that it is in", name)
			}
			if header.Typeflag == tar.TypeDir {
				folders[name] = true
			} else {
				got[name] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("with %q the files %v are packed as %v, want %v", rules, files, got, want)
		}
	})
}
