package machinelearning_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/store"
)

// equip makes the runner that answers requests one that carries jobs out, on w's machine.
func (w *jobWorld) equip() launcher {
	w.t.Helper()
	l := launcher{machine: w.machine, life: newLife(), waiting: make(chan struct{})}
	r := w.deps.Runner
	r.Deps, r.Manager, r.Launcher, r.Nodes, r.Logs, r.Clock, r.Log = w.deps, w.manager, l, w.nodes, w.logs, time.Now, slog.New(slog.DiscardHandler)
	r.Write = func(context.Context, identity.Principal, string, string, string, io.Reader) error { return nil }
	return l
}

// carried has it carry a job out, and gives what tells that it is over.
func (w *jobWorld) carried(name string) <-chan error {
	w.t.Helper()
	body, err := json.Marshal(jobID(name))
	if err != nil {
		w.t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- w.deps.Runner.Run(w.t.Context(), store.Job{Body: body, Attempt: 1, MaxAttempts: 1000}) }()
	return over
}

// Wherever one begins to read a job's log, the rest of it is what follows; and who follows it from the beginning has all of it.
func TestJobLogParts(t *testing.T) {
	w := newJobs(t)
	w.submit("job", "forever")
	waiting := w.equip().waiting
	over := w.carried("job")
	followed := make(chan string)
	go func() { followed <- w.send(w.owner, "GET", ws+"/jobs/job/logs?follow=true", nil).Raw }()
	go func() { followed <- w.send(w.owner, "GET", ws+"/jobs/job/logs?follow=1&node=0", nil).Raw }()
	<-waiting
	running := w.must("GET", ws+"/jobs/job/logs", nil)
	if !strings.HasSuffix(running.Raw, "the image is pulled\n"+output) || running.Header.Get("x-alvara-job-status") != "Running" {
		t.Errorf("while it runs the log is %q %v", running.Raw, running.Header)
	}
	w.must("POST", ws+"/jobs/job/cancel", nil)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	whole := w.must("GET", ws+"/jobs/job/logs", nil)
	if !strings.HasPrefix(whole.Raw, running.Raw) || !strings.HasSuffix(whole.Raw, "it was told to\n") || whole.Header.Get("x-alvara-next-offset") != fmt.Sprint(len(whole.Raw)) {
		t.Errorf("the whole log is %q %v", whole.Raw, whole.Header)
	}
	for range 2 {
		if got := <-followed; got != whole.Raw && got != output {
			t.Errorf("following gives %q", got)
		}
	}
	for offset := range len(whole.Raw) + 1 {
		for _, follow := range []string{"", "&follow=true"} {
			if got := w.must("GET", fmt.Sprintf("%s/jobs/job/logs?offset=%d%s", ws, offset, follow), nil); got.Raw != whole.Raw[offset:] {
				t.Errorf("from %d on (%s) the log is %q; want %q", offset, follow, got.Raw, whole.Raw[offset:])
			}
		}
	}
	if got := w.must("GET", fmt.Sprintf("%s/jobs/job/logs?offset=%d", ws, len(whole.Raw)+10), nil); got.Raw != "" {
		t.Errorf("beyond the end there is %q", got.Raw)
	}
}

// The log of a job that was never begun is what the server said of it.
func TestLogOfAJobThatNeverRan(t *testing.T) {
	w := newJobs(t)
	w.equip()
	w.submit("job", "task say hello")
	if got := w.must("GET", ws+"/jobs/job/logs", nil); got.Raw != "" || got.Header.Get("x-alvara-job-status") != "Queued" {
		t.Errorf("a job that waits has the log %q %v", got.Raw, got.Header)
	}
	w.must("DELETE", ws+"/environments/task/versions/1", nil)
	if err := <-w.carried("job"); err != nil {
		t.Fatal(err)
	}
	got := w.must("GET", ws+"/jobs/job/logs?follow=true", nil)
	if !strings.Contains(got.Raw, "The job is failed: The environment task:1 was deleted meanwhile.") {
		t.Errorf("the log is %q", got.Raw)
	}
	if artifacts := w.must("GET", ws+"/jobs/job/artifacts", nil); artifacts.count("value") != 0 {
		t.Errorf("the artifacts are %s", artifacts.Raw)
	}
}
