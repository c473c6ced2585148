package spec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

const minimalYAML = `source:
  type: parquet
  path: wasbs://data@acct.blob.host.net/t/*.parquet
  timestamp_column:
    name: ts
features:
  - {name: amount, type: double}
index_columns:
  - {name: id, type: string}
`

// TestFaults shows the clear error of each kind of bad specification (FS-11): one change of a good document each.
func TestFaults(t *testing.T) {
	expression := "feature_transformation:\n  transformation_expression:\n"
	sum := "    - {feature: amount, aggregation: sum, column: amount, window: {length: 1, unit: day}}\n"
	cases := []struct {
		name, old, new string   // replaced in the minimal document; an empty old appends
		want           []string // parts of the messages, one per fault
	}{
		{"unknown field", "", "source_lokback: {days: 1}\n",
			[]string{`FeatureSetSpec.yaml:10:1: unknown field "source_lokback"; did you mean "source_lookback"?`}},
		{"unknown field inside", "    name: ts", "    name: ts\n    fromat: x",
			[]string{`6:5: unknown field "fromat" in source.timestamp_column; did you mean "format"?`}},
		{"camel case", "", "temporalJoinLookback: {days: 1}\n", []string{`did you mean "temporal_join_lookback"?`}},
		{"nothing near", "", "colour: red\n", []string{`known are $schema, source`}},
		{"duplicate key", "  type: parquet", "  type: parquet\n  type: csv", []string{`3:3: source.type is given twice; it stands first in line 2`}},
		{"no source", minimalYAML[:strings.Index(minimalYAML, "features:")], "", []string{"1:1: source is missing"}},
		{"no index", "index_columns:\n  - {name: id, type: string}\n", "", []string{"index_columns is missing; give at least one"}},
		{"empty index", "index_columns:\n  - {name: id, type: string}", "index_columns: []", []string{"8:16: index_columns is empty"}},
		{"no features", "features:\n  - {name: amount, type: double}\n", "", []string{"features is missing"}},
		{"null feature", "  - {name: amount, type: double}", "  - {name: amount, type: double}\n  -", []string{"features[1] is empty"}},
		{"bad type", "type: double", "type: decimal", []string{`features[0].type: the column type is "decimal"; expected string, integer`}},
		{"missing type", ", type: double", "", []string{"features[0].type is missing; expected string, integer"}},
		{"bad name", "name: amount", "name: 'amount;drop'", []string{`features[0].name: the column name "amount;drop" has the character ';'`}},
		{"reserved name", "name: amount", "name: __Alvara_x", []string{"reserved"}},
		{"same name", "name: amount", "name: ID", []string{`features[0].name: the column name "ID" is taken by index_columns[0].name`}},
		{"timestamp as feature", "name: amount", "name: TS", []string{`taken by source.timestamp_column.name`}},
		{"mltable", "type: parquet", "type: mltable", []string{"2:9: source.type: mltable is not supported yet"}},
		{"deltaTable", "type: parquet", "type: deltaTable", []string{"deltaTable is not supported yet"}},
		{"source code", "type: parquet", "type: custom\n  source_process_code: {path: ./x.py}",
			[]string{"source.source_process_code is not supported yet", "custom is not supported yet"}},
		{"source type", "type: parquet", "type: orc", []string{`source.type is "orc"; expected parquet, csv or json`}},
		{"source path", "wasbs://data@acct.blob.host.net/t/*.parquet", "/etc/passwd", []string{`3:9: source.path: the source path "/etc/passwd" has no scheme`}},
		{"old code", "", "feature_transformation_code: {path: ./code, transformer_class: a.B}\n",
			[]string{"feature_transformation_code is not supported yet, use transformation_sql or transformation_expression"}},
		{"code", "", "feature_transformation:\n  transformation_code: {path: ./code, transformer_class: a.B}\n",
			[]string{"transformation_code is not supported yet, use transformation_sql"}},
		{"both", "", expression + sum + "  transformation_sql: {path: t.sql}\n", []string{"at most one is allowed"}},
		{"empty transformation", "", "feature_transformation: {}\n", []string{"names no transformation"}},
		{"sql missing", "", "feature_transformation:\n  transformation_sql: {path: no.sql}\n", []string{`names "no.sql", which is not in`}},
		{"sql outside", "", "feature_transformation:\n  transformation_sql: {path: a/../../t.sql}\n", []string{"expected a path inside"}},
		{"sql absolute", "", "feature_transformation:\n  transformation_sql: {path: /t.sql}\n", []string{"expected a path inside"}},
		{"sql empty", "", "feature_transformation:\n  transformation_sql: {path: empty.sql}\n", []string{"empty.sql is empty"}},
		{"sql not text", "", "feature_transformation:\n  transformation_sql: {path: binary.sql}\n", []string{"not UTF-8"}},
		{"unknown feature", "", expression + strings.Replace(sum, "amount", "amuont", 1),
			[]string{`"amuont" is not among the features; did you mean "amount"?`, `the feature "amount" (features[0]) is computed by no entry`}},
		{"feature twice", "", expression + sum + sum, []string{`"amount" is computed by feature_transformation.transformation_expression[0] already`}},
		{"no column", "", expression + strings.Replace(sum, "column: amount, ", "", 1), []string{"column is missing; sum needs"}},
		{"no window", "", expression + strings.Replace(sum, ", window: {length: 1, unit: day}", "", 1), []string{"window is missing"}},
		{"zero window", "", expression + strings.Replace(sum, "length: 1", "length: 0", 1), []string{"window is zero"}},
		{"negative window", "", expression + strings.Replace(sum, "length: 1", "length: -1", 1), []string{"must not be negative"}},
		{"fraction", "", expression + strings.Replace(sum, "length: 1", "length: 1.5", 1), []string{"length is a number; a whole number"}},
		{"window unit", "", expression + strings.Replace(sum, "unit: day", "unit: month", 1), []string{`unit is "month"; expected weeks, days`}},
		{"function", "", expression + strings.Replace(sum, "sum", "median", 1), []string{`aggregation is "median"; expected count, sum`}},
		{"short lookback", "", "source_lookback: {hours: 23}\n" + expression + sum,
			[]string{`source_lookback is 23 hours, shorter than the window of the feature "amount", which is 1 day`}},
		{"negative delay", "    name: ts", "    name: ts\n  source_delay: {minutes: -5}", []string{"source_delay.minutes is -5; it must not be negative"}},
		{"long delay", "    name: ts", "    name: ts\n  source_delay: {days: 99999999999}", []string{"longer than 36500 days"}},
		{"overflow", "", "source_lookback: {days: 18446744073709551615}\n", []string{"too large"}},
		{"sum of parts", "", "source_lookback: {days: 36500, minutes: 1}\n", []string{"longer than 36500 days"}},
		{"no unit", "", "temporal_join_lookback: {}\n", []string{"names no unit"}},
		{"unit unknown", "", "temporal_join_lookback: {weeks: 1}\n", []string{`unknown field "weeks" in temporal_join_lookback`}},
		{"text for duration", "", "source_lookback: 7d\n", []string{"source_lookback is text; a mapping of fields was expected"}},
		{"alias", "", "x: &a 1\n", []string{`unknown field "x"`, "anchor"}},
		{"list for mapping", "", "source_lookback: [1]\n", []string{"a mapping of fields was expected"}},
		{"mapping for list", "features:\n  - {name: amount, type: double}", "features: {name: a}", []string{"features is a mapping; a list was expected"}},
		{"boolean name", "name: amount", "name: true", []string{"put it in quotes"}},
		{"two documents", "", "---\na: b\n", []string{"more than one YAML document"}},
		{"syntax", "", "a: [b\n", []string{"not valid YAML"}},
		{"several", "type: parquet", "type: orc\n  colour: red\n  source_delay: {minutes: -1}",
			[]string{"colour", "orc", "must not be negative"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := minimalYAML + c.new
			if c.old != "" {
				if !strings.Contains(minimalYAML, c.old) {
					t.Fatalf("%q is not in the document", c.old)
				}
				text = strings.Replace(minimalYAML, c.old, c.new, 1)
			}
			_, err := Parse(map[string][]byte{"FeatureSetSpec.yaml": []byte(text), "empty.sql": []byte(" \n"), "binary.sql": {0xff, 0xfe}})
			checkFaults(t, err, c.want)
		})
	}
}

