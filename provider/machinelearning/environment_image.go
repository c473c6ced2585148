package machinelearning

import (
	"context"
	"encoding/json"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// ImageBuild is how far the image of an environment is.
type ImageBuild struct {
	State    string `json:"state"`              // one of the states below
	Image    string `json:"image,omitempty"`    // as it is pulled: host/repository:tag
	Digest   string `json:"digest,omitempty"`   // of the image, once it is there
	Registry string `json:"registry,omitempty"` // resource id of the workspace's registry
	RunID    string `json:"runId,omitempty"`    // the registry's run that builds it, such as cr1
	Message  string `json:"message,omitempty"`  // why there is no image
}

// The states of an image.
const (
	buildNotNeeded = "NotNeeded" // the image is used as it is
	buildNotBuilt  = "NotBuilt"
	buildQueued    = "Queued"
	buildRunning   = "Running"
	buildSucceeded = "Succeeded"
	buildFailed    = "Failed"
)

// keepBuild writes the latest build down with the environment's version.
func keepBuild(ctx context.Context, call *arm.Call, id resource.ID, made *ImageBuild) error {
	for attempt := 0; ; attempt++ {
		doc, err := call.Manager.Store.Get(ctx, id.Key())
		if err != nil {
			return err
		}
		r := &arm.Resource[EnvironmentVersion]{}
		if err := json.Unmarshal(doc.Body, r); err != nil {
			return err
		}
		r.Properties.ImageBuild = made
		put, err := arm.Document(r)
		if err != nil {
			return err
		}
		put.IfMatch = doc.ETag
		_, err = call.Manager.Store.Apply(ctx, put)
		if resource.KindOf(err) != resource.PreconditionFailed || attempt == 50 {
			return err
		}
	}
}

// buildNow is how far the image of an environment is now: what was written down, with what has become of the run.
func buildNow(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) *ImageBuild {
	p := r.Properties
	switch {
	case p.Build == nil && p.CondaFile == "":
		return &ImageBuild{State: buildNotNeeded, Image: p.Image}
	case p.ImageBuild == nil:
		return &ImageBuild{State: buildNotBuilt}
	case p.ImageBuild.RunID == "":
		return p.ImageBuild
	}
	now := *p.ImageBuild
	id, err := now.run()
	if err != nil {
		return &now
	}
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		now.State, now.Message = buildNotBuilt, "The registry has forgotten the run; build again."
		return &now
	}
	var run struct {
		Properties struct {
			Status  string
			Message string `json:"runErrorMessage"`
			Outputs []struct {
				Digest string
			} `json:"outputImages"`
		}
	}
	if err != nil || json.Unmarshal(doc.Body, &run) != nil {
		return &now
	}
	switch run.Properties.Status {
	case "Queued":
		now.State = buildQueued
	case "Started", "Running":
		now.State = buildRunning
	case "Succeeded":
		now.State = buildSucceeded
		for _, output := range run.Properties.Outputs {
			now.Digest = output.Digest
		}
	default:
		now.State, now.Message = buildFailed, run.Properties.Message
	}
	return &now
}

func (b *ImageBuild) run() (resource.ID, error) {
	registry, err := resource.ParseID(b.Registry)
	if err != nil {
		return resource.Root, err
	}
	return registry.Child("runs", b.RunID), nil
}

// buildLog gives a URL from which the log of the latest build can be read for a while.
func (d Deps) buildLog(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) (any, error) {
	made := r.Properties.ImageBuild
	if made == nil || made.RunID == "" {
		return nil, resource.NotFoundf("BuildNotFound", "%s:%s has no build with a log; begin one with: alvara ml environment build -n %s -v %s", r.ID.Parent().Name(), r.Name, r.ID.Parent().Name(), r.Name)
	}
	b, err := d.newBuilding(ctx, call, r)
	if err != nil {
		return nil, err
	}
	id, err := made.run()
	if err != nil {
		return nil, err
	}
	return call.Manager.Do(ctx, call, b.who, "POST", id.String()+"/listLogSasUrl", nil)
}
