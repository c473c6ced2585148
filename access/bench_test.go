package access_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/accessbench"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/resource"
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

// BenchmarkCondition is what conditions add to a check (P1): the same grant without a condition, with one that holds, with
// one that does not, and with one that does not speak of the action.
func BenchmarkCondition(b *testing.B) {
	const read = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	const text = "((!(ActionMatches{'" + read + "'} AND NOT SubOperationMatches{'Blob.List'})) OR (" +
		"@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'reports' AND " +
		"@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path] StringLike 'team/*/public/*'))"
	parsed, err := condition.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	scope := resource.MustParseID("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st")
	request := access.Request{PrincipalID: "p", Action: read, Data: true, Now: time.Now(),
		Scope: scope.Child("blobServices/default/containers", "reports"),
		Attributes: condition.Attributes{{Attribute: condition.AccountName, Text: "st"}, {Attribute: condition.ContainerName, Text: "reports"},
			{Attribute: condition.BlobPath, Text: "team/one/public/of/2026.parquet"}}}
	for _, c := range []struct {
		name, path, action string
		condition          *condition.Condition
		allowed            bool
	}{
		{"none", "team/one/public/of/2026.parquet", read, nil, true}, {"holds", "team/one/public/of/2026.parquet", read, parsed, true},
		{"does not hold", "team/one/private/of/2026.parquet", read, parsed, false},
		{"another action", "team/one/private/of/2026.parquet", strings.TrimSuffix(read, "read") + "delete", parsed, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
			live.Apply(access.PutAssignment{Assignment: access.Assignment{ID: scope.Extension("Microsoft.Authorization/roleAssignments", "a"),
				RoleID: access.RoleStorageBlobDataContributor, PrincipalID: "p", Scope: scope, Condition: c.condition}})
			r := request
			r.Action, r.Attributes = c.action, slices.Clone(request.Attributes)
			r.Attributes[2].Text = c.path
			if live.Snapshot().Can(r).Allowed != c.allowed {
				b.Fatal("decided otherwise")
			}
			b.ReportAllocs()
			defer measure(b)()
			for range b.N {
				live.Snapshot().Can(r)
			}
		})
	}
}

// TestConditionsDoNotAllocate: a check with a condition allocates no more than one without.
func TestConditionsDoNotAllocate(t *testing.T) {
	parsed, err := condition.Parse("@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] ForAnyOfAnyValues:StringLikeIgnoreCase {'a*', 'b*'} AND @Environment[UtcNow] DateTimeGreaterThan '2026-01-01T00:00:00Z'")
	if err != nil {
		t.Fatal(err)
	}
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	live.Apply(access.PutAssignment{Assignment: access.Assignment{ID: resource.Root.Extension("Microsoft.Authorization/roleAssignments", "a"),
		RoleID: access.RoleReader, PrincipalID: "p", Condition: parsed}})
	r := access.Request{PrincipalID: "p", Action: "Microsoft.Storage/storageAccounts/read", Now: time.Now(),
		Attributes: condition.Attributes{{Attribute: condition.ContainerName, Text: "Bees"}}}
	if !live.Snapshot().Can(r).Allowed {
		t.Fatal("the condition holds")
	}
	if n := testing.AllocsPerRun(100, func() { live.Snapshot().Can(r) }); n != 0 {
		t.Errorf("%v allocations", n)
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
