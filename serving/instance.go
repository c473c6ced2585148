package serving

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// state is how an instance does.
type state int

const (
	starting state = iota
	isReady        // it gets requests
	unready        // it was ready, and is no more
	draining       // it gets no new requests, and ends with those that it has
)

// drainExtra is how long after the longest time of a request an instance is waited for.
const drainExtra = 5 * time.Second

// freeRetry is how long after a failure it is tried again to free what an instance had; it grows.
const freeRetry = 100 * time.Millisecond

// instance is one run of a revision. Its fields below d.mu are guarded by it.
type instance struct {
	d       *deployment
	adopted bool // there may be a run of it
	stopped chan struct{}

	// guarded by d.mu
	record   InstanceRecord
	revision *Revision
	state    state
	busy     int
	since    time.Time // of ready
	ending   bool      // stopped is closed
	launched workload.Launched

	transport *http.Transport
}

func newInstance(d *deployment, record InstanceRecord, revision *Revision) *instance {
	i := &instance{d: d, record: record, revision: revision, stopped: make(chan struct{})}
	// A connection for each request: an instance may close one that is idle at the moment in which a request is written to it.
	i.transport = &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return i.dial(ctx)
	}}
	return i
}

// runID names the run of an instance, which is the same after a restart of the server.
func runID(key string, number int) string {
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("serve-%s-%d", hex.EncodeToString(sum[:8]), number)
}

func (i *instance) dial(ctx context.Context) (net.Conn, error) {
	i.d.mu.Lock()
	launched := i.launched
	i.d.mu.Unlock()
	if launched == nil {
		return nil, fmt.Errorf("instance %d does not run", i.record.Number)
	}
	return launched.Dial(ctx)
}

// begin starts the instance's goroutine.
func (i *instance) begin() {
	i.d.running.Add(1)
	go func() {
		defer i.d.running.Done()
		i.live(i.d.ctx)
	}()
}

// drain lets the instance get no new requests, and ends it with the last one. The caller holds d.mu.
func (i *instance) drain() {
	i.state = draining
	if i.busy == 0 {
		i.end()
		return
	}
	time.AfterFunc(i.timeout()+drainExtra, func() {
		i.d.mu.Lock()
		defer i.d.mu.Unlock()
		i.end()
	})
}

func (i *instance) timeout() time.Duration {
	if i.revision == nil {
		return 0
	}
	return i.revision.Requests.Timeout
}

// end has the instance's goroutine end the run. The caller holds d.mu.
func (i *instance) end() {
	if !i.ending {
		i.ending = true
		close(i.stopped)
	}
}

// live begins the run, or finds it, and stays with it until it has ended or this process does.
func (i *instance) live(ctx context.Context) {
	launched, err := i.launch(ctx)
	if err == nil {
		i.d.mu.Lock()
		i.launched = launched
		i.d.mu.Unlock()
		err = i.watch(ctx, launched)
	}
	if ctx.Err() != nil {
		return // the run goes on; whoever comes next finds it
	}
	i.lost(err)
	for pause := freeRetry; ; pause = min(2*pause, time.Minute) {
		err := i.free(ctx, launched)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			i.d.Log.Error("what an instance had could not be freed and will be tried again", "deployment", i.d.key, "run", i.record.Order.ID, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	i.over()
}

func (i *instance) note(format string, args ...any) {
	i.d.Journal.Append(i.d.key, fmt.Sprintf(format, args...))
}

// launch opens the run that there may be, or begins it.
func (i *instance) launch(ctx context.Context) (workload.Launched, error) {
	if i.adopted {
		launched, err := i.d.Launcher.Open(ctx, i.record.Order)
		if err == nil || resource.KindOf(err) != resource.NotFound {
			return launched, err
		}
	}
	i.d.mu.Lock()
	revision, over := i.revision, i.ending
	i.d.mu.Unlock()
	if over || revision == nil || revision.ID != i.record.Revision {
		return nil, nil
	}
	order, err := i.d.Orders.Order(ctx, i.d.key, revision.Template)
	if err != nil {
		return nil, err
	}
	order.ID = i.record.Order.ID
	i.d.mu.Lock()
	i.record.Order = order
	i.d.mu.Unlock()
	// The order is written down before the run is begun, so that it can be found with what it may have.
	if !i.d.save() {
		return nil, resource.Errorf(resource.Unavailable, "NotRecorded", "the instance could not be written down")
	}
	i.note("instance %d starts", i.record.Number)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer stopWith(i.stopped, cancel)()
	return i.d.Launcher.Launch(ctx, order, func(line string) { i.note("instance %d: %s", i.record.Number, line) })
}

// stopWith calls cancel when stopped is closed, until the function that it returns is called.
func stopWith(stopped chan struct{}, cancel func()) (release func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-stopped:
			cancel()
		case <-done:
		}
	}()
	return func() { close(done) }
}

