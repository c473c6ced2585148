package spec

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// list reads a sequence.
func (v value) list() []value {
	if v.node == nil {
		return nil
	}
	sequence, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.fault("%s is %s; a list was expected", v.name(), kindOf(v.node))
		return nil
	}
	values := make([]value, 0, len(sequence.Values))
	for i, node := range sequence.Values {
		item := v.r.value(node, fmt.Sprintf("%s[%d]", v.path, i))
		if item.at == nil {
			item.at = v.at
		}
		values = append(values, item)
	}
	return values
}

// text reads a string; numbers are taken as they are written, so that "version: 1" works.
func (v value) text() string {
	switch n := v.node.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value
	}
	v.fault("%s is %s; text was expected%s", v.name(), kindOf(v.node), quoteHint(v.node))
	return ""
}

func quoteHint(node ast.Node) string {
	if _, ok := node.(*ast.BoolNode); ok {
		return " (put it in quotes)"
	}
	return ""
}

// integer reads a whole number.
func (v value) integer() int64 {
	n, ok := v.node.(*ast.IntegerNode)
	if v.node == nil {
		return 0
	}
	if ok {
		switch number := n.Value.(type) {
		case int64:
			return number
		case uint64:
			if number <= 1<<63-1 {
				return int64(number)
			}
		}
		v.fault("%s is %s, which is too large", v.name(), n.Token.Value)
		return 0
	}
	v.fault("%s is %s; a whole number was expected", v.name(), kindOf(v.node))
	return 0
}

// boolean reads true or false.
func (v value) boolean() bool {
	if v.node == nil {
		return false
	}
	if n, ok := v.node.(*ast.BoolNode); ok {
		return n.Value
	}
	v.fault("%s is %s; true or false was expected", v.name(), kindOf(v.node))
	return false
}

// texts reads a mapping of text to text, such as tags. Numbers and booleans are taken as they are written.
func (v value) texts() map[string]string {
	if v.node == nil {
		return nil
	}
	out := map[string]string{}
	v.eachField(func(name string, _ *token.Position, field value) {
		if n, ok := field.node.(*ast.BoolNode); ok {
			out[name] = n.Token.Value
			return
		}
		out[name] = field.text()
	})
	return out
}

func kindOf(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case nil, *ast.NullNode:
		return "empty"
	}
	return "something else"
}
