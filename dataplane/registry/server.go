package registry

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
)

// Guard decides and records; *guard.Guard is one. It may be called concurrently.
type Guard interface {
	// CheckAny passes when one of the requests is allowed, and records once. Forbidden says what is missing and which role
	// would grant it.
	CheckAny(ctx context.Context, first guard.Request, others ...guard.Request) error
	// Allowed and AllowedBelow decide for lists and record nothing.
	Allowed(request guard.Request) bool
	AllowedBelow(request guard.Request) bool
}

// Server answers for container registries. All fields are set before the first request and not changed afterwards.
type Server struct {
	Catalog       Catalog
	Content       *content.Engine
	Guard         Guard
	Authenticator Authenticator
	// Keys sign and verify the registries' own tokens.
	Keys *identity.Keys
	// Lookup finds a principal that exists and is enabled, with its groups as they are now.
	Lookup func(objectID string) (identity.Principal, bool)
	// Audit takes records of what admin users do, on which no role decides. What it cannot take does not happen.
	Audit audit.Log

	Clock func() time.Time
	Log   *slog.Logger

	// Silence is how long a client may send nothing of a body that it owes; 0 is a minute.
	Silence time.Duration
}

// Handler answers for one registry, on a listener of its own.
func (s *Server) Handler(name string) http.Handler {
	name = strings.ToLower(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, name) })
}

// ByHost answers for every registry, by the host name {registry}.cr.{domain}.
func (s *Server) ByHost(domain string) http.Handler {
	suffix := ".cr." + strings.ToLower(domain)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		name, ok := strings.CutSuffix(strings.ToLower(host), suffix)
		if !ok || strings.Contains(name, ".") {
			name = "" // there is no registry of that name
		}
		s.serve(w, r, name)
	})
}
