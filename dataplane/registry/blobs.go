package registry

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// content gives what the registry holds.
func (s *Server) content(q *request) *content.Registry {
	return s.Content.Registry(q.registry.Key, content.Limits{Quota: q.registry.Quota})
}

// getBlob answers with a blob or ranges of it. On a plain connection the kernel moves the bytes from file to socket.
func (s *Server) getBlob(q *request) error {
	blob, bytes, err := s.content(q).OpenBlob(q.http.Context(), q.at.repository, q.at.digest)
	if err != nil {
		return err
	}
	defer bytes.Close()
	q.describeBlob(blob)
	if err := q.checkRange(blob, bytes); err != nil {
		return err
	}
	q.answered = true
	http.ServeContent(q.w, q.http, "", time.Time{}, bytes)
	return nil
}

// checkRange refuses a range that the blob does not have, which net/http would do in words of its own: it is asked what it
// would answer, without a body.
func (q *request) checkRange(blob content.Blob, bytes io.ReadSeeker) error {
	text := q.header("Range")
	if text == "" {
		return nil
	}
	asked := *q.http
	asked.Method = http.MethodHead
	probe := &probe{header: q.w.Header().Clone()}
	http.ServeContent(probe, &asked, "", time.Time{}, bytes)
	if probe.status != http.StatusRequestedRangeNotSatisfiable {
		return nil
	}
	q.w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(blob.Size, 10))
	return resource.Errorf(resource.RangeNotSatisfiable, codeSizeInvalid, "the header Range has the value %.100q, and the blob has %d bytes", text, blob.Size).At("Range")
}

// probe keeps the status of an answer.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// headBlob answers without the bytes. A range has no meaning for HEAD (RFC 9110, 14.2), and clients expect 200.
func (s *Server) headBlob(q *request) error {
	blob, err := s.content(q).StatBlob(q.http.Context(), q.at.repository, q.at.digest)
	if err != nil {
		return err
	}
	q.describeBlob(blob)
	h := q.w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(blob.Size, 10))
	return q.answerBytes(http.StatusOK, nil)
}

func (q *request) describeBlob(blob content.Blob) {
	h := q.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", blob.Digest)
	h.Set("ETag", `"`+blob.Digest+`"`)
	h.Set("Cache-Control", "private, max-age=31536000, immutable") // private: the next one to ask must be authorized as well
}

func (s *Server) deleteBlob(q *request) error {
	if err := s.content(q).DeleteBlob(q.http.Context(), q.at.repository, q.at.digest); err != nil {
		return err
	}
	q.w.Header().Set("Docker-Content-Digest", q.at.digest)
	return q.answerEmpty(http.StatusAccepted)
}

// ping tells a client that it is known.
func (s *Server) ping(q *request) error { return q.answerJSON(http.StatusOK, struct{}{}) }
