package access_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

// TestApplyEqualsFreshCompile changes a state step by step and compares it with one compiled at once, and checks that
// snapshots taken on the way still answer as they did.
func TestApplyEqualsFreshCompile(t *testing.T) {
	worlds := 300
	if testing.Short() {
		worlds = 40
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i := range worlds {
		w := newWorld(rand.New(rand.NewPCG(seed, uint64(i))), ordinary)
		n := &naive{operations: uniqueOperations(w.catalogue)}
		live := access.NewLive(n.operations)
		type remembered struct {
			snapshot *access.Snapshot
			request  access.Request
			decision access.Decision
		}
		var old []remembered
		for range 25 {
			changes := make([]access.Change, 1+w.random.IntN(20))
			for c := range changes {
				changes[c] = w.change(n)
			}
			s := live.Apply(changes...)
			r := w.request()
			old = append(old, remembered{s, r, s.Can(r)})
		}
		s := live.Snapshot()
		compareSnapshots(t, w, s, n.live().Snapshot())
		compareListings(t, w, s, n)
		for _, o := range old {
			if again := o.snapshot.Can(o.request); again != o.decision {
				t.Errorf("a published snapshot changed its answer to %+v from %+v to %+v", o.request, o.decision, again)
			}
		}
		if t.Failed() {
			t.Fatalf("world %d", i)
		}
	}
}

// change makes one random change and performs it on the naive state too.
func (w *world) change(n *naive) access.Change {
	switch k := w.random.IntN(20); {
	case k < 2:
		role := w.role(pick(w, w.roleIDs))
		n.roles = slices.DeleteFunc(n.roles, func(r *access.Role) bool { return r.ID == role.ID })
		n.roles = append(n.roles, role)
		return access.PutRole{Role: role}
	case k < 3:
		id := pick(w, w.roleIDs)
		n.roles = slices.DeleteFunc(n.roles, func(r *access.Role) bool { return r.ID == id })
		return access.DeleteRole{ID: strings.ToUpper(id)}
	case k < 8 && len(n.assignments) > 0:
		at := w.random.IntN(len(n.assignments))
		id := n.assignments[at].ID
		n.assignments = slices.Delete(n.assignments, at, at+1)
		return access.DeleteAssignment{ID: resource.MustParseID(strings.ToUpper(id.String()))}
	case k < 9 && len(n.assignments) > 0:
		at := w.random.IntN(len(n.assignments))
		replaced := w.assignment()
		replaced.ID = n.assignments[at].ID
		n.assignments[at] = replaced
		return access.PutAssignment{Assignment: replaced}
	case k == 9:
		return access.DeleteAssignment{ID: w.scope().Extension("Microsoft.Authorization/roleAssignments", "missing")}
	default:
		assignment := w.assignment()
		n.assignments = append(n.assignments, assignment)
		return access.PutAssignment{Assignment: assignment}
	}
}

func compareSnapshots(t *testing.T, w *world, got, want *access.Snapshot) {
	for range 60 {
		r := w.request()
		a, b := got.Can(r), want.Can(r)
		if a.Allowed != b.Allowed || a.Group != b.Group || a.Allowed && (!a.Assignment.ID.Equal(b.Assignment.ID) || a.Role.ID != b.Role.ID) {
			t.Errorf("Can(%+v) = %+v, compiled at once %+v", r, a, b)
		}
		if a, b := got.Any(r.PrincipalID, r.Groups, r.Action, r.Data, r.Scope), want.Any(r.PrincipalID, r.Groups, r.Action, r.Data, r.Scope); a != b {
			t.Errorf("Any(%+v) = %v, compiled at once %v", r, a, b)
		}
		if a, b := roleIDs(got.SmallestRoles(r.Action, r.Data)), roleIDs(want.SmallestRoles(r.Action, r.Data)); !slices.Equal(a, b) {
			t.Errorf("SmallestRoles(%+v) = %v, compiled at once %v", r, a, b)
		}
	}
}

func roleIDs(roles []*access.Role) (ids []string) {
	for _, role := range roles {
		ids = append(ids, role.ID)
	}
	return ids
}

// compareListings compares every listing with a filter over the whole state.
func compareListings(t *testing.T, w *world, s *access.Snapshot, n *naive) {
	same := func(what string, got []*access.Assignment, keep func(access.Assignment) bool) {
		var keys []string
		for _, assignment := range got {
			keys = append(keys, assignment.ID.Key())
		}
		slices.Sort(keys)
		var kept []access.Assignment
		for _, assignment := range n.assignments {
			if keep(assignment) {
				kept = append(kept, assignment)
			}
		}
		if want := assignmentKeys(kept); !slices.Equal(keys, want) {
			t.Errorf("%s = %v, want %v", what, keys, want)
		}
	}
	for range 10 {
		scope := w.scope()
		asked := n.segments(scope)
		same("AssignmentsAt "+scope.String(), s.AssignmentsAt(scope), func(a access.Assignment) bool { return a.Scope.Equal(scope) })
		same("AssignmentsAbove "+scope.String(), s.AssignmentsAbove(scope), func(a access.Assignment) bool {
			return naiveContains(n.segments(a.Scope), asked)
		})
		same("AssignmentsBelow "+scope.String(), s.AssignmentsBelow(scope), func(a access.Assignment) bool {
			return naiveContains(asked, n.segments(a.Scope)) && !a.Scope.Equal(scope)
		})
		r := w.request()
		same(fmt.Sprint("AssignmentsFor ", r.PrincipalID, r.Groups), s.AssignmentsFor(r.PrincipalID, r.Groups...), func(a access.Assignment) bool {
			return naiveHolds(r, a.PrincipalID)
		})
		id := pick(w, w.roleIDs)
		uses := 0
		for _, assignment := range n.assignments {
			if strings.EqualFold(assignment.RoleID, id) {
				uses++
			}
		}
		if got := s.RoleUses(id); got != uses {
			t.Errorf("RoleUses(%s) = %d, want %d", id, got, uses)
		}
		if got, want := s.Role(id) != nil, n.role(id) != nil; got != want {
			t.Errorf("Role(%s) is there: %v, want %v", id, got, want)
		}
	}
	for _, assignment := range n.assignments {
		if got := s.Assignment(assignment.ID); got == nil || !strings.EqualFold(got.RoleID, assignment.RoleID) || !got.Scope.Equal(assignment.Scope) {
			t.Errorf("Assignment(%s) = %+v, want %+v", assignment.ID, got, assignment)
		}
	}
	if s.AssignmentCount() != len(n.assignments) || len(s.Roles()) != len(n.roles) {
		t.Errorf("%d assignments and %d roles, want %d and %d", s.AssignmentCount(), len(s.Roles()), len(n.assignments), len(n.roles))
	}
}

// BX-05: a revocation is in force on the next request.
func TestRevocationIsImmediate(t *testing.T) {
	live := given(access.RoleMLDataScientist, store)
	before := live.Snapshot()
	expect(t, before, true, false, store, ml+"featuresets/write")
	after := live.Apply(access.DeleteAssignment{ID: before.AssignmentsFor(userID)[0].ID})
	expect(t, after, false, false, store, ml+"featuresets/write")
	expect(t, live.Snapshot(), false, false, store, ml+"featuresets/write")
	if after.Revision() <= before.Revision() || after.AssignmentsFor(userID) != nil && len(after.AssignmentsFor(userID)) > 0 {
		t.Errorf("revisions %d and %d, still held %v", before.Revision(), after.Revision(), after.AssignmentsFor(userID))
	}
}

// TestReadersSeeWholeChanges moves one assignment to and fro between two principals while readers look: in every
// snapshot exactly one of them holds it, and the hundreds of other assignments stay.
func TestReadersSeeWholeChanges(t *testing.T) {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	var others []access.Change
	for i := range 400 {
		others = append(others, put(100+i, fmt.Sprintf("other-%d", i%10), access.RoleReader, store.Child("featuresets", fmt.Sprint("f", i))))
	}
	live.Apply(append(others, put(1, userID, access.RoleReader, store))...)
	var done atomic.Bool
	var readers sync.WaitGroup
	var seen [2]atomic.Int64
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for i := 0; !done.Load(); i++ {
				s := live.Snapshot()
				user := can(s, ml+"featuresets/read", false, store)
				group := s.Can(access.Request{PrincipalID: groupID, Action: ml + "featuresets/read", Scope: store}).Allowed
				if user == group {
					t.Errorf("user %v, group %v: half a change is visible", user, group)
					return
				}
				if user {
					seen[0].Add(1)
				} else {
					seen[1].Add(1)
				}
				other := access.Request{PrincipalID: fmt.Sprintf("other-%d", i%10), Action: ml + "featuresets/read",
					Scope: store.Child("featuresets", fmt.Sprint("f", i%400))}
				if !s.Can(other).Allowed || !s.Any(other.PrincipalID, nil, other.Action, false, rg1) {
					t.Errorf("%s is refused", other.PrincipalID)
					return
				}
			}
		}()
	}
	rounds := 3000
	if testing.Short() {
		rounds = 500
	}
	role := live.Snapshot().Role(access.RoleReader)
	principals := [2]string{groupID, userID}
	for i := range rounds {
		live.Apply(access.DeleteAssignment{ID: put(1, "", "", store).Assignment.ID}, put(1, principals[i%2], access.RoleReader, store), access.PutRole{Role: role})
	}
	for deadline := time.Now().Add(5 * time.Second); (seen[0].Load() == 0 || seen[1].Load() == 0) && time.Now().Before(deadline); {
		rounds++
		live.Apply(put(1, principals[rounds%2], access.RoleReader, store))
	}
	done.Store(true)
	readers.Wait()
	if seen[0].Load() == 0 || seen[1].Load() == 0 {
		t.Errorf("readers saw %d and %d", seen[0].Load(), seen[1].Load())
	}
}

