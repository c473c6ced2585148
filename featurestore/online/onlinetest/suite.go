// Package onlinetest is the suite that every driver of online.Store passes.
package onlinetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/resource"
)

// Run shows that stores behave as online.Store says. open gives a new, empty store.
func Run(t *testing.T, open func(t *testing.T) online.Store) {
	cases := map[string]func(*testing.T, online.Store){
		"tables come and go":                      tables,
		"the latest row by event time is read":    latestWins,
		"the TTL counts from the event time":      ttl,
		"composite keys are apart":                compositeKeys,
		"nulls are kept":                          nulls,
		"any order of batches gives the same":     anyOrder,
		"a retraction replaces a window":          retraction,
		"a retraction leaves what is newer":       retractionRaces,
		"a sweep removes the expired":             sweep,
		"scans and stats see the table":           scans,
		"a dropped table is gone":                 drop,
		"malformed batches are refused":           malformed,
		"concurrent writers and readers agree":    concurrent,
		"an error of yield ends a reading":        yieldStops,
		"many rows, more than any buffer, remain": many,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

// Schema is the suite's: two index columns, three features.
func Schema(t testing.TB) *online.Schema {
	t.Helper()
	s, err := online.NewSchema(
		[]online.Column{{Name: "account", Type: online.String}, {Name: "card", Type: online.Long}},
		[]online.Column{{Name: "count", Type: online.Long}, {Name: "label", Type: online.String}, {Name: "sum", Type: online.Double}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var epoch = time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC)

func at(second int) time.Time { return epoch.Add(time.Duration(second) * time.Second) }

// Row makes a row of the suite's schema whose values tell where it comes from.
func Row(t testing.TB, schema *online.Schema, account string, card int64, event time.Time, label any) online.Row {
	t.Helper()
	key, err := schema.AppendKey(nil, []any{account, card})
	if err != nil {
		t.Fatal(err)
	}
	value, err := schema.AppendRow(nil, []any{event.Unix(), label, 0.5})
	if err != nil {
		t.Fatal(err)
	}
	return online.Row{Key: key, Event: event, Value: value}
}

func create(t *testing.T, s online.Store, table string) *online.Schema {
	t.Helper()
	schema := Schema(t)
	if err := s.Create(t.Context(), table, schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

func put(t *testing.T, s online.Store, table string, ttl time.Duration, run uint64, rows ...online.Row) {
	t.Helper()
	if err := s.Put(t.Context(), table, online.Batch{Rows: rows, TTL: ttl, Run: run}); err != nil {
		t.Fatal(err)
	}
}

// label reads one row's label; "-" stands for no row.
func label(t *testing.T, s online.Store, table string, schema *online.Schema, account string, card int64, now time.Time) any {
	t.Helper()
	key, err := schema.AppendKey(nil, []any{account, card})
	if err != nil {
		t.Fatal(err)
	}
	var got any = "-"
	calls := 0
	err = s.Get(t.Context(), table, [][]byte{key}, now, func(i int, event time.Time, value []byte) error {
		calls++
		if value == nil {
			return nil
		}
		values, err := schema.DecodeRow(value, nil)
		if err != nil {
			return err
		}
		if values[0] != event.Unix() {
			return fmt.Errorf("the row of %v is given with the event time %v", values[0], event)
		}
		got = values[1]
		return nil
	})
	if err != nil || calls != 1 {
		t.Fatalf("get: %v after %d calls", err, calls)
	}
	return got
}

func wantLabel(t *testing.T, s online.Store, table string, schema *online.Schema, account string, card int64, now time.Time, want any) {
	t.Helper()
	if got := label(t, s, table, schema, account, card, now); got != want {
		t.Fatalf("%s/%d at %s is %v, want %v", account, card, now.Format(time.TimeOnly), got, want)
	}
}

func wantError(t *testing.T, err error, kind resource.Kind, code string) {
	t.Helper()
	e, ok := resource.AsError(err)
	if !ok || e.Kind != kind || e.Code != code {
		t.Fatalf("got error %v, want code %s", err, code)
	}
}

func tables(t *testing.T, s online.Store) {
	_, err := s.Schema(t.Context(), "a")
	wantError(t, err, resource.NotFound, "OnlineTableNotFound")
	wantError(t, s.Put(t.Context(), "a", online.Batch{Run: 1}), resource.NotFound, "OnlineTableNotFound")
	wantError(t, s.Get(t.Context(), "a", nil, epoch, nil), resource.NotFound, "OnlineTableNotFound")
	wantError(t, s.DropTable(t.Context(), "a"), resource.NotFound, "OnlineTableNotFound")
	schema := create(t, s, "b")
	create(t, s, "a")
	create(t, s, "a") // again is fine
	names, err := s.Tables(t.Context())
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Fatalf("tables are %q (%v)", names, err)
	}
	got, err := s.Schema(t.Context(), "a")
	if err != nil || !got.Equal(schema) {
		t.Fatalf("schema is %v (%v)", got, err)
	}
	other, err := online.NewSchema(schema.Index(), schema.Features()[:1])
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Create(t.Context(), "a", other), resource.Conflict, "OnlineSchemaChanged")
	put(t, s, "a", 0, 1, Row(t, schema, "x", 1, at(0), "in a"))
	wantLabel(t, s, "a", schema, "x", 1, at(1), "in a")
	wantLabel(t, s, "b", schema, "x", 1, at(1), "-")
}

func latestWins(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	put(t, s, "t", 0, 1, Row(t, schema, "x", 1, at(10), "ten"))
	put(t, s, "t", 0, 1, Row(t, schema, "x", 1, at(9), "nine"))
	wantLabel(t, s, "t", schema, "x", 1, at(20), "ten")
	put(t, s, "t", 0, 2, Row(t, schema, "x", 1, at(10), "ten again"))
	wantLabel(t, s, "t", schema, "x", 1, at(20), "ten again")
	put(t, s, "t", 0, 2, Row(t, schema, "x", 1, at(10).Add(time.Microsecond), "later"), Row(t, schema, "x", 1, at(10), "ten"))
	wantLabel(t, s, "t", schema, "x", 1, at(20), "later")
	put(t, s, "t", 0, 2, Row(t, schema, "y", 1, at(-1<<32), "before 1970"), Row(t, schema, "y", 1, at(-1<<33), "long before"))
	wantLabel(t, s, "t", schema, "y", 1, at(20), "before 1970")
}

func ttl(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	put(t, s, "t", 30*time.Second, 1, Row(t, schema, "x", 1, at(0), "short"), Row(t, schema, "y", 1, at(10), "later"))
	put(t, s, "t", 0, 1, Row(t, schema, "z", 1, at(0), "for ever"))
	wantLabel(t, s, "t", schema, "x", 1, at(30), "short")
	wantLabel(t, s, "t", schema, "x", 1, at(30).Add(time.Microsecond), "-")
	wantLabel(t, s, "t", schema, "y", 1, at(40), "later")
	wantLabel(t, s, "t", schema, "y", 1, at(41), "-")
	wantLabel(t, s, "t", schema, "z", 1, at(1<<30), "for ever")
	put(t, s, "t", time.Hour, 2, Row(t, schema, "x", 1, at(-10), "older, with a longer TTL"))
	wantLabel(t, s, "t", schema, "x", 1, at(40), "-") // an older row never shines through an expired one
	put(t, s, "t", time.Hour, 2, Row(t, schema, "x", 1, at(0), "rerun"))
	wantLabel(t, s, "t", schema, "x", 1, at(40), "rerun")
}

func compositeKeys(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	names := []string{"", "a", "aa", "a\x00", "a\x01", "\x01a", "ab", "é", "\xff\xff"}
	cards := []int64{0, 1, -1, 97, 1 << 40}
	for _, name := range names {
		for _, card := range cards {
			put(t, s, "t", 0, 1, Row(t, schema, name, card, at(0), fmt.Sprintf("%q %d", name, card)))
		}
	}
	for _, name := range names {
		for _, card := range cards {
			wantLabel(t, s, "t", schema, name, card, at(0), fmt.Sprintf("%q %d", name, card))
		}
	}
	wantLabel(t, s, "t", schema, "aaa", 1, at(0), "-")
}

func nulls(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	put(t, s, "t", 0, 1, Row(t, schema, "x", 1, at(0), nil), Row(t, schema, "y", 1, at(0), ""))
	wantLabel(t, s, "t", schema, "x", 1, at(1), nil)
	wantLabel(t, s, "t", schema, "y", 1, at(1), "")
	put(t, s, "t", 0, 1, Row(t, schema, "y", 1, at(1), nil)) // a newer null replaces a value
	wantLabel(t, s, "t", schema, "y", 1, at(1), nil)
}

func anyOrder(t *testing.T, s online.Store) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	schema := create(t, s, "t")
	best := map[int64]int{}
	var rows []online.Row
	for range 400 {
		card, second := random.Int63n(20), random.Intn(1000)
		if second > best[card] {
			best[card] = second
		}
		rows = append(rows, Row(t, schema, "x", card, at(second), fmt.Sprint(second)))
	}
	for range 3 { // in pieces, repeated and shuffled
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for part := range slices.Chunk(rows, 1+random.Intn(50)) {
			put(t, s, "t", 0, 1, part...)
		}
	}
	for card, second := range best {
		wantLabel(t, s, "t", schema, "x", card, at(2000), fmt.Sprint(second))
	}
}

func retraction(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	put(t, s, "t", 0, 1,
		Row(t, schema, "before", 1, at(9), "old"), Row(t, schema, "first", 1, at(10), "old"), Row(t, schema, "gone", 1, at(15), "old"),
		Row(t, schema, "again", 1, at(15), "old"), Row(t, schema, "last", 1, at(19), "old"), Row(t, schema, "after", 1, at(20), "old"))
	put(t, s, "t", 0, 2, Row(t, schema, "again", 1, at(15), "new"), Row(t, schema, "fresh", 1, at(12), "new"))
	earlier := Row(t, schema, "gone", 1, at(3), "earlier")
	broken := errors.New("the offline store is away")
	retract := func(restore func(context.Context, [][]byte) ([]online.Row, error)) (int64, error) {
		return s.Retract(t.Context(), "t", online.Retraction{Start: at(10), End: at(20), Run: 2, Restore: restore})
	}
	if _, err := retract(func(context.Context, [][]byte) ([]online.Row, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	wantLabel(t, s, "t", schema, "gone", 1, at(30), "old") // nothing was removed without a replacement
	asked := 0
	n, err := retract(func(_ context.Context, keys [][]byte) ([]online.Row, error) {
		asked += len(keys)
		for _, key := range keys {
			if string(key) == string(earlier.Key) {
				return []online.Row{earlier}, nil
			}
		}
		return nil, nil
	})
	if err != nil || n != 3 || asked != 3 {
		t.Fatalf("retracted %d, asked for %d (%v), want 3", n, asked, err)
	}
	for account, want := range map[string]any{"before": "old", "first": "-", "gone": "earlier", "again": "new", "last": "-", "after": "old", "fresh": "new"} {
		wantLabel(t, s, "t", schema, account, 1, at(30), want)
	}
	if n, err := retract(nil); err != nil || n != 0 {
		t.Fatalf("again retracted %d (%v)", n, err)
	}
}

// While a retraction asks for replacements, a newer row comes in: it stays.
func retractionRaces(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	put(t, s, "t", 0, 1, Row(t, schema, "x", 1, at(10), "old"))
	var group sync.WaitGroup
	started := make(chan struct{})
	group.Go(func() {
		<-started
		put(t, s, "t", 0, 3, Row(t, schema, "x", 1, at(30), "newer"))
	})
	_, err := s.Retract(t.Context(), "t", online.Retraction{Start: at(0), End: at(20), Run: 2, Restore: func(context.Context, [][]byte) ([]online.Row, error) {
		close(started)
		time.Sleep(20 * time.Millisecond)
		return []online.Row{Row(t, schema, "x", 1, at(-1), "earlier")}, nil
	}})
	group.Wait()
	if err != nil {
		t.Fatal(err)
	}
	wantLabel(t, s, "t", schema, "x", 1, at(40), "newer")
}

func sweep(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	for i := range 100 {
		put(t, s, "t", time.Minute, 1, Row(t, schema, "x", int64(i), at(i), "row"))
	}
	n, err := s.Sweep(t.Context(), "t", at(60+49).Add(time.Microsecond))
	if err != nil || n != 50 {
		t.Fatalf("swept %d (%v), want 50", n, err)
	}
	stats, err := s.Stats(t.Context(), "t")
	if err != nil || stats.Rows != 50 {
		t.Fatalf("stats are %+v (%v)", stats, err)
	}
	wantLabel(t, s, "t", schema, "x", 50, at(60), "row")
	wantLabel(t, s, "t", schema, "x", 49, at(60), "-")
}

func scans(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	create(t, s, "u")
	for i := range 10 {
		put(t, s, "t", time.Minute, 1, Row(t, schema, "x", int64(i), at(i), fmt.Sprint(i)))
		put(t, s, "u", 0, 1, Row(t, schema, "other", int64(i), at(i), "other"))
	}
	var got []any
	err := s.Scan(t.Context(), "t", at(63), func(row online.Row) error {
		key, err := schema.DecodeKey(row.Key)
		if err != nil {
			return err
		}
		values, err := schema.DecodeRow(row.Value, nil)
		if err != nil {
			return err
		}
		if !row.Event.Equal(at(int(key[1].(int64)))) {
			return fmt.Errorf("the row of %v has the event time %s", key, row.Event)
		}
		got = append(got, values[1])
		return nil
	})
	if err != nil || !slices.Equal(got, []any{"3", "4", "5", "6", "7", "8", "9"}) {
		t.Fatalf("scan gave %v (%v)", got, err)
	}
	stats, err := s.Stats(t.Context(), "t")
	if err != nil || stats.Rows != 10 || stats.Bytes < 500 || !stats.FirstTime.Equal(at(0)) || !stats.LastTime.Equal(at(9)) {
		t.Fatalf("stats are %+v (%v)", stats, err)
	}
	if stats, err = s.Stats(t.Context(), "u"); err != nil || stats.Rows != 10 {
		t.Fatalf("stats of the neighbour are %+v (%v)", stats, err)
	}
}

func drop(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	create(t, s, "u")
	put(t, s, "t", 0, 1, Row(t, schema, "x", 1, at(0), "t"))
	put(t, s, "u", 0, 1, Row(t, schema, "x", 1, at(0), "u"))
	if err := s.DropTable(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Stats(t.Context(), "t")
	wantError(t, err, resource.NotFound, "OnlineTableNotFound")
	wantLabel(t, s, "u", schema, "x", 1, at(0), "u")
	create(t, s, "t")
	wantLabel(t, s, "t", schema, "x", 1, at(0), "-")
}

func malformed(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	row := Row(t, schema, "x", 1, at(0), "x")
	for _, batch := range []online.Batch{
		{Rows: []online.Row{row}}, {Rows: []online.Row{row}, Run: 1, TTL: -1}, {Rows: []online.Row{row, {Value: row.Value}}, Run: 1},
	} {
		wantError(t, s.Put(t.Context(), "t", batch), resource.Invalid, "InvalidBatch")
	}
	_, err := s.Retract(t.Context(), "t", online.Retraction{Start: at(1), End: at(1), Run: 1})
	wantError(t, err, resource.Invalid, "InvalidBatch")
	wantLabel(t, s, "t", schema, "x", 1, at(0), "-")
}

func concurrent(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	const writers, rounds = 4, 60
	var written [writers]atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for second := 1; second <= rounds; second++ {
				rows := []online.Row{
					Row(t, schema, "own", int64(w), at(second), "own"),
					Row(t, schema, "shared", 0, at(second), "shared"),
				}
				if err := s.Put(t.Context(), "t", online.Batch{Rows: rows, Run: uint64(w + 1)}); err != nil {
					t.Error(err)
					return
				}
				written[w].Store(int64(second))
			}
		})
		group.Go(func() {
			key := Row(t, schema, "own", int64(w), at(0), "").Key
			for written[w].Load() < rounds && !t.Failed() {
				least := written[w].Load()
				err := s.Get(t.Context(), "t", [][]byte{key}, at(0), func(_ int, event time.Time, value []byte) error {
					if least > 0 && (value == nil || event.Before(at(int(least)))) {
						return fmt.Errorf("read the row of %s after that of second %d was acknowledged", event, least)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	wantLabel(t, s, "t", schema, "shared", 0, at(0), "shared")
}

func yieldStops(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	put(t, s, "t", 0, 1, Row(t, schema, "x", 1, at(0), "x"), Row(t, schema, "x", 2, at(0), "x"))
	stop, calls := errors.New("enough"), 0
	keys := [][]byte{Row(t, schema, "x", 1, at(0), "").Key, Row(t, schema, "x", 2, at(0), "").Key}
	err := s.Get(t.Context(), "t", keys, at(0), func(int, time.Time, []byte) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("got %v after %d calls", err, calls)
	}
	err = s.Scan(t.Context(), "t", at(0), func(online.Row) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 2 {
		t.Fatalf("got %v after %d calls", err, calls)
	}
}

func many(t *testing.T, s online.Store) {
	schema := create(t, s, "t")
	count := 20_000
	if testing.Short() {
		count = 5_000
	}
	for round := range 3 {
		var rows []online.Row
		for i := range count {
			rows = append(rows, Row(t, schema, "x", int64(i), at(i+round), fmt.Sprint(round)))
		}
		put(t, s, "t", 0, uint64(round+1), rows...)
	}
	stats, err := s.Stats(t.Context(), "t")
	if err != nil || stats.Rows != int64(count) {
		t.Fatalf("stats are %+v (%v)", stats, err)
	}
	for i := 0; i < count; i += count / 17 {
		wantLabel(t, s, "t", schema, "x", int64(i), at(0), "2")
	}
	n, err := s.Retract(t.Context(), "t", online.Retraction{Start: at(2), End: at(count), Run: 9})
	if err != nil || n != int64(count-2) {
		t.Fatalf("retracted %d (%v)", n, err)
	}
}