// checkFaults compares the details of an error with parts of their messages, in any order.
func checkFaults(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Fatalf("want no error, got %v", err)
		}
		return
	}
	e, ok := resource.AsError(err)
	if !ok || e.Kind != resource.Invalid {
		t.Fatalf("want an error of kind Invalid, got %v", err)
	}
	if len(e.Details) != len(want) {
		t.Errorf("want %d faults, got %d:\n%v", len(want), len(e.Details), err)
	}
	all := ""
	for _, detail := range e.Details {
		all += detail.Message + "\n"
	}
	for _, part := range want {
		if !strings.Contains(all, part) {
			t.Errorf("want a fault with %q, got:\n%s", part, all)
		}
		if !strings.Contains(e.Message, part) {
			t.Errorf("the message leaves %q out:\n%s", part, e.Message)
		}
	}
}

// TestResultTypes shows which types the result of an aggregation may have (J6).
func TestResultTypes(t *testing.T) {
	allowed := map[string]string{
		"count": "integer long float double", "sum": "integer long float double", "avg": "float double",
		"min": "string integer long float double datetime boolean", "max": "string integer long float double datetime boolean",
	}
	for function, types := range allowed {
		for _, columnType := range columnTypes {
			text := strings.Replace(minimalYAML, "type: double", "type: "+string(columnType), 1) + fmt.Sprintf(
				"feature_transformation:\n  transformation_expression: [{feature: AMOUNT, aggregation: %s, column: a b, window: {hours: 1}}]\n", function)
			s, err := Parse(map[string][]byte{"featuresetspec.YML": []byte(text)})
			if want := strings.Contains(" "+types+" ", " "+string(columnType)+" "); (err == nil) != want {
				t.Errorf("%s as %s: %v", function, columnType, err)
			}
			if err == nil && s.Aggregations[0].Feature != "amount" {
				t.Errorf("the feature is spelled %q, not as declared", s.Aggregations[0].Feature)
			}
		}
	}
}

