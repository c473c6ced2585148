package profile

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/wire"
)

// Local signs in through the Unix socket in a server's data folder: whoever owns the folder needs no password.
func Local(ctx context.Context, dataDir string, now time.Time) (*Session, error) {
	socket := filepath.Join(dataDir, "alvara.sock")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	client := &wire.Client{HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	response, err := client.Do(ctx, wire.Request{Method: http.MethodPost, URL: "http://local/login", Body: []byte("{}")})
	if err != nil {
		if refused, ok := err.(*wire.Error); ok {
			return nil, refused
		}
		return nil, fmt.Errorf("no server answers at %s: start it with `alvara serve --data %s`, and sign in as the user who owns the folder: %w", socket, dataDir, err)
	}
	var answer struct {
		Tenant    string    `json:"tenant"`
		Endpoints Endpoints `json:"endpoints"`
	}
	if err := json.Unmarshal(response.Body, &answer); err != nil {
		return nil, fmt.Errorf("the server's answer to the local sign-in cannot be read: %w", err)
	}
	granted, err := readGrant(response.Body, now)
	if err != nil {
		return nil, err
	}
	endpoints := answer.Endpoints.trimmed()
	if endpoints.CAFile != "" && !filepath.IsAbs(endpoints.CAFile) {
		if endpoints.CAFile, err = filepath.Abs(filepath.Join(dataDir, endpoints.CAFile)); err != nil {
			return nil, err
		}
	}
	if endpoints.Tenant == "" {
		endpoints.Tenant = answer.Tenant
	}
	name := ClaimsOf(granted.token.AccessToken).Name()
	if name == "" {
		name = "local"
	}
	return &Session{
		Kind: Refresh, Tenant: answer.Tenant, Endpoints: endpoints, RefreshToken: granted.refresh,
		User:   User{Name: name, Type: "user"},
		Tokens: map[string]Token{ResourceManager: granted.token},
	}, nil
}

// Claims are the claims of a token that are worth showing. They are read without a check: it is our own token, and the
// server is the one that decides by it.
type Claims struct {
	ObjectID          string `json:"oid"`
	TenantID          string `json:"tid"`
	AppID             string `json:"appid"`
	UPN               string `json:"upn"`
	PreferredUsername string `json:"preferred_username"`
	UniqueName        string `json:"unique_name"`
}

// ClaimsOf reads a token's claims; a token that cannot be read has none.
func ClaimsOf(token string) Claims {
	var claims Claims
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(text, &claims)
		}
	}
	return claims
}

// Name is the user's sign-in name, or the application's id.
func (c Claims) Name() string {
	for _, name := range []string{c.UPN, c.PreferredUsername, c.UniqueName, c.AppID} {
		if name != "" {
			return name
		}
	}
	return ""
}
