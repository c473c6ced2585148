package blob

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
)

// maxSkew is how far the date of a request that an account key signed may be from now.
const maxSkew = 15 * time.Minute

// checkSharedKey verifies the SharedKey scheme: {account}:{signature} over the request's line and headers.
func (s *Server) checkSharedKey(r *http.Request, account Account, credentials string) error {
	name, signature, _ := strings.Cut(credentials, ":")
	if !strings.EqualFold(name, account.Name) {
		return errSAS("the authorization header names the account %q, the URL %q", name, account.Name)
	}
	date := r.Header.Get("x-ms-date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	at, err := http.ParseTime(date)
	if err != nil {
		return errSAS("the header x-ms-date is %q; expected a date", date)
	}
	if skew := s.Clock().Sub(at).Abs(); skew > maxSkew {
		return errSAS("the request is dated %s, which is more than %s from now", date, maxSkew)
	}
	text := sharedKeyText(r, account.Name)
	for _, key := range account.Keys {
		if signedBy(key, text, signature) {
			return nil
		}
	}
	return errSAS("the signature of the authorization header does not match")
}

func sharedKeyText(r *http.Request, account string) string {
	length := r.Header.Get("Content-Length")
	if r.ContentLength > 0 {
		length = itoa(r.ContentLength)
	}
	if length == "0" {
		length = ""
	}
	date := r.Header.Get("Date")
	if r.Header.Get("x-ms-date") != "" {
		date = ""
	}
	lines := []string{r.Method, r.Header.Get("Content-Encoding"), r.Header.Get("Content-Language"), length,
		r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), date, r.Header.Get("If-Modified-Since"),
		r.Header.Get("If-Match"), r.Header.Get("If-None-Match"), r.Header.Get("If-Unmodified-Since"), r.Header.Get("Range")}
	return strings.Join(lines, "\n") + "\n" + canonicalHeaders(r.Header) + canonicalResource(r.URL, account)
}

func canonicalHeaders(headers http.Header) string {
	var names []string
	for name := range headers {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			names = append(names, lower)
		}
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + ":" + strings.Join(headers.Values(name), ",") + "\n")
	}
	return b.String()
}

func canonicalResource(u *url.URL, account string) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	b.WriteString("/" + account + path)
	query := map[string][]string{}
	for name, values := range u.Query() {
		lower := strings.ToLower(name)
		query[lower] = append(query[lower], values...)
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		values := query[name]
		slices.Sort(values)
		b.WriteString("\n" + name + ":" + strings.Join(values, ","))
	}
	return b.String()
}
