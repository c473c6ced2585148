package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	foreignKeysFresh = time.Hour        // so long keys are used without asking again
	foreignKeysRetry = 10 * time.Second // so long an unknown key id is not asked for again
)

// foreignKeys holds the public keys of other issuers, found by OpenID Connect discovery.
type foreignKeys struct {
	client *http.Client
	clock  func() time.Time

	mu      sync.Mutex
	issuers map[string]*foreignIssuer
}

type foreignIssuer struct {
	mu      sync.Mutex // held while the issuer is asked, so that one request asks for all
	keys    []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	err     error
}

func newForeignKeys(client *http.Client, clock func() time.Time) *foreignKeys {
	copied := *client
	copied.CheckRedirect = func(*http.Request, []*http.Request) error {
		return errors.New("redirects are not followed")
	}
	return &foreignKeys{client: &copied, clock: clock, issuers: map[string]*foreignIssuer{}}
}

// find gives the public key of an issuer; errNoKey when the issuer has no key of that id.
func (f *foreignKeys) find(ctx context.Context, issuer, kid string) (any, error) {
	f.mu.Lock()
	known := f.issuers[issuer]
	if known == nil {
		known = &foreignIssuer{}
		f.issuers[issuer] = known
	}
	f.mu.Unlock()
	known.mu.Lock()
	defer known.mu.Unlock()
	now := f.clock()
	key, found := pick(known.keys, kid)
	if found && now.Before(known.fetched.Add(foreignKeysFresh)) {
		return key, nil
	}
	if now.Before(known.tried.Add(foreignKeysRetry)) {
		if known.err != nil {
			return nil, known.err
		}
		return nil, errNoKey
	}
	known.tried = now
	keys, err := f.fetch(ctx, issuer)
	if known.err = err; err != nil {
		return nil, err
	}
	known.keys, known.fetched = keys, now
	if key, found = pick(keys, kid); !found {
		return nil, errNoKey
	}
	return key, nil
}

func pick(keys []jose.JSONWebKey, kid string) (any, bool) {
	for _, key := range keys {
		if key.KeyID == kid && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			return key.Key, true
		}
	}
	return nil, false
}

func (f *foreignKeys) fetch(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
	var discovered struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := f.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &discovered); err != nil {
		return nil, err
	}
	if discovered.Issuer != issuer {
		return nil, fmt.Errorf("it calls itself %q", discovered.Issuer)
	}
	var set jose.JSONWebKeySet
	if err := f.get(ctx, discovered.JWKS, &set); err != nil {
		return nil, err
	}
	return set.Keys, nil
}

func (f *foreignKeys) get(ctx context.Context, address string, into any) error {
	if !strings.HasPrefix(address, "https://") {
		return fmt.Errorf("%q is not an https address", address)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
