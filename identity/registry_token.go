package identity

import (
	"errors"
	"fmt"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// registryIssuer is the iss of the tokens of container registries. It is no issuer of access tokens, so that neither kind
// is ever taken for the other.
const registryIssuer = "urn:alvara:registry"

// RegistryTokenUse says what a registry's token is for.
type RegistryTokenUse string

// The two tokens of a registry: one that is exchanged for access tokens, and one that requests carry.
const (
	RegistryRefresh RegistryTokenUse = "refresh_token"
	RegistryAccess  RegistryTokenUse = "access_token"
)

// RegistryScope is one thing that an access token of a registry may be used for.
type RegistryScope struct {
	Type    string   `json:"type"` // repository or registry
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// RegistryClaims are what a token of a container registry says. All texts are ASCII without '?' and '~': then the payload
// is the same in both base64 alphabets, and clients that read it with the plain one succeed.
type RegistryClaims struct {
	Use        RegistryTokenUse `json:"grant_type"`
	Issuer     string           `json:"iss"`
	Audience   string           `json:"aud"` // the registry's login server
	Registry   string           `json:"rid"` // the registry's key
	ID         string           `json:"jti"`
	Subject    string           `json:"sub"`           // object id of the holder, or the name of the admin user
	Generation string           `json:"gen,omitempty"` // of the admin user's passwords; "" for all others
	Scopes     []RegistryScope  `json:"access,omitempty"`
	IssuedAt   int64            `json:"iat"`
	NotBefore  int64            `json:"nbf"`
	Expires    int64            `json:"exp"`
	Version    string           `json:"version"`
}

// SignRegistry makes a token of a registry. The caller fills Use, Audience, Registry, Subject, Generation and Scopes.
func (k *Keys) SignRegistry(claims RegistryClaims, now time.Time, lifetime time.Duration) (string, error) {
	claims.Issuer, claims.ID, claims.Version = registryIssuer, randomText(16), "1.0"
	claims.IssuedAt, claims.NotBefore, claims.Expires = now.Unix(), now.Unix(), now.Add(lifetime).Unix()
	token, err := k.sign(&claims)
	if err == nil && len(token) > maxToken {
		return "", resource.Invalidf("InvalidScope", "the token would have %d bytes, and at most %d are allowed; ask for fewer scopes at once", len(token), maxToken)
	}
	return token, err
}

// VerifyRegistry checks the signature, the algorithm, the issuer, the use, the audience and the times of a registry's
// token. Errors are of kind Unauthenticated, with a message for the caller. Whether the registry is the same one and the
// holder may still act is for the caller to find out.
func (k *Keys) VerifyRegistry(token string, use RegistryTokenUse, audience string, now time.Time) (RegistryClaims, error) {
	var claims RegistryClaims
	if err := k.verifyOwn(token, &claims); errors.Is(err, errNoKey) {
		return claims, unauthenticated("InvalidToken", "the token's header names no key of this server; sign in to the registry again")
	} else if err != nil {
		return claims, unauthenticated("InvalidToken", "the token is not one that this server signed; sign in to the registry again").Because(err)
	}
	var fault string
	switch {
	case claims.Issuer != registryIssuer:
		fault = "it is not a token of a container registry; exchange it at /oauth2/exchange"
	case claims.Use != use:
		fault = fmt.Sprintf("it is not of the kind %s", use)
	case claims.Audience != audience:
		fault = fmt.Sprintf("it is for the registry '%.200s' and this is '%s'", claims.Audience, audience)
	case now.Add(clockSkew).Unix() < claims.NotBefore:
		fault = "it is not valid yet"
	case now.Unix() >= claims.Expires:
		fault = "it expired at " + time.Unix(claims.Expires, 0).UTC().Format(time.RFC3339)
	default:
		return claims, nil
	}
	return claims, unauthenticated("InvalidToken", "the token does not hold: %s; sign in to the registry again", fault)
}
