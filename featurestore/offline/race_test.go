package offline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/featurestore/lake/dir"
	"github.com/alvara-ml/alvara/featurestore/lake/laketest"
	"github.com/alvara-ml/alvara/featurestore/offline"
)

// Random replacements leave what a plain list of rows would hold, and every old snapshot keeps what it held.
func TestReplacementsAgreeWithAModel(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		root, err := dir.Open(fmt.Sprintf("%s/%d", folder, fileCount.Add(1)))
		if err != nil {
			t.Fatal(err)
		}
		table, err := offline.Create(ctx, root, "t/", schema, offline.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var model []row
		past := map[int64][]row{}
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			start := rapid.IntRange(0, 19).Draw(t, "start")
			end := rapid.IntRange(start+1, 20).Draw(t, "end")
			job := fmt.Sprint(step)
			var files []offline.LocalFile
			model = slices.DeleteFunc(slices.Clone(model), func(r row) bool { return r.tick >= start && r.tick < end })
			for range rapid.IntRange(0, 2).Draw(t, "files") {
				var rows []row
				for range rapid.IntRange(0, 5).Draw(t, "rows") {
					rows = append(rows, row{rapid.IntRange(0, 3).Draw(t, "id"), rapid.IntRange(start, end-1).Draw(t, "tick"), job})
				}
				local, err := write(folder, rows)
				if err != nil {
					t.Fatal(err)
				}
				files, model = append(files, local), append(model, rows...)
			}
			snapshot, err := table.ReplaceWindow(ctx, window(start, end), files, rewriter(root, folder), job)
			if err != nil {
				t.Fatal(err)
			}
			model = sorted(model)
			past[snapshot.ID] = model
			files2, _, err := table.Files(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := read(ctx, root, folder, files2, nil); err != nil || !slices.Equal(got, model) {
				t.Fatalf("step %d: the table holds %v (%v), want %v", step, got, err, model)
			}
		}
		for id, rows := range past {
			if id == 0 {
				continue
			}
			w := window(5, 12)
			files, _, err := table.FilesAt(ctx, id, &w)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(ctx, root, folder, files, &w)
			inside := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.tick < 5 || r.tick >= 12 })
			if err != nil || !slices.Equal(got, inside) {
				t.Fatalf("snapshot %d holds %v (%v), want %v", id, got, err, inside)
			}
		}
	})
}

// whole tells which job's rows a set of rows is, when it is exactly one's.
func whole(rows []row, start, end int) (string, error) {
	if len(rows) != end-start {
		return "", fmt.Errorf("%d rows in [%d, %d): %v", len(rows), start, end, rows)
	}
	for _, r := range rows {
		if r.job != rows[0].job {
			return "", fmt.Errorf("rows of several jobs are mixed: %v", rows)
		}
	}
	return rows[0].job, nil
}

func fill(start, end int, job string) []row {
	var rows []row
	for at := start; at < end; at++ {
		rows = append(rows, row{at % 3, at, job})
	}
	return rows
}

