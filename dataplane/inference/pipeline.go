package inference

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// request is a request on its way: parsed, then with the endpoint, then with who asks.
type request struct {
	http     *http.Request
	id       string
	client   string
	name     string // of the endpoint
	path     string // below it, escaped, with a slash at its beginning
	endpoint *Endpoint
	who      identity.Principal
}

// ServeHTTP is the pipeline: parse, authenticate, authorize, choose, pass on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{http: r, id: uuid.NewString()}
	q.client, _, _ = net.SplitHostPort(r.RemoteAddr)
	w.Header().Set("X-Ms-Request-Id", q.id)
	if err := s.handle(r.Context(), w, q); err != nil {
		s.fail(w, q, err)
	}
}

func (s *Server) handle(ctx context.Context, w http.ResponseWriter, q *request) error {
	s.parse(q)
	var absent error
	if q.endpoint, absent = s.Catalog.Endpoint(ctx, q.name); absent != nil && resource.KindOf(absent) != resource.NotFound {
		return absent
	}
	if absent != nil { // whoever is nobody does not learn which endpoints there are
		if _, err := s.entra(ctx, q); err != nil {
			return err
		}
		return absent
	}
	if err := s.admit(ctx, q); err != nil {
		return err
	}
	deployment, err := s.choose(q)
	if err != nil {
		return err
	}
	lease, err := s.Backends.Acquire(ctx, deployment.Key())
	if err != nil {
		return err
	}
	defer lease.Release()
	return s.pass(ctx, w, q, deployment.Name(), lease)
}

// parse finds the endpoint's name in the host or in the path.
func (s *Server) parse(q *request) {
	host, _, err := net.SplitHostPort(q.http.Host)
	if err != nil {
		host = q.http.Host
	}
	path := q.http.URL.EscapedPath()
	if name, ok := strings.CutSuffix(strings.ToLower(host), ".inference."+s.Domain); ok && s.Domain != "" {
		q.name, q.path = name, path
	} else {
		q.name, q.path, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
		q.path = "/" + q.path
	}
	if q.path == "" {
		q.path = "/"
	}
}

// admit finds out who calls and whether that one may. It is recorded either way.
func (s *Server) admit(ctx context.Context, q *request) error {
	var err error
	switch q.endpoint.AuthMode {
	case Key:
		return s.byKey(ctx, q)
	case Token:
		q.who, err = s.ownToken(q)
	default:
		q.who, err = s.entra(ctx, q)
	}
	if err != nil {
		return err
	}
	return s.Guard.Check(ctx, guard.Request{
		Who: q.who, Action: ScoreAction, Scopes: []resource.ID{q.endpoint.ID}, Plane: "inference", Target: q.path, RequestID: q.id, Client: q.client,
	})
}

func (q *request) bearer() string {
	scheme, token, _ := strings.Cut(q.http.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// entra authenticates a caller by a token of the directory.
func (s *Server) entra(ctx context.Context, q *request) (identity.Principal, error) {
	token := q.bearer()
	who, err := s.Authenticator.Authenticate(ctx, token, mlAudience)
	if err == nil || token == "" {
		return who, err
	}
	if who, other := s.Authenticator.Authenticate(ctx, token, managementPlane); other == nil {
		return who, nil
	}
	return who, err
}

// ownToken authenticates a caller by a token of the endpoint.
func (s *Server) ownToken(q *request) (identity.Principal, error) {
	principal, err := s.Tokens.Verify(q.bearer(), q.endpoint.ID)
	if err != nil {
		return identity.Principal{}, err
	}
	who, active := s.Lookup(principal)
	if !active {
		return who, resource.Errorf(resource.Unauthenticated, "PrincipalNotFound", "The principal that the token was made for is not in the directory any more, or is disabled.")
	}
	return who, nil
}
