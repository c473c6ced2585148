package duckdb_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

func day(n int) time.Time { return time.Date(2024, 1, 1+n, 0, 0, 0, 0, time.UTC) }

func transactions(t testing.TB) engine.Transform {
	dir := t.TempDir()
	source := table{
		columns: []string{"accountID", "timestamp", "amount"}, types: []string{"VARCHAR", "TIMESTAMP", "DOUBLE"},
		rows: [][]string{
			{"'A'", "'2024-01-01 00:00:00'", "1"},
			{"'A'", "'2024-01-02 00:00:00'", "2"},
			{"'A'", "'2024-01-04 00:00:00'", "4"},
			{"'B'", "'2024-01-04 12:00:00'", "8"},
			{"NULL", "'2024-01-04 12:00:00'", "16"},
			{"'B'", "NULL", "32"},
		},
	}.write(t, dir+"/source.parquet")
	return engine.Transform{
		Sources: []string{source}, Format: engine.Parquet, TimestampColumn: "timestamp",
		Index:    []engine.Column{{Name: "accountID", Type: engine.String}},
		Features: []engine.Column{{Name: "amount", Type: engine.Double}},
		Start:    day(0), End: day(10), OutputDir: t.TempDir(), Scratch: t.TempDir(),
	}
}

// FS-03: a declared window aggregation equals the same in SQL, and rows that can never be found are dropped and counted.
func TestTransformWays(t *testing.T) {
	ctx := context.Background()
	e := &duckdb.Engine{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	declared := transactions(t)
	declared.Aggregations = []engine.Aggregation{{Feature: "amount", Func: "sum", Column: "amount", Window: 48 * time.Hour}}
	declared.Start, declared.SourceStart = day(1), day(0)
	result, err := e.Transform(ctx, declared)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", result)
	got := read(t, result.Files[0].Path)
	t.Log(got)
}
