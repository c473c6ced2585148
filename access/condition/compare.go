package condition

import (
	"strconv"
	"strings"
	"time"
)

// family is what the values of a comparison are.
type family uint8

const (
	stringFamily family = iota
	numericFamily
	boolFamily
	guidFamily
	dateTimeFamily
)

// operator is a comparison of one value with one other.
type operator struct {
	name   string
	family family
	not    bool // the opposite of compare
	order  uint8
	match  func(left, right string, fold bool) bool // of texts
	fold   bool                                     // ignore case
}

// What an ordering operator accepts.
const (
	less uint8 = 1 << iota
	equal
	greater
)

var operators = makeOperators()

func makeOperators() map[string]*operator {
	all := map[string]*operator{}
	add := func(o operator) { all[strings.ToLower(o.name)] = &o }
	for name, match := range map[string]func(string, string, bool) bool{"Equals": equalText, "StartsWith": startsWith, "Like": like} {
		for _, not := range []bool{false, true} {
			full := "String" + name
			if not {
				full = "StringNot" + name
			}
			add(operator{name: full, match: match, not: not})
			add(operator{name: full + "IgnoreCase", match: match, not: not, fold: true})
		}
	}
	for _, f := range []struct {
		name    string
		family  family
		ordered bool
	}{{"Numeric", numericFamily, true}, {"DateTime", dateTimeFamily, true}, {"Bool", boolFamily, false}, {"Guid", guidFamily, false}} {
		add(operator{name: f.name + "Equals", family: f.family, order: equal})
		add(operator{name: f.name + "NotEquals", family: f.family, order: less | greater})
		if f.ordered {
			add(operator{name: f.name + "LessThan", family: f.family, order: less})
			add(operator{name: f.name + "LessThanEquals", family: f.family, order: less | equal})
			add(operator{name: f.name + "GreaterThan", family: f.family, order: greater})
			add(operator{name: f.name + "GreaterThanEquals", family: f.family, order: greater | equal})
		}
	}
	return all
}

// quantifier says of which values of a set a comparison must hold.
type quantifier struct {
	name              string // with its colon; "" compares one value with one other
	allLeft, allRight bool
}

var quantifiers = []quantifier{
	{"ForAnyOfAnyValues:", false, false}, {"ForAllOfAnyValues:", true, false},
	{"ForAnyOfAllValues:", false, true}, {"ForAllOfAllValues:", true, true},
}

// value is one value of a comparison, read as its operator's family.
type value struct {
	text   string // of strings; of GUIDs in any case
	number int64  // of numbers and truth values; of times the nanoseconds within the second
	second int64  // of times
}

// read reads a text as a family. It tells whether it is such a value.
func (f family) read(text string) (value, bool) {
	switch f {
	case numericFamily:
		n, err := strconv.ParseInt(text, 10, 64)
		return value{number: n}, err == nil
	case boolFamily:
		isTrue := strings.EqualFold(text, "true")
		if isTrue {
			return value{number: 1}, true
		}
		return value{}, strings.EqualFold(text, "false")
	case guidFamily:
		return value{text: text}, IsGUID(text)
	case dateTimeFamily:
		t, err := time.Parse(time.RFC3339Nano, text)
		return timeValue(t), err == nil
	}
	return value{text: text}, true
}

func timeValue(t time.Time) value {
	return value{number: int64(t.Nanosecond()), second: t.Unix()}
}

// compare applies the operator to two values of its family.
func (o *operator) compare(left, right value) bool {
	switch o.family {
	case stringFamily:
		return o.match(left.text, right.text, o.fold) != o.not
	case guidFamily:
		return strings.EqualFold(left.text, right.text) == (o.order == equal)
	}
	order := equal
	switch {
	case left.second < right.second, left.second == right.second && left.number < right.number:
		order = less
	case left.second != right.second, left.number != right.number:
		order = greater
	}
	return o.order&order != 0
}

// operand is one side of a comparison: an attribute, or values that the condition itself gives.
type operand struct {
	attribute Attribute // 0 for values
	values    []value
	texts     []string // the values as they are written
	set       bool     // in braces
}

