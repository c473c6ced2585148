package sandbox

import (
	"context"
	"os"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // the C part of the first process inside; it has to be linked

	"github.com/alvara-ml/alvara/resource"
)

// DefaultPath is the PATH of a command whose Env has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// IsInit tells that this process is to become the first one inside a sandbox. A main that can run sandboxes asks before
// everything else, with os.Args, and calls Main then.
func IsInit(args []string) bool {
	return len(args) == 2 && args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != ""
}

// Main becomes the first process inside a sandbox. It does not return.
func Main() { libcontainer.Init() }

// Run runs a command and returns when it and all that it started are gone. A command that ran is no error, however it ended: see Exit.
// Errors: Invalid for a spec that cannot be (Target names the field), Conflict for an ID that runs already,
// Unavailable for what the machine lacks, and ctx.Err() when ctx ended first.
// It may be called any number of times at once.
func Run(ctx context.Context, spec Spec) (Exit, error) {
	return Exit{}, resource.Errorf(resource.Unavailable, "SandboxUnavailable", "This machine cannot run commands in a sandbox.")
}
