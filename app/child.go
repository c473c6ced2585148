package app

import (
	"os"

	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/buildkit"
	"github.com/alvara-ml/alvara/image/sandboxed"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/worker"
)

// Child does what this program was started for by a running server, when it was: to compute features, to carry out
// materialization, retrieval or an image build, to supervise a run, or to be the first process of a sandbox. A main calls it before anything else and exits with the status.
func Child(args []string) (status int, ours bool) {
	if local.IsSupervisor(args) {
		return local.Main(args), true
	}
	if sandbox.IsInit(args) {
		sandbox.Main() // does not return
	}
	if duckdb.IsCompute(args) {
		return duckdb.ComputeMain(os.Stdin, os.Stdout), true
	}
	if len(args) != 3 || args[1] != worker.Argument {
		return 0, false
	}
	switch args[2] {
	case materialize.Mode:
		return materialize.WorkerMain(os.Stdin, os.Stdout, &duckdb.Engine{}), true
	case image.Mode:
		return image.WorkerMain(os.Stdin, os.Stdout, sandboxed.New, buildkit.New), true
	case retrieval.Mode:
		return retrieval.WorkerMain(os.Stdin, os.Stdout, &duckdb.Engine{}), true
	}
	return 0, false
}
