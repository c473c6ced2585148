package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
)

type loginCommand struct {
	Local            bool   `help:"Sign in as the owner of a server's data folder, through its Unix socket; needs --data."`
	Data             string `type:"path" placeholder:"DIR" help:"The server's data folder: says where its planes are."`
	ServicePrincipal bool   `name:"service-principal" help:"Sign in as a service principal; needs -u and one of -p, --certificate, --federated-token."`
	Identity         bool   `help:"Sign in as the managed identity of the place where this runs."`
	Username         string `short:"u" aliases:"client-id" help:"User name, or the client id of a service principal or identity."`
	Password         string `short:"p" help:"Password or client secret; '-' reads it from stdin."`
	Certificate      string `type:"path" placeholder:"PEM" help:"PEM file with a certificate and its RSA key."`
	FederatedToken   string `name:"federated-token" help:"Token of another issuer that the application trusts."`
	Tenant           string `short:"t" help:"Tenant id; without it the server's own."`
}

func (l *loginCommand) Run(c *Call) error {
	session, err := l.session(c)
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	// Nothing is stored before the sign-in has worked: a wrong password leaves the earlier sign-in as it was.
	active := &profile.Active{Endpoints: session.Endpoints, Session: session}
	if err := c.use(active, store); err != nil {
		return err
	}
	if session.Kind == profile.Refresh && session.RefreshToken == "" && len(session.Tokens) == 0 {
		password, err := l.password(c)
		if err != nil {
			return err
		}
		if err := c.issuer.Password(c.ctx, session, l.Username, password); err != nil {
			return err
		}
	}
	token, err := c.issuer.Token(c.ctx, profile.ResourceManager)
	if err != nil {
		return err
	}
	if claims := profile.ClaimsOf(token.AccessToken); session.Tenant == "" {
		session.Tenant = claims.TenantID
	}
	accounts, err := l.accounts(c, session)
	if err != nil {
		return err
	}
	if err := store.Update(func(p *profile.Profile) error { p.SignIn(session, accounts); return nil }); err != nil {
		return err
	}
	out := make([]*document.Object, len(accounts))
	for i := range accounts {
		out[i] = accountDocument(accounts[i])
	}
	return c.PrintColumns(out, accountColumns)
}

func (l *loginCommand) session(c *Call) (*profile.Session, error) {
	ways := 0
	for _, chosen := range []bool{l.Local, l.ServicePrincipal, l.Identity} {
		if chosen {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, usagef("--local, --service-principal and --identity are three ways to sign in; give one")
	case ways == 0 && l.Username == "":
		return nil, usagef("say how to sign in: --local --data DIR, --service-principal -u APPID -p SECRET --tenant T, --identity, or -u USER -p PASSWORD")
	case l.Local && l.Data == "":
		return nil, usagef("--local needs --data DIR, the server's data folder")
	}
	if l.Local {
		return profile.Local(c.ctx, l.Data, c.Program.Now())
	}
	endpoints := profile.Endpoints{}
	if l.Data != "" {
		var err error
		if endpoints, err = profile.ReadEndpoints(l.Data); err != nil {
			return nil, err
		}
	} else {
		endpoints = endpoints.Overlay(c.Program.Env)
		if endpoints.CAFile != "" {
			abs, err := filepath.Abs(endpoints.CAFile)
			if err != nil {
				return nil, err
			}
			endpoints.CAFile = abs
		}
	}
	if endpoints.ResourceManager == "" || (endpoints.Authority == "" && !l.Identity) {
		return nil, usagef("the server is unknown: give --data DIR, or set ALVARA_ENDPOINT and AZURE_AUTHORITY_HOST (`alvara env --data DIR` prints them)")
	}
	session := &profile.Session{Endpoints: endpoints, Tenant: l.Tenant, User: profile.User{Name: l.Username, Type: "servicePrincipal"}}
	if session.Tenant == "" {
		session.Tenant = endpoints.Tenant
	}
	switch {
	case l.Identity:
		session.Kind, session.ClientID = profile.ManagedIdentity, l.Username
		if session.ClientID == "" {
			session.User.Name = "systemAssignedIdentity"
		} else {
			session.User.Name = "userAssignedIdentity-" + l.Username
		}
		return session, nil
	case l.ServicePrincipal:
		return session, l.credential(c, session)
	}
	session.Kind, session.User.Type = profile.Refresh, "user"
	return session, nil
}

func (l *loginCommand) credential(c *Call, session *profile.Session) error {
	given := 0
	for _, value := range []string{l.Password, l.Certificate, l.FederatedToken} {
		if value != "" {
			given++
		}
	}
	if l.Username == "" || given != 1 {
		return usagef("--service-principal needs -u APPID and exactly one of -p SECRET, --certificate PEM and --federated-token TOKEN")
	}
	session.Kind, session.ClientID = profile.ServicePrincipal, l.Username
	session.FederatedToken, session.Certificate = l.FederatedToken, l.Certificate
	if l.Password == "" {
		return nil
	}
	// As with az, -p may name a PEM file.
	if strings.HasSuffix(strings.ToLower(l.Password), ".pem") {
		if _, err := os.Stat(l.Password); err == nil {
			if session.Certificate, err = filepath.Abs(l.Password); err != nil {
				return err
			}
			return nil
		}
	}
	secret, err := l.password(c)
	session.ClientSecret = secret
	return err
}

func (l *loginCommand) password(c *Call) (string, error) {
	switch l.Password {
	case "":
		return "", usagef("give the password with -p, or -p - to read it from stdin")
	case "-":
		return readSecret(c.Program.Stdin)
	}
	return l.Password, nil
}

func (l *loginCommand) accounts(c *Call, session *profile.Session) ([]profile.Account, error) {
	seen, err := c.armList("/subscriptions", subscriptionsAPI, nil)
	if err != nil {
		return nil, fmt.Errorf("signed in, but the subscriptions cannot be listed: %w", err)
	}
	accounts := make([]profile.Account, 0, len(seen))
	for _, subscription := range seen {
		account := profile.Account{
			ID: subscription.Text("subscriptionId"), Name: subscription.Text("displayName"),
			TenantID: subscription.Text("tenantId"), State: subscription.Text("state"), User: session.User,
		}
		if account.TenantID == "" {
			account.TenantID = session.Tenant
		}
		accounts = append(accounts, account)
	}
	if len(accounts) == 0 {
		id := session.Endpoints.Subscription
		if id == "" {
			id = session.Tenant
		}
		c.Warn("%s has no role on any subscription yet; commands are refused until it is given one", session.User.Name)
		accounts = append(accounts, profile.Account{ID: id, Name: "N/A(tenant level account)", TenantID: session.Tenant, State: "Enabled", User: session.User})
	}
	return accounts, nil
}

type logoutCommand struct {
	Username string `short:"u" help:"Whose sign-in to forget; without it the one of the default account."`
	All      bool   `help:"Forget every sign-in."`
}

func (l *logoutCommand) Run(c *Call) error {
	store, err := c.store()
	if err != nil {
		return err
	}
	return store.Update(func(p *profile.Profile) error {
		forgotten := false
		for key, session := range p.Sessions {
			current := p.Default() != nil && p.Default().Session == key
			if l.All || (l.Username != "" && strings.EqualFold(session.User.Name, l.Username)) || (l.Username == "" && current) {
				p.SignOut(key)
				forgotten = true
				if l.Username == "" && !l.All {
					break
				}
			}
		}
		if !forgotten && !l.All {
			return &notFound{"there is no such sign-in; `alvara account list` shows who is signed in"}
		}
		return nil
	})
}
