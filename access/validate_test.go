package access_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

// FS-10: custom roles are checked before they are stored, each fault by its code and field.
func TestValidateRole(t *testing.T) {
	valid := func() access.Role {
		return access.Role{
			ID: "88888888-0000-0000-0000-000000000008", Name: "Feature set developer", Description: "Develops feature sets.",
			Permissions: []access.Permission{{
				Actions: []string{"*", "*/read", ml + "featuresets/*", "Microsoft.Storage/storage*/read", "Microsoft.*/read"}, NotActions: []string{ml + "*/delete"},
				DataActions: []string{blobs + "read"}, NotDataActions: []string{"Microsoft.Key-Vault_2/*"},
			}},
			AssignableScopes: []resource.ID{subscription, rg1},
		}
	}
	if err := access.ValidateRole(valid()); err != nil {
		t.Fatalf("a valid role: %v", err)
	}
	action := func(text string) func(*access.Role) {
		return func(r *access.Role) { r.Permissions[0].NotActions = append(r.Permissions[0].NotActions, text) }
	}
	for name, c := range map[string]struct {
		change             func(*access.Role)
		code, target, says string
	}{
		"id":                  {func(r *access.Role) { r.ID = "owner" }, "RoleDefinitionIdInvalid", "id", "GUID"},
		"id with a bad digit": {func(r *access.Role) { r.ID = strings.Replace(r.ID, "8", "g", 1) }, "RoleDefinitionIdInvalid", "id", "GUID"},
		"no id":               {func(r *access.Role) { r.ID = "" }, "RoleDefinitionIdInvalid", "id", "GUID"},
		"no name":             {func(r *access.Role) { r.Name = "  " }, "RoleDefinitionNameInvalid", "roleName", "empty"},
		"long name":           {func(r *access.Role) { r.Name = strings.Repeat("é", 513) }, "RoleDefinitionNameInvalid", "roleName", "513"},
		"name with a newline": {func(r *access.Role) { r.Name = "a\nb" }, "RoleDefinitionNameInvalid", "roleName", "control"},
		"long description":    {func(r *access.Role) { r.Description = strings.Repeat("d", 2049) }, "RoleDefinitionDescriptionInvalid", "description", "2049"},
		"no scope":            {func(r *access.Role) { r.AssignableScopes = nil }, "InvalidAssignableScope", "assignableScopes", "at least one"},
		"root":                {func(r *access.Role) { r.AssignableScopes[1] = resource.Root }, "InvalidAssignableScope", "assignableScopes[1]", "built-in"},
		"too many scopes": {func(r *access.Role) { r.AssignableScopes = make([]resource.ID, 2001) },
			"InvalidAssignableScope", "assignableScopes", "2001"},
		"no permission": {func(r *access.Role) { r.Permissions = nil }, "InvalidRoleDefinitionPermissions", "permissions", "nothing"},
		"only notActions": {func(r *access.Role) {
			r.Permissions = []access.Permission{{NotActions: []string{"*"}, NotDataActions: []string{"*"}}}
		}, "InvalidRoleDefinitionPermissions", "permissions", "nothing"},
		"two wildcards":     {action("Microsoft.Storage/*/x/*"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "'Microsoft.Storage/*/x/*' contains multiple wildcards. Only one is allowed."},
		"empty action":      {action(""), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "empty"},
		"no provider":       {action("read"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "provider"},
		"dotless provider":  {action("workspaces/read"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "provider"},
		"provider alone":    {action("Microsoft.Storage"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "provider"},
		"empty segment":     {action("Microsoft.Storage//read"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "empty segment"},
		"slash at the end":  {action("Microsoft.Storage/accounts/"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "empty segment"},
		"space":             {action("Microsoft.Storage/storage accounts/read"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "not allowed"},
		"question mark":     {action("Microsoft.Storage/storageAccounts/rea?"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "not allowed"},
		"letter beyond A-Z": {action("Microsoft.Storage/konten/lösen"), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "not allowed"},
		"long action":       {action("Microsoft.Storage/" + strings.Repeat("x", 1024)), "InvalidActionOrNotAction", "permissions[0].notActions[1]", "long"},
		"data action": {func(r *access.Role) { r.Permissions[0].DataActions[0] = "*/*" },
			"InvalidActionOrNotAction", "permissions[0].dataActions[0]", "multiple wildcards"},
	} {
		role := valid()
		c.change(&role)
		err := access.ValidateRole(role)
		fault, ok := resource.AsError(err)
		if !ok || fault.Kind != resource.Invalid || fault.Code != c.code || fault.Target != c.target || !strings.Contains(fault.Message, c.says) {
			t.Errorf("%s: %+v, want %s at %s with %q", name, err, c.code, c.target, c.says)
		}
	}
	builtIn := valid()
	builtIn.BuiltIn, builtIn.AssignableScopes = true, []resource.ID{resource.Root}
	builtIn.Permissions[0].Actions = []string{"Microsoft.Storage/*/x/*"}
	if err := access.ValidateRole(builtIn); err != nil {
		t.Errorf("a built-in role at the root with two wildcards: %v", err)
	}
	longest := valid()
	longest.Name, longest.Description = strings.Repeat("é", 512), strings.Repeat("é", 2048)
	if err := access.ValidateRole(longest); err != nil {
		t.Errorf("a role of the longest name: %v", err)
	}
}
