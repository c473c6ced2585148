package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

const (
	ml         = "Microsoft.MachineLearningServices/workspaces/"
	containers = "Microsoft.Storage/storageAccounts/blobServices/containers"
	blobs      = containers + "/blobs/"
	userID     = "11111111-0000-0000-0000-000000000001"
	groupID    = "22222222-0000-0000-0000-000000000002"
)

var (
	subscription = resource.MustParseID("/subscriptions/aaaaaaaa-0000-0000-0000-000000000000")
	rg1          = resource.MustParseID(subscription.String() + "/resourceGroups/rg1")
	rg10         = resource.MustParseID(subscription.String() + "/resourceGroups/rg10")
	store        = rg1.Child("Microsoft.MachineLearningServices/workspaces", "fs")
	featureSet   = store.Child("featuresets", "transactions")
	container    = rg1.Child("Microsoft.Storage/storageAccounts", "st").Child("blobServices", "default").Child("containers", "offline")
)

// given makes a state in which the user holds the role at the scope.
func given(roleID string, scope resource.ID) *access.Live {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	live.Apply(put(1, userID, roleID, scope))
	return live
}

func put(number int, principal, roleID string, scope resource.ID) access.PutAssignment {
	return access.PutAssignment{Assignment: access.Assignment{
		ID:     scope.Extension("Microsoft.Authorization/roleAssignments", fmt.Sprintf("0000%04d-0000-0000-0000-000000000000", number)),
		RoleID: roleID, PrincipalID: principal, Scope: scope,
	}}
}

func can(s *access.Snapshot, action string, data bool, scope resource.ID) bool {
	return s.Can(access.Request{PrincipalID: userID, Action: action, Data: data, Scope: scope}).Allowed
}

func expect(t *testing.T, s *access.Snapshot, want bool, data bool, scope resource.ID, actions ...string) {
	t.Helper()
	for _, action := range actions {
		if got := can(s, action, data, scope); got != want {
			t.Errorf("%s on %s: allowed %v, want %v", action, scope, got, want)
		}
	}
}

func TestControlPlaneRolesReadNoData(t *testing.T) {
	for _, role := range []string{access.RoleOwner, access.RoleContributor, access.RoleReader, access.RoleStorageAccountContributor} {
		s := given(role, subscription).Snapshot()
		expect(t, s, true, false, container, containers+"/read")
		expect(t, s, false, true, container, blobs+"read", blobs+"write", blobs+"delete", containers+"/read")
		expect(t, s, false, true, container, "Microsoft.KeyVault/vaults/secrets/getSecret/action", "Microsoft.Unknown/a/read")
		expect(t, s, false, false, container, "*", "")
	}
	for _, operation := range given(access.RoleOwner, resource.Root).Snapshot().OperationsOf(access.RoleOwner) {
		if operation.Data {
			t.Errorf("Owner grants the data action %s", operation.Name)
		}
	}
}

func TestDataRolesOfBlobs(t *testing.T) {
	reader := given(access.RoleStorageBlobDataReader, container).Snapshot()
	expect(t, reader, true, true, container, blobs+"read")
	expect(t, reader, false, true, container, blobs+"write", blobs+"delete", blobs+"add/action", blobs+"tags/read")
	contributor := given(access.RoleStorageBlobDataContributor, container).Snapshot()
	expect(t, contributor, true, true, container, blobs+"read", blobs+"write", blobs+"delete", blobs+"add/action", blobs+"move/action")
	expect(t, contributor, false, true, container, blobs+"manageOwnership/action")
	owner := given(access.RoleStorageBlobDataOwner, container).Snapshot()
	expect(t, owner, true, true, container, blobs+"manageOwnership/action", blobs+"modifyPermissions/action", blobs+"tags/write")
	if reader.Can(access.Request{PrincipalID: userID, Action: blobs + "read", Data: false, Scope: container}).Allowed {
		t.Error("a data action is granted on the control plane")
	}
}

func TestScopesContainByWholeSegments(t *testing.T) {
	s := given(access.RoleOwner, rg1).Snapshot()
	read := "Microsoft.Storage/storageAccounts/read"
	expect(t, s, true, false, rg1, read)
	expect(t, s, true, false, container, read)
	expect(t, s, false, false, rg10, read)
	expect(t, s, false, false, rg10.Child("Microsoft.Storage/storageAccounts", "st"), read)
	expect(t, s, false, false, subscription, read)
	expect(t, s, false, false, resource.Root, read)
	expect(t, s, true, false, resource.MustParseID(strings.ToUpper(container.String())), read)
	expect(t, given(access.RoleOwner, resource.Root).Snapshot(), true, false, container, read)
	expect(t, given(access.RoleOwner, resource.Root).Snapshot(), true, false, resource.Root, read)
}

// FS-19: a role assigned on one feature set or one entity holds there and nowhere else.
func TestRoleOnOneFeatureSet(t *testing.T) {
	s := given(access.RoleMLDataScientist, featureSet).Snapshot()
	version := featureSet.Child("versions", "1")
	expect(t, s, true, false, featureSet, ml+"featuresets/read", ml+"featuresets/write", ml+"featuresets/action")
	expect(t, s, true, false, version, ml+"featuresets/read")
	expect(t, s, false, false, store, ml+"featuresets/read")
	expect(t, s, false, false, store.Child("featuresets", "transactions2"), ml+"featuresets/read")
	expect(t, s, false, false, store.Child("featurestoreentities", "transactions"), ml+"featurestoreentities/read")
	if !s.Any(userID, nil, ml+"featuresets/read", false, subscription) || s.Any(userID, nil, ml+"featuresets/read", false, rg10) {
		t.Error("Any does not find the one feature set")
	}
	if s.Any(userID, nil, ml+"featurestores/write", false, subscription) {
		t.Error("Any finds what no role grants")
	}
}

