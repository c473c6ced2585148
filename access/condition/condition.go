package condition

import (
	"strings"
	"time"
)

// MaxLength is how long the text of a condition may be, in bytes.
const MaxLength = 8 << 10

// Condition is a condition that was read. It never changes and may be used by any number of goroutines. The nil Condition
// is none at all: it always holds.
type Condition struct {
	text string
	root node // nil for one that never holds
	uses usage
}

// usage is what a condition speaks of.
type usage struct {
	actions []string // the patterns of ActionMatches
}

// Input is one request, as a condition sees it.
type Input struct {
	Action     string // the full operation name in lower case
	Attributes Attributes
	Now        time.Time // for @Environment[UtcNow]; missing when zero

	unknown bool // only the action is known
}

func (in *Input) has(a Attribute) bool {
	if a == UTCNow {
		return !in.Now.IsZero()
	}
	for i := range in.Attributes {
		if in.Attributes[i].Attribute == a {
			return true
		}
	}
	return false
}

// Unreadable stands for a text that Parse does not accept, such as one that a later version stored. It never holds.
func Unreadable(text string) *Condition { return &Condition{text: text} }

// Holds tells whether the condition lets the request pass. It does not allocate.
func (c *Condition) Holds(in *Input) bool {
	return c == nil || c.root != nil && surely(c.root, in, true)
}

// Effect is what a condition does to an action, whatever else the request is.
type Effect uint8

// The effects.
const (
	Never   Effect = iota // it never holds for the action
	Depends               // it holds for some requests
	Always                // it holds for every request: it does not restrict this action
)

// Effect tells what the condition does to an action, given in lower case.
func (c *Condition) Effect(action string) Effect {
	if c == nil {
		return Always
	}
	in := Input{Action: action, unknown: true}
	switch {
	case c.root == nil, surely(c.root, &in, false):
		return Never
	case surely(c.root, &in, true):
		return Always
	}
	return Depends
}

// Actions gives the patterns of its ActionMatches, as they are written.
func (c *Condition) Actions() []string {
	if c == nil {
		return nil
	}
	return c.uses.actions
}

// Text gives the condition as it was written.
func (c *Condition) Text() string {
	if c == nil {
		return ""
	}
	return c.text
}

// String gives the condition in one line, with no more parentheses than it needs. What Parse makes of it is the same
// condition.
func (c *Condition) String() string {
	if c == nil || c.root == nil {
		return c.Text()
	}
	var b strings.Builder
	c.root.print(&b)
	return b.String()
}
