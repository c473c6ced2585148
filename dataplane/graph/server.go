package graph

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
)

// The names under which tokens for this plane are verified: one for it, or one for the resource manager.
const (
	Audience        = "graph"
	managementPlane = "resourceManager"
)

// Guard decides and records.
type Guard interface {
	Check(ctx context.Context, request guard.Request) error
}

// Authenticator turns a bearer token into a principal.
type Authenticator interface {
	Authenticate(ctx context.Context, token, resourceName string) (identity.Principal, error)
}

// Server answers requests below /v1.0/ and /beta/. All exported fields are set before the first request, and all are
// required.
type Server struct {
	Directory     *identity.Directory
	Authenticator Authenticator
	Guard         Guard     // decides on changes
	Audit         audit.Log // takes the records of reads, which nobody decides
	Clock         func() time.Time
	Log           *slog.Logger

	federated sync.Mutex // held while a list of federated credentials is read, changed and written back
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{http: r, id: uuid.NewString()}
	h := w.Header()
	h.Set("request-id", q.id)
	if id := r.Header.Get("client-request-id"); id != "" && len(id) <= 128 {
		q.clientID = id
		h.Set("client-request-id", id)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	reply, err := s.handle(r.Context(), q)
	if err == nil {
		err = s.write(w, q, reply)
	}
	if err != nil {
		s.writeError(w, q, err)
	}
}
