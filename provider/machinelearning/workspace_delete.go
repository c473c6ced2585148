package machinelearning

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// allResources is the parameter of a deletion that takes along what was provisioned for the workspace.
const allResources = "deleteAllResources"

// alongWithWorkspace gives what a deletion takes along: nothing, unless it is asked for, and then what was provisioned for the
// workspace. What was brought along stays.
func alongWithWorkspace(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) ([]resource.ID, error) {
	text := call.QueryValue(allResources)
	if text == "" {
		return nil, nil
	}
	wanted, err := strconv.ParseBool(text)
	if err != nil {
		return nil, resource.Invalidf("InvalidParameter", "%s is %q; true or false was expected", allResources, text).At(allResources)
	}
	if !wanted {
		return nil, nil
	}
	var out []resource.ID
	for _, id := range append(referencesOfWorkspace(call, r), associated(r).logs) {
		doc, err := call.Manager.Store.Get(ctx, id.Key())
		if resource.KindOf(err) == resource.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		var found struct {
			Tags map[string]string `json:"tags"`
		}
		if err := json.Unmarshal(doc.Body, &found); err != nil {
			return nil, err
		}
		if strings.EqualFold(found.Tags[provisionedFor], r.ID.String()) {
			out = append(out, id)
		}
	}
	return out, nil
}
