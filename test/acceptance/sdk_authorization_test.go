package acceptance

import (
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
)

// MI-08, FS-10: built-in roles are found by name; custom ones are made, changed, found and deleted, but not while somebody
// holds them.
func TestSDKRoleDefinitions(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	ctx, scope, other := t.Context(), a.env.Group("rg"), "/subscriptions/"+a.subscription
	roles := a.owner.authorization().NewRoleDefinitionsClient()
	list := func(at, filter string) []*armauthorization.RoleDefinition {
		options := &armauthorization.RoleDefinitionsClientListOptions{}
		if filter != "" {
			options.Filter = &filter
		}
		return paged(t, roles.NewListPager(at, options), func(p armauthorization.RoleDefinitionsClientListResponse) []*armauthorization.RoleDefinition {
			return p.Value
		})
	}
	for _, name := range []string{"Storage Blob Data Reader", "storageblobdatareader", "STORAGE BLOB DATA READER"} {
		found := list(scope, "roleName eq '"+name+"'")
		if len(found) != 1 || *found[0].Name != access.RoleStorageBlobDataReader || *found[0].Properties.RoleType != "BuiltInRole" {
			t.Fatalf("%q finds %d roles", name, len(found))
		}
	}
	if found := list(scope, "type eq 'CustomRole'"); len(found) != 0 {
		t.Fatalf("there are %d custom roles already", len(found))
	}
	if len(list(scope, "")) < 15 {
		t.Fatal("few built-in roles are listed")
	}

	guid := uuid.NewString()
	role := armauthorization.RoleDefinition{Properties: &armauthorization.RoleDefinitionProperties{
		RoleName: ptr("Feature reader"), Description: ptr("Reads feature sets"), RoleType: ptr("CustomRole"), AssignableScopes: []*string{&scope},
		Permissions: []*armauthorization.Permission{{Actions: []*string{ptr(ml + "featuresets/read")}}},
	}}
	made := done(roles.CreateOrUpdate(ctx, scope, guid, role, nil))(t)
	if *made.Name != guid || *made.Properties.Permissions[0].Actions[0] != ml+"featuresets/read" || *made.Properties.RoleType != "CustomRole" {
		t.Fatalf("made %+v", *made.Properties)
	}
	role.Properties.Permissions[0].Actions = append(role.Properties.Permissions[0].Actions, ptr(ml+"featurestores/read"))
	changed := done(roles.CreateOrUpdate(ctx, scope, guid, role, nil))(t)
	if len(changed.Properties.Permissions[0].Actions) != 2 {
		t.Fatalf("changed to %+v", *changed.Properties)
	}
	if found := list(scope, "roleName eq 'feature READER'"); len(found) != 1 || *found[0].Name != guid {
		t.Fatalf("found %d", len(found))
	}
	if found := list(other, "atScopeAndBelow()"); len(found) == 0 {
		t.Fatal("nothing is found below the subscription")
	}
	done(roles.GetByID(ctx, strings.TrimPrefix(*made.ID, "/"), nil))(t)

	twice := armauthorization.RoleDefinition{Properties: role.Properties}
	_, err := roles.CreateOrUpdate(ctx, scope, uuid.NewString(), twice, nil)
	refused(t, "the same name twice", err, 409, "RoleDefinitionWithSameNameExists")
	_, err = roles.CreateOrUpdate(ctx, scope, access.RoleReader, role, nil)
	refused(t, "changing a built-in role", err, 403, "RoleDefinitionBuiltIn")
	contributor := a.principal("contributor")
	a.admin.Grant(contributor.user.ObjectID, access.RoleContributor, scope)
	_, err = contributor.authorization().NewRoleDefinitionsClient().CreateOrUpdate(ctx, scope, uuid.NewString(), role, nil)
	forbidden(t, "a Contributor making a role", err, "Microsoft.Authorization/roleDefinitions/write")

	assignment := a.admin.Grant(contributor.user.ObjectID, guid, scope)
	_, err = roles.Delete(ctx, scope, guid, nil)
	refused(t, "deleting a role that is held", err, 409, "RoleDefinitionHasAssignments")
	done(a.owner.authorization().NewRoleAssignmentsClient().DeleteByID(ctx, strings.TrimPrefix(assignment, "/"), nil))(t)
	done(roles.Delete(ctx, scope, guid, nil))(t)
	_, err = roles.Get(ctx, scope, guid, nil)
	refused(t, "a deleted role", err, 404, "ResourceNotFound")
}

