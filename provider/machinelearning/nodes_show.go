package machinelearning

import (
	"context"
	"slices"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// The states of a node.
const (
	nodeIdle      = "idle"
	nodePreparing = "preparing"
	nodeRunning   = "running"
)

// nodesNow is the nodes of a compute at a moment.
type nodesNow struct {
	Nodes  []nodeNow
	Target int       // nodes when those that wait have theirs
	Since  time.Time // of the latest change; zero without nodes
}

// nodeNow is a node as clients see it.
type nodeNow struct {
	ID    string `json:"nodeId"`
	State string `json:"nodeState"`
	RunID string `json:"runId,omitempty"`
}

func (n nodesNow) count(state string) int {
	count := 0
	for _, node := range n.Nodes {
		if node.State == state {
			count++
		}
	}
	return count
}

// of gives the nodes of a compute.
func (n *NodeScheduler) of(compute resource.ID) nodesNow {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, known := n.pools[compute.Key()]
	if !known {
		return nodesNow{Nodes: []nodeNow{}}
	}
	p.trim(n.clock())
	out := nodesNow{Nodes: make([]nodeNow, 0, len(p.nodes))}
	for _, node := range p.nodes {
		shown := nodeNow{ID: node.name, State: nodeIdle}
		if t := node.job; t != nil {
			shown.RunID, shown.State = t.job.Name(), nodePreparing
			if slices.Contains([]string{jobRunning, jobFinalizing, jobCancelRequested}, t.status) {
				shown.State = nodeRunning
			}
		}
		out.Nodes = append(out.Nodes, shown)
		if node.since.After(out.Since) {
			out.Since = node.since
		}
	}
	wanted := p.inUse()
	for _, t := range p.waiting {
		wanted += t.count
	}
	out.Target = max(len(out.Nodes), min(wanted, p.most))
	return out
}

func (d Deps) listNodes(_ context.Context, _ *arm.Call, r *arm.Resource[Compute]) (any, error) {
	return map[string]any{"nodes": d.Nodes.of(r.ID).Nodes}, nil
}
