package machinelearning

import (
	"context"
	"encoding/json"
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
		HideFromList: hideJob,
		Present:      func(_ context.Context, _ *arm.Call, r *arm.Resource[Job]) { r.Properties.Work = nil },
		Actions: []arm.Action[Job]{
			{Name: "cancel", Permission: string(jobType) + "/cancel/action", Status: 202, Run: d.cancelJob},
			{Name: "logs", Method: "GET", Permission: string(jobType) + "/read", Run: d.jobLog},
		},
	})
}

// hideJob applies the filters of the job list: properties=name=value,… , jobType and tag.
func hideJob(r *arm.Resource[Job], call *arm.Call) bool {
	if t := call.QueryValue("jobType"); t != "" && !strings.EqualFold(t, r.Properties.JobType) {
		return true
	}
	for _, pair := range strings.Split(call.QueryValue("properties"), ",") {
		name, want, given := strings.Cut(strings.TrimSpace(pair), "=")
		if given && !strings.EqualFold(r.Properties.Properties[name], want) {
			return true
		}
	}
	return false
}

func (d Deps) cancelJob(ctx context.Context, call *arm.Call, r *arm.Resource[Job]) (any, error) {
	if r.Properties.ended() {
		return nil, resource.Invalidf("JobAlreadyEnded", "The job %s has ended already: %s.", r.Name, r.Properties.Status)
	}
	r.Properties.Status = jobCancelRequested
	put, err := arm.Document(r)
	if err != nil {
		return nil, err
	}
	put.IfMatch = r.ETag
	if _, err := call.Manager.Store.Apply(ctx, put); err != nil {
		return nil, err
	}
	d.Cancel(r.ID)
	return nil, nil
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

func forgetLedger(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion]) ([]store.Op, error) {
	l, err := readLedgers(ctx, call.Manager.Store, r.ID)
	if err != nil || l.Revision == store.None {
		return nil, err
	}
	return []store.Op{store.Delete{Key: ledgerKey(r.ID)}}, nil
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
