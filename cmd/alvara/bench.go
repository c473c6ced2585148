package main

import (
	"context"
	"encoding/json"

	"github.com/alvara-ml/alvara/bench"
	"github.com/alvara-ml/alvara/cli"
)

// quickScale is what sizes are divided by for a first look.
const quickScale = 10

// measure runs benchmarks with this program as server and as client.
func measure(ctx context.Context, options cli.BenchOptions) error {
	want := bench.Options{IDs: options.IDs, Log: options.Log}
	if options.Quick {
		want.Scale = quickScale
	}
	found, err := bench.Run(ctx, want)
	if err != nil {
		return err
	}
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return options.Result(text)
}
