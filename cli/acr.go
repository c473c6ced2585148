package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
	"github.com/alvara-ml/alvara/resource"
)

type acrGroup struct {
	Create    acrCreate    `cmd:"" help:"Create a container registry; its admin user is off unless turned on." example:"alvara acr create -n fraudacr -g rg1 --identity [system]"`
	Show      acrShow      `cmd:"" help:"Show a registry." example:"alvara acr show -n fraudacr --query loginServer -o tsv"`
	List      acrList      `cmd:"" help:"List registries." example:"alvara acr list -g rg1 -o table"`
	Update    acrUpdate    `cmd:"" help:"Change a registry." example:"alvara acr update -n fraudacr --admin-enabled false"`
	Delete    acrDelete    `cmd:"" help:"Delete a registry with everything in it." example:"alvara acr delete -n fraudacr --yes"`
	CheckName acrCheckName `cmd:"" name:"check-name" help:"Say whether a name can be had." example:"alvara acr check-name -n fraudacr --query nameAvailable -o tsv"`
	ShowUsage acrShowUsage `cmd:"" name:"show-usage" help:"Show how much a registry holds, and may hold." example:"alvara acr show-usage -n fraudacr -o table"`

	Identity   acrIdentityGroup   `cmd:"" help:"Identities of a registry, as which its builds run."`
	Credential acrCredentialGroup `cmd:"" help:"Passwords of a registry that has turned its admin user on."`
	Login      acrLogin           `cmd:"" help:"Sign docker, crane, oras, skopeo and podman in to a registry, as whom is signed in here." example:"alvara acr login -n fraudacr"`
	Logout     acrLogout          `cmd:"" help:"Forget a sign-in to a registry." example:"alvara acr logout -n fraudacr"`
	Repository acrRepositoryGroup `cmd:"" help:"Repositories and tags of a registry."`
	Manifest   acrManifestGroup   `cmd:"" help:"Manifests of a repository."`
	Build      acrBuild           `cmd:"" help:"Build an image in the registry from a folder, as an identity." example:"alvara acr build -r fraudacr -t scorer:1 --build-arg BASE=fraudacr/base:1 ."`
	Task       acrTaskGroup       `cmd:"" help:"Runs of builds."`
}

const (
	registryType    = "Microsoft.ContainerRegistry/registries"
	registryColumns = `[].{NAME:name, "RESOURCE GROUP":resourceGroup, LOCATION:location, SKU:sku.name, "LOGIN SERVER":loginServer, "CREATION DATE":creationDate, "ADMIN ENABLED":adminUserEnabled}`
)

// registryName says which registry a command works on. Without a group the registry is looked for in the subscription.
type registryName struct {
	Name          string `short:"n" alt:"-r" aliases:"registry" required:"" help:"Name of the registry."`
	ResourceGroup string `short:"g" name:"resource-group" help:"Resource group; without it the registry is looked for."`
}

func (r registryName) path(c *Call) (string, error) { return c.registryPath(r.Name, r.ResourceGroup) }

// registryPath gives the id of a registry. Without a group it is looked for among the resources that the caller may see.
func (c *Call) registryPath(name, group string) (string, error) {
	scope, err := c.scopeOf(group)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(name, ".:/") {
		return "", usagef("--name: %q is not the name of a registry, which has letters and digits alone", name)
	}
	if group != "" {
		return scope + registryProvider + "/" + segment(name), nil
	}
	found, err := c.armList(scope+"/resources", resourcesAPI, url.Values{"$filter": {"resourceType eq '" + registryType + "'"}})
	if err != nil {
		return "", err
	}
	for _, object := range found {
		if strings.EqualFold(object.Text("name"), name) && strings.EqualFold(object.Text("type"), registryType) {
			id, err := resource.ParseID(object.Text("id"))
			if err != nil {
				return "", fmt.Errorf("the server lists the registry %s under no proper id: %w", name, err)
			}
			return id.String(), nil
		}
	}
	return "", &notFound{"there is no registry " + name + " among the resources that you may see in the subscription " + c.active.Subscription +
		"; `alvara acr list` shows them, -g names the group of one, and `acr login` and `acr repository` take a login server (HOST:PORT) as the name. To see a registry takes the role Reader on it"}
}

// skuOf reads the name of a size, in any case.
func skuOf(text string) (string, error) {
	for _, sku := range []string{"Basic", "Standard", "Premium"} {
		if strings.EqualFold(text, sku) {
			return sku, nil
		}
	}
	return "", usagef("--sku: %q is no size of a registry; give Basic, Standard or Premium", text)
}

type acrCreate struct {
	namedInGroup
	Location     string   `short:"l" help:"Location; without it that of the group."`
	SKU          string   `name:"sku" default:"Standard" help:"Size: Basic, Standard or Premium. (${default})"`
	AdminEnabled *bool    `name:"admin-enabled" help:"Let whoever holds the admin user's password in, whatever their roles. Off by default."`
	Identity     []string `sep:"none" placeholder:"ID" help:"Identities of the registry: [system], and names or ids of user-assigned ones."`
	tagFlags
}

