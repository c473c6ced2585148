package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

const (
	insightsAPI      = "2020-02-02"
	insightsProvider = "/providers/Microsoft.Insights/components/"
	insightsColumns  = "[].{Name:name, ResourceGroup:resourceGroup, Location:location}"
)

type monitorGroup struct {
	AppInsights appInsightsGroup `cmd:"" name:"app-insights" help:"Application insights."`
}

type appInsightsGroup struct {
	Component componentGroup `cmd:"" help:"Components of application insights."`
}

type componentGroup struct {
	Create componentCreate `cmd:"" help:"Create a component." example:"alvara monitor app-insights component create --app wsinsights -g rg1"`
	Show   componentShow   `cmd:"" help:"Show a component." example:"alvara monitor app-insights component show --app wsinsights -g rg1 --query id -o tsv"`
	Delete componentDelete `cmd:"" help:"Delete a component." example:"alvara monitor app-insights component delete --app wsinsights -g rg1"`
}

type componentName struct {
	App           string `short:"a" required:"" help:"Name."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (n componentName) path(c *Call) (string, error) {
	return namedInGroup{n.App, n.ResourceGroup}.path(c, insightsProvider)
}

type componentCreate struct {
	componentName
	Location string `short:"l" help:"Location; without it that of the group."`
	Kind     string `default:"web" help:"Kind of the application."`
	tagFlags
}

func (k *componentCreate) Run(c *Call) error {
	path, err := k.path(c)
	if err != nil {
		return err
	}
	location, err := c.locationOf(k.Location, k.ResourceGroup)
	if err != nil {
		return err
	}
	tags, err := tagsOf(k.Tags)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, path, insightsAPI, document.New("location", location, "kind", k.Kind, "properties", document.New("Application_Type", "web")).SetIf("tags", tags),
		"Creating component "+k.App, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(made, insightsColumns)
}

type componentShow struct{ componentName }

func (k *componentShow) Run(c *Call) error {
	path, err := k.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, insightsAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, insightsColumns)
}

type componentDelete struct{ componentName }

func (k *componentDelete) Run(c *Call) error {
	path, err := k.path(c)
	if err != nil {
		return err
	}
	return c.deleteResource(path, insightsAPI, "component "+k.App, false)
}
