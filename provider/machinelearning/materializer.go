package machinelearning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/ledger"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Materializer carries the durable materialization jobs out: it turns a job into an order, has a Runner run it as the
// store's materialization identity, and records the outcome in the job and in the ledger at once. The ledger says
// Complete only after the Runner has committed the data.
type Materializer struct {
	Store  store.Store
	Runner materialize.Runner
	// TimeLimit bounds the computation of one job; 0 is the engine's own limit.
	TimeLimit time.Duration
	Clock     func() time.Time
	// OpenLog gives the function that appends a line to a job's log.
	OpenLog func(job resource.ID) (write func(line string), close func() error, err error)
	// Tell writes down why a job failed when the cause must not be shown.
	Tell func(job resource.ID, err error)

	mu      sync.Mutex
	running map[string]context.CancelCauseFunc
}

var errCanceled = errors.New("the job was cancelled")

// Cancel stops a job that is running here; one that is still queued finds out when it starts.
func (m *Materializer) Cancel(job resource.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cancel := m.running[job.Key()]; cancel != nil {
		cancel(errCanceled)
	}
}

// Run is the handler of MaterializeJob. It may be called again for a job that was cut off.
func (m *Materializer) Run(ctx context.Context, attempt store.Job) error {
	var id resource.ID
	if err := json.Unmarshal(attempt.Body, &id); err != nil {
		return store.Fatal{Err: err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.mu.Lock()
	if m.running == nil {
		m.running = map[string]context.CancelCauseFunc{}
	}
	m.running[id.Key()] = cancel
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.running, id.Key())
		m.mu.Unlock()
	}()
	log, closeLog, err := m.OpenLog(id)
	if err != nil {
		return err
	}
	defer func() { _ = closeLog() }() // the log is a convenience; the outcome is in the job
	return m.run(ctx, attempt, id, log)
}

