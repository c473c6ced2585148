package blob

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/resource"
)

// address is what a request's URL names. Container is empty for the account itself, path for the container itself.
type address struct {
	account, container, path string
	fromHost                 bool // the account stands in the host name
}

// addressOf reads the address of a request, in host or in path form.
func (s *Server) addressOf(r *http.Request) (address, error) {
	return s.parseAddress(r.Host, r.URL.EscapedPath())
}

// parseAddress reads {account}.blob.{Domain} with /container/path, or any other host with /account/container/path.
func (s *Server) parseAddress(host, escaped string) (address, error) {
	var a address
	rest := strings.TrimPrefix(escaped, "/")
	if account, ok := s.accountInHost(host); ok {
		a.account, a.fromHost = account, true
	} else {
		var first string
		first, rest, _ = strings.Cut(rest, "/")
		name, err := unescape(first)
		if err != nil {
			return a, err
		}
		if name == "" {
			return a, resource.Invalidf("InvalidUri", "the URL names no storage account; write https://%s/<account>/<container>/<blob>", host)
		}
		a.account = strings.ToLower(name)
	}
	container, path, _ := strings.Cut(rest, "/")
	var err error
	if a.container, err = unescape(container); err != nil {
		return a, err
	}
	if a.path, err = unescape(path); err != nil {
		return a, err
	}
	if a.container == "" && a.path != "" {
		return a, resource.Invalidf("InvalidUri", "the URL has a blob name without a container")
	}
	if n := utf8.RuneCountInString(a.path); n > MaxName {
		return a, resource.Invalidf("InvalidUri", "the blob name is %d characters long; at most %d are allowed", n, MaxName)
	}
	return a, nil
}

func (s *Server) accountInHost(host string) (string, bool) {
	if s.Domain == "" {
		return "", false
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	for _, service := range []string{".blob.", ".dfs."} {
		if account, ok := strings.CutSuffix(host, service+strings.ToLower(s.Domain)); ok && account != "" {
			return account, true
		}
	}
	return "", false
}

func unescape(text string) (string, error) {
	name, err := url.PathUnescape(text)
	if err != nil {
		return "", resource.Invalidf("InvalidUri", "the URL has a broken percent escape: %v", err)
	}
	if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return "", resource.Invalidf("InvalidUri", "names in the URL must be UTF-8 text without NUL characters")
	}
	return name, nil
}

// ours tells whether a host names this server, as far as that can be known: a copy source must be one of ours.
func (s *Server) ours(host string, r *http.Request) bool {
	if strings.EqualFold(host, r.Host) {
		return true
	}
	_, ok := s.accountInHost(host)
	return ok
}

// checkContainerName applies the rules of container names.
func checkContainerName(name string) error {
	bad := len(name) < 3 || len(name) > 63 || strings.Contains(name, "--") ||
		strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") ||
		strings.ContainsFunc(name, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
		})
	if bad && name != "$root" && name != "$web" && name != "$logs" {
		return resource.Invalidf("InvalidResourceName", "the container name %q must have 3 to 63 lower-case letters, digits "+
			"and single hyphens, and begin and end with a letter or digit", name)
	}
	return nil
}
