// Package accessbench builds the worlds in which access checks are measured: many principals with custom roles on scopes
// five levels deep, and requests of which half are allowed. The benchmarks of package access and the bench command build
// the same world from the same seed. It decides nothing itself.
package accessbench

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

// Size is how large a world is.
type Size struct {
	Assignments int
	Principals  int
	CustomRoles int // each with wildcards and NotActions; the built-in roles come on top
	Requests    int // half of them allowed
	Groups      int // groups of each request's principal; groups hold as much as principals do
}

// P1 is the size that the access benchmark is defined on.
var P1 = Size{Assignments: 10_000, Principals: 1_000, CustomRoles: 200, Requests: 16_384}

// P1Million is the same with a million assignments, a thousand on each principal.
var P1Million = Size{Assignments: 1_000_000, Principals: 1_000, CustomRoles: 200, Requests: 16_384}

// World is a compiled state and what it is asked.
type World struct {
	Live     *access.Live
	Requests []access.Request
	Limit    *Limit
}

// Build makes the world of a seed. The same seed and size give the same roles, assignments and requests. Nearly all that
// it allocates stays, so it lets the heap grow further than usual between collections.
func Build(seed uint64, size Size) *World {
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	b := &builder{
		random:     rand.New(rand.NewPCG(seed, 0xA17A4A)),
		operations: access.Catalogue(),
		size:       size,
	}
	b.principals = make([]string, size.Principals)
	for i := range b.principals {
		b.principals[i] = b.guid()
	}
	b.makeScopes()
	b.roles = access.BuiltIn()
	for i := range size.CustomRoles {
		b.roles = append(b.roles, b.customRole(i))
	}
	live := access.NewLive(b.operations, b.roles...)
	changes := make([]access.Change, size.Assignments)
	scopes := make([]*resource.ID, size.Assignments)
	roles := make([]int32, size.Assignments)
	custom := b.roles[len(b.roles)-size.CustomRoles:]
	for i := range changes {
		scope, role := b.scope(), b.random.IntN(len(custom))
		scopes[i], roles[i] = scope, int32(role)
		changes[i] = access.PutAssignment{Assignment: access.Assignment{
			ID:          scope.Extension("Microsoft.Authorization/roleAssignments", b.guid()),
			RoleID:      custom[role].ID,
			PrincipalID: b.principals[i*len(b.principals)/len(changes)],
			Scope:       *scope,
		}}
	}
	snapshot := live.Apply(changes...)
	return &World{Live: live, Requests: b.requests(snapshot, scopes), Limit: newLimit(snapshot, b.operations, custom, b.principals, roles)}
}

// share is the part of a list over all assignments that belongs to one principal of so many.
func share[T any](list []T, principal, principals int) []T {
	first := func(principal int) int { return (principal*len(list) + principals - 1) / principals }
	return list[first(principal):first(principal+1)]
}

type builder struct {
	random     *rand.Rand
	operations []access.Operation
	size       Size
	principals []string
	levels     [5][]resource.ID
	roles      []*access.Role
}

func pick[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }

func (b *builder) guid() string {
	hi, lo := b.random.Uint64(), b.random.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}

// makeScopes makes subscriptions, groups, accounts, services and containers, about one container for every ten
// assignments.
func (b *builder) makeScopes() {
	containers := max(1000, b.size.Assignments/10)
	subscriptions := max(2, containers/2000)
	for i := range containers {
		subscription := i % subscriptions
		if i < subscriptions {
			b.levels[0] = append(b.levels[0], resource.MustParseID("/subscriptions/"+b.guid()))
		}
		if i%50 < 5 || i < subscriptions {
			id := fmt.Sprintf("%s/resourceGroups/group-%d", b.levels[0][subscription], i)
			b.levels[1] = append(b.levels[1], resource.MustParseID(id))
		}
		if i%10 < 4 || i < subscriptions {
			account := pick(b.random, b.levels[1]).Child("Microsoft.Storage/storageAccounts", fmt.Sprintf("account%d", i))
			b.levels[2] = append(b.levels[2], account)
			b.levels[3] = append(b.levels[3], account.Child("blobServices", "default"))
		}
		b.levels[4] = append(b.levels[4], pick(b.random, b.levels[3]).Child("containers", fmt.Sprintf("container-%d", i)))
	}
}

