// Package operationalinsights provides the Microsoft.OperationalInsights namespace as far as other resources refer to it: log analytics workspaces as
// documents of the resource manager, with names, tags and access control. Its data plane is not part of it.
package operationalinsights

import (
	"github.com/alvara-ml/alvara/arm"
)

// Workspaces declares Microsoft.OperationalInsights/workspaces. Properties are kept as they are given.
func Workspaces() arm.Type {
	return arm.Define(arm.Spec[map[string]any]{
		Type: "Microsoft.OperationalInsights/workspaces", Tracked: true, APIVersions: []string{"2022-10-01"},
	})
}
