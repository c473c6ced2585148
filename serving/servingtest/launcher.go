// Package servingtest has what tests of serving need: a machine whose runs are HTTP handlers in this process, and records and a journal in
// memory. The machine outlives the controllers that use it, as real runs do.
package servingtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Launcher is a workload.Launcher whose runs are handlers. Make one with NewLauncher.
type Launcher struct {
	// Program is what an order runs. It may be exchanged before the first launch alone.
	Program func(order workload.Order) http.Handler
	refuse  func(order workload.Order) error

	mu       sync.Mutex
	runs     map[string]*Run
	launches []workload.Order
}

// NewLauncher makes a machine that runs program.
func NewLauncher(program func(order workload.Order) http.Handler) *Launcher {
	return &Launcher{Program: program, runs: map[string]*Run{}}
}

var _ workload.Launcher = (*Launcher)(nil)

// SetRefuse has launches refused from now on; nil ends that.
func (l *Launcher) SetRefuse(refuse func(order workload.Order) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = refuse
}

// Isolation says that there are images here.
func (l *Launcher) Isolation() job.Isolation { return job.Isolation{Level: "sandbox"} }

// Launch begins a run.
func (l *Launcher) Launch(_ context.Context, order workload.Order, tell func(string)) (workload.Launched, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if run := l.runs[order.ID]; run != nil {
		return run, nil
	}
	l.launches = append(l.launches, order)
	if l.refuse != nil {
		if err := l.refuse(order); err != nil {
			return nil, err
		}
	}
	tell("pulled " + order.Image)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	run := &Run{launcher: l, order: order, ended: make(chan struct{}), address: listener.Addr().String()}
	run.server = &http.Server{Handler: l.Program(order)}
	go func() { _ = run.server.Serve(listener) }() // ends with the run
	l.runs[order.ID] = run
	return run, nil
}

// Open finds a run.
func (l *Launcher) Open(_ context.Context, order workload.Order) (workload.Launched, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if run := l.runs[order.ID]; run != nil {
		return run, nil
	}
	return nil, resource.NotFoundf("RunNotFound", "there is no run %s", order.ID)
}

// Forget removes a run.
func (l *Launcher) Forget(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.runs[id]
	if run == nil {
		return nil
	}
	if !run.over() {
		return resource.Conflictf("RunNotEnded", "the run %s has not ended", id)
	}
	delete(l.runs, id)
	return nil
}

// Launches are all orders that there were, also the refused ones.
func (l *Launcher) Launches() []workload.Order {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]workload.Order{}, l.launches...)
}

// Running names the runs that have not ended.
func (l *Launcher) Running() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for id, run := range l.runs {
		if !run.over() {
			out = append(out, id)
		}
	}
	sort.Strings(out)
	return out
}

// Kept counts the runs that are not forgotten.
func (l *Launcher) Kept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.runs)
}

// Crash ends a run as if its program had.
func (l *Launcher) Crash(id string) {
	l.mu.Lock()
	run := l.runs[id]
	l.mu.Unlock()
	run.end(job.Status{State: job.Failed, Reason: job.ExitCode, Message: "the command ended with the exit status 3"})
}

// Run is a run of a Launcher.
type Run struct {
	launcher *Launcher
	order    workload.Order
	server   *http.Server
	address  string

	mu     sync.Mutex
	status job.Status
	ended  chan struct{}
}

func (r *Run) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (r *Run) end(status job.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over() {
		return
	}
	r.status = status
	close(r.ended)
	go func() { _ = r.server.Close() }() // what it answers is cut off
}

// ID is the run's id.
func (r *Run) ID() string { return r.order.ID }

// Spec is not kept.
func (r *Run) Spec() (job.Spec, error) { return job.Spec{ID: r.order.ID}, nil }

// Status tells how it is.
func (r *Run) Status() (job.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := r.status
	if status.State == "" {
		status.State = job.Running
	}
	status.Nodes = []job.Node{{LogBytes: int64(len(r.text()))}}
	return status, nil
}

func (r *Run) text() string { return "run " + r.order.ID + " serves\n" }

// Wait waits for the end.
func (r *Run) Wait(ctx context.Context) (job.Status, error) {
	select {
	case <-r.ended:
		return r.Status()
	case <-ctx.Done():
		return job.Status{}, ctx.Err()
	}
}

// Cancel ends the run.
func (r *Run) Cancel(context.Context) error {
	r.end(job.Status{State: job.Canceled, Message: "it was told to end"})
	return nil
}

// Logs gives a line.
func (r *Run) Logs(_ context.Context, _ int, offset int64, _ bool, w io.Writer) (int64, error) {
	n, err := io.Copy(w, strings.NewReader(r.text()[offset:]))
	return offset + n, err
}

// Remove forgets the run.
func (r *Run) Remove() error { return r.launcher.Forget(r.order.ID) }

// Deliver has nothing to write.
func (r *Run) Deliver(context.Context, func(string)) error { return nil }

// Artifacts are none.
func (r *Run) Artifacts() ([]workload.Artifact, error) { return nil, nil }

// OpenArtifact finds none.
func (r *Run) OpenArtifact(path string) (io.ReadCloser, error) {
	return nil, resource.NotFoundf("ArtifactNotFound", "there is no artifact %s", path)
}

// Metrics are none.
func (r *Run) Metrics(offset int64, _ io.Writer) (int64, error) { return offset, nil }

// Release frees nothing.
func (r *Run) Release() error { return nil }

// Dial connects to the handler.
func (r *Run) Dial(ctx context.Context) (net.Conn, error) {
	if r.over() {
		return nil, fmt.Errorf("the run %s has ended", r.order.ID)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", r.address)
}
