// Package jobtest is the suite that every way of running jobs passes, and the program that its runs run.
package jobtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

// World is what a suite runs in.
type World struct {
	// Backend makes another backend on the same folder, as another server would have.
	Backend func(t testing.TB) job.Backend
	// Dir holds the folders of the runs.
	Dir string
	// Probe is the test program's file outside, from Build.
	Probe string
	// Layers are the image, which has the program as /bin/probe; none without isolation.
	Layers []string
	// Isolated tells that runs are apart from the machine and from each other; Memory and PIDs, that all processes of a node together
	// are limited.
	Isolated, Memory, PIDs bool
}

// Build makes the test program, static, so that it is all that an image needs.
func Build(folder string) (string, error) {
	path := filepath.Join(folder, "probe")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "github.com/alvara-ml/alvara/job/jobtest/testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program of the tests: %w: %s", err, out)
	}
	return path, nil
}

var runs atomic.Int64

// Spec runs the test program with arguments.
func (w World) Spec(args ...string) job.Spec {
	program := w.Probe
	if len(w.Layers) > 0 {
		program = "/bin/probe"
	}
	return job.Spec{
		ID: fmt.Sprintf("run-%d-%d", os.Getpid(), runs.Add(1)), Layers: w.Layers, Command: append([]string{program}, args...),
		Limits: job.Limits{Timeout: time.Minute},
	}
}

// Start starts a spec and has it ended with the test.
func (w World) Start(t testing.TB, spec job.Spec) job.Run {
	t.Helper()
	run, err := w.Backend(t).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := run.Cancel(ctx)
		if known, ok := resource.AsError(err); ok && known.Kind == resource.NotFound { // removed
			return
		}
		if _, waitErr := run.Wait(ctx); err != nil || waitErr != nil {
			t.Errorf("end the run: %v %v", err, waitErr)
		}
	})
	return run
}

// Run runs a spec to its end and gives how it ended and what node 0 wrote.
func (w World) Run(t testing.TB, spec job.Spec) (job.Status, string) {
	t.Helper()
	run := w.Start(t, spec)
	status := Wait(t, run)
	w.Clean(t, run)
	return status, Log(t, run, 0)
}

// Clean tells of what a run left that it should not have.
func (w World) Clean(t testing.TB, run job.Run) {
	t.Helper()
	for _, name := range []string{"nodes", "secrets", "reserve"} {
		if _, err := os.Lstat(filepath.Join(w.Dir, run.ID(), name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the run left %s: %v", name, err)
		}
	}
	var order struct{ Token string }
	text, err := os.ReadFile(filepath.Join(w.Dir, run.ID(), "order"))
	if err == nil {
		err = json.Unmarshal(text, &order)
	}
	if err != nil || order.Token == "" {
		t.Fatalf("the run's token: %v %v", order, err)
	}
	var groups []string
	for _, pattern := range []string{"/sys/fs/cgroup/alvara/job-%s-*", "/sys/fs/cgroup/*/alvara/job-%s-*"} {
		found, err := filepath.Glob(fmt.Sprintf(pattern, order.Token))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, found...)
	}
	if len(groups) > 0 {
		t.Errorf("the run left %v", groups)
	}
}

// Wait waits for the end of a run.
func Wait(t testing.TB, run job.Run) job.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status, err := run.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	if !status.State.Ended() || status.Ended.IsZero() {
		t.Errorf("waited for %+v", status)
	}
	return status
}

// Log gives what a node has written.
func Log(t testing.TB, run job.Run, node int) string {
	t.Helper()
	var text bytes.Buffer
	next, err := run.Logs(t.Context(), node, 0, false, &text)
	if err != nil || next != int64(text.Len()) {
		t.Fatalf("log: %v, %d of %d", err, next, text.Len())
	}
	return text.String()
}

// Until waits until something holds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// Says waits until node 0 has written something.
func Says(t testing.TB, run job.Run, what string) {
	t.Helper()
	Until(t, "the run says "+what, func() bool { return bytes.Contains([]byte(Log(t, run, 0)), []byte(what)) })
}

func is(err error, kind resource.Kind, target string) bool {
	known, ok := resource.AsError(err)
	return ok && known.Kind == kind && known.Target == target
}
