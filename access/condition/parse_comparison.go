package condition

import "strings"

// comparison reads an operand, an operator and an operand.
func (p *parser) comparison() (node, *Error) {
	start := p.token
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	operator, quantifier, err := p.operator()
	if err != nil {
		return nil, err
	}
	between := p.token
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	c := &comparison{left: left.operand, right: right.operand, quantifier: quantifier, operator: operator}
	if err := p.check(c, &c.left, left, start); err != nil {
		return nil, err
	}
	if err := p.check(c, &c.right, right, between); err != nil {
		return nil, err
	}
	for _, pair := range [][2]*written{{&left, &right}, {&right, &left}} {
		if pair[0].attribute == SubOperation && operator.family == stringFamily {
			for i, text := range pair[1].plain {
				if err := p.knownSubOperation(pair[1].tokens[i], text); err != nil {
					return nil, err
				}
			}
		}
	}
	return c, nil
}

// written is an operand with what it was read from.
type written struct {
	operand
	tokens []token
	plain  []string
}

func (p *parser) operand() (written, *Error) {
	var w written
	switch t := p.token; {
	case t.kind == attributeToken:
		attribute, err := p.attribute()
		w.attribute = attribute
		return w, err
	case t.is("{"):
		w.set = true
		for sign := "{"; ; sign = "," {
			if err := p.take(sign); err != nil {
				return w, err
			}
			if err := p.literal(&w); err != nil {
				return w, err
			}
			if !p.token.is(",") {
				return w, p.take("}")
			}
		}
	}
	return w, p.literal(&w)
}

func (p *parser) literal(w *written) *Error {
	t := p.token
	plain := t.text
	switch {
	case t.kind == textToken:
		plain = unquote(t.text)
	case t.kind != wordToken:
		return p.fail(t.at, "an attribute, a text between single quotes or a number was expected, not %s", t.shown())
	}
	w.tokens, w.plain, w.texts = append(w.tokens, t), append(w.plain, plain), append(w.texts, t.text)
	return p.advance()
}

func (p *parser) operator() (*operator, quantifier, *Error) {
	t := p.token
	if t.kind != wordToken {
		return nil, quantifier{}, p.fail(t.at, "an operator such as StringEquals was expected, not %s", t.shown())
	}
	name, which := t.text, quantifier{}
	if i := strings.IndexByte(name, ':'); i >= 0 {
		for _, q := range quantifiers {
			if strings.EqualFold(q.name, name[:i+1]) {
				which = q
			}
		}
		if which.name == "" {
			return nil, which, p.fail(t.at, "the set operator \"%s\" is not supported; ForAnyOfAnyValues:, ForAllOfAnyValues:, ForAnyOfAllValues: and ForAllOfAllValues: are", name[:i+1])
		}
		name = name[i+1:]
	}
	found := operators[strings.ToLower(name)]
	if found == nil {
		return nil, which, p.fail(t.at, "the operator \"%s\" is not supported; String…, Numeric…, Bool…, Guid… and DateTime… operators such as StringEquals and StringLike are", name)
	}
	return found, which, p.advance()
}

// check reads the values of an operand as the operator's family.
func (p *parser) check(c *comparison, o *operand, w written, at token) *Error {
	if isTime := c.operator.family == dateTimeFamily; o.attribute != 0 && attributes[o.attribute].kind == timeKind && !isTime {
		return p.fail(at.at, "%s is a time; compare it with a DateTime… operator", o.attribute)
	}
	if len(w.plain) > 1 && c.quantifier.name == "" {
		return p.fail(at.at, "%s compares one value; write ForAnyOfAnyValues:%s to compare with several", c.operator.name, c.operator.name)
	}
	for i, plain := range w.plain {
		t := w.tokens[i]
		read, ok := c.operator.family.read(plain)
		switch {
		case !ok, t.kind == wordToken && (c.operator.family == stringFamily || c.operator.family == dateTimeFamily):
			return p.fail(t.at, "%s is not what %s compares; %s was expected", t.shown(), c.operator.name, c.operator.family.example())
		}
		o.values = append(o.values, read)
	}
	return nil
}

func (f family) example() string {
	switch f {
	case numericFamily:
		return "a whole number such as 12"
	case boolFamily:
		return "true or false"
	case guidFamily:
		return "a GUID such as 8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	case dateTimeFamily:
		return "a time such as '2026-01-31T12:00:00.0Z'"
	}
	return "a text between single quotes"
}
