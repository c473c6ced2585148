package duckdb

import (
	_ "embed"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

//go:embed functions.txt
var functionList string

// maxSQLBytes is far above what anybody writes and far below what a parser chokes on.
const maxSQLBytes = 1 << 20

// checkSQL refuses a text that is not one SELECT over the table `source`, and gives the text ready to stand in parentheses.
//
// DuckDB's own parser makes the tree, so that what is checked is what runs. Everything that names a thing outside of the text is
// on a list of what is allowed: tables (source, and the text's own common table expressions where they are in scope), table
// functions, functions, kinds of expressions. What is on no list is refused, kinds that a later version adds among it.
func (w *worker) checkSQL(sql string) (string, error) {
	if strings.TrimSpace(sql) == "" {
		return "", refuseSQL("it is empty. Write one SELECT over the table source")
	}
	if len(sql) > maxSQLBytes {
		return "", resource.Errorf(resource.TooLarge, engine.CodeSQL, "The transformation's SQL is longer than %s.", size(maxSQLBytes))
	}
	if strings.ContainsRune(sql, 0) {
		return "", refuseSQL("it contains a zero byte")
	}
	tree, err := w.parseOne(sql)
	if err != nil {
		return "", err
	}
	c := &treeCheck{functions: map[string]bool{}}
	for line := range strings.Lines(functionList) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# ") {
			c.functions[line] = true
		}
	}
	if err := c.visit(tree, nil); err != nil {
		return "", err
	}
	inner := trimEnd(sql)
	wrapped, err := w.parseOne("SELECT * FROM (\n" + inner + "\n)")
	if err != nil || !reflect.DeepEqual(withoutPlaces(subquery(wrapped)), withoutPlaces(tree)) {
		return "", refuseSQL("it cannot stand in parentheses; end it after the SELECT, without further comments or semicolons")
	}
	return inner, nil
}

func refuseSQL(why string) *resource.Error {
	return resource.Invalidf(engine.CodeSQL, "The transformation's SQL is not allowed: %s.", why)
}

// parseOne gives the tree of the one SELECT in a text.
func (w *worker) parseOne(sql string) (map[string]any, error) {
	var answer string
	if err := w.conn.QueryRowContext(w.ctx, "SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", sql).Scan(&answer); err != nil {
		return nil, w.sqlFault(err)
	}
	var parsed struct {
		Error      bool   `json:"error"`
		Type       string `json:"error_type"`
		Message    string `json:"error_message"`
		Statements []struct {
			Node map[string]any `json:"node"`
		} `json:"statements"`
	}
	decoder := json.NewDecoder(strings.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(&parsed); err != nil {
		return nil, refuseSQL("it is nested too deep").Because(err)
	}
	switch {
	case parsed.Error && parsed.Type == "not implemented":
		return nil, refuseSQL("it must be one SELECT statement")
	case parsed.Error:
		return nil, resource.Invalidf(engine.CodeSQL, "The transformation's SQL cannot be parsed: %s.", trimMessage(parsed.Message))
	case len(parsed.Statements) != 1:
		return nil, refuseSQL("it must be one SELECT statement, and there are several")
	}
	return parsed.Statements[0].Node, nil
}

// treeCheck walks a parse tree. A scope lists the common table expressions that are visible, in lower case.
type treeCheck struct{ functions map[string]bool }

var (
	allowedTableFunctions = []string{"unnest", "range", "generate_series"}
	allowedClasses        = []string{"BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT",
		"FUNCTION", "LAMBDA", "LAMBDA_REF", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "WINDOW", "TYPE"}
	allowedNodes = []string{"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE",
		"JOIN", "SUBQUERY", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST", "PIVOT",
		"ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER",
		"ORDER_DEFAULT", "ASCENDING", "DESCENDING"}
)

func (c *treeCheck) visit(v any, scope []string) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := c.visit(item, scope); err != nil {
				return err
			}
		}
	case map[string]any:
		return c.visitNode(v, scope)
	}
	return nil
}