func (m *Materializer) run(ctx context.Context, attempt store.Job, id resource.ID, log func(string)) error {
	job, err := readJob(ctx, m.Store, id)
	if resource.KindOf(err) == resource.NotFound {
		return nil // its store was deleted
	}
	if err != nil {
		return err
	}
	switch {
	case job.Properties.ended():
		return nil
	case job.Properties.Status == jobCancelRequested:
		return m.end(ctx, id, materialize.Result{}, errCanceled, log)
	}
	err = updateJob(ctx, m.Store, id, func(j *Job) ([]store.Op, error) {
		if j.Status == jobQueued {
			now := m.Clock().UTC()
			j.Status, j.StartTime = jobRunning, &now
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	work := job.Properties.Work
	log(fmt.Sprintf("attempt %d: materializing %s into %v", attempt.Attempt, work.Window, storesOf(task{offline: work.Offline, online: work.Online})))
	result, err := m.carryOut(ctx, job, log)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errCanceled) {
		err = errCanceled
	}
	switch {
	case err != nil && ctx.Err() != nil && !errors.Is(err, errCanceled): // the server stops; the next one takes the job up
		return err
	case err == nil, errors.Is(err, errCanceled), resource.KindOf(err) != resource.Internal && resource.KindOf(err) != resource.Unavailable, attempt.Last():
		return m.end(context.WithoutCancel(ctx), id, result, err, log)
	}
	log(fmt.Sprintf("attempt %d failed and will be repeated: %v", attempt.Attempt, err))
	return err
}

// carryOut makes the order and has it run.
func (m *Materializer) carryOut(ctx context.Context, job *arm.Resource[Job], log func(string)) (materialize.Result, error) {
	order, err := m.order(ctx, job)
	if err != nil {
		return materialize.Result{}, err
	}
	return m.Runner.Run(ctx, order, log)
}

func (m *Materializer) order(ctx context.Context, job *arm.Resource[Job]) (materialize.Order, error) {
	var order materialize.Order
	work := job.Properties.Work
	var version arm.Resource[FeatureSetVersion]
	if err := m.get(ctx, work.Version, &version); err != nil {
		return order, err
	}
	var owner arm.Resource[Workspace]
	if err := m.get(ctx, storeOf(work.Version), &owner); err != nil {
		return order, err
	}
	parsed, ttl, err := version.Properties.Parsed()
	if err != nil {
		return order, err
	}
	source, err := m.source(ctx, owner.ID, parsed.Source)
	if err != nil {
		return order, err
	}
	container, err := resource.ParseID(owner.Properties.OfflineStore.Target)
	if err != nil {
		return order, err
	}
	offline, _ := version.Properties.Materialized()
	return materialize.Order{
		Job: job.ID, Version: work.Version, Spec: version.Properties.Specification.Content, Source: source,
		Target: materialize.Location{Account: container.Parent().Parent().Name(), Container: container.Name(), Path: version.Properties.OfflinePath},
		Start:  work.Window.Start, End: work.Window.End, Offline: work.Offline, Online: work.Online, FromSource: !offline,
		Identity: owner.Properties.MaterializationIdentity.PrincipalID, Limits: engine.Limits{Memory: work.MemoryLimit, Time: m.TimeLimit}, OnlineTTL: ttl,
	}, nil
}

func (m *Materializer) get(ctx context.Context, id resource.ID, into any) error {
	doc, err := m.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return resource.NotFoundf("ResourceNotFound", "%s was deleted while the job was waiting", id)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(doc.Body, into)
}

// source resolves a source that is named by a datastore.
func (m *Materializer) source(ctx context.Context, owner resource.ID, source spec.Source) (materialize.Location, error) {
	location := materialize.Location{Account: source.Account, Container: source.Container, Path: source.Path}
	if source.Datastore == "" {
		return location, nil
	}
	var datastore arm.Resource[Datastore]
	if err := m.get(ctx, owner.Child("datastores", source.Datastore), &datastore); err != nil {
		return location, err
	}
	location.Account, location.Container = datastore.Properties.AccountName, datastore.Properties.ContainerName
	return location, nil
}

// end records the outcome in the job and in the ledger, in one change.
func (m *Materializer) end(ctx context.Context, id resource.ID, result materialize.Result, failure error, log func(string)) error {
	now := m.Clock().UTC()
	err := updateJob(ctx, m.Store, id, func(j *Job) ([]store.Op, error) {
		ops, lost, err := m.settle(ctx, id, j.Work, failure == nil, now)
		if err != nil {
			return nil, err
		}
		j.EndTime = &now
		m.outcome(id, j, result, failure)
		if lost != "" {
			j.Status, j.Error = jobFailed, &JobError{Code: "WindowTaken", Message: lost}
		}
		return ops, nil
	})
	if err != nil {
		return err
	}
	if failure != nil {
		log("ended: " + failure.Error())
	} else {
		log(fmt.Sprintf("ended: %d rows offline, %d rows online", result.Rows, result.OnlineRows))
	}
	return nil
}

// outcome writes into a job how it ended.
func (m *Materializer) outcome(id resource.ID, j *Job, result materialize.Result, failure error) {
	if j.Properties == nil {
		j.Properties = map[string]string{}
	}
	switch e, known := resource.AsError(failure); {
	case failure == nil:
		j.Status = jobCompleted
		j.Properties["alvara.rows"] = fmt.Sprint(result.Rows)
		j.Properties["alvara.onlineRows"] = fmt.Sprint(result.OnlineRows)
		j.Properties["alvara.droppedRows"] = fmt.Sprint(result.Dropped)
		j.Properties["alvara.isolation"] = fmt.Sprint(result.Isolation)
	case errors.Is(failure, errCanceled):
		j.Status, j.Error = jobCanceled, &JobError{Code: "JobCanceled", Message: "The job was cancelled."}
	case known && e.Kind != resource.Internal:
		j.Status, j.Error = jobFailed, &JobError{Code: e.Code, Message: e.Message}
	default:
		m.Tell(id, failure)
		j.Status, j.Error = jobFailed, &JobError{Code: "InternalError", Message: "The job failed for a reason of the service's own, which its log has under the job's id."}
	}
}

// settle gives the op that writes the outcome into the ledger; lost says why the ledger does not take it.
func (m *Materializer) settle(ctx context.Context, id resource.ID, work *Work, succeeded bool, now time.Time) (ops []store.Op, lost string, err error) {
	l, err := readLedgers(ctx, m.Store, work.Version)
	if err != nil || l.Revision == store.None {
		return nil, "", err // the version was deleted
	}
	for _, part := range []struct {
		wanted bool
		of     *ledger.Ledger
	}{{work.Offline, &l.Offline}, {work.Online, &l.Online}} {
		if !part.wanted {
			continue
		}
		next, err := part.of.Fail(work.Window, id.Name(), now)
		if succeeded {
			next, err = part.of.Complete(work.Window, id.Name(), now)
		}
		if err != nil {
			return nil, err.Error(), nil
		}
		*part.of = next
	}
	put, err := l.put(work.Version)
	return []store.Op{put}, "", err
}
