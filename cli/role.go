package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/resource"
)

type roleGroup struct {
	Definition roleDefinitionGroup `cmd:"" help:"Role definitions."`
	Assignment roleAssignmentGroup `cmd:"" help:"Role assignments."`
}

const definitionColumns = "[].{Name:roleName, Type:roleType, Description:description}"

type roleDefinitionGroup struct {
	List   definitionList   `cmd:"" help:"List role definitions." example:"alvara role definition list --custom-role-only true -o table ;; alvara role definition list -n Reader"`
	Show   definitionShow   `cmd:"" help:"Show a role definition by its GUID or name." example:"alvara role definition show -n Reader"`
	Create definitionCreate `cmd:"" help:"Create a custom role." example:"alvara role definition create --role-definition @consumer.json"`
	Update definitionUpdate `cmd:"" help:"Change a custom role." example:"alvara role definition update --role-definition @consumer.json"`
	Delete definitionDelete `cmd:"" help:"Delete a custom role; refused while it is assigned." example:"alvara role definition delete -n 'Feature set consumer'"`
}

type scopeFlags struct {
	Scope         string `help:"Scope: the id of a subscription, group or resource; without it the subscription or the group of -g."`
	ResourceGroup string `short:"g" name:"resource-group" help:"Resource group as the scope."`
}

func (s scopeFlags) scope(c *Call) (string, error) {
	if s.Scope == "" {
		return c.scopeOf(s.ResourceGroup)
	}
	if s.ResourceGroup != "" {
		return "", usagef("--scope and --resource-group name two scopes; give one")
	}
	return cleanScope(s.Scope)
}

// cleanScope brings a scope into its canonical form; the root is "".
func cleanScope(text string) (string, error) {
	id, err := resource.ParseID(text)
	if err != nil {
		return "", usagef("--scope: %s", plainMessage(err))
	}
	if id.IsRoot() {
		return "", nil
	}
	return id.String(), nil
}

// squash is how role names are compared: without regard to case and spaces.
func squash(text string) string { return strings.ToLower(strings.ReplaceAll(text, " ", "")) }

