package spec

import (
	"strings"
	"unicode/utf8"
)

// MatchGlob tells whether a name matches a pattern. Both are paths with slashes:
//
//   - any characters within one segment
//     ?      one character within one segment
//     [abc]  one of these; [a-z] a range; [!…] or [^…] any other; never a slash
//     **     as a whole segment: any number of segments, at the pattern's end at least one
//
// Everything else stands for itself; [*] is a literal star. A malformed pattern matches nothing.
func MatchGlob(pattern, name string) bool {
	if checkGlob(pattern) != "" {
		return false
	}
	return matchSegments(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

// GlobPrefix is the longest start of the pattern that is literal: every name that matches starts with it.
func GlobPrefix(pattern string) string {
	if i := strings.IndexAny(pattern, "*?["); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// IsGlob tells whether the path holds a wildcard.
func IsGlob(path string) bool { return strings.ContainsAny(path, "*?[") }

// matchSegments goes back to the last ** only: any segments that an earlier one could take, the last one can take too.
func matchSegments(pattern, name []string) bool {
	p, n := 0, 0
	star, mark := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, mark = p, n
			p++
			if p == len(pattern) {
				return true // at least one segment is left
			}
		case p < len(pattern) && matchSegment(pattern[p], name[n]):
			p, n = p+1, n+1
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern)-1 && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

// matchSegment matches within one segment, going back to the last star only.
func matchSegment(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0
	for n < len(name) {
		r, size := utf8.DecodeRuneInString(name[n:])
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, n
			p++
			continue
		}
		if p < len(pattern) {
			if width, ok := matchOne(pattern[p:], name[n:n+size], r); ok {
				p, n = p+width, n+size
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, skipped := utf8.DecodeRuneInString(name[mark:])
		mark += skipped
		p, n = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one character of the name and gives the width of the pattern's element.
func matchOne(pattern, char string, r rune) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		end := classEnd(pattern)
		return end + 1, matchClass(pattern[1:end], r)
	}
	_, width := utf8.DecodeRuneInString(pattern)
	return width, pattern[:width] == char
}

// classEnd is the index of the bracket that closes the class at the pattern's start, or -1. A bracket that comes first
// in the class stands for itself.
func classEnd(pattern string) int {
	i := 1
	if i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^') {
		i++
	}
	if i < len(pattern) && pattern[i] == ']' {
		i++
	}
	if at := strings.IndexByte(pattern[min(i, len(pattern)):], ']'); at >= 0 {
		return i + at
	}
	return -1
}

func matchClass(class string, r rune) bool {
	negated := class[0] == '!' || class[0] == '^'
	if negated {
		class = class[1:]
	}
	matched := false
	for class != "" {
		low, width := utf8.DecodeRuneInString(class)
		class = class[width:]
		high := low
		if len(class) > 1 && class[0] == '-' {
			high, width = utf8.DecodeRuneInString(class[1:])
			class = class[1+width:]
		}
		matched = matched || low <= r && r <= high
	}
	return matched != negated
}

// checkGlob says what is wrong with a pattern, "" when nothing is.
func checkGlob(pattern string) string {
	if strings.ContainsAny(pattern, "{}") {
		return "alternatives in braces are not supported; use *, ?, [abc] or **"
	}
	for _, segment := range strings.Split(pattern, "/") {
		for i := 0; i < len(segment); i++ {
			if segment[i] != '[' {
				continue
			}
			end := classEnd(segment[i:])
			if end < 0 {
				return "a '[' has no ']' in its segment"
			}
			i += end
		}
	}
	return ""
}
