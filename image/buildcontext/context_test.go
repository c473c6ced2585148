package buildcontext_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/image/buildcontext"
	"github.com/alvara-ml/alvara/resource"
)

// packed is a context of files by name; a text that begins with > is a link, a name that ends with / a folder.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}
		if target, ok := strings.CutPrefix(files[i+1], ">"); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		}
		if strings.HasSuffix(h.Name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, files[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// MI-11: .dockerignore leaves files out as docker's does, and reads nothing outside of the context.
func TestIgnore(t *testing.T) {
	tree := []string{"Dockerfile", "FROM x", "a", "1", "d/", "", "d/b", "2", "d/keep", "3", "d/sub/", "", "d/sub/c.tmp", "4", "x.tmp", "5"}
	all := "Dockerfile a d d/b d/keep d/sub d/sub/c.tmp x.tmp"
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"none":                 {nil, all},
		"a file":               {[]string{".dockerignore", "a"}, ".dockerignore Dockerfile d d/b d/keep d/sub d/sub/c.tmp x.tmp"},
		"a folder":             {[]string{".dockerignore", "d"}, ".dockerignore Dockerfile a x.tmp"},
		"with an exception":    {[]string{".dockerignore", "d\n!d/keep"}, ".dockerignore Dockerfile a d d/keep x.tmp"},
		"every depth":          {[]string{".dockerignore", "**/*.tmp"}, ".dockerignore Dockerfile a d d/b d/keep d/sub"},
		"everything":           {[]string{".dockerignore", "*\n!a"}, "a"},
		"dots and slashes":     {[]string{".dockerignore", "/a\n./x.tmp\n../d\nd/../d/b"}, ".dockerignore Dockerfile d d/keep d/sub d/sub/c.tmp"},
		"the Dockerfile's own": {[]string{".dockerignore", "a", "Dockerfile.dockerignore", "d\n*.dockerignore\n.dockerignore"}, "Dockerfile a x.tmp"},
		"a link out":           {[]string{".dockerignore", ">/etc/hostname"}, ".dockerignore " + all},
		"a link in":            {[]string{".dockerignore", ">d/list", "d/list", "d\nx.tmp"}, ".dockerignore Dockerfile a"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			got, err := buildcontext.Open(context.Background(), bytes.NewReader(packed(t, append(slices.Clone(tree), c.files...)...)), folder, buildcontext.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if string(got.Dockerfile) != "FROM x" {
				t.Errorf("Dockerfile %q", got.Dockerfile)
			}
			var names []string
			if err := filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
				rel, _ := filepath.Rel(folder, name)
				if rel != "." {
					names = append(names, rel)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if strings.Join(names, " ") != c.want {
				t.Errorf("left is\n%s, not\n%s", strings.Join(names, " "), c.want)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		archive []byte
		options buildcontext.Options
		kind    resource.Kind
	}{
		"no Dockerfile":         {packed(t, "a", "1"), buildcontext.Options{}, resource.Invalid},
		"Dockerfile elsewhere":  {packed(t, "Dockerfile", ">/etc/passwd"), buildcontext.Options{}, resource.Invalid},
		"Dockerfile by dots":    {packed(t, "Dockerfile", "x"), buildcontext.Options{Dockerfile: "../../etc/passwd"}, resource.Invalid},
		"Dockerfile a folder":   {packed(t, "Dockerfile/", ""), buildcontext.Options{}, resource.Invalid},
		"folder elsewhere":      {packed(t, "Dockerfile", "x", "l", ">/tmp"), buildcontext.Options{Folder: "l"}, resource.Invalid},
		"folder that is a file": {packed(t, "Dockerfile", "x"), buildcontext.Options{Folder: "Dockerfile"}, resource.Invalid},
		"bad pattern":           {packed(t, "Dockerfile", "x", ".dockerignore", "[a"), buildcontext.Options{}, resource.Invalid},
		"no archive":            {[]byte("hello"), buildcontext.Options{}, resource.Invalid},
		"cut off":               {packed(t, "Dockerfile", strings.Repeat("x", 1000))[:60], buildcontext.Options{}, resource.Invalid},
		"xz":                    {[]byte("\xfd7zXZ\x00rest"), buildcontext.Options{}, resource.Unsupported},
		"zstd":                  {[]byte("\x28\xb5\x2f\xfdrest"), buildcontext.Options{}, resource.Unsupported},
		"too large":             {packed(t, "Dockerfile", strings.Repeat("x", 1000)), buildcontext.Options{MaxBytes: 999}, resource.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := buildcontext.Open(context.Background(), bytes.NewReader(c.archive), t.TempDir(), c.options)
			if err == nil {
				got.Close()
			}
			if resource.KindOf(err) != c.kind {
				t.Errorf("error %v; want the kind %d", err, c.kind)
			}
		})
	}
}

// A context within the archive is a folder of it, with its own Dockerfile and .dockerignore.
func TestFolder(t *testing.T) {
	archive := packed(t, "Dockerfile", "outer", "in/", "", "in/Dockerfile", "inner", "in/a", "1", "in/.dockerignore", "a")
	got, err := buildcontext.Open(context.Background(), bytes.NewReader(archive), t.TempDir(), buildcontext.Options{Folder: "in"})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if names, err := got.Names("."); err != nil || string(got.Dockerfile) != "inner" || strings.Join(names, " ") != ".dockerignore Dockerfile" {
		t.Errorf("%q %q %v", got.Dockerfile, names, err)
	}
}
