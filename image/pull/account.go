package pull

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/alvara-ml/alvara/resource"
)

// Account is as whom one host is spoken to. It may be used concurrently, and keeps what it got of the host for the next use.
type Account struct {
	registry name.Registry
	auth     authn.Authenticator
	http     http.RoundTripper // lets the credential go to the host alone
}

// Account gives the account for a host as references write it; nil, without an error, where the host is given no credential.
// An identity's for a host that is not trusted is Forbidden.
func (r *Registries) Account(host string) (*Account, error) {
	registry, err := name.NewRegistry(host)
	if err != nil {
		return nil, resource.Invalidf("InvalidReference", "The registry %q is no host; write host[:port].", host)
	}
	return r.account(registry)
}

func (r *Registries) account(registry name.Registry) (*Account, error) {
	host := registry.RegistryStr()
	credential, ok := r.Credentials[host]
	switch {
	case !ok:
		return nil, nil
	case credential.Identity != "":
		if !r.own(host) && !slices.Contains(r.Trusted, host) {
			return nil, resource.Forbiddenf("RegistryNotTrusted",
				"The identity %s is to be used for the registry %s, which is none of this server's; tokens of identities go to trusted registries alone. Have an administrator trust the host, or name a user and password for it.", r.who(host), host)
		}
		guard := &sameHost{inner: r.transport(), host: host, secure: true}
		return &Account{registry: registry, http: guard, auth: &exchange{host: host, all: r, http: guard, identity: credential.Identity}}, nil
	}
	guard := &sameHost{inner: r.transport(), host: host, also: map[string]string{"index.docker.io": "auth.docker.io"}[host]}
	return &Account{registry: registry, http: guard, auth: basic(credential)}, nil
}

// AccessToken gets a token that is good for the host alone, for scopes such as repository:app:pull, and says how long it is
// good. Whose token service that is the host itself says, in an answer to this process. Errors: those of the identity's
// token; Forbidden when the host gives none; Unavailable when it cannot be asked.
func (a *Account) AccessToken(ctx context.Context, scopes []string) (string, time.Duration, error) {
	host := a.registry.RegistryStr()
	challenge, err := transport.Ping(ctx, a.registry, a.http)
	if err != nil {
		return "", 0, a.fault(ctx, err)
	}
	token, err := transport.Exchange(ctx, a.registry, a.auth, a.http, scopes, challenge)
	if err != nil {
		return "", 0, a.fault(ctx, err)
	}
	text := token.Token
	if text == "" {
		text = token.AccessToken
	}
	if text == "" {
		return "", 0, resource.Errorf(resource.Unavailable, "RegistryUnavailable", "The token service of the registry %s answers without a token.", host)
	}
	return text, time.Duration(token.ExpiresIn) * time.Second, nil
}

func (a *Account) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if known, ok := resource.AsError(err); ok {
		return known
	}
	host := a.registry.RegistryStr()
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		return resource.Forbiddenf("RegistryDenied", "The registry %s gives no token: %s", host, said(answer)).Because(err)
	}
	return resource.Errorf(resource.Unavailable, "RegistryUnreachable", "The registry %s cannot be asked for a token: %v", host, err).Because(err)
}

// Password gives the user name and password of an account that has them, and nothing of an identity.
func (a *Account) Password() (username, password string) {
	if _, identity := a.auth.(*exchange); identity {
		return "", ""
	}
	config, err := a.auth.Authorization()
	if err != nil {
		return "", ""
	}
	return config.Username, config.Password
}
