package containerregistry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Runner carries runs out, which are durable jobs: it turns a run into an order for a builder, and records how it ended.
// How many run at a time is for whoever has the store work on RunJob.
type Runner struct {
	Store store.Store
	Deps  Deps
	// Build carries out an order. Whatever it does at registries, it does as one of the identities: those of who may get
	// tokens for as long as it runs, the default one under the client id "system". Its faults are as those of image.Builder.
	Build func(ctx context.Context, order image.Order, who identity.Run, log func(line string)) (image.Result, error)
	// Limits bound each build; its time is the run's own.
	Limits image.Limits
	// Network lets what a build runs reach the network.
	Network bool
	Clock   func() time.Time
	// Tell writes down why a run failed when the cause must not be shown.
	Tell func(run resource.ID, err error)

	mu      sync.Mutex
	running map[string]context.CancelCauseFunc // by the run's key
}

var (
	errCanceled = errors.New("the run was canceled")
	errTimeout  = errors.New("the run took too long")
)

// maxStarts bounds how often a run is begun. A run that ends the server each time it is begun must not do so for ever.
const maxStarts = 8

// Cancel stops what is running here at and below a resource. A run that is still queued finds out when it starts.
func (r *Runner) Cancel(id resource.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, cancel := range r.running {
		if key == id.Key() || strings.HasPrefix(key, id.Key()+"/") {
			cancel(errCanceled)
		}
	}
}

// Run is the handler of RunJob. It may be called again for a run that was cut off: pushing an image a second time changes
// nothing.
func (r *Runner) Run(ctx context.Context, attempt store.Job) error {
	var id resource.ID
	if err := json.Unmarshal(attempt.Body, &id); err != nil {
		return store.Fatal{Err: err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	if r.running == nil {
		r.running = map[string]context.CancelCauseFunc{}
	}
	r.running[id.Key()] = cancel
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.running, id.Key())
		r.mu.Unlock()
	}()
	err := r.run(ctx, attempt, id)
	if resource.KindOf(err) == resource.NotFound {
		if _, gone := r.Store.Get(context.WithoutCancel(ctx), id.Key()); resource.KindOf(gone) == resource.NotFound {
			return nil // the registry was deleted, with its runs
		}
	}
	return err
}

func (r *Runner) run(ctx context.Context, attempt store.Job, id resource.ID) error {
	run, err := r.start(ctx, id)
	if err != nil {
		return err
	}
	work := run.Properties.Work
	if run.Properties.ended() {
		// Cut off between the run's end and its log's, or canceled while it was queued.
		return r.Deps.completeLog(context.WithoutCancel(ctx), run, "")
	}
	last := attempt.Attempt >= runAttempts
	log, err := r.Deps.OpenLog(ctx, work.Key, run.Name)
	if err != nil && !last {
		return err
	}
	if err != nil { // a run that can be followed by nobody still ends
		r.Tell(id, err)
		log = nowhere{}
	}
	defer func() { _ = log.Close() }() // the log is a convenience; the outcome is in the run
	timed, stop := context.WithTimeoutCause(ctx, work.Timeout, errTimeout)
	defer stop()
	log.Write(fmt.Sprintf("%s: attempt %d", run.Name, attempt.Attempt))
	result, err := r.carryOut(timed, run, log)
	switch cause := context.Cause(timed); {
	case err != nil && errors.Is(cause, errCanceled):
		err = errCanceled
	case err != nil && errors.Is(cause, errTimeout):
		err = errTimeout
	case err != nil && ctx.Err() != nil: // the server stops; the next one takes the run up
		return err
	}
	if transient(err) && !last {
		log.Write("The attempt failed and will be repeated.")
		r.Tell(id, err)
		return err
	}
	return r.end(context.WithoutCancel(ctx), id, result, err, log)
}

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Write(string)          {}
func (nowhere) Complete(string) error { return nil }
func (nowhere) Close() error          { return nil }

// transient tells whether an error may be gone when the run is repeated.
func transient(err error) bool {
	if err == nil || errors.Is(err, errCanceled) || errors.Is(err, errTimeout) {
		return false
	}
	kind := resource.KindOf(err)
	return kind == resource.Internal || kind == resource.Unavailable
}

// start takes a run from the queue. What has ended comes back as it is.
func (r *Runner) start(ctx context.Context, id resource.ID) (*arm.Resource[Run], error) {
	now := r.Clock().UTC()
	return updateRun(ctx, r.Store, id, now, func(run *Run) error {
		switch {
		case run.ended():
		case run.Work.CancelRequested:
			run.finish(runCanceled, canceledMessage, now)
		case run.Work.Starts >= maxStarts:
			run.finish(runError, fmt.Sprintf("The server ended %d times while the run was under way; it is not begun again.", run.Work.Starts), now)
		default:
			run.Work.Starts++
			run.Status = runStarted
			if run.StartTime == nil {
				run.StartTime = &now
			}
		}
		return nil
	})
}

// carryOut makes the order and has it built.
func (r *Runner) carryOut(ctx context.Context, run *arm.Resource[Run], log Log) (image.Result, error) {
	order, who, err := r.order(ctx, run)
	if err != nil {
		return image.Result{}, err
	}
	_, err = updateRun(ctx, r.Store, run.ID, r.Clock().UTC(), func(now *Run) error {
		now.Status = runRunning
		return nil
	})
	if err != nil {
		return image.Result{}, err
	}
	return r.Build(ctx, order, who, log.Write)
}

