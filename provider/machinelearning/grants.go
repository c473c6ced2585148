package machinelearning

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
)

// role is a built-in role that the namespace gives to managed identities, with an operation by which one sees whether
// somebody holds it, through whatever assignment.
type role struct {
	id, name string
	action   func(scope resource.ID) string
	data     bool
}

// writeOf is the write action of the scope's own type.
func writeOf(scope resource.ID) string { return string(scope.Type()) + "/write" }

func always(action string) func(resource.ID) string {
	return func(resource.ID) string { return action }
}

var (
	contributor     = role{"b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", writeOf, false}
	dataScientist   = role{"f6c7c914-8db3-469d-8ca1-694a8f32e121", "AzureML Data Scientist", always(string(jobType) + "/write"), false}
	blobReader      = role{"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Storage Blob Data Reader", always(string(containerType) + "/blobs/read"), true}
	blobContributor = role{"ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor", always(string(containerType) + "/blobs/write"), true}
	acrPull         = role{"7f951dda-4ed3-4680-a7ca-43fe172d538d", "AcrPull", always(string(registryType) + "/pull/read"), false}
	acrPush         = role{"8311e382-0749-4cb8-b61a-304f252e45ec", "AcrPush", always(string(registryType) + "/push/write"), false}
	acrTasks        = role{"fb382eab-e894-4461-af04-94435c366c3f", "Container Registry Tasks Contributor", always(string(registryType) + "/scheduleRun/action"), false}
	identityUser    = role{"f1a07417-d97a-45cb-824c-7a7467783830", "Managed Identity Operator", always(arm.AssignAction), false}
	vaultAdmin      = role{"00482a5a-887f-4fb3-b363-3b7fe8e74483", "Key Vault Administrator", always(string(vaultType) + "/secrets/getSecret/action"), true}
)

// grant is a role on a scope, for an identity that works there.
type grant struct {
	role  role
	scope resource.ID
}

func (g grant) String() string { return fmt.Sprintf("%s on %s", g.role.name, g.scope) }

// cure is the command that makes the grant.
func (g grant) cure(principal string) string {
	return fmt.Sprintf("alvara role assignment create --assignee %s --role %q --scope %s", principal, g.role.name, g.scope)
}

// heldBy tells whether a principal may do what the grant is for.
func (g grant) heldBy(call *arm.Call, principal string) bool {
	who, known := call.Manager.Identities.Lookup(principal)
	return known && call.Manager.Guard.Allowed(guard.Request{Who: who, Action: g.role.action(g.scope), Data: g.role.data, Scopes: []resource.ID{g.scope}})
}

// giveRoles makes the grants, as the caller. Where the caller may not assign a role, the result names what is missing;
// what needs it fails with that reason until somebody grants it (FS-08).
func giveRoles(ctx context.Context, call *arm.Call, principal string, grants []grant) (missing []string, err error) {
	for _, g := range grants {
		name := uuid.NewSHA1(uuid.NameSpaceURL, []byte(g.scope.Key()+"|"+g.role.id+"|"+principal)).String()
		_, err := call.Manager.Do(ctx, call, call.Who, "PUT", g.scope.Extension(string(assignmentType), name).String(), map[string]any{
			"properties": map[string]any{"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + g.role.id, "principalId": principal, "principalType": "ServicePrincipal"},
		})
		if e, ok := resource.AsError(err); ok && e.Code == "RoleAssignmentExists" {
			continue
		}
		if resource.KindOf(err) == resource.Forbidden {
			missing = append(missing, g.String())
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return missing, nil
}
