package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// client is the program that asks for a token.
type client struct {
	id        string
	principal Principal // of an application or managed identity; zero for the well-known public clients
	proof     string    // appidacr: "0" none, "1" secret, "2" assertion
	family    bool      // shares refresh tokens with the other well-known public clients
}

// authenticateClient finds the client and checks its proof. Public clients have none, and may not use the grants that
// need one.
func (s *Service) authenticateClient(r *http.Request, request *tokenRequest, confidential bool) (client, error) {
	form := request.form
	id, secret, assertion := form.Get("client_id"), form.Get("client_secret"), form.Get("client_assertion")
	if user, password, ok := r.BasicAuth(); ok {
		// RFC 6749, 2.3.1: both are form-encoded inside of Basic.
		name, errName := url.QueryUnescape(user)
		word, errWord := url.QueryUnescape(password)
		if errName != nil || errWord != nil || id != "" && !sameID(id, name) || secret != "" || assertion != "" {
			return client{}, refuse(codeBodyMalformed, "Invalid request. The client proves itself in two different ways; use one.")
		}
		id, secret = name, word
	}
	if secret != "" && assertion != "" {
		return client{}, refuse(codeBodyMalformed, "Invalid request. The client sends both 'client_secret' and 'client_assertion'; use one.")
	}
	if id == "" && assertion != "" {
		id = unverifiedSubject(assertion)
	}
	if id == "" {
		return client{}, missing("client_id")
	}
	id = strings.ToLower(id)
	if slices.ContainsFunc(s.config.PublicClients, func(known string) bool { return sameID(known, id) }) {
		return publicClient(client{id: id, proof: "0", family: true}, secret != "" || assertion != "", confidential)
	}
	directory := s.config.Directory
	principal, exists := directory.FindByClientID(id)
	application, registered := directory.Application(id)
	switch {
	case !exists || registered && !sameID(application.AppID, id):
		return client{}, refuse(codeClientUnknown, "Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.", id, directory.TenantID())
	case registered && application.PublicClient && secret == "" && assertion == "":
		return publicClient(client{id: id, principal: principal, proof: "0"}, false, confidential)
	case secret != "":
		c := client{id: id, principal: principal, proof: "1"}
		return c, s.checkSecret(application, secret, request)
	case assertion != "":
		if form.Get("client_assertion_type") != assertionType {
			return client{}, refuse(codeAssertionType, "The 'client_assertion_type' must be '%s'.", assertionType)
		}
		c := client{id: id, principal: principal, proof: "2"}
		return c, s.checkAssertion(r, request, c, application, assertion)
	}
	return client{}, unproven()
}

func publicClient(c client, presents, confidential bool) (client, error) {
	switch {
	case presents:
		return client{}, refuse(codeClientPublic, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	case confidential:
		return client{}, unproven()
	}
	return c, nil
}

func unproven() *oauthError {
	return refuse(codeClientUnproven, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
}

// checkSecret compares with every registered secret, in constant time each.
func (s *Service) checkSecret(application ApplicationObject, secret string, request *tokenRequest) error {
	sum := sha256.Sum256([]byte(secret))
	expired := ""
	for _, known := range application.Passwords {
		if subtle.ConstantTimeCompare(known.Hash, sum[:]) != 1 {
			continue
		}
		if request.now.Before(known.End) {
			return nil
		}
		expired = known.KeyID
	}
	if expired != "" {
		return refuse(codeSecretExpired, "The provided client secret keys for app '%s' are expired (key %s). Make a new one with `ad app credential reset`.", application.AppID, expired)
	}
	return refuse(codeSecretWrong, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", request.form.Get("client_id"))
}
