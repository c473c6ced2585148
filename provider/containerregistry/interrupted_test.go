package containerregistry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/store"
)

// TestServerStops: a run that was cut off is run again by the next server, without costing an attempt, and with the same
// order.
func TestServerStops(t *testing.T) {
	first := newWorld(t)
	sealer := first.sealer
	st := &handover{Store: newStore()}
	w := openWorld(t, st, sealer, 2)
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	begun := w.build.hold()
	run := w.schedule(map[string]any{"arguments": []any{map[string]any{"name": "TOKEN", "value": "hunter2", "isSecret": true}}})
	<-begun
	before, _ := w.build.last()
	w.until(run, "Running")
	job := st.cut(t)
	if now := w.must("GET", run, nil); now.text("properties.status") != "Running" {
		t.Errorf("cut off, it is %s", now.Raw)
	}
	w.build.set(nil)
	if err := st.run(context.Background(), job); err != nil {
		t.Fatal(err)
	}
	end := w.must("GET", run, nil)
	after, _ := w.build.last()
	if end.text("properties.status") != "Succeeded" || fmt.Sprintf("%+v", before) != fmt.Sprintf("%+v", after) {
		t.Errorf("run again, it is %s; the order was %+v and is %+v", end.Raw, before, after)
	}
	// Cut off between the run's end and its log's: the log is completed, and nothing is built.
	w.mu.Lock()
	w.logs[w.key("fraudacr")+"/cr1"].outcome = ""
	w.mu.Unlock()
	if err := st.run(context.Background(), job); err != nil {
		t.Fatal(err)
	}
	if _, outcome := w.log(w.key("fraudacr"), "cr1"); outcome != "successful" || w.build.count() != 2 {
		t.Errorf("the log ended %q after %d builds", outcome, w.build.count())
	}
}

// TestRunThatEndsTheServer: a run under which the server ends again and again is given up.
func TestRunThatEndsTheServer(t *testing.T) {
	sealer := newWorld(t).sealer
	st := &handover{Store: newStore()}
	w := openWorld(t, st, sealer, 2)
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	begun := w.build.hold()
	run := w.schedule(nil)
	<-begun
	job := st.cut(t)
	for range 20 {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- st.run(ctx, job) }()
		select {
		case <-begun:
			stop()
			<-done
			continue
		case err := <-done:
			stop()
			if err != nil {
				t.Fatal(err)
			}
		}
		break
	}
	end := w.must("GET", run, nil)
	if end.text("properties.status") != "Error" || !strings.Contains(end.text("properties.runErrorMessage"), "8 times") || w.build.count() != 8 {
		t.Errorf("after %d builds it is %s", w.build.count(), end.Raw)
	}
	if _, outcome := w.log(w.key("fraudacr"), "cr1"); outcome != "internalerror" {
		t.Errorf("the log ended %q", outcome)
	}
}

// handover is a store whose workers a test can cut off, and call again.
type handover struct {
	store.Store
	run  func(context.Context, store.Job) error
	jobs chan store.Job
	stop context.CancelFunc
	done chan struct{}
}

