// Package machinelearning provides the Microsoft.MachineLearningServices namespace as resources: workspaces of the kind
// Default and feature stores (workspaces of kind FeatureStore), their datastores, connections, computes,
// environments, entities, feature sets and materialization jobs. It owns what they mean and who may do what; computing features is the affair of package
// featurestore and its engines.
package machinelearning

import (
	"context"
	"io"
	"regexp"
	"slices"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// The types of the namespace.
const (
	workspaceType          resource.Type = "Microsoft.MachineLearningServices/workspaces"
	datastoreType                        = workspaceType + "/datastores"
	connectionType                       = workspaceType + "/connections"
	entityType                           = workspaceType + "/featurestoreEntities"
	entityVersionType                    = entityType + "/versions"
	featureSetType                       = workspaceType + "/featuresets"
	featureSetVersion                    = featureSetType + "/versions"
	featureType                          = featureSetVersion + "/features"
	jobType                              = workspaceType + "/jobs"
	computeType                          = workspaceType + "/computes"
	codeType                             = workspaceType + "/codes"
	codeVersionType                      = codeType + "/versions"
	dataType                             = workspaceType + "/data"
	dataVersionType                      = dataType + "/versions"
	modelType                            = workspaceType + "/models"
	modelVersionType                     = modelType + "/versions"
	environmentType                      = workspaceType + "/environments"
	environmentVersionType               = environmentType + "/versions"
	entityPermissions                    = string(workspaceType) + "/featurestoreentities"
	featureSetPermissions                = string(workspaceType) + "/featuresets"
)

var apiVersions = []string{"2025-06-01", "2024-10-01", "2024-04-01", "2023-10-01"}

// Deps is what the namespace works with.
type Deps struct {
	// Sealer seals what connections keep secret.
	Sealer identity.Sealer
	// Read reads a small file of a storage container as somebody, through the blob plane's door.
	Read func(ctx context.Context, who identity.Principal, account, container, path string) ([]byte, error)
	// List names the files of a storage container below a prefix, as somebody.
	List func(ctx context.Context, who identity.Principal, account, container, prefix string) ([]string, error)
	// Open opens a file of a storage container as somebody, for files of any size, which it gives in bytes. The caller closes it.
	Open func(ctx context.Context, who identity.Principal, account, container, path string) (file io.ReadCloser, size int64, err error)
	// Nodes has the nodes of computes.
	Nodes *NodeScheduler
	// Registries are what builds of environments need of container registries.
	Registries Registries
	// CheckSQL tells whether a transformation's SQL is one SELECT over the table source.
	CheckSQL func(ctx context.Context, sql string) error
	// DropOnline forgets the online rows of a feature set version.
	DropOnline func(ctx context.Context, version resource.ID) error
	// Cancel stops a materialization job that is running here.
	Cancel func(job resource.ID)
	// Log reads a job's log from an offset; the result is what there is now, at most a part of it.
	Log func(ctx context.Context, job resource.ID, offset int64) (text []byte, next int64, err error)
	// Runner carries command jobs out.
	Runner *JobRunner
	// DiscoveryURL is where a workspace's services are told.
	DiscoveryURL string
	EndpointDeps
}

// Registries is what builds of environments need of this server's container registries beyond the resource manager. It may be
// called concurrently.
type Registries interface {
	// Hosts gives the registries by the address, host[:port] in lower case, by which images name them.
	Hosts() map[string]resource.ID
	// Digest pulls the manifest of an image as somebody and gives its digest; reference is a tag or a digest. NotFound when
	// there is none, Forbidden when the one who asks may not pull it.
	Digest(ctx context.Context, who identity.Principal, registry resource.ID, repository, reference string) (string, error)
	// Upload sends the source of a build to the URL that the registry gave for it; size is in bytes.
	Upload(ctx context.Context, url string, source io.Reader, size int64) error
}

// Types declares the namespace.
func (d Deps) Types() []arm.Type {
	return slices.Concat([]arm.Type{
		d.Workspaces(), d.Datastores(), d.Connections(), d.Entities(), d.EntityVersions(),
		d.FeatureSets(), d.FeatureSetVersions(), d.Features(), d.Jobs(), d.Computes(),
		d.Environments(), d.EnvironmentVersions(),
	}, d.Codes(), d.Data(), d.Models(), d.endpointTypes())
}

var (
	assetName    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$`)
	assetVersion = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$`)
)

const (
	assetNameRule    = "1 to 255 letters, digits, '_' or '-', beginning with a letter or digit"
	assetVersionRule = "1 to 255 letters, digits, '.', '_' or '-', beginning with a letter or digit"
)
