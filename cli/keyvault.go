package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

const (
	vaultAPI      = "2023-07-01"
	vaultProvider = "/providers/Microsoft.KeyVault/vaults/"
	vaultColumns  = "[].{Name:name, ResourceGroup:resourceGroup, Location:location}"
)

type keyvaultGroup struct {
	Create keyvaultCreate `cmd:"" help:"Create a key vault, which decides by role." example:"alvara keyvault create -n wsvault -g rg1"`
	Show   keyvaultShow   `cmd:"" help:"Show a key vault." example:"alvara keyvault show -n wsvault -g rg1 --query id -o tsv"`
	List   keyvaultList   `cmd:"" help:"List key vaults." example:"alvara keyvault list -g rg1 -o table"`
	Delete keyvaultDelete `cmd:"" help:"Delete a key vault." example:"alvara keyvault delete -n wsvault -g rg1"`
}

type keyvaultCreate struct {
	namedInGroup
	Location string `short:"l" help:"Location; without it that of the group."`
	ByRole   bool   `name:"enable-rbac-authorization" default:"true" negatable:"" help:"Roles decide who may use what is in it."`
	tagFlags
}

func (k *keyvaultCreate) Run(c *Call) error {
	path, err := k.path(c, vaultProvider)
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
	made, err := c.armFinish(http.MethodPut, path, vaultAPI, document.New("location", location, "properties", document.New("tenantId", c.active.Endpoints.Tenant, "sku", document.New("family", "A", "name", "standard"),
		"enableRbacAuthorization", k.ByRole)).SetIf("tags", tags), "Creating key vault "+k.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(made, vaultColumns)
}

type keyvaultShow struct{ namedInGroup }

func (k *keyvaultShow) Run(c *Call) error {
	path, err := k.path(c, vaultProvider)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, vaultAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, vaultColumns)
}

type keyvaultList struct{ optionalGroup }

func (k *keyvaultList) Run(c *Call) error {
	scope, err := c.scopeOf(k.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+"/providers/Microsoft.KeyVault/vaults", vaultAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, vaultColumns)
}

type keyvaultDelete struct{ namedInGroup }

func (k *keyvaultDelete) Run(c *Call) error {
	path, err := k.path(c, vaultProvider)
	if err != nil {
		return err
	}
	return c.deleteResource(path, vaultAPI, "key vault "+k.Name, false)
}
