// Package features serves feature values: online reads by key, the rows that materialization puts online, and
// point-in-time retrieval through the server. It owns the wire and the pipeline; where rows are kept is the online
// store's affair, what a feature set is the catalog's, and computing is done elsewhere, as the caller.
//
// Paths lie below the plane's address and name the resource in the resource manager's way:
//
//	POST {store}/online                           read features of entities
//	POST {store}/offline                          retrieve point in time for the observations in the body
//	POST {store}/featuresets/{n}/versions/{v}/rows  put rows online
package features

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// Set is a feature set version as this plane needs it.
type Set struct {
	Version   resource.ID    // …/featuresets/{name}/versions/{version}
	Container resource.ID    // of the offline store: who may read the rows there may read them here
	Schema    *online.Schema // of the online table
	Online    bool           // online materialization is enabled
	TTL       time.Duration  // 0 keeps rows for ever
}

// Table is the name of the set's online table.
func (s *Set) Table() string { return s.Version.Key() }

// Catalog finds feature set versions. It may be called concurrently and checks no rights. The result is shared and must
// not be changed.
type Catalog interface {
	// Set finds a version; an absent one gives NotFound.
	Set(ctx context.Context, store resource.ID, name, version string) (*Set, error)
}

// Guard decides and records.
type Guard interface {
	Check(ctx context.Context, request guard.Request) error
}

// Authenticator turns a bearer token into a principal.
type Authenticator interface {
	Authenticate(ctx context.Context, token, resourceName string) (identity.Principal, error)
}

// Retrieval is a point-in-time retrieval through the server. It is run as the caller.
type Retrieval struct {
	Who             identity.Principal
	Store           resource.ID
	Features        []string
	Observations    string // the name of a file in the retrieval's folder
	Format          string // of the observations: parquet or csv
	TimestampColumn string
	TimestampFormat string
	Output          string // the name of the file to write there
	OutputFormat    string // parquet, csv or arrow
	MemoryLimit     int64  // bytes; 0 is the default
}

// Server answers the plane's requests. All fields are set before the first request.
type Server struct {
	Prefix        string // the path that the plane lies below, such as /features
	Catalog       Catalog
	Guard         Guard
	Authenticator Authenticator
	Online        online.Store
	// Begin makes the folder of a retrieval. run carries it out with the files there; end removes the folder.
	Begin      func() (folder string, run func(ctx context.Context, retrieval Retrieval) error, end func() error, err error)
	WriteError func(w http.ResponseWriter, err error, requestID string)
	Clock      func() time.Time
	Log        *slog.Logger

	buffers sync.Pool // of *[]byte, for answers
}

// The names under which tokens for this plane are verified: one for it, or one for the resource manager.
const (
	Audience          = "features"
	managementPlane   = "resourceManager"
	readSet           = "Microsoft.MachineLearningServices/workspaces/featuresets/read"
	actOnSet          = "Microsoft.MachineLearningServices/workspaces/featuresets/action"
	readStore         = "Microsoft.MachineLearningServices/workspaces/featurestores/read"
	readRows          = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	writeRows         = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
	workspaces        = "Microsoft.MachineLearningServices/workspaces"
	featureSetVersion = workspaces + "/featuresets/versions"
)
