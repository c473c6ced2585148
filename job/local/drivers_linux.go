package local

import (
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/process"
	"github.com/alvara-ml/alvara/job/sandboxed"
	"github.com/alvara-ml/alvara/resource"
)

// The kinds of drivers.
const (
	Sandbox = sandboxed.Level
	Process = process.Level
)

func driverOf(kind string) (job.Driver, error) {
	switch kind {
	case Sandbox:
		return sandboxed.Driver{}, nil
	case Process:
		return process.Driver{}, nil
	}
	return nil, resource.Invalidf("InvalidBackend", "The backend %q must be %s or %s.", kind, Sandbox, Process).At("Kind")
}

// ownProgram is this program, also when its file was replaced meanwhile.
func ownProgram() (string, error) { return "/proc/self/exe", nil }
