package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func pathsOf(c *localContent) []string {
	var out []string
	for _, f := range c.files {
		out = append(out, f.path)
	}
	return out
}

// The same files have the same hash wherever and whenever they are; every change of a name, a content or the number of files has another.
func TestHashesOfFoldersAreThoseOfTheirContent(t *testing.T) {
	files := map[string]string{"train.py": "print(1)", "lib/a.py": "a", "lib/b.py": "b"}
	hash := func(files map[string]string) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "src")
		writeTree(t, dir, files)
		content, err := openLocal("code", dir, ignoredInCode)
		if err != nil {
			t.Fatal(err)
		}
		return content.hash
	}
	first := hash(files)
	if again := hash(files); again != first || len(first) != 64 {
		t.Errorf("%s and %s", first, again)
	}
	// Written down, so that folders that were uploaded by an older program are found again.
	if want := "d4ef9b7cfa7c93b36b51b89567eac0dff6e4fa1da5b09be7b594fe8c443bc5bd"; first != want {
		t.Errorf("the hash is %s; want %s", first, want)
	}
	for what, other := range map[string]map[string]string{
		"another content":     {"train.py": "print(2)", "lib/a.py": "a", "lib/b.py": "b"},
		"another name":        {"main.py": "print(1)", "lib/a.py": "a", "lib/b.py": "b"},
		"one more":            {"train.py": "print(1)", "lib/a.py": "a", "lib/b.py": "b", "c": ""},
		"one less":            {"train.py": "print(1)", "lib/a.py": "a"},
		"contents exchanged":  {"train.py": "print(1)", "lib/a.py": "b", "lib/b.py": "a"},
		"moved to the folder": {"train.py": "print(1)", "a.py": "a", "b.py": "b"},
	} {
		if hash(other) == first {
			t.Errorf("%s has the same hash", what)
		}
	}
	// Another order of being written, another time and another mode are the same content.
	dir := t.TempDir()
	for _, name := range []string{"lib/b.py", "lib/a.py", "train.py"} {
		writeTree(t, dir, map[string]string{name: files[name]})
		if err := os.Chtimes(filepath.Join(dir, name), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "train.py"), 0o755); err != nil {
		t.Fatal(err)
	}
	content, err := openLocal("code", dir, ignoredInCode)
	if err != nil || content.hash != first {
		t.Errorf("%v, %v", content, err)
	}
}

func TestFoldersAreReadWithoutWhatIsIgnored(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		rules func(string) (skipping, error)
		want  string
	}{
		{"no rules", map[string]string{"a": "", "b/c": "", ".git/config": "", "x/.git/config": ""}, ignoredInCode, "a b/c"},
		{"gitignore", map[string]string{".gitignore": "*.pyc\ndata/", "a.py": "", "a.pyc": "", "data/x": ""}, ignoredInCode, ".gitignore a.py"},
		{"amlignore wins", map[string]string{".gitignore": "*.py", ".amlignore": "*.pyc", "a.py": "", "a.pyc": ""}, ignoredInCode, ".amlignore .gitignore a.py"},
		{"brought back", map[string]string{".amlignore": "logs/*\n!logs/keep", "logs/a": "", "logs/keep": ""}, ignoredInCode, ".amlignore logs/keep"},
		{"history brought back", map[string]string{".amlignore": "!.git/", ".git/config": ""}, ignoredInCode, ".amlignore .git/config"},
		{"dockerignore", map[string]string{".dockerignore": "*\n!app", "app/x": "", "other": "", "Dockerfile": "FROM scratch", ".gitignore": "app"},
			func(root string) (skipping, error) { return ignoredInBuilds(root, "Dockerfile") }, ".dockerignore Dockerfile app/x"},
		{"a Dockerfile below", map[string]string{".dockerignore": "docker", "docker/Dockerfile": "", "docker/other": "", "a": ""},
			func(root string) (skipping, error) { return ignoredInBuilds(root, "./docker/Dockerfile") }, ".dockerignore a docker/Dockerfile"},
		{"everything", map[string]string{".gitignore": "*", "a": ""}, nil, ".gitignore a"},
	} {
		dir := t.TempDir()
		writeTree(t, dir, c.files)
		content, err := openLocal("code", dir, c.rules)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := strings.Join(pathsOf(content), " "); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

func TestFoldersThatCannotGoAlong(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"all/.amlignore": "*", "file": "x", "deep/a": "a", "links/a": "a", "loop/a": "a"})
	if err := os.Symlink(filepath.Join(dir, "deep"), filepath.Join(dir, "links", "down")); err != nil {
		t.Skip("there are no links here")
	}
	if err := os.Symlink(filepath.Join(dir, "loop"), filepath.Join(dir, "loop", "again")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"all": "no files that would go along", "nosuch": "there is no", "loop": "leads to a folder that it lies in"} {
		if got, err := openLocal("code", filepath.Join(dir, name), ignoredInCode); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, %v", name, got, err)
		}
	}
	// Links are followed, and one that leads nowhere may stay behind.
	if err := os.Symlink("nowhere", filepath.Join(dir, "links", "left")); err != nil {
		t.Fatal(err)
	}
	writeTree(t, dir, map[string]string{"links/.amlignore": "left"})
	content, err := openLocal("code", filepath.Join(dir, "links"), ignoredInCode)
	if err != nil || !slices.Equal(pathsOf(content), []string{".amlignore", "a", "down/a"}) {
		t.Errorf("%v, %v", content, err)
	}
	content, err = openLocal("data", filepath.Join(dir, "file"), ignoredInCode)
	if err != nil || content.folder || content.name != "file" || content.size != 1 || !slices.Equal(pathsOf(content), []string{"file"}) {
		t.Errorf("%v, %v", content, err)
	}
	if !content.files[0].same() {
		t.Error("a file that nobody changed has changed")
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("xy"), 0o644); err != nil {
		t.Fatal(err)
	}
	if content.files[0].same() {
		t.Error("a file that was changed is the same")
	}
}
