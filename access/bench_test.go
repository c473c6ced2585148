package access_test

import (
	"syscall"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/accessbench"
)

const benchSeed = 20250401

var lastWorld struct {
	size  accessbench.Size
	world *accessbench.World
}

// build keeps the last world, because a benchmark function runs several times and a large world takes seconds.
func build(size accessbench.Size) *accessbench.World {
	if lastWorld.world == nil || lastWorld.size != size {
		lastWorld.world, lastWorld.size = nil, size
		lastWorld.world = accessbench.Build(benchSeed, size)
	}
	return lastWorld.world
}

// measure restarts the benchmark's timer and gives a function that reports the processor time of each operation beside
// the elapsed time, which other programs on the machine lengthen.
func measure(b *testing.B) (report func()) {
	used := func() int64 {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return usage.Utime.Nano() + usage.Stime.Nano()
	}
	b.ResetTimer()
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkCan is P1: one check, half of them allowed, on the catalogue's spelling of the action. Beside each stands the
// limit that it is compared with, a bare operation → role bitset probe on the same requests.
func BenchmarkCan(b *testing.B) {
	groups := accessbench.P1
	groups.Groups = 5
	many := accessbench.P1Million
	many.Principals = 100_000
	for _, c := range []struct {
		name string
		size accessbench.Size
	}{{"10k", accessbench.P1}, {"10k/five groups", groups}, {"1M/1k principals", accessbench.P1Million}, {"1M/100k principals", many}} {
		b.Run(c.name+"/limit", func(b *testing.B) {
			world := build(c.size)
			mask := len(world.Requests) - 1
			defer measure(b)()
			for i := range b.N {
				world.Limit.Probe(&world.Requests[i&mask])
			}
		})
		b.Run(c.name+"/can", func(b *testing.B) {
			world := build(c.size)
			mask := len(world.Requests) - 1
			b.ReportAllocs()
			defer measure(b)()
			allowed := 0
			for i := range b.N {
				if world.Live.Snapshot().Can(world.Requests[i&mask]).Allowed {
					allowed++
				}
			}
			b.ReportMetric(float64(allowed)/float64(b.N), "allowed/op")
		})
	}
}

// BenchmarkApply is one write: an assignment put and taken away again, and a role replaced.
func BenchmarkApply(b *testing.B) {
	one := accessbench.Size{Assignments: 200_000, Principals: 1, CustomRoles: 200}
	for _, c := range []struct {
		name string
		size accessbench.Size
	}{{"10k", accessbench.P1}, {"1M", accessbench.P1Million}, {"200k on one principal", one}} {
		size := c.size
		size.Requests = 2
		world := build(size)
		snapshot := world.Live.Snapshot()
		scope := world.Requests[0].Scope
		assignment := access.Assignment{
			ID:     scope.Extension("Microsoft.Authorization/roleAssignments", "11111111-2222-3333-4444-555555555555"),
			RoleID: access.RoleReader, PrincipalID: world.Requests[0].PrincipalID, Scope: scope,
		}
		b.Run(c.name+"/assignment", func(b *testing.B) {
			b.ReportAllocs()
			defer measure(b)()
			for i := range b.N {
				if i&1 == 0 {
					world.Live.Apply(access.PutAssignment{Assignment: assignment})
				} else {
					world.Live.Apply(access.DeleteAssignment{ID: assignment.ID})
				}
			}
		})
		b.Run(c.name+"/role", func(b *testing.B) {
			role := snapshot.Role(access.RoleReader)
			defer measure(b)()
			for range b.N {
				world.Live.Apply(access.PutRole{Role: role})
			}
		})
	}
}

// BenchmarkStart is what a server pays before its first check.
func BenchmarkStart(b *testing.B) {
	for range b.N {
		access.NewLive(access.Catalogue(), access.BuiltIn()...)
	}
}
