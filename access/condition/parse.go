package condition

import (
	"strings"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/access/wildcard"
)

// maxDepth is how deep parentheses may be nested.
const maxDepth = 64

// subOperations are the suboperations that planes tell.
var subOperations = []string{"Blob.List"}

// Parse reads a condition. It gives an *Error for what it does not accept.
func Parse(text string) (*Condition, error) {
	p := &parser{lexer: lexer{text: text}}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	return &Condition{text: text, root: root, uses: p.uses}, nil
}

type parser struct {
	lexer
	token token // the next one
	depth int
	uses  usage
}

func (p *parser) condition() (node, error) {
	switch {
	case len(p.text) > MaxLength:
		return nil, &Error{Line: 1, Column: 1, Message: "the condition is longer than 8 KB; shorten it or use several assignments"}
	case !utf8.ValidString(p.text):
		return nil, &Error{Line: 1, Column: 1, Message: "the condition is not UTF-8"}
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.junction()
	if err != nil {
		return nil, err
	}
	if p.token.kind != endToken {
		return nil, p.fail(p.token.at, "%s was not expected; AND, OR or the end was", p.token.shown())
	}
	return root, nil
}

func (p *parser) advance() *Error {
	var err *Error
	p.token, err = p.next()
	return err
}

// take reads a sign that must come now.
func (p *parser) take(sign string) *Error {
	if !p.token.is(sign) {
		return p.fail(p.token.at, "%q was expected, not %s", sign, p.token.shown())
	}
	return p.advance()
}

// junction reads parts joined by AND, or parts joined by OR.
func (p *parser) junction() (node, *Error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(p.token.at, "parentheses are nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	first, err := p.part()
	if err != nil {
		return nil, err
	}
	kids := []node{first}
	and := false
	for {
		isAnd, isOr := p.token.is("AND") || p.token.is("&&"), p.token.is("OR") || p.token.is("||")
		switch {
		case !isAnd && !isOr && len(kids) == 1:
			return first, nil
		case !isAnd && !isOr:
			return &junction{and: and, kids: kids}, nil
		case len(kids) > 1 && and != isAnd:
			return nil, p.fail(p.token.at, "AND and OR stand side by side; say with parentheses which comes first")
		}
		and = isAnd
		if err := p.advance(); err != nil {
			return nil, err
		}
		kid, err := p.part()
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
	}
}

// part reads what AND and OR join.
func (p *parser) part() (node, *Error) {
	t := p.token
	switch {
	case t.is("!"), t.is("NOT"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		kid, err := p.part()
		if err != nil {
			return nil, err
		}
		return &negation{kid}, nil
	case t.is("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		inner, err := p.junction()
		if err != nil {
			return nil, err
		}
		return inner, p.take(")")
	case t.is("ActionMatches"):
		return p.actionMatches()
	case t.is("SubOperationMatches"):
		return p.subOperationMatches()
	case t.is("Exists"), t.is("NotExists"):
		return p.exists(t.is("NotExists"))
	case t.kind == endToken:
		return nil, p.fail(t.at, "the condition ends here; an expression was expected")
	}
	return p.comparison()
}

// argument reads {'…'}.
func (p *parser) argument() (token, string, *Error) {
	if err := p.advance(); err != nil {
		return token{}, "", err
	}
	if err := p.take("{"); err != nil {
		return token{}, "", err
	}
	t := p.token
	if t.kind != textToken {
		return t, "", p.fail(t.at, "a text between single quotes was expected, not %s", t.shown())
	}
	if err := p.advance(); err != nil {
		return token{}, "", err
	}
	return t, unquote(t.text), p.take("}")
}

func (p *parser) actionMatches() (node, *Error) {
	t, text, err := p.argument()
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("./*-_", r))
	}) || text != "*" && !strings.Contains(text, "/") {
		return nil, p.fail(t.at, "%s is no action; write one such as 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'", t.shown())
	}
	p.uses.actions = append(p.uses.actions, text)
	return &actionMatches{t.text, wildcard.Compile(text)}, nil
}

func (p *parser) subOperationMatches() (node, *Error) {
	t, name, err := p.argument()
	if err != nil {
		return nil, err
	}
	return &subOperationMatches{t.text, name}, p.knownSubOperation(t, name)
}

func (p *parser) knownSubOperation(t token, name string) *Error {
	for _, known := range subOperations {
		if strings.EqualFold(known, name) {
			return nil
		}
	}
	return p.fail(t.at, "the suboperation %s is not supported; %s is", t.text, strings.Join(subOperations, ", "))
}

func (p *parser) exists(not bool) (node, *Error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	attribute, err := p.attribute()
	if err != nil {
		return nil, err
	}
	if not {
		return &negation{&exists{attribute}}, nil
	}
	return &exists{attribute}, nil
}

// attribute reads @Source[name].
func (p *parser) attribute() (Attribute, *Error) {
	t := p.token
	if t.kind != attributeToken {
		return 0, p.fail(t.at, "an attribute such as %s was expected, not %s", ContainerName, t.shown())
	}
	source, name, _ := strings.Cut(strings.TrimSuffix(t.text[1:], "]"), "[")
	name = strings.TrimSpace(name)
	switch strings.ToLower(source) {
	case "request", "resource", "environment":
	case "principal":
		return 0, p.fail(t.at, "the attribute %s is not supported: principals have no custom security attributes; assign the role to a group instead", t.text)
	default:
		return 0, p.fail(t.at, "\"@%s\" is no source of attributes; @Request, @Resource and @Environment are", source)
	}
	found := attributeNamed(source, name)
	if found == 0 {
		for _, other := range []string{"Request", "Resource", "Environment"} {
			if there := attributeNamed(other, name); there != 0 {
				return 0, p.fail(t.at, "the attribute %s is not supported; it is written %s", t.text, there)
			}
		}
		var all []string
		for a := RepositoryName; a < attributeEnd; a++ {
			all = append(all, a.String())
		}
		return 0, p.fail(t.at, "the attribute %s is not supported, so the condition would never hold; supported are %s", t.text, strings.Join(all, ", "))
	}
	return found, p.advance()
}
