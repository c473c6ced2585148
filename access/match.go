package access

import "github.com/alvara-ml/alvara/access/wildcard"

// Match tells whether an action pattern covers a concrete action, as documented for role definitions; wildcard.Pattern
// says how.
func Match(pattern, action string) bool {
	p := wildcard.Compile(pattern)
	return p.Match(wildcard.Lower(action))
}
