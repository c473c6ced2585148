package duckdb_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

// The test binary is its own compute process, as the program is.
func TestMain(m *testing.M) {
	if duckdb.IsCompute(os.Args) {
		os.Exit(duckdb.ComputeMain(os.Stdin, os.Stdout))
	}
	if len(os.Args) == 2 && os.Args[1] == "__parent" { // see TestParentKilled
		os.Exit(parentMain())
	}
	os.Exit(m.Run())
}

// parentMain is the test binary as a parent that computes what its standard input asks for.
func parentMain() int {
	var request engine.Transform
	if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
		return 2
	}
	_, err := (&duckdb.Engine{}).Transform(context.Background(), request)
	fmt.Fprintln(os.Stderr, err)
	return 1
}
