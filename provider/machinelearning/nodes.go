package machinelearning

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// NodeScheduler gives jobs the nodes of computes. A node is a place for one part of one job on this machine: nothing is started for it, and
// what it costs is what its job takes. Who wants nodes waits in the order of asking at each compute, until the compute has as many free ones as are
// wanted; beside that the machine bears a number of nodes in use over all computes. Whoever has waited longest among those
// whose compute has room has the machine's next nodes, so that a large job is not passed by small ones; a job of more nodes than the
// machine bears runs when nothing else does.
//
// It follows the store: a compute's limits are in force when their writer hears of it, and after a restart the jobs that had
// nodes have them still. It may be used concurrently.
type NodeScheduler struct {
	most  int
	clock func() time.Time

	mu      sync.Mutex
	pools   map[string]*pool   // by the compute's key
	kept    map[string]*ticket // nodes of jobs from before the restart that have not asked for them again, by the job's key
	holding map[string]*ticket // by the job's key
	held    int                // nodes in use, of all computes
	turn    uint64
}

// ticket is a request for nodes.
type ticket struct {
	pool   *pool
	job    resource.ID
	count  int
	turn   uint64
	status string // of the job, as far as the store has told

	settled chan struct{} // closed when it is granted or refused
	err     error
	granted bool
}

// jobOnNodes is what of a job's document matters to nodes.
type jobOnNodes struct {
	ID         resource.ID `json:"id"`
	Properties struct {
		Status    string `json:"status"`
		ComputeID string `json:"computeId"`
		Resources struct {
			InstanceCount int `json:"instanceCount"`
		} `json:"resources"`
	} `json:"properties"`
}

func (j jobOnNodes) ended() bool { return Job{Status: j.Properties.Status}.ended() }

// withNodes are the states of a job that has its nodes, from the first.
var withNodes = []string{jobPreparing, jobStarting, jobRunning, jobFinalizing}

// MachineNodes is how many nodes a machine bears unless it is told otherwise.
func MachineNodes() int { return max(8, 4*runtime.NumCPU()) }

// OpenNodes follows the store's computes and jobs. most is how many nodes may be in use at once over all computes; 0 is
// MachineNodes.
func OpenNodes(st store.Store, most int, clock func() time.Time) (*NodeScheduler, error) {
	if most <= 0 {
		most = MachineNodes()
	}
	n := &NodeScheduler{most: most, clock: clock, pools: map[string]*pool{}, kept: map[string]*ticket{}, holding: map[string]*ticket{}}
	first := true
	err := st.Follow([]string{computeType.Key(), jobType.Key()}, func(changes []store.Change) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, change := range changes {
			if change.Kind == computeType.Key() {
				n.followCompute(change)
			} else {
				n.followJob(change, first)
			}
		}
		n.dispatch()
	})
	n.mu.Lock()
	first = false
	n.mu.Unlock()
	return n, err
}

// Check tells whether a compute can give a job count nodes at all. Errors: Invalid when it never has that many; Conflict when it is
// stopped, with the command that starts it.
func (n *NodeScheduler) Check(_ context.Context, compute *arm.Resource[Compute], count int) error {
	return limitsOf(compute.Properties).refusal(compute.ID, count)
}

// Acquire waits until a job has count nodes of a compute, all at once. release gives them back; it may be called again. A
// job that had its nodes before a restart has them at once. Errors: those of ctx; those of Check, also when they come to hold
// meanwhile; NotFound when there is no such compute.
func (n *NodeScheduler) Acquire(ctx context.Context, compute resource.ID, count int, job resource.ID) (release func(), err error) {
	t := n.enter(compute, count, job)
	select {
	case <-t.settled:
	case <-ctx.Done():
		n.leave(t)
		return nil, ctx.Err()
	}
	if t.err != nil {
		return nil, t.err
	}
	return func() { n.leave(t) }, nil
}

// Resume takes count nodes for a job that had them before a restart, at once and even when there are none left.
func (n *NodeScheduler) Resume(compute resource.ID, count int, job resource.ID) (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, kept := n.kept[job.Key()]
	delete(n.kept, job.Key())
	if !kept {
		t = n.keep(compute, count, job)
	}
	return func() { n.leave(t) }
}

// keep gives a job nodes that it has already. The caller holds mu.
func (n *NodeScheduler) keep(compute resource.ID, count int, job resource.ID) *ticket {
	p := n.pools[compute.Key()]
	if p == nil {
		p = &pool{compute: compute}
		n.pools[compute.Key()] = p
	}
	t := &ticket{pool: p, job: job, count: max(1, count), settled: make(chan struct{})}
	close(t.settled)
	n.grant(t)
	return t
}

