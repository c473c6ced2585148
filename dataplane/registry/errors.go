package registry

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// The error codes of the OCI distribution specification, and those that it leaves to registries.
const (
	codeBlobUnknown      = "BLOB_UNKNOWN"
	codeUploadInvalid    = "BLOB_UPLOAD_INVALID"
	codeUploadUnknown    = "BLOB_UPLOAD_UNKNOWN"
	codeDigestInvalid    = "DIGEST_INVALID"
	codeManifestInvalid  = "MANIFEST_INVALID"
	codeManifestUnknown  = "MANIFEST_UNKNOWN"
	codeNameInvalid      = "NAME_INVALID"
	codeSizeInvalid      = "SIZE_INVALID"
	codeTagInvalid       = "TAG_INVALID"
	codeUnauthorized     = "UNAUTHORIZED"
	codeDenied           = "DENIED"
	codeUnsupported      = "UNSUPPORTED"
	codeTooManyRequests  = "TOOMANYREQUESTS"
	codeInvalidParameter = "INVALID_PARAMETER"
)

// answers maps what a caller can do about an error to the status, and to the code of errors that bring none of the
// protocol's.
var answers = map[resource.Kind]struct {
	status int
	code   string
}{
	resource.Internal:            {http.StatusInternalServerError, "UNKNOWN"},
	resource.Invalid:             {http.StatusBadRequest, codeInvalidParameter},
	resource.Unauthenticated:     {http.StatusUnauthorized, codeUnauthorized},
	resource.Forbidden:           {http.StatusForbidden, codeDenied},
	resource.NotFound:            {http.StatusNotFound, "NAME_UNKNOWN"},
	resource.Conflict:            {http.StatusConflict, "CONFLICT"},
	resource.PreconditionFailed:  {http.StatusPreconditionFailed, "CONFLICT"},
	resource.TooLarge:            {http.StatusRequestEntityTooLarge, codeSizeInvalid},
	resource.TooManyRequests:     {http.StatusTooManyRequests, codeTooManyRequests},
	resource.Unsupported:         {http.StatusBadRequest, codeUnsupported},
	resource.RangeNotSatisfiable: {http.StatusRequestedRangeNotSatisfiable, codeUploadInvalid},
	resource.NotModified:         {http.StatusNotModified, ""},
	resource.LengthRequired:      {http.StatusLengthRequired, codeSizeInvalid},
	resource.MethodNotAllowed:    {http.StatusMethodNotAllowed, codeUnsupported},
	resource.Unavailable:         {http.StatusServiceUnavailable, "UNAVAILABLE"},
}

// Errors that several operations return.
func errNoPath(path string) error {
	return resource.NotFoundf("NOT_FOUND", "the registry has nothing at %.200q; images are below /v2/, attributes below /acr/v1/", path)
}

func errParameter(name, value, want string) error {
	return resource.Invalidf(codeInvalidParameter, "the query parameter %s has the value %.100q; expected %s", name, value, want).At(name)
}

// wireError is one error of an answer.
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

// fail answers with an error. It is the only place that does.
func (s *Server) fail(q *request, err error) {
	e, ok := resource.AsError(err)
	if !ok {
		e = &resource.Error{Kind: resource.Internal, Cause: err}
	}
	answer := answers[e.Kind]
	if e.Code == content.CodeInsufficientStorage || e.Code == "StorageFull" {
		// Clients repeat a 503 at once, which would not help while the medium is full.
		answer.status = http.StatusInsufficientStorage
	}
	if e.Kind == resource.Internal || answer.status >= 500 {
		s.Log.Error("registry request failed", "request", q.id, "operation", q.opName(), "registry", q.registry.Name, "path", q.http.URL.Path, "error", err, "cause", e.Cause)
	}
	if q.answered {
		// The status is gone. Cutting the connection is the one way left to say that the body is not whole.
		panic(http.ErrAbortHandler)
	}
	q.stopListening()
	h := q.w.Header()
	for _, name := range []string{"Content-Length", "Content-Type", "Docker-Content-Digest", "ETag", "Cache-Control"} {
		h.Del(name)
	}
	if e.Kind == resource.Unauthenticated {
		h.Set("WWW-Authenticate", q.challenge(e))
	}
	if e.Kind == resource.NotModified {
		q.w.WriteHeader(answer.status)
		return
	}
	body, _ := json.Marshal(map[string][]wireError{"errors": wireErrors(e, answer.code)}) // texts always marshal
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.w.WriteHeader(answer.status)
	if q.http.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client is gone if this fails
	}
}

func wireErrors(e *resource.Error, code string) []wireError {
	if e.Kind == resource.Internal {
		return []wireError{{Code: code, Message: "the registry met an internal error; try again"}}
	}
	first := wireError{Code: code, Message: e.Message}
	if isWireCode(e.Code) {
		first.Code = e.Code
	}
	if e.Target != "" {
		first.Detail = map[string]string{"target": e.Target}
	}
	all := []wireError{first}
	for _, other := range e.Details {
		all = append(all, wireErrors(other, code)...)
	}
	return all
}

// isWireCode tells the codes of the protocol from those of other wires, which are words like AuthorizationFailed.
func isWireCode(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return code != ""
}
