package condition

import (
	"strings"

	"github.com/alvara-ml/alvara/access/wildcard"
)

// node is one part of a condition: one of the types in surely.
type node interface {
	print(b *strings.Builder)
}

// surely tells whether a part is surely true or, when want is false, surely false. A part that hangs on a missing attribute
// is neither. It names the types, where a method of node would do, because then the compiler sees that the input does not
// escape and a check does not allocate.
func surely(n node, in *Input, want bool) bool {
	switch n := n.(type) {
	case *junction:
		return n.is(in, want)
	case *negation:
		return surely(n.kid, in, !want)
	case *actionMatches:
		return n.pattern.Match(in.Action) == want
	case *subOperationMatches:
		return n.is(in, want)
	case *exists:
		return n.is(in, want)
	case *comparison:
		return n.is(in, want)
	}
	return false
}

// junction is kids joined by AND, or by OR.
type junction struct {
	and  bool
	kids []node
}

func (j *junction) is(in *Input, want bool) bool {
	// All of them must agree for AND to be true and for OR to be false; otherwise one is enough.
	all := j.and == want
	for _, kid := range j.kids {
		if surely(kid, in, want) != all {
			return !all
		}
	}
	return all
}

func (j *junction) print(b *strings.Builder) {
	for i, kid := range j.kids {
		switch {
		case i > 0 && j.and:
			b.WriteString(" AND ")
		case i > 0:
			b.WriteString(" OR ")
		}
		printWithin(b, kid)
	}
}

type negation struct{ kid node }

func (n *negation) print(b *strings.Builder) {
	b.WriteString("NOT ")
	printWithin(b, n.kid)
}

// printWithin prints a part of a larger one.
func printWithin(b *strings.Builder, kid node) {
	if _, joined := kid.(*junction); joined {
		b.WriteByte('(')
		kid.print(b)
		b.WriteByte(')')
		return
	}
	kid.print(b)
}

// actionMatches is ActionMatches{'…'}.
type actionMatches struct {
	text    string // with its quotes
	pattern wildcard.Pattern
}

func (a *actionMatches) print(b *strings.Builder) { b.WriteString("ActionMatches{" + a.text + "}") }

// subOperationMatches is SubOperationMatches{'…'}.
type subOperationMatches struct{ text, name string }

func (s *subOperationMatches) is(in *Input, want bool) bool {
	if in.unknown {
		return false
	}
	for i := range in.Attributes {
		if v := &in.Attributes[i]; v.Attribute == SubOperation && strings.EqualFold(v.Text, s.name) {
			return want
		}
	}
	return !want
}

func (s *subOperationMatches) print(b *strings.Builder) {
	b.WriteString("SubOperationMatches{" + s.text + "}")
}

// exists is Exists @…[…].
type exists struct{ attribute Attribute }

func (e *exists) is(in *Input, want bool) bool {
	if in.unknown {
		return false
	}
	return in.has(e.attribute) == want
}

func (e *exists) print(b *strings.Builder) { b.WriteString("Exists " + e.attribute.String()) }