// enter puts a request in its place.
func (n *NodeScheduler) enter(compute resource.ID, count int, job resource.ID) *ticket {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, kept := n.kept[job.Key()]; kept {
		delete(n.kept, job.Key())
		return t
	}
	n.turn++
	t := &ticket{job: job, count: max(count, 1), turn: n.turn, settled: make(chan struct{})}
	p, known := n.pools[compute.Key()]
	if !known || !p.known {
		t.refuse(resource.NotFoundf("ComputeNotFound", "The compute '%s' does not exist.", compute))
		return t
	}
	t.pool = p
	p.waiting = append(p.waiting, t)
	n.dispatch()
	return t
}

// leave gives a request up, or what it was granted back.
func (n *NodeScheduler) leave(t *ticket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case t.granted:
		n.drop(t)
	case t.err == nil && t.pool != nil:
		t.pool.waiting = slices.DeleteFunc(t.pool.waiting, func(other *ticket) bool { return other == t })
	}
	n.dispatch()
}

// drop takes a job's nodes back. The caller holds mu.
func (n *NodeScheduler) drop(t *ticket) {
	t.granted = false
	n.held -= t.count
	t.pool.free(t, n.clock())
	if n.holding[t.job.Key()] == t {
		delete(n.holding, t.job.Key())
	}
	n.forget(t.pool)
}

func (t *ticket) refuse(err error) {
	t.err = err
	close(t.settled)
}

// dispatch grants what can be granted. The caller holds mu.
func (n *NodeScheduler) dispatch() {
	for n.grantOne() {
	}
}

// grantOne settles one request, and tells whether it did.
func (n *NodeScheduler) grantOne() bool {
	var heads []*ticket
	for _, p := range n.pools {
		if len(p.waiting) > 0 {
			heads = append(heads, p.waiting[0])
		}
	}
	slices.SortFunc(heads, func(a, b *ticket) int { return int(int64(a.turn) - int64(b.turn)) })
	for _, t := range heads {
		p := t.pool
		if err := p.refusal(p.compute, t.count); err != nil {
			p.waiting = p.waiting[1:]
			t.refuse(err)
			return true
		}
		if p.inUse()+t.count > p.most {
			continue
		}
		if n.held > 0 && n.held+t.count > n.most {
			return false // the machine's next nodes are for this one
		}
		p.waiting = p.waiting[1:]
		n.grant(t)
		close(t.settled)
		return true
	}
	return false
}

func (n *NodeScheduler) grant(t *ticket) {
	t.granted = true
	n.held += t.count
	n.holding[t.job.Key()] = t
	t.pool.take(t, n.clock())
}

// followCompute takes over what a compute's document says. The caller holds mu.
func (n *NodeScheduler) followCompute(change store.Change) {
	var r arm.Resource[Compute]
	p := n.pools[change.Key]
	if change.Deleted || json.Unmarshal(change.Body, &r) != nil {
		if p == nil {
			return
		}
		p.known = false
		for _, t := range p.waiting {
			t.refuse(resource.NotFoundf("ComputeNotFound", "The compute '%s' was deleted while the job waited for its nodes.", p.compute))
		}
		p.waiting = nil
		p.trim(n.clock())
		n.forget(p)
		return
	}
	if p == nil {
		p = &pool{}
		n.pools[change.Key] = p
	}
	p.compute, p.known, p.limits = r.ID, true, limitsOf(r.Properties)
	p.trim(n.clock())
}

// forget drops a compute that is gone and has nothing in use.
func (n *NodeScheduler) forget(p *pool) {
	if !p.known && p.inUse() == 0 {
		delete(n.pools, p.compute.Key())
	}
}

// followJob notes how far a job is that has nodes. At the beginning it gives jobs the nodes that they had. The caller holds mu.
func (n *NodeScheduler) followJob(change store.Change, beginning bool) {
	var r jobOnNodes
	holding := n.holding[change.Key]
	if holding == nil && !beginning {
		return
	}
	gone := change.Deleted || json.Unmarshal(change.Body, &r) != nil
	if holding != nil {
		holding.status = r.Properties.Status
		if kept := n.kept[change.Key]; kept != nil && (gone || r.ended()) {
			delete(n.kept, change.Key)
			n.drop(kept)
		}
		return
	}
	compute, err := resource.ParseID(r.Properties.ComputeID)
	if gone || err != nil || !compute.Type().Is(computeType) || !slices.Contains(withNodes, r.Properties.Status) {
		return
	}
	t := n.keep(compute, r.Properties.Resources.InstanceCount, r.ID)
	t.status = r.Properties.Status
	n.kept[change.Key] = t
}
