package blob

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/google/uuid"
)

// request is one request on its way through the pipeline.
type request struct {
	http  *http.Request
	w     http.ResponseWriter
	id    string
	plane plane
	query url.Values
	at    address
	op    *operation

	account   Account
	container Container // its Key is "" when the container does not exist; then nothing may be read or written there
	source    *source   // of a copy or rename
	who       subject

	createOnly bool  // the SAS lets the caller make new blobs and not replace any
	size       int64 // of the object that a range did not fit, or -1
	answered   bool  // the status line has been written
}

func (q *request) opName() string {
	if q.op == nil {
		return ""
	}
	return q.op.name
}

// json tells whether the client speaks the DFS protocol.
func (q *request) json() bool {
	if q.op != nil && q.op.protocol != anyProtocol {
		return q.op.protocol == dfsProtocol
	}
	return q.plane == planeDFS
}

func (q *request) header(name string) string { return q.http.Header.Get(name) }

// defaultVersion is answered to clients that name no protocol version.
const defaultVersion = "2025-11-05"

func (s *Server) serve(w http.ResponseWriter, r *http.Request, on plane) {
	q := &request{http: r, w: w, id: uuid.NewString(), plane: on, size: -1}
	h := w.Header()
	h.Set("Server", "Alvara-Blob/1.0")
	h.Set("x-ms-request-id", q.id)
	h.Set("x-ms-version", defaultVersion)
	h.Set("Date", httpTime(s.Clock()))
	if id := q.header("x-ms-client-request-id"); id != "" && len(id) <= 1024 {
		h.Set("x-ms-client-request-id", id)
	}
	if err := s.handle(r.Context(), q); err != nil {
		s.fail(q, err)
	}
}

// handle runs the steps in the one order that they have. No handler is reached except through it.
func (s *Server) handle(ctx context.Context, q *request) error {
	if err := s.parse(q); err != nil {
		return err
	}
	if err := s.authenticate(ctx, q); err != nil {
		return err
	}
	if err := s.authorize(ctx, q); err != nil {
		return err
	}
	if q.at.container != "" && q.op.inContainer && q.container.Key == "" {
		return errNoContainer()
	}
	return q.op.run(s, q)
}

// parse turns the request into a typed operation.
func (s *Server) parse(q *request) error {
	r := q.http
	var err error
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return resource.Invalidf("InvalidQueryParameterValue", "the query string is malformed: %v", err)
	}
	if version := q.header("x-ms-version"); version != "" {
		if _, err := time.Parse(time.DateOnly, version); err != nil {
			return errHeader("x-ms-version", version, "a date such as "+defaultVersion)
		}
		q.w.Header().Set("x-ms-version", version)
	}
	if q.at, err = s.addressOf(r); err != nil {
		return err
	}
	if q.op, err = findOperation(q); err != nil {
		return err
	}
	if q.op.protocol == dfsProtocol {
		q.at.path = strings.Trim(q.at.path, "/")
	}
	if q.header("x-ms-lease-id") != "" {
		return resource.Errorf(resource.PreconditionFailed, "LeaseNotPresentWithBlobOperation",
			"There is currently no lease on the blob: leases are not offered. Leave the header x-ms-lease-id out.")
	}
	if q.header("x-ms-structured-body") != "" {
		return resource.Errorf(resource.Unsupported, "UnsupportedHeader",
			"structured message bodies are not offered; check content with Content-MD5 or x-ms-content-crc64").At("x-ms-structured-body")
	}
	for _, name := range []string{"snapshot", "versionid"} {
		if q.query.Get(name) != "" {
			return resource.Errorf(resource.Unsupported, "UnsupportedQueryParameter", "snapshots and versions of blobs are not offered").At(name)
		}
	}
	q.source, err = s.sourceOf(q)
	return err
}

// findContainer looks the container up without telling whether it is there: authorize needs its id either way.
func (s *Server) findContainer(ctx context.Context, account Account, name string) (Container, error) {
	container, err := s.Catalog.Container(ctx, account.Name, name)
	if resource.KindOf(err) == resource.NotFound {
		return Container{
			ID:      account.ID.Child("blobServices/default/containers", name),
			Account: account.Name, Name: name,
		}, nil
	}
	return container, err
}

// client is the address that the request came from, without its port.
func (q *request) client() string {
	host, _, err := net.SplitHostPort(q.http.RemoteAddr)
	if err != nil {
		return q.http.RemoteAddr
	}
	return host
}
