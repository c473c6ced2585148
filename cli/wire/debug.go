package wire

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Debug writes each request and its outcome to Log, without bodies (they may hold secrets) and with every credential
// in headers and URLs replaced. It wraps another transport.
type Debug struct {
	Next http.RoundTripper
	Log  io.Writer
	Now  func() time.Time
	mu   sync.Mutex
}

// RoundTrip sends the request through the wrapped transport.
func (d *Debug) RoundTrip(request *http.Request) (*http.Response, error) {
	start := d.Now()
	response, err := d.Next.RoundTrip(request)
	took := d.Now().Sub(start).Round(time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.Log, "DEBUG: %s %s (%d bytes)\n", request.Method, redactURL(request.URL), max(request.ContentLength, 0))
	writeHeader(d.Log, "> ", request.Header)
	if err != nil {
		fmt.Fprintf(d.Log, "DEBUG:   failed after %s: %v\n", took, err)
		return nil, err
	}
	fmt.Fprintf(d.Log, "DEBUG:   %s after %s\n", response.Status, took)
	writeHeader(d.Log, "< ", response.Header)
	return response, nil
}

var secretHeaders = []string{"Authorization", "Cookie", "Set-Cookie", "X-Identity-Header", "Secret", "X-Ms-Copy-Source-Authorization"}

func writeHeader(w io.Writer, prefix string, header http.Header) {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := strings.Join(header[name], ", ")
		if slices.Contains(secretHeaders, http.CanonicalHeaderKey(name)) {
			value = "<redacted>"
		} else if u, err := url.Parse(value); err == nil && u.RawQuery != "" {
			value = redactURL(u)
		}
		fmt.Fprintf(w, "DEBUG:   %s%s: %s\n", prefix, name, value)
	}
}

func redactURL(u *url.URL) string {
	query := u.Query()
	shown := *u
	for _, name := range []string{"sig", "client_secret", "code", "access_token"} {
		if query.Has(name) {
			query.Set(name, "redacted")
			shown.RawQuery = query.Encode()
		}
	}
	return shown.Redacted()
}
