package machinelearning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// outcome is how a job ended.
type outcome struct {
	state, code, message string
}

// follow waits for the end of the run, which a cancellation brings about, and stores what it left.
func (c *carrying) follow(ctx context.Context, run workload.Launched) error {
	c.mu.Lock()
	c.live.run = run
	c.mu.Unlock()
	c.changed(c.id)
	status, err := run.Wait(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errCanceled) && c.server.Err() == nil {
		if err := run.Cancel(c.server); err != nil {
			return err
		}
		status, err = run.Wait(c.server)
	}
	if err != nil {
		return err
	}
	c.giveBack() // others can have the nodes while this one's files are stored
	return c.finish(ctx, run, status)
}

// finish stores what a run has left, and ends the job as the run ended.
func (c *carrying) finish(ctx context.Context, run workload.Launched, status job.Status) error {
	order := *c.job.Properties.Run.Order
	if err := c.endLine(run, status); err != nil {
		return err
	}
	left, err := run.Artifacts()
	if err != nil {
		c.write(logTail, "The artifacts cannot be listed: "+told(err))
		c.Log.Error("a run's artifacts cannot be listed", "job", c.id.String(), "error", err)
	}
	body, err := bodyOf(c.server, run, status)
	if err != nil {
		return err
	}
	deliver := status.State == job.Completed && len(order.Outputs) > 0
	if deliver || len(left) > 0 {
		err := c.update(func(j *Job) {
			j.Run.Launched = true
			c.advance(j, jobFinalizing)
		})
		if err != nil {
			return c.ended(err)
		}
	}
	result := outcomeOfRun(status)
	if deliver {
		switch err := run.Deliver(ctx, func(line string) { c.write(logTail, line) }); {
		case err != nil && errors.Is(context.Cause(ctx), errCanceled) && c.server.Err() == nil:
			result = outcome{state: jobCanceled, message: "The job was canceled while its outputs were stored."}
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			if kind := resource.KindOf(err); (kind == resource.Internal || kind == resource.Unavailable) && c.job.Properties.Run.Failures+1 < maxFailures {
				return c.failedBy(err)
			}
			result = outcomeOf(c.id, err, c.Log)
			result.message = "The command completed, and its outputs could not be stored: " + result.message
		}
	} else if len(order.Outputs) > 0 {
		c.write(logTail, "The outputs are not stored, for the run did not complete.")
	}
	c.keepArtifacts(c.server, run, left, body)
	if c.server.Err() != nil {
		return c.server.Err()
	}
	if err := run.Release(); err != nil {
		c.Log.Warn("a run's files were not freed", "job", c.id.String(), "error", err)
	}
	return c.conclude(result, func(j *Job) {
		j.Run.LogBody = body
		c.describe(j, status)
	})
}

// endLine ends the last line of a run's output, so that what the server says afterwards begins on a line of its own.
func (c *carrying) endLine(run workload.Launched, status job.Status) error {
	body, err := bodyOf(c.server, run, status)
	if err != nil || body == 0 {
		return err
	}
	var last strings.Builder
	if _, err := run.Logs(c.server, 0, body-1, false, &last); err != nil || strings.HasSuffix(last.String(), "\n") {
		return err
	}
	if err := c.Logs.Break(c.id); err != nil {
		c.Log.Error("a job's log cannot be written", "job", c.id.String(), "error", err)
	}
	return nil
}

