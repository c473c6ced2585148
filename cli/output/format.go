// Package output turns a command's result into text: json, jsonc, yaml, yamlc, table, tsv or nothing, after an optional
// JMESPath query, with the rules that users of the az command line know. It owns formats only; what a result holds, and
// which columns a table shows, is the command's business.
package output

import (
	"bytes"
	"fmt"
	"io"

	"github.com/alvara-ml/alvara/cli/document"
)

// Formats lists the names that Write takes.
func Formats() []string { return []string{"json", "jsonc", "none", "table", "tsv", "yaml", "yamlc"} }

// Result is what a command has to say. Value is a document value; nil prints nothing, as a command without a result.
// Columns, when given, is the JMESPath expression over a list of results that yields the columns of a table; it is used
// when the user gave no query.
type Result struct {
	Value   any
	Columns string
}

// Write prints a result in a format. A faulty query gives an error that shows the place.
func Write(w io.Writer, result Result, format, query string) error {
	value := result.Value
	if query != "" {
		queried, err := Search(query, value)
		if err != nil {
			return err
		}
		value = queried
	} else if value == nil {
		return nil
	}
	var text []byte
	var err error
	switch format {
	case "none":
		return nil
	case "", "json", "jsonc":
		if value == nil {
			return nil
		}
		text, err = document.Indent(value)
		text = append(text, '\n')
	case "yaml", "yamlc":
		if value == nil {
			return nil
		}
		text, err = document.EncodeYAML(value)
	case "tsv":
		text = tsv(value)
	case "table":
		if query == "" && result.Columns != "" {
			if value, err = Search(result.Columns, asList(value)); err != nil {
				return fmt.Errorf("columns of the table: %w", err)
			}
		}
		text = tableBytes(value)
	default:
		return fmt.Errorf("unknown output format %q; expected one of %v", format, Formats())
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(w, bytes.NewReader(text))
	return err
}

func asList(value any) []any {
	if list, ok := value.([]any); ok {
		return list
	}
	return []any{value}
}
