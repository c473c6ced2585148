package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

type storageGroup struct {
	Account   storageAccountGroup   `cmd:"" help:"Storage accounts."`
	Container storageContainerGroup `cmd:"" help:"Containers of an account."`
	Blob      storageBlobGroup      `cmd:"" help:"Blobs of a container."`
}

const storageAccountColumns = "[].{Name:name, ResourceGroup:resourceGroup, Location:location, Blob:primaryEndpoints.blob, SharedKeys:allowSharedKeyAccess}"

type storageAccountGroup struct {
	Create storageAccountCreate `cmd:"" help:"Create or update a storage account; shared keys are off unless turned on." example:"alvara storage account create -n fraudlake -g rg1"`
	Show   storageAccountShow   `cmd:"" help:"Show a storage account." example:"alvara storage account show -n fraudlake -g rg1 --query primaryEndpoints.blob -o tsv"`
	List   storageAccountList   `cmd:"" help:"List storage accounts." example:"alvara storage account list -g rg1 -o table"`
	Update storageAccountUpdate `cmd:"" help:"Change a storage account." example:"alvara storage account update -n fraudlake -g rg1 --allow-shared-key-access false"`
	Delete storageAccountDelete `cmd:"" help:"Delete a storage account with everything in it." example:"alvara storage account delete -n fraudlake -g rg1 --yes"`
	Keys   storageKeysGroup     `cmd:"" help:"Shared keys of an account that has turned them on."`
}

type storageAccountCreate struct {
	namedInGroup
	Location              string `short:"l" help:"Location; without it that of the group."`
	SKU                   string `name:"sku" default:"Standard_LRS" help:"Redundancy. (${default})"`
	Kind                  string `default:"StorageV2" help:"Kind. (${default})"`
	HierarchicalNamespace *bool  `name:"hierarchical-namespace" aliases:"hns,enable-hierarchical-namespace" help:"Folders as the DFS endpoint has them."`
	AllowSharedKeyAccess  *bool  `name:"allow-shared-key-access" help:"Let whoever holds a key in, whatever their roles. Off by default."`
	tagFlags
}

func (s *storageAccountCreate) Run(c *Call) error {
	path, err := s.path(c, storageProvider+"/")
	if err != nil {
		return err
	}
	location, err := c.locationOf(s.Location, s.ResourceGroup)
	if err != nil {
		return err
	}
	tags, err := tagsOf(s.Tags)
	if err != nil {
		return err
	}
	properties := document.New()
	if s.HierarchicalNamespace != nil {
		properties.Set("isHnsEnabled", *s.HierarchicalNamespace)
	}
	if s.AllowSharedKeyAccess != nil {
		properties.Set("allowSharedKeyAccess", *s.AllowSharedKeyAccess)
	}
	body := document.New("location", location, "kind", s.Kind, "sku", document.New("name", s.SKU), "properties", properties).SetIf("tags", tags)
	made, err := c.armFinish(http.MethodPut, path, storageAPI, body, "Creating storage account "+s.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(made), storageAccountColumns)
}

type storageAccountShow struct{ namedInGroup }

func (s *storageAccountShow) Run(c *Call) error {
	path, err := s.path(c, storageProvider+"/")
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, storageAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(found), storageAccountColumns)
}

type storageAccountList struct{ optionalGroup }

func (s *storageAccountList) Run(c *Call) error {
	scope, err := c.scopeOf(s.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+storageProvider, storageAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(flattenAll(found), storageAccountColumns)
}

type storageAccountDelete struct {
	namedInGroup
	confirmFlags
}

func (s *storageAccountDelete) Run(c *Call) error {
	path, err := s.path(c, storageProvider+"/")
	if err != nil {
		return err
	}
	if err := s.confirm(c, "delete the storage account "+s.Name+" with everything in it"); err != nil {
		return err
	}
	return c.deleteResource(path, storageAPI, "storage account "+s.Name, false)
}

type storageKeysGroup struct {
	List storageKeysList `cmd:"" help:"List the keys." example:"alvara storage account keys list -n fraudlake -g rg1"`
}

type storageKeysList struct {
	Name          string `short:"n" aliases:"account-name" required:"" help:"Name of the account."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (s *storageKeysList) Run(c *Call) error {
	path, err := namedInGroup{Name: s.Name, ResourceGroup: s.ResourceGroup}.path(c, storageProvider+"/")
	if err != nil {
		return err
	}
	answer, err := c.arm(http.MethodPost, path+"/listKeys", storageAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(answer.Objects("keys"), "[].{KeyName:keyName, Permissions:permissions, CreationTime:creationTime}")
}
