package spec

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

const maxNameLength = 255

// CheckColumnName tells what is wrong with the name of an index column, a timestamp column or a feature: a name starts
// with a letter or an underscore, goes on with letters, digits, underscores and hyphens, and has at most 255 characters.
func CheckColumnName(name string) error {
	switch {
	case name == "":
		return invalid("a column name is empty")
	case utf8.RuneCountInString(name) > maxNameLength:
		return invalid("the column name %q… is longer than %d characters", string([]rune(name)[:20]), maxNameLength)
	case strings.HasPrefix(strings.ToLower(name), ReservedPrefix):
		return invalid("the column name %q starts with %s, which is reserved", name, ReservedPrefix)
	}
	for i, r := range name {
		if r == utf8.RuneError || !(r == '_' || unicode.IsLetter(r) || i > 0 && (r == '-' || unicode.IsDigit(r) || unicode.IsMark(r))) {
			return invalid("the column name %q has the character %q at byte %d; names start with a letter or '_' and go on "+
				"with letters, digits, '_' and '-'", name, r, i)
		}
	}
	return nil
}

func (v value) columnName() string {
	name := v.text()
	if !isText(v) {
		return ""
	}
	if err := CheckColumnName(name); err != nil {
		v.fault("%s: %s", v.path, message(err))
	}
	return name
}

// sourceColumn reads the name of a column that is only read, never part of the result: any printable text.
func (v value) sourceColumn() string {
	name := v.text()
	if isText(v) && (strings.TrimSpace(name) == "" || hasControl(name) || utf8.RuneCountInString(name) > maxNameLength) {
		v.fault("%s is empty, has control characters or is longer than %d characters", v.path, maxNameLength)
	}
	return name
}

var columnTypes = []ColumnType{String, Integer, Long, Float, Double, Binary, Datetime, Boolean}

func typeNames() string {
	names := make([]string, len(columnTypes))
	for i, t := range columnTypes {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// ParseColumnType reads a column type in any case.
func ParseColumnType(text string) (ColumnType, error) {
	for _, t := range columnTypes {
		if strings.EqualFold(text, string(t)) {
			return t, nil
		}
	}
	return "", invalid("the column type is %q; expected %s", text, typeNames())
}

func (v value) columnType() ColumnType {
	text := v.text()
	if !isText(v) {
		return ""
	}
	t, err := ParseColumnType(text)
	if err != nil {
		v.fault("%s: %s", v.path, message(err))
	}
	return t
}

// checkNames finds columns of the result whose names are the same but for case.
func checkNames(s *FeatureSetSpec, root object) {
	seen := map[string]string{}
	check := func(name, path string, at value) {
		if name == "" {
			return
		}
		key := foldName(name)
		if first, twice := seen[key]; twice {
			root.r.fault(at.at, path, "%s: the column name %q is taken by %s; index columns, timestamp and features need "+
				"names that differ in more than case", path, name, first)
			return
		}
		seen[key] = path
	}
	for i, item := range root.get("index_columns").items() {
		check(s.IndexColumns[i].Name, fmt.Sprintf("index_columns[%d].name", i), item)
	}
	check(s.TimestampColumn.Name, "source.timestamp_column.name", root.get("source"))
	for i, item := range root.get("features").items() {
		check(s.Features[i].Name, fmt.Sprintf("features[%d].name", i), item)
	}
}

// items gives a sequence's entries without any check.
func (v value) items() []value {
	sequence, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return nil
	}
	values := make([]value, len(sequence.Values))
	for i, node := range sequence.Values {
		values[i] = value{r: v.r, node: node, at: position(node), path: fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return values
}

// hasField tells whether a mapping has the field, without any check.
func (v value) hasField(name string) bool {
	mapping, ok := v.node.(*ast.MappingNode)
	if !ok {
		return false
	}
	for _, entry := range mapping.Values {
		if text, ok := keyText(entry.Key); ok && text == name {
			return true
		}
	}
	return false
}

// isText tells whether text() reads the value without a fault.
func isText(v value) bool {
	switch v.node.(type) {
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode:
		return true
	}
	return false
}

// foldName is equal for names that differ in case only.
func foldName(name string) string { return strings.ToLower(strings.ToUpper(name)) }

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

func message(err error) string {
	return strings.TrimPrefix(err.Error(), codeInvalidSpec+": ")
}
