//go:build unix && !linux

package local

import (
	"os"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/process"
	"github.com/alvara-ml/alvara/resource"
)

// The kinds of drivers. Sandboxes are Linux's alone.
const (
	Sandbox = "sandbox"
	Process = process.Level
)

func driverOf(kind string) (job.Driver, error) {
	switch kind {
	case Sandbox:
		return nil, resource.Errorf(resource.Unavailable, "SandboxUnavailable", "Sandboxes need Linux; use the backend %s, which has no isolation.", Process)
	case Process:
		return process.Driver{}, nil
	}
	return nil, resource.Invalidf("InvalidBackend", "The backend %q must be %s or %s.", kind, Sandbox, Process).At("Kind")
}

func ownProgram() (string, error) { return os.Executable() }
