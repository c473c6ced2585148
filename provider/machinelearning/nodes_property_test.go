package machinelearning

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// wish is a request in the naive model.
type wish struct {
	pool, count     int
	granted, gone   bool
	ticket          *ticket
	shouldBeRefused bool
}

// settleNaive grants, refuses and passes over as the scheduler's contract says, by looking through all wishes in the order in which they
// came, again and again.
func settleNaive(wishes []*wish, most []int, machine int) {
	for again := true; again; {
		again = false
		inUse, total, seen := map[int]int{}, 0, map[int]bool{}
		for _, w := range wishes {
			if w.granted && !w.gone {
				inUse[w.pool] += w.count
				total += w.count
			}
		}
		for _, w := range wishes {
			if w.granted || w.gone || w.shouldBeRefused || seen[w.pool] {
				continue
			}
			seen[w.pool] = true // only the first of each compute
			if w.count > most[w.pool] {
				w.shouldBeRefused, again = true, true
				break
			}
			if inUse[w.pool]+w.count > most[w.pool] {
				continue
			}
			if total == 0 || total+w.count <= machine {
				w.granted, again = true, true
			}
			break // granted, or the machine's next nodes are for it
		}
	}
}

// Random requests, ends, changes of mind and changes of clusters: the scheduler grants what the naive model grants, counts what it
// counts, and nothing is lost.
func TestNodesAgreeWithTheNaiveModel(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 4))
		machine, now := 1+random.IntN(10), time.Unix(0, 0)
		n := &NodeScheduler{most: machine, clock: func() time.Time { return now }, pools: map[string]*pool{}, kept: map[string]*ticket{}, holding: map[string]*ticket{}}
		var ids []resource.ID
		var most, least []int
		for i := range 1 + random.IntN(3) {
			id := resource.MustParseID(fmt.Sprintf("/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws/computes/c%d", i))
			most, least = append(most, 1+random.IntN(6)), append(least, 0)
			n.pools[id.Key()] = &pool{compute: id, known: true, limits: limits{most: most[i], idle: time.Minute}}
			ids = append(ids, id)
		}
		var wishes []*wish
		pick := func(fit func(*wish) bool) *wish {
			var some []*wish
			for _, w := range wishes {
				if fit(w) {
					some = append(some, w)
				}
			}
			if len(some) == 0 {
				return nil
			}
			return some[random.IntN(len(some))]
		}
		for step := range 120 {
			switch random.IntN(5) {
			case 0, 1:
				w := &wish{pool: random.IntN(len(ids)), count: 1 + random.IntN(6)}
				wishes = append(wishes, w)
				w.ticket = n.enter(ids[w.pool], w.count, resource.MustParseID(ids[0].Parent().String()+fmt.Sprintf("/jobs/j%d", len(wishes))))
			case 2:
				if w := pick(func(w *wish) bool { return w.granted && !w.gone }); w != nil {
					w.gone = true
					n.leave(w.ticket)
					n.leave(w.ticket)
				}
			case 3:
				if w := pick(func(w *wish) bool { return !w.granted && !w.gone && !w.shouldBeRefused }); w != nil {
					w.gone = true
					n.leave(w.ticket)
				}
			case 4:
				i := random.IntN(len(ids))
				most[i] = 1 + random.IntN(6)
				least[i] = random.IntN(most[i] + 1)
				n.mu.Lock()
				n.pools[ids[i].Key()].limits = limits{least: least[i], most: most[i], idle: time.Minute}
				n.dispatch()
				n.mu.Unlock()
				now = now.Add(time.Duration(random.IntN(90)) * time.Second)
			}
			settleNaive(wishes, most, machine)
			inUse := make([]int, len(ids))
			for i, w := range wishes {
				settled := false
				select {
				case <-w.ticket.settled:
					settled = true
				default:
				}
				if refused := w.ticket.err != nil; refused != w.shouldBeRefused || settled != (w.granted || w.shouldBeRefused) {
					t.Fatalf("seed %d, step %d: the request %d of %d nodes at c%d is settled: %t, with %v; want granted %t, refused %t", seed, step, i, w.count, w.pool, settled, w.ticket.err, w.granted, w.shouldBeRefused)
				}
				if w.granted && !w.gone {
					inUse[w.pool] += w.count
				}
			}
			total := 0
			for i, id := range ids {
				total += inUse[i]
				shown := n.of(id)
				idle := shown.count(nodeIdle)
				if got := shown.count(nodePreparing); got != inUse[i] {
					t.Fatalf("seed %d, step %d: c%d shows %d nodes in use; want %d", seed, step, i, got, inUse[i])
				}
				if len(shown.Nodes) < least[i] || idle > 0 && len(shown.Nodes) > most[i] {
					t.Fatalf("seed %d, step %d: c%d has %d nodes, %d of them idle; %d to %d were expected", seed, step, i, len(shown.Nodes), idle, least[i], most[i])
				}
			}
			if n.held != total {
				t.Fatalf("seed %d, step %d: %d nodes are counted in use; want %d", seed, step, n.held, total)
			}
		}
	}
}

// A job of more nodes than the machine bears runs when nothing else does, and those that came later do not pass it.
func TestNodesOfTheMachine(t *testing.T) {
	n := &NodeScheduler{most: 4, clock: time.Now, pools: map[string]*pool{}, kept: map[string]*ticket{}, holding: map[string]*ticket{}}
	at := func(name string) resource.ID {
		return resource.MustParseID("/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws/" + name)
	}
	for _, name := range []string{"a", "b"} {
		id := at("computes/" + name)
		n.pools[id.Key()] = &pool{compute: id, known: true, limits: limits{most: 100}}
	}
	granted := func(t *ticket) bool {
		select {
		case <-t.settled:
			return t.err == nil
		default:
			return false
		}
	}
	small := n.enter(at("computes/a"), 1, at("jobs/small"))
	large := n.enter(at("computes/a"), 10, at("jobs/large"))
	other := n.enter(at("computes/b"), 1, at("jobs/other"))
	if !granted(small) || granted(large) || granted(other) {
		t.Fatalf("small %t, large %t, other %t; want the first alone", granted(small), granted(large), granted(other))
	}
	n.leave(small)
	if !granted(large) || granted(other) {
		t.Fatalf("large %t, other %t; want the first alone", granted(large), granted(other))
	}
	n.leave(large)
	if !granted(other) {
		t.Fatal("the other still waits")
	}
}
