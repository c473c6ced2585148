package machinelearning

import (
	"context"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
)

// The types of online endpoints.
const (
	endpointType   resource.Type = workspaceType + "/onlineEndpoints"
	deploymentType               = endpointType + "/deployments"
)

// EndpointDeps is what online endpoints work with.
type EndpointDeps struct {
	// Serving keeps the instances of deployments running.
	Serving Serving
	// EndpointURL is the address of an endpoint, with a slash at its end.
	EndpointURL func(endpoint string) string
	// IssueToken makes a token by which a principal calls an endpoint.
	IssueToken func(endpoint resource.ID, principal string) (token string, expiry time.Time)
	// ClusterPrincipal finds the service principal of a client id.
	ClusterPrincipal func(clientID string) (identity.Principal, bool)
	// Isolation tells what stands between instances and the machine.
	Isolation func() job.Isolation
}

// Serving keeps the instances of deployments running; a deployment's key is its id's. Package serving has it.
type Serving interface {
	// Roll makes a revision serve, and returns when it does, or with the reason why it does not; what served before goes on then.
	Roll(ctx context.Context, key string, next serving.Revision) error
	// Remove ends a deployment with all its instances. An absent one is no error.
	Remove(ctx context.Context, key string) error
	// Status tells how a deployment does; false when there is none.
	Status(key string) (serving.Status, bool)
	// Logs gives the last lines of what there is to tell of a deployment, and of what its instances wrote.
	Logs(ctx context.Context, key string, lines int) (string, error)
}

func (d Deps) endpointTypes() []arm.Type {
	return []arm.Type{d.OnlineEndpoints(), d.OnlineDeployments()}
}
