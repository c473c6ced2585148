package cli

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const connectionColumns = "[].{Name:name, Type:type, AuthType:credentials.type, Target:target}"

type connectionGroup struct {
	Create connectionCreate `cmd:"" help:"Create or replace a connection." example:"alvara ml connection create -f connection.yaml -w ws -g rg1 ;; alvara ml connection create -n privateAcr -w ws -g rg1 --category ACR --auth-type RegistryConnection --target fraudacr.azurecr.io --value '{\"ResourceId\":\"/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller\",\"ClientId\":\"5963f50c-7c43-405c-af7e-53294de76abd\"}'"`
	List   connectionList   `cmd:"" help:"List connections." example:"alvara ml connection list --feature-store fs -g rg1 -o table ;; alvara ml connection list -w ws -g rg1 --type container_registry"`
	Show   connectionShow   `cmd:"" help:"Show a connection." example:"alvara ml connection show -n OfflineStoreConnection --feature-store fs -g rg1 ;; alvara ml connection show -n feed -w ws -g rg1 --populate-secrets"`
	Delete connectionDelete `cmd:"" help:"Delete a connection." example:"alvara ml connection delete -n privateAcr -w ws -g rg1 --yes"`
}

type connectionCreate struct {
	Name     string `short:"n" help:"Name; may also stand in the file."`
	File     string `short:"f" type:"existingfile" help:"connection.yaml; flags win over it."`
	Category string `aliases:"type" help:"What is connected: ACR, ContainerRegistry, PythonFeed, Git …"`
	AuthType string `name:"auth-type" help:"How it is reached: ManagedIdentity, RegistryConnection, UsernamePassword, PAT …"`
	Target   string `help:"Address of what is connected."`
	Value    string `placeholder:"JSON" help:"The credentials as a JSON object, such as {\"ResourceId\":\"…\",\"ClientId\":\"…\"}."`
	inWorkspace
}

func (f *connectionCreate) Run(c *Call) error {
	given := document.New()
	if f.File != "" {
		var err error
		if given, err = readFile(f.File, "name", "type", "target", "credentials", "metadata", "tags", "description"); err != nil {
			return err
		}
	}
	name := first(f.Name, given.Text("name"))
	if name == "" {
		return usagef("the connection has no name: give --name, or name in the file")
	}
	credentials := given.Object("credentials")
	properties := document.New().SetIf("category", first(f.Category, categoryOf(given.Text("type")))).SetIf("target", first(f.Target, given.Text("target"))).
		Set("authType", first(f.AuthType, authTypeOf(credentials.Text("type")), "None")).SetIf("metadata", given.Object("metadata"))
	sent := document.New()
	for _, field := range credentials.Keys() {
		if field != "type" {
			sent.Set(camel(field), credentials.Get(field))
		}
	}
	properties.SetIf("credentials", sent)
	if f.Value != "" {
		if !json.Valid([]byte(f.Value)) {
			return usagef("--value is no JSON: a form such as {\"ResourceId\":\"…\",\"ClientId\":\"…\"} was expected")
		}
		properties.Delete("credentials")
		properties.Set("value", f.Value)
	}
	base, err := f.path(c)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, base+"/connections/"+segment(name), machineLearnAPI, document.New("properties", properties), "Creating connection "+name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(connectionDocument(made), connectionColumns)
}

// spelled are the words of the files that are not the words of the wire with other capitals.
var spelled = map[string]string{
	"azure_data_lake_gen_2": "ADLSGen2", "azure_data_lake_gen2": "ADLSGen2", "custom": "CustomKeys", "azure_open_ai": "AzureOpenAI",
	"pat": "PAT", "sas": "SAS", "aad": "AAD",
}

// categoryOf writes a file's type of connection as the wire does: container_registry becomes ContainerRegistry.
func categoryOf(text string) string {
	if word, ok := spelled[strings.ToLower(text)]; ok {
		return word
	}
	name := camel(text)
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// authTypeOf writes a file's type of credentials as the wire does.
func authTypeOf(text string) string { return categoryOf(text) }

// inFile writes a word of the wire as the files do.
func inFile(word string) string {
	for file, wire := range spelled {
		if wire == word && file != "azure_data_lake_gen_2" {
			return file
		}
	}
	if strings.ToUpper(word) == word {
		return strings.ToLower(word)
	}
	return snake(word)
}

// connectionDocument is a connection as the files have it.
func connectionDocument(connection *document.Object) *document.Object {
	if connection == nil {
		return nil
	}
	p := connection.Object("properties")
	credentials := document.New("type", inFile(p.Text("authType")))
	fields := p.Object("credentials")
	for _, name := range fields.Keys() {
		credentials.Set(snake(name), fields.Get(name))
	}
	return document.New("name", connection.Get("name"), "id", connection.Get("id"), "type", inFile(p.Text("category")), "target", p.Get("target"), "credentials", credentials).
		SetIf("metadata", p.Object("metadata"))
}

type connectionList struct {
	Type string `help:"Only this type, such as container_registry."`
	inWorkspace
}

func (f *connectionList) Run(c *Call) error {
	base, err := f.path(c)
	if err != nil {
		return err
	}
	found, err := c.armList(base+"/connections", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, connection := range found {
		if f.Type == "" || strings.EqualFold(categoryOf(f.Type), connection.Text("properties", "category")) {
			out = append(out, connectionDocument(connection))
		}
	}
	return c.PrintColumns(out, connectionColumns)
}

type connectionShow struct {
	Name            string `short:"n" required:"" help:"Name."`
	PopulateSecrets bool   `name:"populate-secrets" help:"With what is secret, for who may list secrets."`
	inWorkspace
}

func (f *connectionShow) Run(c *Call) error {
	base, err := f.path(c)
	if err != nil {
		return err
	}
	path, method := base+"/connections/"+segment(f.Name), http.MethodGet
	if f.PopulateSecrets {
		path, method = path+"/listsecrets", http.MethodPost
	}
	found, err := c.arm(method, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(connectionDocument(found), connectionColumns)
}

type connectionDelete struct {
	Name string `short:"n" required:"" help:"Name."`
	inWorkspace
	confirmFlags
}

func (f *connectionDelete) Run(c *Call) error {
	base, err := f.path(c)
	if err != nil {
		return err
	}
	if err := f.confirm(c, "delete the connection "+f.Name); err != nil {
		return err
	}
	return c.deleteResource(base+"/connections/"+segment(f.Name), machineLearnAPI, "connection "+f.Name, false)
}
