package app

import (
	"context"

	"github.com/alvara-ml/alvara/dataplane/features"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/resource"
)

type noRunner struct{}

func (noRunner) Run(context.Context, materialize.Order, func(string)) (materialize.Result, error) {
	return materialize.Result{}, resource.Errorf(resource.Unsupported, "NotWired", "not wired")
}

func (s *Server) runner(scratch string) materialize.Runner { return noRunner{} }

func (s *Server) retrieve(ctx context.Context, r features.Retrieval) error {
	return resource.Errorf(resource.Unsupported, "NotWired", "not wired")
}
