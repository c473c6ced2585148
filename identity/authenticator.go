package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

const defaultCachedTokens = 8192

// AuthenticatorConfig is what an authenticator needs.
type AuthenticatorConfig struct {
	Directory *Directory
	Keys      *Keys
	Issuers   []string   // the iss that tokens may carry, exactly
	Resources []Resource // maps audiences to the names that Authenticate is called with
	Clock     func() time.Time
	Cache     int // verified tokens that are remembered; 0: 8192
}

// Authenticator turns a bearer token into a principal. A token that was verified once is remembered until it expires, so
// that its signature is not computed again; whether its holder exists and is enabled, and which groups hold it, is looked
// up on every call. All methods may be called concurrently.
type Authenticator struct {
	config AuthenticatorConfig

	mu       sync.RWMutex
	verified map[string]verifiedToken
}

type verifiedToken struct {
	principal string
	audience  string
	resources []string // names of the resources that the audience belongs to
	notBefore time.Time
	expires   time.Time
	serial    uint64 // of the keys that verified it
}

// NewAuthenticator makes an authenticator for the tokens of this server.
func NewAuthenticator(config AuthenticatorConfig) (*Authenticator, error) {
	if config.Directory == nil || config.Keys == nil || len(config.Issuers) == 0 || len(config.Resources) == 0 {
		return nil, errors.New("identity: an authenticator needs a directory, keys, issuers and resources")
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Cache <= 0 {
		config.Cache = defaultCachedTokens
	}
	return &Authenticator{config: config, verified: map[string]verifiedToken{}}, nil
}

// Authenticator makes an authenticator that takes the tokens of this service.
func (s *Service) Authenticator() (*Authenticator, error) {
	return NewAuthenticator(AuthenticatorConfig{
		Directory: s.config.Directory, Keys: s.config.Keys, Issuers: s.issuers, Resources: s.config.Resources, Clock: s.config.Clock,
	})
}

// Authenticate verifies a bearer token that is meant for the resource of that name and finds its holder. Refusals are
// resource.Errors of kind Unauthenticated, with the code AuthenticationFailed, InvalidAuthenticationToken,
// ExpiredAuthenticationToken, InvalidAuthenticationTokenAudience or InvalidAuthenticationTokenTenant.
func (a *Authenticator) Authenticate(_ context.Context, token, resourceName string) (Principal, error) {
	if token == "" {
		return Principal{}, unauthenticated("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing; send 'Bearer' and an access token.")
	}
	a.mu.RLock()
	known, ok := a.verified[token]
	a.mu.RUnlock()
	if !ok || known.serial != a.config.Keys.serial() {
		var err error
		if known, err = a.verify(token); err != nil {
			return Principal{}, err
		}
		a.remember(token, known)
	}
	now := a.config.Clock()
	switch {
	case !now.Before(known.expires.Add(clockSkew)):
		a.forget(token)
		return Principal{}, unauthenticated("ExpiredAuthenticationToken", "The access token expiry UTC time '%s' is earlier than current UTC time '%s'; get a new token.",
			known.expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case known.notBefore.After(now.Add(clockSkew)):
		return Principal{}, unauthenticated("InvalidAuthenticationToken", "The access token is not valid before UTC time '%s', and it is '%s'.",
			known.notBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case !slices.Contains(known.resources, resourceName):
		return Principal{}, unauthenticated("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource '%s'; ask for a token for %s.",
			known.audience, a.audiences(resourceName))
	}
	principal, active := a.config.Directory.Active(known.principal)
	if !active {
		return Principal{}, unauthenticated("InvalidAuthenticationToken", "The access token is invalid: its holder '%s' does not exist in the directory or is disabled.", known.principal)
	}
	return principal, nil
}

// verify checks what does not change over a token's life.
func (a *Authenticator) verify(token string) (verifiedToken, error) {
	serial := a.config.Keys.serial()
	var claims struct {
		Audience  string       `json:"aud"`
		Issuer    string       `json:"iss"`
		TenantID  string       `json:"tid"`
		ObjectID  string       `json:"oid"`
		IDType    string       `json:"idtyp"`
		NotBefore *numericDate `json:"nbf"`
		Expires   *numericDate `json:"exp"`
	}
	if err := a.config.Keys.verifyOwn(token, &claims); errors.Is(err, errNoKey) {
		return verifiedToken{}, unauthenticated("InvalidAuthenticationToken", "The access token is invalid: its header names no key of this server, or not the way in which this server signs; sign in to this server and get a new token.")
	} else if err != nil {
		return verifiedToken{}, unauthenticated("InvalidAuthenticationToken", "The access token is invalid: it is not a token that this server signed.").Because(err)
	}
	switch {
	case claims.TenantID != a.config.Directory.TenantID():
		return verifiedToken{}, unauthenticated("InvalidAuthenticationTokenTenant", "The access token is from the wrong tenant '%s'. It must match the tenant '%s' of this server.", claims.TenantID, a.config.Directory.TenantID())
	case !slices.Contains(a.config.Issuers, claims.Issuer):
		return verifiedToken{}, unauthenticated("InvalidAuthenticationToken", "The access token is from the wrong issuer '%s'. It must match one of '%v'.", claims.Issuer, a.config.Issuers)
	case claims.Expires == nil || claims.NotBefore == nil || claims.ObjectID == "" || claims.IDType == "":
		// An id_token is signed by us as well; it has no idtyp.
		return verifiedToken{}, unauthenticated("InvalidAuthenticationToken", "The access token is invalid: it is not an access token of this server.")
	}
	known := verifiedToken{
		principal: claims.ObjectID, audience: claims.Audience, notBefore: claims.NotBefore.time(), expires: claims.Expires.time(), serial: serial,
	}
	for _, r := range a.config.Resources {
		if r.holds(claims.Audience) {
			known.resources = append(known.resources, r.Name)
		}
	}
	return known, nil
}

// remember keeps a verified token. When the memory is full, expired tokens go first, then any.
func (a *Authenticator) remember(token string, known verifiedToken) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.verified) >= a.config.Cache {
		now := a.config.Clock()
		for other, v := range a.verified {
			if !now.Before(v.expires.Add(clockSkew)) {
				delete(a.verified, other)
			}
		}
		for other := range a.verified {
			if len(a.verified) <= a.config.Cache*3/4 {
				break
			}
			delete(a.verified, other)
		}
	}
	a.verified[token] = known
}

func (a *Authenticator) forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.verified, token)
}

func (a *Authenticator) audiences(resourceName string) string {
	for _, r := range a.config.Resources {
		if r.Name == resourceName && len(r.Identifiers) > 0 {
			return fmt.Sprintf("'%s'", r.Identifiers[0])
		}
	}
	return "'" + resourceName + "'"
}

func unauthenticated(code, format string, args ...any) *resource.Error {
	return resource.Errorf(resource.Unauthenticated, code, format, args...)
}
