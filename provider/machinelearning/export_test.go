package machinelearning

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

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

// Place is where something lies.
type Place = place

// ResolveAsset gives the place that a text names.
func ResolveAsset(ctx context.Context, d Deps, call *arm.Call, workspace resource.ID, text string, types ...resource.Type) (Place, error) {
	at, err := d.resolveAsset(ctx, call, workspace, text, types...)
	if err == nil {
		err = d.settleFolder(ctx, call.Who, &at)
	}
	return at, err
}
