package cli

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

// accountFlags say which account a command of the blob plane works on.
type accountFlags struct {
	AccountName  string `name:"account-name" required:"" help:"Storage account."`
	BlobEndpoint string `name:"blob-endpoint" aliases:"account-url" help:"URL of the account, where it is not the server's usual form."`
	AuthMode     string `name:"auth-mode" enum:"login" default:"login" help:"How to sign in: ${enum}. Keys are never used."`
}

// url is the account's own URL: where the plane's address has {account} in it, otherwise as the first part of the path.
func (a accountFlags) url(c *Call) (string, error) {
	if a.BlobEndpoint != "" {
		_, err := c.signedIn()
		return strings.TrimRight(a.BlobEndpoint, "/"), err
	}
	base, err := c.plane("blob plane", "ALVARA_BLOB_ENDPOINT", func(e profile.Endpoints) string { return e.Blob })
	if err != nil {
		return "", err
	}
	if strings.Contains(base, "{account}") {
		return strings.ReplaceAll(base, "{account}", segment(a.AccountName)), nil
	}
	return base + "/" + segment(a.AccountName), nil
}

func (a accountFlags) client(c *Call) (*service.Client, error) {
	url, err := a.url(c)
	if err != nil {
		return nil, err
	}
	return service.NewClient(url, credential{c.issuer}, &service.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: c.issuer.HTTP,
		Retry:     policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second},
	}})
}

// credential lets Azure's own storage client sign in as whom is signed in here.
type credential struct{ issuer *profile.Issuer }

// GetToken implements azcore.TokenCredential.
func (t credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	resource := profile.Storage
	if len(options.Scopes) > 0 {
		resource = strings.TrimRight(strings.TrimSuffix(options.Scopes[0], ".default"), "/") + "/"
	}
	token, err := t.issuer.Token(ctx, resource)
	return azcore.AccessToken{Token: token.AccessToken, ExpiresOn: token.ExpiresOn}, err
}

// storageError brings an error of Azure's storage client into our form; nil when it is something else.
func storageError(err error) *wire.Error {
	var refused *azcore.ResponseError
	if !errors.As(err, &refused) {
		return nil
	}
	header, body := http.Header{}, []byte(nil)
	if refused.RawResponse != nil {
		header = refused.RawResponse.Header
		if payload, err := runtime.Payload(refused.RawResponse); err == nil { // kept, so that it can be read again
			body = payload
		}
	}
	e := wire.ReadError(refused.StatusCode, header, body)
	if e.Code == "" {
		e.Code = refused.ErrorCode
	}
	return e
}
