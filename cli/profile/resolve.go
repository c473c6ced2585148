package profile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Active is whom and where a command works with.
type Active struct {
	Endpoints    Endpoints
	Subscription string // a GUID, or "" when none is known
	Session      *Session
	Account      *Account // nil when the environment signs in
	stored       bool     // the session is in the profile, so renewed tokens go there
}

// NotSignedIn is the error of a command that needs somebody and finds nobody.
type NotSignedIn struct{ Reason string }

func (e *NotSignedIn) Error() string { return e.Reason }

// Dir is the folder of the profile: $ALVARA_CONFIG_DIR, or ~/.alvara.
func Dir(env func(string) string) (string, error) {
	if dir := env("ALVARA_CONFIG_DIR"); dir != "" {
		return dir, nil
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".alvara"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the profile: set ALVARA_CONFIG_DIR: %w", err)
	}
	return filepath.Join(home, ".alvara"), nil
}

// Resolve finds out whom a command works as. In this order: credentials in the environment (AZURE_CLIENT_ID with a
// secret, a certificate or a federated token; an identity endpoint), then the profile. subscription is an id or a
// name, or ""; then AZURE_SUBSCRIPTION_ID counts, then the profile's default.
func Resolve(p *Profile, env func(string) string, subscription string) (*Active, error) {
	if session := FromEnvironment(env); session != nil {
		endpoints := Endpoints{}.Overlay(env)
		session.Endpoints = endpoints
		if subscription == "" {
			subscription = endpoints.Subscription
		}
		return &Active{Endpoints: endpoints, Subscription: subscription, Session: session}, nil
	}
	wanted := subscription
	if wanted == "" {
		wanted = env("AZURE_SUBSCRIPTION_ID")
	}
	authority := strings.TrimRight(env("AZURE_AUTHORITY_HOST"), "/")
	account := p.pick(wanted, authority)
	if account == nil {
		switch {
		case len(p.Accounts) == 0 && len(p.Sessions) == 0:
			return nil, &NotSignedIn{"nobody is signed in. Run `alvara login --local --data DIR` with the server's data folder, or `alvara login --help` for the other ways"}
		case authority != "" && p.session(authority) == nil:
			return nil, &NotSignedIn{fmt.Sprintf("nobody is signed in at %s, which AZURE_AUTHORITY_HOST names. Run `alvara login --local --data DIR` with that server's data folder", authority)}
		case subscription != "":
			return nil, &NotSignedIn{fmt.Sprintf("the subscription %q is not among those of whom is signed in; `alvara account list` shows them", subscription)}
		}
	}
	var session *Session
	if account != nil {
		session = p.Sessions[account.Session]
	} else {
		session = p.session(authority)
	}
	if session == nil {
		return nil, &NotSignedIn{"the profile has no sign-in for the chosen subscription. Run `alvara login` again"}
	}
	active := &Active{Endpoints: session.Endpoints.Overlay(env), Session: session, Account: account, stored: true}
	switch {
	case account != nil:
		active.Subscription = account.ID
	default:
		active.Subscription = wanted
	}
	return active, nil
}

// pick chooses an account: of the subscription when one is named, at the authority when the environment names one. The
// default account comes first, then others of the same sign-in.
func (p *Profile) pick(subscription, authority string) *Account {
	var best *Account
	current := ""
	if a := p.Default(); a != nil {
		current = a.Session
	}
	for i := range p.Accounts {
		a := &p.Accounts[i]
		session := p.Sessions[a.Session]
		if session == nil || (authority != "" && !strings.EqualFold(session.Endpoints.Authority, authority)) {
			continue
		}
		if subscription != "" && !strings.EqualFold(a.ID, subscription) && !strings.EqualFold(a.Name, subscription) {
			continue
		}
		if best == nil || a.IsDefault || (!best.IsDefault && best.Session != current && a.Session == current) {
			best = a
		}
	}
	return best
}

func (p *Profile) session(authority string) *Session {
	for _, session := range p.Sessions {
		if authority == "" || strings.EqualFold(session.Endpoints.Authority, authority) {
			return session
		}
	}
	return nil
}

// FromEnvironment gives the sign-in that the environment holds, or nil.
func FromEnvironment(env func(string) string) *Session {
	clientID := env("AZURE_CLIENT_ID")
	session := &Session{Tenant: env("AZURE_TENANT_ID"), ClientID: clientID, User: User{Name: clientID, Type: "servicePrincipal"}}
	switch {
	case clientID != "" && env("AZURE_CLIENT_SECRET") != "":
		session.Kind, session.ClientSecret = ServicePrincipal, env("AZURE_CLIENT_SECRET")
	case clientID != "" && env("AZURE_CLIENT_CERTIFICATE_PATH") != "":
		session.Kind, session.Certificate = ServicePrincipal, env("AZURE_CLIENT_CERTIFICATE_PATH")
	case clientID != "" && env("AZURE_FEDERATED_TOKEN_FILE") != "":
		token, err := os.ReadFile(env("AZURE_FEDERATED_TOKEN_FILE"))
		if err != nil {
			return nil
		}
		session.Kind, session.FederatedToken = ServicePrincipal, strings.TrimSpace(string(token))
	case env("IDENTITY_ENDPOINT") != "" || env("MSI_ENDPOINT") != "":
		session.Kind = ManagedIdentity
		if session.User.Name == "" {
			session.User.Name = "systemAssignedIdentity"
		}
	default:
		return nil
	}
	return session
}
