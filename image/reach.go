package image

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// reach finds what the order's identities lack at registries before a command is run, and says all of it in one refusal:
// nobody waits for a long build to hear that its result cannot be pushed.
func reach(ctx context.Context, registries *pull.Registries, plan *dockerfile.Plan, order Order) error {
	var refusals []error
	asked := map[string]bool{}
	ask := func(what string, try func() error) error {
		if asked[what] {
			return nil
		}
		asked[what] = true
		err := try()
		if err != nil && resource.KindOf(err) == resource.Forbidden {
			refusals = append(refusals, err)
			return nil
		}
		return err
	}
	for _, image := range bases(plan) {
		if err := ask("pull "+image, func() error {
			_, err := registries.Resolve(ctx, image)
			return err
		}); err != nil {
			return err
		}
	}
	for _, image := range order.Images {
		ref, err := name.NewTag(image, name.StrictValidation)
		if err != nil || !order.Push {
			continue // the order was checked
		}
		if err := ask("push "+ref.Context().Name(), func() error { return registries.MayPush(ctx, ref) }); err != nil {
			return err
		}
	}
	if len(refusals) < 2 {
		return first(refusals)
	}
	words := make([]string, len(refusals))
	for i, refusal := range refusals {
		words[i] = refusal.Error()
		if known, ok := resource.AsError(refusal); ok {
			words[i] = known.Message
		}
	}
	return resource.Forbiddenf("RegistryDenied", "%s", strings.Join(words, "\n")).Because(refusals[0])
}

func first(all []error) error {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// bases are the images that the stages of a plan begin with or copy from, as the Dockerfile writes them.
func bases(plan *dockerfile.Plan) []string {
	var out []string
	for _, stage := range plan.Stages {
		if stage.Base == nil && stage.BaseImage != dockerfile.Scratch {
			out = append(out, stage.BaseImage)
		}
		for _, source := range stage.Sources() {
			if source.Stage == nil && source.Image != "" {
				out = append(out, source.Image)
			}
		}
	}
	return out
}
