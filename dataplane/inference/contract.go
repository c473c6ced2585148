// Package inference is the gateway of online endpoints: it finds out who calls, asks whether that one may score, chooses a deployment by
// the endpoint's traffic, and passes the request on to an instance. It owns the wire and the pipeline; what an endpoint is, is the
// catalog's affair, and which instance serves that of package serving.
//
// An endpoint lies at https://ENDPOINT.inference.DOMAIN/ where the server has a domain, and at https://HOST:PORT/ENDPOINT/ otherwise. The
// path score below it is what the environment's scoringRoute says; every other path is passed on as it is.
package inference

import (
	"context"
	"log/slog"
	"time"

	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
)

// AuthMode is how callers of an endpoint say who they are.
type AuthMode string

// The modes, as the endpoint's resource has them.
const (
	Entra AuthMode = "AADToken" // a token of the directory
	Token AuthMode = "AMLToken" // a token of the endpoint, which Tokens makes
	Key   AuthMode = "Key"      // one of two keys
)

// Endpoint is an endpoint as this plane needs it. It is shared and must not be changed.
type Endpoint struct {
	ID       resource.ID
	AuthMode AuthMode
	// Traffic are the deployments with a share, in the order of their names; the shares add up to a hundred.
	Traffic []Share
	// Deployments are the ids of all of them, by their names in lower case.
	Deployments map[string]resource.ID
	// Keys are the keys that open the endpoint, where AuthMode is Key.
	Keys func() ([]string, error)
}

// Share is the share of a deployment in percent.
type Share struct {
	Deployment string // its name in lower case
	Percent    int
}

// Catalog finds endpoints by name. It may be called concurrently and checks no rights.
type Catalog interface {
	// Endpoint finds an endpoint; an absent one gives NotFound.
	Endpoint(ctx context.Context, name string) (*Endpoint, error)
}

// Backends gives requests their places at instances. Package serving has them.
type Backends interface {
	// Acquire gives a place at an instance of a deployment, whose key is its id's. Errors: Unavailable, TooManyRequests.
	Acquire(ctx context.Context, key string) (*serving.Lease, error)
}

// Guard decides and records.
type Guard interface {
	Check(ctx context.Context, request guard.Request) error
}

// Authenticator turns a bearer token into a principal.
type Authenticator interface {
	Authenticate(ctx context.Context, token, resourceName string) (identity.Principal, error)
}

// KeyUse is the use of an endpoint's key, where no role decides.
type KeyUse struct {
	Endpoint          resource.ID
	Path              string
	Allowed           bool
	RequestID, Client string
}

// Server answers the plane's requests. All fields are set before the first request.
type Server struct {
	Domain        string // "" where endpoints have no host names
	Authority     string // where a caller without a token is sent
	Catalog       Catalog
	Backends      Backends
	Guard         Guard
	Authenticator Authenticator
	Tokens        *Tokens
	Lookup        func(objectID string) (identity.Principal, bool) // of those who may sign in
	// KeyUsed records the use of a key. What cannot be recorded is not allowed.
	KeyUsed func(ctx context.Context, use KeyUse) error
	// Choose gives a number from 0 to below n, each as often as the others.
	Choose func(n int) int
	Clock  func() time.Time
	Log    *slog.Logger
}

const (
	// The names under which tokens for this plane are verified: https://ml.azure.com, or the resource manager.
	mlAudience      = "features"
	managementPlane = "resourceManager"

	// ScoreAction is the permission that calling an endpoint needs, on the endpoint.
	ScoreAction = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"

	// deploymentHeader names a deployment that is to answer, whatever its share.
	deploymentHeader = "azureml-model-deployment"

	// maxBody is the most that a request may bring, in bytes.
	maxBody = 100 << 20
)
