package access_test

import (
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

func TestSmoke(t *testing.T) {
	l := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	rg := resource.MustParseID("/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg1")
	l.Apply(access.PutAssignment{Assignment: access.Assignment{ID: rg.Extension("Microsoft.Authorization/roleAssignments", "a1"), RoleID: access.RoleOwner, PrincipalID: "P", Scope: rg}})
	s := l.Snapshot()
	acc := rg.Child("Microsoft.Storage/storageAccounts", "st")
	if d := s.Can(access.Request{PrincipalID: "p", Action: "Microsoft.Storage/storageAccounts/read", Scope: acc}); !d.Allowed || d.Role.Name != "Owner" {
		t.Fatal(d)
	}
	if s.Can(access.Request{PrincipalID: "p", Action: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read", Data: true, Scope: acc}).Allowed {
		t.Fatal("data")
	}
	for _, r := range access.BuiltIn() {
		if err := access.ValidateRole(*r); err != nil {
			t.Error(err)
		}
	}
	t.Log(len(s.Roles()), len(s.Operations()), s.RoleByName("managedidentityoperator").ID, s.SmallestRoles("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read", true)[0].Name)
}
