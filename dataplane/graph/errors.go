package graph

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// The codes that Graph itself uses.
const (
	badRequest   = "Request_BadRequest"
	badPath      = "BadRequest"
	notFound     = "Request_ResourceNotFound"
	invalidToken = "InvalidAuthenticationToken"
	denied       = "Authorization_RequestDenied"
	duplicate    = "Request_MultipleObjectsWithSameKeyValue"
)

// outcome is how a kind of error is answered.
type outcome struct {
	status int
	code   string // used unless the error brings one of Graph's own
}

var outcomes = map[resource.Kind]outcome{
	resource.Invalid:            {http.StatusBadRequest, badRequest},
	resource.Unauthenticated:    {http.StatusUnauthorized, invalidToken},
	resource.Forbidden:          {http.StatusForbidden, denied},
	resource.NotFound:           {http.StatusNotFound, notFound},
	resource.Conflict:           {http.StatusConflict, duplicate},
	resource.PreconditionFailed: {http.StatusConflict, "Directory_ConcurrencyViolation"},
	resource.TooLarge:           {http.StatusRequestEntityTooLarge, "Request_EntityTooLarge"},
	resource.TooManyRequests:    {http.StatusTooManyRequests, "TooManyRequests"},
	resource.Unsupported:        {http.StatusBadRequest, "Request_UnsupportedQuery"},
	resource.MethodNotAllowed:   {http.StatusMethodNotAllowed, badRequest},
	resource.Unavailable:        {http.StatusServiceUnavailable, "serviceNotAvailable"},
}

type errorBody struct {
	Error errorObject `json:"error"`
}

type errorObject struct {
	Code       string     `json:"code"`
	Message    string     `json:"message"`
	InnerError innerError `json:"innerError"`
}

type innerError struct {
	Date            string `json:"date"`
	RequestID       string `json:"request-id"`
	ClientRequestID string `json:"client-request-id"`
}

// writeError is the one place where errors become answers, in Graph's form.
func (s *Server) writeError(w http.ResponseWriter, q *request, err error) {
	status, code, message := describe(err)
	if status >= 500 {
		cause := err
		if e, ok := resource.AsError(err); ok && e.Cause != nil {
			cause = e.Cause
		}
		s.Log.Error("graph: request failed", "request", q.id, "method", q.http.Method, "path", q.http.URL.Path, "error", err, "cause", cause)
	}
	clientID := q.clientID
	if clientID == "" {
		clientID = q.id
	}
	body, err := json.Marshal(errorBody{errorObject{code, message, innerError{s.Clock().UTC().Format("2006-01-02T15:04:05"), q.id, clientID}}})
	if err != nil { // strings alone: cannot be
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	h := w.Header()
	h.Del("Location")
	h.Set("Content-Type", "application/json")
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="", error="invalid_token"`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller has gone away; nobody is left to tell
}

// describe gives the status, code and message of an error. A fault of ours is not explained.
func describe(err error) (status int, code, message string) {
	e, ok := resource.AsError(err)
	if !ok || e.Kind == resource.Internal {
		return http.StatusInternalServerError, "InternalServerError", "The request failed inside the server; its log says more under this request id."
	}
	o, ok := outcomes[e.Kind]
	if !ok {
		o = outcomes[resource.Invalid]
	}
	status, code, message = o.status, o.code, e.Message
	switch {
	case e.Kind == resource.Forbidden:
		message = "Insufficient privileges to complete the operation. " + message
	case e.Kind == resource.Conflict && e.Code == badRequest: // a member that is there already
		status, code = http.StatusBadRequest, badRequest
	case e.Kind != resource.Unauthenticated && (strings.HasPrefix(e.Code, "Request_") || e.Code == badPath):
		code = e.Code
	}
	return status, code, message
}

// absent is the error for an object that is not there, in Graph's words.
func absent(id string) *resource.Error {
	return resource.NotFoundf(notFound, "Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}