// Writers in parallel lose nothing.
func TestWritersInParallel(t *testing.T) {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	const writers, each = 8, 100
	var wait sync.WaitGroup
	for writer := range writers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range each {
				live.Apply(put(writer*each+i, userID, access.RoleReader, store))
			}
		}()
	}
	wait.Wait()
	if got := len(live.Snapshot().AssignmentsFor(userID)); got != writers*each {
		t.Errorf("%d assignments, want %d", got, writers*each)
	}
}

func TestCanDoesNotAllocate(t *testing.T) {
	live := given(access.RoleReader, store)
	var changes []access.Change
	for i := range 100 {
		changes = append(changes, put(100+i, groupID, access.RoleReader, store.Child("featuresets", fmt.Sprint("f", i))))
	}
	s := live.Apply(changes...)
	for name, r := range map[string]access.Request{
		"few":         {PrincipalID: userID, Action: ml + "featuresets/read", Scope: featureSet},
		"upper case":  {PrincipalID: userID, Action: strings.ToUpper(ml + "featuresets/read"), Scope: featureSet},
		"many":        {PrincipalID: groupID, Action: ml + "featuresets/read", Scope: store.Child("featuresets", "f77").Child("versions", "1")},
		"by a group":  {PrincipalID: "nobody", Groups: []string{"x", groupID}, Action: ml + "featuresets/read", Scope: store.Child("featuresets", "f77")},
		"data action": {PrincipalID: userID, Action: blobs + "read", Data: true, Scope: container},
	} {
		if s.Can(r).Allowed != (name != "data action") {
			t.Errorf("%s: wrong answer", name)
		}
		if n := testing.AllocsPerRun(100, func() { s.Can(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
