package machinelearning

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// PipelineJob is the kind of the durable jobs that carry pipelines out; their body is the id of a Job.
const PipelineJob = "machinelearning/pipeline"

// The properties of a step's job: the pipeline that it belongs to, and its name there.
const (
	pipelineProperty = "azureml.pipelinerunid"
	stepProperty     = "azureml.stepname"
)

const (
	maxSteps         = 500
	pipelineAttempts = 1000
)

var stepName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// pipelineKind declares pipelines: jobs of command jobs, which read what others of them write.
func (d Deps) pipelineKind() jobKind {
	// A handler that waits hears of the cancellation from the store.
	return jobKind{name: "Pipeline", linked: d.linkedOfPipeline, settle: d.settlePipeline, begin: beginPipeline, cancel: func(resource.ID) {}}
}

// pipeline is a pipeline that is being read. Its steps become command jobs.
type pipeline struct {
	name    string
	inputs  map[string]*JobInput
	outputs map[string]*JobOutput
	steps   map[string]*Job
	reused  map[string]*stepRun // by the name of the step
	onwards bool                // steps that need nothing of one that failed go on
}

// child is the name of a step's job.
func (p *pipeline) child(step string) string { return p.name + "-" + step }

// pipelineSettings are what a pipeline says of all its steps.
type pipelineSettings struct {
	DefaultCompute, DefaultComputeID string
	DefaultDatastore                 string
	ContinueOnStepFailure            bool
	ContinueRunOnStepFailure         bool
}

// readPipeline reads a pipeline and connects its steps; those that are reused with what they wrote.
func readPipeline(r *arm.Resource[Job], reused map[string]*stepRun) (*pipeline, []*stepRun, error) {
	p := &pipeline{name: r.Name, inputs: r.Properties.Inputs, outputs: r.Properties.Outputs, steps: map[string]*Job{}, reused: reused}
	settings, err := readSettings(r.Properties.Settings)
	if err != nil {
		return nil, nil, err
	}
	p.onwards = settings.ContinueOnStepFailure || settings.ContinueRunOnStepFailure
	compute := r.Properties.ComputeID
	for _, given := range []string{settings.DefaultComputeID, settings.DefaultCompute} {
		if compute == "" {
			compute = given
		}
	}
	switch count := len(r.Properties.Jobs); {
	case count == 0:
		return nil, nil, resource.Invalidf("InvalidPipeline", "properties.jobs is empty; at least one step was expected").At("properties.jobs")
	case count > maxSteps:
		return nil, nil, resource.Invalidf("InvalidPipeline", "properties.jobs has %d steps; %d at most were expected", count, maxSteps).At("properties.jobs")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Properties.Jobs)) {
		field := "properties.jobs." + name
		switch {
		case !stepName.MatchString(name):
			return nil, nil, resource.Invalidf("InvalidPipeline", "%s: %q is no name for a step; 1 to 100 letters, digits or '_' were expected, not beginning with a digit", field, name).At(field)
		case !jobName.MatchString(p.child(name)):
			return nil, nil, resource.Invalidf("InvalidPipeline", "%s: the step's job would be called %s, which is too long; give the pipeline a shorter name", field, p.child(name)).At(field)
		}
		step, err := readStep(name, r.Properties.Jobs[name])
		if err != nil {
			return nil, nil, err
		}
		if step.ComputeID == "" {
			step.ComputeID = compute
		}
		if step.Identity == nil {
			step.Identity = r.Properties.Identity
		}
		if step.DisplayName == "" {
			step.DisplayName = name
		}
		step.JobType, step.ExperimentName = "Command", r.Properties.ExperimentName
		step.Properties = maps.Clone(step.Properties)
		if step.Properties == nil {
			step.Properties = map[string]string{}
		}
		step.Properties[pipelineProperty], step.Properties[stepProperty] = r.Name, name
		p.steps[name] = step
	}
	needs, err := p.bind()
	if err != nil {
		return nil, nil, err
	}
	order, err := orderSteps(needs)
	if err != nil {
		return nil, nil, err
	}
	var steps []*stepRun
	for _, name := range order {
		step := &stepRun{Name: name, Needs: needs[name], Job: p.child(name), Asked: p.steps[name]}
		if before := reused[name]; before != nil {
			step = &stepRun{Name: name, Needs: needs[name], Job: before.Job, Asked: before.Asked, Begun: true, Status: jobCompleted, Reused: true, Key: before.Key}
		}
		steps = append(steps, step)
	}
	return p, steps, nil
}

