package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// answerJSON writes a JSON answer.
func (q *request) answerJSON(status int, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	h := q.w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	return q.answerBytes(status, content)
}

// answerBytes writes the status and a body, of which HEAD gets the headers alone.
func (q *request) answerBytes(status int, body []byte) error {
	q.answered = true
	q.w.WriteHeader(status)
	if q.http.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client is gone if this fails
	}
	return nil
}

// answerEmpty writes a status without a body.
func (q *request) answerEmpty(status int) error {
	if status != http.StatusNoContent {
		q.w.Header().Set("Content-Length", "0")
	}
	return q.answerBytes(status, nil)
}

// readBody reads a body of at most limit bytes. Errors: TooLarge; Invalid for a body that ends early.
func (q *request) readBody(limit int64, what string) ([]byte, error) {
	tooLarge := resource.Errorf(resource.TooLarge, codeSizeInvalid, "the %s is larger than %d bytes, which is the most that the registry takes", what, limit)
	body, err := io.ReadAll(io.LimitReader(q.http.Body, limit+1))
	if int64(len(body)) > limit {
		// A client that is still sending may not listen yet: what it is about to send is read, within reason.
		_, _ = io.CopyN(io.Discard, q.http.Body, 16<<20)
		return nil, tooLarge
	}
	if _, known := resource.AsError(err); known {
		return nil, err
	}
	if err != nil {
		return nil, resource.Invalidf(codeSizeInvalid, "the body ended after %d bytes: %v", len(body), err)
	}
	return body, nil
}

// readJSON reads a small JSON body.
func (q *request) readJSON(into any) error {
	body, err := q.readBody(64<<10, "body")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return resource.Invalidf(codeInvalidParameter, "the body is not the JSON that is expected here: %v", err)
	}
	return nil
}

// The sizes of pages: what one may be at most, and what it is without ?n=. Lists of tags by the distribution protocol come
// whole then, because its older clients do not follow links.
const (
	pageMost = 1000
	pageACR  = 100
)

// pageSize reads ?n=. Zero is allowed by the specification and gives an empty page. Errors: Invalid.
func (q *request) pageSize(usual int) (int, error) {
	if !q.query.Has("n") {
		return usual, nil
	}
	text := q.query.Get("n")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, errParameter("n", text, "a number of at least 0")
	}
	return min(n, pageMost), nil
}

// linkNext says where the rest of a list is.
func (q *request) linkNext(last string, n int) {
	query := url.Values{}
	for name, values := range q.query {
		query[name] = values
	}
	query.Set("last", last)
	query.Set("n", strconv.Itoa(n))
	// Clients cut the link at the first '>' and split the query at '&'; the path has no character that needs an escape.
	q.w.Header().Set("Link", "<"+q.path()+"?"+query.Encode()+`>; rel="next"`)
}

// path is the path of the request in its plain form: its names have been checked.
func (q *request) path() string { return strings.TrimSuffix(q.http.URL.Path, "/") }