// MI-08, MI-18, BX-05: assignments are in force on the next request and gone on the next request, on every plane, with the
// same client and the same tokens.
func TestSDKRoleAssignments(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	endpoint := a.account("rg", "assigned", "box")
	ctx, scope := t.Context(), a.env.Group("rg")
	container := scope + "/providers/Microsoft.Storage/storageAccounts/assigned/blobServices/default/containers/box"
	assignments, reader := a.owner.authorization().NewRoleAssignmentsClient(), a.principal("reader")
	groups, blobs := reader.resources().NewResourceGroupsClient(), reader.blobs(endpoint)
	assign := func(role, at string) *armauthorization.RoleAssignment {
		made := done(assignments.Create(ctx, at, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
			RoleDefinitionID: ptr("/subscriptions/" + a.subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + role),
			PrincipalID:      &reader.user.ObjectID, PrincipalType: ptr(armauthorization.PrincipalTypeServicePrincipal),
		}}, nil))(t)
		return &made.RoleAssignment
	}
	uploads := a.owner.blobs(endpoint)
	_, err := uploads.UploadBuffer(ctx, "box", "x", []byte("x"), nil)
	refused(t, "an owner without a data role", err, 403, "AuthorizationPermissionMismatch")

	for round := range 3 {
		_, err := groups.Get(ctx, "rg", nil)
		forbidden(t, "before the assignment", err, "Microsoft.Resources/subscriptions/resourceGroups/read")
		_, err = blobs.NewListBlobsFlatPager("box", nil).NextPage(ctx)
		refused(t, "before the assignment", err, 403, "AuthorizationPermissionMismatch")

		control, data := assign(access.RoleReader, scope), assign(access.RoleStorageBlobDataReader, container)
		done(groups.Get(ctx, "rg", nil))(t)
		done(blobs.NewListBlobsFlatPager("box", nil).NextPage(ctx))(t)
		_, err = blobs.UploadBuffer(ctx, "box", "x", []byte("x"), nil)
		refused(t, "a reader writing", err, 403, "AuthorizationPermissionMismatch")

		if round == 0 {
			got := done(assignments.Get(ctx, scope, *control.Name, nil))(t)
			if *got.Properties.PrincipalID != reader.user.ObjectID || !strings.HasSuffix(*got.Properties.RoleDefinitionID, access.RoleReader) || *got.Properties.Scope != scope {
				t.Fatalf("the assignment is %+v", *got.Properties)
			}
			// The SDK puts this filter into the URL as it is.
			listed := paged(t, assignments.NewListForScopePager(scope, &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: ptr("principalId%20eq%20'" + reader.user.ObjectID + "'")}),
				func(p armauthorization.RoleAssignmentsClientListForScopeResponse) []*armauthorization.RoleAssignment {
					return p.Value
				})
			if len(listed) != 2 {
				t.Fatalf("the principal has %d assignments", len(listed))
			}
			atScope := paged(t, assignments.NewListForResourceGroupPager("rg", &armauthorization.RoleAssignmentsClientListForResourceGroupOptions{Filter: ptr("atScope()")}),
				func(p armauthorization.RoleAssignmentsClientListForResourceGroupResponse) []*armauthorization.RoleAssignment {
					return p.Value
				})
			if got := names(atScope, func(r *armauthorization.RoleAssignment) *string { return r.Name }); !strings.Contains(got, *control.Name) || strings.Contains(got, *data.Name) {
				t.Fatalf("at the scope are %s", got)
			}
			forResource := paged(t, assignments.NewListForResourcePager("rg", "Microsoft.Storage", "storageAccounts", "assigned", nil),
				func(p armauthorization.RoleAssignmentsClientListForResourceResponse) []*armauthorization.RoleAssignment {
					return p.Value
				})
			if got := names(forResource, func(r *armauthorization.RoleAssignment) *string { return r.Name }); !strings.Contains(got, *data.Name) {
				t.Fatalf("on the account are %s", got)
			}
			bySubscription := paged(t, assignments.NewListForSubscriptionPager(nil),
				func(p armauthorization.RoleAssignmentsClientListForSubscriptionResponse) []*armauthorization.RoleAssignment {
					return p.Value
				})
			if len(bySubscription) < 3 {
				t.Fatalf("the subscription has %d assignments", len(bySubscription))
			}
			_, err = assignments.Create(ctx, scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
				RoleDefinitionID: control.Properties.RoleDefinitionID, PrincipalID: control.Properties.PrincipalID,
			}}, nil)
			refused(t, "the same assignment twice", err, 409, "RoleAssignmentExists")
			_, err = reader.authorization().NewRoleAssignmentsClient().Create(ctx, scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
				RoleDefinitionID: ptr("/providers/Microsoft.Authorization/roleDefinitions/" + access.RoleOwner), PrincipalID: &reader.user.ObjectID,
			}}, nil)
			forbidden(t, "a Reader assigning Owner", err, "Microsoft.Authorization/roleAssignments/write")
		}
		done(assignments.Delete(ctx, scope, *control.Name, nil))(t)
		done(assignments.DeleteByID(ctx, strings.TrimPrefix(*data.ID, "/"), nil))(t)
	}
	_, err = assignments.Create(ctx, scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		RoleDefinitionID: ptr("/providers/Microsoft.Authorization/roleDefinitions/" + uuid.NewString()), PrincipalID: &reader.user.ObjectID,
	}}, nil)
	refused(t, "an unknown role", err, 400, "RoleDefinitionDoesNotExist")
	_, err = assignments.Create(ctx, scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		RoleDefinitionID: ptr("/providers/Microsoft.Authorization/roleDefinitions/" + access.RoleReader), PrincipalID: ptr(uuid.NewString()),
	}}, nil)
	refused(t, "an unknown principal", err, 400, "PrincipalNotFound")
}
