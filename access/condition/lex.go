package condition

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says why a text is no condition, and where: line and column count from 1, the column in characters.
type Error struct {
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("column %d: %s", e.Column, e.Message)
}

type tokenKind uint8

const (
	endToken       tokenKind = iota
	wordToken                // AND, StringEquals, ForAnyOfAnyValues:StringEquals, true, -12, a GUID
	textToken                // '…', with its quotes
	attributeToken           // @Source[name]
	signToken                // ( ) { } , ! && ||
)

type token struct {
	kind tokenKind
	text string
	at   int // its offset in bytes
}

// shown is the token as messages name it.
func (t token) shown() string {
	if t.kind == endToken {
		return "the end"
	}
	return "\"" + t.text + "\""
}

// is compares a word or sign without regard to case.
func (t token) is(text string) bool {
	return (t.kind == wordToken || t.kind == signToken) && strings.EqualFold(t.text, text)
}

// lexer cuts a text into tokens.
type lexer struct {
	text string
	at   int
}

func (l *lexer) fail(at int, format string, args ...any) *Error {
	before := l.text[:at]
	line := strings.Count(before, "\n") + 1
	return &Error{Line: line, Column: utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:]) + 1, Message: fmt.Sprintf(format, args...)}
}

func (l *lexer) next() (token, *Error) {
	for l.at < len(l.text) && strings.IndexByte(" \t\r\n", l.text[l.at]) >= 0 {
		l.at++
	}
	start := l.at
	rest := l.text[start:]
	take := func(kind tokenKind, n int) (token, *Error) {
		l.at += n
		return token{kind: kind, text: rest[:n], at: start}, nil
	}
	switch {
	case rest == "":
		return token{kind: endToken, at: start}, nil
	case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "||"):
		return take(signToken, 2)
	case strings.IndexByte("(){},!", rest[0]) >= 0:
		return take(signToken, 1)
	case rest[0] == '\'':
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '\'':
				return take(textToken, i+1)
			}
		}
		return token{}, l.fail(start, "the text has no end; close it with '")
	case rest[0] == '@':
		n := 1 + wordLength(rest[1:])
		if n == len(rest) || rest[n] != '[' {
			return token{}, l.fail(start, "an attribute is written as @Resource[namespace/type:attribute], or with @Request or @Environment")
		}
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return token{}, l.fail(start, "the attribute has no end; close it with ]")
		}
		return take(attributeToken, end+1)
	}
	if n := wordLength(rest); n > 0 {
		return take(wordToken, n)
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return token{}, l.fail(start, "%q has no meaning here; texts stand between single quotes", r)
}

func wordLength(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if !('a' <= c && c <= 'z' || '0' <= s[i] && s[i] <= '9' || s[i] == ':' || s[i] == '-' || s[i] == '_') {
			return i
		}
	}
	return len(s)
}
