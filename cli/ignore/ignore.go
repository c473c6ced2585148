// Package ignore reads the files that say what of a folder stays behind, .amlignore and .gitignore, in git's rules. It
// owns the patterns; walking folders is its users' affair.
package ignore

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Rules are the patterns of one file, at the root of the folder that they are about. The zero value leaves nothing out. They
// may be used concurrently.
type Rules struct{ rules []rule }

type rule struct {
	pattern *regexp.Regexp
	negated bool // brings back what an earlier pattern left out
	folders bool // fits folders alone
}

// Parse reads the lines of a file. A line that is no pattern fits nothing, as with git.
func Parse(text string) Rules {
	var out Rules
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if r, ok := parseLine(strings.TrimRight(line, "\r\n")); ok {
			out.rules = append(out.rules, r)
		}
	}
	return out
}

// Excludes tells whether the file or folder at a path, with slashes and from the root on, is left out by the rules themselves. What
// lies in a folder that is left out is left out with it, whatever the rules say of it: who walks does not go in there.
func (r Rules) Excludes(path string, folder bool) bool {
	for i := len(r.rules) - 1; i >= 0; i-- { // the last one that fits decides
		if rule := r.rules[i]; (folder || !rule.folders) && rule.pattern.MatchString(path) {
			return !rule.negated
		}
	}
	return false
}

func parseLine(line string) (rule, bool) {
	line = withoutTrailingSpaces(line)
	if line == "" || line[0] == '#' || !utf8.ValidString(line) {
		return rule{}, false
	}
	var out rule
	if line[0] == '!' {
		out.negated, line = true, line[1:]
	}
	if strings.HasSuffix(line, "/") {
		out.folders, line = true, strings.TrimSuffix(line, "/")
	}
	if line == "" {
		return rule{}, false
	}
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	expression, ok := translate(line)
	if !ok {
		return rule{}, false
	}
	if !anchored {
		expression = `(?:.*/)?` + expression
	}
	pattern, err := regexp.Compile(`(?s)\A` + expression + `\z`)
	if err != nil {
		return rule{}, false
	}
	out.pattern = pattern
	return out, true
}

// withoutTrailingSpaces takes the spaces from the end, but for one after a backslash.
func withoutTrailingSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	slashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if slashes%2 == 1 && len(trimmed) < len(line) {
		return trimmed + " "
	}
	return trimmed
}

// translate turns a pattern into a regular expression; false when it is none.
func translate(pattern string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		rest := pattern[i:]
		start := i == 0 || pattern[i-1] == '/'
		switch {
		case start && strings.HasPrefix(rest, "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 3
		case start && i > 0 && rest == "**":
			b.WriteString(`.+`)
			i += 2
		case rest[0] == '*':
			b.WriteString(`[^/]*`)
			for i < len(pattern) && pattern[i] == '*' {
				i++
			}
		case rest[0] == '?':
			b.WriteString(`[^/]`)
			i++
		case rest[0] == '[':
			class, n, ok := class(rest)
			if !ok {
				return "", false
			}
			b.WriteString(class)
			i += n
		case rest[0] == '\\':
			if len(rest) == 1 {
				return "", false
			}
			_, n := utf8.DecodeRuneInString(rest[1:])
			b.WriteString(regexp.QuoteMeta(rest[1 : 1+n]))
			i += 1 + n
		default:
			_, n := utf8.DecodeRuneInString(rest)
			b.WriteString(regexp.QuoteMeta(rest[:n]))
			i += n
		}
	}
	return b.String(), true
}

// named are the classes of characters that have a name.
var named = regexp.MustCompile(`\A\[:(alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit):\]`)

// class reads a set of characters at the start of a text and gives how long it is.
func class(text string) (expression string, length int, ok bool) {
	var b strings.Builder
	b.WriteByte('[')
	i := 1
	if i < len(text) && (text[i] == '!' || text[i] == '^') {
		b.WriteString(`^/`)
		i++
	}
	for first := true; i < len(text); first = false {
		switch {
		case text[i] == ']' && !first:
			b.WriteByte(']')
			if !strings.HasPrefix(b.String(), "[^") {
				return `(?:` + b.String() + `)`, i + 1, true
			}
			return b.String(), i + 1, true
		case named.MatchString(text[i:]):
			name := named.FindString(text[i:])
			b.WriteString(name)
			i += len(name)
			continue
		case text[i] == '\\' && i+1 < len(text):
			i++
		case text[i] == '-' && !first && i+1 < len(text) && text[i+1] != ']':
			b.WriteByte('-') // a range
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		if strings.ContainsRune(`\[]^-&~`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		i += n
	}
	return "", 0, false
}
