package machinelearning

import (
	"context"
	"reflect"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// reusable finds the steps of a pipeline that repeats another one which need not run again: those that completed there, that are the same as
// they were, and that read nothing of a step which runs again. What they wrote is read from where it is. A step whose job is no more, or
// in whose place somebody put another, runs again.
func (d Deps) reusable(ctx context.Context, change *arm.Change[Job]) (map[string]*stepRun, error) {
	next := change.Next.Properties
	name := next.Properties[retryOf]
	if !jobName.MatchString(name) {
		return nil, nil
	}
	workspace := change.Next.ID.Parent()
	id := workspace.Child("jobs", name)
	if _, err := change.Manager.Do(ctx, change.Call, change.Who, "GET", id.String(), nil); err != nil {
		if resource.KindOf(err) == resource.NotFound {
			err = nil
		}
		return nil, err
	}
	old, err := readJob(ctx, change.Manager.Store, id)
	if err != nil || len(old.Properties.Parts) == 0 || !old.Properties.ended() {
		return nil, err
	}
	same := func(next, old any) bool { return reflect.DeepEqual(asJSON(next), asJSON(old)) }
	was := old.Properties
	if !same(next.Inputs, was.Inputs) || !same(next.Settings, was.Settings) || next.ComputeID != was.ComputeID || !same(next.Identity, was.Identity) {
		return nil, nil
	}
	run, err := readParts(&was)
	if err != nil {
		return nil, err
	}
	sketch, err := cloneJob(change.Next)
	if err != nil {
		return nil, err
	}
	_, steps, err := readPipeline(sketch, nil)
	if err != nil {
		return nil, err
	}
	out := map[string]*stepRun{}
	for _, step := range steps {
		before := run.find(step.Name)
		if before == nil || before.Status != jobCompleted || !same(next.Jobs[step.Name], was.Jobs[step.Name]) {
			continue
		}
		fresh := false
		for _, need := range step.Needs {
			fresh = fresh || out[need] == nil
		}
		kept, err := readJob(ctx, change.Manager.Store, workspace.Child("jobs", before.Job))
		if fresh || resource.KindOf(err) == resource.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if kept.Properties.Status == jobCompleted && run.owns(before, &kept.Properties) {
			before.Key = run.keyOf(before)
			out[step.Name] = before
		}
	}
	return out, nil
}
