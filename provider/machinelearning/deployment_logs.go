package machinelearning

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// How many lines of a deployment's log are shown.
const (
	usualTail = 500
	mostTail  = 10_000
)

// deploymentLogs shows what there is to tell of a deployment, and what its instances wrote.
func (d Deps) deploymentLogs(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineDeployment]) (any, error) {
	var body struct {
		ContainerType string `json:"containerType"`
		Tail          *int   `json:"tail"`
	}
	if len(call.Body) > 0 {
		if err := arm.ReadBody(call.Body, &body); err != nil {
			return nil, err
		}
	}
	switch strings.ToLower(body.ContainerType) {
	case "", "inferenceserver", "storageinitializer": // both are told in one
	default:
		return nil, resource.Invalidf("InvalidParameter", "containerType is %q; InferenceServer or StorageInitializer was expected", body.ContainerType).At("containerType")
	}
	lines := usualTail
	if body.Tail != nil {
		lines = *body.Tail
	}
	if lines < 1 || lines > mostTail {
		return nil, resource.Invalidf("InvalidParameter", "tail is %d; 1 to %d lines were expected", lines, mostTail).At("tail")
	}
	text, err := d.Serving.Logs(ctx, r.ID.Key(), lines)
	if err != nil {
		return nil, err
	}
	return map[string]any{"content": text}, nil
}

// deploymentSizes tells how far a deployment can be scaled.
func deploymentSizes(_ context.Context, _ *arm.Call, r *arm.Resource[OnlineDeployment]) (any, error) {
	return map[string]any{"value": []any{map[string]any{
		"resourceType": r.Type, "sku": map[string]any{"name": "Default"},
		"capacity": map[string]any{"minimum": 1, "maximum": maxInstances, "default": 1, "scaleType": "Manual"},
	}}}, nil
}