// watch stays with a run until it is to end, has ended, or does badly for too long. The error is nil when it was to end.
func (i *instance) watch(ctx context.Context, launched workload.Launched) error {
	if launched == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		status, err := launched.Wait(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = i.explain(ctx, launched, status)
		}
		ended <- err
	}()
	health := newHealth(i)
	for {
		timer := time.NewTimer(health.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-i.stopped:
			timer.Stop()
			return nil
		case err := <-ended:
			timer.Stop()
			return err
		case <-timer.C:
		}
		if err := health.look(ctx); err != nil {
			return fmt.Errorf("%w%s", err, i.lastLines(ctx, launched))
		}
	}
}

// explain says why a run ended that was not to.
func (i *instance) explain(ctx context.Context, launched workload.Launched, status job.Status) error {
	why := status.Message
	if why == "" {
		why = "its program ended with the exit status 0, and it is to serve"
	}
	return resource.Invalidf("InstanceEnded", "The instance ended: %s.%s", trimDot(why), i.lastLines(ctx, launched))
}

// free ends the run, whether it still goes or not, and forgets it.
func (i *instance) free(ctx context.Context, launched workload.Launched) error {
	id := i.record.Order.ID
	if launched == nil { // what was begun and could not be told of is found
		found, err := i.d.Launcher.Open(ctx, i.record.Order)
		if resource.KindOf(err) == resource.NotFound {
			return ignoreAbsent(i.d.Launcher.Forget(id))
		}
		if err != nil {
			return err
		}
		launched = found
	}
	if err := launched.Cancel(ctx); err != nil {
		return err
	}
	if _, err := launched.Wait(ctx); err != nil {
		return err
	}
	if err := launched.Release(); err != nil {
		return err
	}
	return ignoreAbsent(i.d.Launcher.Forget(id))
}

func ignoreAbsent(err error) error {
	if resource.KindOf(err) == resource.NotFound {
		return nil
	}
	return err
}

// lost tells the deployment that the instance serves no more; err is why, nil when it was to end.
func (i *instance) lost(err error) {
	d := i.d
	d.mu.Lock()
	failed := err != nil && i.state != draining
	if failed {
		i.note("instance %d failed: %s", i.record.Number, message(err))
		d.failed(i, err)
	}
	i.state = draining
	d.mu.Unlock()
	if failed && resource.KindOf(err) == resource.Internal {
		d.Log.Error("an instance failed", "deployment", d.key, "run", i.record.Order.ID, "error", err)
	}
	d.poke()
}

// over tells the deployment that nothing is left of the instance.
func (i *instance) over() {
	d := i.d
	d.mu.Lock()
	d.drop(i)
	d.mu.Unlock()
	d.save()
	d.poke()
}

// failed counts the failure of an instance, and gives a roll up that cannot succeed. The caller holds d.mu.
func (d *deployment) failed(i *instance, err error) {
	p, now := d.pool(i.record.Revision), d.Clock()
	if !i.since.IsZero() && now.Sub(i.since) >= steady {
		p.failures = 0
	}
	p.failures++
	p.message, p.retryAt = message(err), now.Add(d.backoff(p.failures))
	r := d.rolling
	if r == nil || r.revision.ID != i.record.Revision {
		return
	}
	if r.failures++; r.failures >= maxStarts || !mayHelp(err) {
		d.rolling = nil
		r.done <- final(err)
	}
}

// mayHelp tells whether another start may go better.
func mayHelp(err error) bool {
	e, ok := resource.AsError(err)
	return !ok || e.Kind == resource.Unavailable || e.Kind == resource.Internal || e.Code == "InstanceEnded" || e.Code == "InstanceNotReady"
}

// final words the error of a roll that was given up. Faults of the machine were tried often enough.
func final(err error) error {
	if e, ok := resource.AsError(err); ok && e.Kind == resource.Unavailable {
		return resource.Conflictf("DeploymentFailed", "%s", e.Message).Because(err)
	}
	return err
}

func message(err error) string {
	if e, ok := resource.AsError(err); ok && e.Kind != resource.Internal {
		return e.Message
	}
	return "an internal error; the server's log has it"
}

// readyNow tells the deployment that the instance is ready, or no more.
func (i *instance) readyNow(yes bool) {
	d := i.d
	d.mu.Lock()
	switch {
	case i.state == draining:
	case yes && i.state != isReady:
		i.state, i.since = isReady, d.Clock()
		d.hand()
	case !yes && i.state == isReady:
		i.state = unready
	}
	d.mu.Unlock()
	d.poke()
}
