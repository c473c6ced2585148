package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
)

// Client sends requests with a bearer token. HTTP and Token are required. It is safe for concurrent use.
type Client struct {
	HTTP  *http.Client
	Token func(ctx context.Context, resource string) (string, error) // an access token for the resource
	Sleep func(ctx context.Context, d time.Duration) error           // nil means a timer
}

// Request is one call. Resource is the audience of the token; "" sends none. Body is sent as JSON unless it is a
// []byte, which goes as it is. A relative URL is an error.
type Request struct {
	Method   string
	URL      string
	Query    url.Values
	Header   http.Header
	Body     any
	Resource string
}

// Response is an answer; that of Do has a status below 400.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	URL    string
}

// Object reads the body as a JSON object; an empty body gives nil.
func (r *Response) Object() (*document.Object, error) {
	if len(bytes.TrimSpace(r.Body)) == 0 {
		return nil, nil
	}
	object, err := document.DecodeObject(r.Body)
	if err != nil {
		return nil, fmt.Errorf("%s did not answer with a JSON object: %w", r.URL, err)
	}
	return object, nil
}

const maxAttempts = 4

// Do sends a request and reads the whole answer. A status of 400 and above is an *Error. A request that was turned
// away with 429 or 503 is sent again after the time that the server asks for.
func (c *Client) Do(ctx context.Context, request Request) (*Response, error) {
	var body []byte
	switch v := request.Body.(type) {
	case nil:
	case []byte:
		body = v
	default:
		encoded, err := document.Indent(v)
		if err != nil {
			return nil, fmt.Errorf("encoding the request body: %w", err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, encoded); err != nil {
			return nil, err
		}
		body = compact.Bytes()
	}
	for attempt := 1; ; attempt++ {
		response, err := c.Open(ctx, request, body)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("reading the answer of %s: %w", response.Request.URL.Redacted(), err)
		}
		busy := response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable
		if busy && attempt < maxAttempts {
			if err := c.Pause(ctx, retryAfter(response.Header, time.Duration(attempt)*500*time.Millisecond)); err != nil {
				return nil, err
			}
			continue
		}
		answer := &Response{Status: response.StatusCode, Header: response.Header, Body: text, URL: response.Request.URL.String()}
		if response.StatusCode >= 400 {
			refused := ReadError(response.StatusCode, response.Header, text)
			refused.Answer = answer
			return nil, refused
		}
		return answer, nil
	}
}

// Open sends a request once and gives the answer with its body unread, whatever its status; the caller closes the body.
func (c *Client) Open(ctx context.Context, request Request, body []byte) (*http.Response, error) {
	target, err := url.Parse(request.URL)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("%q is no absolute URL", request.URL)
	}
	if len(request.Query) > 0 {
		query := target.Query()
		for key, values := range request.Query {
			query[key] = values
		}
		target.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	outgoing, err := http.NewRequestWithContext(ctx, request.Method, target.String(), reader)
	if err != nil {
		return nil, err
	}
	for key, values := range request.Header {
		outgoing.Header[http.CanonicalHeaderKey(key)] = values
	}
	if body != nil && outgoing.Header.Get("Content-Type") == "" {
		outgoing.Header.Set("Content-Type", "application/json")
	}
	if outgoing.Header.Get("Accept") == "" {
		outgoing.Header.Set("Accept", "application/json")
	}
	if request.Resource != "" {
		token, err := c.Token(ctx, request.Resource)
		if err != nil {
			return nil, err
		}
		outgoing.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.HTTP.Do(outgoing)
	if err != nil {
		return nil, connectError(err)
	}
	return response, nil
}

// List reads every page of a collection: {"value": […], "nextLink": "…"} or Graph's "@odata.nextLink".
func (c *Client) List(ctx context.Context, request Request) ([]*document.Object, error) {
	all := []*document.Object{}
	err := c.Pages(ctx, request, func(page []*document.Object) bool {
		all = append(all, page...)
		return true
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Pages reads a collection page by page as long as visit says true.
func (c *Client) Pages(ctx context.Context, request Request, visit func(page []*document.Object) bool) error {
	seen := map[string]bool{}
	for {
		response, err := c.Do(ctx, request)
		if err != nil {
			return err
		}
		page, err := response.Object()
		if err != nil {
			return err
		}
		if !visit(page.Objects("value")) {
			return nil
		}
		next := page.Text("nextLink")
		if next == "" {
			next = page.Text("@odata.nextLink")
		}
		if next == "" {
			return nil
		}
		if seen[next] {
			return fmt.Errorf("the server's next page %s leads to itself", next)
		}
		if err := sameOrigin(response.URL, next); err != nil {
			return err
		}
		seen[next] = true
		request.URL, request.Query = next, nil
	}
}

// A token goes to the server that it was asked for, never to an address that an answer names.
func sameOrigin(from, to string) error {
	a, err := url.Parse(from)
	if err != nil {
		return err
	}
	b, err := url.Parse(to)
	if err != nil {
		return err
	}
	if a.Scheme != b.Scheme || a.Host != b.Host {
		return fmt.Errorf("the answer of %s refers to another server, %s; the token is not sent there", a.Host, b.Host)
	}
	return nil
}

func connectError(err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return err
	}
	target, parseErr := url.Parse(failed.URL)
	if parseErr != nil {
		return err
	}
	switch text := failed.Err.Error(); {
	case strings.Contains(text, "connection refused"):
		return fmt.Errorf("nothing answers at %s://%s: is the server running? Start it with `alvara serve --data DIR`: %w",
			target.Scheme, target.Host, failed.Err)
	case strings.Contains(text, "certificate"):
		return fmt.Errorf("the certificate of %s is not trusted; set SSL_CERT_FILE to the server's CA file, or run `eval \"$(alvara env --data DIR)\"`: %w",
			target.Host, failed.Err)
	}
	return fmt.Errorf("%s %s://%s%s: %w", failed.Op, target.Scheme, target.Host, target.Path, failed.Err)
}

// Pause waits, or ends early with the reason for which ctx was cancelled.
func (c *Client) Pause(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
