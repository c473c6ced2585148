package app

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/features"
	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
	"github.com/alvara-ml/alvara/identity"
)

// clientEndpoints are the addresses as clients are told them: with a domain, {account} stands in those of storage for the
// account's name.
func (s *Server) clientEndpoints() Endpoints {
	e := s.Endpoints
	if s.config.Domain != "" {
		blobURL, dfsURL := s.accountEndpoints("{account}")
		e.Blob, e.DFS = strings.TrimSuffix(blobURL, "/"), strings.TrimSuffix(dfsURL, "/")
	}
	return e
}

// blobAddress is the blob plane's address as workers are told it.
func (s *Server) blobAddress() string { return s.clientEndpoints().Blob }

// runner carries materialization out in processes that hold nothing but their identity.
func (s *Server) runner(scratch string) (materialize.Runner, error) {
	process := &materialize.Process{
		Program: s.config.Program, Blob: s.blobAddress(), Features: s.Endpoints.Features, CAFile: s.Endpoints.CAFile,
		Identity: s.Endpoints.Identity, Runs: s.runs, ScratchDir: filepath.Join(scratch, "materialize"), Log: s.config.Log,
	}
	return process, process.Clean()
}

// retrievals carries point-in-time retrieval out for callers, in processes that hold nothing but tokens of the caller.
func (s *Server) retrievals(scratch string) (func() (string, func(context.Context, features.Retrieval) error, func() error, error), error) {
	process := &retrieval.Process{
		Program: s.config.Program, ResourceManager: s.Endpoints.ResourceManager, Blob: s.blobAddress(), CAFile: s.Endpoints.CAFile,
		ScratchDir: filepath.Join(scratch, "retrieve"), Log: s.config.Log,
	}
	return func() (string, func(context.Context, features.Retrieval) error, func() error, error) {
		work, err := process.Begin()
		if err != nil {
			return "", nil, nil, err
		}
		return work.Dir, func(ctx context.Context, r features.Retrieval) error {
			tokens, err := s.tokensFor(ctx, r.Who)
			if err != nil {
				return err
			}
			_, err = work.Run(ctx, retrieval.Request{
				Store: r.Store, Features: r.Features, Observations: r.Observations, Format: r.Format, TimestampColumn: r.TimestampColumn,
				TimestampFormat: r.TimestampFormat, Output: r.Output, OutputFormat: r.OutputFormat, Limits: engine.Limits{Memory: r.MemoryLimit},
			}, tokens, nil)
			return err
		}, work.Close, nil
	}, process.Clean()
}

// tokensFor makes short-lived tokens of the caller of this moment, for the planes that work on its behalf goes through.
func (s *Server) tokensFor(ctx context.Context, who identity.Principal) (retrieval.Tokens, error) {
	tokens := retrieval.Tokens{}
	for _, resource := range s.audiences() {
		if resource.Name != "resourceManager" && resource.Name != blob.Audience {
			continue
		}
		set, err := s.tokens.IssueManaged(ctx, who.ID, resource.Identifiers[0])
		if err != nil {
			return nil, err
		}
		tokens[resource.Identifiers[0]] = set.AccessToken
	}
	return tokens, nil
}
