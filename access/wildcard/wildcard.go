// Package wildcard matches operation names with the patterns of role definitions and conditions. It knows nothing of
// planes or catalogues.
package wildcard

import "strings"

// Pattern is an action pattern, as documented for role definitions:
//
//   - letters compare without regard to case (ASCII);
//   - '*' stands for any characters, '/' included, and for none;
//   - a '*' that fills a whole segment with a '/' on both sides also stands for no segment at all:
//     "…/workspaces/*/read" covers "…/workspaces/read".
//
// The last rule is how the built-in roles read: Managed Identity Operator holds only "…/*/assign/action" and yet grants
// "userAssignedIdentities/assign/action". Patterns are classed by their shape because nearly all have at most one '*'.
type Pattern struct {
	text   string // in lower case
	stars  int
	prefix string // before the only '*'
	suffix string // after it
	folds  bool   // the only '*' is a segment between two slashes, so that it may vanish together with one of them
}

// Compile reads a pattern; every string is one.
func Compile(text string) Pattern {
	p := Pattern{text: Lower(text)}
	p.stars = strings.Count(p.text, "*")
	if p.stars == 1 {
		p.prefix, p.suffix, _ = strings.Cut(p.text, "*")
		p.folds = strings.HasSuffix(p.prefix, "/") && strings.HasPrefix(p.suffix, "/")
	}
	return p
}

// Plain gives the pattern in lower case when it has no wildcard, so that it stands for that action alone.
func (p *Pattern) Plain() (action string, plain bool) { return p.text, p.stars == 0 }

// Match compares with an action in lower case.
func (p *Pattern) Match(action string) bool {
	switch p.stars {
	case 0:
		return p.text == action
	case 1:
		if !strings.HasPrefix(action, p.prefix) || !strings.HasSuffix(action, p.suffix) {
			return false
		}
		return len(action) >= len(p.prefix)+len(p.suffix) ||
			p.folds && len(action) == len(p.prefix)+len(p.suffix)-1
	default:
		return glob(p.text, action)
	}
}

// glob matches a pattern with any number of stars in one pass that goes back to the latest star only. That is enough
// because the earliest place where the text between two stars fits leaves the most room for what follows. A segment star
// ("*/" after a '/') may take nothing, or everything up to and including some later '/'.
func glob(pattern, action string) bool {
	const none = -1
	p, a := 0, 0
	retryPattern, retryAction, retrySegment := none, 0, false
	for {
		if p < len(pattern) && pattern[p] == '*' {
			retrySegment = p > 0 && pattern[p-1] == '/' && p+1 < len(pattern) && pattern[p+1] == '/'
			p++
			if retrySegment {
				p++
			}
			retryPattern, retryAction = p, a
			continue
		}
		if p == len(pattern) && a == len(action) {
			return true
		}
		if p < len(pattern) && a < len(action) && pattern[p] == action[a] {
			p, a = p+1, a+1
			continue
		}
		if retryPattern == none {
			return false
		}
		if retrySegment {
			slash := strings.IndexByte(action[retryAction:], '/')
			if slash < 0 {
				return false
			}
			retryAction += slash + 1
		} else {
			if retryAction == len(action) {
				return false
			}
			retryAction++
		}
		p, a = retryPattern, retryAction
	}
}

// Lower folds A–Z only: other letters have no second spelling in an action, and folding them could make two
// different actions equal.
func Lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return string(AppendLower(make([]byte, 0, len(s)), s))
		}
	}
	return s
}

// AppendLower is Lower without an allocation of its own.
func AppendLower(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
