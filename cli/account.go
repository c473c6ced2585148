package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
)

const accountColumns = "[].{Name:name, SubscriptionId:id, TenantId:tenantId, State:state, User:user.name, IsDefault:isDefault}"

type accountGroup struct {
	Show           accountShow  `cmd:"" help:"Show the account in use." example:"alvara account show --query user.name -o tsv"`
	List           accountList  `cmd:"" help:"List the accounts of every sign-in." example:"alvara account list -o table"`
	Set            accountSet   `cmd:"" help:"Choose the default account." example:"alvara account set --subscription 0b1f6471-1bf0-4dda-aec3-cb9272f09590"`
	GetAccessToken accountToken `cmd:"" name:"get-access-token" help:"Print an access token." example:"alvara account get-access-token --resource https://storage.azure.com --query accessToken -o tsv"`
}

func accountDocument(a profile.Account) *document.Object {
	return document.New("cloudName", "Alvara", "homeTenantId", a.TenantID, "id", a.ID, "isDefault", a.IsDefault,
		"managedByTenants", []any{}, "name", a.Name, "state", a.State, "tenantId", a.TenantID,
		"user", document.New("name", a.User.Name, "type", a.User.Type))
}

type accountShow struct{}

func (accountShow) Run(c *Call) error {
	active, err := c.signedIn()
	if err != nil {
		return err
	}
	if active.Account != nil {
		return c.PrintColumns(accountDocument(*active.Account), accountColumns)
	}
	return c.PrintColumns(accountDocument(profile.Account{
		ID: active.Subscription, Name: active.Subscription, TenantID: active.Session.Tenant, State: "Enabled", IsDefault: true, User: active.Session.User,
	}), accountColumns)
}

type accountList struct {
	All bool `help:"Kept for scripts; every account is shown anyway."`
}

func (accountList) Run(c *Call) error {
	store, err := c.store()
	if err != nil {
		return err
	}
	stored, err := store.Load()
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, account := range stored.Accounts {
		out = append(out, accountDocument(account))
	}
	if len(out) == 0 {
		c.Warn("nobody is signed in; `alvara login --help` shows how")
	}
	return c.PrintColumns(out, accountColumns)
}

type accountSet struct {
	Name string `short:"n" help:"Name or id of the subscription (the same as --subscription)."`
}

func (s *accountSet) Run(c *Call) error {
	wanted := s.Name
	if wanted == "" {
		wanted = c.Globals.Subscription
	}
	if wanted == "" {
		return usagef("name the subscription: --subscription ID or NAME")
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	return store.Update(func(p *profile.Profile) error {
		found := p.Find(wanted)
		if len(found) == 0 {
			return &notFound{fmt.Sprintf("there is no account with the subscription %q; `alvara account list` shows all", wanted)}
		}
		chosen := found[len(found)-1] // the latest sign-in
		for _, account := range found {
			if current := p.Default(); current != nil && account.Session == current.Session {
				chosen = account // the same user stays
			}
		}
		for i := range p.Accounts {
			p.Accounts[i].IsDefault = &p.Accounts[i] == chosen
		}
		return nil
	})
}

type accountToken struct {
	Resource     string `help:"Audience of the token, such as https://storage.azure.com."`
	ResourceType string `name:"resource-type" enum:",arm,ms-graph,storage,ml" default:"" help:"A well-known audience: arm, ms-graph, storage or ml."`
	Scope        string `help:"The audience as a scope, such as https://storage.azure.com/.default."`
}

func (t *accountToken) Run(c *Call) error {
	active, err := c.signedIn()
	if err != nil {
		return err
	}
	resource := t.Resource
	switch t.ResourceType {
	case "arm":
		resource = profile.ResourceManager
	case "ms-graph":
		resource = profile.Graph
	case "storage":
		resource = profile.Storage
	case "ml":
		resource = profile.MachineLearning
	}
	if t.Scope != "" {
		resource = strings.TrimSuffix(t.Scope, ".default")
	}
	if resource == "" {
		resource = profile.ResourceManager
	}
	token, err := c.issuer.Token(c.ctx, strings.TrimRight(resource, "/")+"/")
	if err != nil {
		return err
	}
	return c.Print(document.New("accessToken", token.AccessToken,
		"expiresOn", token.ExpiresOn.Local().Format("2006-01-02 15:04:05.000000"), "expires_on", token.ExpiresOn.Unix(),
		"subscription", active.Subscription, "tenant", active.Session.Tenant, "tokenType", "Bearer"))
}

// readSecret reads one line.
func readSecret(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("no secret came from stdin: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
