// Package containerregistry provides the Microsoft.ContainerRegistry namespace: container registries, the passwords of
// their admin users, their usage, the catalog by which the registry plane finds them, and runs: image builds as durable
// jobs that act as managed identities. What registries hold is the registry plane's; how an image is built is package
// image's.
package containerregistry

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const (
	namespace                  = "Microsoft.ContainerRegistry"
	registryType resource.Type = namespace + "/registries"
)

var apiVersions = []string{"2025-04-01", "2023-07-01", "2019-06-01-preview", "2019-05-01"}

// Deps is what the namespace works with. A registry's key names one incarnation: one that is deleted and made again has
// another.
type Deps struct {
	Sealer identity.Sealer
	// LoginServer gives host[:port] of a registry as clients write it. The name is in lower case; the port is 0 where
	// registries have host names.
	LoginServer func(name string, port int) string
	// Port finds a free port for a new registry, or gives 0 where registries have host names. The provider gives no port to
	// two registries, and keeps it for as long as the registry is there.
	Port func(ctx context.Context) (int, error)
	// Usage is what a registry holds, in bytes.
	Usage func(ctx context.Context, key string) (int64, error)
	// Drop forgets everything that a registry held. It may be called more than once.
	Drop func(ctx context.Context, key string) error
}

// Types gives the namespace's resource types.
func (d Deps) Types() []arm.Type { return []arm.Type{d.Registries()} }
