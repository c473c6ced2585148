// Package duckdb computes features with DuckDB, in a process of its own.
//
// An Engine starts the program's own binary again for every operation, hands it one request and reads one answer. That
// compute process has no token, no environment and no network; it can read the input files, write one folder, and ends with
// its parent, at its time limit, or when the caller's context does. What runs there is ComputeMain. Inside, a feature set's SQL is parsed
// and held to the table `source` before it runs, in a database whose access to files and settings is shut by then.
//
// The walls, from the outside in: namespaces, resource limits, Landlock and a system call filter (isolate_linux.go), DuckDB's
// own locks (compute.go), the tree check (sqlcheck.go). Each is used where the machine offers it and reported in engine.Usage.
//
// The package owns the SQL that it generates and the processes. It leaves to its callers where files come from and go.
package duckdb

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// ComputeArgument is the hidden argument by which a program knows that it is to be a compute process.
const ComputeArgument = "__compute"

// IsCompute tells whether a program was started to be a compute process. A main (and the TestMain of a package that
// uses an Engine) begins with: if duckdb.IsCompute(os.Args) { os.Exit(duckdb.ComputeMain(os.Stdin, os.Stdout)) }.
func IsCompute(args []string) bool { return len(args) == 2 && args[1] == ComputeArgument }

// Engine is an engine.Engine. The zero value works in a program that honours IsCompute.
type Engine struct {
	Command  []string      // starts a compute process; nil is this program with ComputeArgument
	Defaults engine.Limits // for limits that a request leaves at zero; its own zeros are 1 GiB, 32 GiB, 1 h, every processor
	Logger   *slog.Logger  // nil: silent
}

var _ engine.Engine = (*Engine)(nil)

func (e *Engine) limits(asked engine.Limits) engine.Limits {
	pick := func(values ...int64) int64 {
		for _, v := range values {
			if v > 0 {
				return v
			}
		}
		return 0
	}
	return engine.Limits{
		Memory:  pick(asked.Memory, e.Defaults.Memory, 1<<30),
		Scratch: pick(asked.Scratch, e.Defaults.Scratch, 32<<30),
		Time:    time.Duration(pick(int64(asked.Time), int64(e.Defaults.Time), int64(time.Hour))),
		Threads: int(pick(int64(asked.Threads), int64(e.Defaults.Threads), int64(runtime.NumCPU()))),
	}
}

// Transform implements engine.Engine.
func (e *Engine) Transform(ctx context.Context, t engine.Transform) (engine.TransformResult, error) {
	if err := engine.CheckTransform(t); err != nil {
		return engine.TransformResult{}, err
	}
	if len(t.Sources) == 0 {
		if t.SQL != "" {
			if err := e.CheckSQL(ctx, t.SQL); err != nil {
				return engine.TransformResult{}, err
			}
		}
		return engine.TransformResult{}, nil
	}
	var result engine.TransformResult
	usage, err := e.run(ctx, call{
		op: opTransform, body: t, limits: t.Limits, reads: t.Sources, scratch: t.Scratch,
		keep: func(out string, answer json.RawMessage) error {
			if err := json.Unmarshal(answer, &result); err != nil {
				return err
			}
			return adoptFiles(out, t.OutputDir, result.Files)
		},
	})
	result.Usage = usage
	return result, err
}

// Join implements engine.Engine.
func (e *Engine) Join(ctx context.Context, j engine.Join) (engine.JoinResult, error) {
	if err := engine.CheckJoin(j); err != nil {
		return engine.JoinResult{}, err
	}
	reads := append([]string(nil), j.Observations...)
	for _, set := range j.Sets {
		reads = append(reads, set.Files...)
	}
	var result engine.JoinResult
	usage, err := e.run(ctx, call{
		op: opJoin, body: j, limits: j.Limits, reads: reads, scratch: j.Scratch,
		keep: func(out string, answer json.RawMessage) error {
			if err := json.Unmarshal(answer, &result); err != nil {
				return err
			}
			return adoptOutput(out, j.Output)
		},
	})
	result.Usage = usage
	return result, err
}

// Latest implements engine.Engine.
func (e *Engine) Latest(ctx context.Context, l engine.Latest) (engine.TransformResult, error) {
	var result engine.TransformResult
	if len(l.Index) == 0 {
		return result, resource.Invalidf(engine.CodeRequest, "index: at least one index column is needed.")
	}
	if len(l.Files) == 0 {
		return result, nil
	}
	usage, err := e.run(ctx, call{
		op: opLatest, body: l, limits: l.Limits, reads: l.Files, scratch: l.Scratch,
		keep: func(out string, answer json.RawMessage) error {
			if err := json.Unmarshal(answer, &result); err != nil {
				return err
			}
			return adoptFiles(out, l.OutputDir, result.Files)
		},
	})
	result.Usage = usage
	return result, err
}

// Inspect implements engine.Engine.
func (e *Engine) Inspect(ctx context.Context, i engine.Inspect) (engine.InspectResult, error) {
	var result engine.InspectResult
	if len(i.Files) == 0 {
		return result, resource.Invalidf(engine.CodeSource, "There are no files to inspect.")
	}
	if err := engine.CheckFormat("format", i.Format); err != nil {
		return result, err
	}
	usage, err := e.run(ctx, call{
		op: opInspect, body: i, limits: i.Limits, reads: i.Files, scratch: i.Scratch,
		keep: func(_ string, answer json.RawMessage) error { return json.Unmarshal(answer, &result) },
	})
	result.Usage = usage
	return result, err
}

// CheckSQL implements engine.Engine. The text is parsed in a compute process, where a parser that falls over harms nobody.
func (e *Engine) CheckSQL(ctx context.Context, sql string) error {
	_, err := e.run(ctx, call{
		op: opCheck, body: sql, limits: engine.Limits{Memory: 256 << 20, Scratch: 1 << 20, Time: 10 * time.Second, Threads: 1},
	})
	return err
}
