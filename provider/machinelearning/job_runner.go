package machinelearning

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/workload"
)

// JobRunner carries command jobs out, which are durable: each attempt takes a job up where the last one left it, so that a server that was
// killed goes on with what still runs, begins what was not begun, and never begins anything twice. The run itself belongs to the launcher
// and lives on without a server. All methods may be called concurrently. The fields are set before the store begins.
type JobRunner struct {
	Deps     Deps
	Manager  *arm.Manager
	Launcher workload.Launcher
	Nodes    Nodes
	Logs     *JobLogs
	// Write writes a file of a storage container as somebody.
	Write func(ctx context.Context, who identity.Principal, account, container, path string, content io.Reader) error
	// BuildLog reads the log of a registry's run by its link, from an offset; the result is what there is now, at most a part of it.
	BuildLog func(ctx context.Context, link string, offset int64) (text []byte, next int64, err error)
	// Room refuses to write a number of bytes, as DiskFull, when the server's disk would not keep its reserve; nil refuses nothing.
	Room  func(bytes int64) error
	Keep  ArtifactLimits
	Clock func() time.Time
	Log   *slog.Logger
	// Done is closed when the server ends: whoever follows a log is let go then.
	Done <-chan struct{}

	mu      sync.Mutex
	live    map[string]*liveJob      // by the job's key
	watched map[string]chan struct{} // by the job's key; closed with the next change
}

// liveJob is a job that an attempt here is carrying out.
type liveJob struct {
	cancel context.CancelCauseFunc
	done   chan struct{}     // closed when the attempt is over
	run    workload.Launched // once it was begun
}

// maxFailures is how often the machine may fail a job before the job has failed.
const maxFailures = 4

// Stop cancels a job that is being carried out here. One that waits for its next attempt finds out then.
func (r *JobRunner) Stop(job resource.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if live := r.live[job.Key()]; live != nil {
		live.cancel(errCanceled)
	}
}

// Run is the handler of CommandJob.
func (r *JobRunner) Run(ctx context.Context, attempt store.Job) error {
	var id resource.ID
	if err := json.Unmarshal(attempt.Body, &id); err != nil {
		return store.Fatal{Err: err}
	}
	cancelable, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	live := &liveJob{cancel: cancel, done: make(chan struct{})}
	r.mu.Lock()
	if r.live == nil {
		r.live = map[string]*liveJob{}
	}
	r.live[id.Key()] = live
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.live, id.Key())
		r.mu.Unlock()
		close(live.done)
		r.changed(id)
	}()
	c := &carrying{JobRunner: r, id: id, server: ctx, live: live}
	defer c.giveBack()
	err := c.ended(c.carry(cancelable))
	if _, gone := r.Manager.Store.Get(context.WithoutCancel(ctx), id.Key()); err != nil && resource.KindOf(gone) == resource.NotFound {
		return nil // it was deleted, and Forget ends what is left of it
	}
	return err
}

// carrying is one attempt at a job.
type carrying struct {
	*JobRunner
	id      resource.ID
	job     *arm.Resource[Job]
	server  context.Context // ends with the server, and not when the job is cancelled
	live    *liveJob
	release func() // gives the nodes back
}

