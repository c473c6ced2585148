package condition

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// unquote gives the value of a text between quotes. A backslash stands before a quote that belongs to the value, and
// nowhere else means anything here: StringLike reads it itself.
func unquote(quoted string) string {
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\'`, `'`)
}

func same(a, b rune, fold bool) bool {
	return a == b || fold && unicode.ToLower(unicode.ToUpper(a)) == unicode.ToLower(unicode.ToUpper(b))
}

func equalText(left, right string, fold bool) bool {
	if !fold {
		return left == right
	}
	rest, ok := cutStart(left, right, true)
	return ok && rest == ""
}

func startsWith(left, right string, fold bool) bool {
	if !fold {
		return strings.HasPrefix(left, right)
	}
	_, ok := cutStart(left, right, true)
	return ok
}

// cutStart takes the start off a text, character by character, because letters of both cases may differ in length.
func cutStart(text, start string, fold bool) (rest string, ok bool) {
	for start != "" {
		a, n := utf8.DecodeRuneInString(start)
		b, m := utf8.DecodeRuneInString(text)
		if m == 0 || !same(a, b, fold) {
			return text, false
		}
		start, text = start[n:], text[m:]
	}
	return text, true
}

// like compares with a pattern: '*' is any text, '?' any one character, and a backslash takes their meaning away. It goes
// back to the latest star only, which is enough because the earliest fit leaves the most room.
func like(text, pattern string, fold bool) bool {
	retryText, retryPattern := "", ""
	starred := false
	for {
		if pattern != "" && text != "" && pattern[0] == text[0] && pattern[0] < utf8.RuneSelf && pattern[0] != '*' && pattern[0] != '?' && pattern[0] != '\\' {
			pattern, text = pattern[1:], text[1:]
			continue
		}
		kind, r, size := patternRune(pattern)
		if kind == starRune {
			pattern = pattern[size:]
			starred, retryText, retryPattern = true, text, pattern
			continue
		}
		c, n := utf8.DecodeRuneInString(text)
		switch {
		case kind == endRune && n == 0:
			return true
		case kind == anyRune && n > 0, kind == plainRune && n > 0 && same(r, c, fold):
			pattern, text = pattern[size:], text[n:]
			continue
		case !starred || retryText == "":
			return false
		}
		_, n = utf8.DecodeRuneInString(retryText)
		retryText = retryText[n:]
		text, pattern = retryText, retryPattern
	}
}

type runeKind uint8

const (
	endRune runeKind = iota
	plainRune
	anyRune
	starRune
)

// patternRune reads the first character of a pattern.
func patternRune(pattern string) (kind runeKind, r rune, size int) {
	r, size = utf8.DecodeRuneInString(pattern)
	switch {
	case size == 0:
		return endRune, 0, 0
	case r == '*':
		return starRune, r, size
	case r == '?':
		return anyRune, r, size
	case r == '\\' && len(pattern) > 1 && (pattern[1] == '*' || pattern[1] == '?' || pattern[1] == '\\'):
		return plainRune, rune(pattern[1]), 2
	}
	return plainRune, r, size
}
