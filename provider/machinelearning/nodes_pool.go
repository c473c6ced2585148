package machinelearning

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// pool is the nodes of one compute, and who waits for them.
type pool struct {
	compute resource.ID
	known   bool // the compute is there
	limits
	nodes   []*node
	waiting []*ticket // in the order of asking
	made    int       // nodes so far
}

// limits are how many nodes a compute may have.
type limits struct {
	least, most int
	idle        time.Duration // how long a node stays that no job uses
	stopped     bool
}

// node is a place for a part of a job.
type node struct {
	name  string
	job   *ticket // nil when it is idle
	since time.Time
}

// limitsOf reads a compute. What is attached has no number of its own: the machine's holds.
func limitsOf(c Compute) limits {
	switch {
	case strings.EqualFold(c.ComputeType, "ComputeInstance"):
		var i instance
		if json.Unmarshal(c.Properties, &i) != nil || i.State == instanceStopped {
			return limits{most: 1, stopped: true}
		}
		return limits{least: 1, most: 1}
	case strings.EqualFold(c.ComputeType, "AmlCompute"):
		var k cluster
		if json.Unmarshal(c.Properties, &k) != nil || k.ScaleSettings == nil {
			return limits{most: 1}
		}
		idle, err := spec.ParseISODuration(k.ScaleSettings.NodeIdle)
		if err != nil {
			idle = 0
		}
		return limits{least: k.ScaleSettings.MinNodeCount, most: k.ScaleSettings.MaxNodeCount, idle: idle}
	}
	return limits{most: maxNodes}
}

// refusal is why the compute of an id never gives count nodes as it is now, or nil.
func (l limits) refusal(id resource.ID, count int) error {
	switch {
	case l.stopped:
		return stoppedInstance(id)
	case count > l.most:
		return resource.Invalidf("TooManyNodes", "The job wants %d nodes at once, and the compute %s has %d at most; ask for fewer (resources.instance_count), or let it grow with: alvara ml compute update -n %s -w %s -g %s --max-instances %d",
			count, id.Name(), l.most, id.Name(), id.Parent().Name(), id.ResourceGroup(), count).At("properties.resources.instanceCount")
	}
	return nil
}

// stoppedInstance refuses what a stopped compute instance does not do.
func stoppedInstance(id resource.ID) error {
	return resource.Conflictf("ComputeNotRunning", "The compute instance %s is stopped and takes no jobs; start it with: alvara ml compute start -n %s -w %s -g %s",
		id.Name(), id.Name(), id.Parent().Name(), id.ResourceGroup()).At("properties.computeId")
}

func (p *pool) inUse() int {
	count := 0
	for _, n := range p.nodes {
		if n.job != nil {
			count++
		}
	}
	return count
}

// take gives a job its nodes: idle ones first, those that became idle last, and new ones for the rest.
func (p *pool) take(t *ticket, now time.Time) {
	p.trim(now)
	wanted := t.count
	for _, n := range slices.Backward(p.nodes) {
		if wanted > 0 && n.job == nil {
			n.job, n.since = t, now
			wanted--
		}
	}
	for range wanted {
		p.add(t, now)
	}
}

func (p *pool) add(t *ticket, now time.Time) {
	p.made++
	p.nodes = append(p.nodes, &node{fmt.Sprintf("%s-%d", p.compute.Name(), p.made), t, now})
}

// free makes a job's nodes idle, in the order in which they become so.
func (p *pool) free(t *ticket, now time.Time) {
	var idle []*node
	p.nodes = slices.DeleteFunc(p.nodes, func(n *node) bool {
		if n.job != t {
			return false
		}
		n.job, n.since = nil, now
		idle = append(idle, n)
		return true
	})
	p.nodes = append(p.nodes, idle...)
	p.trim(now)
}

// trim removes the nodes that have been idle for long enough, and those beyond the most, and makes those that are always there.
func (p *pool) trim(now time.Time) {
	least, most := p.least, p.most
	if !p.known || p.stopped {
		least, most = 0, 0
	}
	count := len(p.nodes)
	p.nodes = slices.DeleteFunc(p.nodes, func(n *node) bool {
		if n.job == nil && (count > most || count > least && now.Sub(n.since) >= p.idle) {
			count--
			return true
		}
		return false
	})
	for ; count < least; count++ {
		p.add(nil, now)
	}
}
