package retrieval_test

import (
	"os"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
	"github.com/alvara-ml/alvara/worker"
)

// The test binary is its own compute and worker process, as the program is.
func TestMain(m *testing.M) {
	switch args := os.Args[1:]; {
	case duckdb.IsCompute(os.Args):
		os.Exit(duckdb.ComputeMain(os.Stdin, os.Stdout))
	case len(args) == 2 && args[0] == worker.Argument && args[1] == retrieval.Mode:
		os.Exit(retrieval.WorkerMain(os.Stdin, os.Stdout, &duckdb.Engine{}))
	}
	os.Exit(m.Run())
}
