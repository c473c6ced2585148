package materialize

import (
	"context"
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/alvara-ml/alvara/resource"
)

// managed is the identity that the process runs as, by the endpoint that its environment names.
type managed struct{ azcore.TokenCredential }

func newManaged() (managed, error) {
	credential, err := azidentity.NewManagedIdentityCredential(nil)
	return managed{credential}, err
}

// GetToken implements azcore.TokenCredential. An endpoint that refuses is a fault that a repetition does not cure: the
// identity is gone or disabled, or the run has ended.
func (m managed) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := m.TokenCredential.GetToken(ctx, options)
	var failed *azidentity.AuthenticationFailedError
	if err == nil || !errors.As(err, &failed) || failed.RawResponse == nil {
		return token, err
	}
	if status := failed.RawResponse.StatusCode; status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden {
		return token, refusedToken{reason: resource.Errorf(resource.Unauthenticated, "ManagedIdentityUnavailable",
			"it gets no token, because it was deleted or disabled.").Because(err)}
	}
	return token, err
}

// refusedToken keeps clients from asking again.
type refusedToken struct{ reason *resource.Error }

func (r refusedToken) Error() string { return r.reason.Error() }

// NonRetriable marks the error for the clients of the Azure SDK.
func (refusedToken) NonRetriable() {}

// Unwrap lets resource.AsError find the error.
func (r refusedToken) Unwrap() error { return r.reason }
