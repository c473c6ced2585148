package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
)

const assignmentColumns = "[].{Principal:principalName, PrincipalType:principalType, Role:roleDefinitionName, Scope:scope, Condition:condition}"

type roleAssignmentGroup struct {
	Create assignmentCreate `cmd:"" help:"Give somebody a role at a scope; the same again gives the assignment that is there." example:"alvara role assignment create --assignee ana@example.org --role 'AzureML Data Scientist' -g rg1 ;; alvara role assignment create --assignee-object-id 5963f50c-7c43-405c-af7e-53294de76abd --assignee-principal-type ServicePrincipal --role acrpull --scope /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590"`
	List   assignmentList   `cmd:"" help:"List role assignments." example:"alvara role assignment list --all --assignee ana@example.org --include-groups -o table"`
	Delete assignmentDelete `cmd:"" help:"Take roles away." example:"alvara role assignment delete --assignee ana@example.org --role Reader -g rg1"`
}

type assigneeFlag struct {
	Assignee string `help:"Object id, client id, user principal name, or name of a service principal or group."`
}

type assignmentCreate struct {
	scopeFlags
	assigneeFlag
	AssigneeObjectID      string `name:"assignee-object-id" help:"Object id; the directory is not asked."`
	AssigneePrincipalType string `name:"assignee-principal-type" enum:",User,Group,ServicePrincipal,ForeignGroup,Device" default:"" help:"Kind of --assignee-object-id: User, Group or ServicePrincipal."`
	Role                  string `required:"" help:"Role by name (case and spaces do not matter) or id."`
	Name                  string `short:"n" help:"GUID for the assignment; without it a new one."`
	Description           string `help:"Why."`
	Condition             string `help:"Condition under which the role counts, in the language of Azure's role assignment conditions."`
	ConditionVersion      string `name:"condition-version" help:"Version of the condition's syntax: 2.0."`
}

func (a *assignmentCreate) Run(c *Call) error {
	if (a.Assignee == "") == (a.AssigneeObjectID == "") {
		return usagef("say to whom: --assignee, or --assignee-object-id with --assignee-principal-type")
	}
	scope, err := a.scope(c)
	if err != nil {
		return err
	}
	who := principal{a.AssigneeObjectID, a.AssigneePrincipalType}
	if a.Assignee != "" {
		if who, err = c.assignee(a.Assignee); err != nil {
			return err
		}
	}
	roleID, err := c.roleID(a.Role, scope)
	if err != nil {
		return err
	}
	switch {
	case a.Condition == "" && a.ConditionVersion != "":
		return usagef("--condition-version needs --condition")
	case a.Condition != "" && a.ConditionVersion == "":
		a.ConditionVersion = "2.0"
	}
	made, err := c.assign(assignment{scope: scope, roleID: roleID, who: who, name: a.Name,
		description: a.Description, condition: a.Condition, conditionVersion: a.ConditionVersion})
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(made), assignmentColumns)
}

type assignment struct {
	scope, roleID                            string
	who                                      principal
	name                                     string
	description, condition, conditionVersion string
}

// assign puts a role assignment; where the same one exists it gives that.
func (c *Call) assign(a assignment) (*document.Object, error) {
	name := a.name
	if name == "" {
		name = uuid.NewString()
	}
	properties := document.New("roleDefinitionId", a.roleID, "principalId", a.who.ID).SetIf("principalType", a.who.Type).
		SetIf("description", a.description).SetIf("condition", a.condition).SetIf("conditionVersion", a.conditionVersion)
	made, err := c.arm(http.MethodPut, a.scope+authorization+"/roleAssignments/"+segment(name), authorizationAPI, document.New("properties", properties))
	var refused *wire.Error
	if err == nil || !errors.As(err, &refused) || !strings.EqualFold(refused.Code, "RoleAssignmentExists") {
		return made, err
	}
	existing, listErr := c.armList(a.scope+authorization+"/roleAssignments", authorizationAPI, url.Values{"$filter": {"principalId eq '" + odata(a.who.ID) + "'"}})
	if listErr != nil {
		return nil, err
	}
	for _, candidate := range existing {
		p := candidate.Object("properties")
		if strings.EqualFold(p.Text("principalId"), a.who.ID) && lastSegment(p.Text("roleDefinitionId")) == lastSegment(a.roleID) &&
			strings.EqualFold(strings.Trim(p.Text("scope"), "/"), strings.Trim(a.scope, "/")) {
			if held := p.Text("condition"); held != a.condition {
				return nil, &refusedCondition{name: lastSegment(candidate.Text("id")), held: held}
			}
			return candidate, nil
		}
	}
	return nil, err
}

// refusedCondition tells that the grant is there under another condition than the one asked for: to give it as if it were
// the same would hide what it allows.
type refusedCondition struct{ name, held string }