// TestFolder shows how the document and the SQL file are found.
func TestFolder(t *testing.T) {
	sql := minimalYAML + "feature_transformation: {transformation_sql: {path: ./sql//t.sql}}\ntemporal_join_lookback: {minutes: 0}\n"
	s, err := Parse(map[string][]byte{"./featureSETspec.yml": []byte("\ufeff" + sql), "sql/t.sql": []byte("\ufeffSELECT 1\n"), "README": {0xff}})
	if err != nil {
		t.Fatal(err)
	}
	if s.SQL != "SELECT 1\n" || s.SQLPath != "sql/t.sql" {
		t.Errorf("got %q from %q", s.SQL, s.SQLPath)
	}
	if s.TemporalJoinLookback == nil || *s.TemporalJoinLookback != 0 {
		t.Error("a lookback of zero is not unbounded")
	}
	if _, err := Parse(map[string][]byte{"sub/FeatureSetSpec.yaml": []byte(sql)}); err == nil || !strings.Contains(err.Error(), "holds no FeatureSetSpec.yaml") {
		t.Errorf("got %v", err)
	}
	if _, err := Parse(map[string][]byte{"FeatureSetSpec.yaml": nil, "FeatureSetSpec.yml": nil}); err == nil || !strings.Contains(err.Error(), "several") {
		t.Errorf("got %v", err)
	}
	for name, data := range map[string]string{"is empty": "# nothing\n", "document is empty": "~", "nested deeper": strings.Repeat("[", 100000),
		"nested deeper ": strings.Repeat("- ", 100000), "bytes long": strings.Repeat(" ", maxDocumentBytes+1), "not UTF-8": "a: \xff"} {
		if _, err := Parse(map[string][]byte{FileName: []byte(data)}); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}
