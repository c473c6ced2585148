// Package resources provides the Microsoft.Resources namespace: tenants, subscriptions, resource groups, the list of all
// resources, and the list of providers.
package resources

import (
	"context"
	"regexp"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Group is the properties of a resource group: it has none but its provisioning state.
type Group struct{}

// Groups declares resource groups. Deleting one removes all that it holds, as a long-running operation.
func Groups() arm.Type {
	return arm.Define(arm.Spec[Group]{
		Type:        resource.TypeResourceGroup,
		Tracked:     true,
		APIVersions: apiVersions,
		Name:        regexp.MustCompile(`^[\p{L}\p{N}_\-.()]{0,89}[\p{L}\p{N}_\-()]$`),
		NameRule:    "1 to 90 letters, digits, '.', '_', '-', '(' or ')', not ending in '.'",
		Listed:      groupsListed,
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Group]) {
			r.Type = "Microsoft.Resources/resourceGroups"
		},
	})
}

// groupsListed reads the $filter of the list of groups, by tags or by name.
func groupsListed(call *arm.Call) (func(*arm.Resource[Group]) bool, error) {
	keep, err := parseFilter(call.QueryValue("$filter"))
	return func(r *arm.Resource[Group]) bool {
		tags := make(map[string]any, len(r.Tags))
		for name, value := range r.Tags {
			tags[name] = value
		}
		return keep(map[string]any{"id": r.ID.String(), "name": r.Name, "type": string(r.Type), "location": r.Location, "tags": tags})
	}, err
}

var apiVersions = []string{"2022-12-01", "2021-04-01", "2020-06-01"}
