package machinelearning

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/ledger"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// MaterializeJob is the kind of the durable jobs that materialize; their body is the id of a Job.
const MaterializeJob = "featurestore/materialize"

// maxBackfillJobs bounds the jobs of one request.
const maxBackfillJobs = 1000

type backfillRequest struct {
	FeatureWindow *struct {
		Start string `json:"featureWindowStart"`
		End   string `json:"featureWindowEnd"`
	} `json:"featureWindow"`
	DataAvailabilityStatus []string          `json:"dataAvailabilityStatus"`
	JobID                  string            `json:"jobId"`
	DisplayName            string            `json:"displayName"`
	Description            string            `json:"description"`
	Tags                   map[string]string `json:"tags"`
	Properties             map[string]string `json:"properties"` // memoryLimit in bytes
	Resource               *ComputeResource  `json:"resource"`
	SparkConfiguration     map[string]string `json:"sparkConfiguration"`
}

// backfill makes one job for each window that is to be materialized (FS-12). The jobs and the ledger that says Pending
// are one atomic change, so no window is ever given to two jobs.
func (d Deps) backfill(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion]) (any, error) {
	request, err := readBackfill(call.Body)
	if err != nil {
		return nil, err
	}
	offline, online := r.Properties.Materialized()
	if !offline && !online {
		return nil, resource.Invalidf("UserError", "Materialization is not enabled for %s:%s; set materialization_settings.offline_enabled or online_enabled with a feature set update first.", r.ID.Parent().Name(), r.Name).At("properties.materializationSettings")
	}
	for attempt := 0; ; attempt++ {
		ids, err := d.submit(ctx, call, r, request, offline, online)
		if err == nil {
			return map[string]any{"jobIds": ids}, nil
		}
		// Somebody changed the ledger in between: look at it again.
		if kind := resource.KindOf(err); attempt == 20 || (kind != resource.PreconditionFailed && kind != resource.Conflict) {
			return nil, err
		}
	}
}

func readBackfill(body []byte) (backfillRequest, error) {
	var request backfillRequest
	if len(bytes.TrimSpace(body)) == 0 {
		return request, nil
	}
	return request, arm.ReadBody(body, &request)
}

// windowOf reads the bounds of a window; a missing one is zero, and both missing give nil.
func windowOf(start, end string) (*ledger.Window, error) {
	if start == "" && end == "" {
		return nil, nil
	}
	var w ledger.Window
	for _, bound := range []struct {
		field, text string
		into        *time.Time
	}{{"featureWindow.featureWindowStart", start, &w.Start}, {"featureWindow.featureWindowEnd", end, &w.End}} {
		if bound.text == "" {
			continue
		}
		t, err := spec.ParseTime(bound.text)
		if err != nil {
			return nil, resource.Invalidf("InvalidTime", "%s: %v", bound.field, err).At(bound.field)
		}
		*bound.into = t
	}
	return &w, nil
}

// task is a window with the stores that it is materialized into.
type task struct {
	window          ledger.Window
	offline, online bool
}

func (d Deps) submit(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion], request backfillRequest, offline, online bool) ([]string, error) {
	l, err := readLedgers(ctx, call.Manager.Store, r.ID)
	if err != nil {
		return nil, err
	}
	tasks, err := d.tasks(ctx, call, r, request, l, offline, online)
	if err != nil {
		return nil, err
	}
	if len(tasks) > maxBackfillJobs {
		return nil, resource.Invalidf("UserError", "The backfill would start %d jobs; at most %d are started at once. Ask for a smaller window.", len(tasks), maxBackfillJobs).At("featureWindow")
	}
	ids := []string{}
	var ops []store.Op
	now := call.Manager.Clock().UTC()
	for _, t := range tasks {
		job, err := newJob(call, r, request, t)
		if err != nil {
			return nil, err
		}
		if t.offline {
			if l.Offline, err = l.Offline.Begin(t.window, job.Name, now); err != nil {
				return nil, err
			}
		}
		if t.online {
			if l.Online, err = l.Online.Begin(t.window, job.Name, now); err != nil {
				return nil, err
			}
		}
		put, err := arm.Document(job)
		if err != nil {
			return nil, err
		}
		put.IfMatch = store.None
		body, err := json.Marshal(job.ID)
		if err != nil {
			return nil, err
		}
		ops = append(ops, put, store.Enqueue{Kind: MaterializeJob, Body: body, MaxAttempts: 3})
		ids = append(ids, job.Name)
	}
	if len(ops) == 0 {
		return ids, nil
	}
	put, err := l.put(r.ID)
	if err != nil {
		return nil, err
	}
	ops = append(ops, put, store.Expect{Key: r.ID.Key(), IfMatch: store.Any})
	_, err = call.Manager.Store.Apply(ctx, ops...)
	return ids, err
}

