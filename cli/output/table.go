package output

import (
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/alvara-ml/alvara/cli/document"
)

func renderTable(headers []string, rows [][]string) []byte {
	writer := table.NewWriter()
	style := table.Style{
		Box: table.BoxStyle{MiddleHorizontal: "-", MiddleSeparator: "  ", MiddleVertical: "  "},
		Options: table.Options{
			SeparateColumns: true,
			SeparateHeader:  true,
		},
		Format: table.FormatOptions{Header: text.FormatDefault, Row: text.FormatDefault},
	}
	writer.SetStyle(style)
	writer.SuppressTrailingSpaces()
	head := make(table.Row, len(headers))
	columns := make([]table.ColumnConfig, len(headers))
	for i, header := range headers {
		head[i] = header
		columns[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignLeft, AlignHeader: text.AlignLeft}
	}
	writer.SetColumnConfigs(columns)
	writer.AppendHeader(head)
	for _, row := range rows {
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = strings.ReplaceAll(strings.ReplaceAll(cell, "\r", ""), "\n", " ")
		}
		writer.AppendRow(cells)
	}
	return []byte(writer.Render() + "\n")
}

var hiddenInTables = map[string]bool{"id": true, "type": true, "etag": true, "revision": true}

func tableOf(list []any) (headers []string, rows [][]string) {
	var keys []string
	seen := map[string]bool{}
	simple := map[string]bool{}
	for _, element := range list {
		object, _ := element.(*document.Object)
		for _, key := range object.Keys() {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
			switch object.Get(key).(type) {
			case nil, []any, *document.Object:
			default:
				simple[key] = true
			}
		}
	}
	var shown []string
	for _, key := range keys {
		if simple[key] && !hiddenInTables[key] {
			shown = append(shown, key)
			headers = append(headers, title(key))
		}
	}
	if len(shown) == 0 {
		return nil, nil
	}
	for _, element := range list {
		object, _ := element.(*document.Object)
		row := make([]string, len(shown))
		for i, key := range shown {
			switch value := object.Get(key).(type) {
			case []any, *document.Object:
			default:
				row[i] = scalar(value)
			}
		}
		rows = append(rows, row)
	}
	return headers, rows
}

// tableBytes shows a list of objects with one column per key that holds simple values, titled with a capital. Keys that say
// little in a table (id, type, etag) and nested values are left out, as az does.
func tableBytes(value any) []byte {
	list := asList(value)
	if len(list) == 0 {
		return nil
	}
	switch first := list[0].(type) {
	case *document.Object:
		headers, rows := tableOf(list)
		if len(headers) == 0 {
			return nil
		}
		return renderTable(headers, rows)
	case []any:
		headers := make([]string, len(first))
		for i := range first {
			headers[i] = "Column" + scalar(i+1)
		}
		var rows [][]string
		for _, element := range list {
			cells, _ := element.([]any)
			row := make([]string, len(headers))
			for i := range row {
				if i < len(cells) {
					row[i] = tsvField(cells[i])
				}
			}
			rows = append(rows, row)
		}
		return renderTable(headers, rows)
	default:
		var rows [][]string
		for _, element := range list {
			rows = append(rows, []string{scalar(element)})
		}
		return renderTable([]string{"Result"}, rows)
	}
}

// title turns accountName into AccountName and display_name into DisplayName.
func title(key string) string {
	var b strings.Builder
	up := true
	for _, r := range key {
		if r == '_' {
			up = true
			continue
		}
		if up {
			r = unicode.ToUpper(r)
			up = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
