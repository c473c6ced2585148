package app

import (
	"os"

	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

// Child does what this program was started for by a running server, when it was: to compute features, or to carry out
// materialization and retrieval. A main calls it before anything else and exits with the status.
func Child(args []string) (status int, ours bool) {
	if duckdb.IsCompute(args) {
		return duckdb.ComputeMain(os.Stdin, os.Stdout), true
	}
	return 0, false
}
