package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// maxBody is the largest request body that the resource manager reads.
const maxBody = 4 << 20

// ServeHTTP is the resource manager on the wire.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := &Call{Method: r.Method, Query: r.URL.Query(), Header: r.Header, BaseURL: "https://" + r.Host, RequestID: uuid.NewString(), Manager: m}
	call.Client, _, _ = net.SplitHostPort(r.RemoteAddr)
	w.Header().Set("x-ms-request-id", call.RequestID)
	w.Header().Set("x-ms-correlation-request-id", call.RequestID)
	if given := r.Header.Get("x-ms-client-request-id"); given != "" && len(given) < 100 {
		w.Header().Set("x-ms-client-request-id", given)
	}
	w.Header().Set("Cache-Control", "no-store")
	response, err := m.guarded(w, r, call)
	if err != nil {
		m.WriteError(w, err, call.RequestID)
		return
	}
	for name, value := range response.Header {
		w.Header().Set(name, value)
	}
	if response.ETag != "" {
		w.Header().Set("ETag", `"`+response.ETag+`"`)
	}
	switch body := response.Body.(type) {
	case nil:
		w.WriteHeader(response.Status)
	case Text:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(response.Status)
		_, _ = w.Write(body)
	case Stream:
		w.Header().Set("Content-Type", body.ContentType)
		w.WriteHeader(response.Status)
		m.stream(w, r, call, body)
	default:
		writeJSON(w, response.Status, body)
	}
}

// Text is a response body that is plain text.
type Text []byte

// Stream is a response body that is sent as Write writes it. What ends with an error is cut off, so that nobody takes it for all of it.
type Stream struct {
	ContentType string
	Write       func(ctx context.Context, w io.Writer) error
}

func (m *Manager) stream(w http.ResponseWriter, r *http.Request, call *Call, body Stream) {
	control := http.NewResponseController(w)
	_ = control.Flush() // the caller learns at once that it will be answered
	err := body.Write(r.Context(), flushed{w, control})
	if err == nil {
		return
	}
	if r.Context().Err() == nil {
		m.Log.Error("an answer was cut off", "request", call.RequestID, "error", err)
	}
	panic(http.ErrAbortHandler)
}

// flushed sends each write at once.
type flushed struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	if errors.Is(err, http.ErrNotSupported) { // a caller in the process, who gets it all at the end
		err = nil
	}
	return n, err
}

// guarded turns a panic into an error that the log has whole, so that a fault of ours is answered like any other.
func (m *Manager) guarded(w http.ResponseWriter, r *http.Request, call *Call) (response *Response, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("arm: panic: %v\n%s", fault, debug.Stack())
		}
	}()
	return m.handle(w, r, call)
}

func (m *Manager) handle(w http.ResponseWriter, r *http.Request, call *Call) (*Response, error) {
	who, err := m.Authenticator.Authenticate(r.Context(), Bearer(r), ResourceManager)
	if err != nil {
		return nil, err
	}
	call.Who = who
	version := call.query("api-version")
	switch {
	case version == "":
		return nil, resource.Invalidf("MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.").At("api-version")
	case !apiVersion.MatchString(version):
		return nil, resource.Invalidf("InvalidApiVersionParameter", "The api-version '%s' is invalid; a date such as 2024-04-01 was expected.", version).At("api-version")
	}
	call.Body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, resource.Errorf(resource.TooLarge, "RequestEntityTooLarge", "The request body is larger than %d bytes, the most that the resource manager takes.", maxBody)
		}
		return nil, resource.Invalidf("InvalidRequestContent", "the request body could not be read").Because(err)
	}
	return m.serve(r.Context(), r.URL.Path, call)
}

// Bearer gives the bearer token of a request, or "".
func Bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func (m *Manager) challenge(err error) string {
	description := "Authentication failed."
	if e, ok := resource.AsError(err); ok {
		description = strings.NewReplacer(`"`, "'", "\n", " ").Replace(e.Message)
	}
	return `Bearer authorization_uri="` + m.Authority + `/` + m.Tenant + `", error="invalid_token", error_description="` + description + `"`
}

// Do sends a request of the server's own code through the same pipeline, as somebody. body is marshalled; nil sends
// none. The result is the answer's JSON object. An error status comes back as the *resource.Error itself.
func (m *Manager) Do(ctx context.Context, parent *Call, who identity.Principal, method, path string, body any) (map[string]any, error) {
	call := &Call{Who: who, Method: method, BaseURL: parent.BaseURL, RequestID: parent.RequestID, Client: parent.Client, Job: parent.Job, Manager: m}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		call.Body = text
	}
	response, err := m.serve(ctx, path, call)
	if err != nil {
		return nil, err
	}
	if response.Body == nil {
		return nil, nil
	}
	text, err := json.Marshal(response.Body)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	return object, nil
}
