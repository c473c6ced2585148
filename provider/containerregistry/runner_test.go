package containerregistry_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
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
