package main

import (
	"context"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/alvara-ml/alvara/cli"
	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
	"github.com/alvara-ml/alvara/resource"
)

// retrieve computes a retrieval in this process, with the token of whom is signed in.
func retrieve(ctx context.Context, request cli.Retrieval) (cli.Retrieved, error) {
	store, err := resource.ParseID(request.FeatureStore)
	if err != nil {
		return cli.Retrieved{}, err
	}
	scratch, err := os.MkdirTemp("", "alvara-")
	if err != nil {
		return cli.Retrieved{}, err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // scratch
	retriever := &retrieval.Retriever{
		ResourceManager: request.Endpoints.ResourceManager, Blob: request.Endpoints.Blob, Features: request.Endpoints.Features,
		HTTP: request.HTTP, Credential: credential(request.Token), Engine: &duckdb.Engine{}, Scratch: scratch,
		Progress: func(stage string, _, _ int64) { request.Progress(stage) },
	}
	local := map[string]retrieval.LocalSet{}
	for name, files := range request.Local {
		local[name] = retrieval.LocalSet{Files: files}
	}
	result, err := retriever.GetOffline(ctx, retrieval.Request{
		Store: store, Features: request.Features, Observations: request.Observations, TimestampColumn: request.TimestampColumn,
		Output: request.Out, Local: local, Limits: engine.Limits{Memory: request.MemoryLimit},
	})
	return cli.Retrieved{Rows: result.Rows, Columns: result.Columns}, err
}

// credential gives the signed-in principal's tokens to Azure's clients.
type credential func(ctx context.Context, resource string) (cli.AccessToken, error)

// GetToken implements azcore.TokenCredential.
func (c credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	audience := retrieval.ManagementAudience
	if len(options.Scopes) > 0 {
		audience = strings.TrimRight(strings.TrimSuffix(options.Scopes[0], ".default"), "/") + "/"
	}
	token, err := c(ctx, audience)
	return azcore.AccessToken{Token: token.Token, ExpiresOn: token.ExpiresOn}, err
}
