package features

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

// request is a request on its way: parsed, then with who asks, then with what it needs.
type request struct {
	http      *http.Request
	id        string
	client    string
	who       identity.Principal
	target    resource.ID
	operation *operation
}

// need is a permission that a request needs.
type need struct {
	action string
	data   bool
	scopes []resource.ID
}

// operation is one thing that the plane can be asked. plan reads the request and says what it needs; run is called only
// after every need was granted.
type operation struct {
	word string
	on   resource.Type
	plan func(s *Server, ctx context.Context, q *request) (needs []need, run func(ctx context.Context, w http.ResponseWriter) error, err error)
}

var operations = []*operation{
	{word: "online", on: workspaces, plan: planOnline},
	{word: "offline", on: workspaces, plan: planOffline},
	{word: "rows", on: featureSetVersion, plan: planRows},
}

// ServeHTTP is the pipeline: parse, authenticate, authorize, run.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{http: r, id: uuid.NewString()}
	q.client, _, _ = net.SplitHostPort(r.RemoteAddr)
	w.Header()["X-Ms-Request-Id"] = []string{q.id}
	if err := s.handle(r.Context(), w, q); err != nil {
		s.WriteError(w, err, q.id)
	}
}

func (s *Server) handle(ctx context.Context, w http.ResponseWriter, q *request) error {
	who, err := s.authenticate(ctx, q.http)
	if err != nil {
		return err
	}
	q.who = who
	if err := s.parse(q); err != nil {
		return err
	}
	needs, run, err := q.operation.plan(s, ctx, q)
	if err != nil {
		return err
	}
	for _, need := range needs {
		err := s.Guard.Check(ctx, guard.Request{
			Who: q.who, Action: need.action, Data: need.data, Scopes: need.scopes, Plane: Audience, RequestID: q.id, Client: q.client,
		})
		if err != nil {
			return err
		}
	}
	return run(ctx, w)
}

func (s *Server) authenticate(ctx context.Context, r *http.Request) (identity.Principal, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	who, err := s.Authenticator.Authenticate(ctx, token, Audience)
	if err == nil || token == "" {
		return who, err
	}
	if who, other := s.Authenticator.Authenticate(ctx, token, managementPlane); other == nil {
		return who, nil
	}
	return who, err
}

func (s *Server) parse(q *request) error {
	path := strings.TrimPrefix(q.http.URL.Path, s.Prefix)
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 {
		return resource.NotFoundf("NotFound", "there is nothing at this path")
	}
	target, err := resource.ParseID(path[:cut])
	if err != nil {
		return err
	}
	q.target = target
	for _, operation := range operations {
		if strings.EqualFold(operation.word, path[cut+1:]) && target.Type().Is(operation.on) {
			if q.http.Method != http.MethodPost {
				return resource.Errorf(resource.MethodNotAllowed, "MethodNotAllowed", "%s takes POST", operation.word)
			}
			q.operation = operation
			return nil
		}
	}
	return resource.NotFoundf("NotFound", "%s has no operation %q on this plane", target.Type(), path[cut+1:])
}

// readNeeds: the values of a set are guarded by the right to see the set and by the right to read its rows, which one may
// hold on the offline store's container or on the set alone (FS-19).
func readNeeds(set *Set) []need {
	return []need{
		{action: readSet, scopes: []resource.ID{set.Version}},
		{action: readRows, data: true, scopes: []resource.ID{set.Container, set.Version}},
	}
}
