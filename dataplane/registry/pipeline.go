package registry

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// request is one request on its way through the pipeline.
type request struct {
	http     *http.Request
	w        http.ResponseWriter
	id       string
	query    url.Values
	at       address
	op       *operation
	registry Registry
	who      subject

	source    string // the repository that a mount takes from
	mountable bool   // the caller may pull there
	missing   string // the scope that the token lacks, for the challenge
	answered  bool   // the status line has been written

	visible    func(repository string) bool // of a list: whether the caller sees the repository
	recordList func(names []string) error   // of a list that shows a part: records what the caller sees; nil when it is recorded
}

func (q *request) opName() string {
	if q.op == nil {
		return ""
	}
	return q.op.name
}

func (q *request) header(name string) string { return q.http.Header.Get(name) }

// client is the address that the request came from, without its port.
func (q *request) client() string {
	host, _, err := net.SplitHostPort(q.http.RemoteAddr)
	if err != nil {
		return q.http.RemoteAddr
	}
	return host
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, name string) {
	s.limitSilence(w, r)
	q := &request{http: r, w: w, id: uuid.NewString()}
	h := w.Header()
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("X-Ms-Request-Id", q.id)
	h.Set("X-Ms-Correlation-Request-Id", q.id)
	h.Set("X-Content-Type-Options", "nosniff")
	if id := q.header("X-Ms-Client-Request-Id"); id != "" && len(id) <= 1024 {
		h.Set("X-Ms-Client-Request-Id", id)
	}
	if err := s.handle(r.Context(), q, name); err != nil {
		s.fail(q, err)
	}
}

// handle runs the steps in the one order that they have. No handler is reached except through it.
func (s *Server) handle(ctx context.Context, q *request, name string) error {
	var err error
	if q.registry, err = s.Catalog.Registry(ctx, name); err != nil {
		return err
	}
	if err := q.parse(); err != nil {
		return err
	}
	if q.op.open {
		return q.op.run(s, q)
	}
	if err := s.authenticate(ctx, q); err != nil {
		return err
	}
	if err := s.authorize(ctx, q); err != nil {
		return err
	}
	return q.op.run(s, q)
}

// parse turns the request into a typed operation.
func (q *request) parse() error {
	r := q.http
	var err error
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return resource.Invalidf(codeInvalidParameter, "the query string is malformed: %v", err)
	}
	if q.at, err = parsePath(r.Method, r.URL); err != nil {
		return err
	}
	mount := false
	if q.at.what == atUploads && q.query.Has("mount") {
		mount = q.parseMount()
	}
	if q.op, err = findOperation(r.Method, q.at, mount); err != nil {
		q.w.Header().Set("Allow", strings.Join(allowed(q.at), ", "))
		return err
	}
	return nil
}

// parseMount reads ?mount=&from=. A mount that cannot succeed, such as one that does not say from where, is a plain upload,
// as the specification has it.
func (q *request) parseMount() bool {
	digest, from := q.query.Get("mount"), q.query.Get("from")
	if content.CheckDigest(digest) != nil || content.CheckRepositoryName(from) != nil {
		return false
	}
	q.at.digest, q.source = digest, from
	return true
}
