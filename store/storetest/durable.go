package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// RunDurable runs what a driver that keeps its state in a folder passes beyond Run. open opens the store in a folder,
// empty at first, and again after a Close.
func RunDurable(t *testing.T, open func(t testing.TB, folder string) store.Store) {
	for name, test := range map[string]func(*testing.T, func() store.Store){
		"documents outlive Close":              documentsReopened,
		"etags never come back after a reopen": etagsReopened,
		"waiting jobs outlive Close":           jobsReopened,
		"a job that ran is run again":          interruptedJob,
		"a retry outlives Close":               retryReopened,
		"ended jobs stay ended":                endedJobs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			test(t, func() store.Store { return opened(t, open(t, folder)) })
		})
	}
}

func shut(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// shutAtOnce closes a store whose jobs don't end by themselves.
func shutAtOnce(t testing.TB, s store.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("close: %v, want the context's error", err)
	}
}

func documentsReopened(t *testing.T, open func() store.Store) {
	s := open()
	a := apply(t, s, put("/a", "k", `{"a":1}`))[0]
	apply(t, s, put("/b", "k", "1"), put("/c", "other", "2"))
	apply(t, s, store.Delete{Key: "/b"})
	c := get(t, s, "/c")
	shut(t, s)
	s = open()
	same(t, get(t, s, "/a"), a)
	same(t, get(t, s, "/c"), c)
	absent(t, s, "/b")
	count := 0
	follow(t, s, func(changes []store.Change) { count += len(changes) }, "k", "other")
	if count != 2 {
		t.Errorf("a follower hears of %d documents, want 2", count)
	}
	apply(t, s, store.Put{Key: "/a", Kind: "k", IfMatch: a.ETag})
}

func etagsReopened(t *testing.T, open func() store.Store) {
	seen := map[string]bool{}
	for range 4 {
		s := open()
		for range 3 {
			d := apply(t, s, store.Put{Key: "/a", Kind: "k", IfMatch: store.None})[0]
			if seen[d.ETag] {
				t.Errorf("etag %q was there before", d.ETag)
			}
			seen[d.ETag] = true
			apply(t, s, store.Delete{Key: "/a"})
		}
		shut(t, s)
	}
}

func jobsReopened(t *testing.T, open func() store.Store) {
	s := open()
	at := time.Now().Add(1500 * time.Millisecond)
	apply(t, s, enqueue("j", `"now"`), store.Enqueue{Kind: "j", Body: []byte(`"later"`), RunAt: at, MaxAttempts: 7})
	shut(t, s)
	s = open()
	jobs := make(chan store.Job, 10)
	s.Work("j", 1, into(jobs))
	start(t, s)
	first := receive(t, jobs, "the waiting job")
	sameJSON(t, first.Body, `"now"`)
	if first.Attempt != 1 || first.MaxAttempts != store.DefaultMaxAttempts {
		t.Errorf("got %+v", first)
	}
	later := receive(t, jobs, "the job of later")
	sameJSON(t, later.Body, `"later"`)
	if late := time.Since(at); late < 0 || late > 2*time.Second {
		t.Errorf("the job of later started %v after its time", late)
	}
	if later.MaxAttempts != 7 {
		t.Errorf("got %+v", later)
	}
}

// interruptedJob interrupts a job twice: the attempt has the same number each time, since it did not fail.
func interruptedJob(t *testing.T, open func() store.Store) {
	s := open()
	apply(t, s, store.Enqueue{Kind: "j", Body: []byte(`"body"`), MaxAttempts: 1})
	var id int64
	for range 2 {
		started := make(chan store.Job, 1)
		s.Work("j", 1, func(ctx context.Context, job store.Job) error {
			started <- job
			<-ctx.Done()
			return ctx.Err()
		})
		start(t, s)
		job := receive(t, started, "the job")
		if id == 0 {
			id = job.ID
		}
		if job.ID != id || job.Attempt != 1 || job.MaxAttempts != 1 || !job.Last() {
			t.Errorf("got %+v", job)
		}
		shutAtOnce(t, s)
		s = open()
	}
	jobs := make(chan store.Job, 10)
	s.Work("j", 1, into(jobs))
	start(t, s)
	job := receive(t, jobs, "the job, once more")
	sameJSON(t, job.Body, `"body"`)
	if job.ID != id || job.Attempt != 1 {
		t.Errorf("got %+v", job)
	}
	shut(t, s)
}

func retryReopened(t *testing.T, open func() store.Store) {
	s := open()
	failed := make(chan bool, 10)
	s.Work("j", 1, func(context.Context, store.Job) error {
		failed <- true
		return errors.New("not yet")
	})
	start(t, s)
	apply(t, s, store.Enqueue{Kind: "j", Body: []byte("1"), MaxAttempts: 9})
	receive(t, failed, "the first attempt")
	shut(t, s)
	s = open()
	jobs := make(chan store.Job, 10)
	s.Work("j", 1, into(jobs))
	start(t, s)
	if job := receive(t, jobs, "the second attempt"); job.Attempt != 2 || job.MaxAttempts != 9 {
		t.Errorf("got %+v", job)
	}
}

func endedJobs(t *testing.T, open func() store.Store) {
	s := open()
	ran := make(chan string, 20)
	s.Work("j", 4, func(_ context.Context, job store.Job) error {
		var body string
		decode(t, job.Body, &body)
		ran <- body
		switch body {
		case "fatal":
			return store.Fatal{Err: errors.New("never")}
		case "last":
			return errors.New("at the last attempt")
		}
		return nil
	})
	start(t, s)
	apply(t, s, enqueue("j", `"done"`), enqueue("j", `"fatal"`), store.Enqueue{Kind: "j", Body: []byte(`"last"`), MaxAttempts: 1})
	for range 3 {
		receive(t, ran, "a job")
	}
	shut(t, s)
	s = open()
	jobs := make(chan store.Job, 10)
	s.Work("j", 4, into(jobs))
	start(t, s)
	apply(t, s, enqueue("j", fmt.Sprintf("%q", "new")))
	sameJSON(t, receive(t, jobs, "the new job").Body, `"new"`)
	quiet(t, jobs, 200*time.Millisecond)
}
