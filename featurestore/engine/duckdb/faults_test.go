package duckdb_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/resource"
)

// FS-05: bad input gives its own clear error, names what is at fault, tells no path, and leaves nothing behind.
func TestTransformFaults(t *testing.T) {
	text := table{columns: []string{"accountID", "timestamp", "amount"}, types: []string{"VARCHAR", "VARCHAR", "DOUBLE"},
		rows: [][]string{{"'A'", "'01/02/2024 10:00'", "1"}}}.write(t, t.TempDir()+"/text.parquet")
	for name, c := range map[string]struct {
		change func(*engine.Transform)
		code   string
		says   []string
	}{
		"index column missing":    {func(r *engine.Transform) { r.Index[0].Name = "customer" }, engine.CodeColumn, []string{`"customer"`, "accountID"}},
		"feature absent":          {func(r *engine.Transform) { r.SQL = "SELECT accountID, timestamp FROM source" }, engine.CodeColumn, []string{`"amount"`, "result of the SQL"}},
		"feature of another type": {func(r *engine.Transform) { r.Features[0].Type = engine.Long }, engine.CodeColumn, []string{`"amount"`, "long", "double"}},
		"value that does not fit": {func(r *engine.Transform) {
			r.SQL = "SELECT accountID, timestamp, 3000000000 AS amount FROM source"
			r.Features[0].Type = engine.Integer
		}, engine.CodeSQL, []string{"3000000000"}},
		"SQL fails to bind":  {func(r *engine.Transform) { r.SQL = "SELECT accountID, timestamp, amuont AS amount FROM source" }, engine.CodeSQL, []string{"amuont"}},
		"SQL fails to parse": {func(r *engine.Transform) { r.SQL = "SELEC * FROM source" }, engine.CodeSQL, []string{"SELEC"}},
		"SQL fails as it runs": {func(r *engine.Transform) {
			r.SQL = "SELECT accountID, timestamp, accountID::DOUBLE AS amount FROM source"
		}, engine.CodeSQL, []string{"'A'"}},
		"source missing":           {func(r *engine.Transform) { r.Sources = []string{"/nowhere/lost.parquet"} }, engine.CodeSource, []string{"lost.parquet", "does not exist"}},
		"source truncated":         {truncate(t), engine.CodeSource, []string{"broken.parquet"}},
		"text without a format":    {func(r *engine.Transform) { r.Sources = []string{text} }, engine.CodeTimestamp, []string{`"timestamp"`, "timestamp_column.format"}},
		"text of another format":   {func(r *engine.Transform) { r.Sources = []string{text}; r.TimestampFormat = "yyyy-MM-dd" }, engine.CodeTimestamp, []string{"01/02/2024"}},
		"format not understood":    {func(r *engine.Transform) { r.Sources = []string{text}; r.TimestampFormat = "QQQ" }, engine.CodeTimestamp, []string{`"QQQ"`}},
		"timestamp column missing": {func(r *engine.Transform) { r.TimestampColumn = "when" }, engine.CodeTimestamp, []string{`"when"`}},
		"timestamp not a time":     {func(r *engine.Transform) { r.TimestampColumn = "amount"; r.Features = nil }, engine.CodeTimestamp, []string{"DOUBLE"}},
		"window ends before start": {func(r *engine.Transform) { r.End = r.Start.Add(-time.Hour) }, engine.CodeRequest, []string{"end after it starts"}},
		"aggregation of no column": {func(r *engine.Transform) {
			r.Aggregations = []engine.Aggregation{{Feature: "amount", Func: "sum", Column: "x", Window: time.Hour}}
		}, engine.CodeColumn, []string{`"x"`}},
		"aggregation of text": {func(r *engine.Transform) {
			r.Aggregations = []engine.Aggregation{{Feature: "amount", Func: "sum", Column: "accountID", Window: time.Hour}}
		}, engine.CodeColumn, []string{"accountID"}},
		"feature declared twice": {func(r *engine.Transform) { r.Features = append(r.Features, r.Features[0]) }, engine.CodeName, []string{`"amount"`}},
		"two ways at once": {func(r *engine.Transform) {
			r.SQL = "SELECT 1"
			r.Aggregations = []engine.Aggregation{{Feature: "amount", Func: "count", Window: 1}}
		}, engine.CodeRequest, []string{"not by both"}},
		"not a format of files": {func(r *engine.Transform) { r.Format = "avro" }, engine.CodeRequest, []string{"avro"}},
	} {
		t.Run(name, func(t *testing.T) {
			request := transactions(t)
			c.change(&request)
			_, err := (&duckdb.Engine{}).Transform(context.Background(), request)
			known, ok := resource.AsError(err)
			if !ok || known.Kind != resource.Invalid || known.Code != c.code {
				t.Fatalf("gives %v, want %s", err, c.code)
			}
			for _, word := range c.says {
				if !strings.Contains(known.Message, word) {
					t.Errorf("%q does not say %q", known.Message, word)
				}
			}
			if strings.Contains(known.Message, os.TempDir()+"/") {
				t.Errorf("%q tells a path", known.Message)
			}
			empty(t, request.OutputDir)
			empty(t, request.Scratch)
		})
	}
}

func truncate(t *testing.T) func(*engine.Transform) {
	return func(r *engine.Transform) {
		whole, err := os.ReadFile(r.Sources[0])
		if err != nil {
			t.Fatal(err)
		}
		broken := t.TempDir() + "/broken.parquet"
		if err := os.WriteFile(broken, whole[:len(whole)-20], 0o600); err != nil {
			t.Fatal(err)
		}
		r.Sources = append(r.Sources, broken)
	}
}

// Text timestamps are read by either notation, and times with an offset become instants.
func TestTimestampFormats(t *testing.T) {
	for _, c := range []struct{ value, format, want string }{
		{"2024-01-02 10:30:00", "yyyy-MM-dd HH:mm:ss", "2024-01-02 10:30:00"},
		{"02/01/2024 10:30", "%d/%m/%Y %H:%M", "2024-01-02 10:30:00"},
		{"2024-01-02T10:30:00.123", "yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-01-02 10:30:00.123"},
		{"2024-01-02T10:30:00+02:00", "yyyy-MM-dd'T'HH:mm:ssXXX", "2024-01-02 08:30:00"},
		{"20240102", "yyyyMMdd", "2024-01-02 00:00:00"},
	} {
		for _, format := range []string{engine.Parquet, engine.CSV, engine.JSON} {
			request := transactions(t)
			request.Format = format
			request.TimestampFormat = c.format
			request.Sources = []string{table{columns: []string{"accountID", "timestamp", "amount"}, types: []string{"VARCHAR", "VARCHAR", "DOUBLE"},
				rows: [][]string{{"'A'", "'" + c.value + "'", "1.5"}}}.write(t, t.TempDir()+"/source."+format)}
			result, err := (&duckdb.Engine{}).Transform(context.Background(), request)
			if err != nil {
				t.Errorf("%s as %s in %s: %v", c.value, c.format, format, err)
				continue
			}
			if got := read(t, result.Files[0].Path).rows[0][1]; got != c.want {
				t.Errorf("%s as %s in %s: got %s, want %s", c.value, c.format, format, got, c.want)
			}
		}
	}
}
