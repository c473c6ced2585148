package duckdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

type event struct {
	key   string
	at    int64 // seconds since day(0)
	value *int64
}

// FS-03, FS-08: window aggregations equal a naive oracle: both ends of the window included, ties of the event included, nulls
// not counted, the source lookback read and not kept, the same in every format and number of threads.
func TestWindowOracle(t *testing.T) {
	for seed := range uint64(4) {
		for _, format := range []string{engine.Parquet, engine.CSV, engine.JSON} {
			t.Run(fmt.Sprintf("seed%d-%s", seed, format), func(t *testing.T) { windowRound(t, rand.New(rand.NewPCG(seed, 3)), format) })
		}
	}
}

func windowRound(t *testing.T, r *rand.Rand, format string) {
	const hour = 3600
	var events []event
	tb := table{columns: []string{"account", "ts", "v"}, types: []string{"VARCHAR", "TIMESTAMP", "BIGINT"}}
	for range 300 {
		e := event{key: fmt.Sprintf("00%d", r.IntN(5)), at: int64(r.IntN(10*24)) * hour, value: maybe(r, 0.1, int64(r.IntN(100)-50))}
		events = append(events, e)
		value := "NULL"
		if e.value != nil {
			value = fmt.Sprint(*e.value)
		}
		tb.rows = append(tb.rows, []string{"'" + e.key + "'", fmt.Sprintf("TIMESTAMP '2024-01-01' + to_seconds(%d)", e.at), value})
	}
	file := tb.write(t, t.TempDir()+"/events."+format)
	windows := []time.Duration{time.Hour, 36 * time.Hour, 7 * 24 * time.Hour}
	request := engine.Transform{
		Sources: []string{file}, Format: format, TimestampColumn: "ts", Index: []engine.Column{{Name: "account", Type: engine.String}},
		Start: day(5), End: day(8), SourceStart: day(2), OutputDir: t.TempDir(), Scratch: t.TempDir(), Limits: engine.Limits{Threads: 1 + r.IntN(2)},
	}
	functions := []string{"count", "sum", "avg", "min", "max"}
	for i, w := range windows {
		for _, f := range functions {
			kind := engine.Long
			if f == "avg" {
				kind = engine.Double
			}
			feature := fmt.Sprintf("%s%d", f, i)
			request.Features = append(request.Features, engine.Column{Name: feature, Type: kind})
			request.Aggregations = append(request.Aggregations, engine.Aggregation{Feature: feature, Func: f, Column: "v", Window: w})
		}
		request.Features = append(request.Features, engine.Column{Name: fmt.Sprintf("events%d", i), Type: engine.Integer})
		request.Aggregations = append(request.Aggregations, engine.Aggregation{Feature: fmt.Sprintf("events%d", i), Func: "count", Window: w})
	}
	var want []string
	for _, e := range events {
		if e.at < 5*24*hour || e.at >= 8*24*hour {
			continue
		}
		line := []string{e.key, day(0).Add(time.Duration(e.at) * time.Second).Format("2006-01-02 15:04:05")}
		for _, w := range windows {
			line = append(line, naive(events, e, w, 2*24*hour)...)
		}
		want = append(want, fmt.Sprint(line))
	}
	result, err := (&duckdb.Engine{}).Transform(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range read(t, result.Files[0].Path).rows {
		got = append(got, fmt.Sprint(line))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%d rows, want %d\ngot  %v\nwant %v", len(got), len(want), got[0], want[0])
	}
}

func naive(events []event, of event, window time.Duration, from int64) []string {
	var count, total, sum, least, greatest int64
	for _, e := range events {
		if e.key != of.key || e.at > of.at || e.at < of.at-int64(window.Seconds()) || e.at < from {
			continue
		}
		total++
		if e.value == nil {
			continue
		}
		if count == 0 || *e.value < least {
			least = *e.value
		}
		if count == 0 || *e.value > greatest {
			greatest = *e.value
		}
		count, sum = count+1, sum+*e.value
	}
	if count == 0 {
		return []string{"0", "NULL", "NULL", "NULL", "NULL", fmt.Sprint(total)}
	}
	average := query1(float64(sum) / float64(count))
	return []string{fmt.Sprint(count), fmt.Sprint(sum), average, fmt.Sprint(least), fmt.Sprint(greatest), fmt.Sprint(total)}
}

// query1 prints a number as DuckDB does.
func query1(f float64) string {
	if f == float64(int64(f)) {
		return fmt.Sprintf("%d.0", int64(f))
	}
	return fmt.Sprint(f)
}