// readSettings reads what a pipeline says of all its steps, in the resource manager's words or in those of files.
func readSettings(raw json.RawMessage) (pipelineSettings, error) {
	const field = "properties.settings"
	var given map[string]any
	var settings pipelineSettings
	if len(raw) == 0 {
		return settings, nil
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return settings, resource.Invalidf("InvalidPipeline", "%s is no object", field).At(field)
	}
	known := map[string]bool{"defaultCompute": true, "defaultComputeId": true, "defaultDatastore": true, "continueOnStepFailure": true, "continueRunOnStepFailure": true, "forceRerun": true, "_source": true}
	plain := map[string]any{}
	for name, value := range canonical(given, "settings") {
		switch {
		case nothing(value):
		case !known[name]:
			return settings, resource.Errorf(resource.Unsupported, "NotSupported", "%s.%s is not offered; defaultComputeId and continueOnStepFailure are", field, name).At(field + "." + name)
		default:
			plain[name] = value
		}
	}
	text, err := json.Marshal(plain)
	if err == nil {
		err = json.Unmarshal(text, &settings)
	}
	if err != nil {
		return settings, resource.Invalidf("InvalidPipeline", "%s cannot be read: %v", field, err).At(field)
	}
	if store := settings.DefaultDatastore; store != "" && !strings.EqualFold(store[strings.LastIndexAny(store, "/:")+1:], blobStore) {
		return settings, resource.Errorf(resource.Unsupported, "NotSupported", "%s.defaultDatastore is %q; outputs go to %s unless they say where: give them a uri", field, store, blobStore).At(field + ".defaultDatastore")
	}
	return settings, nil
}

// linkedOfPipeline: whoever submits a pipeline must be allowed to see what its steps name.
func (d Deps) linkedOfPipeline(ctx context.Context, change *arm.Change[Job]) ([]arm.Requirement, error) {
	sketch, err := cloneJob(change.Next)
	if err != nil {
		return nil, err
	}
	_, steps, err := readPipeline(sketch, nil)
	if err != nil {
		return nil, err
	}
	var out []arm.Requirement
	for _, step := range steps {
		some, err := linkedOfCommand(ctx, &arm.Change[Job]{Call: change.Call, Next: stepResource(change.Next.ID.Parent(), step)})
		if err != nil {
			return nil, ofStep(step.Name, err)
		}
		out = append(out, some...)
	}
	return out, nil
}

func cloneJob(r *arm.Resource[Job]) (*arm.Resource[Job], error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	out := &arm.Resource[Job]{}
	return out, json.Unmarshal(text, out)
}

// stepResource is a step's job as it will be submitted.
func stepResource(workspace resource.ID, step *stepRun) *arm.Resource[Job] {
	return &arm.Resource[Job]{ID: workspace.Child("jobs", step.Job), Name: step.Job, Type: jobType, Properties: *step.Asked}
}

// ofStep says of a refusal of a step's job which step it is about.
func ofStep(step string, err error) error {
	e, known := resource.AsError(err)
	if !known {
		return err
	}
	prefix := "properties.jobs." + step + "."
	target := prefix + strings.TrimPrefix(e.Target, "properties.")
	return resource.Errorf(e.Kind, e.Code, "%s", strings.ReplaceAll(e.Message, "properties.", prefix)).At(target)
}

