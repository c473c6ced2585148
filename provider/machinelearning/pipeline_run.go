package machinelearning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Pipelines carries pipelines out: it begins each step as soon as those that it reads have completed, as a command job of the pipeline's
// submitter, and follows the store to hear of their ends. All that it knows is in the pipeline's document, so that a server that was killed goes on
// where it was; a step's job has a name of its own and is never begun twice. All methods may be called concurrently.
type Pipelines struct {
	Jobs *JobRunner // stops steps; its manager, clock and logs are those of pipelines too

	mu      sync.Mutex
	waiting map[string][]chan struct{} // by the key of the job that somebody waits for
}

// OpenPipelines follows the store.
func OpenPipelines(st store.Store, jobs *JobRunner) (*Pipelines, error) {
	p := &Pipelines{Jobs: jobs, waiting: map[string][]chan struct{}{}}
	return p, st.Follow([]string{jobType.Key()}, func(changes []store.Change) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, change := range changes {
			for _, waiter := range p.waiting[change.Key] {
				select {
				case waiter <- struct{}{}:
				default: // it is awake already
				}
			}
		}
	})
}

// Run is the handler of PipelineJob.
func (p *Pipelines) Run(ctx context.Context, attempt store.Job) error {
	var id resource.ID
	if err := json.Unmarshal(attempt.Body, &id); err != nil {
		return store.Fatal{Err: err}
	}
	c := &conducting{Pipelines: p, id: id, awake: make(chan struct{}, 1)}
	defer c.forget()
	c.watch(id)
	for {
		done, err := c.advance(ctx)
		switch {
		case resource.KindOf(err) == resource.NotFound && c.gone(ctx):
			return c.abandon(ctx)
		case done || err != nil:
			return err
		}
		select {
		case <-c.awake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// conducting is one attempt at a pipeline.
type conducting struct {
	*Pipelines
	id      resource.ID
	awake   chan struct{} // has room for one
	watched []string      // keys
	told    map[string]bool
}

// watch wakes the attempt with the next change of a job.
func (c *conducting) watch(id resource.ID) {
	if slices.Contains(c.watched, id.Key()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[id.Key()] = append(c.waiting[id.Key()], c.awake)
	c.watched = append(c.watched, id.Key())
}

func (c *conducting) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.watched {
		left := slices.DeleteFunc(c.waiting[key], func(waiter chan struct{}) bool { return waiter == c.awake })
		if c.waiting[key] = left; len(left) == 0 {
			delete(c.waiting, key)
		}
	}
}

// gone tells whether the pipeline is no more.
func (c *conducting) gone(ctx context.Context) bool {
	_, err := c.Jobs.Manager.Store.Get(ctx, c.id.Key())
	return resource.KindOf(err) == resource.NotFound
}

// advance takes the pipeline as far as it goes now; done when it has ended.
func (c *conducting) advance(ctx context.Context) (done bool, err error) {
	pipeline, err := readJob(ctx, c.Jobs.Manager.Store, c.id)
	if err != nil {
		return false, err
	}
	j := &pipeline.Properties
	if j.ended() || len(j.Parts) == 0 {
		return true, nil
	}
	run, err := readParts(j)
	if err != nil {
		return false, store.Fatal{Err: err}
	}
	if err := c.look(ctx, run); err != nil {
		return false, err
	}
	canceling := j.Status == jobCancelRequested
	begin, stop := run.next(canceling)
	for _, step := range stop {
		if err := c.stop(ctx, step.Job); err != nil {
			return false, err
		}
	}
	for _, step := range begin {
		if err := c.begin(ctx, run, step); err != nil {
			return false, err
		}
	}
	if len(begin) > 0 { // a step that could not begin has ended, which others are to hear of
		run.next(canceling)
	}
	result, ended := run.outcome(canceling)
	return ended, c.keep(ctx, run, result, ended)
}

// look finds out how the jobs of the steps are.
func (c *conducting) look(ctx context.Context, run *pipelineRun) error {
	for _, step := range run.Steps {
		if step.ended() || !step.Begun {
			continue
		}
		id := c.id.Parent().Child("jobs", step.Job)
		c.watch(id) // before looking, so that nothing is missed
		job, err := readJob(ctx, c.Jobs.Manager.Store, id)
		switch {
		case resource.KindOf(err) == resource.NotFound:
			step.Status, step.Message = jobFailed, "Its job was deleted."
		case err != nil:
			return err
		case !run.owns(step, &job.Properties):
			step.Status, step.Message = jobFailed, "Its job was deleted, and another one was put in its place."
		case job.Properties.ended():
			step.Status = job.Properties.Status
			if fault := job.Properties.Error; fault != nil {
				step.Message = fault.Message
			}
		default:
			continue
		}
		c.tell("The step %s is %s.", step.Name, step.Status)
	}
	return nil
}

// begin submits a step's job as the one who submitted the pipeline. What is refused has failed; faults of the machine are tried again.
func (c *conducting) begin(ctx context.Context, run *pipelineRun, step *stepRun) error {
	manager, id := c.Jobs.Manager, c.id.Parent().Child("jobs", step.Job)
	c.watch(id)
	there, err := readJob(ctx, manager.Store, id)
	switch {
	case err == nil && run.owns(step, &there.Properties):
		step.Begun = true // by an attempt that did not come to write it down
		return nil
	case err == nil:
		err = resource.Conflictf("JobExists", "There is a job %q already that is not this step's.", step.Job)
	case resource.KindOf(err) == resource.NotFound:
		err = c.submit(ctx, run, step, id)
		if there, readErr := readJob(ctx, manager.Store, id); err == nil && readErr == nil && !run.owns(step, &there.Properties) {
			err = resource.Conflictf("JobExists", "There is a job %q already that is not this step's.", step.Job) // somebody else was faster
		}
	}
	kind := resource.KindOf(err)
	switch {
	case err == nil:
		step.Begun = true
		c.tell("The step %s begins as the job %s.", step.Name, step.Job)
		return nil
	case ctx.Err() != nil, kind == resource.Internal, kind == resource.Unavailable:
		return err
	}
	step.Status, step.Message = jobFailed, told(err)
	c.tell("The step %s could not begin: %s", step.Name, step.Message)
	return nil
}

// stepKey is under what a pipeline tells the validation of its steps' jobs the key of its run.
type stepKey struct{}

// stepOf is the key of the pipeline that submits a job; "" for everybody else.
func stepOf(ctx context.Context) string {
	key, _ := ctx.Value(stepKey{}).(string)
	return key
}

func (c *conducting) submit(ctx context.Context, run *pipelineRun, step *stepRun, id resource.ID) error {
	who, known := c.Jobs.Manager.Identities.Lookup(run.Submitter)
	if !known {
		return resource.Invalidf("SubmitterNotFound", "Who submitted the pipeline is not in the directory any more, and its steps are submitted by the same; submit it again as somebody else.")
	}
	call := &arm.Call{Who: who, Manager: c.Jobs.Manager, Job: c.id.Name(), RequestID: c.id.Name()}
	_, err := c.Jobs.Manager.Do(context.WithValue(ctx, stepKey{}, run.Key), call, who, "PUT", id.String(), map[string]any{"properties": step.Asked})
	return err
}

// stop asks for the end of a step's job.
func (c *conducting) stop(ctx context.Context, name string) error {
	id := c.id.Parent().Child("jobs", name)
	err := updateJob(ctx, c.Jobs.Manager.Store, id, func(j *Job) ([]store.Op, error) {
		if j.ended() || j.Status == jobCancelRequested {
			return nil, errEnded
		}
		j.Status = jobCancelRequested
		return nil, nil
	})
	if errors.Is(err, errEnded) || resource.KindOf(err) == resource.NotFound {
		return nil
	}
	if err == nil {
		c.Jobs.Stop(id)
		c.tell("The job %s is stopped.", name)
	}
	return err
}

// keep writes down how far the pipeline is, when that has changed.
func (c *conducting) keep(ctx context.Context, run *pipelineRun, result outcome, ended bool) error {
	now := c.Jobs.Clock().UTC()
	err := updateJob(ctx, c.Jobs.Manager.Store, c.id, func(j *Job) ([]store.Op, error) {
		before, status, done := string(j.Parts), j.Status, j.Properties["alvara.steps"]
		if err := putParts(j, run); err != nil {
			return nil, err
		}
		set(j, "alvara.steps", stepsDone(run))
		switch {
		case ended:
			j.Status, j.EndTime = result.state, &now
			if result.state == jobFailed {
				j.Error = &JobError{Code: result.code, Message: result.message}
			}
		case j.Status != jobCancelRequested && slices.ContainsFunc(run.Steps, func(s *stepRun) bool { return s.Begun }):
			j.Status = jobRunning
		}
		if j.StartTime == nil {
			j.StartTime = &now
		}
		if string(j.Parts) == before && j.Status == status && j.Properties["alvara.steps"] == done {
			return nil, errEnded
		}
		return nil, nil
	})
	switch {
	case errors.Is(err, errEnded):
		return nil
	case err == nil && ended:
		line := "The pipeline is " + result.state
		if result.message != "" {
			line += ": " + result.message
		}
		c.tell("%s", line)
	}
	return err
}

// abandon stops the steps of a pipeline that was deleted.
func (c *conducting) abandon(ctx context.Context) error {
	docs, err := c.Jobs.Manager.Below(ctx, c.id.Parent(), jobType)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		r := &arm.Resource[Job]{}
		if err := json.Unmarshal(doc.Body, r); err != nil {
			return err
		}
		if r.Properties.Properties[pipelineProperty] == c.id.Name() && !r.Properties.ended() {
			if err := c.stop(ctx, r.Name); err != nil {
				return err
			}
		}
	}
	return c.Jobs.Logs.Forget(c.id)
}

// tell writes a line of the pipeline's log, once for each attempt.
func (c *conducting) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if c.told[line] {
		return
	}
	if c.told == nil {
		c.told = map[string]bool{}
	}
	c.told[line] = true
	if err := c.Jobs.Logs.Line(c.id, logHead, c.Jobs.Clock(), line); err != nil {
		c.Jobs.Log.Warn("a line of a pipeline's log was lost", "job", c.id.String(), "error", err)
	}
	c.Jobs.changed(c.id)
}
