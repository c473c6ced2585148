package ignore

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// excluded walks as the users do: what lies in a folder that is left out is left out.
func excluded(rules Rules, name string, folder bool) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if rules.Excludes(dir, true) {
			return true
		}
	}
	return rules.Excludes(name, folder)
}

var samples = []string{
	"*.pyc", "data/", "/data", "data/*.csv", "!data/keep.csv", "*.log\n!important.log", "__pycache__/", "**/cache", "cache/**", "a/**/b", "# comment\n\nx", `\#x`, `\!x`,
	"x ", `x\ `, "[a-c].txt", "[!a].txt", "[^a].txt", "?.txt", "*", "*\n!*.py", "*\n!*/\n!*.py", "/*\n!/src\n", "src/", "src", "*.txt\n!a.txt\n!/x/", "sub/a.txt", "/sub/a.txt",
	"**/", "**", "a**b", "[", "[]", "[]a]x", "[a-", `\`, "dir/sub/", "**/sub/*.txt", "!", "/", "x/", "[[:digit:]].txt", "*.[oa]", "a.txt/", "é*", "!a.txt\na.txt", "sub/**/a.txt", "**/x/**",
}

var names = []string{
	"a.txt", "b.txt", "z.txt", "1.txt", "x", "x ", "#x", "!x", "ab", "axb", "]x", "ax", "important.log", "debug.log", "main.py", "src/main.py", "src/lib/util.py", "src/main.pyc",
	"data/keep.csv", "data/drop.csv", "other/data/x.csv", "cache/a", "deep/cache/a", "a/b/c", "a/x/b", "a/x/y/b", "sub/a.txt", "sub/sub/a.txt", "dir/sub/a.txt", "x/a.txt", "y/x/a.txt",
	"pkg/__pycache__/m.pyc", "é.txt", "lib.o", "lib.a",
}

// git itself says which of the names each sample leaves out.
func TestRulesAreThoseOfGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not here to compare with")
	}
	dir := t.TempDir()
	git := func(stdin string, args ...string) string {
		command := exec.CommandContext(t.Context(), "git", args...)
		command.Dir = dir
		command.Stdin = strings.NewReader(stdin)
		command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME="+dir)
		out, err := command.Output()
		if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
			t.Fatalf("git %v: %v", args, err)
		}
		return string(out)
	}
	git("", "init", "-q", ".")
	for i, name := range names {
		if name == "x" || name == "axb" { // not a folder and a file at once
			continue
		}
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte{byte(i)}, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, sample := range samples {
		if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(sample+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		said := strings.Split(git(strings.Join(names, "\x00"), "check-ignore", "--no-index", "-z", "--stdin"), "\x00")
		left := map[string]bool{}
		for _, name := range said {
			left[name] = true
		}
		rules := Parse(sample + "\n")
		for _, name := range names {
			if name == "é.txt" && strings.ContainsAny(sample, "?[") {
				continue // git counts bytes there, not letters
			}
			info, err := os.Stat(filepath.Join(dir, name))
			if got := excluded(rules, name, err == nil && info.IsDir()); got != left[name] {
				t.Errorf("%q on %s: %v; git says %v", sample, name, got, left[name])
			}
		}
	}
}

func FuzzRules(f *testing.F) {
	for _, sample := range samples {
		f.Add(sample, "sub/a.txt")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		rules := Parse(text)
		first := rules.Excludes(name, false)
		if first != rules.Excludes(name, false) {
			t.Fatal("two answers to one question")
		}
		// A last rule that brings everything back does so, and one that leaves everything out does so.
		if Parse(text+"\n!*\n!**/*\n").Excludes(name, true) && !strings.Contains(name, "\n") && name != "" && !strings.HasSuffix(name, "/") {
			t.Fatalf("%q is left out of %q although a rule brings everything back", name, text)
		}
	})
}
