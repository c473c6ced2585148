package machinelearning

import (
	"context"
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

var jobName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$`)

// Jobs declares jobs. They are submitted to workspaces of the kind Default; those of feature stores are made by backfills. A job that
// runs is cancelled when it is deleted.
func (d Deps) Jobs() arm.Type {
	return arm.Define(arm.Spec[Job]{
		Type: jobType, APIVersions: apiVersions, Strict: true,
		Name: jobName, NameRule: assetNameRule,
		Linked:   d.linkedOfJob,
		Validate: d.validateJob,
		Commit:   d.beginJob,
		Deleting: deletingJob,
		Listed:   jobsListed,
		Deleted:  d.forgetJob,
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Job]) {
			r.Properties.Work, r.Properties.Run, r.Properties.Parts, r.Properties.StepOf = nil, nil, nil, ""
		},
		Actions: []arm.Action[Job]{
			{Name: "cancel", Permission: string(jobType) + "/cancel/action", Run: d.cancelJob},
			{Name: "retry", Permission: string(jobType) + "/write", Run: d.retryJob},
			{Name: "logs", Method: "GET", Permission: string(jobType) + "/read", Run: d.jobLog},
			{Name: "metrics", Method: "GET", Permission: string(jobType) + "/read", Run: d.jobMetrics},
			{Name: "artifacts", Method: "GET", Permission: string(jobType) + "/read", Run: d.jobArtifacts},
		},
	})
}

// linkedOfJob: whoever submits a job must be allowed to see what it names.
func (d Deps) linkedOfJob(ctx context.Context, change *arm.Change[Job]) ([]arm.Requirement, error) {
	if change.Prev != nil {
		return nil, nil
	}
	kind, err := d.kindOfJob(change.Next.Properties.JobType)
	if err != nil || kind.linked == nil {
		return nil, err
	}
	return kind.linked(ctx, change)
}

func (d Deps) validateJob(ctx context.Context, change *arm.Change[Job]) error {
	if change.Prev != nil {
		return d.keepJob(ctx, change)
	}
	workspace, err := workspaceOf(ctx, change.Call, change.Next.ID.Parent())
	if err != nil {
		return err
	}
	if isStore(workspace, nil) {
		return resource.Errorf(resource.Unsupported, "JobsNotSupported", "%s is a feature store, whose jobs are made by backfills; submit the job to a workspace of the kind %s", workspace.Name, DefaultKind)
	}
	p := &change.Next.Properties
	kind, err := d.kindOfJob(p.JobType)
	if err != nil {
		return err
	}
	if len(p.NotificationSetting) > 0 && string(p.NotificationSetting) != "null" {
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.notificationSetting: nobody is sent messages; leave the field out, and follow the job instead").At("properties.notificationSetting")
	}
	p.JobType, p.Status, p.StartTime, p.EndTime, p.Error, p.Services = kind.name, jobNotStarted, nil, nil, nil, nil
	p.Work, p.Run, p.Parts, p.StepOf = nil, nil, nil, stepOf(ctx)
	for _, name := range []string{pipelineProperty, stepProperty} {
		if _, given := p.Properties[name]; given && p.StepOf == "" {
			return resource.Invalidf("InvalidJob", "properties.properties.%s says that a pipeline has submitted the job, and is written by pipelines alone; leave it out", name).At("properties.properties." + name)
		}
	}
	if p.DisplayName == "" {
		p.DisplayName = change.Next.Name
	}
	if p.ExperimentName == "" {
		p.ExperimentName = "Default"
	}
	return kind.settle(ctx, change)
}

// keepJob lets an update change the words about a job, and nothing else.
func (d Deps) keepJob(ctx context.Context, change *arm.Change[Job]) error {
	next, old := change.Next.Properties, change.Prev.Properties
	words := [4]any{next.DisplayName, next.Description, next.Tags, next.IsArchived}
	if next.DisplayName == "" {
		words[0] = old.DisplayName
	}
	field := changedField(next, old)
	if field != "" { // the same may be named otherwise
		if same, err := d.settledAgain(ctx, change); err == nil {
			field = changedField(same, old)
		}
	}
	if field != "" {
		return resource.Conflictf("JobImmutable", "properties.%s of the job %s cannot be changed: a job stays as it was submitted, but for displayName, description, tags and isArchived. Submit a job with another name.", field, change.Next.Name).At("properties." + field)
	}
	if words[3] == true && !old.ended() {
		return resource.Conflictf("JobNotEnded", "The job %s is %s; cancel it or wait until it has ended, then archive it.", change.Next.Name, old.Status).At("properties.isArchived")
	}
	change.Next.Properties = old
	p := &change.Next.Properties
	p.DisplayName, p.Description, p.IsArchived = words[0].(string), next.Description, next.IsArchived
	p.Tags = next.Tags
	return nil
}

// settledAgain is a job that is there as it would be if it were submitted now.
func (d Deps) settledAgain(ctx context.Context, change *arm.Change[Job]) (Job, error) {
	text, err := json.Marshal(change.Next)
	if err != nil {
		return Job{}, err
	}
	again := &arm.Resource[Job]{}
	if err := json.Unmarshal(text, again); err != nil {
		return Job{}, err
	}
	kind, err := d.kindOfJob(again.Properties.JobType)
	if err != nil {
		return Job{}, err
	}
	err = kind.settle(ctx, &arm.Change[Job]{Call: change.Call, Next: again})
	return again.Properties, err
}

// changedField names a field that the caller gives and that is not as it was; what only the server writes is not looked at, and neither
// is what the caller leaves out.
func changedField(next, old Job) string {
	is := func(next, old any) bool {
		return reflect.ValueOf(next).IsZero() || reflect.DeepEqual(asJSON(next), asJSON(old))
	}
	for _, field := range []struct {
		name      string
		next, old any
	}{
		{"jobType", next.JobType, old.JobType}, {"experimentName", next.ExperimentName, old.ExperimentName}, {"computeId", next.ComputeID, old.ComputeID},
		{"componentId", next.ComponentID, old.ComponentID}, {"identity", next.Identity, old.Identity}, {"command", next.Command, old.Command}, {"codeId", next.CodeID, old.CodeID},
		{"environmentId", next.EnvironmentID, old.EnvironmentID}, {"environmentVariables", next.EnvironmentVariables, old.EnvironmentVariables},
		{"inputs", next.Inputs, old.Inputs}, {"outputs", next.Outputs, old.Outputs}, {"distribution", next.Distribution, old.Distribution},
		{"limits", next.Limits, old.Limits}, {"resources", next.Resources, old.Resources}, {"jobs", next.Jobs, old.Jobs}, {"settings", next.Settings, old.Settings},
	} {
		if !is(field.next, field.old) {
			return field.name
		}
	}
	return ""
}

// asJSON is a value as JSON has it: absent and empty are one.
func asJSON(value any) any {
	text, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(text, &out) != nil || nothing(out) {
		return nil
	}
	return out
}

// beginJob begins a new job with its document.
func (d Deps) beginJob(ctx context.Context, change *arm.Change[Job]) ([]store.Op, error) {
	if change.Prev != nil {
		return nil, nil
	}
	kind, err := d.kindOfJob(change.Next.Properties.JobType)
	if err != nil {
		return nil, err
	}
	return kind.begin(ctx, change)
}

// deletingJob refuses to take a materialization job away that its feature set still needs to hear of.
func deletingJob(_ context.Context, call *arm.Call, r *arm.Resource[Job]) ([]store.Op, error) {
	if p := r.Properties; call.Target.ID.Equal(r.ID) && p.Work != nil && !p.ended() {
		return nil, resource.Conflictf("JobNotEnded", "The job %s is materializing; cancel it first.", r.Name)
	}
	return nil, nil
}

// forgetJob ends what runs of a deleted job, and forgets what is kept of it.
func (d Deps) forgetJob(ctx context.Context, r *arm.Resource[Job]) error {
	if r.Properties.Work != nil {
		d.Cancel(r.ID)
		return nil
	}
	for _, kind := range d.jobKinds() {
		if kind.name == r.Properties.JobType {
			kind.cancel(r.ID)
		}
	}
	if r.Properties.Run != nil {
		return d.Runner.Forget(ctx, r.ID, *r.Properties.Run)
	}
	return d.Runner.Logs.Forget(r.ID) // of a pipeline
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
	if r.Properties.Work != nil {
		d.Cancel(r.ID)
	} else if kind, err := d.kindOfJob(r.Properties.JobType); err == nil {
		kind.cancel(r.ID)
	}
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
