package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine/enginebench"
)

const windowSpec = `source_lookback: {days: 7}
features:
  - {name: count3, type: long}
  - {name: sum3, type: double}
  - {name: avg3, type: double}
  - {name: count7, type: long}
  - {name: sum7, type: double}
  - {name: avg7, type: double}
index_columns:
  - {name: k, type: long}
feature_transformation:
  transformation_expression:
    - {feature: count3, aggregation: count, window: {length: 3, unit: days}}
    - {feature: sum3, aggregation: sum, column: f0, window: {length: 3, unit: days}}
    - {feature: avg3, aggregation: avg, column: f0, window: {length: 3, unit: days}}
    - {feature: count7, aggregation: count, window: {length: 7, unit: days}}
    - {feature: sum7, aggregation: sum, column: f0, window: {length: 7, unit: days}}
    - {feature: avg7, aggregation: avg, column: f0, window: {length: 7, unit: days}}
`

// The windows of materialization: all events of enginebench, and a tenth of them.
const (
	windowStart   = "2024-01-01"
	windowEnd     = "2024-03-31"
	shortStart    = "2024-03-22"
	featuresInSet = 6
)

// materialization is P5: a backfill through the server, offline and online, beside the sum of its parts: the aggregation as
// plain SQL, an append to an Iceberg table, and a load of the newest rows into Pebble.
func (b *run) materialization(ctx context.Context) ([]Measurement, error) {
	f, err := b.featureStore(ctx)
	if err != nil {
		return nil, err
	}
	found, err := f.materialize(ctx)
	return found, errors.Join(err, f.stop())
}

func (f *featureStore) materialize(ctx context.Context) ([]Measurement, error) {
	b := f.b
	bench, err := b.engineBench()
	if err != nil {
		return nil, err
	}
	bench.Rounds = 1
	size := scaled(enginebench.Full, b.Scale)
	events, _, err := bench.Generate(ctx, size)
	if err != nil {
		return nil, err
	}
	if err := f.register(ctx, "windows", events, windowSpec); err != nil {
		return nil, err
	}
	var engineOurs, engineRaw, raws []Cost
	limit, ours, err := turns(b.Rounds, func() (Cost, error) {
		compute, err := bench.Aggregate(ctx, size)
		if err != nil {
			return Cost{}, err
		}
		engineOurs, engineRaw = append(engineOurs, engineCost(compute.Ours)), append(engineRaw, engineCost(compute.Raw))
		rest, err := f.rest(ctx, events, size)
		raws = append(raws, rest)
		return add(engineCost(compute.Raw), rest), err
	}, func() (Cost, error) { return f.materialized(ctx, windowStart) })
	if err != nil {
		return nil, err
	}
	short, err := f.materialized(ctx, shortStart)
	if err != nil {
		return nil, err
	}
	compute, plain, rest := median(engineOurs), median(engineRaw), median(raws)
	text := fmt.Sprintf("%d events of %d entities, %d aggregations over 3 and 7 days, a window of 90 days", size.Events, size.Entities, featuresInSet)
	return []Measurement{
		{
			ID: "P5", Name: "materialization, offline and online", Ratio: ours.CPU / limit.CPU, Target: "CPU ≤ 1.3 × the sum of the parts", Met: ours.CPU <= 1.3*limit.CPU,
			Ours: ours, Limit: limit, Size: fmt.Sprintf("%s; parts: aggregation and COPY %.2f s CPU, append and load %.2f s", text, plain.CPU, rest.CPU),
		},
		{
			ID: "P5", Name: "window aggregation, in the engine alone", Ratio: compute.CPU / plain.CPU, Target: "CPU ≤ 1.3 × plain SQL and COPY", Met: compute.CPU <= 1.3*plain.CPU,
			Ours: compute, Limit: plain, Size: text,
		},
		{
			ID: "P5", Name: "memory of materialization as the window grows", Ratio: ours.Peak / short.Peak, Target: "peak memory of 90 days ≤ 1.5 × that of 9 days",
			Met: ours.Peak <= 1.5*short.Peak, Ours: ours, Limit: short, Size: text + "; the limit is the same materialization with a window of 9 days; server and workers together",
		},
	}, nil
}

// materialized backfills up to the end of the events and charges what the server and its workers used.
func (f *featureStore) materialized(ctx context.Context, start string) (Cost, error) {
	before, err := f.cpu()
	if err != nil {
		return Cost{}, err
	}
	began, peak := time.Now(), f.watch()
	err = f.backfill(ctx, "windows", start, windowEnd)
	cost := Cost{Wall: time.Since(began).Seconds(), Peak: peak()}
	if err != nil {
		return Cost{}, err
	}
	after, err := f.cpu()
	cost.CPU = after - before
	return cost, err
}

// rest is what comes after the aggregation: the append of its file, and the load of the newest row of every entity.
func (f *featureStore) rest(ctx context.Context, events string, size enginebench.Size) (Cost, error) {
	file := filepath.Join(f.b.dir, "append.parquet")
	if _, err := os.Stat(file); err != nil {
		statement := fmt.Sprintf("COPY (SELECT k, ts, 1::BIGINT AS count3, f0 AS sum3, f0 AS avg3, 1::BIGINT AS count7, f0 AS sum7, f0 AS avg7 FROM '%s') TO '%s' (FORMAT parquet)", events, file)
		if _, err := f.b.raw(ctx, statement); err != nil {
			return Cost{}, err
		}
	}
	var cost Cost
	err := f.b.child(ctx, "parts", partsPlan{File: file, Rows: size.Entities}, &cost)
	return cost, err
}
