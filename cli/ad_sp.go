package cli

import (
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
)

type adSPGroup struct {
	Create        adSPCreate        `cmd:"" help:"Create the service principal of an application." example:"alvara ad sp create --id 00001111-aaaa-2222-bbbb-3333cccc4444"`
	CreateForRbac adSPCreateForRbac `cmd:"" name:"create-for-rbac" help:"Create an application with a service principal and a secret, and give it roles." example:"alvara ad sp create-for-rbac -n pipeline --role Reader --scopes /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590"`
	Show          adSPShow          `cmd:"" help:"Show a service principal." example:"alvara ad sp show --id pipeline"`
	List          adSPList          `cmd:"" help:"List service principals." example:"alvara ad sp list -o table"`
	Delete        adSPDelete        `cmd:"" help:"Delete a service principal and its application." example:"alvara ad sp delete --id pipeline"`
	Credential    adCredentialGroup `cmd:"" help:"Secrets of a service principal."`
}

type adSPID struct {
	ID string `name:"id" required:"" help:"Client id, object id or display name."`
}

type adSPCreate struct{ adSPID }

func (s *adSPCreate) Run(c *Call) error {
	application, err := c.application(s.ID)
	if err != nil {
		return err
	}
	made, err := c.graph(http.MethodPost, "/servicePrincipals", document.New("appId", application.Text("appId")))
	if err != nil {
		return err
	}
	return c.PrintColumns(made, applicationColumns)
}

type adSPShow struct{ adSPID }

func (s *adSPShow) Run(c *Call) error {
	found, err := c.servicePrincipal(s.ID)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, applicationColumns)
}

type adSPList struct {
	DisplayName string `name:"display-name" help:"Only those whose name starts with this."`
	Filter      string `help:"OData filter."`
	All         bool   `help:"Kept for scripts; everything is listed anyway."`
}

func (s *adSPList) Run(c *Call) error {
	filter := s.Filter
	if s.DisplayName != "" {
		filter = "startswith(displayName,'" + odata(s.DisplayName) + "')"
	}
	found, err := c.graphList("/servicePrincipals", filter)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, applicationColumns)
}

type adSPDelete struct{ adSPID }

func (s *adSPDelete) Run(c *Call) error {
	found, err := c.servicePrincipal(s.ID)
	if err != nil {
		return err
	}
	if _, err := c.graph(http.MethodDelete, "/servicePrincipals/"+segment(found.Text("id")), nil); err != nil && !missing(err) {
		return err
	}
	if !strings.EqualFold(found.Text("servicePrincipalType"), "Application") {
		return nil // a managed identity has no application
	}
	applications, err := c.graphList("/applications", "appId eq '"+odata(found.Text("appId"))+"'")
	if err != nil {
		return err
	}
	for _, application := range applications {
		if _, err := c.graph(http.MethodDelete, "/applications/"+segment(application.Text("id")), nil); err != nil && !missing(err) {
			return err
		}
	}
	return nil
}

type adSPCreateForRbac struct {
	Name   string   `short:"n" aliases:"display-name" help:"Name; without it one with the time in it."`
	Role   string   `help:"Role to give, by name or id; needs --scopes."`
	Scopes []string `sep:"none" help:"Scopes of the role."`
	Years  int      `default:"1" help:"Years until the secret expires. (${default})"`
}