func (c *treeCheck) visitNode(node map[string]any, scope []string) error {
	kind, _ := node["type"].(string)
	if class, ok := node["class"].(string); ok {
		if !slices.Contains(allowedClasses, class) {
			if class == "PARAMETER" {
				return refuseSQL("it has a parameter, and there is nobody to give it a value")
			}
			return refuseSQL("it contains an expression of class " + strings.ToLower(class))
		}
		if class == "CONSTANT" {
			return nil
		}
		if class == "FUNCTION" || class == "WINDOW" {
			if err := c.function(node, nil); err != nil {
				return err
			}
		}
	} else if kind != "" && !slices.Contains(allowedNodes, kind) && !strings.HasSuffix(kind, "_TYPE_INFO") {
		switch kind {
		case "BASE_TABLE":
			if err := c.table(node, scope); err != nil {
				return err
			}
		case "TABLE_FUNCTION":
			function, _ := node["function"].(map[string]any)
			if err := c.function(function, allowedTableFunctions); err != nil {
				return err
			}
		case "SHOW_REF":
			return refuseSQL("DESCRIBE, SHOW and SUMMARIZE read the catalog; select from the table source")
		default:
			return refuseSQL("it contains " + strings.ToLower(strings.ReplaceAll(kind, "_", " ")))
		}
	}
	scope, err := c.commonTables(node, scope)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(node)) { // in a fixed order, so that of several faults the same one is told
		if key == "cte_map" {
			continue
		}
		if err := c.visit(node[key], scope); err != nil {
			return err
		}
	}
	return nil
}

// commonTables visits a node's WITH clause in its order, each expression seeing those before it, and gives the scope of the rest.
func (c *treeCheck) commonTables(node map[string]any, scope []string) ([]string, error) {
	clause, _ := node["cte_map"].(map[string]any)
	entries, _ := clause["map"].([]any)
	for _, entry := range entries {
		entry, _ := entry.(map[string]any)
		called, _ := entry["key"].(string)
		called = strings.ToLower(called)
		if called == "source" || called == "" {
			return nil, refuseSQL("a common table expression must not be called source")
		}
		inside := slices.Clip(scope)
		value, _ := entry["value"].(map[string]any)
		if query, _ := value["query"].(map[string]any); query != nil {
			if body, _ := query["node"].(map[string]any); body["type"] == "RECURSIVE_CTE_NODE" {
				inside = append(inside, called)
			}
		}
		if err := c.visit(value, inside); err != nil {
			return nil, err
		}
		scope = append(slices.Clip(scope), called)
	}
	return scope, nil
}

func (c *treeCheck) table(node map[string]any, scope []string) error {
	table, _ := node["table_name"].(string)
	schema, _ := node["schema_name"].(string)
	catalog, _ := node["catalog_name"].(string)
	if schema != "" || catalog != "" {
		return refuseSQL("it reads the table " + strings.Trim(catalog+"."+schema+"."+table, ".") + "; only the table source is there, without a schema")
	}
	if node["at_clause"] != nil {
		return refuseSQL("it reads a table AT a version")
	}
	folded := strings.ToLower(table)
	if folded != "source" && !slices.Contains(scope, folded) {
		return refuseSQL("it reads " + table + "; only the table source is there")
	}
	return nil
}

func (c *treeCheck) function(node map[string]any, only []string) error {
	called, _ := node["function_name"].(string)
	schema, _ := node["schema"].(string)
	catalog, _ := node["catalog"].(string)
	folded := strings.ToLower(called)
	if (schema != "" && schema != "main") || catalog != "" {
		return refuseSQL("it calls " + called + " with a schema or catalog; call functions by their bare name")
	}
	if only != nil {
		if !slices.Contains(only, folded) {
			return refuseSQL("it reads from the table function " + called + "; only " + strings.Join(only, ", ") + " may stand after FROM")
		}
		return nil
	}
	if !c.functions[folded] {
		return refuseSQL("it calls the function " + called + ", which is not on the list of functions that read nothing but their arguments")
	}
	return nil
}

// trimEnd drops what may follow a statement: spaces, semicolons, comments to the end of a line. When it drops too much,
// inside of a string say, the tree of the rest differs and the text is refused.
func trimEnd(sql string) string {
	for {
		sql = strings.TrimRight(sql, "; \t\r\n\f\v")
		line := sql[strings.LastIndexByte(sql, '\n')+1:]
		at := strings.Index(line, "--")
		if at < 0 {
			return sql
		}
		if before := strings.TrimSpace(line[:at]); before != "" && !strings.HasSuffix(before, ";") {
			return sql
		}
		sql = sql[:len(sql)-len(line)+at]
	}
}

func subquery(node map[string]any) any {
	from, _ := node["from_table"].(map[string]any)
	if from["type"] != "SUBQUERY" {
		return nil
	}
	statement, _ := from["subquery"].(map[string]any)
	return statement["node"]
}

// withoutPlaces drops from a tree where in the text its parts stand.
func withoutPlaces(v any) any {
	switch v := v.(type) {
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = withoutPlaces(item)
		}
		return items
	case map[string]any:
		node := make(map[string]any, len(v))
		for key, child := range v {
			if key != "query_location" {
				node[key] = withoutPlaces(child)
			}
		}
		return node
	}
	return v
}
