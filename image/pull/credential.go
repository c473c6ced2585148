package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/alvara-ml/alvara/resource"
)

func basic(c Credential) authn.Authenticator {
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password})
}

// sameHost lets nothing that carries a credential go to another host: not by a redirect, and not because a registry names
// a token service elsewhere.
type sameHost struct {
	inner  http.RoundTripper
	host   string
	also   string // the host's own token service, where it has one
	secure bool   // only over TLS
}

// RoundTrip implements http.RoundTripper.
func (s *sameHost) RoundTrip(request *http.Request) (*http.Response, error) {
	carries := request.Header.Get("Authorization") != "" || strings.HasPrefix(request.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	at := request.URL.Host
	switch {
	case carries && at != s.host && (s.also == "" || at != s.also):
		return nil, refusal{resource.Forbiddenf("RegistryNotTrusted", "The registry %s sends to %s for a token; credentials of %s go to no other host.", s.host, at, s.host)}
	case carries && s.secure && request.URL.Scheme != "https":
		return nil, refusal{resource.Forbiddenf("RegistryNotTrusted", "The registry %s does not speak TLS; tokens of identities are not sent in the clear.", s.host)}
	}
	return s.inner.RoundTrip(request)
}

// refusal keeps clients from asking again: it is no fault of the network.
type refusal struct{ reason *resource.Error }

func (r refusal) Error() string   { return r.reason.Error() }
func (r refusal) Unwrap() error   { return r.reason }
func (r refusal) Temporary() bool { return false }
func (r refusal) Timeout() bool   { return false }

// exchange turns an identity's access token into a refresh token of one registry, by that registry alone.
type exchange struct {
	host     string
	identity string
	all      *Registries
	http     http.RoundTripper

	mu      sync.Mutex
	refresh string
	got     time.Time
}

// renewAfter is far below the hours for which registries' refresh tokens are good.
const renewAfter = 30 * time.Minute

// Authorization implements authn.Authenticator.
func (e *exchange) Authorization() (*authn.AuthConfig, error) {
	return e.AuthorizationContext(context.Background())
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (e *exchange) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refresh == "" || time.Since(e.got) > renewAfter {
		token, err := e.ask(ctx)
		if err != nil {
			return nil, refusalOr(err)
		}
		e.refresh, e.got = token, time.Now()
	}
	return &authn.AuthConfig{IdentityToken: e.refresh}, nil
}

func refusalOr(err error) error {
	if known, ok := resource.AsError(err); ok {
		return refusal{known}
	}
	return err
}

func (e *exchange) ask(ctx context.Context) (string, error) {
	access, err := e.all.Token(ctx, e.identity)
	if err != nil {
		if known, ok := resource.AsError(err); ok {
			said := *known
			said.Message = fmt.Sprintf("The identity %s gets no token for the registry %s: %s", e.all.who(e.host), e.host, known.Message)
			return "", &said
		}
		return "", fmt.Errorf("token of the identity %s for %s: %w", e.all.who(e.host), e.host, err)
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {e.host}, "access_token": {access}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+e.host+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := e.http.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		message := registryMessage(body)
		if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
			return "", fmt.Errorf("exchange at %s: status %d: %s", e.host, response.StatusCode, message)
		}
		return "", resource.Errorf(resource.Unauthenticated, "RegistryRefusedIdentity",
			"The registry %s does not accept the identity %s: %s", e.host, e.all.who(e.host), message)
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.RefreshToken == "" {
		return "", fmt.Errorf("exchange at %s: the answer holds no refresh token", e.host)
	}
	return answer.RefreshToken, nil
}

// registryMessage finds the sentence in an answer of a registry.
func registryMessage(body []byte) string {
	var answer struct {
		Errors []struct{ Code, Message string } `json:"errors"`
	}
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		return answer.Errors[0].Message
	}
	text := strings.TrimSpace(string(body))
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return text
}