func (c *carrying) giveBack() {
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// carry takes the job as far as it goes.
func (c *carrying) carry(ctx context.Context) error {
	job, err := readJob(ctx, c.Manager.Store, c.id)
	if err != nil {
		return err
	}
	if c.job = job; job.Properties.ended() || job.Properties.Run == nil {
		return nil
	}
	if job.Properties.Status == jobCancelRequested {
		c.live.cancel(errCanceled)
	}
	run, err := c.begun(ctx)
	switch {
	case err != nil:
		return c.stumble(ctx, err)
	case run == nil && job.Properties.Run.Launched:
		return c.end(outcome{state: jobFailed, code: "RunLost", message: "What is kept of the run was lost, so that its end is not known."})
	case run == nil:
		if run, err = c.begin(ctx); err != nil {
			return c.stumble(ctx, err)
		}
	case c.release == nil: // it was begun just before the server ended
		if err := c.resume(); err != nil {
			return err
		}
	}
	if !job.Properties.Run.Launched {
		if err := c.begins(run); err != nil {
			return err
		}
	}
	return c.follow(ctx, run)
}

// begun opens the run when an earlier attempt may have begun it; nil when there is none.
func (c *carrying) begun(ctx context.Context) (workload.Launched, error) {
	if !c.job.Properties.Run.Placed {
		return nil, nil
	}
	run, err := c.Launcher.Open(context.WithoutCancel(ctx), c.current(*c.job.Properties.Run.Order))
	if resource.KindOf(err) == resource.NotFound {
		return nil, nil
	}
	return run, err
}

// begin waits for nodes, brings what the run needs, and begins it.
func (c *carrying) begin(ctx context.Context) (workload.Launched, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	p := &c.job.Properties
	compute, err := resource.ParseID(p.ComputeID)
	if err != nil {
		return nil, err
	}
	if c.release == nil {
		if c.release, err = c.Nodes.Acquire(ctx, compute, p.Resources.InstanceCount, c.id); err != nil {
			return nil, err
		}
	}
	order, err := c.prepare(ctx, compute)
	if err != nil {
		return nil, err
	}
	return c.Launcher.Launch(ctx, order, c.tell)
}

func (c *carrying) resume() error {
	p := c.job.Properties
	compute, err := resource.ParseID(p.ComputeID)
	if err == nil {
		c.release = c.Nodes.Resume(compute, p.Resources.InstanceCount, c.id)
	}
	return err
}

// current gives an order with its principals as the directory has them now.
func (c *carrying) current(order workload.Order) workload.Order {
	if who, known := c.Manager.Identities.Lookup(order.Who.ID); known {
		order.Who = who
	}
	return order
}

// begins writes down that the run was begun.
func (c *carrying) begins(run workload.Launched) error {
	head, err := c.Logs.Size(c.id, logHead)
	if err != nil {
		return err
	}
	status, err := run.Status()
	if err != nil {
		return err
	}
	begun := status.Begun.UTC()
	if status.Begun.IsZero() {
		begun = c.Clock().UTC()
	}
	return c.update(func(j *Job) {
		j.Run.Launched, j.Run.LogHead, j.StartTime = true, head, &begun
		c.advance(j, jobRunning)
	})
}

// advance sets a state, unless somebody asked for the end of the job.
func (*carrying) advance(j *Job, state string) {
	if j.Status != jobCancelRequested {
		j.Status = state
	}
}

// update changes the job, here and in the store, which must not be interrupted half-way.
func (c *carrying) update(change func(*Job)) error {
	err := updateJob(context.WithoutCancel(c.server), c.Manager.Store, c.id, func(j *Job) ([]store.Op, error) {
		if j.ended() {
			return nil, errEnded
		}
		change(j)
		c.job.Properties = *j
		return nil, nil
	})
	c.changed(c.id)
	return err
}

var errEnded = errors.New("the job has ended already")

// tell writes a line of the job's log, before its run.
func (c *carrying) tell(line string) { c.write(logHead, line) }

func (c *carrying) write(part, line string) {
	if err := c.Logs.Line(c.id, part, c.Clock(), line); err != nil {
		c.Log.Warn("a line of a job's log was lost", "job", c.id.String(), "error", err)
	}
	c.changed(c.id)
}

// stumble deals with an error before the run: the job is canceled, is tried again, or has failed.
func (c *carrying) stumble(ctx context.Context, fault error) error {
	switch {
	case errors.Is(fault, errEnded):
		return fault
	case errors.Is(context.Cause(ctx), errCanceled):
		run, err := c.Launcher.Open(context.WithoutCancel(ctx), c.current(*c.job.Properties.Run.Order))
		if err == nil { // it was begun nevertheless
			return c.follow(ctx, run)
		}
		if resource.KindOf(err) != resource.NotFound {
			return err
		}
		return c.end(outcome{state: jobCanceled})
	case ctx.Err() != nil: // the server ends; the next one takes the job up
		return fault
	}
	return c.failedBy(fault)
}

// failedBy has a job tried again when the machine failed it, and fail when the job itself did.
func (c *carrying) failedBy(fault error) error {
	kind := resource.KindOf(fault)
	failures := c.job.Properties.Run.Failures + 1
	if (kind != resource.Internal && kind != resource.Unavailable) || failures >= maxFailures {
		return c.end(outcomeOf(c.id, fault, c.Log))
	}
	c.Log.Warn("a job is tried again", "job", c.id.String(), "failures", failures, "error", fault)
	part := logHead
	if c.job.Properties.Run.Launched {
		part = logTail
	}
	c.write(part, "This failed and is tried again: "+told(fault))
	err := c.update(func(j *Job) {
		if j.Run.Failures = failures; !j.Run.Launched {
			c.advance(j, jobQueued)
		}
	})
	if err != nil {
		return err
	}
	return fault
}

// told is what may be said of a fault.
func told(fault error) string {
	if e, known := resource.AsError(fault); known && e.Kind != resource.Internal {
		return e.Message
	}
	return "the service failed."
}

// changed wakes up whoever follows a job.
func (r *JobRunner) changed(id resource.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if watched := r.watched[id.Key()]; watched != nil {
		close(watched)
		delete(r.watched, id.Key())
	}
}

// watch gives a channel that is closed with the next change of a job.
func (r *JobRunner) watch(id resource.ID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched == nil {
		r.watched = map[string]chan struct{}{}
	}
	if r.watched[id.Key()] == nil {
		r.watched[id.Key()] = make(chan struct{})
	}
	return r.watched[id.Key()]
}
