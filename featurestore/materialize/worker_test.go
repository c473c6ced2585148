package materialize_test

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/materialize"
	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/resource"
)

// FS-12: a window is computed with its lookback and put into both stores; others stay as they are.
func TestMaterializeBothStores(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := order("first", day(3), day(8))
	o.OnlineTTL = 90 * 24 * time.Hour
	result := w.run(o)
	want := w.expected(1, day(3), day(8))
	if len(want) < 100 {
		t.Fatalf("the test's data has %d rows", len(want))
	}
	same(t, "offline", w.offline(day(1), day(30)), want)
	if result.Rows != int64(len(want)) || result.OnlineRows != 5 || result.Dropped != 0 {
		t.Errorf("result %+v, want %d rows", result, len(want))
	}
	if got := w.Plane.Rows(t, version); !maps.Equal(got, newest(want)) {
		t.Errorf("online %v, want %v", got, newest(want))
	}
	if q := w.Plane.Queries(); len(q) != 1 || q[0] != "end=2023-01-08T00%3A00%3A00Z&job=first&replace=true&start=2023-01-03T00%3A00%3A00Z&ttl=7776000" {
		t.Errorf("queries %q", q)
	}

	// The next window, and one that overlaps both and comes late with other data: files that reach over its bounds are
	// rewritten, and rows outside stay.
	w.run(order("second", day(8), day(10)))
	w.source(2)
	w.run(order("late", day(5), day(9)))
	expected := append(append(w.expected(1, day(3), day(5)), w.expected(2, day(5), day(9))...), w.expected(1, day(9), day(10))...)
	same(t, "offline after a late window", w.offline(day(1), day(30)), expected)
	if got, want := w.Plane.Rows(t, version), newest(w.expected(1, day(9), day(10))); !maps.Equal(got, want) {
		t.Errorf("online %v, want %v", got, want)
	}
}

// FS-12: the same job again changes nothing, and a later job replaces.
func TestRepeatedOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.run(order("job", day(3), day(5)))
		same(t, "offline", w.offline(day(1), day(30)), w.expected(1, day(3), day(5)))
	}
	w.source(5)
	w.run(order("other", day(3), day(5)))
	same(t, "offline", w.offline(day(1), day(30)), w.expected(5, day(3), day(5)))
	if got, want := w.Plane.Rows(t, version), newest(w.expected(5, day(3), day(5))); !maps.Equal(got, want) {
		t.Errorf("online %v, want %v", got, want)
	}
}

// Between the offline and the online store a job may be cut off, and its source may change before it goes on: then both
// stores have what was committed first.
func TestRepeatedHalf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Deny(Worker, "featuresets/action", "features")
	if _, err := w.worker().Run(context.Background(), order("half", day(3), day(6))); resource.KindOf(err) != resource.Forbidden {
		t.Fatal(err)
	}
	w.Allow(Worker, "featuresets/action", "features")
	w.source(2)
	w.run(order("half", day(3), day(6)))
	want := w.expected(1, day(3), day(6))
	same(t, "offline", w.offline(day(1), day(30)), want)
	if got := w.Plane.Rows(t, version); !maps.Equal(got, newest(want)) {
		t.Errorf("online %v, want %v", got, newest(want))
	}
}

// A key that loses its rows in a window has online what it had before the window, not nothing.
func TestRowsFromBeforeTheWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(order("before", day(3), day(6)))
	w.run(order("after", day(6), day(8)))
	w.Upload(t, Sources, "tx/part-0.parquet", Write(t, t.TempDir()+"/s.parquet",
		`SELECT * FROM (`+TransactionRows(rowsOfSource, 1)+`) WHERE "accountID" <> 'A4' OR "timestamp" < TIMESTAMP '2023-01-06'`))
	w.run(order("corrected", day(6), day(8)))
	want := newest(w.expected(1, day(6), day(8)))
	want["A4"] = newest(w.expected(1, day(3), day(6)))["A4"]
	if got := w.Plane.Rows(t, version); !maps.Equal(got, want) {
		t.Errorf("online %v, want %v", got, want)
	}
}

// A window without rows empties the window in both stores.
func TestWindowWithoutRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(order("full", day(3), day(6)))
	w.Upload(t, Sources, "tx/part-0.parquet", Write(t, t.TempDir()+"/s.parquet", TransactionRows(10, 1))) // ends on the first day
	result := w.run(order("empty", day(3), day(6)))
	if result.Rows != 0 || result.OnlineRows != 0 {
		t.Errorf("result %+v", result)
	}
	same(t, "offline", w.offline(day(1), day(30)), []string{})
	if got := w.Plane.Rows(t, version); len(got) != 0 {
		t.Errorf("online %v", got)
	}
}

