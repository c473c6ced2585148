// Package authorization provides the Microsoft.Authorization namespace: role definitions and role assignments, and keeps
// the access engine in step with them. It decides nothing: access does.
package authorization

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const (
	definitionType resource.Type = "Microsoft.Authorization/roleDefinitions"
	assignmentType resource.Type = "Microsoft.Authorization/roleAssignments"
)

var apiVersions = []string{"2022-04-01", "2020-04-01-preview", "2018-01-01-preview"}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// Definition is the properties of a role definition.
type Definition struct {
	RoleName         string        `json:"roleName"`
	Description      string        `json:"description"`
	Type             string        `json:"type"` // BuiltInRole or CustomRole
	Permissions      []Permission  `json:"permissions"`
	AssignableScopes []resource.ID `json:"assignableScopes"`
}

// Permission is a block of a role definition; unlike the engine's it shows empty lists, which clients expect.
type Permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// Definitions declares role definitions. Built-in ones come from the engine; custom ones are stored once for the tenant,
// whatever the scope that they were written at (FS-10).
func Definitions() arm.Type {
	return arm.Define(arm.Spec[Definition]{
		Type: definitionType, APIVersions: apiVersions, Scopes: true,
		Created: 201, Replaced: 201, // clients take no other answer, for updates too
		Name: guid, NameRule: "a GUID",
		Key:  func(id resource.ID) string { return definitionKey(id.Name()) },
		Find: findDefinition,
		Present: func(_ context.Context, call *arm.Call, r *arm.Resource[Definition]) {
			r.ID = definitionID(r.Name, readFrom(call))
		},
		List:   listDefinitions,
		Linked: writeOnEveryScope, LinkedDelete: deleteOnEveryScope,
		Validate: validateDefinition,
		Deleting: deletingDefinition,
		Unique:   func(r *arm.Resource[Definition]) string { return r.Properties.RoleName },
	})
}

func definitionKey(guid string) string {
	return "/providers/microsoft.authorization/roledefinitions/" + strings.ToLower(guid)
}

func findDefinition(ctx context.Context, call *arm.Call, id resource.ID) (*arm.Resource[Definition], bool, error) {
	role := call.Manager.Guard.Access.Snapshot().Role(id.Name())
	if role == nil {
		return nil, false, nil
	}
	scope, _ := id.ExtensionOf()
	if !role.BuiltIn && !role.AssignableAt(scope) && !anyBelow(role, scope) {
		return nil, false, nil
	}
	r := present(role, scope)
	if !role.BuiltIn {
		doc, err := call.Manager.Store.Get(ctx, definitionKey(role.ID))
		if err != nil {
			return nil, false, err
		}
		var kept arm.Resource[Definition]
		if err := json.Unmarshal(doc.Body, &kept); err != nil {
			return nil, false, err
		}
		r.ETag, r.SystemData = doc.ETag, kept.SystemData
	}
	return r, true, nil
}

// definitionID is the id of a role as it is read from a scope. It names the subscription of the scope and nothing below, as
// the original's does: clients compare the ids in lists of definitions and of assignments, at whatever scope they ask.
func definitionID(role string, from resource.ID) resource.ID {
	at := resource.Root
	if subscription := from.Subscription(); subscription != "" {
		at = resource.MustParseID("/subscriptions/" + subscription)
	}
	return at.Extension(string(definitionType), role)
}

// readFrom is the scope that a call for an extension, or for a list of extensions, was sent to.
func readFrom(call *arm.Call) resource.ID {
	if scope, is := call.Target.ID.ExtensionOf(); is {
		return scope
	}
	return call.Target.ID
}

// present shows a role at a scope.
func present(role *access.Role, scope resource.ID) *arm.Resource[Definition] {
	kind := "CustomRole"
	if role.BuiltIn {
		kind = "BuiltInRole"
	}
	definition := Definition{RoleName: role.Name, Description: role.Description, Type: kind, AssignableScopes: role.AssignableScopes}
	if role.BuiltIn {
		definition.AssignableScopes = []resource.ID{resource.Root}
	}
	for _, block := range role.Permissions {
		definition.Permissions = append(definition.Permissions, Permission{
			Actions: full(block.Actions), NotActions: full(block.NotActions), DataActions: full(block.DataActions), NotDataActions: full(block.NotDataActions),
		})
	}
	return &arm.Resource[Definition]{ID: definitionID(role.ID, scope), Name: role.ID, Type: definitionType, Properties: definition}
}

