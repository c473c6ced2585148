package authorization

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Assignment is the properties of a role assignment.
type Assignment struct {
	RoleDefinitionID                   string      `json:"roleDefinitionId"`
	PrincipalID                        string      `json:"principalId"`
	PrincipalType                      string      `json:"principalType,omitempty"`
	Scope                              resource.ID `json:"scope"`
	Description                        string      `json:"description,omitempty"`
	Condition                          *string     `json:"condition,omitempty"`
	ConditionVersion                   *string     `json:"conditionVersion,omitempty"`
	DelegatedManagedIdentityResourceID *string     `json:"delegatedManagedIdentityResourceId,omitempty"`
	CreatedOn                          time.Time   `json:"createdOn"`
	UpdatedOn                          time.Time   `json:"updatedOn"`
	CreatedBy                          string      `json:"createdBy"`
	UpdatedBy                          string      `json:"updatedBy"`
}

// MaxAssignments is how many role assignments a subscription holds.
const MaxAssignments = 4000

// Assignments declares role assignments. They sit on any scope that exists, down to a single feature set (FS-19), and are
// in force, or gone, when the answer arrives (MI-08).
func Assignments() arm.Type {
	return arm.Define(arm.Spec[Assignment]{
		Type: assignmentType, APIVersions: apiVersions, Scopes: true,
		Created: 201, Replaced: 201,
		Name: guid, NameRule: "a GUID",
		Validate: validateAssignment,
		Place:    placeOfScope,
		Commit:   restrictingAssignment,
		Deleting: deletingAssignment,
		List:     listAssignments,
		Present:  presentAssignment,
		Unique:   grantOf,
		References: func(call *arm.Call, r *arm.Resource[Assignment]) []resource.ID {
			role := call.Manager.Guard.Access.Snapshot().Role(roleName(r.Properties.RoleDefinitionID))
			if role == nil || role.BuiltIn {
				return nil
			}
			return []resource.ID{resource.Root.Extension(string(definitionType), role.ID)}
		},
	})
}

