package registry

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// limitSilence cuts off a client that owes a body and sends nothing: it would hold its upload otherwise for as long as its
// connection lives.
func (s *Server) limitSilence(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	r.Body = &watchedBody{ReadCloser: r.Body, connection: http.NewResponseController(w), silence: cmp.Or(s.Silence, time.Minute)}
}

// watchedBody gives each Read of a body a time of its own.
type watchedBody struct {
	io.ReadCloser
	connection *http.ResponseController
	silence    time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	// A request that is made inside the process has no connection, and nobody who is silent.
	_ = b.connection.SetReadDeadline(time.Now().Add(b.silence))
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// The deadline stays: what is owed is not waited for a second time.
		return n, resource.Invalidf(codeSizeInvalid, "nothing of the body came for %v; an upload's status tells from where to go on", b.silence).Because(err)
	case err != nil:
		_ = b.connection.SetReadDeadline(time.Time{}) // the connection may be silent between requests
	}
	return n, err
}

// stopListening bounds how long net/http waits for the rest of a body that was refused before it sends the answer.
func (q *request) stopListening() {
	if body, ok := q.http.Body.(*watchedBody); ok {
		_ = body.connection.SetReadDeadline(time.Now().Add(min(body.silence, time.Second)))
	}
}
