package spec

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// naiveGlob tries everything. The name is one string here, so nothing is shared with the real matcher.
func naiveGlob(pattern, name string, start bool) bool {
	if pattern == "" {
		return name == ""
	}
	if start {
		if pattern == "**" {
			return true
		}
		if rest, ok := strings.CutPrefix(pattern, "**/"); ok {
			if naiveGlob(rest, name, true) {
				return true
			}
			_, after, found := strings.Cut(name, "/")
			return found && naiveGlob(pattern, after, true)
		}
	}
	r, size := utf8.DecodeRuneInString(name)
	switch pattern[0] {
	case '*':
		return naiveGlob(pattern[1:], name, false) ||
			name != "" && r != '/' && naiveGlob(pattern, name[size:], false)
	case '?':
		return name != "" && r != '/' && naiveGlob(pattern[1:], name[size:], false)
	case '[':
		end := 2
		if pattern[1] == '!' || pattern[1] == '^' {
			end = 3
		}
		for pattern[end] != ']' {
			end++
		}
		return name != "" && r != '/' && naiveClass(pattern[1:end], r) && naiveGlob(pattern[end+1:], name[size:], false)
	}
	p, width := utf8.DecodeRuneInString(pattern)
	return name != "" && p == r && naiveGlob(pattern[width:], name[size:], p == '/')
}

// naiveClass lists the class's characters.
func naiveClass(class string, r rune) bool {
	body := []rune(strings.TrimLeft(class[:1], "!^") + class[1:])
	var members []rune
	for i := 0; i < len(body); i++ {
		if i+2 < len(body) && body[i+1] == '-' {
			for c := body[i]; c <= body[i+2]; c++ {
				members = append(members, c)
			}
			i += 2
			continue
		}
		members = append(members, body[i])
	}
	return strings.ContainsRune(string(members), r) != (class[0] == '!' || class[0] == '^')
}

// TestGlobAgainstNaive compares on small alphabets, where matches are frequent.
func TestGlobAgainstNaive(t *testing.T) {
	pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "/", "/", "*", "?", "**", "/**/", "**/", "/**", "[ab]", "[!a]", "[^b-c]", "[a-c]", "[]a]", "é", "-"}), 0, 8)
	name := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a", "b", "c", "/", "/", "é", "]", "-"}), 0, 10)
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		p, n := strings.Join(pattern.Draw(t, "pattern"), ""), strings.Join(name.Draw(t, "name"), "")
		want := naiveGlob(p, n, true)
		if got := MatchGlob(p, n); got != want {
			t.Fatalf("MatchGlob(%q, %q) is %v", p, n, got)
		}
		if want {
			matched++
			if !strings.HasPrefix(n, GlobPrefix(p)) {
				t.Fatalf("%q matches %q and does not start with %q", p, n, GlobPrefix(p))
			}
		}
	})
	if matched == 0 {
		t.Error("no pair matched; the comparison shows nothing")
	}
}

func TestGlob(t *testing.T) {
	cases := []struct {
		pattern, name string
		want          bool
	}{
		{"t/*.parquet", "t/a.parquet", true},
		{"t/*.parquet", "t/x/a.parquet", false},
		{"t/*.parquet", "t/.parquet", true},
		{"t/**/*.parquet", "t/a.parquet", true},
		{"t/**/*.parquet", "t/y=1/m=2/a.parquet", true},
		{"t/**", "t/a", true},
		{"t/**", "t", false},
		{"**", "a/b", true},
		{"t/200[0-9]/?", "t/2003/é", true},
		{"t/200[!0-9]", "t/2003", false},
		{"t/[*]", "t/*", true},
		{"t/[*]", "t/a", false},
		{"t/[", "t/[", false},
		{"[]]", "]", true},
		{"a[b/c]d", "a/d", false},
		{"A", "a", false},
		{strings.Repeat("*a", 500), strings.Repeat("a", 1000) + "b", false},
		{strings.Repeat("**/a/", 200) + "z", strings.Repeat("a/", 500) + "b", false},
	}
	for _, c := range cases {
		if got := MatchGlob(c.pattern, c.name); got != c.want {
			t.Errorf("MatchGlob(%.40q, %.40q) is %v", c.pattern, c.name, got)
		}
	}
	for pattern, want := range map[string]string{"": "", "a/b": "a/b", "a/b*": "a/b", "a/[x]": "a/", "**/x": "", "a?": "a"} {
		if got := GlobPrefix(pattern); got != want {
			t.Errorf("GlobPrefix(%q) is %q", pattern, got)
		}
	}
}
