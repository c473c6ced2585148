package duckdb_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/resource"
)

func joinRequest(t *testing.T) engine.Join {
	dir := t.TempDir()
	events := table{columns: []string{"accountID", "ts", "amount"}, types: []string{"VARCHAR", "TIMESTAMP", "DOUBLE"},
		rows: [][]string{{"'007'", "'2024-01-01'", "1.5"}, {"'007'", "'2024-01-03'", "2.5"}}}.write(t, dir+"/events.parquet")
	observations := table{columns: []string{"accountID", "when", "label"}, types: []string{"VARCHAR", "TIMESTAMP", "BIGINT"},
		rows: [][]string{{"'007'", "'2024-01-02'", "1"}, {"'008'", "'2024-01-02'", "2"}, {"'007'", "'2024-01-03'", "3"}}}.write(t, dir+"/obs.csv")
	return engine.Join{
		Observations: []string{observations}, ObservationFormat: engine.CSV, TimestampColumn: "when",
		Sets: []engine.JoinSet{{Name: "tx", Version: "1", Files: []string{events}, Index: []engine.Column{{Name: "accountID", Type: engine.String}},
			TimestampColumn: "ts", Features: []engine.Column{{Name: "amount", Type: engine.Double}}}},
		Output: dir + "/out", OutputFormat: engine.Parquet, Scratch: t.TempDir(),
	}
}

// FS-08: every output format holds the same rows; text keys that look like numbers stay text.
func TestJoinFormats(t *testing.T) {
	e := &duckdb.Engine{}
	want := []string{"1.5", "NULL", "2.5"}
	for _, format := range []string{engine.Parquet, engine.CSV, engine.Arrow} {
		request := joinRequest(t)
		request.OutputFormat = format
		result, err := e.Join(context.Background(), request)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if result.Rows != 3 || result.Matched[0] != 2 || result.Bytes == 0 || len(result.Times) != 2 || !result.Times[0].Equal(day(1)) {
			t.Errorf("%s: %+v", format, result)
		}
		var got []string
		switch format {
		case engine.Arrow:
			got = readArrow(t, request.Output)
		default:
			for _, r := range query(t, "SELECT amount FROM read_"+format+"('"+request.Output+"')").rows {
				got = append(got, r[0])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", format, got, want)
		}
		if _, err := e.Join(context.Background(), request); err == nil {
			t.Errorf("%s: an output that exists was overwritten", format)
		}
		empty(t, request.Scratch)
	}
}

func readArrow(t *testing.T, path string) (values []string) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := ipc.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	for reader.Next() {
		column := reader.RecordBatch().Column(3)
		for i := range column.Len() {
			if column.IsNull(i) {
				values = append(values, "NULL")
			} else {
				values = append(values, column.ValueStr(i))
			}
		}
	}
	if reader.Err() != nil {
		t.Fatal(reader.Err())
	}
	return values
}

