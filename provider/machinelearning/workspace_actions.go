package machinelearning

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

func refuseKeys(_ context.Context, _ *arm.Call, r *arm.Resource[Workspace]) (any, error) {
	return nil, resource.Forbiddenf("KeyBasedAuthenticationNotPermitted", "What '%s' works with is used by identity; the workspace holds no keys to give.", r.ID)
}

// resyncKeys has nothing to read again: a workspace keeps no keys of the resources that it works with.
func resyncKeys(context.Context, *arm.Call, *arm.Resource[Workspace]) (any, error) {
	return &arm.Response{Status: 200}, nil
}