func (d Deps) tasks(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion], request backfillRequest, l ledgers, offline, online bool) ([]task, error) {
	if request.JobID != "" {
		return tasksOfJob(ctx, call, r, request.JobID, l, offline, online)
	}
	var window *ledger.Window
	if request.FeatureWindow != nil {
		var err error
		if window, err = windowOf(request.FeatureWindow.Start, request.FeatureWindow.End); err != nil {
			return nil, err
		}
	}
	var statuses []ledger.Status
	for _, text := range request.DataAvailabilityStatus {
		status, err := ledger.ParseStatus(text)
		if err != nil {
			return nil, err
		}
		statuses = append(statuses, status)
	}
	var offlineWindows, onlineWindows []ledger.Window
	var err error
	if offline {
		if offlineWindows, err = l.Offline.Select(window, statuses); err != nil {
			return nil, err
		}
		if window == nil || window.Start.IsZero() || window.End.IsZero() {
			span, _ := l.Offline.Span()
			window = fill(window, span)
		}
	}
	if online {
		if onlineWindows, err = l.Online.Select(window, statuses); err != nil {
			return nil, err
		}
		if onlineWindows, err = bootstrappable(onlineWindows, offlineWindows, l, offline); err != nil {
			return nil, err
		}
	}
	return overlay(offlineWindows, onlineWindows), nil
}

// tasksOfJob repeats a failed or cancelled job.
func tasksOfJob(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion], name string, l ledgers, offline, online bool) ([]task, error) {
	if !assetName.MatchString(name) {
		return nil, resource.Invalidf("UserError", "jobId is %q, which is no name of a job.", name).At("jobId")
	}
	doc, err := call.Manager.Store.Get(ctx, storeOf(r.ID).Child("jobs", name).Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, resource.Invalidf("UserError", "There is no job %q in this feature store.", name).At("jobId")
	}
	if err != nil {
		return nil, err
	}
	var job arm.Resource[Job]
	if err := json.Unmarshal(doc.Body, &job); err != nil {
		return nil, err
	}
	work := job.Properties.Work
	if !work.Version.Equal(r.ID) {
		return nil, resource.Invalidf("UserError", "The job %s belongs to %s and not to this feature set.", name, work.Version).At("jobId")
	}
	var offlineWindows, onlineWindows []ledger.Window
	if work.Offline && offline {
		if offlineWindows, err = l.Offline.ByJob(work.Window, name); err != nil {
			return nil, err
		}
	}
	if work.Online && online {
		if onlineWindows, err = l.Online.ByJob(work.Window, name); err != nil {
			return nil, err
		}
	}
	return overlay(offlineWindows, onlineWindows), nil
}

func newJob(call *arm.Call, r *arm.Resource[FeatureSetVersion], request backfillRequest, t task) (*arm.Resource[Job], error) {
	name, err := uuid.NewV7() // ordered by time, and so is the list of jobs
	if err != nil {
		return nil, err
	}
	id := storeOf(r.ID).Child("jobs", name.String())
	properties := map[string]string{}
	for name, value := range request.Properties {
		properties[name] = value
	}
	work := &Work{Version: r.ID, Window: t.window, Offline: t.offline, Online: t.online, Submitter: call.Who.ID}
	if text := request.Properties["memoryLimit"]; text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 64<<20 {
			return nil, resource.Invalidf("InvalidMemoryLimit", "properties.memoryLimit is %q; a number of bytes from %d (64 MiB) was expected", text, 64<<20).At("properties.memoryLimit")
		}
		work.MemoryLimit = n
	}
	set := r.ID.Parent().Name()
	properties["azureml.FeatureSetName"], properties["azureml.FeatureSetVersion"] = set, r.Name
	properties["azureml.FeatureWindowStart"], properties["azureml.FeatureWindowEnd"] = t.window.Start.UTC().Format(time.RFC3339Nano), t.window.End.UTC().Format(time.RFC3339Nano)
	properties["alvara.stores"] = strings.Join(storesOf(t), ",")
	display := request.DisplayName
	if display == "" {
		display = fmt.Sprintf("Materialize %s:%s %s", set, r.Name, t.window)
	}
	return &arm.Resource[Job]{ID: id, Name: id.Name(), Type: jobType, SystemData: call.SystemData(nil), Properties: Job{
		JobType: "Spark", DisplayName: display, Description: request.Description, ExperimentName: set, Status: jobQueued,
		Identity: &JobIdentity{IdentityType: managedIdentity}, Tags: request.Tags, Properties: properties, Work: work,
	}}, nil
}

func storesOf(t task) []string {
	var out []string
	if t.offline {
		out = append(out, "offline")
	}
	if t.online {
		out = append(out, "online")
	}
	return out
}
