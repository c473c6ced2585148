package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const maxAssertionLifetime = 24 * time.Hour

// assertionClaims are the claims of a client assertion (RFC 7523), ours or another issuer's.
type assertionClaims struct {
	Issuer    string       `json:"iss"`
	Subject   string       `json:"sub"`
	Audience  audience     `json:"aud"`
	ID        string       `json:"jti"`
	Expires   *numericDate `json:"exp"`
	NotBefore numericDate  `json:"nbf"`
	IssuedAt  numericDate  `json:"iat"`
}

// checkAssertion checks a client assertion: one that the client signed itself with a registered certificate, or a token
// of another issuer that a federated credential names.
func (s *Service) checkAssertion(r *http.Request, request *tokenRequest, c client, application ApplicationObject, assertion string) error {
	parsed, header, err := parseJWS(assertion, jose.RS256, jose.PS256, jose.ES256)
	if err != nil {
		return refuse(codeAssertionType, "The client assertion is malformed or signed with an algorithm other than RS256, PS256 or (federated) ES256.").because(err)
	}
	var claims assertionClaims
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return refuse(codeAssertionType, "The claims of the client assertion cannot be read.").because(err)
	}
	if sameID(claims.Issuer, c.id) {
		return s.checkCertificate(r, request, application, parsed, header)
	}
	return s.checkFederation(r.Context(), request, c, application, assertion, claims)
}

// checkCertificate verifies an assertion with the registered certificate that its x5t or x5t#S256 names. A key or
// certificate that the assertion brings along is not looked at.
func (s *Service) checkCertificate(r *http.Request, request *tokenRequest, application ApplicationObject, parsed *jose.JSONWebSignature, header jose.Header) error {
	if header.Algorithm == string(jose.ES256) {
		return refuse(codeAssertionKey, "Client assertion contains an invalid signature: ES256 is not offered for certificates, use RS256 or PS256.")
	}
	key, ok := namedCertificate(application.Keys, header)
	if !ok {
		return refuse(codeAssertionKey, "The certificate with identifier used to sign the client assertion is not registered on application '%s'; its header must name a registered one by x5t or x5t#S256.", application.AppID)
	}
	certificate, err := x509.ParseCertificate(key.Certificate)
	if err != nil {
		return err
	}
	payload, err := parsed.Verify(certificate.PublicKey)
	if err != nil {
		return refuse(codeAssertionKey, "Client assertion failed signature validation.").because(err)
	}
	if request.now.Before(key.Start.Add(-clockSkew)) || request.now.After(key.End) {
		return refuse(codeAssertionKey, "The certificate %s used to sign the client assertion is valid from %s to %s only.", key.KeyID, key.Start.Format(time.RFC3339), key.End.Format(time.RFC3339))
	}
	var claims assertionClaims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return refuse(codeAssertionType, "The claims of the client assertion cannot be read.").because(err)
	}
	switch {
	case !sameID(claims.Issuer, application.AppID) || !sameID(claims.Subject, application.AppID):
		return refuse(codeAssertionClient, "Client assertion application identifier doesn't match 'client_id' parameter: iss and sub must both be '%s'.", application.AppID)
	case !s.isAssertionAudience(claims.Audience):
		return refuse(codeAssertionAudience, "Client assertion audience claim does not match Realm issuer: %q is not the token endpoint of this service.", strings.Join(claims.Audience, " "))
	case claims.ID == "":
		return refuse(codeAssertionType, "The client assertion has no 'jti'.")
	}
	if err := checkTimes(claims, request.now, maxAssertionLifetime); err != nil {
		return err
	}
	token := sha256.Sum256([]byte(request.form.Get("client_assertion")))
	if !s.replays.use(application.AppID+" "+claims.ID, token, remoteIP(r), claims.Expires.time().Add(clockSkew), request.now) {
		return refuse(codeAssertionReplayed, "The client assertion with jti '%s' has been used before.", claims.ID)
	}
	return nil
}

func checkTimes(claims assertionClaims, now time.Time, longest time.Duration) error {
	switch {
	case claims.Expires == nil:
		return refuse(codeAssertionTime, "Client assertion is not within its valid time range: it has no 'exp'.")
	case !now.Before(claims.Expires.time().Add(clockSkew)):
		return refuse(codeAssertionTime, "Client assertion is not within its valid time range: it expired at %s and it is %s.",
			claims.Expires.time().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case claims.NotBefore.time().After(now.Add(clockSkew)):
		return refuse(codeAssertionTime, "Client assertion is not within its valid time range: it becomes valid at %s and it is %s.",
			claims.NotBefore.time().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case longest > 0 && claims.Expires.time().After(now.Add(longest+clockSkew)):
		return refuse(codeAssertionTime, "Client assertion is not within its valid time range: it would be valid for more than %v.", longest)
	}
	return nil
}

// isAssertionAudience accepts the token endpoints and the issuers, in the v1 and v2 forms.
func (s *Service) isAssertionAudience(asked audience) bool {
	for _, authority := range s.config.authorities() {
		for _, tenant := range []string{s.config.Directory.TenantID(), "organizations", "common", "adfs"} {
			base := authority + "/" + tenant
			for _, form := range []string{"", "/", "/v2.0", "/oauth2/token", "/oauth2/v2.0/token"} {
				if slices.ContainsFunc(asked, func(a string) bool { return strings.EqualFold(a, base+form) }) {
					return true
				}
			}
		}
	}
	return false
}

// namedCertificate finds the certificate that the header names. When it has both thumbprints they must agree.
func namedCertificate(keys []KeyCredential, header jose.Header) (KeyCredential, bool) {
	short, hasShort := thumbprint(header, "x5t")
	long, hasLong := thumbprint(header, "x5t#S256")
	if !hasShort && !hasLong && header.KeyID != "" {
		// Some clients write the SHA-1 thumbprint as kid, in hexadecimal; only x5t and x5t#S256 count here.
		return KeyCredential{}, false
	}
	for _, key := range keys {
		if (hasShort || hasLong) && (!hasShort || bytes.Equal(short, key.ThumbprintSHA1)) && (!hasLong || bytes.Equal(long, key.ThumbprintSHA256)) {
			return key, true
		}
	}
	return KeyCredential{}, false
}

// thumbprint reads a thumbprint in base64url or, as MSAL for Go writes it, base64.
func thumbprint(header jose.Header, name jose.HeaderKey) ([]byte, bool) {
	text, ok := header.ExtraHeaders[name].(string)
	if !ok || text == "" {
		return nil, false
	}
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return raw, err == nil
}

// unverifiedSubject reads sub from an assertion, only to find the client whose keys then verify it.
func unverifiedSubject(assertion string) string {
	parsed, _, err := parseJWS(assertion, jose.RS256, jose.PS256)
	if err != nil {
		return ""
	}
	var claims assertionClaims
	if json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims) != nil {
		return ""
	}
	return claims.Subject
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
