package inference

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/alvara-ml/alvara/resource"
)

// Codes of what an instance does wrong, which have statuses of their own.
const (
	codeTimeout = "RequestTimeout"
	codeModel   = "ModelError"
)

// statuses maps what a caller can do about an error to the status; codes those that say more.
var (
	statuses = map[resource.Kind]int{
		resource.Internal: 500, resource.Invalid: 400, resource.Unauthenticated: 401, resource.Forbidden: 403, resource.NotFound: 404, resource.Conflict: 409,
		resource.TooLarge: 413, resource.TooManyRequests: 429, resource.Unsupported: 400, resource.MethodNotAllowed: 405, resource.Unavailable: 503,
	}
	codes = map[string]int{codeTimeout: http.StatusRequestTimeout, codeModel: http.StatusFailedDependency}
)

// fail answers with an error. It is the only place that does.
func (s *Server) fail(w http.ResponseWriter, q *request, err error) {
	if errors.Is(err, context.Canceled) && q.http.Context().Err() != nil {
		return // the caller has gone away; nobody is left to tell
	}
	e, ok := resource.AsError(err)
	if !ok || e.Kind == resource.Internal {
		s.Log.Error("inference request failed", "request", q.id, "endpoint", q.name, "path", q.path, "error", err)
		e = resource.Errorf(resource.Internal, "InternalServerError", "The service failed to answer. Give the request id %s to its operator.", q.id)
	}
	status, known := codes[e.Code]
	if !known {
		status = statuses[e.Kind]
	}
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer authorization_uri="`+s.Authority+`", resource="https://ml.azure.com"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	text, _ := json.Marshal(map[string]any{"error": map[string]string{"code": e.Code, "message": e.Message}}) // texts always marshal
	h.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if q.http.Method != http.MethodHead {
		_, _ = w.Write(text) // the caller has gone away if this fails
	}
}
