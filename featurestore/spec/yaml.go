package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/alvara-ml/alvara/resource"
)

const (
	maxDocumentBytes = 1 << 20
	maxNesting       = 32
	maxFaults        = 100
)

// reader walks one document and collects its faults, so that a person sees all of them at once.
type reader struct {
	file   string
	faults []*resource.Error
}

// value is a node of the document. Its node is nil when the field is absent or null.
type value struct {
	r    *reader
	node ast.Node
	at   *token.Position
	path string
}

// object is a mapping whose field names have been checked.
type object struct {
	value
	fields map[string]value
}

func (r *reader) fault(at *token.Position, path, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		return
	}
	where := r.file
	if at != nil {
		where = fmt.Sprintf("%s:%d:%d", r.file, at.Line, at.Column)
	}
	r.faults = append(r.faults, invalid("%s: %s", where, fmt.Sprintf(format, args...)).At(path))
}

// err gives the document's error, or nil when there is no fault.
func (r *reader) err(code string) error {
	switch len(r.faults) {
	case 0:
		return nil
	case 1:
		only := r.faults[0]
		return &resource.Error{Kind: resource.Invalid, Code: code, Message: only.Message, Target: only.Target, Details: r.faults}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %d faults:", r.file, len(r.faults))
	for i, fault := range r.faults {
		fmt.Fprintf(&b, "\n  %d. %s", i+1, fault.Message)
	}
	return &resource.Error{Kind: resource.Invalid, Code: code, Message: b.String(), Details: r.faults}
}

// openDocument parses data, which must be one YAML document. Syntax faults are collected like all others.
func openDocument(file string, data []byte) (*reader, value) {
	r := &reader{file: file}
	root := value{r: r}
	if len(data) > maxDocumentBytes {
		r.fault(nil, "", "the document is %d bytes long; at most %d are allowed", len(data), maxDocumentBytes)
		return r, root
	}
	if !utf8.Valid(data) {
		r.fault(nil, "", "the document is not UTF-8 text")
		return r, root
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), "\ufeff"))
	if deep := tooDeep(tokens); deep != nil {
		r.fault(deep.Position, "", "the document is nested deeper than %d levels", maxNesting)
		return r, root
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return r, root
	}
	var body ast.Node
	for _, document := range parsed.Docs {
		switch document.Body.(type) {
		case nil, *ast.CommentGroupNode:
			continue
		}
		if body != nil {
			r.fault(position(document.Body), "", "the file holds more than one YAML document; one was expected")
			return r, root
		}
		body = document.Body
	}
	if body == nil {
		r.fault(nil, "", "the document is empty")
		return r, root
	}
	root = r.value(body, "")
	if !root.present() && len(r.faults) == 0 {
		root.fault("the document is empty")
	}
	return r, root
}

func (r *reader) syntax(err error) {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil {
		r.fault(syntax.Token.Position, "", "not valid YAML: %s", syntax.Message)
		return
	}
	r.fault(nil, "", "not valid YAML: %v", err)
}

// tooDeep finds the token that nests too deeply; the parser's cost grows with the square of the depth.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, line, entries := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			entries++
		}
		if flow > maxNesting || entries > maxNesting || t.Position != nil && t.Position.IndentLevel > maxNesting {
			return t
		}
	}
	return nil
}

// value wraps a node. Aliases, anchors and tags are refused: a reader of the file should see what it says.
func (r *reader) value(node ast.Node, path string) value {
	v := value{r: r, at: position(node), path: path}
	switch n := node.(type) {
	case nil, *ast.NullNode:
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		r.fault(v.at, path, "%s uses a YAML anchor, alias or tag; write the value out", v.name())
	case *ast.MappingValueNode:
		v.node = &ast.MappingNode{Values: []*ast.MappingValueNode{n}}
	default:
		v.node = node
	}
	return v
}

func position(node ast.Node) *token.Position {
	if node == nil || node.GetToken() == nil {
		return nil
	}
	// A mapping's own token is the colon of its first field; its first key is where a reader looks.
	if mapping, ok := node.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
		return position(mapping.Values[0])
	}
	if field, ok := node.(*ast.MappingValueNode); ok {
		return position(field.Key)
	}
	return node.GetToken().Position
}

// name is how messages speak of the value.
func (v value) name() string {
	if v.path == "" {
		return "the document"
	}
	return v.path
}

func (v value) present() bool { return v.node != nil }

func (v value) fault(format string, args ...any) { v.r.fault(v.at, v.path, format, args...) }

// object reads a mapping with these fields only.
func (v value) object(known ...string) object {
	o := object{value: v, fields: map[string]value{}}
	v.eachField(func(name string, at *token.Position, field value) {
		if !slices.Contains(known, name) {
			v.r.fault(at, field.path, "unknown field %q%s; %s", name, in(v.path), suggestion(name, known))
			return
		}
		o.fields[name] = field
	})
	return o
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// eachField visits the fields of a mapping in their order; a duplicate key is a fault and is not visited.
func (v value) eachField(visit func(name string, at *token.Position, field value)) {
	if v.node == nil {
		return
	}
	mapping, ok := v.node.(*ast.MappingNode)
	if !ok {
		v.fault("%s is %s; a mapping of fields was expected", v.name(), kindOf(v.node))
		return
	}
	seen := map[string]*token.Position{}
	for _, entry := range mapping.Values {
		at := position(entry.Key)
		name, ok := keyText(entry.Key)
		if !ok {
			v.r.fault(at, v.path, "a field name of %s is %s; plain text was expected", v.name(), kindOf(entry.Key))
			continue
		}
		path := name
		if v.path != "" {
			path = v.path + "." + name
		}
		if first, twice := seen[name]; twice {
			v.r.fault(at, path, "%s is given twice; it stands first in line %d", path, first.Line)
			continue
		}
		seen[name] = at
		field := v.r.value(entry.Value, path)
		if field.at == nil || field.node == nil {
			field.at = at
		}
		visit(name, at, field)
	}
}

func keyText(key ast.MapKeyNode) (string, bool) {
	switch k := key.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, true
	}
	return "", false
}

// get gives a field; an absent one has no node and stands where the object stands.
func (o object) get(name string) value {
	if field, ok := o.fields[name]; ok {
		return field
	}
	path := name
	if o.path != "" {
		path = o.path + "." + name
	}
	return value{r: o.r, at: o.at, path: path}
}

// has tells whether the field is written and not null.
func (o object) has(name string) bool { return o.get(name).present() }

// require gives a field, and makes its absence a fault. Nothing is said when the object itself is missing.
func (o object) require(name, expected string) value {
	v := o.get(name)
	if !v.present() && o.present() && !o.faulty(v.path) {
		v.fault("%s is missing; %s", v.path, expected)
	}
	return v
}

// faulty tells whether something has been said about the very field already.
func (o object) faulty(path string) bool {
	for _, fault := range o.r.faults {
		if fault.Target == path {
			return true
		}
	}
	return false
}
