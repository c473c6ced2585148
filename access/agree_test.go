package access_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access"
)

// TestCompiledAgreesWithNaive asks both evaluators the same random questions. It shows BX-05 (one engine, the documented
// rules) and FS-19 (scopes of any depth).
func TestCompiledAgreesWithNaive(t *testing.T) {
	requests := 1_000_000
	if testing.Short() {
		requests = 50_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const workers, perWorld = 2, 500
	var wait sync.WaitGroup
	var counts [workers]struct{ allowed, any int }
	for worker := range workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := worker; i < requests/perWorld && !t.Failed(); i += workers {
				w := newWorld(rand.New(rand.NewPCG(seed, uint64(i))), ordinary)
				allowed, any := compareWorld(t, w, perWorld)
				counts[worker].allowed += allowed
				counts[worker].any += any
			}
		}()
	}
	wait.Wait()
	allowed, anywhere := counts[0].allowed+counts[1].allowed, counts[0].any+counts[1].any
	t.Logf("%d requests, %d allowed, %d allowed there or below", requests, allowed, anywhere)
	if allowed < requests/20 || anywhere < allowed+requests/100 {
		t.Errorf("the worlds are too dull to show anything")
	}
}

// compareWorld asks about one world and counts what was allowed.
func compareWorld(t testing.TB, w *world, requests int) (allowed, anywhere int) {
	n := w.state()
	s := n.live().Snapshot()
	for i := range requests {
		r := w.request()
		want := n.grants(r)
		got := s.Can(r)
		if got.Allowed != (len(want) > 0) {
			t.Errorf("Can(%+v) = %v, the rules say %v\nroles %s\nassignments %+v", r, got.Allowed, len(want) > 0, dump(n.roles), n.assignments)
			return
		}
		if got.Allowed {
			allowed++
			plain := func(a access.Assignment) bool { return a.Condition == nil }
			if got.Assignment.Condition != nil && slices.ContainsFunc(want, plain) {
				t.Errorf("Can(%+v) gives a reason with a condition, and there is one without", r)
			}
			if fault := reasonFault(r, got, want); fault != "" {
				t.Errorf("Can(%+v): %s", r, fault)
				return
			}
		} else if got != (access.Decision{}) {
			t.Errorf("Can(%+v) refuses with a reason to allow: %+v", r, got)
		}
		below := s.Any(r.PrincipalID, r.Groups, r.Action, r.Data, r.Scope)
		if want := n.any(r); below != want {
			t.Errorf("Any(%+v) = %v, the rules say %v\nroles %s\nassignments %+v", r, below, want, dump(n.roles), n.assignments)
			return
		}
		if below {
			anywhere++
		}
		if i%25 == 0 {
			compareLists(t, n, s, r, want)
		}
	}
	return allowed, anywhere
}

func reasonFault(r access.Request, got access.Decision, want []access.Assignment) string {
	if !slices.ContainsFunc(want, func(a access.Assignment) bool { return a.ID.Equal(got.Assignment.ID) }) {
		return "the reason " + got.Assignment.ID.String() + " does not grant it"
	}
	if !strings.EqualFold(got.Role.ID, got.Assignment.RoleID) {
		return "the role is not the assignment's"
	}
	direct := strings.EqualFold(got.Assignment.PrincipalID, r.PrincipalID)
	if direct != (got.Group == "") || !direct && (!strings.EqualFold(got.Group, got.Assignment.PrincipalID) || !slices.Contains(r.Groups, got.Group)) {
		return "the group " + got.Group + " is not who holds the assignment"
	}
	return ""
}

