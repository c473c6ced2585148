package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/alvara-ml/alvara/access/accessbench"
)

// The seed of the worlds, the same as that of the benchmarks of package access.
const accessSeed = 20250401

// checksPerRound makes a cost in seconds the cost of one check in microseconds.
const checksPerRound = 1_000_000

// accessChecks is P1: checks of which half are allowed, beside a bare probe of operation → role bits.
func accessChecks(_ context.Context, e effort) ([]Measurement, error) {
	worlds := []struct {
		name   string
		size   accessbench.Size
		micros float64
	}{
		{"access check, 10,000 assignments", accessbench.P1, 0.3},
		{"access check, 1,000,000 assignments", accessbench.P1Million, 1},
	}
	if e.Scale > 1 {
		worlds = worlds[:1]
		worlds[0].name = fmt.Sprintf("access check, %d assignments", worlds[0].size.Assignments/max(1, e.Scale/10))
		worlds[0].size.Assignments /= max(1, e.Scale/10) // already small at a tenth of everything
	}
	var found []Measurement
	for _, w := range worlds {
		world := accessbench.Build(accessSeed, w.size)
		mask, n := len(world.Requests)-1, max(checksPerRound/e.Scale, len(world.Requests))
		if len(world.Requests)&mask != 0 {
			return nil, fmt.Errorf("the requests are %d, which is no power of two", len(world.Requests))
		}
		allowed, probed := 0, 0
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range world.Requests {
			if world.Live.Snapshot().Can(world.Requests[i]).Allowed {
				allowed++
			}
		}
		runtime.ReadMemStats(&after)
		allocations := float64(after.Mallocs-before.Mallocs) / float64(len(world.Requests))
		if allowed != len(world.Requests)/2 {
			return nil, fmt.Errorf("%d of %d checks are allowed; half were expected", allowed, len(world.Requests))
		}
		limit, ours, err := turns(e.Rounds, func() (Cost, error) {
			return timed(func() error {
				for i := range n {
					if world.Limit.Probe(&world.Requests[i&mask]) {
						probed++
					}
				}
				return nil
			})
		}, func() (Cost, error) {
			return timed(func() error {
				for i := range n {
					if world.Live.Snapshot().Can(world.Requests[i&mask]).Allowed {
						allowed++
					}
				}
				return nil
			})
		})
		if err != nil || probed == 0 {
			return nil, fmt.Errorf("nothing was measured: %w", err)
		}
		micros := ours.CPU / float64(n) * 1e6
		found = append(found, Measurement{
			ID: "P1", Name: w.name, Ratio: ours.CPU / limit.CPU, Target: fmt.Sprintf("CPU ≤ %g µs a check, 0 allocations", w.micros),
			Met: micros <= w.micros && allocations < 0.01, Ours: ours, Limit: limit,
			Size: fmt.Sprintf("%d checks; %d assignments, %d principals, %d custom roles; ours %.3f µs and %.2f allocations a check, limit %.3f µs",
				n, w.size.Assignments, w.size.Principals, w.size.CustomRoles, micros, allocations, limit.CPU/float64(n)*1e6),
		})
	}
	return found, nil
}
