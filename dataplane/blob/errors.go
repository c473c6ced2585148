package blob

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strconv"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// statuses maps what a caller can do about an error to the status of the Storage protocols.
var statuses = map[resource.Kind]int{
	resource.Internal:            http.StatusInternalServerError,
	resource.Invalid:             http.StatusBadRequest,
	resource.Unauthenticated:     http.StatusUnauthorized,
	resource.Forbidden:           http.StatusForbidden,
	resource.NotFound:            http.StatusNotFound,
	resource.Conflict:            http.StatusConflict,
	resource.PreconditionFailed:  http.StatusPreconditionFailed,
	resource.TooLarge:            http.StatusRequestEntityTooLarge,
	resource.TooManyRequests:     http.StatusServiceUnavailable,
	resource.Unsupported:         http.StatusBadRequest,
	resource.RangeNotSatisfiable: http.StatusRequestedRangeNotSatisfiable,
	resource.NotModified:         http.StatusNotModified,
	resource.LengthRequired:      http.StatusLengthRequired,
	resource.MethodNotAllowed:    http.StatusMethodNotAllowed,
	resource.Unavailable:         http.StatusServiceUnavailable,
}

// codeFull is the code of a full medium. Clients repeat a 503 at once, which would not help, so it has its own status.
const codeFull = "InsufficientStorage"

// pathWords are the DFS protocol's words for what the Blob protocol calls otherwise.
var pathWords = map[string]string{
	"BlobNotFound":           "PathNotFound",
	"BlobAlreadyExists":      "PathAlreadyExists",
	"ContainerNotFound":      "FilesystemNotFound",
	"ContainerAlreadyExists": "FilesystemAlreadyExists",
}

// Errors that several operations return.
func errNoBlob() error {
	return resource.NotFoundf("BlobNotFound", "The specified blob does not exist.")
}

func errNoContainer() error {
	return resource.NotFoundf("ContainerNotFound", "The specified container does not exist.")
}

func errExists() error {
	return resource.Conflictf("BlobAlreadyExists", "The specified blob already exists.")
}

func errCondition() error {
	return resource.Errorf(resource.PreconditionFailed, "ConditionNotMet",
		"The condition specified using HTTP conditional header(s) is not met.")
}

func errHeader(name, value, want string) error {
	return resource.Invalidf("InvalidHeaderValue", "the header %s has the value %q; expected %s", name, value, want).At(name)
}

func errQuery(name, value, want string) error {
	return resource.Invalidf("InvalidQueryParameterValue", "the query parameter %s has the value %q; expected %s", name, value, want).At(name)
}

// refused says that a feature of the protocol is not offered.
func refused(code, what string) func(*Server, *request) error {
	return func(*Server, *request) error {
		return resource.Errorf(resource.Unsupported, code, "%s", what)
	}
}

// fail answers with an error, in the shape of the request's protocol. It is the only place that does.
func (s *Server) fail(q *request, err error) {
	e, ok := resource.AsError(err)
	if !ok {
		e = &resource.Error{Kind: resource.Internal, Cause: err}
	}
	status := statuses[e.Kind]
	code, message := e.Code, e.Message
	if e.Kind == resource.Internal {
		code, message = "InternalError", "The server encountered an internal error. Please retry the request."
	}
	if code == codeFull {
		status = http.StatusInsufficientStorage
	}
	if status >= 500 {
		s.Log.Error("blob request failed", "request", q.id, "operation", q.opName(), "path", q.http.URL.Path, "error", err, "cause", e.Cause)
	}
	if q.answered {
		// The status is gone. Cutting the connection is the one way left to say that the body is not whole.
		panic(http.ErrAbortHandler)
	}
	if q.json() {
		if word, ok := pathWords[code]; ok {
			code = word
		}
	}
	h := q.w.Header()
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Encoding", "Content-Disposition", "Content-MD5", "Cache-Control", "Content-Language"} {
		h.Del(name)
	}
	h.Set("x-ms-error-code", code)
	if e.Kind == resource.Unauthenticated && s.Authority != "" {
		h.Set("WWW-Authenticate", "Bearer authorization_uri="+s.Authority+" resource_id=https://storage.azure.com")
	}
	if e.Kind == resource.RangeNotSatisfiable && q.size >= 0 {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(q.size, 10))
	}
	if status == http.StatusNotModified || q.http.Method == http.MethodHead {
		h.Del("Content-Type")
		q.w.WriteHeader(status)
		return
	}
	message += "\nRequestId:" + q.id + "\nTime:" + s.Clock().UTC().Format("2006-01-02T15:04:05.0000000Z")
	body, contentType := errorBody(q.json(), code, message)
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.w.WriteHeader(status)
	_, _ = q.w.Write(body) // the client is gone if this fails
}

func errorBody(asJSON bool, code, message string) ([]byte, string) {
	if asJSON {
		type inner struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}
		body, _ := json.Marshal(map[string]inner{"error": {code, message}}) // two strings always marshal
		return body, "application/json;charset=utf-8"
	}
	body, _ := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	return append([]byte(xml.Header), body...), "application/xml"
}

// httpTime is the form of all dates in headers and listings.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
