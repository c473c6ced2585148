// Package managedidentity provides the Microsoft.ManagedIdentity namespace: user-assigned identities and the federated
// credentials by which outside issuers vouch for them. The principals live in the directory.
package managedidentity

import (
	"context"
	"regexp"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/store"
)

var apiVersions = []string{"2024-11-30", "2023-01-31", "2022-01-31-preview", "2018-11-30"}

// Properties are those of a user-assigned identity; the service sets them all. An identity that is deleted and made again
// has other ids.
type Properties struct {
	TenantID    string `json:"tenantId"`
	PrincipalID string `json:"principalId"`
	ClientID    string `json:"clientId"`
}

// Identities declares user-assigned identities.
func Identities() arm.Type {
	return arm.Define(arm.Spec[Properties]{
		Type: arm.UserAssignedIdentities, Tracked: true, APIVersions: apiVersions,
		Name: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{2,127}$`), NameRule: "3 to 128 letters, digits, '_' or '-', beginning with a letter or digit",
		Commit: func(_ context.Context, change *arm.Change[Properties]) ([]store.Op, error) {
			if change.Prev != nil {
				change.Next.Properties = change.Prev.Properties
				return nil, nil
			}
			made, ops, err := change.Manager.Identities.ManagedIdentityOps(change.Next.ID, change.Next.Name)
			change.Next.Properties = Properties{TenantID: made.TenantID, PrincipalID: made.PrincipalID, ClientID: made.ClientID}
			return ops, err
		},
		Deleting: func(_ context.Context, call *arm.Call, r *arm.Resource[Properties]) ([]store.Op, error) {
			return call.Manager.Identities.RemoveOps(r.Properties.PrincipalID), nil
		},
	})
}