// count gives how many values the operand has in a request.
func (o *operand) count(in *Input) int {
	switch {
	case o.attribute == 0:
		return len(o.values)
	case o.attribute == UTCNow:
		if in.Now.IsZero() {
			return 0
		}
		return 1
	}
	n := 0
	for i := range in.Attributes {
		if in.Attributes[i].Attribute == o.attribute {
			n++
		}
	}
	return n
}

// each yields the values in a request until yield gives false. A text that is no value of the family is passed over.
func (o *operand) each(in *Input, f family, yield func(value) bool) {
	switch {
	case o.attribute == 0:
		for i := range o.values {
			if !yield(o.values[i]) {
				return
			}
		}
	case o.attribute == UTCNow:
		if !in.Now.IsZero() {
			yield(timeValue(in.Now))
		}
	default:
		for i := range in.Attributes {
			if v := &in.Attributes[i]; v.Attribute == o.attribute {
				if read, ok := f.read(v.Text); ok && !yield(read) {
					return
				}
			}
		}
	}
}

// comparison is an operator between two operands.
type comparison struct {
	left, right operand
	quantifier  quantifier
	operator    *operator
}

func (c *comparison) is(in *Input, want bool) bool {
	if in.unknown && (c.left.attribute != 0 || c.right.attribute != 0) {
		return false
	}
	if c.quantifier.name != "" {
		return c.known(in) && c.holds(in) == want
	}
	left, hasLeft := c.left.only(in, c.operator.family)
	right, hasRight := c.right.only(in, c.operator.family)
	if hasLeft && hasRight {
		return c.operator.compare(left, right) == want
	}
	return !want && (hasLeft || c.left.isNoSubOperation(in)) && (hasRight || c.right.isNoSubOperation(in))
}

// only gives the one value that the operand has in a request, and tells whether it has just one of the family.
func (o *operand) only(in *Input, f family) (value, bool) {
	switch {
	case o.attribute == 0:
		return o.values[0], true
	case o.attribute == UTCNow:
		return timeValue(in.Now), !in.Now.IsZero()
	}
	at := -1
	for i := range in.Attributes {
		if in.Attributes[i].Attribute == o.attribute {
			if at >= 0 {
				return value{}, false
			}
			at = i
		}
	}
	if at < 0 {
		return value{}, false
	}
	return f.read(in.Attributes[at].Text)
}

// isNoSubOperation tells that the operand is the suboperation of a request that is known to have none.
func (o *operand) isNoSubOperation(in *Input) bool {
	return o.attribute == SubOperation && !in.has(SubOperation)
}

// known tells whether both sides of a comparison of sets have values. An action without a suboperation is known to have
// none.
func (c *comparison) known(in *Input) bool {
	for _, side := range []*operand{&c.left, &c.right} {
		n := 0
		side.each(in, c.operator.family, func(value) bool { n++; return true })
		if side.isNoSubOperation(in) {
			continue
		}
		if n == 0 || n != side.count(in) {
			return false
		}
	}
	return true
}

// holds compares what is known; nothing compares with a suboperation that is not there.
func (c *comparison) holds(in *Input) bool {
	if c.left.count(in) == 0 || c.right.count(in) == 0 {
		return false
	}
	result := c.quantifier.allLeft
	c.left.each(in, c.operator.family, func(left value) bool {
		result = c.matches(in, left)
		return result == c.quantifier.allLeft
	})
	return result
}

// matches compares one value on the left with those on the right.
func (c *comparison) matches(in *Input, left value) bool {
	result := c.quantifier.allRight
	c.right.each(in, c.operator.family, func(right value) bool {
		result = c.operator.compare(left, right)
		return result == c.quantifier.allRight
	})
	return result
}

func (c *comparison) print(b *strings.Builder) {
	c.left.print(b)
	b.WriteString(" " + c.quantifier.name + c.operator.name + " ")
	c.right.print(b)
}

func (o *operand) print(b *strings.Builder) {
	switch {
	case o.attribute != 0:
		b.WriteString(o.attribute.String())
	case o.set:
		b.WriteString("{" + strings.Join(o.texts, ", ") + "}")
	default:
		b.WriteString(o.texts[0])
	}
}

// IsGUID tells whether a text is a GUID in its plain form: 32 hexadecimal digits in any case, and four hyphens.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !('0' <= s[i] && s[i] <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
