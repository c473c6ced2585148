// Package containerregistry provides the Microsoft.ContainerRegistry namespace as far as other resources refer to it: container registries as
// documents of the resource manager, with names, tags and access control. Its data plane is not part of it.
package containerregistry

import (
	"regexp"

	"github.com/alvara-ml/alvara/arm"
)

// Registries declares Microsoft.ContainerRegistry/registries. Properties are kept as they are given.
func Registries() arm.Type {
	return arm.Define(arm.Spec[map[string]any]{
		Type: "Microsoft.ContainerRegistry/registries", Tracked: true, APIVersions: []string{"2023-07-01"},
		GlobalName: true,
		Name:       regexp.MustCompile(`^[A-Za-z0-9]{5,50}$`), NameRule: "5 to 50 letters and digits",
	})
}