func TestUnscopedActionsAreRefused(t *testing.T) {
	s := given(access.RoleOwner, resource.Root).Snapshot()
	expect(t, s, false, false, rg1, "", "*", "/", "read", "workspaces/read", "Microsoft.Storage", "Microsoft.Storage/",
		"/Microsoft.Storage/storageAccounts/read", "Microsoft.Storage//read", "Microsoft.Storage/*", "*/read")
	expect(t, s, true, false, rg1, "Microsoft.Brand.New/things/read", "microsoft.storage/STORAGEACCOUNTS/read")
	if s.SmallestRoles("read", false) != nil || s.Grants(access.Request{PrincipalID: userID, Action: "*"}) != nil || s.Who("", false, rg1) != nil {
		t.Error("an unscoped action has roles or assignments")
	}
	if s.Any(userID, nil, "read", false, resource.Root) {
		t.Error("an unscoped action is allowed somewhere")
	}
}

// FS-02: a group's assignment counts for its members, and only for them.
func TestGroupMembershipCounts(t *testing.T) {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	s := live.Apply(put(1, groupID, access.RoleReader, rg1))
	r := access.Request{PrincipalID: userID, Groups: []string{"33333333-0000-0000-0000-000000000003", groupID},
		Action: ml + "featuresets/read", Scope: featureSet}
	d := s.Can(r)
	if !d.Allowed || d.Group != groupID || d.Role.Name != "Reader" || !d.Assignment.Scope.Equal(rg1) {
		t.Errorf("a member of the group: %+v", d)
	}
	r.Groups = r.Groups[:1]
	if s.Can(r).Allowed {
		t.Error("a member of another group is allowed")
	}
	s = live.Apply(put(2, userID, access.RoleReader, featureSet))
	r.Groups = []string{groupID}
	if d := s.Can(r); d.Group != "" || !d.Assignment.Scope.Equal(featureSet) {
		t.Errorf("the own assignment does not go first: %+v", d)
	}
	if got := len(s.Grants(r)); got != 2 {
		t.Errorf("%d grants, want 2", got)
	}
}

func TestNobodyHoldsNothing(t *testing.T) {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	s := live.Apply(put(1, "", access.RoleOwner, resource.Root))
	if s.Can(access.Request{Action: ml + "read", Scope: store}).Allowed ||
		s.Can(access.Request{PrincipalID: userID, Groups: []string{""}, Action: ml + "read", Scope: store}).Allowed {
		t.Error("an assignment to nobody is held by everybody without an id")
	}
}

func TestNotActionsIsNoDeny(t *testing.T) {
	live := given(access.RoleContributor, subscription)
	write := "Microsoft.Authorization/roleAssignments/write"
	expect(t, live.Snapshot(), false, false, rg1, write, "Microsoft.Authorization/roleAssignments/delete", "Microsoft.Authorization/elevateAccess/action")
	expect(t, live.Snapshot(), true, false, rg1, "Microsoft.Authorization/roleAssignments/read", ml+"write")
	expect(t, live.Apply(put(2, userID, access.RoleUserAccessAdministrator, rg1)), true, false, rg1, write)

	two := &access.Role{ID: "44444444-0000-0000-0000-000000000004", Name: "two blocks", AssignableScopes: []resource.ID{subscription},
		Permissions: []access.Permission{
			{Actions: []string{ml + "*"}, NotActions: []string{ml + "*/delete"}},
			{Actions: []string{ml + "featuresets/delete"}, NotActions: []string{ml + "*/write"}},
		}}
	s := live.Apply(access.PutRole{Role: two}, put(3, groupID, two.ID, store))
	for action, want := range map[string]bool{"featuresets/delete": true, "featuresets/write": true, "featurestoreentities/delete": false} {
		if got := s.Can(access.Request{PrincipalID: groupID, Action: ml + action, Scope: store}).Allowed; got != want {
			t.Errorf("%s through two blocks: %v, want %v", action, got, want)
		}
	}
}

func TestUnknownRoleGrantsNothing(t *testing.T) {
	const id = "55555555-0000-0000-0000-000000000005"
	live := given(id, rg1)
	action := "Microsoft.Storage/storageAccounts/read"
	expect(t, live.Snapshot(), false, false, rg1, action, "Microsoft.Other/things/read")
	role := &access.Role{ID: strings.ToUpper(id), Name: "late", Permissions: []access.Permission{{Actions: []string{"*"}}}}
	expect(t, live.Apply(access.PutRole{Role: role}), true, false, rg1, action, "Microsoft.Other/things/read")
	if uses := live.Snapshot().RoleUses(id); uses != 1 {
		t.Errorf("%d uses, want 1", uses)
	}
	expect(t, live.Apply(access.DeleteRole{ID: id}), false, false, rg1, action, "Microsoft.Other/things/read")
}
