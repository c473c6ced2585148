package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

const identityColumns = "[].{Name:name, ResourceGroup:resourceGroup, Location:location, ClientId:clientId, PrincipalId:principalId}"

type identityGroup struct {
	Create              identityCreate `cmd:"" help:"Create or update a user-assigned identity." example:"alvara identity create -n mat -g rg1"`
	Show                identityShow   `cmd:"" help:"Show an identity." example:"alvara identity show -n mat -g rg1 --query principalId -o tsv"`
	List                identityList   `cmd:"" help:"List identities." example:"alvara identity list -g rg1 -o table"`
	Delete              identityDelete `cmd:"" help:"Delete an identity." example:"alvara identity delete -n mat -g rg1"`
	FederatedCredential federatedGroup `cmd:"" name:"federated-credential" help:"Outside tokens that an identity accepts."`
}

type namedInGroup struct {
	Name          string `short:"n" required:"" help:"Name."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

type optionalGroup struct {
	ResourceGroup string `short:"g" name:"resource-group" help:"Resource group; without it the whole subscription."`
}

func (n namedInGroup) path(c *Call, provider string) (string, error) {
	scope, err := c.scopeOf(n.ResourceGroup)
	return scope + provider + segment(n.Name), err
}

// locationOf gives the location asked for, or that of the group.
func (c *Call) locationOf(location, group string) (string, error) {
	if location != "" {
		return location, nil
	}
	scope, err := c.scopeOf(group)
	if err != nil {
		return "", err
	}
	found, err := c.arm(http.MethodGet, scope, resourcesAPI, nil)
	if err != nil {
		return "", err
	}
	return found.Text("location"), nil
}

type identityCreate struct {
	namedInGroup
	Location string `short:"l" help:"Location; without it that of the group."`
	tagFlags
}

func (i *identityCreate) Run(c *Call) error {
	path, err := i.path(c, identityProvider)
	if err != nil {
		return err
	}
	location, err := c.locationOf(i.Location, i.ResourceGroup)
	if err != nil {
		return err
	}
	tags, err := tagsOf(i.Tags)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, path, identityAPI, document.New("location", location).SetIf("tags", tags), "Creating identity "+i.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(made), identityColumns)
}

type identityShow struct{ namedInGroup }

func (i *identityShow) Run(c *Call) error {
	path, err := i.path(c, identityProvider)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, identityAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(found), identityColumns)
}

type identityList struct{ optionalGroup }

func (i *identityList) Run(c *Call) error {
	scope, err := c.scopeOf(i.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities", identityAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flattenAll(found), identityColumns)
}

type identityDelete struct{ namedInGroup }

func (i *identityDelete) Run(c *Call) error {
	path, err := i.path(c, identityProvider)
	if err != nil {
		return err
	}
	return c.deleteResource(path, identityAPI, "identity "+i.Name, false)
}

const federatedColumns = "[].{Name:name, Issuer:issuer, Subject:subject}"

type federatedGroup struct {
	Create federatedCreate `cmd:"" help:"Let an identity accept tokens of an issuer for a subject." example:"alvara identity federated-credential create -n ci --identity-name mat -g rg1 --issuer https://ci.example.org --subject repo:fraud --audiences api://AzureADTokenExchange"`
	Show   federatedShow   `cmd:"" help:"Show a federated credential." example:"alvara identity federated-credential show -n ci --identity-name mat -g rg1"`
	List   federatedList   `cmd:"" help:"List an identity's federated credentials." example:"alvara identity federated-credential list --identity-name mat -g rg1 -o table"`
	Delete federatedDelete `cmd:"" help:"Delete a federated credential." example:"alvara identity federated-credential delete -n ci --identity-name mat -g rg1 --yes"`
}

type federatedOwner struct {
	IdentityName  string `name:"identity-name" required:"" help:"Name of the identity."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (f federatedOwner) path(c *Call, name string) (string, error) {
	path, err := namedInGroup{Name: f.IdentityName, ResourceGroup: f.ResourceGroup}.path(c, identityProvider)
	path += "/federatedIdentityCredentials"
	if name != "" {
		path += "/" + segment(name)
	}
	return path, err
}

type federatedCreate struct {
	Name string `short:"n" required:"" help:"Name."`
	federatedOwner
	Issuer    string   `required:"" help:"Issuer (the claim iss), an https URL."`
	Subject   string   `required:"" help:"Subject (the claim sub)."`
	Audiences []string `default:"api://AzureADTokenExchange" help:"Audiences (the claim aud). (${default})"`
}

func (f *federatedCreate) Run(c *Call) error {
	path, err := f.path(c, f.Name)
	if err != nil {
		return err
	}
	body := document.New("properties", document.New("issuer", f.Issuer, "subject", f.Subject, "audiences", document.Strings(f.Audiences)))
	made, err := c.arm(http.MethodPut, path, identityAPI, body)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(made), federatedColumns)
}

type federatedShow struct {
	Name string `short:"n" required:"" help:"Name."`
	federatedOwner
}

func (f *federatedShow) Run(c *Call) error {
	path, err := f.path(c, f.Name)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, identityAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(found), federatedColumns)
}

type federatedList struct{ federatedOwner }

func (f *federatedList) Run(c *Call) error {
	path, err := f.path(c, "")
	if err != nil {
		return err
	}
	found, err := c.armList(path, identityAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flattenAll(found), federatedColumns)
}

type federatedDelete struct {
	Name string `short:"n" required:"" help:"Name."`
	federatedOwner
	Yes bool `short:"y" help:"Kept for scripts; it is not asked."`
}

func (f *federatedDelete) Run(c *Call) error {
	path, err := f.path(c, f.Name)
	if err != nil {
		return err
	}
	return c.deleteResource(path, identityAPI, "federated credential "+f.Name, false)
}
