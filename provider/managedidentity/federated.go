package managedidentity

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const federatedType = arm.UserAssignedIdentities + "/federatedIdentityCredentials"

// Credential is the properties of a federated credential: tokens of Issuer for Subject and one of Audiences are accepted
// in place of a secret of the identity.
type Credential struct {
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

// Directory is what federated credentials need of the directory.
type Directory interface {
	SetFederatedCredentialsOps(principalID string, credentials []identity.FederatedCredential) ([]store.Op, error)
}

// FederatedCredentials declares the federated credentials of user-assigned identities.
func FederatedCredentials(directory Directory) arm.Type {
	return arm.Define(arm.Spec[Credential]{
		Type: federatedType, APIVersions: apiVersions, Strict: true,
		Commit: func(ctx context.Context, change *arm.Change[Credential]) ([]store.Op, error) {
			return replace(ctx, change.Call, directory, change.Next)
		},
		Deleting: func(ctx context.Context, call *arm.Call, r *arm.Resource[Credential]) ([]store.Op, error) {
			if !call.Target.Type.Is(federatedType) { // goes with its identity
				return nil, nil
			}
			return replace(ctx, call, directory, nil)
		},
	})
}

// replace gives the op that leaves the identity with all its stored credentials, the target's own replaced by next or, when
// next is nil, removed.
func replace(ctx context.Context, call *arm.Call, directory Directory, next *arm.Resource[Credential]) ([]store.Op, error) {
	parent, self := call.Target.ID.Parent(), call.Target.ID
	owner, err := call.Manager.Store.Get(ctx, parent.Key())
	if err != nil {
		return nil, err
	}
	var holder arm.Resource[Properties]
	if err := json.Unmarshal(owner.Body, &holder); err != nil {
		return nil, err
	}
	docs, err := call.Manager.Below(ctx, parent, federatedType)
	if err != nil {
		return nil, err
	}
	var all []identity.FederatedCredential
	for _, doc := range docs {
		var r arm.Resource[Credential]
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			return nil, err
		}
		if r.ID.Equal(self) {
			continue
		}
		if next != nil && r.Properties.Issuer == next.Properties.Issuer && r.Properties.Subject == next.Properties.Subject {
			return nil, resource.Conflictf("FederatedIdentityCredentialExists", "The credential '%s' has the same issuer and subject; one of the two must differ.", r.Name).At("properties.subject")
		}
		all = append(all, credential(&r))
	}
	if next != nil {
		if len(next.Properties.Audiences) == 0 {
			next.Properties.Audiences = []string{"api://AzureADTokenExchange"}
		}
		if !strings.HasPrefix(next.Properties.Issuer, "https://") {
			return nil, resource.Invalidf("InvalidIssuer", "properties.issuer is %q; the https:// URL of an OpenID Connect issuer was expected", next.Properties.Issuer).At("properties.issuer")
		}
		if next.Properties.Subject == "" {
			return nil, resource.Invalidf("InvalidSubject", "properties.subject is missing; the subject of the issuer's tokens was expected").At("properties.subject")
		}
		all = append(all, credential(next))
	}
	return directory.SetFederatedCredentialsOps(holder.Properties.PrincipalID, all)
}

func credential(r *arm.Resource[Credential]) identity.FederatedCredential {
	return identity.FederatedCredential{ID: r.ID.Key(), Name: r.Name, Issuer: r.Properties.Issuer, Subject: r.Properties.Subject, Audiences: r.Properties.Audiences}
}
