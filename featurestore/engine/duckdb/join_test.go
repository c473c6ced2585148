package duckdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

// row is a row of events or observations of the oracle: keys (nil is null), time in microseconds (nil is null), values as text.
type row struct {
	keys   []*string
	at     *int64
	values []string
}

// oracle answers a point-in-time join the slow way: for each observation it looks at every event.
func oracle(observations, events []row, delay time.Duration, lookback *time.Duration, width int, descending func(a, b []string) int) [][]string {
	var out [][]string
	for _, o := range observations {
		var best *row
		for i := range events {
			e := &events[i]
			if o.at == nil || e.at == nil || !sameKeys(o.keys, e.keys) || *e.at > *o.at-delay.Microseconds() {
				continue
			}
			if lookback != nil && *e.at < *o.at-lookback.Microseconds() {
				continue
			}
			if best == nil || *e.at > *best.at || (*e.at == *best.at && descending(e.values, best.values) < 0) {
				best = e
			}
		}
		values := slices.Repeat([]string{"NULL"}, width)
		if best != nil {
			values = best.values
		}
		out = append(out, values)
	}
	return out
}

func sameKeys(a, b []*string) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil || *a[i] != *b[i] {
			return false
		}
	}
	return true
}

// firstOf orders values as a join does: greatest first, nulls last, column by column. The values are numbers.
func firstOf(a, b []string) int {
	for i := range a {
		switch {
		case a[i] == b[i]:
			continue
		case a[i] == "NULL":
			return 1
		case b[i] == "NULL":
			return -1
		}
		var x, y float64
		fmt.Sscan(a[i], &x)
		fmt.Sscan(b[i], &y)
		if x > y {
			return -1
		}
		return 1
	}
	return 0
}

func maybe[T any](r *rand.Rand, share float64, v T) *T {
	if r.Float64() < share {
		return nil
	}
	return &v
}

func literal(s *string) string {
	if s == nil {
		return "NULL"
	}
	return "'" + *s + "'"
}

func timeLiteral(at *int64) string {
	if at == nil {
		return "NULL"
	}
	return "make_timestamp(" + fmt.Sprint(*at) + ")"
}

func (rw row) literals() []string {
	var out []string
	for _, k := range rw.keys {
		out = append(out, literal(k))
	}
	out = append(out, timeLiteral(rw.at))
	return append(out, rw.values...)
}

type shape struct {
	keys, entities, observations, events int
	span                                 int64 // microseconds; short ones give ties
	zone                                 bool
}

// FS-08: the join equals the oracle on random data: ties, duplicates, nulls, composite and string keys, bounds that are hit
// exactly, delay beyond lookback, time zones, crowded keys, any order of files and number of threads.
func TestJoinOracle(t *testing.T) {
	rounds := 16
	if testing.Short() {
		rounds = 5
	}
	for i := range rounds {
		seed := uint64(i) + 1
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			s := shape{
				keys: 1 + r.IntN(3), entities: []int{1, 3, 40}[r.IntN(3)], observations: []int{0, 1, 60, 400}[r.IntN(4)],
				events: []int{0, 1, 300, 1200}[r.IntN(4)], span: []int64{20, 500, 86_400_000_000}[r.IntN(3)], zone: r.IntN(2) == 0,
			}
			joinRound(t, r, s)
		})
	}
	t.Run("crowded", func(t *testing.T) { // one entity with all observations: the sorting way
		joinRound(t, rand.New(rand.NewPCG(1, 1)), shape{keys: 1, entities: 1, observations: 500, events: 1500, span: 900})
	})
}

