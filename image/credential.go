package image

import (
	"context"
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// registryAudience is whom tokens for registries are for.
const registryAudience = "https://containerregistry.azure.net"

// ManagedToken gets a token of one of the run's identities from the endpoint that the environment names.
func ManagedToken(ctx context.Context, clientID string) (string, error) {
	options := &azidentity.ManagedIdentityCredentialOptions{}
	if clientID != pull.System {
		options.ID = azidentity.ClientID(clientID)
	}
	credential, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		return "", err
	}
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{registryAudience + "/.default"}})
	var failed *azidentity.AuthenticationFailedError
	if errors.As(err, &failed) && failed.RawResponse != nil {
		// A repetition does not cure these: the identity is gone, disabled or not the run's, or the run has ended.
		switch failed.RawResponse.StatusCode {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
			return "", resource.Errorf(resource.Unauthenticated, "ManagedIdentityUnavailable",
				"it was deleted or disabled, or the run does not have it.").Because(err)
		}
	}
	return token.Token, err
}
