package cli

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const resourceColumns = "[].{Name:name, ResourceGroup:resourceGroup, Location:location, Type:type}"

type resourceGroup struct {
	List   resourceList   `cmd:"" help:"List resources." example:"alvara resource list -g rg1 -o table"`
	Show   resourceShow   `cmd:"" help:"Show resources by their ids." example:"alvara resource show --ids /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.Storage/storageAccounts/fraudlake"`
	Delete resourceDelete `cmd:"" help:"Delete resources by their ids." example:"alvara resource delete --ids /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.Storage/storageAccounts/fraudlake"`
}

type resourceList struct {
	optionalGroup
	ResourceType string `name:"resource-type" help:"Only this type, such as Microsoft.Storage/storageAccounts."`
	Name         string `short:"n" help:"Only resources with this name."`
	Tag          string `help:"Only resources with this tag: NAME or NAME=VALUE."`
}

func (r *resourceList) Run(c *Call) error {
	scope, err := c.scopeOf(r.ResourceGroup)
	if err != nil {
		return err
	}
	var filters []string
	if r.ResourceType != "" {
		filters = append(filters, "resourceType eq '"+odata(r.ResourceType)+"'")
	}
	if r.Name != "" {
		filters = append(filters, "name eq '"+odata(r.Name)+"'")
	}
	query := tagFilter(r.Tag)
	if len(filters) > 0 {
		if query != nil {
			return usagef("--tag goes without --resource-type and --name")
		}
		query = url.Values{"$filter": {strings.Join(filters, " and ")}}
	}
	found, err := c.armList(scope+"/resources", resourcesAPI, query)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(object *document.Object) bool { return !hasTag(object, r.Tag) })
	for _, object := range found {
		if group := groupOf(object.Text("id")); group != "" && !object.Has("resourceGroup") {
			object.Set("resourceGroup", group)
		}
	}
	return c.PrintColumns(found, resourceColumns)
}

type resourceIDs struct {
	IDs        []string `name:"ids" sep:"none" required:"" help:"Resource ids."`
	APIVersion string   `name:"api-version" help:"Api-version; without it the one that this program uses for the type."`
}

// version is an api-version that fits the resource.
func (r resourceIDs) version(id string) string {
	if r.APIVersion != "" {
		return r.APIVersion
	}
	lower := strings.ToLower(id)
	at := strings.LastIndex(lower, "/providers/")
	for _, known := range []struct{ namespace, version string }{
		{"microsoft.authorization/", authorizationAPI}, {"microsoft.managedidentity/", identityAPI},
		{"microsoft.storage/", storageAPI}, {"microsoft.machinelearningservices/", machineLearnAPI},
		{"microsoft.containerregistry/", registryAPI},
	} {
		if at >= 0 && strings.HasPrefix(lower[at+len("/providers/"):], known.namespace) {
			return known.version
		}
	}
	return resourcesAPI
}

type resourceShow struct{ resourceIDs }

func (r *resourceShow) Run(c *Call) error {
	out := []*document.Object{}
	for _, id := range r.IDs {
		path, err := cleanScope(id)
		if err != nil {
			return err
		}
		found, err := c.arm(http.MethodGet, path, r.version(id), nil)
		if err != nil {
			return err
		}
		out = append(out, found)
	}
	if len(out) == 1 {
		return c.PrintColumns(out[0], resourceColumns)
	}
	return c.PrintColumns(out, resourceColumns)
}

type resourceDelete struct{ resourceIDs }

func (r *resourceDelete) Run(c *Call) error {
	for _, id := range r.IDs {
		path, err := cleanScope(id)
		if err != nil {
			return err
		}
		if err := c.deleteResource(path, r.version(id), lastName(path), false); err != nil {
			return err
		}
	}
	return nil
}
