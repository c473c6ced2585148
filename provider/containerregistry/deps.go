// Package containerregistry provides the Microsoft.ContainerRegistry namespace: container registries, the passwords of
// their admin users, their usage, the catalog by which the registry plane finds them, and runs: image builds as durable
// jobs that act as managed identities. What registries hold is the registry plane's; how an image is built is package
// image's.
package containerregistry

import (
	"context"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const (
	namespace                  = "Microsoft.ContainerRegistry"
	registryType resource.Type = namespace + "/registries"
	runType                    = registryType + "/runs"
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
	// Drop forgets everything that a registry held: its content, and the sources and logs of its runs. It may be called
	// more than once.
	Drop func(ctx context.Context, key string) error

	// TrustedHosts are registries elsewhere, by host[:port], to which runs may send the tokens of their identities, as they do
	// to this server's own.
	TrustedHosts []string
	// Source makes a place for the context of a build, gives a URL that it can be uploaded to (PUT of one blob) for a while,
	// and the path by which the run names it.
	Source func(ctx context.Context, key string) (uploadURL, path string, err error)
	// ReadSource gives a URL from which an uploaded context can be read for so long. NotFound when nothing was uploaded to
	// the path, or it is no path that Source gave for this registry.
	ReadSource func(ctx context.Context, key, path string, valid time.Duration) (string, error)
	// OpenLog opens the log of a run to append to it, and makes it when there is none.
	OpenLog func(ctx context.Context, key, run string) (Log, error)
	// LogLink gives a URL from which the log of a run can be read for a while. NotFound when there is none.
	LogLink func(ctx context.Context, key, run string) (string, error)
	// ForgetRun forgets the log of a run, and its source. It may be called more than once.
	ForgetRun func(ctx context.Context, key, run, source string) error
	// Cancel stops what a Runner is doing at and below a resource: a run, or all runs of a registry. Nil where nothing runs.
	Cancel func(id resource.ID)
}

// Log is the log of a run. Write may be called concurrently.
type Log interface {
	// Write adds a line. What cannot be written costs the line and not the run.
	Write(line string)
	// Complete says that nothing follows, and how the run ended, as clients that stream the log expect it in the blob's
	// metadata "Complete": successful, failed, canceled, timedout or internalerror. It may be called more than once.
	Complete(outcome string) error
	// Close ends the writing; what was written stays.
	Close() error
}

// Types gives the namespace's resource types.
func (d Deps) Types() []arm.Type { return []arm.Type{d.Registries(), d.Runs()} }
