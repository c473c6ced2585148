package materialize_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/materialize"
	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/worker"
)

// MI-20, FS-08, BX-01: an order runs in a process of its own, with a token from the managed-identity endpoint and with
// walls around it; nothing is left of it afterwards.
func TestProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.process()
	var lines []string
	result, err := p.Run(context.Background(), order("first", day(3), day(8)), func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	want := w.expected(1, day(3), day(8))
	same(t, "offline", w.offline(day(1), day(30)), want)
	if got := w.Plane.Rows(t, version); !maps.Equal(got, newest(want)) {
		t.Errorf("online %v, want %v", got, newest(want))
	}
	if result.Rows != int64(len(want)) || result.OnlineRows != 5 {
		t.Errorf("result %+v", result)
	}
	t.Log(result.Isolation)
	if !slices.Contains(result.Isolation, "worker landlock") && landlocked() {
		t.Errorf("the walls are %v", result.Isolation)
	}
	if !strings.Contains(strings.Join(lines, "\n"), "195 rows") {
		t.Errorf("log %q", lines)
	}
	nothingLeft(t, p)

	w.Deny(Worker, "blobs/read", Sources)
	_, err = p.Run(context.Background(), order("denied", day(3), day(8)), nil)
	if e, ok := resource.AsError(err); !ok || e.Kind != resource.Forbidden || !strings.Contains(e.Message, "blobs/read") || !strings.Contains(e.Message, "source") {
		t.Errorf("without a right on the source: %v", err)
	}
	w.Allow(Worker, "blobs/read", Sources)
	w.Remove(Worker)
	_, err = p.Run(context.Background(), order("gone", day(3), day(8)), nil)
	if e, ok := resource.AsError(err); !ok || e.Kind != resource.Unauthenticated || !strings.Contains(e.Message, "deleted or disabled") || !strings.Contains(e.Message, "source") {
		t.Errorf("without an identity: %v", err)
	}
	nothingLeft(t, p)

	o := order("nobody", day(3), day(8))
	o.Identity = ""
	if _, err := p.Run(context.Background(), o, nil); resource.KindOf(err) != resource.Invalid {
		t.Errorf("an order without identity: %v", err)
	}
}

// landlocked tells whether this machine has Landlock.
func landlocked() bool {
	_, _, errno := syscall.Syscall(444, 0, 0, 1)
	return errno == 0
}

func nothingLeft(t *testing.T, p *materialize.Process) {
	t.Helper()
	left, err := os.ReadDir(p.ScratchDir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the scratch folder: %v, %v", left, err)
	}
	for range 100 {
		if len(workers(p)) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("processes left: %v", workers(p))
}

// workers gives the worker processes of p that are running.
func workers(p *materialize.Process) []int {
	var found []int
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, entry := range entries {
		stat, err := os.ReadFile(entry)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if dir, err := os.Readlink(filepath.Dir(entry) + "/cwd"); err != nil || !strings.HasPrefix(dir, p.ScratchDir) {
			continue
		}
		line, err := os.ReadFile(filepath.Dir(entry) + "/cmdline")
		if err != nil || !strings.HasSuffix(string(line), "\x00"+worker.Argument+"\x00"+materialize.Mode+"\x00") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
		found = append(found, pid)
	}
	return found
}

// A worker that is killed at any moment leaves the old window or the new one, never a mixture, and the same order again
// heals it (FS-12).
func TestKilledWorker(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	for _, name := range []string{"one", "two"} { // two stacks, to use the machine's processors
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killWorkers(t, rounds/2)
		})
	}
}

func killWorkers(t *testing.T, rounds int) {
	w := newWorld(t)
	p := w.process()
	began := time.Now()
	if _, err := p.Run(context.Background(), order("round-0", day(3), day(6)), nil); err != nil {
		t.Fatal(err)
	}
	typical := time.Since(began)
	seed := rand.Uint64()
	t.Logf("seed %d, a run takes %s", seed, typical)
	random := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for round := 1; round <= rounds; round++ {
		w.source(round + 1)
		before, after := w.expected(round, day(3), day(6)), w.expected(round+1, day(3), day(6))
		o := order(fmt.Sprintf("round-%d", round), day(3), day(6))
		ended := make(chan error, 1)
		go func() {
			_, err := p.Run(context.Background(), o, nil)
			ended <- err
		}()
		time.Sleep(time.Duration(random.Int64N(int64(typical))))
		for _, pid := range workers(p) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended just now
		}
		if err := <-ended; err != nil {
			killed++
			if kind := resource.KindOf(err); kind != resource.Unavailable {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if got := w.offline(day(1), day(30)); !slices.Equal(got, before) && !slices.Equal(got, after) {
			t.Fatalf("round %d: readers see neither the old nor the new window: %d rows of %d and %d", round, len(got), len(before), len(after))
		}
		if _, err := p.Run(context.Background(), o, nil); err != nil {
			t.Fatalf("round %d again: %v", round, err)
		}
		same(t, "offline", w.offline(day(1), day(30)), after)
		if got := w.Plane.Rows(t, version); !maps.Equal(got, newest(after)) {
			t.Fatalf("round %d: online %v, want %v", round, got, newest(after))
		}
	}
	if killed == 0 {
		t.Errorf("no round was killed")
	}
	t.Logf("%d of %d rounds were killed", killed, rounds)
	nothingLeft(t, p)
}

// A cancelled order ends with its processes.
func TestCancelledProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.process()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := p.Run(ctx, order("cancelled", day(3), day(8)), nil)
		ended <- err
	}()
	for len(workers(p)) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the order goes on")
	}
	nothingLeft(t, p)
}

// Orders for overlapping windows that race do not mix: every instant has the rows of one of them.
func TestRacingOrders(t *testing.T) {
	t.Parallel()
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		w := newWorld(t)
		w.Upload(t, Sources, "other/part-0.parquet", Write(t, t.TempDir()+"/o.parquet", TransactionRows(rowsOfSource, 9)))
		first, second := order(fmt.Sprintf("left-%d", round), day(3), day(7)), order(fmt.Sprintf("right-%d", round), day(5), day(9))
		second.Source.Path = "other/*.parquet"
		if round%2 == 1 {
			second.Start, second.End = first.Start, first.End
		}
		var group sync.WaitGroup
		for _, o := range []materialize.Order{first, second} {
			group.Go(func() {
				if _, err := w.worker().Run(context.Background(), o); err != nil {
					t.Errorf("%s: %v", o.Job.Name(), err)
				}
			})
		}
		group.Wait()
		cuts := []time.Time{first.Start, second.Start, first.End, second.End}
		slices.SortFunc(cuts, time.Time.Compare)
		for i := range cuts[1:] {
			if cuts[i].Equal(cuts[i+1]) {
				continue
			}
			got := w.offline(cuts[i], cuts[i+1])
			one, two := w.expected(1, cuts[i], cuts[i+1]), w.expected(9, cuts[i], cuts[i+1])
			if !slices.Equal(got, one) && !slices.Equal(got, two) {
				t.Errorf("round %d: [%s, %s) has rows of both or of none: %d rows of %d", round, cuts[i], cuts[i+1], len(got), len(one))
			}
		}
	}
}
