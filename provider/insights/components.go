// Package insights provides the Microsoft.Insights namespace as far as other resources refer to it: application insights components as
// documents of the resource manager, with names, tags and access control. Its data plane is not part of it.
package insights

import (
	"github.com/alvara-ml/alvara/arm"
)

// Components declares Microsoft.Insights/components. Properties are kept as they are given.
func Components() arm.Type {
	return arm.Define(arm.Spec[map[string]any]{
		Type: "Microsoft.Insights/components", Tracked: true, APIVersions: []string{"2020-02-02"},
	})
}