// compareLists compares what tells more than yes or no.
func compareLists(t testing.TB, n *naive, s *access.Snapshot, r access.Request, want []access.Assignment) {
	var got []string
	for _, decision := range s.Grants(r) {
		if fault := reasonFault(r, decision, want); fault != "" {
			t.Errorf("Grants(%+v): %s", r, fault)
		}
		got = append(got, decision.Assignment.ID.Key())
	}
	slices.Sort(got)
	if want := assignmentKeys(want); !slices.Equal(got, want) {
		t.Errorf("Grants(%+v) = %v, the rules say %v", r, got, want)
	}
	got = nil
	for _, decision := range s.Unmet(r) {
		if decision.Allowed {
			t.Errorf("Unmet(%+v) allows", r)
		}
		got = append(got, decision.Assignment.ID.Key())
	}
	slices.Sort(got)
	if want := assignmentKeys(n.unmet(r)); !slices.Equal(got, want) {
		t.Errorf("Unmet(%+v) = %v, the rules say %v", r, got, want)
	}
	var smallest []string
	for _, role := range s.SmallestRoles(r.Action, r.Data) {
		smallest = append(smallest, role.ID)
	}
	if want := n.smallestRoles(r.Action, r.Data); !slices.Equal(smallest, want) {
		t.Errorf("SmallestRoles(%q, %v) = %v, the rules say %v\nroles %s", r.Action, r.Data, smallest, want, dump(n.roles))
	}
	var who []string
	for _, assignment := range s.Who(r.Action, r.Data, r.Scope) {
		who = append(who, assignment.ID.Key())
	}
	slices.Sort(who)
	var wantWho []access.Assignment
	for _, assignment := range n.assignments {
		one := r
		one.PrincipalID, one.Groups = assignment.PrincipalID, nil
		if assignment.PrincipalID == "" {
			one.PrincipalID = "anybody"
			assignment.PrincipalID = "anybody"
		}
		alone := &naive{roles: n.roles, assignments: []access.Assignment{assignment}}
		if len(alone.ifConditionsHeld(one)) == 0 {
			continue
		}
		if assignment.Condition == nil || n.conditions[assignment.Condition].possible(r.Action) {
			wantWho = append(wantWho, assignment)
		}
		conditional := assignment.Condition != nil && n.conditions[assignment.Condition].possible(r.Action) && !n.conditions[assignment.Condition].certain(r.Action)
		if assignment.Conditional(r.Action) != conditional {
			t.Errorf("Conditional(%q) of %s is %v", r.Action, assignment.Condition, !conditional)
		}
	}
	if want := assignmentKeys(wantWho); !slices.Equal(who, want) {
		t.Errorf("Who(%q, %v, %s) = %v, the rules say %v", r.Action, r.Data, r.Scope, who, want)
	}
}

func assignmentKeys(assignments []access.Assignment) []string {
	var keys []string
	for _, assignment := range assignments {
		keys = append(keys, assignment.ID.Key())
	}
	slices.Sort(keys)
	return keys
}

func dump(roles []*access.Role) string {
	var b strings.Builder
	for _, role := range roles {
		b.WriteString("\n  " + role.ID)
		for _, p := range role.Permissions {
			b.WriteString(" {" + strings.Join(p.Actions, " ") + " − " + strings.Join(p.NotActions, " ") +
				" | " + strings.Join(p.DataActions, " ") + " − " + strings.Join(p.NotDataActions, " ") + "}")
		}
	}
	return b.String()
}

// bytesSource makes a random source of the fuzzer's bytes, so that a changed byte changes one choice; after the last
// byte it goes on from a fixed seed.
type bytesSource struct {
	data []byte
	rest *rand.PCG
}

func (s *bytesSource) Uint64() uint64 {
	if len(s.data) < 2 {
		return s.rest.Uint64()
	}
	v := binary.LittleEndian.Uint16(s.data)
	s.data = s.data[2:]
	return uint64(v) * 0x9E3779B97F4A7C15
}

func FuzzCanAgreesWithNaive(f *testing.F) {
	for i := range 8 {
		data := make([]byte, 60*i)
		random := rand.NewPCG(1, uint64(i))
		for at := range data {
			data[at] = byte(random.Uint64())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(rand.New(&bytesSource{data: data, rest: rand.NewPCG(7, 7)}), tiny)
		compareWorld(t, w, 8)
	})
}