// FS-08: empty inputs, and delay beyond lookback, give nulls; names that collide are refused by name.
func TestJoinEdges(t *testing.T) {
	e := &duckdb.Engine{}
	nulls := func(name string, change func(*engine.Join), rows int) {
		request := joinRequest(t)
		change(&request)
		result, err := e.Join(context.Background(), request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := read(t, request.Output)
		if len(got.rows) != rows || !slices.Equal(got.columns, []string{"accountID", "when", "label", "amount"}) || result.Matched[0] != 0 {
			t.Errorf("%s: %v", name, got)
		}
		for _, r := range got.rows {
			if r[3] != "NULL" {
				t.Errorf("%s: %v", name, r)
			}
		}
	}
	nulls("no files of the set", func(j *engine.Join) { j.Sets[0].Files = nil }, 3)
	nulls("delay beyond lookback", func(j *engine.Join) {
		lookback := time.Hour
		j.Sets[0].Delay, j.Sets[0].Lookback = 2*time.Hour, &lookback
	}, 3)
	nulls("delay of centuries", func(j *engine.Join) { j.Sets[0].Delay = 1<<63 - 1 }, 3)
	nulls("no observations", func(j *engine.Join) {
		j.ObservationFormat = engine.Parquet
		j.Observations = []string{table{columns: []string{"accountID", "when", "label"}, types: []string{"VARCHAR", "TIMESTAMP", "BIGINT"}}.write(t, t.TempDir()+"/none.parquet")}
	}, 0)

	refused := func(name, code, says string, change func(*engine.Join)) {
		request := joinRequest(t)
		change(&request)
		_, err := e.Join(context.Background(), request)
		if known, ok := resource.AsError(err); !ok || known.Code != code || !strings.Contains(known.Message, says) {
			t.Errorf("%s: gives %v", name, err)
		}
		if _, err := os.Stat(request.Output); err == nil {
			t.Errorf("%s: left an output", name)
		}
	}
	refused("two features of one name", engine.CodeName, `"amount"`, func(j *engine.Join) { j.Sets = append(j.Sets, j.Sets[0]) })
	refused("a feature like an observation column", engine.CodeName, `"label"`, func(j *engine.Join) {
		j.Sets[0].Prefix = "la"
		j.Sets[0].Features[0].Name = "bel"
		j.Sets[0].Files = nil
	})
	refused("key missing from observations", engine.CodeColumn, `"site"`, func(j *engine.Join) {
		j.Sets[0].Index[0].Name = "site"
		j.Sets[0].Files = nil
	})
	refused("observations missing", engine.CodeSource, "lost.csv", func(j *engine.Join) { j.Observations = []string{"/nowhere/lost.csv"} })
}

// FS-10: the newest row of every key, ordered by key, the same among ties whatever the order of files; Scan reads it back.
func TestLatest(t *testing.T) {
	dir := t.TempDir()
	tb := table{columns: []string{"k", "ts", "a", "b"}, types: []string{"BIGINT", "TIMESTAMP", "DOUBLE", "VARCHAR"}}
	tb.rows = [][]string{{"2", "'2024-01-01'", "1", "'x'"}, {"1", "'2024-01-02'", "NULL", "'y'"}, {"1", "'2024-01-02'", "5", "'z'"}}
	first := tb.write(t, dir+"/1.parquet")
	tb.rows = [][]string{{"1", "'2024-01-02'", "5", "'zz'"}, {"1", "'2024-01-01'", "9", "'w'"}, {"NULL", "'2024-01-09'", "9", "'w'"}}
	second := tb.write(t, dir+"/2.parquet")
	e := &duckdb.Engine{}
	for _, files := range [][]string{{first, second}, {second, first}} {
		result, err := e.Latest(context.Background(), engine.Latest{
			Files: files, Index: []engine.Column{{Name: "k", Type: engine.Long}}, TimestampColumn: "ts",
			Features:  []engine.Column{{Name: "a", Type: engine.Double}, {Name: "b", Type: engine.String}},
			OutputDir: t.TempDir(), Scratch: t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = e.Scan(context.Background(), []string{result.Files[0].Path}, []string{"b", "k"}, func(batch arrow.RecordBatch) error {
			for i := range int(batch.NumRows()) {
				got = append(got, batch.Column(1).ValueStr(i)+batch.Column(0).ValueStr(i))
			}
			return nil
		})
		if err != nil || !slices.Equal(got, []string{"1zz", "2x"}) || result.Rows != 2 {
			t.Errorf("got %v, %v, %+v", got, err, result)
		}
	}
}

// Files are described in declared types, with the span of their time.
func TestInspect(t *testing.T) {
	request := transactions(t)
	result, err := (&duckdb.Engine{}).Inspect(context.Background(), engine.Inspect{
		Files: request.Sources, Format: engine.Parquet, TimestampColumn: "timestamp", Scratch: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Column{{Name: "accountID", Type: engine.String}, {Name: "timestamp", Type: engine.Datetime}, {Name: "amount", Type: engine.Double}}
	if !slices.Equal(result.Columns, want) || result.Rows != 6 || !result.MinTimestamp.Equal(day(0)) || !result.MaxTimestamp.Equal(day(3).Add(12*time.Hour)) {
		t.Errorf("%+v", result)
	}
}

// BX-05: what walls the machine offers stand.
func TestIsolation(t *testing.T) {
	result, err := (&duckdb.Engine{}).Transform(context.Background(), transactions(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, wall := range []string{"resource limits", "no new privileges"} {
		if !slices.Contains(result.Usage.Isolation, wall) {
			t.Errorf("no %s: %v", wall, result.Usage.Isolation)
		}
	}
	t.Log(result.Usage.Isolation)
}

// BX-05: a compute process is given nothing of its parent's environment, and one that gives no answer is an error.
func TestEnvironment(t *testing.T) {
	t.Setenv("ALVARA_SECRET", "42")
	_, err := (&duckdb.Engine{Command: []string{"/bin/sh", "-c", "export >&2"}}).Transform(context.Background(), transactions(t))
	known, ok := resource.AsError(err)
	if !ok || known.Code != engine.CodeCompute || known.Cause == nil {
		t.Fatalf("gives %v", err)
	}
	if told := known.Cause.Error(); strings.Contains(told, "ALVARA_SECRET") || !strings.Contains(told, "GOTRACEBACK") {
		t.Errorf("the environment is %s", told)
	}
}
