package machinelearning

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// retryOf is the property in which a job names the one that it repeats.
const retryOf = "alvara.retryOf"

// retryJob submits a job that has ended again, as the caller, with the same order and another name: the one in the body's name, or
// NAME-retry-N. Everything is checked as for any job that is submitted.
func (d Deps) retryJob(ctx context.Context, call *arm.Call, r *arm.Resource[Job]) (any, error) {
	p := r.Properties
	if p.Work != nil {
		return nil, resource.Errorf(resource.Unsupported, "NotSupported", "The job %s materializes a feature set; repeat it with a backfill that names its id.", r.Name)
	}
	if !p.ended() {
		return nil, resource.Conflictf("JobNotEnded", "The job %s is %s; cancel it or wait until it has ended.", r.Name, p.Status)
	}
	var body struct {
		Name string `json:"name"`
	}
	if len(bytes.TrimSpace(call.Body)) > 0 {
		if err := arm.ReadBody(call.Body, &body); err != nil {
			return nil, err
		}
	}
	again := p.asked(r.Name)
	for n := 1; ; n++ {
		name := body.Name
		if name == "" {
			name = fmt.Sprintf("%s-retry-%d", r.Name[:min(len(r.Name), 240)], n)
		}
		id := r.ID.Parent().Child("jobs", name)
		exists, err := call.Manager.Exists(ctx, id)
		if err != nil {
			return nil, err
		}
		if exists && body.Name != "" {
			return nil, resource.Conflictf("JobExists", "The workspace %s has a job %q already; choose another name.", r.ID.Parent().Name(), name).At("name")
		}
		if exists {
			continue
		}
		made, err := call.Manager.Do(ctx, call, call.Who, "PUT", id.String(), map[string]any{"properties": again})
		if err != nil {
			return nil, err
		}
		return &arm.Response{Status: 201, Body: made}, nil
	}
}

// asked is a job as it was asked for, to be asked for again: without what the server wrote into it.
func (j Job) asked(name string) Job {
	j.Status, j.StartTime, j.EndTime, j.Error, j.Services, j.IsArchived = "", nil, nil, nil, nil, false
	j.Work, j.Run, j.Parts, j.StepOf = nil, nil, nil, ""
	properties := map[string]string{retryOf: name}
	for key, value := range j.Properties {
		if !strings.HasPrefix(key, derived) && key != pipelineProperty && key != stepProperty { // a step is repeated as a job of its own
			properties[key] = value
		}
	}
	j.Properties = properties
	outputs := map[string]*JobOutput{}
	for key, output := range j.Outputs {
		copied := *output
		copied.URI = strings.ReplaceAll(copied.URI, "/azureml/"+name+"/"+key, "/azureml/${{name}}/"+key)
		outputs[key] = &copied
	}
	j.Outputs = outputs
	if j.DisplayName == name {
		j.DisplayName = ""
	}
	return j
}

// retried is the job that a new one says to repeat: a property that only a retry sets, and that stays.
func retried(p *Job) map[string]string {
	kept := keepDerived(p.Properties, nil)
	if kept == nil {
		kept = map[string]string{}
	}
	if name := p.Properties[retryOf]; jobName.MatchString(name) {
		kept[retryOf] = name
	}
	return kept
}
