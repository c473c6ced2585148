package access

import (
	_ "embed" // the built-in roles are a file beside the code
	"encoding/json"

	"github.com/alvara-ml/alvara/resource"
)

//go:embed roles.json
var rolesFile []byte

// The built-in roles that the product itself speaks of, by id.
const (
	RoleOwner                      = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	RoleContributor                = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	RoleReader                     = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	RoleUserAccessAdministrator    = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
	RoleManagedIdentityOperator    = "f1a07417-d97a-45cb-824c-7a7467783830"
	RoleManagedIdentityContributor = "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"
	RoleMLDataScientist            = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
	RoleStorageBlobDataOwner       = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
	RoleStorageBlobDataContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
	RoleStorageBlobDataReader      = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
	RoleStorageBlobDelegator       = "db58b8e5-c6ad-4a2a-8342-4190687cbf4a"
	RoleStorageAccountContributor  = "17d1049b-9a84-46fb-8f53-869881c3d3ab"
	RoleAcrPull                    = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
	RoleAcrPush                    = "8311e382-0749-4cb8-b61a-304f252e45ec"
)

// BuiltIn gives the built-in roles in the order of their names, with the ids that they have in Azure. All are assignable
// at the root and everywhere below. It reads them anew each time. Roles whose permissions hang on a condition are left
// out, because a role definition holds no condition here: without it such a role would grant more than its name says.
func BuiltIn() []*Role {
	var roles []*Role
	if err := json.Unmarshal(rolesFile, &roles); err != nil {
		panic("access: the embedded roles.json is malformed: " + err.Error())
	}
	for _, role := range roles {
		role.BuiltIn = true
		role.AssignableScopes = []resource.ID{resource.Root}
	}
	return roles
}