// roleDefinition finds a role by full id, GUID or name, as seen from a scope.
func (c *Call) roleDefinition(role, scope string) (*document.Object, error) {
	base := scope + authorization + "/roleDefinitions"
	if strings.HasPrefix(role, "/") {
		return c.arm(http.MethodGet, role, authorizationAPI, nil)
	}
	if guid.MatchString(role) {
		return c.arm(http.MethodGet, base+"/"+role, authorizationAPI, nil)
	}
	found, err := c.armList(base, authorizationAPI, url.Values{"$filter": {"roleName eq '" + odata(role) + "'"}})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		all, err := c.armList(base, authorizationAPI, nil)
		if err != nil {
			return nil, err
		}
		for _, definition := range all {
			if squash(definition.Text("properties", "roleName")) == squash(role) {
				found = append(found, definition)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, &notFound{fmt.Sprintf("no role named %q can be assigned at %s; `alvara role definition list -o table` shows the roles", role, shownScope(scope))}
	case 1:
		return found[0], nil
	}
	ids := make([]string, len(found))
	for i, definition := range found {
		ids[i] = definition.Text("name")
	}
	return nil, usagef("the name %q fits %d roles; name one by its id: %s", role, len(found), strings.Join(ids, ", "))
}

// roleID gives the id of a role as an assignment names it.
func (c *Call) roleID(role, scope string) (string, error) {
	definition, err := c.roleDefinition(role, scope)
	return definition.Text("id"), err
}

func shownScope(scope string) string {
	if scope == "" {
		return "/"
	}
	return scope
}

// definitionDocument is a definition as az prints it: flat, and the kind of role called roleType.
func definitionDocument(definition *document.Object) *document.Object {
	out := flatten(definition)
	out.Set("roleType", definition.Object("properties").Get("type"))
	return out
}

func definitionDocuments(definitions []*document.Object) []*document.Object {
	out := make([]*document.Object, 0, len(definitions))
	for _, definition := range definitions {
		if definition.Object("properties") != nil {
			out = append(out, definitionDocument(definition))
		}
	}
	return out
}

type definitionList struct {
	scopeFlags
	Name           string `short:"n" help:"Only the role with this name or GUID."`
	CustomRoleOnly string `name:"custom-role-only" enum:",true,false" default:"" help:"Only roles that somebody made here."`
}

func (d *definitionList) Run(c *Call) error {
	scope, err := d.scope(c)
	if err != nil {
		return err
	}
	query := url.Values{}
	if d.CustomRoleOnly == "true" {
		query.Set("$filter", "type eq 'CustomRole'")
	}
	found, err := c.armList(scope+authorization+"/roleDefinitions", authorizationAPI, query)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, definition := range definitionDocuments(found) {
		if d.CustomRoleOnly == "true" && definition.Text("roleType") != "CustomRole" {
			continue
		}
		if d.Name == "" || squash(definition.Text("roleName")) == squash(d.Name) || strings.EqualFold(definition.Text("name"), d.Name) {
			out = append(out, definition)
		}
	}
	return c.PrintColumns(out, definitionColumns)
}

type definitionShow struct {
	scopeFlags
	Name string `short:"n" required:"" help:"GUID or name of the role."`
}

func (d *definitionShow) Run(c *Call) error {
	scope, err := d.scope(c)
	if err != nil {
		return err
	}
	found, err := c.roleDefinition(d.Name, scope)
	if err != nil {
		return err
	}
	return c.PrintColumns(definitionDocument(found), definitionColumns)
}

type definitionInput struct {
	RoleDefinition string `name:"role-definition" required:"" placeholder:"JSON|@FILE" help:"The role as JSON or @file: {\"Name\", \"Description\", \"Actions\", \"NotActions\", \"DataActions\", \"NotDataActions\", \"AssignableScopes\"}."`
}

// role is a custom role in az's form.
type role struct {
	id, guid, name string
	properties     *document.Object
	scopes         []any
}

func (d definitionInput) read() (role, error) {
	text := d.RoleDefinition
	if path, isFile := strings.CutPrefix(text, "@"); isFile {
		content, err := os.ReadFile(path)
		if err != nil {
			return role{}, usagef("--role-definition: %v", err)
		}
		text = string(content)
	} else if content, err := os.ReadFile(text); err == nil {
		text = string(content) // as az, a bare path works too
	}
	given, err := document.DecodeObject([]byte(text))
	if err != nil {
		return role{}, usagef("--role-definition is no JSON object: %v", err)
	}
	return readRole(given)
}

var roleFields = []string{"Name", "RoleName", "Id", "IsCustom", "Description", "Actions", "NotActions", "DataActions", "NotDataActions",
	"AssignableScopes", "Permissions", "RoleType", "Type", "CreatedBy", "CreatedOn", "UpdatedBy", "UpdatedOn", "SystemData"}

func readRole(given *document.Object) (role, error) {
	for _, key := range given.Keys() {
		known := false
		for _, field := range roleFields {
			known = known || strings.EqualFold(key, field)
		}
		if !known {
			return role{}, usagef("--role-definition: unknown field %q; known are Name, Description, Actions, NotActions, DataActions, NotDataActions and AssignableScopes", key)
		}
	}
	asText := func(key string) string { s, _ := given.Fold(key).(string); return s }
	r := role{id: asText("Id"), name: asText("RoleName")}
	if name := asText("Name"); guid.MatchString(name) {
		r.guid = name
	} else if r.name == "" {
		r.name = name
	}
	if at := strings.LastIndex(r.id, "/"); r.guid == "" && at >= 0 {
		r.guid = r.id[at+1:]
	}
	if r.name == "" {
		return role{}, usagef("--role-definition: the field Name is missing")
	}
	permissions, ok := given.Fold("Permissions").([]any)
	if !ok {
		permission := document.New()
		for _, field := range []string{"Actions", "NotActions", "DataActions", "NotDataActions"} {
			list, ok := given.Fold(field).([]any)
			if given.Fold(field) != nil && !ok {
				return role{}, usagef("--role-definition: %s must be a list of strings", field)
			}
			if list == nil {
				list = []any{}
			}
			permission.Set(strings.ToLower(field[:1])+field[1:], list)
		}
		permissions = []any{permission}
	}
	r.scopes, _ = given.Fold("AssignableScopes").([]any)
	if len(r.scopes) == 0 {
		return role{}, usagef("--role-definition: AssignableScopes must name at least one scope, such as /subscriptions/ID")
	}
	r.properties = document.New("roleName", r.name, "description", asText("Description"), "type", "CustomRole",
		"assignableScopes", r.scopes, "permissions", permissions)
	return r, nil
}

func (r role) put(c *Call, name string) error {
	first, _ := r.scopes[0].(string)
	scope, err := cleanScope(first)
	if err != nil {
		return err
	}
	made, err := c.arm(http.MethodPut, scope+authorization+"/roleDefinitions/"+name, authorizationAPI, document.New("properties", r.properties))
	if err != nil {
		return err
	}
	return c.PrintColumns(definitionDocument(made), definitionColumns)
}

type definitionCreate struct{ definitionInput }

func (d *definitionCreate) Run(c *Call) error {
	role, err := d.read()
	if err != nil {
		return err
	}
	name := role.guid
	if name == "" {
		name = uuid.NewString()
	}
	return role.put(c, name)
}

type definitionUpdate struct{ definitionInput }

func (d *definitionUpdate) Run(c *Call) error {
	role, err := d.read()
	if err != nil {
		return err
	}
	if role.guid == "" {
		first, _ := role.scopes[0].(string)
		scope, err := cleanScope(first)
		if err != nil {
			return err
		}
		found, err := c.roleDefinition(role.name, scope)
		if err != nil {
			return err
		}
		role.guid = found.Text("name")
	}
	return role.put(c, role.guid)
}

type definitionDelete struct {
	scopeFlags
	Name string `short:"n" required:"" help:"GUID or name of the role."`
}

func (d *definitionDelete) Run(c *Call) error {
	scope, err := d.scope(c)
	if err != nil {
		return err
	}
	found, err := c.roleDefinition(d.Name, scope)
	if err != nil {
		return err
	}
	_, err = c.arm(http.MethodDelete, scope+authorization+"/roleDefinitions/"+found.Text("name"), authorizationAPI, nil)
	return err
}