// order turns a run into what a builder is told, as long as the identities that it was scheduled with are there.
func (r *Runner) order(ctx context.Context, run *arm.Resource[Run]) (image.Order, identity.Run, error) {
	work := run.Properties.Work
	who := identity.Run{ID: run.ID.String()}
	doc, err := r.Store.Get(ctx, run.ID.Parent().Key())
	if err != nil {
		return image.Order{}, who, err
	}
	var owner arm.Resource[Registry]
	if err := json.Unmarshal(doc.Body, &owner); err != nil {
		return image.Order{}, who, err
	}
	secrets, err := r.secrets(run)
	if err != nil {
		return image.Order{}, who, err
	}
	order := image.Order{
		Run: run.Name, Dockerfile: work.Dockerfile, Target: work.Target, Arguments: slices.Clone(work.Arguments), Images: work.Images, Push: work.Push,
		NoCache: work.NoCache, Platform: run.Properties.Platform.builder(), Credentials: map[string]image.Credential{}, CacheScope: work.Key,
		Network: r.Network, Limits: r.Limits,
	}
	order.Limits.Time = work.Timeout + time.Minute // the timeout is watched over here; this is for a builder that does not hear
	if cpu := run.Properties.AgentConfiguration; cpu != nil && cpu.CPU > 0 && (r.Limits.CPUs == 0 || float64(cpu.CPU) < r.Limits.CPUs) {
		order.Limits.CPUs = float64(cpu.CPU)
	}
	for i, value := range secrets.Arguments {
		order.Arguments[i].Value = value
	}
	for _, host := range slices.Sorted(maps.Keys(work.Actors)) {
		actor := work.Actors[host]
		if err := actor.present(ctx, r.Store, &owner); err != nil {
			return image.Order{}, who, err
		}
		order.Credentials[host] = actor.credential(secrets.Passwords[host])
		if actor.Principal != "" && !slices.Contains(who.Identities, actor.Principal) {
			who.Identities = append(who.Identities, actor.Principal)
		}
		if actor.system() {
			who.Default = actor.Principal
		}
	}
	for _, host := range r.Deps.TrustedHosts {
		order.TrustedHosts = append(order.TrustedHosts, strings.ToLower(host))
	}
	if order.OwnHosts, err = r.Deps.loginServers(ctx, r.Store); err != nil {
		return image.Order{}, who, err
	}
	order.Source, err = r.Deps.ReadSource(ctx, work.Key, work.Source, work.Timeout)
	return order, who, err
}

// credential is the actor in a builder's words.
func (a Actor) credential(password []string) image.Credential {
	switch {
	case a.system():
		return image.Credential{ClientID: "system", Principal: a.Principal}
	case a.Principal != "":
		return image.Credential{ClientID: a.ClientID, Principal: a.Principal}
	case len(password) == 2:
		return image.Credential{Username: password[0], Password: password[1]}
	}
	return image.Credential{}
}

func (r *Runner) secrets(run *arm.Resource[Run]) (secretsOf, error) {
	var out secretsOf
	text, err := r.Deps.Sealer.Open(run.Properties.Work.Secrets, sealedForRun(run.ID, run.Properties.Work.Key))
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}

// end records how a run ended, and then in its log, which clients follow to its end.
func (r *Runner) end(ctx context.Context, id resource.ID, result image.Result, fault error, log Log) error {
	status, message := r.outcome(id, fault)
	now := r.Clock().UTC()
	run, err := updateRun(ctx, r.Store, id, now, func(run *Run) error {
		if run.ended() {
			return nil
		}
		if status == runTimeout {
			message = fmt.Sprintf("The run did not end within its timeout of %d seconds.", int64(run.Work.Timeout/time.Second))
		}
		run.OutputImages = outputs(result)
		run.finish(status, message, now)
		return nil
	})
	if err != nil {
		return err
	}
	if run.Properties.RunErrorMessage != "" {
		log.Write(run.Properties.RunErrorMessage)
	} else {
		log.Write(fmt.Sprintf("%s: %s", run.Name, strings.ToLower(run.Properties.Status)))
	}
	return log.Complete(outcomes[run.Properties.Status])
}

// outcome words how a run ended. Faults that nobody classed are told to the log of the server alone.
func (r *Runner) outcome(id resource.ID, fault error) (status, message string) {
	switch {
	case fault == nil:
		return runSucceeded, ""
	case errors.Is(fault, errCanceled):
		return runCanceled, canceledMessage
	case errors.Is(fault, errTimeout):
		return runTimeout, ""
	}
	known, classed := resource.AsError(fault)
	if !classed || known.Kind == resource.Internal {
		r.Tell(id, fault)
		return runError, "The service failed to carry the run out. Give the run's id " + id.String() + " to its operator."
	}
	return runFailed, known.Message
}

// outputs are the names that registries have acknowledged.
func outputs(result image.Result) []ImageDescriptor {
	var out []ImageDescriptor
	for _, name := range result.Pushed {
		ref, err := readReference(name, "")
		if err != nil {
			continue // no name that the order had
		}
		out = append(out, ImageDescriptor{Registry: ref.host, Repository: ref.repository, Tag: ref.tag, Digest: result.Digest})
	}
	return out
}
