package duckdb

import (
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// actual is a column as DuckDB sees it: its name and DuckDB's name of its type.
type actual struct{ name, kind string }

// describe gives the columns of a query.
func (w *worker) describe(query string) ([]actual, error) {
	rows, err := w.conn.QueryContext(w.ctx, "DESCRIBE "+query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []actual
	for rows.Next() {
		var a actual
		var null, key, standard, extra any
		if err := rows.Scan(&a.name, &a.kind, &null, &key, &standard, &extra); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// find looks a column up by its exact name, then regardless of case.
func find(all []actual, wanted string) (actual, bool) {
	for _, a := range all {
		if a.name == wanted {
			return a, true
		}
	}
	for _, a := range all {
		if strings.EqualFold(a.name, wanted) {
			return a, true
		}
	}
	return actual{}, false
}

func names(all []actual) string {
	quoted := make([]string, len(all))
	for i, a := range all {
		quoted[i] = a.name
	}
	return strings.Join(quoted, ", ")
}

// storage is the DuckDB type that keeps a declared type.
func storage(t engine.ColumnType) string {
	switch t {
	case engine.Integer:
		return "INTEGER"
	case engine.Long:
		return "BIGINT"
	case engine.Float:
		return "FLOAT"
	case engine.Double:
		return "DOUBLE"
	case engine.Binary:
		return "BLOB"
	case engine.Datetime:
		return "TIMESTAMP"
	case engine.Boolean:
		return "BOOLEAN"
	}
	return "VARCHAR"
}

// family classes DuckDB's types by what they can be declared as.
func family(kind string) string {
	base, _, _ := strings.Cut(kind, "(")
	if strings.HasSuffix(kind, "]") { // lists and arrays of anything
		return ""
	}
	switch base {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT":
		return "whole"
	case "DECIMAL":
		if strings.HasSuffix(kind, ",0)") {
			return "whole"
		}
		return "real"
	case "FLOAT", "DOUBLE":
		return "real"
	case "VARCHAR", "UUID", "ENUM":
		return "text"
	case "BLOB":
		return "bytes"
	case "BOOLEAN":
		return "boolean"
	case "DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE":
		return "time"
	case `"NULL"`, "NULL":
		return "null"
	}
	return ""
}

// fits tells whether values of a family can be kept as a declared type. Whole numbers may be declared narrower or as real
// numbers; a value that does not fit then fails when it is met. Nothing turns to text and real numbers never turn whole.
func fits(declared engine.ColumnType, kind string) bool {
	of := family(kind)
	if of == "null" {
		return true
	}
	switch declared {
	case engine.Integer, engine.Long:
		return of == "whole"
	case engine.Float, engine.Double:
		return of == "whole" || of == "real"
	case engine.String:
		return of == "text"
	case engine.Binary:
		return of == "bytes"
	case engine.Datetime:
		return of == "time"
	case engine.Boolean:
		return of == "boolean"
	}
	return false
}

// declaredAs is the nearest declared type of a DuckDB type, empty when there is none.
func declaredAs(kind string) engine.ColumnType {
	switch family(kind) {
	case "whole":
		switch kind {
		case "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT":
			return engine.Integer
		}
		return engine.Long
	case "real":
		if kind == "FLOAT" {
			return engine.Float
		}
		return engine.Double
	case "text":
		return engine.String
	case "bytes":
		return engine.Binary
	case "boolean":
		return engine.Boolean
	case "time":
		return engine.Datetime
	}
	return ""
}

// cast gives the expression that turns a column into its declared type.
func cast(column string, a actual, declared engine.ColumnType) string {
	if a.kind == storage(declared) {
		return column
	}
	return fmt.Sprintf("CAST(%s AS %s)", column, storage(declared))
}

// match finds a declared column among the actual ones and checks its type. What names the place in messages, as in "the
// result of the SQL".
func match(all []actual, c engine.Column, role, place string) (actual, error) {
	a, ok := find(all, c.Name)
	if !ok {
		return a, resource.Invalidf(engine.CodeColumn, "%s %q is missing from %s; its columns are %s.", role, c.Name, place, names(all)).At(c.Name)
	}
	if !fits(c.Type, a.kind) {
		is := string(declaredAs(a.kind))
		if is == "" {
			is = a.kind
		}
		return a, resource.Invalidf(engine.CodeColumn, "%s %q is declared as %s, and %s gives %s.", role, c.Name, c.Type, place, is).At(c.Name)
	}
	return a, nil
}