func (s *adSPCreateForRbac) Run(c *Call) error {
	if (s.Role == "") != (len(s.Scopes) == 0) {
		return usagef("--role and --scopes go together")
	}
	if s.Years < 1 {
		return usagef("--years must be at least 1")
	}
	name := s.Name
	if name == "" {
		name = "alvara-cli-" + c.Program.Now().UTC().Format("2006-01-02-15-04-05")
	}
	// The role is looked up first: a wrong name must not leave an application behind.
	roles := make([]string, len(s.Scopes))
	for i, scope := range s.Scopes {
		var err error
		if scope, err = cleanScope(scope); err != nil {
			return err
		}
		if roles[i], err = c.roleID(s.Role, scope); err != nil {
			return err
		}
	}
	application, err := c.oneOrMake("/applications", "displayName eq '"+odata(name)+"'", document.New("displayName", name), name)
	if err != nil {
		return err
	}
	appID := application.Text("appId")
	servicePrincipal, err := c.oneOrMake("/servicePrincipals", "servicePrincipalNames/any(c:c eq '"+odata(appID)+"')", document.New("appId", appID), name)
	if err != nil {
		return err
	}
	secret, err := c.addSecret(application.Text("id"), "rbac", s.Years)
	if err != nil {
		return err
	}
	for i, scope := range s.Scopes {
		if scope, err = cleanScope(scope); err != nil {
			return err
		}
		if _, err := c.assign(assignment{scope: scope, roleID: roles[i], who: principal{servicePrincipal.Text("id"), "ServicePrincipal"}}); err != nil {
			return err
		}
	}
	c.Warn("the output holds a secret; keep it out of version control")
	return c.Print(document.New("appId", appID, "displayName", application.Text("displayName"), "password", secret, "tenant", c.active.Session.Tenant))
}

// oneOrMake finds the object that the filter describes, or makes it; as with az, the same command twice works on the
// same application.
func (c *Call) oneOrMake(path, filter string, body *document.Object, name string) (*document.Object, error) {
	found, err := c.graphList(path, filter)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return one(found, nil, strings.TrimSuffix(strings.TrimPrefix(path, "/"), "s"), name)
	}
	return c.graph(http.MethodPost, path, body)
}

func (c *Call) addSecret(applicationID, name string, years int) (string, error) {
	now := c.Program.Now().UTC().Truncate(time.Second)
	answer, err := c.graph(http.MethodPost, "/applications/"+segment(applicationID)+"/addPassword", document.New("passwordCredential", document.New(
		"displayName", name, "startDateTime", now.Format(time.RFC3339), "endDateTime", now.AddDate(years, 0, 0).Format(time.RFC3339))))
	return answer.Text("secretText"), err
}

type adCredentialGroup struct {
	Reset adCredentialReset `cmd:"" help:"Give an application a new secret or certificate; the old ones stop working unless --append." example:"alvara ad sp credential reset --id pipeline"`
}

type adCredentialReset struct {
	adSPID
	Append      bool   `help:"Keep the secrets that are there."`
	Years       int    `default:"1" help:"Years until the secret expires. (${default})"`
	DisplayName string `name:"display-name" default:"rbac" help:"Name of the secret."`
	Cert        string `type:"path" placeholder:"PEM" help:"Register this certificate instead of making a secret."`
}

func (r *adCredentialReset) Run(c *Call) error {
	servicePrincipal, err := c.servicePrincipal(r.ID)
	if err != nil {
		return err
	}
	application, err := c.application(servicePrincipal.Text("appId"))
	if err != nil {
		return err
	}
	if r.Cert != "" {
		return r.certificate(c, application)
	}
	secret, err := c.addSecret(application.Text("id"), r.DisplayName, r.Years)
	if err != nil {
		return err
	}
	if !r.Append {
		for _, old := range application.Objects("passwordCredentials") {
			if _, err := c.graph(http.MethodPost, "/applications/"+segment(application.Text("id"))+"/removePassword", document.New("keyId", old.Text("keyId"))); err != nil {
				return err
			}
		}
	}
	c.Warn("the output holds a secret; keep it out of version control")
	return c.Print(document.New("appId", application.Text("appId"), "password", secret, "tenant", c.active.Session.Tenant))
}

func (r *adCredentialReset) certificate(c *Call, application *document.Object) error {
	text, err := os.ReadFile(r.Cert)
	if err != nil {
		return err
	}
	key, err := certificateKey(text)
	if err != nil {
		return usagef("--cert %s: %v", r.Cert, err)
	}
	keys := []any{}
	if r.Append {
		keys = application.List("keyCredentials")
	}
	keys = append(keys, document.New("type", "AsymmetricX509Cert", "usage", "Verify", "key", key, "displayName", r.DisplayName))
	if _, err := c.graph(http.MethodPatch, "/applications/"+segment(application.Text("id")), document.New("keyCredentials", keys)); err != nil {
		return err
	}
	return c.Print(document.New("appId", application.Text("appId"), "tenant", c.active.Session.Tenant))
}
