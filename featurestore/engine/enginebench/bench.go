// Package enginebench measures an engine against the same work written as plain DuckDB SQL: the point-in-time join (P4) and the
// window aggregation (P5's compute). It generates the data, runs both sides in turns, each in a process of its own, and gives
// medians. Printing and comparing with targets belong to its callers.
package enginebench

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver of the plain side

	"github.com/alvara-ml/alvara/featurestore/engine"
)

// RawArgument is the hidden argument by which a program runs the plain side: the program, RawArgument, threads, SQL.
const RawArgument = "__raw"

// IsRaw tells whether a program was started to be the plain side. Its main then calls RawMain.
func IsRaw(args []string) bool { return len(args) == 4 && args[1] == RawArgument }

// RawMain runs one statement in a database in memory with DuckDB's defaults, and gives the exit code.
func RawMain(args []string) int {
	db, err := sql.Open("duckdb", "")
	if err == nil {
		defer db.Close()
		db.SetMaxOpenConns(1)
		if _, err = db.Exec("SET threads = " + args[2]); err == nil {
			_, err = db.Exec(args[3])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Size says how much data there is. Full is P4's size.
type Size struct{ Events, Entities, Observations, Features int }

// Full and Quick are the sizes of a whole and of a first look; Wide is few rows of very many features.
var (
	Wide  = Size{Events: 34_000, Entities: 17_000, Observations: 17_000, Features: 1000}
	Full  = Size{Events: 10_000_000, Entities: 1_000_000, Observations: 1_000_000, Features: 10}
	Quick = Size{Events: 1_000_000, Entities: 100_000, Observations: 100_000, Features: 10}
)

// Cost is what one side needed: medians over the rounds.
type Cost struct {
	Wall, CPU time.Duration
	Peak      int64 // resident bytes
}

// Result compares the two sides of one benchmark.
type Result struct {
	Name      string
	Size      Size
	Ours, Raw Cost
}

// Ratio is ours divided by the plain side's CPU time.
func (r Result) Ratio() float64 { return r.Ours.CPU.Seconds() / r.Raw.CPU.Seconds() }

// Bench runs benchmarks in Dir, which needs a few gigabytes for the full size.
type Bench struct {
	Engine  engine.Engine
	Dir     string
	Command []string // starts the plain side; nil is this program with RawArgument
	Rounds  int      // of each side; 0 means 5
	Threads int      // 0 means 2
	Memory  int64    // limit of our side; 0 is the engine's default
}

func (b Bench) threads() int {
	if b.Threads == 0 {
		return 2
	}
	return b.Threads
}

func (b Bench) path(name string, size Size) string {
	return filepath.Join(b.Dir, fmt.Sprintf("%s-%d-%d-%d-%d.parquet", name, size.Events, size.Entities, size.Observations, size.Features))
}

// Generate writes the events and observations of a size, unless they are there: 90 days from 2024-01-01, seeded by hashing.
func (b Bench) Generate(ctx context.Context, size Size) (events, observations string, err error) {
	events, observations = b.path("events", size), b.path("observations", size)
	features := ""
	for i := range size.Features {
		features += fmt.Sprintf(", (hash(i * 31 + %d) %% 1000000) / 1000.0::DOUBLE AS f%d", i, i)
	}
	const when = "TIMESTAMP '2024-01-01' + to_microseconds((hash(i + %d) %% 7776000000)::BIGINT * 1000) AS ts"
	statements := map[string]string{
		events: fmt.Sprintf("SELECT (hash(i * 7 + 1) %% %d)::BIGINT AS k, "+when+"%s FROM range(%d) t(i)", size.Entities, 0, features, size.Events),
		observations: fmt.Sprintf("SELECT (hash(i * 13 + 5) %% %d)::BIGINT AS k, "+when+", i AS n, hash(i) %% 2 = 0 AS label FROM range(%d) t(i)",
			size.Entities, 77, size.Observations),
	}
	for path, query := range statements {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if _, err := b.raw(ctx, fmt.Sprintf("COPY (%s) TO '%s.part' (FORMAT parquet, ROW_GROUP_SIZE %d)", query, path, min(122_880, 122_880*64/size.Features))); err != nil {
			return "", "", err
		}
		if err := os.Rename(path+".part", path); err != nil {
			return "", "", err
		}
	}
	return events, observations, nil
}

// Join is P4: point-in-time retrieval, parquet to parquet, delay 1 h, lookback 30 d, against the hash and maximum form in plain SQL,
// which neither keeps the observations' order nor chooses among ties.
func (b Bench) Join(ctx context.Context, size Size) (Result, error) {
	events, observations, err := b.Generate(ctx, size)
	if err != nil {
		return Result{}, err
	}
	lookback := 30 * 24 * time.Hour
	set := engine.JoinSet{Name: "events", Version: "1", Files: []string{events}, Index: []engine.Column{{Name: "k", Type: engine.Long}},
		TimestampColumn: "ts", Delay: time.Hour, Lookback: &lookback}
	for i := range size.Features {
		set.Features = append(set.Features, engine.Column{Name: fmt.Sprintf("f%d", i), Type: engine.Double})
	}
	out := filepath.Join(b.Dir, "joined.parquet")
	plain := fmt.Sprintf(`COPY (WITH o AS (SELECT *, row_number() OVER () AS r FROM '%[1]s'),
m AS (SELECT o.r, max(e.ts) AS ts FROM o JOIN '%[2]s' e ON o.k = e.k AND e.ts BETWEEN o.ts - INTERVAL 30 DAY AND o.ts - INTERVAL 1 HOUR GROUP BY 1)
SELECT o.* EXCLUDE (r), e.* EXCLUDE (k, ts) FROM o LEFT JOIN m ON o.r = m.r LEFT JOIN '%[2]s' e ON e.k = o.k AND e.ts = m.ts) TO '%[3]s' (FORMAT parquet)`,
		observations, events, out)
	return b.compare(ctx, "P4 point-in-time join", size, plain, out, func() (engine.Usage, error) {
		result, err := b.Engine.Join(ctx, engine.Join{
			Observations: []string{observations}, ObservationFormat: engine.Parquet, TimestampColumn: "ts", Sets: []engine.JoinSet{set},
			Output: out, OutputFormat: engine.Parquet, Scratch: b.Dir, Limits: engine.Limits{Threads: b.threads(), Memory: b.Memory},
		})
		return result.Usage, err
	})
}

// Aggregate is P5's compute: count, sum and average over 3 and 7 days per entity.
func (b Bench) Aggregate(ctx context.Context, size Size) (Result, error) {
	events, _, err := b.Generate(ctx, size)
	if err != nil {
		return Result{}, err
	}
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	request := engine.Transform{
		Sources: []string{events}, Format: engine.Parquet, TimestampColumn: "ts", Index: []engine.Column{{Name: "k", Type: engine.Long}},
		Start: start, End: start.AddDate(0, 0, 90), Scratch: b.Dir, Limits: engine.Limits{Threads: b.threads(), Memory: b.Memory},
	}
	list, windows := "", ""
	for _, days := range []int{3, 7} {
		for _, function := range []string{"count", "sum", "avg"} {
			feature, kind := fmt.Sprintf("%s%d", function, days), engine.Double
			if function == "count" {
				kind = engine.Long
			}
			request.Features = append(request.Features, engine.Column{Name: feature, Type: kind})
			request.Aggregations = append(request.Aggregations, engine.Aggregation{Feature: feature, Func: function, Column: "f0", Window: time.Duration(days) * 24 * time.Hour})
			list += fmt.Sprintf(", %s(f0) OVER w%d AS %s", function, days, feature)
		}
		if windows != "" {
			windows += ", "
		}
		windows += fmt.Sprintf("w%[1]d AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL %[1]d DAY PRECEDING AND CURRENT ROW)", days)
	}
	out := filepath.Join(b.Dir, "aggregated")
	plain := fmt.Sprintf("COPY (SELECT k, ts%s FROM '%s' WINDOW %s) TO '%s' (FORMAT parquet)", list, events, windows, out)
	return b.compare(ctx, "P5 window aggregation", size, plain, out, func() (engine.Usage, error) {
		if err := os.Mkdir(out, 0o700); err != nil {
			return engine.Usage{}, err
		}
		request.OutputDir = out
		result, err := b.Engine.Transform(ctx, request)
		return result.Usage, err
	})
}

// compare runs plain and ours in turns and removes what they write.
func (b Bench) compare(ctx context.Context, name string, size Size, plain, out string, ours func() (engine.Usage, error)) (Result, error) {
	result := Result{Name: name, Size: size}
	var a, z []Cost
	rounds := b.Rounds
	if rounds == 0 {
		rounds = 5
	}
	for range rounds {
		cost, err := b.raw(ctx, plain)
		if err = firstError(err, os.RemoveAll(out)); err != nil {
			return result, fmt.Errorf("%s, plain: %w", name, err)
		}
		a = append(a, cost)
		usage, err := ours()
		if err = firstError(err, os.RemoveAll(out)); err != nil {
			return result, fmt.Errorf("%s: %w", name, err)
		}
		z = append(z, Cost{Wall: usage.Wall, CPU: usage.CPU, Peak: usage.PeakMemory})
	}
	result.Raw, result.Ours = median(a), median(z)
	return result, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b Bench) raw(ctx context.Context, statement string) (Cost, error) {
	command := b.Command
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return Cost{}, err
		}
		command = []string{self, RawArgument}
	}
	args := append(slices.Clone(command[1:]), fmt.Sprint(b.threads()), statement)
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Dir = b.Dir // where DuckDB spills to
	began := time.Now()
	if output, err := cmd.CombinedOutput(); err != nil {
		return Cost{}, fmt.Errorf("%w: %s", err, output)
	}
	state := cmd.ProcessState
	return Cost{Wall: time.Since(began), CPU: state.UserTime() + state.SystemTime(), Peak: peakBytes(state)}, nil
}

func median(costs []Cost) Cost {
	middle := func(of func(Cost) int64) int64 {
		values := make([]int64, len(costs))
		for i, c := range costs {
			values[i] = of(c)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return Cost{
		Wall: time.Duration(middle(func(c Cost) int64 { return int64(c.Wall) })),
		CPU:  time.Duration(middle(func(c Cost) int64 { return int64(c.CPU) })),
		Peak: middle(func(c Cost) int64 { return c.Peak }),
	}
}
