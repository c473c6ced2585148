package graph

import (
	"fmt"
	"strings"
)

type tokenKind uint8

const (
	end    tokenKind = iota
	word             // a name or keyword
	quoted           // a string; value is what the quotes hold
	mark             // one of ( ) , : /
)

// token is a piece of a filter.
type token struct {
	kind  tokenKind
	value string
}

func (t token) is(symbol string) bool { return t.kind == mark && t.value == symbol }

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case quoted:
		return "'" + strings.ReplaceAll(t.value, "'", "''") + "'"
	}
	return "'" + t.value + "'"
}

// lexFilter takes a filter apart. The last token is always the end.
func lexFilter(source string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(source); {
		c := source[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case strings.IndexByte("(),:/", c) >= 0:
			tokens = append(tokens, token{mark, string(c)})
			i++
		case c == '\'':
			value, length, ok := cutString(source[i:])
			if !ok {
				return nil, fmt.Errorf("the string that begins at character %d has no end", i+1)
			}
			tokens = append(tokens, token{quoted, value})
			i += length
		case nameByte(c):
			from := i
			for i < len(source) && nameByte(source[i]) {
				i++
			}
			tokens = append(tokens, token{word, source[from:i]})
		default:
			return nil, fmt.Errorf("the character %q at position %d is not understood", c, i+1)
		}
	}
	return append(tokens, token{}), nil
}

// cutString reads a string at the start of source, in which a quote is written twice.
func cutString(source string) (value string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(source); i++ {
		if source[i] != '\'' {
			b.WriteByte(source[i])
			continue
		}
		if i+1 < len(source) && source[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

func nameByte(c byte) bool {
	return c == '_' || c == '.' || c == '-' || c == '@' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