// Online alone reads the offline table, clipped to the window, or computes when there is no offline store.
func TestOnlineOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	offline := order("offline", day(3), day(8))
	offline.Online = false
	w.run(offline)
	if got := w.Plane.Rows(t, version); len(got) != 0 {
		t.Fatalf("an offline order put %v online", got)
	}
	w.source(2) // the offline table is what counts
	online := order("online", day(4), day(6))
	online.Offline = false
	result := w.run(online)
	if got, want := w.Plane.Rows(t, version), newest(w.expected(1, day(4), day(6))); !maps.Equal(got, want) || result.OnlineRows != 5 || result.Rows != 0 {
		t.Errorf("online %v, want %v; %+v", got, want, result)
	}
	online.FromSource, online.Job = true, store.Child("jobs", "from-source")
	w.run(online)
	if got, want := w.Plane.Rows(t, version), newest(w.expected(2, day(4), day(6))); !maps.Equal(got, want) {
		t.Errorf("online from source %v, want %v", got, want)
	}
	same(t, "offline", w.offline(day(1), day(30)), w.expected(1, day(3), day(8)))

	online.FromSource, online.Version, online.Job = false, store.Child("featuresets", "never").Child("versions", "1"), store.Child("jobs", "no-table")
	online.Target.Path = materialize.OfflinePrefix(online.Version)
	if result := w.run(online); result.OnlineRows != 0 {
		t.Errorf("rows of a table that is not there: %+v", result)
	}
}

// FS-08: each missing right fails the job with that reason, and the right given back lets it succeed.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ action, where, what string }{
		{"blobs/read", Sources, "lacks a right on the source"},
		{"blobs/write", Offline, "lacks a right on the offline store"},
		{"blobs/read", Offline, "lacks a right on the offline store"},
		{"featuresets/action", "features", "lacks a right on the online store"},
	} {
		before := w.Asked(Worker, c.action)
		w.Deny(Worker, c.action, c.where)
		_, err := w.worker().Run(context.Background(), order("denied", day(3), day(5)))
		e, ok := resource.AsError(err)
		if !ok || e.Kind != resource.Forbidden || !strings.HasPrefix(e.Code, "Authorization") || !strings.Contains(e.Message, c.what) ||
			!strings.Contains(e.Message, Worker) || !strings.Contains(e.Message, c.action) || !strings.Contains(e.Message, c.where) {
			t.Errorf("without %s on %s: %v", c.action, c.where, err)
		}
		if n := w.Asked(Worker, c.action) - before; n > 8 {
			t.Errorf("without %s on %s: asked %d times", c.action, c.where, n)
		}
		w.Allow(Worker, c.action, c.where)
	}
	w.run(order("denied", day(3), day(5)))
	same(t, "offline", w.offline(day(1), day(30)), w.expected(1, day(3), day(5)))
}

// Input that no provider writes, or whose specification or source is broken, is refused with its reason, and nothing is
// written or left behind.
func TestHostileOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Upload(t, Sources, "broken/a.parquet", Write(t, t.TempDir()+"/a.csv", "SELECT 1 AS x"))
	sql := Transactions[:strings.Index(Transactions, "feature_transformation:")] + "feature_transformation: {transformation_sql: {path: t.sql}}\n"
	for name, c := range map[string]struct {
		change func(*materialize.Order)
		want   string
	}{
		"window":         {func(o *materialize.Order) { o.End = o.Start }, "must end after it starts"},
		"no store":       {func(o *materialize.Order) { o.Offline, o.Online = false, false }, "names no store"},
		"no spec":        {func(o *materialize.Order) { o.Spec = nil }, "FeatureSetSpec.yaml"},
		"no job":         {func(o *materialize.Order) { o.Job = resource.Root }, "no job"},
		"spec":           {func(o *materialize.Order) { o.Spec = map[string]string{"FeatureSetSpec.yaml": "a: ["} }, "FeatureSetSpec.yaml"},
		"other table":    {func(o *materialize.Order) { o.Target.Path = "featuresets/other/1/" }, "lies at"},
		"above table":    {func(o *materialize.Order) { o.Target.Path = "../" }, "lies at"},
		"account":        {func(o *materialize.Order) { o.Source.Account = "evil.example/x" }, "storage account's name"},
		"container":      {func(o *materialize.Order) { o.Target.Container = "../../other" }, "container's name"},
		"missing source": {func(o *materialize.Order) { o.Source.Path = "nothing/*.parquet" }, "matches no file"},
		"no container":   {func(o *materialize.Order) { o.Source.Container = "absent" }, "does not exist"},
		"broken source":  {func(o *materialize.Order) { o.Source.Path = "broken/a.parquet" }, "source file"},
		"negative ttl":   {func(o *materialize.Order) { o.OnlineTTL = -1 }, "negative"},
		"files by SQL": {func(o *materialize.Order) {
			o.Spec = map[string]string{"FeatureSetSpec.yaml": sql, "t.sql": "SELECT * FROM read_csv('/etc/passwd')"}
		}, "not allowed"},
	} {
		o := order("bad", day(3), day(5))
		c.change(&o)
		worker := w.worker()
		_, err := worker.Run(context.Background(), o)
		if e, ok := resource.AsError(err); !ok || e.Kind != resource.Invalid || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if left, err := os.ReadDir(worker.Scratch); err != nil || len(left) != 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	same(t, "offline", w.offline(day(1), day(30)), []string{})
	if q := w.Plane.Queries(); len(q) != 0 {
		t.Errorf("queries %q", q)
	}
}
