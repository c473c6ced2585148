package machinelearning

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/ledger"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Job is the properties of a materialization job.
type Job struct {
	JobType        string            `json:"jobType"` // Spark, as the original names materialization jobs
	DisplayName    string            `json:"displayName,omitempty"`
	Description    string            `json:"description,omitempty"`
	ExperimentName string            `json:"experimentName,omitempty"`
	Status         string            `json:"status"` // Queued, Running, Completed, Failed, CancelRequested, Canceled
	Identity       map[string]string `json:"identity,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	Properties     map[string]string `json:"properties,omitempty"`
	StartTime      *time.Time        `json:"startTime,omitempty"`
	EndTime        *time.Time        `json:"endTime,omitempty"`
	Error          *JobError         `json:"error,omitempty"`
	IsArchived     bool              `json:"isArchived"`
	Work           *Work             `json:"work,omitempty"` // never shown
}

// JobError is why a job failed.
type JobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Work is what a job is to do.
type Work struct {
	Version     resource.ID   `json:"version"`
	Window      ledger.Window `json:"window"`
	Offline     bool          `json:"offline"`
	Online      bool          `json:"online"`
	MemoryLimit int64         `json:"memoryLimit,omitempty"` // bytes; 0 is the server's default
	Submitter   string        `json:"submitter"`             // object id
}

// The states of a job.
const (
	jobQueued          = "Queued"
	jobRunning         = "Running"
	jobCompleted       = "Completed"
	jobFailed          = "Failed"
	jobCancelRequested = "CancelRequested"
	jobCanceled        = "Canceled"
)

func (j Job) ended() bool {
	return j.Status == jobCompleted || j.Status == jobFailed || j.Status == jobCanceled
}

// Jobs declares jobs. Backfills make them; nobody writes one directly.
func (d Deps) Jobs() arm.Type {
	return arm.Define(arm.Spec[Job]{
		Type: jobType, APIVersions: apiVersions, ReadOnly: true,
		Listed:  jobsListed,
		Deleted: func(_ context.Context, r *arm.Resource[Job]) error { d.Cancel(r.ID); return nil },
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Job]) { r.Properties.Work = nil },
		Actions: []arm.Action[Job]{
			{Name: "cancel", Permission: string(jobType) + "/cancel/action", Run: d.cancelJob},
			{Name: "logs", Method: "GET", Permission: string(jobType) + "/read", Run: d.jobLog},
		},
	})
}

func (d Deps) cancelJob(ctx context.Context, call *arm.Call, r *arm.Resource[Job]) (any, error) {
	err := updateJob(ctx, call.Manager.Store, r.ID, func(j *Job) ([]store.Op, error) {
		if j.ended() {
			return nil, resource.Invalidf("JobAlreadyEnded", "The job %s has ended already: %s.", r.Name, j.Status)
		}
		j.Status = jobCancelRequested
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	d.Cancel(r.ID)
	// Clients' pollers want a place to ask: the job itself.
	location := call.BaseURL + r.ID.String() + "?api-version=" + url.QueryEscape(call.QueryValue("api-version"))
	return &arm.Response{Status: 202, Header: map[string]string{"Location": location, "Retry-After": "0"}}, nil
}

// updateJob changes a job together with the ops that change gives, and repeats it when somebody else changed any of it
// at the same time.
func updateJob(ctx context.Context, st store.Store, id resource.ID, change func(*Job) ([]store.Op, error)) error {
	for attempt := 0; ; attempt++ {
		job, err := readJob(ctx, st, id)
		if err != nil {
			return err
		}
		ops, err := change(&job.Properties)
		if err != nil {
			return err
		}
		put, err := arm.Document(job)
		if err != nil {
			return err
		}
		put.IfMatch = job.ETag
		_, err = st.Apply(ctx, append(ops, put)...)
		if kind := resource.KindOf(err); err == nil || attempt == 50 || (kind != resource.PreconditionFailed && kind != resource.Conflict) {
			return err
		}
	}
}

func readJob(ctx context.Context, st store.Store, id resource.ID) (*arm.Resource[Job], error) {
	doc, err := st.Get(ctx, id.Key())
	if err != nil {
		return nil, err
	}
	r := &arm.Resource[Job]{}
	if err := json.Unmarshal(doc.Body, r); err != nil {
		return nil, err
	}
	r.ETag = doc.ETag
	return r, nil
}

// jobLog gives a job's log from ?offset=; the header x-alvara-next-offset says where to go on.
func (d Deps) jobLog(ctx context.Context, call *arm.Call, r *arm.Resource[Job]) (any, error) {
	offset := int64(0)
	if text := call.QueryValue("offset"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return nil, resource.Invalidf("InvalidParameter", "offset is %q; a number from 0 was expected", text).At("offset")
		}
		offset = n
	}
	text, next, err := d.Log(ctx, r.ID, offset)
	if err != nil {
		return nil, err
	}
	return &arm.Response{Status: 200, Body: arm.Text(text), Header: map[string]string{
		"x-alvara-next-offset": strconv.FormatInt(next, 10), "x-alvara-job-status": r.Properties.Status,
	}}, nil
}

// ledgers are the data intervals of a feature set version, for both stores. Revision is the document's ETag.
type ledgers struct {
	Offline  ledger.Ledger `json:"offline"`
	Online   ledger.Ledger `json:"online"`
	Revision string        `json:"-"`
}

const ledgerKind = "featurestore/ledgers"

func ledgerKey(version resource.ID) string { return version.Key() + "#ledger" }

func readLedgers(ctx context.Context, st store.Store, version resource.ID) (ledgers, error) {
	var l ledgers
	doc, err := st.Get(ctx, ledgerKey(version))
	if resource.KindOf(err) == resource.NotFound {
		l.Revision = store.None
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.Revision = doc.ETag
	return l, json.Unmarshal(doc.Body, &l)
}

func (l ledgers) put(version resource.ID) (store.Put, error) {
	body, err := json.Marshal(l)
	return store.Put{Key: ledgerKey(version), Kind: ledgerKind, Body: body, IfMatch: l.Revision}, err
}

// forgetLedger removes the ledger with its version. A version that a job is materializing stays, unless all of its store
// goes, which takes the jobs along.
func forgetLedger(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion]) ([]store.Op, error) {
	l, err := readLedgers(ctx, call.Manager.Store, r.ID)
	if err != nil {
		return nil, err
	}
	below := strings.HasPrefix(call.Target.Type.Key(), featureSetType.Key())
	if job := l.pending(); job != "" && below {
		return nil, resource.Conflictf("FeatureSetInUse", "The job %s is materializing %s:%s; wait until it has ended, or cancel it first.", job, r.ID.Parent().Name(), r.Name)
	}
	if l.Revision == store.None { // and it must not come into being meanwhile
		return []store.Op{store.Expect{Key: ledgerKey(r.ID), IfMatch: store.None}}, nil
	}
	return []store.Op{store.Delete{Key: ledgerKey(r.ID), IfMatch: l.Revision}}, nil
}

// pending names a job that is materializing, or "".
func (l ledgers) pending() string {
	for _, part := range []ledger.Ledger{l.Offline, l.Online} {
		intervals, _ := part.Records(nil) // a whole ledger has no bounds that could be wrong
		for _, interval := range intervals {
			if interval.Status == ledger.Pending {
				return interval.JobID
			}
		}
	}
	return ""
}

// dataIntervals shows the data intervals of a version; ?start= and ?end= narrow them.
func dataIntervals(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion]) (any, error) {
	l, err := readLedgers(ctx, call.Manager.Store, r.ID)
	if err != nil {
		return nil, err
	}
	window, err := windowOf(call.QueryValue("start"), call.QueryValue("end"))
	if err != nil {
		return nil, err
	}
	offline, err := l.Offline.Intervals(window)
	if err != nil {
		return nil, err
	}
	online, err := l.Online.Intervals(window)
	if err != nil {
		return nil, err
	}
	return map[string]any{"offline": notNil(offline), "online": notNil(online)}, nil
}

func notNil(intervals []ledger.Interval) []ledger.Interval {
	if intervals == nil {
		return []ledger.Interval{}
	}
	return intervals
}
