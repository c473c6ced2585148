package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// subject is who asks, and what of its rights the proof carries.
type subject struct {
	principal  identity.Principal
	admin      bool   // the registry's admin user: no role decides
	generation string // of the admin user's passwords, as tokens have it
	narrowed   bool   // the proof is an access token, which carries scopes only
	scopes     []identity.RegistryScope
}

// NoUser is the user name that goes with a token in place of a password.
const NoUser = "00000000-0000-0000-0000-000000000000"

// authenticate finds out who asks.
func (s *Server) authenticate(ctx context.Context, q *request) error {
	authorization := q.header("Authorization")
	scheme, credentials, _ := strings.Cut(authorization, " ")
	var err error
	switch {
	case authorization == "":
		return unauthorized("authentication required; sign in with: alvara acr login --name %s", q.registry.Name)
	case strings.EqualFold(scheme, "Bearer"):
		q.who, err = s.identifyToken(ctx, q.registry, strings.TrimSpace(credentials), identity.RegistryAccess)
	case strings.EqualFold(scheme, "Basic"):
		user, password, ok := q.http.BasicAuth()
		if !ok {
			return unauthorized("the header Authorization is no basic authentication: expected base64 of user:password")
		}
		q.who, err = s.identifyPassword(ctx, q.registry, user, password)
	default:
		return unauthorized("the authorization scheme %.20q is not offered; send Bearer or Basic", scheme)
	}
	return err
}

// identifyPassword takes the admin user's name and password, or a refresh token in place of the password.
func (s *Server) identifyPassword(ctx context.Context, registry Registry, user, password string) (subject, error) {
	if user == NoUser {
		return s.identifyToken(ctx, registry, password, identity.RegistryRefresh)
	}
	if !registry.AdminEnabled {
		return subject{}, unauthorized("the admin user of this registry is off, so no password is taken; sign in with: alvara acr login --name %s", registry.Name)
	}
	if !strings.EqualFold(user, registry.Name) {
		return subject{}, errPassword(registry)
	}
	generation, err := s.Catalog.CheckPassword(ctx, registry.Name, password)
	if resource.KindOf(err) == resource.Unauthenticated {
		return subject{}, errPassword(registry)
	}
	if err != nil {
		return subject{}, err
	}
	if generation == "" {
		return subject{}, errPassword(registry)
	}
	return subject{admin: true, generation: mark(generation)}, nil
}

func errPassword(registry Registry) error {
	return unauthorized("the user name or the password is wrong; the admin user is called %q", registry.Name)
}

// identifyToken verifies a token of the registry, and looks up whether its holder may act still.
func (s *Server) identifyToken(ctx context.Context, registry Registry, token string, use identity.RegistryTokenUse) (subject, error) {
	claims, err := s.Keys.VerifyRegistry(token, use, registry.LoginServer, s.Clock())
	if err != nil {
		return subject{}, err
	}
	if claims.Registry != registry.Key {
		return subject{}, unauthorized("the token is for a registry of the same name that was deleted; sign in again")
	}
	who := subject{narrowed: use == identity.RegistryAccess, scopes: claims.Scopes}
	if claims.Generation != "" {
		generation, err := s.Catalog.Generation(ctx, registry.Name)
		if err != nil {
			return subject{}, err
		}
		if !registry.AdminEnabled || generation == "" || mark(generation) != claims.Generation {
			return subject{}, unauthorized("the admin user was turned off, or its passwords were renewed, since the token was issued; sign in again")
		}
		who.admin, who.generation = true, claims.Generation
		return who, nil
	}
	var active bool
	if who.principal, active = s.Lookup(claims.Subject); !active {
		return subject{}, unauthorized("the holder of the token, '%s', does not exist in the directory or is disabled", claims.Subject)
	}
	return who, nil
}

// mark is a generation as tokens have it.
func mark(generation string) string {
	sum := sha256.Sum256([]byte(generation))
	return hex.EncodeToString(sum[:16])
}

// carries tells whether the proof covers a permission on a repository or, with the type "registry", on the registry.
func (who *subject) carries(p *permission, kind, name string) bool {
	if !who.narrowed {
		return true
	}
	return slices.ContainsFunc(who.scopes, func(scope identity.RegistryScope) bool {
		return scope.Type == kind && scope.Name == name && p.covers(scope.Actions)
	})
}

func unauthorized(format string, args ...any) *resource.Error {
	return resource.Errorf(resource.Unauthenticated, codeUnauthorized, format, args...)
}

// challenge says where a token is to be had, and for what. Clients ask for exactly that and repeat the request, which is why
// a token that is too narrow gives this answer and not 403.
func (q *request) challenge(e *resource.Error) string {
	host := q.registry.LoginServer
	if q.op == nil || q.op.open || host == "" {
		return `Basic realm="` + host + `"`
	}
	// Clients split this at `",`, some at every comma or blank: there is no blank after a comma.
	text := `Bearer realm="https://` + host + `/oauth2/token",service="` + host + `"`
	if scope := q.scope(); scope != "" {
		text += `,scope="` + scope + `"`
	}
	switch {
	case q.missing != "":
		text += `,error="insufficient_scope"`
	case q.header("Authorization") != "" && e.Kind == resource.Unauthenticated:
		text += `,error="invalid_token"`
	}
	return text
}

// scope is what a token for the request must carry.
func (q *request) scope() string {
	if q.op.list {
		return "registry:catalog:" + list.scope
	}
	var scopes []string
	for _, n := range q.op.needs {
		repository := q.at.repository
		if n.onSource {
			repository = q.source
		}
		scopes = append(scopes, "repository:"+repository+":"+n.scope)
	}
	return strings.Join(scopes, " ")
}