// scope picks a level first, so that assignments stand on all of them, most on the lower ones.
func (b *builder) scope() *resource.ID {
	weights := [...]int{0, 1, 1, 2, 2, 2, 3, 4, 4, 4}
	level := b.levels[pick(b.random, weights[:])]
	return &level[b.random.IntN(len(level))]
}

func (b *builder) customRole(number int) *access.Role {
	permission := access.Permission{}
	for range 2 + b.random.IntN(6) {
		operation := pick(b.random, b.operations)
		text := b.generalize(operation.Name)
		if operation.Data {
			permission.DataActions = append(permission.DataActions, text)
		} else {
			permission.Actions = append(permission.Actions, text)
		}
	}
	permission.Actions = append(permission.Actions, "Microsoft.Storage/storageAccounts/*")
	permission.DataActions = append(permission.DataActions, "Microsoft.Storage/storageAccounts/*/read")
	for range 1 + b.random.IntN(4) {
		operation := pick(b.random, b.operations)
		if operation.Data {
			permission.NotDataActions = append(permission.NotDataActions, operation.Name)
		} else {
			permission.NotActions = append(permission.NotActions, b.generalize(operation.Name))
		}
	}
	return &access.Role{
		ID: b.guid(), Name: fmt.Sprintf("Custom role %d", number), Permissions: []access.Permission{permission},
		AssignableScopes: b.levels[0],
	}
}

// generalize puts a wildcard into an operation's name two times out of three.
func (b *builder) generalize(name string) string {
	segments := strings.Split(name, "/")
	switch b.random.IntN(3) {
	case 0:
		return name
	case 1:
		return strings.Join(segments[:1+b.random.IntN(len(segments)-1)], "/") + "/*"
	default:
		segments[1+b.random.IntN(len(segments)-1)] = "*"
		return strings.Join(segments, "/")
	}
}

// requests asks at the deepest level, or below what the principal holds, until half of the requests are allowed. In a
// world where that cannot be reached, because one principal holds everything, it stops insisting.
// The scopes are those of the assignments, one principal's after another's.
func (b *builder) requests(snapshot *access.Snapshot, scopes []*resource.ID) []access.Request {
	want := b.size.Requests
	requests := make([]access.Request, 0, want)
	allowed, refused := 0, 0
	below := map[string][]resource.ID{}
	for _, container := range b.levels[4] {
		for up := container; !up.IsRoot(); up = up.Parent() {
			below[up.Key()] = append(below[up.Key()], container)
		}
	}
	for tries := 0; len(requests) < want; tries++ {
		operation := pick(b.random, b.operations)
		principal := b.random.IntN(len(b.principals))
		request := access.Request{
			PrincipalID: b.principals[principal], Action: operation.Name, Data: operation.Data,
			Scope: pick(b.random, b.levels[4]),
		}
		for range b.size.Groups {
			request.Groups = append(request.Groups, pick(b.random, b.principals))
		}
		if b.random.IntN(2) == 0 {
			if own := share(scopes, principal, len(b.principals)); len(own) > 0 {
				scope := pick(b.random, own)
				if reach := below[scope.Key()]; len(reach) > 0 {
					request.Scope = pick(b.random, reach)
				}
			}
		}
		count, limit := &refused, want-want/2
		if snapshot.Can(request).Allowed {
			count, limit = &allowed, want/2
		}
		if *count < limit || tries > 1000*want {
			*count++
			requests = append(requests, request)
		}
	}
	return requests
}
