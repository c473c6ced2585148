package image

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/alvara-ml/alvara/image/build"
	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// reach finds what the order's identities lack at registries before a command is run, and says all of it in one refusal:
// nobody waits for a long build to hear that its result cannot be pushed. It gives the bases that it found to the build, which asks
// for none of them again.
func reach(ctx context.Context, registries *pull.Registries, plan *dockerfile.Plan, order Order) (build.Source, error) {
	var refusals []error
	refused := func(err error) bool {
		if err != nil && resource.KindOf(err) == resource.Forbidden {
			refusals = append(refusals, err)
			return true
		}
		return false
	}
	images := found{}
	for _, reference := range plan.Images() {
		image, err := registries.Resolve(ctx, reference)
		if err != nil && !refused(err) {
			return nil, err
		}
		images[reference] = image
	}
	asked := map[string]bool{}
	for _, image := range order.Images {
		ref, err := name.NewTag(image, name.StrictValidation)
		if err != nil || !order.Push || asked[ref.Context().Name()] {
			continue // the order was checked
		}
		asked[ref.Context().Name()] = true
		if err := registries.MayPush(ctx, ref); err != nil && !refused(err) {
			return nil, err
		}
	}
	switch len(refusals) {
	case 0:
		return images, nil
	case 1:
		return nil, refusals[0]
	}
	words := make([]string, len(refusals))
	for i, refusal := range refusals {
		words[i] = refusal.Error()
		if known, ok := resource.AsError(refusal); ok {
			words[i] = known.Message
		}
	}
	return nil, resource.Forbiddenf("RegistryDenied", "%s", strings.Join(words, "\n")).Because(refusals[0])
}

// found is all images of a plan, by reference.
type found map[string]*pull.Image

// Resolve implements build.Source.
func (f found) Resolve(_ context.Context, reference string) (*pull.Image, error) {
	return f[reference], nil
}
