package machinelearning

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// settleTraffic checks how requests are parted: among deployments that serve, with shares that are all zero or a hundred together.
// A write that says nothing of traffic leaves it as it is.
func (d Deps) settleTraffic(_ context.Context, change *arm.Change[OnlineEndpoint]) error {
	const field = "properties.traffic"
	p := &change.Next.Properties
	if p.Traffic == nil {
		p.Traffic = map[string]int{}
		if change.Prev != nil {
			p.Traffic = change.Prev.Properties.Traffic
		}
		return nil
	}
	sum, id := 0, change.Next.ID
	for _, name := range slices.Sorted(maps.Keys(p.Traffic)) {
		share := p.Traffic[name]
		if share < 0 || share > 100 {
			return resource.Invalidf("InvalidTraffic", "%s.%s is %d; a share from 0 to 100 percent was expected", field, name, share).At(field + "." + name)
		}
		sum += share
		was := 0
		if change.Prev != nil {
			was = change.Prev.Properties.Traffic[name]
		}
		if share == was && share > 0 {
			continue // it serves already; what it does now is not this write's affair
		}
		now, known := d.Serving.Status(id.Child("deployments", name).Key())
		switch {
		case share == 0 && (!known || now.Revision == ""):
			delete(p.Traffic, name) // nothing is promised to it
		case !known || now.Revision == "":
			return resource.Invalidf("DeploymentNotReady", "%s.%s is %d and the endpoint %s has no deployment %s that serves; create it and wait until it is ready, with: alvara ml online-deployment create -n %s -e %s -w %s -g %s -f FILE",
				field, name, share, id.Name(), name, name, id.Name(), id.Parent().Name(), id.ResourceGroup()).At(field + "." + name)
		}
	}
	if sum != 0 && sum != 100 {
		return resource.Invalidf("InvalidTraffic", "%s adds up to %d percent; 100 was expected, or 0 for an endpoint that no request is parted at", field, sum).At(field)
	}
	return nil
}

// trafficOf is the share of a deployment, whose name counts in any case.
func (p *OnlineEndpoint) trafficOf(name string) int {
	for other, share := range p.Traffic {
		if strings.EqualFold(other, name) {
			return share
		}
	}
	return 0
}

// withoutTraffic is the command that takes a deployment's share away and gives it to another one, if there is any.
func withoutTraffic(endpoint resource.ID, name string) string {
	return fmt.Sprintf("alvara ml online-endpoint update -n %s -w %s -g %s --traffic \"OTHER=100 %s=0\"", endpoint.Name(), endpoint.Parent().Name(), endpoint.ResourceGroup(), name)
}
