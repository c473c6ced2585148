package access

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/resource"
)

// The limits on role definitions, as in Azure.
const (
	MaxRoleName         = 512  // characters
	MaxRoleDescription  = 2048 // characters
	MaxAssignableScopes = 2000
	maxActionLength     = 1024 // characters
)

// ValidateRole checks a role definition as Azure does before it accepts one. It gives nil or a *resource.Error of kind
// Invalid for the first fault found, with the field in Target:
//
//	RoleDefinitionIdInvalid            the id is no guid
//	RoleDefinitionNameInvalid          the name is empty, too long, or has control characters
//	RoleDefinitionDescriptionInvalid   the description is too long
//	InvalidAssignableScope             no assignable scope, too many, or the root for a custom role
//	InvalidRoleDefinitionPermissions   no permission grants anything
//	InvalidActionOrNotAction           an action is empty, names no provider, has a character that is not allowed, or has
//	                                   several wildcards in a custom role
func ValidateRole(role Role) error {
	if !condition.IsGUID(role.ID) {
		return resource.Invalidf("RoleDefinitionIdInvalid",
			"the role definition id %q must be a GUID such as 8e3af657-a8ff-443c-a75c-2fe8c4bcb635", role.ID).At("id")
	}
	if err := validateName(role.Name); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(role.Description); n > MaxRoleDescription {
		return resource.Invalidf("RoleDefinitionDescriptionInvalid",
			"the description is %d characters long; at most %d are allowed, shorten it", n, MaxRoleDescription).At("description")
	}
	if err := validateScopes(role); err != nil {
		return err
	}
	return validatePermissions(role)
}

func validateName(name string) error {
	n := utf8.RuneCountInString(name)
	switch {
	case strings.TrimSpace(name) == "":
		return resource.Invalidf("RoleDefinitionNameInvalid", "the role name is empty; give 1 to %d characters", MaxRoleName).At("roleName")
	case n > MaxRoleName:
		return resource.Invalidf("RoleDefinitionNameInvalid",
			"the role name is %d characters long; at most %d are allowed, shorten it", n, MaxRoleName).At("roleName")
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == utf8.RuneError }):
		return resource.Invalidf("RoleDefinitionNameInvalid", "the role name %q has a control character; remove it", name).At("roleName")
	}
	return nil
}

func validateScopes(role Role) error {
	const target = "assignableScopes"
	switch n := len(role.AssignableScopes); {
	case n == 0:
		return resource.Invalidf("InvalidAssignableScope",
			"the role %q has no assignable scope; name at least one subscription or resource group where it may be assigned", role.Name).At(target)
	case n > MaxAssignableScopes:
		return resource.Invalidf("InvalidAssignableScope",
			"the role %q has %d assignable scopes; at most %d are allowed", role.Name, n, MaxAssignableScopes).At(target)
	}
	for i, scope := range role.AssignableScopes {
		if scope.IsRoot() && !role.BuiltIn {
			return resource.Invalidf("InvalidAssignableScope",
				"the assignable scope \"/\" of role %q is for built-in roles only; name a subscription or a resource group", role.Name).
				At(fmt.Sprintf("%s[%d]", target, i))
		}
	}
	return nil
}

func validatePermissions(role Role) error {
	grants := false
	for i, permission := range role.Permissions {
		grants = grants || len(permission.Actions)+len(permission.DataActions) > 0
		for _, list := range []struct {
			name    string
			actions []string
		}{
			{"actions", permission.Actions}, {"notActions", permission.NotActions},
			{"dataActions", permission.DataActions}, {"notDataActions", permission.NotDataActions},
		} {
			for j, action := range list.actions {
				if message := actionFault(action, role.BuiltIn); message != "" {
					return resource.Invalidf("InvalidActionOrNotAction", "%s", message).
						At(fmt.Sprintf("permissions[%d].%s[%d]", i, list.name, j))
				}
			}
		}
	}
	if !grants {
		return resource.Invalidf("InvalidRoleDefinitionPermissions",
			"the role %q grants nothing; give it at least one entry in actions or dataActions", role.Name).At("permissions")
	}
	return nil
}

// actionFault says what is wrong with one action string of a role, or "".
func actionFault(action string, builtIn bool) string {
	switch {
	case action == "":
		return "an action is empty; name an operation such as Microsoft.Storage/storageAccounts/read"
	case len(action) > maxActionLength:
		return fmt.Sprintf("an action is %d characters long; at most %d are allowed", len(action), maxActionLength)
	case strings.ContainsFunc(action, func(r rune) bool { return !actionRune(r) }):
		return fmt.Sprintf("'%s' has a character that is not allowed; use letters, digits and . * / - _", action)
	case !builtIn && strings.Count(action, "*") > 1:
		return fmt.Sprintf("'%s' contains multiple wildcards. Only one is allowed.", action)
	case action == "*":
		return ""
	}
	provider, rest, scoped := strings.Cut(action, "/")
	if !scoped || !strings.ContainsAny(provider, ".*") {
		return fmt.Sprintf("'%s' names no resource provider; write it as {provider}/{type}/{verb}, "+
			"such as Microsoft.Storage/storageAccounts/read, or as a pattern such as */read", action)
	}
	if provider == "" || rest == "" || strings.HasPrefix(rest, "/") || strings.HasSuffix(rest, "/") || strings.Contains(rest, "//") {
		return fmt.Sprintf("'%s' has an empty segment; remove the extra '/'", action)
	}
	return ""
}

func actionRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".*/-_", r)
}
