package identity

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// checkFederation checks another issuer's token that stands for a client (workload identity federation). A registered
// credential must match issuer, subject and audience first: only then is the issuer asked for its keys, so nobody can send
// the server to an address that no administrator wrote down.
func (s *Service) checkFederation(ctx context.Context, request *tokenRequest, c client, application ApplicationObject, assertion string, claims assertionClaims) error {
	credentials := application.FederatedCredentials
	if c.principal.ResourceID != "" {
		service, _ := s.config.Directory.ServicePrincipal(c.principal.ID)
		credentials = service.FederatedCredentials
	}
	if !slices.ContainsFunc(credentials, func(f FederatedCredential) bool { return s.federates(f, claims) }) {
		return refuse(codeFederationUnmatched, "No matching federated identity record found for presented assertion. Assertion Issuer: '%s'. Assertion Subject: '%s'. Assertion Audience: '%s'.",
			claims.Issuer, claims.Subject, firstOf(claims.Audience))
	}
	var verified assertionClaims
	if slices.Contains(s.issuers, claims.Issuer) {
		if err := s.config.Keys.verifyOwn(assertion, &verified); err != nil {
			return refuse(codeAssertionKey, "Client assertion failed signature validation.").because(err)
		}
		// Our own token speaks for its subject only as long as the subject itself may act.
		if _, active := s.config.Directory.Active(verified.Subject); !active {
			return refuse(codeFederationUnmatched, "The principal %s that the assertion was issued to does not exist or is disabled.", verified.Subject)
		}
	} else {
		payload, err := s.verifyForeign(ctx, claims.Issuer, assertion)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(payload, &verified); err != nil {
			return refuse(codeAssertionType, "The claims of the client assertion cannot be read.").because(err)
		}
	}
	return checkTimes(verified, request.now, 0)
}

func (s *Service) federates(f FederatedCredential, claims assertionClaims) bool {
	ours := slices.Contains(s.issuers, f.Issuer) && slices.Contains(s.issuers, claims.Issuer)
	return (f.Issuer == claims.Issuer || ours) && f.Subject == claims.Subject &&
		slices.ContainsFunc(claims.Audience, func(a string) bool { return slices.Contains(f.Audiences, a) })
}

func (s *Service) verifyForeign(ctx context.Context, issuer, assertion string) ([]byte, error) {
	parsed, header, err := parseJWS(assertion, jose.RS256, jose.PS256, jose.ES256)
	if err != nil {
		return nil, refuse(codeAssertionType, "The client assertion is malformed.").because(err)
	}
	key, err := s.foreign.find(ctx, issuer, header.KeyID)
	if errors.Is(err, errNoKey) {
		return nil, refuse(codeAssertionKey, "The key '%s' that signed the client assertion is not among the keys of its issuer %s.", header.KeyID, issuer)
	}
	if err != nil {
		return nil, refuse(codeFederationKeys, "The keys of the issuer %s cannot be read: it must answer at /.well-known/openid-configuration with its own name and a jwks_uri.", issuer).because(err)
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return nil, refuse(codeAssertionKey, "Client assertion failed signature validation.").because(err)
	}
	return payload, nil
}

func firstOf(a audience) string {
	if len(a) == 0 {
		return ""
	}
	return a[0]
}