func (a *acrCreate) Run(c *Call) error {
	sku, err := skuOf(a.SKU)
	if err != nil {
		return err
	}
	path, err := a.path(c, registryProvider+"/")
	if err != nil {
		return err
	}
	tags, err := tagsOf(a.Tags)
	if err != nil {
		return err
	}
	identity, err := c.newIdentity(a.Identity, a.ResourceGroup)
	if err != nil {
		return err
	}
	location, err := c.locationOf(a.Location, a.ResourceGroup)
	if err != nil {
		return err
	}
	properties := document.New()
	if a.AdminEnabled != nil {
		properties.Set("adminUserEnabled", *a.AdminEnabled)
	}
	body := document.New("location", location, "sku", document.New("name", sku), "properties", properties).SetIf("identity", identity).SetIf("tags", tags)
	made, err := c.armFinish(http.MethodPut, path, registryAPI, body, "Creating registry "+a.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(made), registryColumns)
}

type acrShow struct{ registryName }

func (a *acrShow) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, registryAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(found), registryColumns)
}

type acrList struct{ optionalGroup }

func (a *acrList) Run(c *Call) error {
	scope, err := c.scopeOf(a.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+registryProvider, registryAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flattenAll(found), registryColumns)
}

type acrUpdate struct {
	registryName
	SKU          string `name:"sku" help:"Size: Basic, Standard or Premium."`
	AdminEnabled *bool  `name:"admin-enabled" help:"Let whoever holds the admin user's password in, whatever their roles; false shuts it out at once."`
	tagFlags
}

func (a *acrUpdate) Run(c *Call) error {
	tags, err := tagsOf(a.Tags)
	if err != nil {
		return err
	}
	body := document.New()
	if a.AdminEnabled != nil {
		body.Set("properties", document.New("adminUserEnabled", *a.AdminEnabled))
	}
	if a.SKU != "" {
		sku, err := skuOf(a.SKU)
		if err != nil {
			return err
		}
		body.Set("sku", document.New("name", sku))
	}
	if a.Tags != nil {
		body.Set("tags", tags)
	}
	if body.Len() == 0 {
		return usagef("say what to change: --admin-enabled, --sku or --tags")
	}
	path, err := a.path(c)
	if err != nil {
		return err
	}
	changed, err := c.armFinish(http.MethodPatch, path, registryAPI, body, "Updating registry "+a.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(changed), registryColumns)
}

type acrDelete struct {
	registryName
	confirmFlags
}

func (a *acrDelete) Run(c *Call) error {
	if err := a.confirm(c, "delete the registry "+a.Name+" with everything in it"); err != nil {
		return err
	}
	path, err := a.path(c)
	if err != nil {
		return err
	}
	return c.deleteResource(path, registryAPI, "registry "+a.Name, false)
}

type acrCheckName struct {
	Name string `short:"n" required:"" help:"Name to check."`
}

func (a *acrCheckName) Run(c *Call) error {
	scope, err := c.scopeOf("")
	if err != nil {
		return err
	}
	answer, err := c.arm(http.MethodPost, scope+"/providers/Microsoft.ContainerRegistry/checkNameAvailability", registryAPI,
		document.New("name", a.Name, "type", registryType))
	if err != nil {
		return err
	}
	return c.PrintColumns(answer, "[].{NameAvailable:nameAvailable, Reason:reason, Message:message}")
}

type acrShowUsage struct{ registryName }

func (a *acrShowUsage) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	answer, err := c.arm(http.MethodGet, path+"/listUsages", registryAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(answer, `[].value[].{NAME:name, LIMIT:limit, "CURRENT VALUE":currentValue, UNIT:unit}`)
}

// loginServer gives the address of a registry's data plane. A name with a dot or a colon is the address itself, for callers
// who may pull and push but not see the resource.
func (r registryName) loginServer(c *Call) (string, error) {
	if strings.ContainsAny(r.Name, ".:") {
		if target, err := url.Parse("https://" + r.Name); err != nil || target.Host != r.Name {
			return "", usagef("--name: %q is neither the name of a registry nor a login server, HOST or HOST:PORT", r.Name)
		}
		_, err := c.signedIn()
		return strings.ToLower(r.Name), err
	}
	path, err := r.path(c)
	if err != nil {
		return "", err
	}
	found, err := c.arm(http.MethodGet, path, registryAPI, nil)
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		refused.Cure = append(refused.Cure, "the login server itself as the name, which needs no right to see the resource: -n HOST:PORT")
	}
	if err != nil {
		return "", err
	}
	server := found.Text("properties", "loginServer")
	if server == "" {
		return "", &wire.Error{Code: "NoLoginServer", Message: "the registry " + r.Name + " has no login server yet; its state is " +
			first(found.Text("properties", "provisioningState"), "unknown")}
	}
	return server, nil
}
