// Package keyvault provides the Microsoft.KeyVault namespace as far as other resources refer to it: vaults as
// documents of the resource manager, with names, tags and access control. Its data plane is not part of it.
package keyvault

import (
	"regexp"

	"github.com/alvara-ml/alvara/arm"
)

// Vaults declares Microsoft.KeyVault/vaults. Properties are kept as they are given.
func Vaults() arm.Type {
	return arm.Define(arm.Spec[map[string]any]{
		Type: "Microsoft.KeyVault/vaults", Tracked: true, APIVersions: []string{"2023-07-01"},
		GlobalName: true,
		Name:       regexp.MustCompile(`^[A-Za-z](-?[A-Za-z0-9]){2,23}$`), NameRule: "3 to 24 letters, digits and single hyphens, beginning with a letter",
	})
}
