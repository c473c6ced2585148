package arm

import (
	"encoding/json"
	"net/http"

	"github.com/alvara-ml/alvara/resource"
)

// wireError is an error in Azure Resource Manager's shape.
type wireError struct {
	Code    string       `json:"code"`
	Message string       `json:"message"`
	Target  string       `json:"target,omitempty"`
	Details []*wireError `json:"details,omitempty"`
}

// kinds gives each kind of error its HTTP status and a code for those that have none.
var kinds = map[resource.Kind]struct {
	status int
	code   string
}{
	resource.Internal:            {500, "InternalServerError"},
	resource.Invalid:             {400, "BadRequest"},
	resource.Unauthenticated:     {401, "AuthenticationFailed"},
	resource.Forbidden:           {403, "AuthorizationFailed"},
	resource.NotFound:            {404, "NotFound"},
	resource.Conflict:            {409, "Conflict"},
	resource.PreconditionFailed:  {412, "PreconditionFailed"},
	resource.TooLarge:            {413, "RequestEntityTooLarge"},
	resource.TooManyRequests:     {429, "TooManyRequests"},
	resource.Unsupported:         {400, "NotSupported"},
	resource.RangeNotSatisfiable: {416, "InvalidRange"},
	resource.NotModified:         {304, "NotModified"},
	resource.LengthRequired:      {411, "LengthRequired"},
	resource.MethodNotAllowed:    {405, "MethodNotAllowed"},
	resource.Unavailable:         {503, "ServiceUnavailable"},
}

// wire makes the shape of any error. An error that nobody classed stays inside: the log has it whole, and the caller
// gets the request id to name.
func (m *Manager) wire(err error, requestID string) *wireError {
	e, ok := resource.AsError(err)
	if !ok || e.Kind == resource.Internal {
		m.Log.Error("internal error", "request", requestID, "error", err)
		return &wireError{Code: "InternalServerError", Message: "The service failed to answer. Give the request id " + requestID + " to its operator."}
	}
	if e.Kind == resource.Unavailable {
		m.Log.Error("not available", "request", requestID, "error", err, "cause", e.Cause)
	}
	return shape(e)
}

func shape(e *resource.Error) *wireError {
	out := &wireError{Code: e.Code, Message: e.Message, Target: e.Target}
	if out.Code == "" {
		out.Code = kinds[e.Kind].code
	}
	for _, detail := range e.Details {
		out.Details = append(out.Details, shape(detail))
	}
	return out
}

// restore makes an error of a stored one again.
func (w *wireError) restore(kind resource.Kind) error {
	if kind == resource.Internal {
		kind = resource.Conflict // said once already, with the request id that the log has it under
	}
	e := resource.Errorf(kind, w.Code, "%s", w.Message)
	e.Target = w.Target
	for _, detail := range w.Details {
		e.Details = append(e.Details, resource.Errorf(kind, detail.Code, "%s", detail.Message))
	}
	return e
}

// WriteError answers with an error in the resource manager's shape; other planes with the same shape use it too.
func (m *Manager) WriteError(w http.ResponseWriter, err error, requestID string) {
	if resource.KindOf(err) == resource.Unauthenticated {
		w.Header().Set("WWW-Authenticate", m.challenge(err))
	}
	writeJSON(w, kinds[resource.KindOf(err)].status, map[string]any{"error": m.wire(err, requestID)})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = 500, []byte(`{"error":{"code":"InternalServerError","message":"the answer cannot be written"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller has gone away; nobody is left to tell
}
