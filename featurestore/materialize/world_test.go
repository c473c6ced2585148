package materialize_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/resource"
)

var (
	store   = resource.MustParseID("/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fs")
	version = store.Child("featuresets", "transactions").Child("versions", "1")
)

// world is a stack with the sources of the transactions.
type world struct {
	t testing.TB
	*Stack
}

const rowsOfSource = 600 // a bit more than 15 days

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, Stack: New(t)}
	w.source(1)
	if err := w.Plane.Set([]online.Column{{Name: "accountID", Type: online.String}},
		[]online.Column{{Name: "sum1d", Type: online.Double}, {Name: "count3d", Type: online.Long}}, "timestamp"); err != nil {
		t.Fatal(err)
	}
	return w
}

// source replaces the source by one with other amounts.
func (w *world) source(seed int) {
	w.t.Helper()
	w.Upload(w.t, Sources, "tx/part-0.parquet", Write(w.t, filepath.Join(w.t.TempDir(), "s.parquet"), TransactionRows(rowsOfSource, seed)))
}

// day is a day of January 2023.
func day(n int) time.Time { return time.Date(2023, 1, n, 0, 0, 0, 0, time.UTC) }

func order(job string, start, end time.Time) materialize.Order {
	return materialize.Order{
		Job: store.Child("jobs", job), Version: version, Spec: map[string]string{"FeatureSetSpec.yaml": Transactions},
		Source: materialize.Location{Account: Account, Container: Sources, Path: "tx/*.parquet"},
		Target: materialize.Location{Account: Account, Container: Offline, Path: materialize.OfflinePrefix(version)},
		Start:  start, End: end, Offline: true, Online: true, Identity: Worker, Limits: engine.Limits{Threads: 1, Memory: 256 << 20},
	}
}

// worker does orders in this process.
func (w *world) worker() *materialize.Worker {
	return &materialize.Worker{
		Blob: w.Blob, Features: w.Features, HTTP: w.HTTP, Credential: Credential(Worker), Engine: &duckdb.Engine{},
		Scratch: w.t.TempDir(), Log: func(line string) { w.t.Log(line) },
	}
}

// process does orders in processes of their own.
func (w *world) process() *materialize.Process {
	return &materialize.Process{Blob: w.Blob, Features: w.Features, CAFile: w.CAFile, Identity: w.Identity, Runs: w.Runs, ScratchDir: filepath.Join(w.t.TempDir(), "scratch")}
}

func (w *world) run(o materialize.Order) materialize.Result {
	w.t.Helper()
	result, err := w.worker().Run(context.Background(), o)
	if err != nil {
		w.t.Fatalf("%s: %v", o.Job.Name(), err)
	}
	return result
}

const window = "epoch_us(\"timestamp\") >= %d AND epoch_us(\"timestamp\") < %d"

// expected computes the features of a source by the rules, row by row.
func (w *world) expected(seed int, start, end time.Time) []string {
	w.t.Helper()
	return Query(w.t, fmt.Sprintf(`WITH s AS (%s) SELECT a."accountID", epoch_us(a."timestamp"),
		(SELECT sum(b.amount) FROM s b WHERE b."accountID" = a."accountID" AND b."timestamp" <= a."timestamp" AND b."timestamp" >= a."timestamp" - INTERVAL 1 DAY),
		(SELECT count(*) FROM s b WHERE b."accountID" = a."accountID" AND b."timestamp" <= a."timestamp" AND b."timestamp" >= a."timestamp" - INTERVAL 3 DAY)
		FROM s a WHERE `+window+` ORDER BY 2, 1`, TransactionRows(rowsOfSource, seed), start.UnixMicro(), end.UnixMicro()))
}

// offline gives the offline table's rows in a window.
func (w *world) offline(start, end time.Time) []string {
	w.t.Helper()
	ctx := context.Background()
	bucket := w.Bucket(w.t, "admin", Offline)
	table, err := offline.Open(ctx, bucket, materialize.OfflinePrefix(version), offline.Options{})
	if resource.KindOf(err) == resource.NotFound {
		return []string{}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	files, _, err := table.Files(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var locals []string
	dir := w.t.TempDir()
	for i, file := range files {
		local := filepath.Join(dir, fmt.Sprintf("%d.parquet", i))
		if _, err := lake.Download(ctx, bucket, file.Path, local); err != nil {
			w.t.Fatal(err)
		}
		locals = append(locals, local)
	}
	if len(locals) == 0 {
		return []string{}
	}
	return Query(w.t, fmt.Sprintf(`SELECT "accountID", epoch_us("timestamp"), sum1d, count3d FROM read_parquet(['%s']) WHERE `+window+` ORDER BY 2, 1`,
		strings.Join(locals, "', '"), start.UnixMicro(), end.UnixMicro()))
}

// newest is what the online store holds when these rows are all that was put: of every account the last.
func newest(rows []string) map[string]string {
	out := map[string]string{}
	for _, row := range rows {
		f := strings.Split(row, "|")
		var micros int64
		_, _ = fmt.Sscan(f[1], &micros)
		out[f[0]] = fmt.Sprintf(`%s {"sum1d":%s,"count3d":%s}`, time.UnixMicro(micros).UTC().Format(time.RFC3339Nano), f[2], f[3])
	}
	return out
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d rows, want %d\ngot  %v\nwant %v", what, len(got), len(want), head(got), head(want))
	}
}

func head(rows []string) []string { return rows[:min(5, len(rows))] }
