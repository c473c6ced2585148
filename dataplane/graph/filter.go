package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

const (
	maxFilterBytes = 8 << 10
	maxFilterDepth = 32
)

// kind is what a property holds, and so how a filter may speak of it.
type kind uint8

const (
	text  kind = iota // a string, or nil: eq, ne, in, startswith, endswith
	flag              // a bool: eq, ne
	texts             // a list of strings: any
)

// predicate is a filter that was read. It is asked with a function that gives a property's value: a string, nil, a bool or
// a []string, as the property's kind has it.
type predicate func(value func(property string) any) bool

// filter is a $filter that was read.
type filter struct {
	matches predicate
	// When the whole filter asks for one value of one property, these name them, so that an index can answer.
	property, equals string
}

// parseFilter reads a $filter over the properties that an entity has. Strings compare without regard to case, as in Graph.
//
//	filter  = term { "or" term }        term = factor { "and" factor }
//	factor  = "not" factor | "(" filter ")" | ("startswith" | "endswith") "(" property "," string ")"
//	        | property ("eq" | "ne") (string | "true" | "false" | "null") | property "in" "(" string { "," string } ")"
//	        | property "/any(" x ":" x "eq" string ")" | property "/any(" x ":" "startswith(" x "," string "))"
func parseFilter(source string, properties map[string]kind) (*filter, error) {
	if len(source) > maxFilterBytes {
		return nil, resource.Invalidf(badRequest, "$filter is longer than %d bytes.", maxFilterBytes).At("$filter")
	}
	tokens, err := lexFilter(source)
	if err == nil {
		p := &filterParser{tokens: tokens, properties: properties}
		var f *filter
		if f, err = p.or(0); err == nil && p.peek().kind != end {
			err = fmt.Errorf("'and', 'or' or the end was expected at %s", p.peek())
		}
		if err == nil {
			return f, nil
		}
	}
	return nil, resource.Invalidf(badRequest, "Invalid filter clause '%s': %v. Understood are %s, joined by and, or, not.", source, err, understood(properties)).At("$filter")
}

// understood lists what a filter may ask.
func understood(properties map[string]kind) string {
	var compared, flags, lists []string
	for name, k := range properties {
		switch k {
		case text:
			compared = append(compared, name)
		case flag:
			flags = append(flags, name+" eq true")
		case texts:
			lists = append(lists, name+"/any(c:c eq '…')")
		}
	}
	slices.Sort(compared)
	slices.Sort(flags)
	slices.Sort(lists)
	all := []string{"eq, ne, in, startswith(property,'…') and endswith(property,'…') on " + strings.Join(compared, ", ")}
	return strings.Join(append(append(all, flags...), lists...), "; ")
}

type filterParser struct {
	tokens     []token
	properties map[string]kind
}

func (p *filterParser) peek() token { return p.tokens[0] }

func (p *filterParser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *filterParser) word(words ...string) bool {
	return p.peek().kind == word && slices.Contains(words, p.peek().value)
}

func (p *filterParser) expect(symbols ...string) error {
	for _, symbol := range symbols {
		if t := p.next(); t.kind != mark || t.value != symbol {
			return fmt.Errorf("'%s' was expected at %s", symbol, t)
		}
	}
	return nil
}

func (p *filterParser) or(depth int) (*filter, error) {
	left, err := p.and(depth)
	for err == nil && p.word("or") {
		p.next()
		var right *filter
		if right, err = p.and(depth); err == nil {
			a, b := left.matches, right.matches
			left = &filter{matches: func(v func(string) any) bool { return a(v) || b(v) }}
		}
	}
	return left, err
}

func (p *filterParser) and(depth int) (*filter, error) {
	left, err := p.factor(depth)
	for err == nil && p.word("and") {
		p.next()
		var right *filter
		if right, err = p.factor(depth); err == nil {
			a, b := left.matches, right.matches
			left = &filter{matches: func(v func(string) any) bool { return a(v) && b(v) }}
		}
	}
	return left, err
}

func (p *filterParser) factor(depth int) (*filter, error) {
	if depth > maxFilterDepth {
		return nil, fmt.Errorf("it is nested deeper than %d levels", maxFilterDepth)
	}
	t := p.next()
	switch {
	case t.kind == mark && t.value == "(":
		inner, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	case t.kind == word && t.value == "not":
		inner, err := p.factor(depth + 1)
		if err != nil {
			return nil, err
		}
		return &filter{matches: func(v func(string) any) bool { return !inner.matches(v) }}, nil
	case t.kind == word && p.peek().is("("):
		return p.function(t)
	case t.kind == word && p.peek().is("/"):
		return p.any(t)
	case t.kind == word:
		return p.comparison(t)
	}
	return nil, fmt.Errorf("a property or function was expected at %s", t)
}

// functions compare a value with an argument; both are in lower case.
var functions = map[string]func(value, argument string) bool{
	"startswith": strings.HasPrefix,
	"endswith":   strings.HasSuffix,
}

