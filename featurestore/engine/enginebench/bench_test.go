package enginebench_test

import (
	"context"
	"os"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/engine/enginebench"
)

func TestMain(m *testing.M) {
	if duckdb.IsCompute(os.Args) {
		os.Exit(duckdb.ComputeMain(os.Stdin, os.Stdout))
	}
	if enginebench.IsRaw(os.Args) {
		os.Exit(enginebench.RawMain(os.Args))
	}
	os.Exit(m.Run())
}

// The benchmarks run from end to end. ALVARA_BENCH=quick, wide or full measures at that size and prints.
func TestBench(t *testing.T) {
	size := enginebench.Size{Events: 20_000, Entities: 2_000, Observations: 2_000, Features: 3}
	b := enginebench.Bench{Engine: &duckdb.Engine{}, Dir: t.TempDir(), Rounds: 1}
	switch os.Getenv("ALVARA_BENCH") {
	case "quick":
		size, b.Rounds = enginebench.Quick, 5
	case "wide":
		size, b.Rounds = enginebench.Wide, 1
	case "full":
		size, b.Rounds = enginebench.Full, 3
	}
	if os.Getenv("ALVARA_BENCH_MEMORY") != "" {
		b.Memory = 256 << 20
	}
	for _, run := range []func(context.Context, enginebench.Size) (enginebench.Result, error){b.Join, b.Aggregate} {
		result, err := run(context.Background(), size)
		if err != nil {
			t.Fatal(err)
		}
		if result.Ours.CPU <= 0 || result.Raw.CPU <= 0 {
			t.Errorf("%s measured nothing: %+v", result.Name, result)
		}
		t.Logf("%s: ratio %.2f, ours %+v, raw %+v", result.Name, result.Ratio(), result.Ours, result.Raw)
	}
}
