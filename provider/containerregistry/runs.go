package containerregistry

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Run is the properties of a run: one image build.
type Run struct {
	RunID              string              `json:"runId"`
	Status             string              `json:"status"`
	RunType            string              `json:"runType"` // QuickBuild
	CreateTime         *time.Time          `json:"createTime,omitempty"`
	StartTime          *time.Time          `json:"startTime,omitempty"`
	FinishTime         *time.Time          `json:"finishTime,omitempty"`
	LastUpdatedTime    *time.Time          `json:"lastUpdatedTime,omitempty"`
	OutputImages       []ImageDescriptor   `json:"outputImages,omitempty"`
	Platform           *Platform           `json:"platform,omitempty"`
	AgentConfiguration *AgentConfiguration `json:"agentConfiguration,omitempty"`
	SourceRegistryAuth string              `json:"sourceRegistryAuth,omitempty"` // Default or None
	CustomRegistries   []string            `json:"customRegistries,omitempty"`
	RunErrorMessage    string              `json:"runErrorMessage,omitempty"`
	IsArchiveEnabled   bool                `json:"isArchiveEnabled"`
	Work               *Work               `json:"work,omitempty"` // never shown
}

// ImageDescriptor is one name of an image that a run pushed.
type ImageDescriptor struct {
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
}

// Platform is what an image is built for.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture,omitempty"`
	Variant      string `json:"variant,omitempty"`
}

// AgentConfiguration bounds what a build may use.
type AgentConfiguration struct {
	CPU int `json:"cpu,omitempty"` // processors; 0 for all
}

// Work is what a run is to do.
type Work struct {
	Sequence   int              `json:"sequence"`            // counts the runs of a registry from 1
	Key        string           `json:"key"`                 // the registry's incarnation
	Submitter  string           `json:"submitter"`           // object id
	Source     string           `json:"source"`              // as Deps.Source named it
	Dockerfile string           `json:"dockerfile"`          // in the context
	Target     string           `json:"target,omitempty"`    // a stage; "" for the last
	Arguments  []image.Argument `json:"arguments,omitempty"` // secret ones without their value
	Images     []string         `json:"images,omitempty"`    // host/repository:tag
	Push       bool             `json:"push"`
	NoCache    bool             `json:"noCache,omitempty"`
	Timeout    time.Duration    `json:"timeout"`
	Actors     map[string]Actor `json:"actors,omitempty"`  // as whom a registry is spoken to, by host
	Secrets    []byte           `json:"secrets,omitempty"` // sealed; gone when the run has ended
	Starts     int              `json:"starts,omitempty"`  // how often it was begun
	// CancelRequested: somebody wants it to end.
	CancelRequested bool `json:"cancelRequested,omitempty"`
}

// The states of a run.
const (
	runQueued    = "Queued"
	runStarted   = "Started" // taken from the queue
	runRunning   = "Running" // being built
	runSucceeded = "Succeeded"
	runFailed    = "Failed" // the build's own fault
	runCanceled  = "Canceled"
	runError     = "Error" // the server's fault
	runTimeout   = "Timeout"
)

// outcomes are the words for how a run ended in its log's metadata; the keys are the states that nothing follows.
var outcomes = map[string]string{
	runSucceeded: "successful", runFailed: "failed", runCanceled: "canceled", runError: "internalerror", runTimeout: "timedout",
}

func (r Run) ended() bool { return outcomes[r.Status] != "" }

// Runs declares runs. They are made by scheduleRun; what can be changed later is whether a run is kept.
func (d Deps) Runs() arm.Type {
	return arm.Define(arm.Spec[Run]{
		Type: runType, APIVersions: []string{"2019-06-01-preview"}, Permanent: true,
		Name: regexp.MustCompile(`^cr[0-9]{1,18}$`), NameRule: "the id that scheduleRun gave, such as cr1",
		Permission: func(verb arm.Verb, _, _ *arm.Resource[Run]) string {
			if verb == arm.Remove { // there is no such permission, and no way to remove a run by itself
				verb = arm.Write
			}
			return string(runType) + "/" + string(verb)
		},
		Validate: updateArchived,
		List:     listRuns,
		Present:  func(_ context.Context, _ *arm.Call, r *arm.Resource[Run]) { r.Properties.Work = nil },
		Actions: []arm.Action[Run]{
			{Name: "listLogSasUrl", Run: d.logURL},
			{Name: "cancel", Run: d.cancel},
		},
	})
}

