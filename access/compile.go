package access

import (
	"math/bits"
	"strings"

	"github.com/alvara-ml/alvara/access/wildcard"
)

// compiledRole is a role with its patterns read and its grants over the catalogue worked out.
type compiledRole struct {
	role       *Role
	squeezed   string // the name in lower case without spaces
	blocks     []block
	operations []uint64 // one bit per operation of the catalogue
	power      int      // how many bits are set
}

type block struct{ control, data grant }

// grant is Actions − NotActions of one plane of one block.
type grant struct{ allow, except []wildcard.Pattern }

func compileRole(c *catalogue, role *Role) *compiledRole {
	compiled := &compiledRole{
		role:       role,
		squeezed:   squeeze(role.Name),
		operations: make([]uint64, (len(c.operations)+63)/64),
	}
	for _, permission := range role.Permissions {
		b := block{
			control: grant{compilePatterns(permission.Actions), compilePatterns(permission.NotActions)},
			data:    grant{compilePatterns(permission.DataActions), compilePatterns(permission.NotDataActions)},
		}
		compiled.blocks = append(compiled.blocks, b)
		compiled.add(c, b.control, false)
		compiled.add(c, b.data, true)
	}
	for _, word := range compiled.operations {
		compiled.power += bits.OnesCount64(word)
	}
	return compiled
}

func compilePatterns(texts []string) []wildcard.Pattern {
	patterns := make([]wildcard.Pattern, len(texts))
	for i, text := range texts {
		patterns[i] = wildcard.Compile(text)
	}
	return patterns
}

func (r *compiledRole) add(c *catalogue, g grant, data bool) {
	if len(g.allow) == 0 {
		return
	}
	granted := make([]uint64, len(r.operations))
	for i := range g.allow {
		c.eachMatch(&g.allow[i], data, func(n int32) { granted[n>>6] |= 1 << (n & 63) })
	}
	for i := range g.except {
		c.eachMatch(&g.except[i], data, func(n int32) { granted[n>>6] &^= 1 << (n & 63) })
	}
	for i := range granted {
		r.operations[i] |= granted[i]
	}
}

func (c *catalogue) eachMatch(p *wildcard.Pattern, data bool, yield func(number int32)) {
	if action, plain := p.Plain(); plain {
		if n, ok := c.plane(data)[action]; ok {
			yield(n)
		}
		return
	}
	for n := range c.operations {
		if c.operations[n].Data == data && p.Match(c.lower[n]) {
			yield(int32(n))
		}
	}
}

// grants decides an action by its patterns, for actions outside the catalogue. The action is in lower case.
func (r *compiledRole) grants(action string, data bool) bool {
	for i := range r.blocks {
		g := &r.blocks[i].control
		if data {
			g = &r.blocks[i].data
		}
		if anyMatch(g.allow, action) && !anyMatch(g.except, action) {
			return true
		}
	}
	return false
}

func anyMatch(patterns []wildcard.Pattern, action string) bool {
	for i := range patterns {
		if patterns[i].Match(action) {
			return true
		}
	}
	return false
}

// squeeze makes role names comparable as people type them: "Managed Identity Operator" and "managedidentityoperator".
func squeeze(name string) string {
	return strings.ToLower(strings.Join(strings.Fields(name), ""))
}