func (e *refusedCondition) Error() string {
	how := "without a condition"
	if e.held != "" {
		how = "under another condition: " + e.held
	}
	return "the role is assigned there already, " + how + "; to change that, say the same again with --name " + e.name
}

func lastSegment(id string) string { return strings.ToLower(id[strings.LastIndex(id, "/")+1:]) }

// assignmentFilter is what list and delete have in common.
type assignmentFilter struct {
	scopeFlags
	assigneeFlag
	Role             string `help:"Only this role, by name or id."`
	IncludeInherited bool   `name:"include-inherited" help:"Also assignments above the scope."`
	IncludeGroups    bool   `name:"include-groups" help:"Also assignments to groups that --assignee is in."`
}

func (f assignmentFilter) find(c *Call, all bool) ([]*document.Object, error) {
	scope, err := f.scope(c)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	var who principal
	switch {
	case f.Assignee != "":
		if who, err = c.assignee(f.Assignee); err != nil {
			return nil, err
		}
		if f.IncludeGroups {
			query.Set("$filter", "assignedTo('"+odata(who.ID)+"')")
		} else {
			query.Set("$filter", "principalId eq '"+odata(who.ID)+"'")
		}
	case f.IncludeGroups:
		return nil, usagef("--include-groups needs --assignee")
	case !all:
		query.Set("$filter", "atScope()")
	}
	found, err := c.armList(scope+authorization+"/roleAssignments", authorizationAPI, query)
	if err != nil {
		return nil, err
	}
	roles, err := c.roleNames(scope)
	if err != nil {
		return nil, err
	}
	wanted := ""
	if f.Role != "" {
		id, err := c.roleID(f.Role, scope)
		if err != nil {
			return nil, err
		}
		wanted = lastSegment(id)
	}
	out := []*document.Object{}
	for _, a := range flattenAll(found) {
		at := strings.ToLower(strings.TrimRight(a.Text("scope"), "/"))
		here := strings.ToLower(scope)
		above := at == "" || strings.HasPrefix(here+"/", at+"/")
		switch {
		case at == here, f.IncludeInherited && above, all && !above:
		default:
			continue
		}
		if wanted != "" && lastSegment(a.Text("roleDefinitionId")) != wanted {
			continue
		}
		a.Set("roleDefinitionName", roles[lastSegment(a.Text("roleDefinitionId"))])
		out = append(out, a)
	}
	return out, nil
}

func (c *Call) roleNames(scope string) (map[string]string, error) {
	definitions, err := c.armList(scope+authorization+"/roleDefinitions", authorizationAPI, nil)
	names := map[string]string{}
	for _, definition := range definitions {
		names[lastSegment(definition.Text("id"))] = definition.Text("properties", "roleName")
	}
	return names, err
}

// addNames writes each principal's name beside its id, as far as the directory may be read.
func (c *Call) addNames(assignments []*document.Object) {
	ids, seen := []string{}, map[string]bool{}
	for _, a := range assignments {
		if id := a.Text("principalId"); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	names := map[string]string{}
	if len(ids) > 0 {
		objects, err := c.objectsByID(ids)
		if err != nil {
			c.Warn("the names of the principals cannot be read: %s", describe(err))
		}
		for _, object := range objects {
			names[strings.ToLower(object.Text("id"))] = nameOf(object)
		}
	}
	for _, a := range assignments {
		a.Set("principalName", names[strings.ToLower(a.Text("principalId"))])
	}
}

type assignmentList struct {
	assignmentFilter
	All bool `help:"Every assignment in the subscription, also below the scope."`
}

func (a *assignmentList) Run(c *Call) error {
	found, err := a.find(c, a.All)
	if err != nil {
		return err
	}
	c.addNames(found)
	return c.PrintColumns(found, assignmentColumns)
}

type assignmentDelete struct {
	assignmentFilter
	IDs []string `name:"ids" sep:"none" help:"Ids of assignments; then nothing else is needed."`
	Yes bool     `short:"y" help:"Take away everything at the scope without being asked."`
}

func (a *assignmentDelete) Run(c *Call) error {
	ids := a.IDs
	if len(ids) == 0 {
		if a.Assignee == "" && a.Role == "" {
			question := confirmFlags{Yes: a.Yes}
			if err := question.confirm(c, "take away every role assignment at the scope"); err != nil {
				return err
			}
		}
		found, err := a.find(c, false)
		if err != nil {
			return err
		}
		for _, assignment := range found {
			ids = append(ids, assignment.Text("id"))
		}
		if len(ids) == 0 {
			return &notFound{"no role assignment fits; `alvara role assignment list --all -o table` shows those that there are"}
		}
	}
	for _, id := range ids {
		scope, err := cleanScope(id)
		if err != nil {
			return err
		}
		if _, err := c.arm(http.MethodDelete, scope, authorizationAPI, nil); err != nil {
			return err
		}
	}
	return nil
}
