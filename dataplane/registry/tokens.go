package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const (
	refreshLifetime = 3 * time.Hour
	accessLifetime  = 75 * time.Minute

	maxForm   = 64 << 10 // bytes
	maxScopes = 100
)

// form reads the parameters of a token request. Errors: MethodNotAllowed, Invalid, TooLarge.
func (q *request) form() (url.Values, error) {
	if q.http.Method != http.MethodPost {
		return q.query, nil
	}
	body, err := q.readBody(maxForm, "form")
	if err != nil {
		return nil, err
	}
	q.http.Body = io.NopCloser(bytes.NewReader(body))
	if err := q.http.ParseForm(); err != nil {
		return nil, resource.Invalidf(codeInvalidParameter, "the body is no form (application/x-www-form-urlencoded): %v", err)
	}
	return q.http.PostForm, nil
}

// exchange turns an access token of the token service into a refresh token of the registry.
func (s *Server) exchange(q *request) error {
	form, err := q.form()
	if err != nil {
		return err
	}
	if err := q.checkService(form); err != nil {
		return err
	}
	switch grant := form.Get("grant_type"); grant {
	case "access_token", "access_token_refresh_token":
	default:
		return errParameter("grant_type", grant, "access_token")
	}
	given := form.Get("access_token")
	if given == "" {
		return errParameter("access_token", "", "an access token for https://containerregistry.azure.net")
	}
	ctx := q.http.Context()
	principal, err := s.Authenticator.Authenticate(ctx, given, Audience)
	if isWrongAudience(err) { // the tools have tokens for the resource manager at hand
		var other error
		if principal, other = s.Authenticator.Authenticate(ctx, given, arm.ResourceManager); !isWrongAudience(other) {
			err = other
		}
	}
	if err != nil {
		return err
	}
	refresh, err := s.issue(q.registry, subject{principal: principal}, identity.RegistryRefresh, nil)
	if err != nil {
		return err
	}
	return q.answerToken(map[string]any{"refresh_token": refresh})
}

func isWrongAudience(err error) bool {
	e, ok := resource.AsError(err)
	return ok && e.Code == "InvalidAuthenticationTokenAudience"
}

// token gives an access token for scopes. The proof is a refresh token or the admin user's password, in the form or as
// basic authentication.
func (s *Server) token(q *request) error {
	form, err := q.form()
	if err != nil {
		return err
	}
	if err := q.checkService(form); err != nil {
		return err
	}
	scopes, err := parseScopes(form["scope"])
	if err != nil {
		return err
	}
	ctx := q.http.Context()
	who, err := s.proof(ctx, q, form)
	if err != nil {
		return err
	}
	access, err := s.issue(q.registry, who, identity.RegistryAccess, scopes)
	if err != nil {
		return err
	}
	answer := map[string]any{
		"access_token": access, "token": access, "token_type": "Bearer",
		"expires_in": int(accessLifetime.Seconds()), "issued_at": s.Clock().UTC().Format(time.RFC3339),
	}
	if form.Get("offline_token") == "true" || form.Get("access_type") == "offline" {
		if answer["refresh_token"], err = s.offline(q, form, who); err != nil {
			return err
		}
	}
	return q.answerToken(answer)
}

// offline gives a client that wants to keep something a refresh token: the one that it came with, or a new one.
func (s *Server) offline(q *request, form url.Values, who subject) (string, error) {
	if given := form.Get("refresh_token"); given != "" {
		return given, nil
	}
	if user, password, ok := q.http.BasicAuth(); ok && user == NoUser {
		return password, nil
	}
	if form.Get("username") == NoUser {
		return form.Get("password"), nil
	}
	return s.issue(q.registry, who, identity.RegistryRefresh, nil)
}

// proof takes what a token request shows for itself.
func (s *Server) proof(ctx context.Context, q *request, form url.Values) (subject, error) {
	user, password, basic := q.http.BasicAuth()
	if q.http.Method == http.MethodPost {
		switch grant := form.Get("grant_type"); {
		case grant == "refresh_token":
			return s.identifyToken(ctx, q.registry, form.Get("refresh_token"), identity.RegistryRefresh)
		case grant == "password" && form.Has("username"):
			return s.identifyPassword(ctx, q.registry, form.Get("username"), form.Get("password"))
		case grant == "password", grant == "" && basic: // with basic authentication, or nothing
		default:
			return subject{}, errParameter("grant_type", grant, "refresh_token or password")
		}
	}
	if !basic {
		return subject{}, unauthorized("authentication required: there is no anonymous access to this registry; sign in with: alvara acr login --name %s", q.registry.Name)
	}
	return s.identifyPassword(ctx, q.registry, user, password)
}

// checkService refuses requests that are meant for another registry.
func (q *request) checkService(form url.Values) error {
	service := form.Get("service")
	if service == "" || strings.EqualFold(service, q.registry.LoginServer) {
		return nil
	}
	return errParameter("service", service, "'"+q.registry.LoginServer+"'")
}

// issue signs a token.
func (s *Server) issue(registry Registry, who subject, use identity.RegistryTokenUse, scopes []identity.RegistryScope) (string, error) {
	claims := identity.RegistryClaims{
		Use: use, Audience: registry.LoginServer, Registry: registry.Key, Subject: who.principal.ID, Generation: who.generation, Scopes: scopes,
	}
	if who.admin {
		claims.Subject = registry.Name
	}
	lifetime := accessLifetime
	if use == identity.RegistryRefresh {
		lifetime = refreshLifetime
	}
	return s.Keys.SignRegistry(claims, s.Clock(), lifetime)
}

func (q *request) answerToken(answer map[string]any) error {
	q.w.Header().Set("Cache-Control", "no-store")
	return q.answerJSON(http.StatusOK, answer)
}

// parseScopes reads scopes such as repository:team/app:pull,push; the parameter may be repeated, and one may hold several
// that are separated by blanks. Types that the registry does not have are left out, as other registries do.
func parseScopes(texts []string) ([]identity.RegistryScope, error) {
	scopes := []identity.RegistryScope{}
	for _, text := range strings.Fields(strings.Join(texts, " ")) {
		kind, rest, ok := strings.Cut(text, ":")
		at := strings.LastIndexByte(rest, ':')
		if !ok || at < 0 {
			return nil, errParameter("scope", text, "type:name:actions, such as repository:team/app:pull,push")
		}
		name, actions := rest[:at], parseActions(rest[at+1:])
		switch kind {
		case "repository":
			if err := content.CheckRepositoryName(name); err != nil {
				return nil, err
			}
		case "registry":
			if name != "catalog" {
				continue
			}
		default:
			continue
		}
		if len(scopes) == maxScopes {
			return nil, resource.Invalidf(codeInvalidParameter, "a token carries at most %d scopes; ask for fewer at once", maxScopes).At("scope")
		}
		scopes = append(scopes, identity.RegistryScope{Type: kind, Name: name, Actions: actions})
	}
	return scopes, nil
}

// parseActions reads the actions of a scope. Those that the registry does not have are left out.
func parseActions(text string) []string {
	actions := []string{}
	for action := range strings.SplitSeq(text, ",") {
		switch action {
		case "metadataRead":
			action = "metadata_read"
		case "metadataWrite":
			action = "metadata_write"
		}
		known := slices.Contains([]string{"pull", "push", "delete", "metadata_read", "metadata_write", "*"}, action)
		if known && !slices.Contains(actions, action) {
			actions = append(actions, action)
		}
	}
	return actions
}
