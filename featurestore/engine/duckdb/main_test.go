package duckdb_test

import (
	"os"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

// The test binary is its own compute process, as the program is.
func TestMain(m *testing.M) {
	if duckdb.IsCompute(os.Args) {
		os.Exit(duckdb.ComputeMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}
