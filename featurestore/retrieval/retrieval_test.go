package retrieval_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
)

// expect joins by the rule, observation by observation. The transactions' rows count where keep says so.
func (w *world) expect(keep func(at time.Time) bool) []string {
	w.t.Helper()
	transactions, accounts := w.transactions(), w.accounts()
	for key, rows := range transactions {
		transactions[key] = slices.DeleteFunc(rows, func(r row) bool { return !keep(time.UnixMicro(r.at)) })
	}
	var out []string
	for _, line := range Query(w.t, `SELECT n, "accountID", epoch_us(seen) FROM (`+observationRows+`) ORDER BY n`) {
		f := strings.Split(line, "|")
		at, _ := strconv.ParseInt(f[2], 10, 64)
		tx := latest(transactions[f[1]], at, 48*time.Hour, 20*time.Minute, 2)
		ac := latest(accounts[f[1]], at, -1, 0, 2)
		out = append(out, strings.Join([]string{line, tx[0], ac[0], ac[1], tx[1]}, "|"))
	}
	return out
}

var asked = []string{"transactions:1:sum1d", "accounts:1", "transactions:1:count3d"}

func read(t testing.TB, path string) []string {
	return Query(t, `SELECT n, "accountID", epoch_us(seen), sum1d, "accountAge", country, count3d FROM '`+path+`' ORDER BY n`)
}

// FS-05, FS-15: registered sets, materialized sets and local ones join point in time as a naive computation does.
func TestPointInTime(t *testing.T) {
	w := newWorld(t)
	observations := w.observations()

	request := func() retrieval.Request {
		return retrieval.Request{Store: store, Features: asked, Observations: observations, TimestampColumn: "seen", Output: filepath.Join(t.TempDir(), "out.parquet")}
	}
	check := func(name string, q retrieval.Request, want []string, from ...string) {
		t.Helper()
		result, err := w.retriever().GetOffline(context.Background(), q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := read(t, q.Output); !slices.Equal(got, want) {
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("%s: got %d rows, want %d; first difference: got %s, want %s", name, len(got), len(want), got[i], want[i])
				}
			}
			t.Fatalf("%s: got %d rows, want %d", name, len(got), len(want))
		}
		if columns := []string{"n", "accountID", "seen", "sum1d", "accountAge", "country", "count3d"}; !slices.Equal(result.Columns, columns) || result.Rows != 300 {
			t.Errorf("%s: result %+v", name, result)
		}
		for i, set := range result.Sets {
			if set.From != from[i] || (set.Matched == 0) != (name == "no table yet" && i != 1) {
				t.Errorf("%s: set %+v, want from %s", name, set, from[i])
			}
		}
	}
	want := w.expect(always)
	if matched := strings.Count(strings.Join(want, "\n"), "NULL"); matched > 900 {
		t.Fatalf("the test's data matches too little: %d nulls", matched)
	}
	check("registered", request(), want, "source", "source", "source")

	// A local set comes before a registered one of its name, and one that is registered nowhere needs no store (FS-15).
	local := request()
	w.register("accounts", "broken", "None")
	local.Local = map[string]retrieval.LocalSet{"accounts:1": {Files: map[string][]byte{"FeatureSetSpec.yaml": []byte(Accounts)}}}
	check("local", local, want, "source", "source", "source")
	w.register("accounts", strings.Replace(Accounts, "wasbs://sources@store1.blob.core.windows.net/", "azureml://datastores/sources/paths/", 1), "None")
	check("datastore", request(), want, "source", "source", "source")

	// From here on only what is materialized has rows.
	w.register("transactions", Transactions, "OnlineAndOffline")
	check("no table yet", request(), w.expect(func(time.Time) bool { return false }), "store", "source", "store")
	w.materialize(day(3), day(6))
	w.materialize(day(9), day(10))
	check("materialized in part", request(), w.expect(func(at time.Time) bool {
		return !at.Before(day(3)) && at.Before(day(6)) || !at.Before(day(9)) && at.Before(day(10))
	}), "store", "source", "store")
	w.materialize(day(1), day(30))
	check("materialized", request(), want, "store", "source", "store")
}

// Only what can matter is read: files of the offline table and row groups of the source outside the span stay where they
// are.
func TestReadsWhatMatters(t *testing.T) {
	w := newWorld(t)
	w.register("transactions", Transactions, "Offline")
	for n := 1; n < 12; n++ {
		w.materialize(day(n), day(n+1))
	}
	observations := Write(t, filepath.Join(t.TempDir(), "o.csv"), `SELECT 'A1' AS "accountID", '2023-01-05 12:00:00' AS seen`)
	output := filepath.Join(t.TempDir(), "out.csv")
	result, err := w.retriever().GetOffline(context.Background(), retrieval.Request{
		Store: store, Features: []string{"tx=transactions:1"}, Observations: observations, TimestampColumn: "seen", Output: output})
	if err != nil || result.Sets[0].Files != 3 || !slices.Equal(result.Columns, []string{"accountID", "seen", "tx_sum1d", "tx_count3d"}) {
		t.Fatalf("%+v, %v; want the files of the three days that the lookback of two days reaches", result, err)
	}
	text, err := os.ReadFile(output)
	if err != nil || !strings.HasPrefix(string(text), "accountID,seen,tx_sum1d,tx_count3d\nA1,") {
		t.Errorf("%q, %v", text, err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	if err := os.WriteFile(fresh, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	want, err1 := os.Stat(fresh)
	got, err2 := os.Stat(output)
	if err1 != nil || err2 != nil || got.Mode() != want.Mode() {
		t.Errorf("the output has the mode %v, other new files have %v; %v, %v", got.Mode(), want.Mode(), err1, err2)
	}
	none := Write(t, filepath.Join(t.TempDir(), "none.parquet"), `SELECT 'A1' AS "accountID", TIMESTAMP '2023-01-05' AS seen WHERE false`)
	result, err = w.retriever().GetOffline(context.Background(), retrieval.Request{
		Store: store, Features: []string{"transactions:1", "accounts:1"}, Observations: none, TimestampColumn: "seen", Output: filepath.Join(t.TempDir(), "out.arrow")})
	if err != nil || result.Rows != 0 || result.Sets[0].Files+result.Sets[1].Files != 0 || len(result.Columns) != 6 {
		t.Errorf("without observations: %+v, %v", result, err)
	}
}
