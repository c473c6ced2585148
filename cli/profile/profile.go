// Package profile knows who is signed in, to which server, and how to get tokens: the folder ~/.alvara (or
// $ALVARA_CONFIG_DIR) with profile.json, and the environment, which wins over it. It owns sign-in and token refresh; what
// is done with a token is left to others.
package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// User is the name of who signed in, as az shows it: type "user" or "servicePrincipal".
type User struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Account is one subscription as one signed-in principal sees it.
type Account struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	TenantID  string `json:"tenantId"`
	State     string `json:"state"`
	IsDefault bool   `json:"isDefault"`
	User      User   `json:"user"`
	Session   string `json:"session"` // key in Profile.Sessions
}

// Kind says how a session renews its tokens.
type Kind string

// The kinds of session.
const (
	Refresh          Kind = "refresh"          // a refresh token: local sign-in, user name and password
	ServicePrincipal Kind = "servicePrincipal" // a secret, a certificate or a federated token
	ManagedIdentity  Kind = "managedIdentity"  // the identity endpoint of the place where we run
)

// Token is an access token for one resource.
type Token struct {
	AccessToken string    `json:"accessToken"`
	ExpiresOn   time.Time `json:"expiresOn"`
}

// Session is one sign-in. The secrets in it are why profile.json is readable by its owner only.
type Session struct {
	Kind           Kind             `json:"kind"`
	User           User             `json:"user"`
	Tenant         string           `json:"tenant"`
	Endpoints      Endpoints        `json:"endpoints"`
	RefreshToken   string           `json:"refreshToken,omitempty"`
	ClientID       string           `json:"clientId,omitempty"`
	ClientSecret   string           `json:"clientSecret,omitempty"`
	Certificate    string           `json:"certificate,omitempty"` // path of a PEM file with key and certificate
	FederatedToken string           `json:"federatedToken,omitempty"`
	Tokens         map[string]Token `json:"tokens,omitempty"` // by resource
}

// Key identifies the session: one per server, tenant and user.
func (s *Session) Key() string {
	return strings.ToLower(s.Endpoints.Authority + "|" + s.Tenant + "|" + s.User.Name)
}

// Profile is everything that is remembered between commands.
type Profile struct {
	Accounts []Account           `json:"accounts"`
	Sessions map[string]*Session `json:"sessions"`
}

// Default is the account that is used when none is named, or nil.
func (p *Profile) Default() *Account {
	for i := range p.Accounts {
		if p.Accounts[i].IsDefault {
			return &p.Accounts[i]
		}
	}
	return nil
}

// Find gives the accounts with this subscription id or name, without regard to case.
func (p *Profile) Find(idOrName string) []*Account {
	var found []*Account
	for i := range p.Accounts {
		if a := &p.Accounts[i]; strings.EqualFold(a.ID, idOrName) || strings.EqualFold(a.Name, idOrName) {
			found = append(found, a)
		}
	}
	return found
}

// SignIn stores a session with the subscriptions that it sees, and makes the first of them the default. The same
// user's earlier session at that server is replaced.
func (p *Profile) SignIn(session *Session, accounts []Account) {
	key := session.Key()
	p.SignOut(key)
	if p.Sessions == nil {
		p.Sessions = map[string]*Session{}
	}
	p.Sessions[key] = session
	for i := range p.Accounts {
		p.Accounts[i].IsDefault = false
	}
	for i := range accounts {
		accounts[i].Session, accounts[i].IsDefault = key, i == 0
		for j := range accounts {
			if strings.EqualFold(accounts[j].ID, session.Endpoints.Subscription) {
				accounts[i].IsDefault = i == j
			}
		}
	}
	p.Accounts = append(p.Accounts, accounts...)
}

// SignOut forgets a session and its accounts; the next remaining account becomes the default.
func (p *Profile) SignOut(key string) {
	delete(p.Sessions, key)
	kept := p.Accounts[:0]
	for _, account := range p.Accounts {
		if account.Session != key {
			kept = append(kept, account)
		}
	}
	p.Accounts = kept
	if p.Default() == nil && len(p.Accounts) > 0 {
		p.Accounts[0].IsDefault = true
	}
}

// Store keeps the profile in a folder. Writes replace the file in one step under a lock, so that commands may run side
// by side and may be stopped at any time.
type Store struct{ Dir string }

// Load reads the profile; a folder that does not exist is an empty profile.
func (s Store) Load() (*Profile, error) {
	p := &Profile{Sessions: map[string]*Session{}}
	text, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w); delete it and sign in again with `alvara login`", s.path(), err)
	}
	if p.Sessions == nil {
		p.Sessions = map[string]*Session{}
	}
	return p, nil
}

// Update reads the profile, lets change work on it and writes it back. When change fails nothing is written.
func (s Store) Update(change func(*Profile) error) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(s.Dir, "profile.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	p, err := s.Load()
	if err != nil {
		return err
	}
	if err := change(p); err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(s.Dir, ".profile-*") // created with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(append(text, '\n')); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), s.path())
}

func (s Store) path() string { return filepath.Join(s.Dir, "profile.json") }
