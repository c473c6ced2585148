package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/engine/enginebench"
)

// engineBench is the bench of the engine, with both sides in processes of this program.
func (b *run) engineBench() (enginebench.Bench, error) {
	dir := filepath.Join(b.dir, "engine")
	return enginebench.Bench{
		Engine: &duckdb.Engine{Command: b.program(duckdb.ComputeArgument)}, Command: b.program(enginebench.RawArgument), Dir: dir, Rounds: b.Rounds,
	}, os.MkdirAll(dir, 0o700)
}

// scaled is a size divided by a number, with enough left to join.
func scaled(size enginebench.Size, by int) enginebench.Size {
	size.Events, size.Entities, size.Observations = max(size.Events/by, 1000), max(size.Entities/by, 100), max(size.Observations/by, 100)
	if by > 10 {
		size.Features = max(size.Features*10/by, 2)
	}
	return size
}

func engineCost(c enginebench.Cost) Cost {
	return Cost{Wall: c.Wall.Seconds(), CPU: c.CPU.Seconds(), Peak: float64(c.Peak) / mebibyte}
}

func sizeText(s enginebench.Size) string {
	return fmt.Sprintf("%d events of %d entities with %d features, %d observations", s.Events, s.Entities, s.Features, s.Observations)
}

// retrieval is P4: point-in-time joins from parquet to parquet beside the same join in plain SQL.
func (b *run) retrieval(ctx context.Context) ([]Measurement, error) {
	bench, err := b.engineBench()
	if err != nil {
		return nil, err
	}
	full, err := bench.Join(ctx, scaled(enginebench.Full, b.Scale))
	if err != nil {
		return nil, err
	}
	b.say("P4 joined, %.2f × the limit; now with 256 MB", full.Ratio())
	small := bench
	small.Memory, small.Rounds = 256<<20, 1
	tight, err := small.Join(ctx, full.Size)
	if err != nil {
		return nil, fmt.Errorf("with 256 MB: %w", err)
	}
	b.say("P4 joined with 256 MB; now very many features")
	wide := bench
	wide.Rounds = 1
	many, err := wide.Join(ctx, scaled(enginebench.Wide, b.Scale))
	if err != nil {
		return nil, fmt.Errorf("with many features: %w", err)
	}
	const gigabyte = 1_000_000_000
	return []Measurement{
		joined("point-in-time retrieval", full, "CPU ≤ 1.15 × plain SQL", sizeText(full.Size), full.Ratio() <= 1.15),
		joined("point-in-time retrieval with 256 MB", tight, "completes; CPU is shown", sizeText(tight.Size)+", memory limit 256 MiB, one round; the limit has no such", true),
		joined("point-in-time retrieval of many features", many, "done in seconds (wall ≤ 60 s) and peak memory ≤ 1 GB", sizeText(many.Size)+", one round",
			many.Ours.Wall <= time.Minute && many.Ours.Peak <= gigabyte),
	}, nil
}

func joined(name string, r enginebench.Result, target, size string, met bool) Measurement {
	return Measurement{ID: "P4", Name: name, Ratio: r.Ratio(), Target: target, Met: met, Ours: engineCost(r.Ours), Limit: engineCost(r.Raw), Size: size}
}
