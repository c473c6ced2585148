package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Nodes are the places of computes at which jobs run. All methods may be called concurrently.
type Nodes interface {
	// Check tells whether a compute can give a job n nodes at all. Errors: Conflict for one that is stopped, with the command that starts
	// it; Invalid for more nodes than it can have.
	Check(ctx context.Context, compute *arm.Resource[Compute], n int) error
	// Acquire waits for n nodes of a compute, in the order in which it was asked for that compute, and gives the function that returns
	// them. Errors: NotFound for a compute that was deleted, those of Check, and ctx.Err().
	Acquire(ctx context.Context, compute resource.ID, n int, job resource.ID) (release func(), err error)
	// Resume takes nodes for a job that had them before the server was started anew, at once and even when there are none left.
	Resume(compute resource.ID, n int, job resource.ID) (release func())
}

// computeIDOf reads the compute that a job names: by its id, as azureml:NAME or as NAME.
func computeIDOf(workspace resource.ID, text string) (resource.ID, error) {
	const field = "properties.computeId"
	name, _ := cutFold(text, "azureml:")
	switch {
	case name == "":
		return resource.Root, resource.Invalidf("ComputeRequired", "%s is missing; there is no compute that comes by itself: name one of the workspace %s", field, workspace.Name()).At(field)
	case strings.EqualFold(name, "local"):
		return resource.Root, resource.Errorf(resource.Unsupported, "NotSupported", "%s is %q, and a server runs nothing on its clients' machines; name a compute of the workspace %s", field, text, workspace.Name()).At(field)
	case !strings.Contains(name, "/"):
		return workspace.Child("computes", name), nil
	}
	id, err := resource.ParseID(name)
	if err != nil || !id.Type().Is(computeType) {
		return resource.Root, resource.Invalidf("InvalidResourceId", "%s is %q; the id of a %s was expected, or its name", field, text, computeType).At(field)
	}
	if !id.Parent().Equal(workspace) {
		return resource.Root, resource.Invalidf("ComputeNotFound", "%s is '%s', a compute of another workspace than %s; jobs run on computes of their own workspace", field, id, workspace.Name()).At(field)
	}
	return id, nil
}

// jobCompute reads a stored compute. Errors: NotFound.
func jobCompute(ctx context.Context, manager *arm.Manager, id resource.ID) (*arm.Resource[Compute], error) {
	doc, err := manager.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, resource.NotFoundf("ComputeNotFound", "The workspace %s has no compute %q; create it, or name another.", id.Parent().Name(), id.Name()).At("properties.computeId")
	}
	if err != nil {
		return nil, err
	}
	r := &arm.Resource[Compute]{}
	return r, json.Unmarshal(doc.Body, r)
}

// checkNodes makes sure that a compute runs jobs, and has as many nodes as one asks for.
func (d Deps) checkNodes(ctx context.Context, compute *arm.Resource[Compute], n int) error {
	if p := compute.Properties; p.ComputeType == "AKS" {
		return resource.Errorf(resource.Unsupported, "ComputeNotSupported", "properties.computeId names '%s', which is a compute of the type %s and serves models; jobs run on AmlCompute, ComputeInstance and Kubernetes", compute.ID, p.ComputeType).At("properties.computeId")
	}
	return d.Nodes.Check(ctx, compute, n)
}
