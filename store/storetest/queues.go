package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
)

var queues = map[string]func(*testing.T, store.Store){
	"a job runs":                          jobRuns,
	"jobs wait for Start":                 jobsWaitForStart,
	"jobs wait for their worker's kind":   jobsOfKinds,
	"a job starts soon":                   jobStartsSoon,
	"a failed job is tried again":         jobRetried,
	"a panic is a failure":                jobPanics,
	"a fatal failure is not tried again":  jobFatal,
	"a job waits for RunAt":               jobRunAt,
	"concurrency is limited for a kind":   jobConcurrency,
	"a failed change enqueues nothing":    jobAtomic,
	"a job may use the store":             jobUsesStore,
	"Close waits for jobs":                closeWaits,
	"Close cancels jobs when time is out": closeCancels,
	"misuse of Work panics":               workMisuse,
}

func start(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func enqueue(kind, body string) store.Enqueue {
	return store.Enqueue{Kind: kind, Body: []byte(body)}
}

func decode(t testing.TB, body []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(body, to); err != nil {
		t.Errorf("a job's body %q: %v", body, err)
	}
}

// into makes a worker that hands its jobs to a channel.
func into(jobs chan<- store.Job) func(context.Context, store.Job) error {
	return func(_ context.Context, job store.Job) error {
		jobs <- job
		return nil
	}
}

// quiet fails when another job comes.
func quiet(t testing.TB, jobs <-chan store.Job, wait time.Duration) {
	t.Helper()
	select {
	case job := <-jobs:
		t.Errorf("unexpected job %+v", job)
	case <-time.After(wait):
	}
}

func jobRuns(t *testing.T, s store.Store) {
	jobs := make(chan store.Job, 10)
	s.Work("microsoft.test/some kind/ção", 1, into(jobs))
	start(t, s)
	ids := map[int64]bool{}
	for _, body := range []string{`{"a":[1,2.50,"<&>\u2028"]}`, `"text"`, `[]`, `12345678901234567890`, `null`, `{}`} {
		apply(t, s, enqueue("microsoft.test/some kind/ção", body))
		job := receive(t, jobs, "the job")
		sameJSON(t, job.Body, body)
		if job.ID == 0 || ids[job.ID] || job.Kind != "microsoft.test/some kind/ção" || job.Attempt != 1 || job.MaxAttempts != store.DefaultMaxAttempts {
			t.Errorf("got %+v", job)
		}
		ids[job.ID] = true
	}
	quiet(t, jobs, 50*time.Millisecond)
}

func jobsWaitForStart(t *testing.T, s store.Store) {
	jobs := make(chan store.Job, 10)
	apply(t, s, enqueue("j", "1"))
	s.Work("j", 1, into(jobs))
	apply(t, s, enqueue("j", "2"))
	quiet(t, jobs, 50*time.Millisecond)
	start(t, s)
	sameJSON(t, receive(t, jobs, "the first job").Body, "1")
	sameJSON(t, receive(t, jobs, "the second job").Body, "2")
}

func jobsOfKinds(t *testing.T, s store.Store) {
	a, b := make(chan store.Job, 10), make(chan store.Job, 10)
	s.Work("a", 1, into(a))
	s.Work("b", 1, into(b))
	start(t, s)
	apply(t, s, enqueue("a", `"a"`), enqueue("b", `"b"`), enqueue("nobody", `"c"`))
	sameJSON(t, receive(t, a, "a").Body, `"a"`)
	sameJSON(t, receive(t, b, "b").Body, `"b"`)
	quiet(t, a, 50*time.Millisecond)
	quiet(t, b, 0)
}

// jobStartsSoon allows a loaded machine ten times what the store aims at, and takes the best of many.
func jobStartsSoon(t *testing.T, s store.Store) {
	jobs := make(chan store.Job, 1)
	s.Work("j", 1, into(jobs))
	start(t, s)
	best := time.Hour
	for range 10 {
		apply(t, s, enqueue("j", "1"))
		committed := time.Now()
		receive(t, jobs, "the job")
		best = min(best, time.Since(committed))
	}
	if best > 500*time.Millisecond {
		t.Errorf("the fastest job started %v after its commit", best)
	}
}

func jobRetried(t *testing.T, s store.Store) {
	type attempt struct {
		store.Job
		at time.Time
	}
	attempts := make(chan attempt, 10)
	s.Work("j", 1, func(_ context.Context, job store.Job) error {
		attempts <- attempt{job, time.Now()}
		return errors.New("not yet")
	})
	start(t, s)
	apply(t, s, store.Enqueue{Kind: "j", Body: []byte(`"body"`), MaxAttempts: 3})
	var seen []attempt
	for i := range 3 {
		a := receive(t, attempts, "an attempt")
		sameJSON(t, a.Body, `"body"`)
		if a.Attempt != i+1 || a.MaxAttempts != 3 || a.Last() != (i == 2) {
			t.Errorf("attempt %d is %+v", i+1, a.Job)
		}
		seen = append(seen, a)
	}
	if first, second := seen[1].at.Sub(seen[0].at), seen[2].at.Sub(seen[1].at); first < 50*time.Millisecond || second < first*5/4 {
		t.Errorf("delays of %v and %v don't grow", first, second)
	}
	select {
	case a := <-attempts:
		t.Errorf("a fourth attempt: %+v", a.Job)
	case <-time.After(300 * time.Millisecond):
	}
}

func jobPanics(t *testing.T, s store.Store) {
	attempts := make(chan int, 10)
	s.Work("j", 1, func(_ context.Context, job store.Job) error {
		attempts <- job.Attempt
		if job.Attempt == 1 {
			panic("at the first attempt")
		}
		return nil
	})
	start(t, s)
	apply(t, s, enqueue("j", "1"))
	if a, b := receive(t, attempts, "the first attempt"), receive(t, attempts, "the second attempt"); a != 1 || b != 2 {
		t.Errorf("attempts %d and %d", a, b)
	}
}

func jobFatal(t *testing.T, s store.Store) {
	jobs := make(chan store.Job, 10)
	s.Work("j", 1, func(_ context.Context, job store.Job) error {
		jobs <- job
		return fmt.Errorf("wrapped: %w", store.Fatal{Err: errors.New("never")})
	})
	start(t, s)
	apply(t, s, enqueue("j", "1"))
	receive(t, jobs, "the job")
	quiet(t, jobs, 1500*time.Millisecond)
}

func jobRunAt(t *testing.T, s store.Store) {
	jobs := make(chan store.Job, 10)
	s.Work("j", 4, into(jobs))
	start(t, s)
	at := time.Now().Add(700 * time.Millisecond)
	apply(t, s,
		store.Enqueue{Kind: "j", Body: []byte(`"later"`), RunAt: at},
		store.Enqueue{Kind: "j", Body: []byte(`"past"`), RunAt: time.Now().Add(-time.Hour)},
		store.Enqueue{Kind: "j", Body: []byte(`"far"`), RunAt: time.Now().Add(time.Hour)},
	)
	sameJSON(t, receive(t, jobs, "the job of the past").Body, `"past"`)
	sameJSON(t, receive(t, jobs, "the job to come").Body, `"later"`)
	if early := time.Until(at); early > 0 {
		t.Errorf("a job started %v early", early)
	} else if early < -2*time.Second {
		t.Errorf("a job started %v late", -early)
	}
	quiet(t, jobs, 0)
}

func jobConcurrency(t *testing.T, s store.Store) {
	const limit, count = 3, 30
	var running, most atomic.Int64
	done := make(chan bool, count)
	s.Work("j", limit, func(context.Context, store.Job) error {
		now := running.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		running.Add(-1)
		done <- true
		return nil
	})
	start(t, s)
	var ops []store.Op
	for range count {
		ops = append(ops, enqueue("j", "1"))
	}
	apply(t, s, ops...)
	for range count {
		receive(t, done, "a job")
	}
	if most.Load() != limit {
		t.Errorf("%d jobs ran at a time, want %d", most.Load(), limit)
	}
}

func jobAtomic(t *testing.T, s store.Store) {
	jobs := make(chan store.Job, 10)
	s.Work("j", 1, into(jobs))
	start(t, s)
	if _, err := s.Apply(context.Background(), enqueue("j", `"lost"`), store.Delete{Key: "/none"}); err == nil {
		t.Fatal("the change succeeded")
	}
	apply(t, s, put("/a", "k", "1"), enqueue("j", `"kept"`))
	sameJSON(t, receive(t, jobs, "the job").Body, `"kept"`)
	quiet(t, jobs, 100*time.Millisecond)
}

func jobUsesStore(t *testing.T, s store.Store) {
	done := make(chan bool, 10)
	s.Work("j", 2, func(ctx context.Context, job store.Job) error {
		var left int
		decode(t, job.Body, &left)
		ops := []store.Op{put(fmt.Sprint("/", left), "k", "1")}
		if left > 0 {
			ops = append(ops, enqueue("j", fmt.Sprint(left-1)))
		}
		if _, err := s.Apply(ctx, ops...); err != nil {
			return err
		}
		if _, err := s.Get(ctx, fmt.Sprint("/", left)); err != nil {
			return err
		}
		done <- true
		return nil
	})
	start(t, s)
	apply(t, s, enqueue("j", "4"))
	for range 5 {
		receive(t, done, "a job of the chain")
	}
	if got := len(list(t, s, store.Query{Kind: "k"})); got != 5 {
		t.Errorf("%d documents, want 5", got)
	}
}

func closeWaits(t *testing.T, s store.Store) {
	started, finished := make(chan bool), atomic.Bool{}
	s.Work("j", 1, func(ctx context.Context, _ store.Job) error {
		close(started)
		time.Sleep(100 * time.Millisecond)
		_, err := s.Apply(ctx, put("/a", "k", "1"))
		finished.Store(err == nil)
		return err
	})
	start(t, s)
	apply(t, s, enqueue("j", "1"))
	receive(t, started, "the job")
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
	if !finished.Load() {
		t.Error("Close returned before the job had written its result")
	}
}

func closeCancels(t *testing.T, s store.Store) {
	started, cancelled := make(chan bool), atomic.Bool{}
	s.Work("j", 1, func(ctx context.Context, _ store.Job) error {
		close(started)
		<-ctx.Done()
		cancelled.Store(true)
		return ctx.Err()
	})
	start(t, s)
	apply(t, s, enqueue("j", "1"))
	receive(t, started, "the job")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v, want the context's error", err)
	}
	if !cancelled.Load() {
		t.Error("Close returned before the job")
	}
}

func workMisuse(t *testing.T, s store.Store) {
	panics := func(name string, call func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		call()
	}
	run := func(context.Context, store.Job) error { return nil }
	s.Work("j", 1, run)
	panics("a kind twice", func() { s.Work("j", 1, run) })
	panics("no concurrency", func() { s.Work("k", 0, run) })
	panics("no function", func() { s.Work("l", 1, nil) })
	start(t, s)
	panics("after Start", func() { s.Work("m", 1, run) })
	if err := s.Start(context.Background()); err == nil {
		t.Error("Start succeeded twice")
	}
}
