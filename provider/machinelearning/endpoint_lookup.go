package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// computeNamed reads the id of a compute, which may be written as its name or as azureml:NAME, in a workspace.
func computeNamed(text string, workspace resource.ID) (resource.ID, error) {
	name := strings.TrimPrefix(text, "azureml:")
	if !strings.HasPrefix(name, "/") {
		return workspace.Child("computes", name), nil
	}
	id, err := resource.ParseID(name)
	if err != nil || !id.Type().Is(computeType) || !id.Parent().Equal(workspace) {
		return resource.Root, resource.Invalidf("InvalidCompute", "properties.compute is %q; the id or the name of a compute of the workspace %s was expected", text, workspace.Name()).At("properties.compute")
	}
	return id, nil
}

// computeOf reads a stored compute. Invalid when there is none.
func computeOf(ctx context.Context, call *arm.Call, id resource.ID) (*arm.Resource[Compute], error) {
	r := &arm.Resource[Compute]{}
	err := readDocument(ctx, call, id, r)
	if resource.KindOf(err) == resource.NotFound {
		return nil, resource.Invalidf("ComputeNotFound", "The compute '%s' does not exist.", id)
	}
	return r, err
}

// isKubernetes tells whether the compute is a cluster that deployments run on.
func (c *Compute) isKubernetes() bool {
	return strings.EqualFold(c.ComputeType, "Kubernetes") || strings.EqualFold(c.ComputeType, "AKS")
}

// endpointOf reads a stored endpoint. NotFound when there is none.
func endpointOf(ctx context.Context, call *arm.Call, id resource.ID) (*arm.Resource[OnlineEndpoint], error) {
	r := &arm.Resource[OnlineEndpoint]{}
	return r, readDocument(ctx, call, id, r)
}

func readDocument(ctx context.Context, call *arm.Call, id resource.ID, into any) error {
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	if err != nil {
		return err
	}
	return json.Unmarshal(doc.Body, into)
}

// withProperties is a document with other properties, and all else as it is stored.
func withProperties(doc store.Document, properties any) (store.Put, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(doc.Body, &fields); err != nil {
		return store.Put{}, err
	}
	var err error
	if fields["properties"], err = json.Marshal(properties); err != nil {
		return store.Put{}, err
	}
	body, err := json.Marshal(fields)
	return store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag}, err
}

// grantNamed reads what grant.String gives, for the roles of endpoints and computes.
func grantNamed(text string) (grant, error) {
	for _, role := range []role{acrPull, blobReader} {
		if rest, ok := strings.CutPrefix(text, role.name+" on "); ok {
			scope, err := resource.ParseID(rest)
			return grant{role, scope}, err
		}
	}
	return grant{}, fmt.Errorf("%q names no grant", text)
}

// stillMissing are those of the grants, as their texts, that the system-assigned identity does not hold at this moment.
func stillMissing(call *arm.Call, identity *arm.Identity, texts []string) []string {
	var missing []string
	for _, text := range texts {
		if g, err := grantNamed(text); err != nil || identity == nil || !g.heldBy(call, identity.PrincipalID) {
			missing = append(missing, text)
		}
	}
	return missing
}
