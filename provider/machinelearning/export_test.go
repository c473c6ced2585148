package machinelearning

import "github.com/alvara-ml/alvara/resource"

// EnsureRegistry lets the tests be the operation that needs a registry.
var EnsureRegistry = ensureRegistry

// SplitReference takes the reference of an image apart.
var SplitReference = splitReference

// NodesOf counts the nodes of a compute, and WaitingFor those who wait for some.
func NodesOf(n *NodeScheduler, compute resource.ID) int { return len(n.of(compute).Nodes) }

func WaitingFor(n *NodeScheduler, compute resource.ID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.pools[compute.Key()]; p != nil {
		return len(p.waiting)
	}
	return 0
}