// Two backfills of one window racing do not mix, and readers never see a part of either.
func TestRacingReplacementsDoNotMix(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	replace(t, table, bucket, window(0, 10), "start", fill(0, 10, "start")...)
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	folder := t.TempDir()
	readers.Go(func() {
		for ctx.Err() == nil {
			files, _, err := table.Files(context.Background(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			rows, err := read(context.Background(), bucket, folder, files, nil)
			if err == nil {
				_, err = whole(rows, 0, 10)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 6 {
		writers.Go(func() {
			job := fmt.Sprint("job", i)
			local, err := write(folder, fill(0, 10, job))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := table.ReplaceWindow(context.Background(), window(0, 10), []offline.LocalFile{local}, rewriter(bucket, folder), job); err != nil {
				t.Errorf("%s: %v", job, err)
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
}

// Replacements of neighbouring and of overlapping windows all take effect, in some order.
func TestConcurrentWindowsAreSerial(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	replace(t, table, bucket, window(0, 30), "start", fill(0, 30, "start")...)
	folder := t.TempDir()
	windows := [][2]int{{0, 10}, {10, 20}, {20, 30}, {5, 15}, {15, 25}}
	var group sync.WaitGroup
	for i, w := range windows {
		group.Go(func() {
			job := fmt.Sprint("job", i)
			local, err := write(folder, fill(w[0], w[1], job))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := table.ReplaceWindow(context.Background(), window(w[0], w[1]), []offline.LocalFile{local}, rewriter(bucket, folder), job); err != nil {
				t.Errorf("%s: %v", job, err)
			}
		})
	}
	group.Wait()
	files, _, err := table.Files(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := read(t.Context(), bucket, folder, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 30 {
		t.Fatalf("%d rows, want one per tick: %v", len(rows), rows)
	}
	// The final owner of each tick must come from some order of the jobs.
	owner := map[int]string{}
	for _, r := range rows {
		owner[r.tick] = r.job
	}
	if !someOrder(windows, owner, nil) {
		t.Fatalf("no order of the jobs gives %v", owner)
	}
}

func someOrder(windows [][2]int, owner map[int]string, order []int) bool {
	if len(order) == len(windows) {
		for at := range 30 {
			last := "start"
			for _, i := range order {
				if at >= windows[i][0] && at < windows[i][1] {
					last = fmt.Sprint("job", i)
				}
			}
			if owner[at] != last {
				return false
			}
		}
		return true
	}
	for i := range windows {
		if !slices.Contains(order, i) && someOrder(windows, owner, append(slices.Clone(order), i)) {
			return true
		}
	}
	return false
}

// A job that dies after any of its steps, with the last write done or not, leaves the old or the new window to readers;
// run again, it completes.
func TestCrashAtEveryStepHeals(t *testing.T) {
	for _, answerless := range []bool{false, true} {
		died := 0
		for steps := int64(0); ; steps++ {
			bucket := newBucket(t)
			table := create(t, bucket, offline.Options{})
			replace(t, table, bucket, window(0, 10), "old", fill(0, 10, "old")...)
			faulty := &laketest.Faulty{Bucket: bucket, Answerless: answerless}
			faulty.Left.Store(1 << 30)
			folder := t.TempDir()
			dying, err := offline.Open(t.Context(), faulty, offline.Prefix("transactions", "1"), offline.Options{})
			if err != nil {
				t.Fatal(err)
			}
			local, err := write(folder, fill(4, 8, "new"))
			if err != nil {
				t.Fatal(err)
			}
			run := func(table *offline.Table) error {
				_, err := table.ReplaceWindow(context.Background(), window(4, 8), []offline.LocalFile{local}, rewriter(bucket, folder), "new")
				return err
			}
			faulty.Left.Store(steps)
			err = run(dying)
			if err != nil && !errors.Is(err, laketest.ErrLost) {
				t.Fatalf("after %d steps: %v", steps, err)
			}
			check := func() string {
				rows := all(t, table, bucket)
				outside := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.tick >= 4 && r.tick < 8 })
				wantRows(t, outside, append(fill(0, 4, "old"), fill(8, 10, "old")...)...)
				inside := slices.DeleteFunc(rows, func(r row) bool { return r.tick < 4 || r.tick >= 8 })
				job, err := whole(inside, 4, 8)
				if err != nil {
					t.Fatalf("after %d steps: %v", steps, err)
				}
				return job
			}
			if job := check(); err == nil && job != "new" {
				t.Fatalf("after %d steps a success left the rows of %s", steps, job)
			}
			if err := run(table); err != nil {
				t.Fatalf("again after %d steps: %v", steps, err)
			}
			if job := check(); job != "new" {
				t.Fatalf("again after %d steps: the rows are of %s", steps, job)
			}
			now := time.Now().Add(100 * time.Hour)
			sweeper, openErr := offline.Open(t.Context(), bucket, offline.Prefix("transactions", "1"), offline.Options{RetainSnapshots: 1, Clock: func() time.Time { return now }})
			if openErr != nil {
				t.Fatal(openErr)
			}
			if _, err := sweeper.Sweep(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			check()
			if err == nil && faulty.Failed.Load() == 0 {
				break
			}
			died++
			if testing.Short() {
				steps++ // every other step
			}
		}
		if died < 5 {
			t.Fatalf("only %d steps were interrupted", died)
		}
	}
}

// Sweeps beside replacements and readers never take away what they need.
func TestSweepBesideReplacements(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{RetainSnapshots: 2, RetainFor: 30 * time.Second})
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	replace(t, table, bucket, window(0, 10), "start", fill(0, 10, "start")...)
	folder := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	var sweeper, writers sync.WaitGroup
	sweeper.Go(func() {
		for ctx.Err() == nil {
			if _, err := table.Sweep(context.Background(), 30*time.Second); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 2 {
		random := rand.New(rand.NewSource(seed + int64(i)))
		writers.Go(func() {
			for n := range 5 {
				start := random.Intn(9)
				end := start + 1 + random.Intn(10-start)
				job := fmt.Sprintf("job%d.%d", i, n)
				local, err := write(folder, fill(start, end, job))
				if err == nil {
					_, err = table.ReplaceWindow(context.Background(), window(start, end), []offline.LocalFile{local}, rewriter(bucket, folder), job)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	sweeper.Wait()
	if rows := all(t, table, bucket); len(rows) != 10 {
		t.Fatalf("%d rows, want one per tick: %v", len(rows), rows)
	}
}