func (h *handover) Work(kind string, concurrency int, run func(context.Context, store.Job) error) {
	if kind != "containerregistry/run" {
		h.Store.Work(kind, concurrency, run)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	h.run, h.jobs, h.stop, h.done = run, make(chan store.Job, 1), stop, make(chan struct{})
	h.Store.Work(kind, concurrency, func(_ context.Context, job store.Job) error {
		h.jobs <- job
		_ = run(ctx, job) // cut off: what it says is heard by nobody
		close(h.done)
		return nil
	})
}

// cut ends the worker as a server does that stops, and gives the job that it had.
func (h *handover) cut(t *testing.T) store.Job {
	t.Helper()
	job := <-h.jobs
	h.stop()
	<-h.done
	return job
}

// TestRegistryDeleted: deleting a registry ends its runs, and takes them along.
func TestRegistryDeleted(t *testing.T) {
	sealer := newWorld(t).sealer
	w := openWorld(t, newStore(), sealer, 1)
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	w.build.set(func(ctx context.Context, _ image.Order, _ func(string)) (image.Result, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return image.Result{}, ctx.Err()
	})
	running := w.schedule(nil)
	w.schedule(nil)
	<-begun
	key := w.key("fraudacr")
	w.must("DELETE", fraud, nil)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the build goes on")
	}
	if got := w.do("GET", running, nil); got.Status != 404 {
		t.Errorf("the run is still there: %d %s", got.Status, got.Raw)
	}
	if !slices.Equal(w.dropped, []string{key}) {
		t.Errorf("dropped %q; want %q", w.dropped, key)
	}
	w.build.set(nil)
	w.withRegistry()
	if run := w.schedule(nil); run != fraud+"/runs/cr1" || w.ended(run).text("properties.status") != "Succeeded" {
		t.Errorf("made again, its first run is %s", run)
	}
	if w.build.count() != 2 {
		t.Errorf("%d were built; the queued run of the deleted registry must not be", w.build.count())
	}
}

// TestIdentityGone: a run does not act as an identity that was deleted, replaced or taken off since it was scheduled.
func TestIdentityGone(t *testing.T) {
	for what, change := range map[string]func(w *world){
		"the registry's is turned off": func(w *world) { w.must("PATCH", fraud, map[string]any{"identity": map[string]any{"type": "None"}}) },
		"the registry's is made anew": func(w *world) {
			w.must("PATCH", fraud, map[string]any{"identity": map[string]any{"type": "None"}})
			w.must("PATCH", fraud, map[string]any{"identity": map[string]any{"type": "SystemAssigned"}})
		},
		"a user-assigned one is deleted": func(w *world) { w.must("DELETE", builder, nil) },
		"a user-assigned one is made anew": func(w *world) {
			w.must("DELETE", builder, nil)
			w.must("PUT", builder, map[string]any{"location": "local"})
		},
	} {
		t.Run(what, func(t *testing.T) {
			sealer := newWorld(t).sealer
			w := openWorld(t, newStore(), sealer, 1)
			w.must("PUT", group, map[string]any{"location": "local"})
			w.withRegistry()
			w.must("PUT", builder, map[string]any{"location": "local"})
			begun := w.build.hold()
			first := w.schedule(nil)
			<-begun
			name := "[system]"
			if strings.Contains(what, "user-assigned") {
				name = builder
			}
			second := w.schedule(map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"identity": name}}})
			change(w)
			w.must("POST", first+"/cancel", nil)
			if end := w.ended(second); end.text("properties.status") != "Failed" || !strings.Contains(end.text("properties.runErrorMessage"), "no longer there, or was made anew") {
				t.Errorf("it is %s", end.Raw)
			}
			if w.build.count() != 1 {
				t.Error("it was built")
			}
		})
	}
}

// TestSourceGone: a source that is gone when the run begins fails it with the reason.
func TestSourceGone(t *testing.T) {
	sealer := newWorld(t).sealer
	w := openWorld(t, newStore(), sealer, 1)
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	begun := w.build.hold()
	first, second := w.schedule(nil), w.schedule(nil)
	<-begun
	w.mu.Lock()
	clear(w.uploaded)
	w.mu.Unlock()
	w.must("POST", first+"/cancel", nil)
	if end := w.ended(second); end.text("properties.status") != "Failed" || !strings.Contains(end.text("properties.runErrorMessage"), "source/") {
		t.Errorf("it is %s", end.Raw)
	}
}

// TestNoLog: a log that cannot be written costs the log and not the run.
func TestNoLog(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.mu.Lock()
	w.logFault = errDisk
	w.mu.Unlock()
	if end := w.ended(w.schedule(nil)); end.text("properties.status") != "Succeeded" {
		t.Errorf("it is %s", end.Raw)
	}
}
