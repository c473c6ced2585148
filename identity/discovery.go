package identity

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// openIDConfiguration answers OpenID Connect discovery, in the form (v1 or v2) of its address.
func (s *Service) openIDConfiguration(w http.ResponseWriter, r *http.Request) error {
	tenant, err := s.checkTenant(r)
	if err != nil {
		return err
	}
	base, version, oauth, keys := s.authority(r)+"/"+tenant, 1, "/oauth2", "/discovery/keys"
	if strings.Contains(r.URL.Path, "/v2.0/") {
		version, oauth, keys = 2, "/oauth2/v2.0", "/discovery/v2.0/keys"
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                issuerOf(s.authority(r), s.config.Directory.TenantID(), version),
		"authorization_endpoint":                base + oauth + "/authorize",
		"token_endpoint":                        base + oauth + "/token",
		"jwks_uri":                              base + keys,
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic", "private_key_jwt"},
		"grant_types_supported":                 sortedKeys(s.grants),
		"response_types_supported":              []string{"code", "id_token", "token"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "tid", "oid", "ver", "name", "preferred_username"},
		"tenant_region_scope":                   nil,
		"cloud_instance_name":                   hostOf(s.authority(r)),
	})
	return nil
}

// keySet answers the public keys. They are public, so any tenant name that is ours will do.
func (s *Service) keySet(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.checkTenant(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	_, err := w.Write(s.config.Keys.JWKS())
	return err
}

// instance answers instance discovery: whether an authority is one of ours. Clients drop the port there, so host names are
// compared without it.
func (s *Service) instance(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	asked, err := url.Parse(query.Get("authorization_endpoint"))
	if err != nil || asked.Host == "" {
		return refuse(codeParameterMissing, "The request must contain the following parameter: 'authorization_endpoint', an https address.")
	}
	version := query.Get("api-version")
	if version != "1.0" && version != "1.1" {
		return refuse(codeParameterMissing, "The request must contain the following parameter: 'api-version', which is 1.0 or 1.1.")
	}
	authority := ""
	for _, known := range s.config.authorities() {
		if u, err := url.Parse(known); err == nil && strings.EqualFold(u.Hostname(), asked.Hostname()) {
			authority = known
			break
		}
	}
	if authority == "" {
		return refuse(codeInstanceUnknown, "Unknown or invalid instance '%s'.", asked.Host)
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(asked.Path, "/"), "/")
	r.SetPathValue("tenant", strings.ToLower(tenant))
	if _, err := s.checkTenant(r); err != nil {
		return err
	}
	answer := map[string]any{
		"tenant_discovery_endpoint": authority + "/" + tenant + "/v2.0/.well-known/openid-configuration",
	}
	if version == "1.1" {
		host := hostOf(authority)
		aliases := []string{host}
		if name, _, hasPort := strings.Cut(host, ":"); hasPort {
			aliases = append(aliases, name)
		}
		slices.Sort(aliases)
		answer["api-version"] = version
		answer["metadata"] = []map[string]any{{"preferred_network": host, "preferred_cache": host, "aliases": aliases}}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// userRealm says how a user signs in: here, always. It tells nothing about whether the user exists.
func (s *Service) userRealm(w http.ResponseWriter, r *http.Request) error {
	_, domain, _ := strings.Cut(r.PathValue("user"), "@")
	writeJSON(w, http.StatusOK, map[string]any{
		"ver": "1.0", "account_type": "Managed", "domain_name": domain,
		"cloud_instance_name": hostOf(s.authority(r)), "cloud_audience_urn": "urn:federation:MicrosoftOnline",
	})
	return nil
}

func hostOf(authority string) string { return strings.TrimPrefix(authority, "https://") }
