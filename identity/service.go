package identity

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	clockSkew         = 60 * time.Second
	minAccessLifetime = 60 * time.Minute
	maxAccessLifetime = 75 * time.Minute
)

// Service is the token service: an http.Handler that speaks the Entra protocols, v1 and v2, for one tenant. All methods
// may be called concurrently.
//
// Every token request goes through one pipeline (see token): parse the form, authenticate the client, validate what is
// asked for, let the grant prove whom the token is for, check that this principal is active, issue. A grant only fills in
// its own step.
type Service struct {
	config  Config
	mux     *http.ServeMux
	grants  map[string]grant
	replays *replays
	foreign *foreignKeys
	issuers []string
}

// NewService makes a token service.
func NewService(config Config) (*Service, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	s := &Service{
		config: config, mux: http.NewServeMux(),
		replays: newReplays(config.SingleUseAssertions),
		foreign: newForeignKeys(config.HTTPClient, config.Clock),
		issuers: issuers(config.authorities(), config.Directory.TenantID()),
	}
	s.grants = map[string]grant{
		"client_credentials": {confidential: true, subject: s.clientCredentials},
		"refresh_token":      {scopeOptional: true, subject: s.refreshToken},
	}
	if config.PasswordGrant {
		s.grants["password"] = grant{user: true, subject: s.password}
	}
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /{tenant}/v2.0/.well-known/openid-configuration": s.openIDConfiguration,
		"GET /{tenant}/.well-known/openid-configuration":      s.openIDConfiguration,
		"GET /{tenant}/discovery/v2.0/keys":                   s.keySet,
		"GET /{tenant}/discovery/keys":                        s.keySet,
		"GET /common/discovery/instance":                      s.instance,
		"GET /common/userrealm/{user}":                        s.userRealm,
		"POST /{tenant}/oauth2/v2.0/token":                    s.token,
		"POST /{tenant}/oauth2/token":                         s.token,
		"/": func(_ http.ResponseWriter, r *http.Request) error {
			return refuse(codePathUnknown, "%s %s is not an address of the token service.", r.Method, r.URL.Path)
		},
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				s.writeError(w, r, err)
			}
		})
	}
	return s, nil
}

// ServeHTTP answers the addresses of the token service, in any case and with or without a slash at the end.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r2 := r.Clone(r.Context())
	r2.URL.Path = strings.ToLower(strings.TrimSuffix(r.URL.Path, "/"))
	r2.URL.RawPath = ""
	if r2.URL.Path == "" {
		r2.URL.Path = "/"
	}
	s.mux.ServeHTTP(w, r2)
}

// Handles tells whether a path belongs to the token service, for a listener that it shares with others.
func (s *Service) Handles(path string) bool {
	segments := strings.Split(strings.ToLower(strings.Trim(path, "/")), "/")
	if len(segments) < 2 {
		return false
	}
	switch segments[1] {
	case "oauth2", "discovery", ".well-known":
		return true
	case "v2.0":
		return len(segments) > 2 && segments[2] == ".well-known"
	case "userrealm":
		return segments[0] == "common"
	}
	return false
}

// Maintain rotates the signing keys and removes refresh tokens that have expired. Call it about once an hour.
func (s *Service) Maintain(ctx context.Context) error {
	return errors.Join(s.config.Keys.Maintain(ctx), s.sweepRefreshTokens(ctx))
}

// authority is the address that the client speaks to: the alias that Host names, or the service's own.
func (s *Service) authority(r *http.Request) string {
	for _, alias := range s.config.Aliases {
		if u, err := url.Parse(alias); err == nil && strings.EqualFold(u.Host, strings.TrimSuffix(r.Host, ":443")) {
			return alias
		}
	}
	return s.config.Authority
}

// checkTenant refuses the tenants of others. "adfs" is the form that makes MSAL skip instance discovery.
func (s *Service) checkTenant(r *http.Request) (string, error) {
	tenant := r.PathValue("tenant")
	switch tenant {
	case s.config.Directory.TenantID(), "organizations", "common", "adfs":
		return tenant, nil
	}
	return "", refuse(codeTenantUnknown, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud; "+
		"this service holds the tenant %s.", tenant, s.config.Directory.TenantID())
}
