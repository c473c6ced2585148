package containerregistry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
)

// TestOutcomes: each way in which a build ends gives a state, a message and the word of the log that clients wait for.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		what            string
		err             error
		builds          int // how often it is built
		status, outcome string
		message         string
		told            bool
	}{
		{"a fault in the Dockerfile", resource.Invalidf("BuildFailed", "Dockerfile:3: RUN false ended with the exit code 1."), 1, "Failed", "failed", "Dockerfile:3: RUN false", false},
		{"a base image that is refused", resource.Forbiddenf("DENIED", "The identity lacks AcrPull on the registry base."), 1, "Failed", "failed", "lacks AcrPull", false},
		{"a registry that does not answer", resource.Errorf(resource.Unavailable, "Unavailable", "The registry base does not answer."), 3, "Failed", "failed", "does not answer", true},
		{"a fault of the server", errDisk, 3, "Error", "internalerror", fraud + "/runs/cr1", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			w.withRegistry()
			w.build.set(func(context.Context, image.Order, func(string)) (image.Result, error) { return image.Result{}, c.err })
			end := w.ended(w.schedule(nil))
			if got := end.text("properties.status"); got != c.status {
				t.Errorf("it is %s", got)
			}
			if got := end.text("properties.runErrorMessage"); !strings.Contains(got, c.message) || strings.Contains(got, "fire") {
				t.Errorf("the message is %q", got)
			}
			if end.get("properties.outputImages") != nil || end.text("properties.finishTime") == "" {
				t.Errorf("it is %s", end.Raw)
			}
			lines, outcome := w.completed("cr1")
			if outcome != c.outcome || !strings.Contains(strings.Join(lines, "\n"), c.message) || strings.Contains(strings.Join(lines, "\n"), "fire") {
				t.Errorf("the log ended %q and says %q", outcome, lines)
			}
			if w.build.count() != c.builds {
				t.Errorf("it was built %d times; want %d", w.build.count(), c.builds)
			}
			if (len(w.told) > 0) != c.told {
				t.Errorf("the server's log has %v", w.told)
			}
		})
	}
}

// TestPassingFault: a fault of the server that passes costs an attempt.
func TestPassingFault(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.build.set(func(_ context.Context, order image.Order, _ func(string)) (image.Result, error) {
		if w.build.count() < 3 {
			return image.Result{}, errDisk
		}
		return pushed(order), nil
	})
	if end := w.ended(w.schedule(nil)); end.text("properties.status") != "Succeeded" || end.get("properties.runErrorMessage") != nil {
		t.Errorf("it is %s", end.Raw)
	}
	if lines, _ := w.completed("cr1"); !slices.Contains(lines, "cr1: attempt 3") {
		t.Errorf("the log says %q", lines)
	}
}

// TestPartlyPushed: what a registry has acknowledged is told even when the build failed afterwards.
func TestPartlyPushed(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.build.set(func(_ context.Context, order image.Order, _ func(string)) (image.Result, error) {
		return image.Result{Digest: digest, Pushed: order.Images[:1]}, resource.Forbiddenf("DENIED", "The quota is used up.")
	})
	end := w.ended(w.schedule(map[string]any{"imageNames": []string{"one:v1", "two:v1"}}))
	outputs, _ := end.get("properties.outputImages").([]any)
	if end.text("properties.status") != "Failed" || len(outputs) != 1 || outputs[0].(map[string]any)["repository"] != "one" {
		t.Errorf("it is %s", end.Raw)
	}
}

func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.build.hold()
	end := w.ended(w.schedule(map[string]any{"timeout": 1}))
	if end.text("properties.status") != "Timeout" || !strings.Contains(end.text("properties.runErrorMessage"), "timeout of 1 seconds") {
		t.Errorf("it is %s", end.Raw)
	}
	if _, outcome := w.completed("cr1"); outcome != "timedout" || w.build.count() != 1 {
		t.Errorf("the log ended %q after %d builds", outcome, w.build.count())
	}
}

func TestCancelRunning(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	begun := w.build.hold()
	run := w.schedule(nil)
	<-begun
	if got := w.do("POST", run+"/cancel", nil); got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Raw)
	}
	end := w.must("GET", run, nil) // it has ended when the cancellation is answered
	if end.text("properties.status") != "Canceled" || end.text("properties.runErrorMessage") != "The run was canceled." {
		t.Errorf("it is %s", end.Raw)
	}
	if _, outcome := w.completed("cr1"); outcome != "canceled" || w.build.count() != 1 {
		t.Errorf("the log ended %q after %d builds", outcome, w.build.count())
	}
	refused(t, "canceling it again", w.do("POST", run+"/cancel", nil), 409, "RunAlreadyEnded", "cr1", "Canceled")
}

// TestCancelTooLate: a build that ends by itself while it is being canceled has ended as it did.
func TestCancelTooLate(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	begun := make(chan struct{})
	w.build.set(func(ctx context.Context, order image.Order, _ func(string)) (image.Result, error) {
		close(begun)
		<-ctx.Done()
		return pushed(order), nil
	})
	run := w.schedule(nil)
	<-begun
	w.must("POST", run+"/cancel", nil)
	if end := w.ended(run); end.text("properties.status") != "Succeeded" {
		t.Errorf("the images are pushed, and it is %s", end.Raw)
	}
}

func TestCancelQueued(t *testing.T) {
	sealer := newWorld(t).sealer
	st := newStore()
	w := openWorld(t, st, sealer, 1)
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	begun := w.build.hold()
	running, waiting := w.schedule(nil), w.schedule(nil)
	<-begun
	if got := w.must("GET", waiting, nil); got.text("properties.status") != "Queued" {
		t.Fatalf("with one worker the second run is %s", got.Raw)
	}
	w.must("POST", waiting+"/cancel", nil)
	if end := w.must("GET", waiting, nil); end.text("properties.status") != "Canceled" || end.get("properties.startTime") != nil {
		t.Errorf("it is %s", end.Raw)
	}
	if lines, outcome := w.log(w.key("fraudacr"), "cr2"); outcome != "canceled" || !slices.Contains(lines, "The run was canceled.") {
		t.Errorf("the log ended %q and says %q", outcome, lines)
	}
	w.must("POST", running+"/cancel", nil)
	w.build.set(nil)
	w.ended(w.schedule(nil)) // the queue goes on
	if w.build.count() != 2 {
		t.Errorf("%d were built; the canceled one must not be", w.build.count())
	}
}

// TestCancelBetweenAttempts: a run that waits for its next attempt is canceled, too.
func TestCancelBetweenAttempts(t *testing.T) {
	slow := mem.New(mem.WithRetryDelay(func(int) time.Duration { return 300 * time.Millisecond }))
	w := openWorld(t, slow, newWorld(t).sealer, 1)
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	failed := make(chan struct{}, 1)
	w.build.set(func(context.Context, image.Order, func(string)) (image.Result, error) {
		select {
		case failed <- struct{}{}:
		default:
		}
		return image.Result{}, errDisk
	})
	run := w.schedule(nil)
	<-failed
	got := w.do("POST", run+"/cancel", nil)
	if got.Status != 200 && got.Status != 202 {
		t.Fatalf("%d %s", got.Status, got.Raw)
	}
	end := w.ended(run)
	if end.text("properties.status") != "Canceled" {
		t.Errorf("it is %s", end.Raw)
	}
}

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