// updateArchived takes the one thing of a run that can be changed, which clients send without the usual envelope.
func updateArchived(_ context.Context, change *arm.Change[Run]) error {
	if change.Prev == nil || change.Method != "PATCH" {
		return resource.Errorf(resource.MethodNotAllowed, "MethodNotAllowed", "runs are made by scheduleRun and changed by PATCH; a PUT is not taken")
	}
	var body struct {
		IsArchiveEnabled *bool `json:"isArchiveEnabled"`
		Properties       *struct {
			IsArchiveEnabled *bool `json:"isArchiveEnabled"`
		} `json:"properties"`
	}
	if err := arm.ReadBody(change.Body, &body); err != nil {
		return err
	}
	if body.IsArchiveEnabled == nil && body.Properties != nil {
		body.IsArchiveEnabled = body.Properties.IsArchiveEnabled
	}
	change.Next.Properties = change.Prev.Properties
	if body.IsArchiveEnabled != nil {
		now := change.Manager.Clock().UTC()
		change.Next.Properties.IsArchiveEnabled, change.Next.Properties.LastUpdatedTime = *body.IsArchiveEnabled, &now
	}
	return nil
}

// listRuns lists runs, the newest first; $filter chooses among them and $top bounds their number.
func listRuns(ctx context.Context, call *arm.Call, scope resource.ID) ([]*arm.Resource[Run], error) {
	wanted, err := parseFilter(call.QueryValue("$filter"))
	if err != nil {
		return nil, err
	}
	top := 0
	if text := call.QueryValue("$top"); text != "" {
		if top, err = strconv.Atoi(text); err != nil || top < 1 {
			return nil, resource.Invalidf("InvalidParameter", "$top is %q; a number from 1 was expected", text).At("$top")
		}
	}
	docs, err := call.Manager.Below(ctx, scope, runType)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		there, err := call.Manager.Exists(ctx, scope)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, resource.NotFoundf("ParentResourceNotFound", "The resource '%s' could not be found.", scope)
		}
	}
	var out []*arm.Resource[Run]
	for _, doc := range docs {
		r, err := readRun(doc)
		if err != nil {
			return nil, err
		}
		if wanted(&r.Properties) && call.Manager.Visible(call, doc) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *arm.Resource[Run]) int {
		if at := b.Properties.CreateTime.Compare(*a.Properties.CreateTime); at != 0 {
			return at
		}
		return b.Properties.Work.Sequence - a.Properties.Work.Sequence
	})
	if top > 0 && len(out) > top {
		out = out[:top]
	}
	return out, nil
}

func readRun(doc store.Document) (*arm.Resource[Run], error) {
	r := &arm.Resource[Run]{}
	if err := json.Unmarshal(doc.Body, r); err != nil || r.Properties.Work == nil || r.Properties.CreateTime == nil {
		return nil, resource.Errorf(resource.Internal, "DocumentCorrupt", "the document %s cannot be read", doc.Key).Because(err)
	}
	r.ETag = doc.ETag
	return r, nil
}

// updateRun changes a run, and repeats it when somebody else changed it at the same time. It gives the run as it is then.
func updateRun(ctx context.Context, st store.Store, id resource.ID, now time.Time, change func(*Run) error) (*arm.Resource[Run], error) {
	for attempt := 0; ; attempt++ {
		doc, err := st.Get(ctx, id.Key())
		if err != nil {
			return nil, err
		}
		r, err := readRun(doc)
		if err != nil {
			return nil, err
		}
		if err := change(&r.Properties); err != nil {
			return r, err
		}
		r.Properties.LastUpdatedTime = &now
		put, err := arm.Document(r)
		if err != nil {
			return nil, err
		}
		put.IfMatch = doc.ETag
		_, err = st.Apply(ctx, put)
		if resource.KindOf(err) != resource.PreconditionFailed || attempt == 50 {
			return r, err
		}
	}
}

// finish ends a run in a certain state. What was secret about it is forgotten.
func (r *Run) finish(status, message string, now time.Time) {
	r.Status, r.RunErrorMessage, r.FinishTime = status, message, &now
	if r.Work != nil {
		r.Work.Secrets = nil
	}
}

func (d Deps) logURL(ctx context.Context, _ *arm.Call, r *arm.Resource[Run]) (any, error) {
	link, err := d.LogLink(ctx, r.Properties.Work.Key, r.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"logLink": link}, nil
}