func (p *filterParser) function(name token) (*filter, error) {
	compare := functions[strings.ToLower(name.value)]
	if compare == nil {
		return nil, fmt.Errorf("there is no function %s", name)
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	property, err := p.property(p.next(), text)
	if err != nil {
		return nil, err
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	argument, err := p.literal()
	if err != nil {
		return nil, err
	}
	argument = strings.ToLower(argument)
	matches := func(v func(string) any) bool {
		value, ok := v(property).(string)
		return ok && compare(strings.ToLower(value), argument)
	}
	return &filter{matches: matches}, p.expect(")")
}

// any reads what follows the property in "property/any(x:x eq 'value')".
func (p *filterParser) any(name token) (*filter, error) {
	property, err := p.property(name, texts)
	if err != nil {
		return nil, err
	}
	p.next() // the slash
	if t := p.next(); t.kind != word || t.value != "any" {
		return nil, fmt.Errorf("'any' was expected at %s", t)
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	variable := p.next()
	if variable.kind != word {
		return nil, fmt.Errorf("the name of a variable was expected at %s", variable)
	}
	if err := p.expect(":"); err != nil {
		return nil, err
	}
	compare, closing := strings.EqualFold, []string{")"}
	if p.word("startswith") {
		p.next()
		compare, closing = hasPrefixFold, []string{")", ")"}
		if err := p.expect("("); err != nil {
			return nil, err
		}
	}
	if t := p.next(); t != variable {
		return nil, fmt.Errorf("the variable '%s' was expected at %s", variable.value, t)
	}
	if len(closing) == 2 {
		err = p.expect(",")
	} else if t := p.next(); t.kind != word || t.value != "eq" {
		err = fmt.Errorf("'eq' was expected at %s", t)
	}
	if err != nil {
		return nil, err
	}
	literal, err := p.literal()
	if err != nil {
		return nil, err
	}
	f := &filter{matches: func(v func(string) any) bool {
		values, _ := v(property).([]string)
		return slices.ContainsFunc(values, func(value string) bool { return compare(value, literal) })
	}}
	if len(closing) == 1 {
		f.property, f.equals = property, literal
	}
	return f, p.expect(closing...)
}

func hasPrefixFold(value, prefix string) bool {
	return strings.HasPrefix(strings.ToLower(value), strings.ToLower(prefix))
}

func (p *filterParser) comparison(name token) (*filter, error) {
	operator := p.next()
	if operator.kind != word || !slices.Contains([]string{"eq", "ne", "in"}, operator.value) {
		return nil, fmt.Errorf("'eq', 'ne' or 'in' was expected at %s", operator)
	}
	if operator.value == "in" {
		return p.in(name)
	}
	negated := operator.value == "ne"
	value := p.next()
	switch {
	case value.kind == word && (value.value == "true" || value.value == "false"):
		property, err := p.property(name, flag)
		wanted := (value.value == "true") != negated
		return &filter{matches: func(v func(string) any) bool { return v(property) == wanted }}, err
	case value.kind == word && value.value == "null":
		property, err := p.property(name, text)
		return &filter{matches: func(v func(string) any) bool { return (v(property) == nil) != negated }}, err
	case value.kind != quoted:
		return nil, fmt.Errorf("a value such as 'text', true, false or null was expected at %s", value)
	}
	property, err := p.property(name, text)
	f := &filter{matches: func(v func(string) any) bool {
		have, ok := v(property).(string)
		return (ok && strings.EqualFold(have, value.value)) != negated
	}}
	if !negated {
		f.property, f.equals = property, value.value
	}
	return f, err
}

func (p *filterParser) in(name token) (*filter, error) {
	property, err := p.property(name, text)
	if err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for {
		value, err := p.literal()
		if err != nil {
			return nil, err
		}
		wanted[strings.ToLower(value)] = true
		if !p.peek().is(",") {
			break
		}
		p.next()
	}
	return &filter{matches: func(v func(string) any) bool {
		value, ok := v(property).(string)
		return ok && wanted[strings.ToLower(value)]
	}}, p.expect(")")
}

// property checks that a name is a property of that kind, and gives its name in the directory's case.
func (p *filterParser) property(t token, want kind) (string, error) {
	if t.kind != word {
		return "", fmt.Errorf("a property was expected at %s", t)
	}
	for name, k := range p.properties {
		if !strings.EqualFold(name, t.value) {
			continue
		}
		if k != want {
			return "", fmt.Errorf("the property %s cannot be asked in this way", name)
		}
		return name, nil
	}
	return "", fmt.Errorf("the property '%s' cannot be filtered by", t.value)
}

func (p *filterParser) literal() (string, error) {
	t := p.next()
	if t.kind != quoted {
		return "", fmt.Errorf("a string in single quotes was expected at %s", t)
	}
	return t.value, nil
}
