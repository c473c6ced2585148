package cli

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/alvara-ml/alvara/cli/document"
)

const groupColumns = "[].{Name:name, Location:location, Status:properties.provisioningState}"

type groupGroup struct {
	Create groupCreate `cmd:"" help:"Create or update a resource group." example:"alvara group create -n rg1 -l westeurope"`
	Show   groupShow   `cmd:"" help:"Show a resource group." example:"alvara group show -n rg1 --query id -o tsv"`
	List   groupList   `cmd:"" help:"List resource groups." example:"alvara group list -o table"`
	Exists groupExists `cmd:"" help:"Print true or false." example:"alvara group exists -n rg1"`
	Delete groupDelete `cmd:"" help:"Delete a resource group with everything in it." example:"alvara group delete -n rg1 --yes"`
}

type groupName struct {
	Name string `short:"n" alt:"-g" aliases:"resource-group" required:"" help:"Name of the resource group."`
}

func (n groupName) path(c *Call) (string, error) {
	scope, err := c.scopeOf("")
	return scope + "/resourcegroups/" + segment(n.Name), err
}

type tagFlags struct {
	Tags []string `sep:"none" placeholder:"NAME=VALUE" help:"Tags as NAME=VALUE NAME=VALUE …; an empty string clears them."`
}

type groupCreate struct {
	groupName
	Location string `short:"l" required:"" help:"Location, such as westeurope."`
	tagFlags
}

func (g *groupCreate) Run(c *Call) error {
	path, err := g.path(c)
	if err != nil {
		return err
	}
	tags, err := tagsOf(g.Tags)
	if err != nil {
		return err
	}
	group, err := c.arm(http.MethodPut, path, resourcesAPI, document.New("location", g.Location).SetIf("tags", tags))
	if err != nil {
		return err
	}
	return c.PrintColumns(group, groupColumns)
}

type groupShow struct{ groupName }

func (g *groupShow) Run(c *Call) error {
	path, err := g.path(c)
	if err != nil {
		return err
	}
	group, err := c.arm(http.MethodGet, path, resourcesAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(group, groupColumns)
}

type groupList struct {
	Tag string `help:"Only groups with this tag: NAME or NAME=VALUE."`
}

func (g *groupList) Run(c *Call) error {
	scope, err := c.scopeOf("")
	if err != nil {
		return err
	}
	groups, err := c.armList(scope+"/resourcegroups", resourcesAPI, tagFilter(g.Tag))
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(group *document.Object) bool { return !hasTag(group, g.Tag) })
	return c.PrintColumns(groups, groupColumns)
}

type groupExists struct{ groupName }

func (g *groupExists) Run(c *Call) error {
	path, err := g.path(c)
	if err != nil {
		return err
	}
	_, err = c.armResponse(http.MethodHead, path, resourcesAPI, nil)
	if err != nil && !missing(err) {
		return err
	}
	return c.Print(err == nil)
}

type groupDelete struct {
	groupName
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (g *groupDelete) Run(c *Call) error {
	path, err := g.path(c)
	if err != nil {
		return err
	}
	if err := g.confirm(c, fmt.Sprintf("delete the resource group %q with everything in it", g.Name)); err != nil {
		return err
	}
	if _, err := c.arm(http.MethodGet, path, resourcesAPI, nil); err != nil {
		return err
	}
	return c.deleteResource(path, resourcesAPI, "resource group "+g.Name, g.NoWait)
}