func joinRound(t *testing.T, r *rand.Rand, s shape) {
	start := time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC).UnixMicro() // before 1970, so that rounding shows
	make := func(n, width int) []row {
		var rows []row
		for range n {
			rw := row{at: maybe(r, 0.05, start+r.Int64N(s.span))}
			for range s.keys {
				rw.keys = append(rw.keys, maybe(r, 0.05, fmt.Sprintf("é%d", r.IntN(s.entities))))
			}
			for range width {
				rw.values = append(rw.values, []string{"NULL", "0", "1", "2", fmt.Sprint(r.IntN(1000))}[r.IntN(5)])
			}
			rows = append(rows, rw)
			if r.IntN(10) == 0 {
				rw.values = slices.Clone(rw.values)
				rows = append(rows, rw)
			}
		}
		return rows
	}
	observations, events := make(s.observations, 1), make(s.events, 3)
	for i := range observations {
		observations[i].values[0] = fmt.Sprint(i)
	}
	stamp := "TIMESTAMP"
	if s.zone {
		stamp = "TIMESTAMPTZ"
	}
	dir := t.TempDir()
	file := func(name string, rows []row, columns, types []string) string {
		tb := table{columns: columns, types: types}
		for _, rw := range rows {
			tb.rows = append(tb.rows, rw.literals())
		}
		return tb.write(t, dir+"/"+name+".parquet")
	}
	var keyNames, keyTypes []string
	var index []engine.Column
	for i := range s.keys {
		keyNames, keyTypes = append(keyNames, fmt.Sprintf("Key %d", i)), append(keyTypes, "VARCHAR")
		index = append(index, engine.Column{Name: keyNames[i], Type: engine.String})
	}
	eventColumns, eventTypes := slices.Concat(keyNames, []string{"ts", "a", "b", "c"}), slices.Concat(keyTypes, []string{stamp, "DOUBLE", "INTEGER", "BIGINT"})
	half := len(events) / 2
	files := []string{file("e0", events[:half], eventColumns, eventTypes), file("e1", events[half:], eventColumns, eventTypes)}
	obsColumns, obsTypes := slices.Concat(keyNames, []string{"when", "n"}), slices.Concat(keyTypes, []string{stamp, "BIGINT"})
	cut := len(observations) / 3
	obs := []string{file("o0", observations[:cut], obsColumns, obsTypes), file("o1", observations[cut:], obsColumns, obsTypes)}

	us := time.Duration(s.span) * time.Microsecond / 10
	delay := []time.Duration{0, us, 3 * us}[r.IntN(3)]
	var lookback *time.Duration
	if r.IntN(3) > 0 {
		l := []time.Duration{0, us, 2 * us, 8 * us}[r.IntN(4)]
		lookback = &l
	}
	all := []engine.Column{{Name: "a", Type: engine.Double}, {Name: "b", Type: engine.Integer}, {Name: "c", Type: engine.Long}}
	set := engine.JoinSet{Name: "events", Version: "1", Files: files, Index: index, TimestampColumn: "ts", Features: all, Delay: delay, Lookback: lookback}
	reversed := set
	reversed.Prefix, reversed.Files, reversed.Order = "r_", []string{files[1], files[0]}, all
	reversed.Features = []engine.Column{all[2], all[0]}
	want := oracle(observations, events, delay, lookback, 3, firstOf)

	e := &duckdb.Engine{}
	for _, threads := range []int{1, 2} {
		output := fmt.Sprintf("%s/out%d.parquet", dir, threads)
		result, err := e.Join(context.Background(), engine.Join{
			Observations: obs, ObservationFormat: engine.Parquet, TimestampColumn: "when", Sets: []engine.JoinSet{set, reversed},
			Output: output, OutputFormat: engine.Parquet, Scratch: t.TempDir(), Limits: engine.Limits{Threads: threads, Memory: 256 << 20},
		})
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		got := read(t, output)
		if columns := append(slices.Clone(obsColumns), "a", "b", "c", "r_c", "r_a"); !slices.Equal(got.columns, columns) || !slices.Equal(result.Columns, columns) {
			t.Fatalf("columns are %q and %q, want %q", got.columns, result.Columns, columns)
		}
		if len(got.rows) != len(observations) || result.Rows != int64(len(observations)) {
			t.Fatalf("%d rows for %d observations", len(got.rows), len(observations))
		}
		for i, g := range got.rows {
			if n := g[s.keys+1]; n != fmt.Sprint(i) {
				t.Fatalf("row %d is observation %s", i, n)
			}
			w := slices.Concat(want[i], []string{want[i][2], want[i][0]})
			for k, v := range g[s.keys+2:] {
				if strings.TrimSuffix(v, ".0") != w[k] {
					t.Fatalf("%+v delay %v lookback %v threads %d: observation %d (%v at %v): got %v, want %v", s, delay, lookback, threads, i, g[:s.keys], g[s.keys], g[s.keys+2:], w)
				}
			}
		}
	}
}