func full(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

var (
	roleNameFilter = regexp.MustCompile(`(?i)roleName\s+eq\s+'((?:[^']|'')*)'`)
	roleTypeFilter = regexp.MustCompile(`(?i)type\s+eq\s+'(BuiltInRole|CustomRole)'`)
)

// listDefinitions knows the filters roleName eq '…' (ignoring case and spaces, MI-08), type eq '…', atScope() and
// atScopeAndBelow().
func listDefinitions(_ context.Context, call *arm.Call, scope resource.ID) ([]*arm.Resource[Definition], error) {
	filter := call.QueryValue("$filter")
	roles := call.Manager.Guard.Access.Snapshot().Roles()
	if m := roleNameFilter.FindStringSubmatch(filter); m != nil {
		roles = call.Manager.Guard.Access.Snapshot().RolesNamed(strings.ReplaceAll(m[1], "''", "'"))
	} else if filter != "" && !roleTypeFilter.MatchString(filter) && !strings.Contains(strings.ToLower(filter), "atscope") {
		return nil, resource.Invalidf("InvalidFilter", "$filter is %q; roleName eq '…', type eq 'BuiltInRole' or 'CustomRole', atScope() or atScopeAndBelow() was expected", filter).At("$filter")
	}
	kind := ""
	if m := roleTypeFilter.FindStringSubmatch(filter); m != nil {
		kind = m[1]
	}
	below := strings.Contains(strings.ToLower(filter), "atscopeandbelow")
	var out []*arm.Resource[Definition]
	for _, role := range roles {
		r := present(role, scope)
		r.ID = scope.Extension(string(definitionType), role.ID) // who may read the scope's list sees it; it is shown with definitionID
		reachable := role.BuiltIn || role.AssignableAt(scope) || (below && anyBelow(role, scope))
		if reachable && (kind == "" || strings.EqualFold(kind, r.Properties.Type)) {
			out = append(out, r)
		}
	}
	return out, nil
}

func anyBelow(role *access.Role, scope resource.ID) bool {
	for _, at := range role.AssignableScopes {
		if scope.Contains(at) {
			return true
		}
	}
	return false
}

// writeOnEveryScope: a role that can be assigned at a scope is a matter of that scope's administrators.
func writeOnEveryScope(_ context.Context, change *arm.Change[Definition]) ([]arm.Requirement, error) {
	out := onEveryScope(change.Next.Properties, "write")
	if change.Prev != nil && change.Prev.Properties.Type != "BuiltInRole" { // nobody may change those, whatever they hold
		out = append(out, onEveryScope(change.Prev.Properties, "write")...)
	}
	return out, nil
}

func deleteOnEveryScope(_ context.Context, _ *arm.Call, r *arm.Resource[Definition]) ([]arm.Requirement, error) {
	if r.Properties.Type == "BuiltInRole" {
		return nil, resource.Forbiddenf("RoleDefinitionBuiltIn", "'%s' is a built-in role and cannot be deleted", r.Properties.RoleName)
	}
	return onEveryScope(r.Properties, "delete"), nil
}

func onEveryScope(d Definition, verb string) []arm.Requirement {
	var out []arm.Requirement
	for _, scope := range d.AssignableScopes {
		out = append(out, arm.Requirement{Action: string(definitionType) + "/" + verb, Scope: scope})
	}
	return out
}

func validateDefinition(_ context.Context, change *arm.Change[Definition]) error {
	p := &change.Next.Properties
	if p.Type != "" && !strings.EqualFold(p.Type, "CustomRole") {
		return resource.Invalidf("InvalidRoleDefinitionType", "properties.type is %q; only CustomRole can be written", p.Type).At("properties.type")
	}
	p.Type = "CustomRole"
	role := toRole(change.Next.ID.Name(), *p)
	snapshot := change.Manager.Guard.Access.Snapshot()
	if known := snapshot.Role(role.ID); known != nil && known.BuiltIn {
		return resource.Forbiddenf("RoleDefinitionBuiltIn", "'%s' is a built-in role and cannot be changed; make a custom role of another id", known.Name)
	}
	if err := access.ValidateRole(*role); err != nil {
		return err
	}
	for _, other := range snapshot.RolesNamed(role.Name) {
		if strings.EqualFold(other.Name, role.Name) && !strings.EqualFold(other.ID, role.ID) {
			return resource.Conflictf("RoleDefinitionWithSameNameExists", "A custom role with the name '%s' exists already (%s); choose another name.", role.Name, other.ID).At("properties.roleName")
		}
	}
	change.Next.ID, change.Next.Name = resource.Root.Extension(string(definitionType), role.ID), role.ID
	return nil
}

func deletingDefinition(_ context.Context, call *arm.Call, r *arm.Resource[Definition]) ([]store.Op, error) {
	if uses := call.Manager.Guard.Access.Snapshot().RoleUses(r.ID.Name()); uses > 0 {
		return nil, resource.Conflictf("RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments): %d of them. Delete those first; alvara role assignment list --all --role %s shows them.", uses, r.ID.Name())
	}
	return nil, nil
}

func toRole(guid string, d Definition) *access.Role {
	role := &access.Role{ID: strings.ToLower(guid), Name: d.RoleName, Description: d.Description, AssignableScopes: d.AssignableScopes}
	for _, block := range d.Permissions {
		role.Permissions = append(role.Permissions, access.Permission(block))
	}
	return role
}

// Follow keeps the engine in step with the stored definitions and assignments, those that exist already first.
func Follow(st store.Store, live *access.Live) error {
	return st.Follow([]string{definitionType.Key(), assignmentType.Key()}, func(changes []store.Change) {
		var out []access.Change
		for _, change := range changes {
			if made, err := toChange(change); err == nil {
				out = append(out, made)
			}
		}
		if len(out) > 0 {
			live.Apply(out...)
		}
	})
}

// toChange reads a document. One that cannot be read grants nothing.
func toChange(change store.Change) (access.Change, error) {
	switch change.Kind {
	case definitionType.Key():
		var r arm.Resource[Definition]
		if err := json.Unmarshal(change.Body, &r); err != nil {
			return nil, err
		}
		if change.Deleted {
			return access.DeleteRole{ID: r.ID.Name()}, nil
		}
		return access.PutRole{Role: toRole(r.ID.Name(), r.Properties)}, nil
	case assignmentType.Key():
		var r arm.Resource[Assignment]
		if err := json.Unmarshal(change.Body, &r); err != nil {
			return nil, err
		}
		if change.Deleted {
			return access.DeleteAssignment{ID: r.ID}, nil
		}
		return access.PutAssignment{Assignment: toAssignment(r.ID, r.Properties)}, nil
	}
	return nil, fmt.Errorf("authorization: kind %s", change.Kind)
}