// settlePipeline checks a new pipeline whole: nothing begins unless each step could be submitted as it is.
func (d Deps) settlePipeline(ctx context.Context, change *arm.Change[Job]) error {
	r := change.Next
	if err := checkPipelineOnly(&r.Properties); err != nil {
		return err
	}
	reused, err := d.reusable(ctx, change)
	if err != nil {
		return err
	}
	p, steps, err := readPipeline(r, reused)
	if err != nil {
		return err
	}
	if err := p.checkInputs(); err != nil {
		return err
	}
	for _, step := range steps {
		if step.Reused {
			continue
		}
		child, err := cloneJob(stepResource(r.ID.Parent(), step)) // what is settled is not kept: it is done anew when the step begins
		if err != nil {
			return err
		}
		exists, err := change.Manager.Exists(ctx, child.ID)
		if err != nil {
			return err
		}
		if exists {
			return resource.Conflictf("JobExists", "The workspace %s has a job %q already, which would be that of the step %s; give the pipeline another name.", r.ID.Parent().Name(), step.Job, step.Name).At("name")
		}
		if err := d.settleCommand(ctx, &arm.Change[Job]{Call: change.Call, Next: child}); err != nil {
			return ofStep(step.Name, err)
		}
	}
	r.Properties.Properties = retried(&r.Properties)
	r.Properties.Status = jobQueued
	return putParts(&r.Properties, &pipelineRun{Key: rand.Text(), Submitter: change.Who.ID, Onwards: p.onwards, Steps: steps})
}

// checkPipelineOnly refuses what belongs to command jobs.
func checkPipelineOnly(p *Job) error {
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"command", p.Command != ""}, {"codeId", p.CodeID != ""}, {"environmentId", p.EnvironmentID != ""}, {"environmentVariables", len(p.EnvironmentVariables) > 0},
		{"distribution", p.Distribution != nil}, {"resources", p.Resources != nil}, {"limits", p.Limits != nil},
	} {
		if field.given {
			return resource.Invalidf("InvalidPipeline", "properties.%s belongs to the steps of a pipeline, in properties.jobs; leave the field out", field.name).At("properties." + field.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Outputs)) {
		if output := p.Outputs[name]; output != nil && (output.AssetName != "" || output.AssetVersion != "" || output.PathOnCompute != "") {
			field := "properties.outputs." + name
			return resource.Errorf(resource.Unsupported, "NotSupported", "%s: outputs are not registered by themselves and have no path on a compute; leave assetName, assetVersion and pathOnCompute out", field).At(field)
		}
	}
	if p.SourceJobID != "" || p.ComponentID != "" {
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.sourceJobId and componentId: pipelines are given step by step, in properties.jobs").At("properties.sourceJobId")
	}
	return nil
}

// checkInputs checks what the pipeline is given as far as no step does.
func (p *pipeline) checkInputs() error {
	for _, name := range slices.Sorted(maps.Keys(p.inputs)) {
		field := "properties.inputs." + name
		input := p.inputs[name]
		if err := checkBinding(field, name, input != nil); err != nil {
			return err
		}
		kind, err := oneOf(field+".jobInputType", input.JobInputType, "", inputTypes...)
		if err != nil {
			return err
		}
		if kind == "" || kind != literal && input.URI == "" {
			return resource.Invalidf("InvalidJob", "%s: a jobInputType was expected, and for other types than %s a uri", field, literal).At(field)
		}
	}
	return nil
}

// beginPipeline has the queue carry a pipeline out.
func beginPipeline(_ context.Context, change *arm.Change[Job]) ([]store.Op, error) {
	body, err := json.Marshal(change.Next.ID)
	return []store.Op{store.Enqueue{Kind: PipelineJob, Body: body, MaxAttempts: pipelineAttempts}}, err
}

// stepsDone says how many steps have ended, for those who look at the pipeline alone.
func stepsDone(run *pipelineRun) string {
	done := 0
	for _, step := range run.Steps {
		if step.ended() {
			done++
		}
	}
	return strconv.Itoa(done) + " of " + strconv.Itoa(len(run.Steps))
}
