package cli

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const datastoreColumns = "[].{Name:name, Type:properties.datastoreType, Account:properties.accountName, Container:properties.containerName, Default:properties.isDefault}"

type datastoreGroup struct {
	Create datastoreCreate `cmd:"" help:"Give a storage container a name in a workspace. It keeps no secret: who reads it needs a role on the container." example:"alvara ml datastore create -f datastore.yml -w ws -g rg1"`
	List   datastoreList   `cmd:"" help:"List datastores." example:"alvara ml datastore list --feature-store fs -g rg1 -o table"`
	Show   datastoreShow   `cmd:"" help:"Show a datastore." example:"alvara ml datastore show -n workspaceblobstore --feature-store fs -g rg1"`
	Delete datastoreDelete `cmd:"" help:"Delete a datastore; the container stays." example:"alvara ml datastore delete -n source -w ws -g rg1 --yes"`
}

type datastoreCreate struct {
	File string   `short:"f" type:"existingfile" required:"" help:"datastore.yml."`
	Name string   `short:"n" help:"Name, in place of the file's."`
	Set  []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields of the file to set."`
	inWorkspace
}

func (d *datastoreCreate) Run(c *Call) error {
	given, err := readYAML(d.File)
	if err != nil {
		return err
	}
	if err := setInto(given, d.Set); err != nil {
		return err
	}
	name := first(d.Name, given.Text("name"))
	if name == "" {
		return usagef("the datastore has no name: give --name, or name in the file")
	}
	properties, err := datastoreOfFile(given)
	if err != nil {
		return err
	}
	store, err := d.path(c)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, store+"/datastores/"+segment(name), machineLearnAPI, document.New("properties", properties), "Creating datastore "+name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(made, datastoreColumns)
}

// datastoreTypes are the words of files for what a datastore is; the server says which of them it offers.
var datastoreTypes = map[string]string{"azure_blob": "AzureBlob", "azure_data_lake_gen2": "AzureDataLakeGen2", "azure_data_lake_gen1": "AzureDataLakeGen1", "azure_file": "AzureFile"}

// datastoreOfFile is a datastore on the wire. Secrets are not sent: only that there are some, which the server refuses with its reason.
func datastoreOfFile(given *document.Object) (*document.Object, error) {
	const where = "the datastore"
	if err := knownFields(where, given, "name", "type", "description", "tags", "properties", "account_name", "container_name", "filesystem", "file_share_name", "store_name", "protocol", "endpoint",
		"credentials"); err != nil {
		return nil, err
	}
	kind, known := datastoreTypes[strings.ToLower(given.Text("type"))]
	if !known {
		return nil, usagef("%s: type is %q; azure_blob or azure_data_lake_gen2 was expected", where, given.Text("type"))
	}
	out := document.New("datastoreType", kind)
	for _, field := range []string{"description", "account_name", "container_name", "filesystem", "protocol", "endpoint"} {
		out.SetIf(camel(field), given.Text(field))
	}
	for _, field := range []string{"tags", "properties"} {
		texts, err := textsOf(where, field, given)
		if err != nil {
			return nil, err
		}
		out.SetIf(field, texts)
	}
	credentials := "None"
	if secrets := given.Object("credentials"); secrets.Len() > 0 {
		switch {
		case secrets.Has("account_key"):
			credentials = "AccountKey"
		case secrets.Has("sas_token"):
			credentials = "Sas"
		case secrets.Has("certificate"):
			credentials = "Certificate"
		default:
			credentials = "ServicePrincipal"
		}
	}
	return out.Set("credentials", document.New("credentialsType", credentials)), nil
}

type datastoreList struct{ inWorkspace }

func (d *datastoreList) Run(c *Call) error {
	return c.listBelow(d.inWorkspace, "/datastores", datastoreColumns)
}

type datastoreShow struct {
	Name string `short:"n" required:"" help:"Name."`
	inWorkspace
}

func (d *datastoreShow) Run(c *Call) error {
	return c.showBelow(d.inWorkspace, "/datastores/"+segment(d.Name), datastoreColumns)
}

type datastoreDelete struct {
	datastoreShow
	confirmFlags
}

func (d *datastoreDelete) Run(c *Call) error {
	store, err := d.path(c)
	if err != nil {
		return err
	}
	if err := d.confirm(c, "delete the datastore "+d.Name+"; the container stays"); err != nil {
		return err
	}
	return c.deleteResource(store+"/datastores/"+segment(d.Name), machineLearnAPI, "datastore "+d.Name, false)
}
