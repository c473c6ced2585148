package bench

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// idleFor is how long a server that was just started stands before its memory is read.
const idleFor = 3 * time.Second

// start is P7: a server from the start of its process to ready, on a folder that it knows and on a new one, and what it
// holds when it is idle with every plane up, beside the same program that prints its version.
func (b *run) start(ctx context.Context) ([]Measurement, error) {
	known := filepath.Join(b.dir, "known")
	s, err := b.serve(ctx, known)
	if err != nil {
		return nil, err
	}
	if err := s.stop(); err != nil {
		return nil, err
	}
	var again, fresh, idle, version []Cost
	var background float64
	for i := range b.Rounds {
		cost, err := b.version(ctx)
		if err != nil {
			return nil, err
		}
		version = append(version, cost)
		for _, folder := range []struct {
			dir  string
			into *[]Cost
		}{{filepath.Join(b.dir, fmt.Sprintf("new-%d", i)), &fresh}, {known, &again}} {
			s, err := b.serve(ctx, folder.dir)
			if err != nil {
				return nil, err
			}
			*folder.into = append(*folder.into, s.ready)
			if folder.dir == known {
				at, used, err := s.idle()
				if err != nil {
					return nil, err
				}
				idle = append(idle, at)
				background = max(background, used)
			}
			if err := s.stop(); err != nil {
				return nil, err
			}
		}
	}
	limit := median(version)
	compare := func(name, target, size string, ours Cost, of func(Cost) float64, most float64) Measurement {
		return Measurement{ID: "P7", Name: name, Ratio: of(ours) / of(limit), Target: target, Met: of(ours) <= most, Ours: ours, Limit: limit, Size: size}
	}
	cpu, memory := func(c Cost) float64 { return c.CPU }, func(c Cost) float64 { return c.Peak }
	return []Measurement{
		compare("start to ready", "CPU ≤ 0.3 s", "a data folder that has been used; limit: the program prints its version", median(again), cpu, 0.3),
		compare("first start to ready", "CPU ≤ 0.3 s", "a new data folder, whose keys are made; limit: the program prints its version", median(fresh), cpu, 0.3),
		compare("idle memory", "resident memory ≤ 100 MB",
			fmt.Sprintf("every plane up, %s after the start, which took at most %.1f %% of a processor; limit: the program prints its version", idleFor, 100*background),
			median(idle), memory, 100e6/mebibyte),
	}, nil
}

// idle lets the server stand and gives what it then holds and which part of a processor it used meanwhile.
func (s *server) idle() (Cost, float64, error) {
	before, err := s.cpu()
	if err != nil {
		return Cost{}, 0, err
	}
	time.Sleep(idleFor)
	after, err := s.cpu()
	if err != nil {
		return Cost{}, 0, err
	}
	resident, err := residentOf(s.cmd.Process.Pid)
	return Cost{Wall: idleFor.Seconds(), CPU: after - before, Peak: float64(resident) / mebibyte}, (after - before) / idleFor.Seconds(), err
}

// version is the least that the program can do.
func (b *run) version(ctx context.Context) (Cost, error) {
	command := b.program("version", "-o", "none")
	return execute(exec.CommandContext(ctx, command[0], command[1:]...))
}

// execute runs a program to its end.
func execute(cmd *exec.Cmd) (Cost, error) {
	began := time.Now()
	if output, err := cmd.CombinedOutput(); err != nil {
		return Cost{}, fmt.Errorf("%v: %w: %s", cmd.Args, err, output)
	}
	cost := Cost{Wall: time.Since(began).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		cost.Peak = float64(usage.Maxrss) * 1024 / mebibyte
	}
	return cost, nil
}