func validateAssignment(_ context.Context, change *arm.Change[Assignment]) error {
	p := &change.Next.Properties
	scope, _ := change.Next.ID.ExtensionOf()
	snapshot := change.Manager.Guard.Access.Snapshot()
	if err := checkCondition(snapshot, p); err != nil {
		return err
	}
	role, err := roleOf(snapshot, p.RoleDefinitionID)
	if err != nil {
		return err
	}
	if !role.BuiltIn && !role.AssignableAt(scope) {
		return resource.Invalidf("RoleDefinitionNotAssignable", "The role '%s' cannot be assigned at '%s': it is outside the role's assignable scopes.", role.Name, scope).At("properties.roleDefinitionId")
	}
	p.PrincipalID = strings.ToLower(p.PrincipalID)
	if !guid.MatchString(p.PrincipalID) {
		return resource.Invalidf("InvalidPrincipalId", "properties.principalId is %q; the object id of a user, group or service principal was expected", p.PrincipalID).At("properties.principalId")
	}
	if err := checkPrincipal(change, p); err != nil {
		return err
	}
	p.Scope = scope
	p.RoleDefinitionID = present(role, scope).ID.String()
	now := change.Manager.Clock().UTC()
	if old := change.Prev; old != nil {
		if !strings.EqualFold(old.Properties.PrincipalID, p.PrincipalID) || !sameRole(old.Properties.RoleDefinitionID, p.RoleDefinitionID) {
			return resource.Invalidf("RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
		}
		p.CreatedOn, p.CreatedBy, p.UpdatedOn, p.UpdatedBy = old.Properties.CreatedOn, old.Properties.CreatedBy, now, change.Who.ID
		return nil
	}
	p.CreatedOn, p.CreatedBy, p.UpdatedOn, p.UpdatedBy = now, change.Who.ID, now, change.Who.ID
	for _, other := range snapshot.AssignmentsAt(scope) {
		if other.PrincipalID == p.PrincipalID && strings.EqualFold(other.RoleID, role.ID) {
			return resource.Conflictf("RoleAssignmentExists", "The role assignment already exists. The ID of the existing role assignment is %s.", strings.ReplaceAll(other.ID.Name(), "-", ""))
		}
	}
	if subscription := scope.Subscription(); subscription != "" {
		whole := resource.MustParseID("/subscriptions/" + subscription)
		if len(snapshot.AssignmentsAt(whole))+len(snapshot.AssignmentsBelow(whole)) >= MaxAssignments {
			return resource.Conflictf("RoleAssignmentLimitExceeded", "No more role assignments can be created (code: RoleAssignmentLimitExceeded): the subscription holds %d.", MaxAssignments)
		}
	}
	return nil
}

// roleName is the GUID at the end of a role definition's id.
func roleName(id string) string { return strings.ToLower(id[strings.LastIndex(id, "/")+1:]) }

func sameRole(a, b string) bool { return roleName(a) == roleName(b) }

// grantOf is what no two assignments may share: one principal holds one role at a scope once.
func grantOf(r *arm.Resource[Assignment]) string {
	scope, _ := r.ID.ExtensionOf()
	return scope.Key() + "|" + roleName(r.Properties.RoleDefinitionID) + "|" + r.Properties.PrincipalID
}

// presentAssignment names the role as a list of definitions at the same scope does, and shows that the principal was deleted.
func presentAssignment(_ context.Context, call *arm.Call, r *arm.Resource[Assignment]) {
	r.Properties.RoleDefinitionID = definitionID(roleName(r.Properties.RoleDefinitionID), readFrom(call)).String()
	if _, known := call.Manager.Identities.Lookup(r.Properties.PrincipalID); !known {
		r.Properties.PrincipalType = "Unknown"
	}
}

// roleOf finds the role that a roleDefinitionId names.
func roleOf(snapshot *access.Snapshot, text string) (*access.Role, error) {
	if text == "" {
		return nil, resource.Invalidf("InvalidRoleDefinitionId", "properties.roleDefinitionId is missing; the id of a role definition was expected").At("properties.roleDefinitionId")
	}
	name := text[strings.LastIndex(text, "/")+1:]
	if !guid.MatchString(name) {
		return nil, resource.Invalidf("InvalidRoleDefinitionId", "properties.roleDefinitionId is %q; an id that ends in the role's GUID was expected", text).At("properties.roleDefinitionId")
	}
	role := snapshot.Role(name)
	if role == nil {
		return nil, resource.Invalidf("RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", name).At("properties.roleDefinitionId")
	}
	return role, nil
}

func checkPrincipal(change *arm.Change[Assignment], p *Assignment) error {
	principal, known := change.Manager.Identities.Lookup(p.PrincipalID)
	if !known {
		return resource.Invalidf("PrincipalNotFound", "Principal %s does not exist in the directory %s. Check that you have the correct principal ID.", p.PrincipalID, change.Manager.Tenant).At("properties.principalId")
	}
	if p.PrincipalType != "" && !strings.EqualFold(p.PrincipalType, string(principal.Type)) {
		return resource.Invalidf("UnmatchedPrincipalType", "The PrincipalId '%s' has type '%s', which is different from specified PrincipalType '%s'.", p.PrincipalID, principal.Type, p.PrincipalType).At("properties.principalType")
	}
	p.PrincipalType = string(principal.Type)
	return nil
}

// deletingAssignment keeps the last assignment through which anybody can still assign roles everywhere.
func deletingAssignment(_ context.Context, call *arm.Call, r *arm.Resource[Assignment]) ([]store.Op, error) {
	if !call.Target.Type.Is(assignmentType) { // goes with its scope
		return nil, nil
	}
	scope, _ := r.ID.ExtensionOf()
	if scope.ResourceGroup() != "" {
		return nil, nil
	}
	return keepAdministrator(call, r.ID, scope, "delete")
}

const assign = "Microsoft.Authorization/roleAssignments/write"

// restrictingAssignment does as deletingAssignment when a condition is put on an assignment that is there.
func restrictingAssignment(_ context.Context, change *arm.Change[Assignment]) ([]store.Op, error) {
	if change.Prev == nil {
		return nil, nil
	}
	scope, _ := change.Next.ID.ExtensionOf()
	next := toAssignment(change.Next.ID, change.Next.Properties)
	if scope.ResourceGroup() != "" || next.Condition.Effect(strings.ToLower(assign)) == condition.Always {
		return nil, nil
	}
	return keepAdministrator(change.Call, change.Prev.ID, scope, "restrict")
}

// keepAdministrator refuses to lose the assignment when nobody else can assign roles at the scope without a condition.
func keepAdministrator(call *arm.Call, losing, scope resource.ID, verb string) ([]store.Op, error) {
	ours, other := false, resource.Root
	for _, granter := range call.Manager.Guard.Access.Snapshot().Who(assign, false, scope) {
		_, known := call.Manager.Identities.Lookup(granter.PrincipalID)
		switch {
		case granter.Conditional(assign): // it lets some assign, and need not let anybody
		case granter.ID.Equal(losing):
			ours = true
		case known && other.IsRoot():
			other = granter.ID
		}
	}
	switch {
	case !ours:
		return nil, nil
	case other.IsRoot():
		return nil, resource.Conflictf("LastRBACAdminAssignment", "Cannot %s the last RBAC admin assignment: nobody could assign roles at '%s' any more. Assign Owner or User Access Administrator to somebody else first.", verb, scope)
	}
	// Two who delete each other's last but one must not both succeed.
	return []store.Op{store.Expect{Key: other.Key(), IfMatch: store.Any}}, nil
}

var (
	principalFilter = regexp.MustCompile(`(?i)principalId\s+eq\s+'([^']*)'`)
	assignedFilter  = regexp.MustCompile(`(?i)assignedTo\('([^']*)'\)`)
	roleFilter      = regexp.MustCompile(`(?i)roleDefinitionId\s+eq\s+'([^']*)'`)
)

// listAssignments gives the assignments at a scope, above and below it. atScope() leaves out those below; principalId eq
// '…' keeps one principal's own; assignedTo('…') also those of its groups.
func listAssignments(ctx context.Context, call *arm.Call, scope resource.ID) ([]*arm.Resource[Assignment], error) {
	filter := call.QueryValue("$filter")
	snapshot := call.Manager.Guard.Access.Snapshot()
	found := snapshot.AssignmentsAbove(scope)
	if !strings.Contains(strings.ToLower(filter), "atscope()") {
		found = append(found, snapshot.AssignmentsBelow(scope)...)
	}
	holders := map[string]bool{}
	if m := principalFilter.FindStringSubmatch(filter); m != nil {
		holders[strings.ToLower(m[1])] = true
	} else if m := assignedFilter.FindStringSubmatch(filter); m != nil {
		holders[strings.ToLower(m[1])] = true
		if principal, known := call.Manager.Identities.Lookup(m[1]); known {
			for _, group := range principal.Groups {
				holders[group] = true
			}
		}
	} else if filter != "" && !strings.Contains(strings.ToLower(filter), "atscope") && !roleFilter.MatchString(filter) {
		return nil, resource.Invalidf("InvalidFilter", "$filter is %q; atScope(), principalId eq '…', assignedTo('…') or roleDefinitionId eq '…' was expected", filter).At("$filter")
	}
	role := ""
	if m := roleFilter.FindStringSubmatch(filter); m != nil {
		role = m[1]
	}
	var out []*arm.Resource[Assignment]
	for _, assignment := range found {
		if len(holders) > 0 && !holders[assignment.PrincipalID] {
			continue
		}
		if role != "" && !sameRole(role, assignment.RoleID) {
			continue
		}
		r, err := readAssignment(ctx, call, assignment)
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

func readAssignment(ctx context.Context, call *arm.Call, assignment *access.Assignment) (*arm.Resource[Assignment], error) {
	doc, err := call.Manager.Store.Get(ctx, assignment.ID.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, nil // deleted between the snapshot and here
	}
	if err != nil {
		return nil, err
	}
	var r arm.Resource[Assignment]
	if err := json.Unmarshal(doc.Body, &r); err != nil {
		return nil, err
	}
	r.ETag = doc.ETag
	return &r, nil
}

func toAssignment(id resource.ID, p Assignment) access.Assignment {
	return access.Assignment{
		ID: id, RoleID: roleName(p.RoleDefinitionID), PrincipalID: p.PrincipalID,
		PrincipalType: p.PrincipalType, Scope: p.Scope, Created: p.CreatedOn, CreatedBy: p.CreatedBy,
		Condition: readCondition(p.Condition),
	}
}

// Grant gives the op that assigns a role, for bootstrapping and for provisioning that has been authorized already.
func Grant(name, roleID, principalID, principalType string, scope resource.ID, by string, now time.Time) (store.Put, error) {
	id := scope.Extension(string(assignmentType), name)
	r := struct {
		arm.Resource[Assignment]
		State string `json:"state"`
	}{arm.Resource[Assignment]{ID: id, Name: name, Type: assignmentType, Properties: Assignment{
		RoleDefinitionID: resource.Root.Extension(string(definitionType), roleID).String(), PrincipalID: principalID, PrincipalType: principalType,
		Scope: scope, CreatedOn: now.UTC(), UpdatedOn: now.UTC(), CreatedBy: by, UpdatedBy: by,
	}}, arm.Succeeded}
	body, err := json.Marshal(r)
	return store.Put{Key: id.Key(), Kind: assignmentType.Key(), Body: body, IfMatch: store.None}, err
}