// ended takes an end that somebody else wrote down for one.
func (*carrying) ended(err error) error {
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// end writes the end of a job down that has no run.
func (c *carrying) end(result outcome) error {
	c.giveBack()
	return c.conclude(result, func(*Job) {})
}

// conclude writes the end of a job down, first in its log and then in the job, which ends whoever follows the log.
func (c *carrying) conclude(result outcome, more func(*Job)) error {
	line := "The job is " + strings.ToLower(result.state) + "."
	if result.state != jobCompleted && result.message != "" {
		line = "The job is " + strings.ToLower(result.state) + ": " + result.message
	}
	c.write(logTail, line)
	now := c.Clock().UTC()
	return c.ended(c.update(func(j *Job) {
		more(j)
		j.Status, j.EndTime = result.state, &now
		if result.state == jobFailed {
			j.Error = &JobError{Code: result.code, Message: result.message}
		}
		set(j, "alvara.attempt", strconv.Itoa(j.Run.Failures+1))
		if result.state == jobCanceled && result.message != "" {
			set(j, "alvara.canceled", result.message)
		}
	}))
}

func set(j *Job, name, value string) {
	if j.Properties == nil {
		j.Properties = map[string]string{}
	}
	j.Properties[name] = value
}

// describe says in a job how its run was.
func (*carrying) describe(j *Job, status job.Status) {
	begun := status.Begun.UTC()
	if !status.Begun.IsZero() {
		j.StartTime = &begun
	}
	set(j, "alvara.isolation", status.Isolation.Level)
	set(j, "alvara.nodes", strconv.Itoa(max(len(status.Nodes), 1)))
	var cpu time.Duration
	var memory int64
	for rank, node := range status.Nodes {
		cpu, memory = cpu+node.CPU, max(memory, node.PeakMemory)
		if node.Ended && (rank == 0 || node.ExitCode != 0 && j.Properties["alvara.exitCode"] == "0") {
			set(j, "alvara.exitCode", strconv.Itoa(node.ExitCode))
		}
		if node.LogLost > 0 {
			set(j, "alvara.logBytesLost", strconv.FormatInt(node.LogLost, 10))
		}
	}
	if cpu > 0 {
		set(j, "alvara.cpuSeconds", strconv.FormatFloat(cpu.Seconds(), 'f', 3, 64))
	}
	if memory > 0 {
		set(j, "alvara.peakMemoryBytes", strconv.FormatInt(memory, 10))
	}
	if !status.Begun.IsZero() && !status.Ended.IsZero() {
		set(j, "alvara.runSeconds", strconv.FormatFloat(status.Ended.Sub(status.Begun).Seconds(), 'f', 3, 64))
	}
}

// exitHints say what exit codes of shells, and of those who begin commands, mean.
var exitHints = map[int]string{
	126: "The program of the command cannot be executed: see the log, and whether it is made for this machine.",
	127: "The program of the command is not in the image, or the shell that a command with more than plain words needs: see the log.",
}

// outcomeOfRun is the end of a job in the words of its run's.
func outcomeOfRun(status job.Status) outcome {
	switch status.State {
	case job.Completed:
		return outcome{state: jobCompleted}
	case job.Canceled:
		return outcome{state: jobCanceled, message: status.Message}
	}
	code := map[job.Reason]string{
		job.ExitCode: "UserProcessFailed", job.OutOfMemory: "OutOfMemory", job.Timeout: "TimeoutExceeded", job.StartFailed: "StartFailed", job.Lost: "RunLost", job.DiskFull: "DiskFull",
	}[status.Reason]
	if code == "" {
		code = "RunFailed"
	}
	for _, node := range status.Nodes {
		if hint := exitHints[node.ExitCode]; hint != "" && status.Reason == job.ExitCode && node.Ended {
			return outcome{jobFailed, code, status.Message + " " + hint}
		}
	}
	message := status.Message
	if message == "" {
		message = fmt.Sprintf("The run failed: %s.", status.Reason)
	}
	return outcome{jobFailed, code, message}
}

// outcomeOf words a failure. Faults that nobody classed are told to the log of the server alone.
func outcomeOf(id resource.ID, fault error, log *slog.Logger) outcome {
	known, classed := resource.AsError(fault)
	if !classed || known.Kind == resource.Internal {
		log.Error("a job failed", "job", id.String(), "error", fault)
		return outcome{jobFailed, "InternalServerError", "The service failed to carry the job out. Give the job's id " + id.String() + " to its operator."}
	}
	code := known.Code
	if code == "" {
		code = "JobFailed"
	}
	return outcome{jobFailed, code, known.Message}
}

// Forget ends what runs of a job and forgets all that is kept of it. It may be called again.
func (r *JobRunner) Forget(ctx context.Context, id resource.ID, kept CommandRun) error {
	r.Stop(id)
	r.mu.Lock()
	live := r.live[id.Key()]
	r.mu.Unlock()
	if live != nil {
		select {
		case <-live.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if kept.Placed {
		run, err := r.Launcher.Open(ctx, *kept.Order)
		if err == nil {
			if err = run.Cancel(ctx); err == nil {
				_, err = run.Wait(ctx)
			}
		}
		if err != nil && resource.KindOf(err) != resource.NotFound {
			return err
		}
	}
	if err := r.Launcher.Forget(kept.ID); err != nil && resource.KindOf(err) != resource.NotFound {
		return err
	}
	return r.Logs.Forget(id)
}
