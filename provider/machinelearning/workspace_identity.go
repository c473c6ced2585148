package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// settleIdentity applies the rules for a workspace's identities: system-assigned, user-assigned or both. A system-assigned
// one may get user-assigned ones beside it and is never taken away, nor are all user-assigned ones. An update names all
// user-assigned ones that the workspace is to have: those that it omits are removed.
func settleIdentity(change *arm.Change[Workspace]) error {
	r := change.Next
	if change.Prev == nil {
		if r.Identity == nil {
			r.Identity = &arm.Identity{Type: "SystemAssigned"}
		}
	} else if r.Identity == nil {
		r.Identity = change.Prev.Identity
	}
	if change.Prev != nil {
		dropOmitted(change.Call, r.Identity)
	}
	system, users := r.Identity.HasSystem(), len(r.Identity.UserAssigned) > 0
	if !system && !users {
		return resource.Invalidf("InvalidIdentity", "identity.type is %q; a workspace works as an identity of its own: SystemAssigned, UserAssigned or 'SystemAssigned,UserAssigned' was expected", r.Identity.Type).At("identity.type")
	}
	if change.Prev != nil {
		was := change.Prev.Identity
		switch {
		case was.HasSystem() && !system:
			return resource.Invalidf("IdentityChangeNotSupported", "identity.type is %q and the workspace has a system-assigned identity, which cannot be taken away; use 'SystemAssigned,UserAssigned'", r.Identity.Type).At("identity.type")
		case was != nil && len(was.UserAssigned) > 0 && !users:
			return resource.Invalidf("IdentityChangeNotSupported", "identity.type is %q and the workspace has user-assigned identities; it cannot go back to a system-assigned one alone: keep at least one user-assigned identity", r.Identity.Type).At("identity.type")
		}
	}
	return settlePrimary(r)
}

// settlePrimary makes sure that the primary identity is one that the workspace carries. Without a system-assigned
// identity there must be one; a single user-assigned one is it.
func settlePrimary(r *arm.Resource[Workspace]) error {
	const field = "properties.primaryUserAssignedIdentity"
	p := &r.Properties
	if p.PrimaryUserAssignedIdentity == "" {
		if r.Identity.HasSystem() {
			return nil
		}
		if len(r.Identity.UserAssigned) > 1 {
			return resource.Invalidf("PrimaryUserAssignedIdentityRequired", "%s is missing and the workspace has several user-assigned identities and no system-assigned one; name the one that it works as", field).At(field)
		}
		for text := range r.Identity.UserAssigned {
			p.PrimaryUserAssignedIdentity = text
		}
		return nil
	}
	id, err := resource.ParseID(p.PrimaryUserAssignedIdentity)
	if err != nil || !id.Type().Is(arm.UserAssignedIdentities) {
		return resource.Invalidf("InvalidResourceId", "%s is %q; the id of a %s was expected", field, p.PrimaryUserAssignedIdentity, arm.UserAssignedIdentities).At(field)
	}
	if !r.Identity.Has(id) {
		return resource.Invalidf("InvalidIdentity", "%s names '%s', which is not among identity.userAssignedIdentities; add it there", field, id).At(field)
	}
	p.PrimaryUserAssignedIdentity = id.String()
	return nil
}

// dropOmitted removes the user-assigned identities that an update which names some does not name. A PUT has dropped them
// already; a merge patch would keep them.
func dropOmitted(call *arm.Call, have *arm.Identity) {
	var sent struct {
		Identity *struct {
			UserAssigned map[string]json.RawMessage `json:"userAssignedIdentities"`
		} `json:"identity"`
	}
	if call.Method != "PATCH" || json.Unmarshal(call.Body, &sent) != nil || sent.Identity == nil || sent.Identity.UserAssigned == nil {
		return
	}
	for text := range have.UserAssigned {
		named := false
		for other := range sent.Identity.UserAssigned {
			named = named || strings.EqualFold(text, other)
		}
		if !named {
			delete(have.UserAssigned, text)
		}
	}
}

// principalOf is the object id of the identity that a workspace works as: the primary user-assigned one, else the
// system-assigned one.
func principalOf(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (string, error) {
	if r.Properties.PrimaryUserAssignedIdentity == "" {
		if r.Identity == nil {
			return "", nil
		}
		return r.Identity.PrincipalID, nil
	}
	id, err := resource.ParseID(r.Properties.PrimaryUserAssignedIdentity)
	if err != nil {
		return "", err
	}
	who, err := call.Manager.UserAssigned(ctx, id)
	return who.PrincipalID, err
}

// checkPrimary refuses a primary user-assigned identity until everything is brought along and the identity holds its
// roles there. The one refusal lists all that is missing, each with what cures it (MI-15).
func checkPrimary(ctx context.Context, change *arm.Change[Workspace]) error {
	p := &change.Next.Properties
	who, err := principalOf(ctx, change.Call, change.Next)
	if err != nil {
		return err
	}
	var missing []*resource.Error
	var grants []grant
	for _, brought := range []struct{ field, flag, text, make string }{
		{"storageAccount", "--storage-account", p.StorageAccount, "storage account create -n"}, {"keyVault", "--keyvault", p.KeyVault, "keyvault create -n"},
		{"applicationInsights", "--application-insights", p.ApplicationInsights, "monitor app-insights component create --app"},
		{"containerRegistry", "--container-registry", p.ContainerRegistry, "acr create -n"},
	} {
		field := "properties." + brought.field
		id, err := resource.ParseID(brought.text)
		if err != nil || brought.text == "" {
			missing = append(missing, resource.Invalidf("ResourceNotBrought", "%s is not given; create one and name it with %s: alvara %s NAME -g %s", field, brought.flag, brought.make, change.Next.ID.ResourceGroup()).At(field))
			continue
		}
		exists, err := change.Manager.Exists(ctx, id)
		if err != nil {
			return err
		}
		if !exists {
			missing = append(missing, resource.Invalidf("LinkedResourceNotFound", "%s names '%s', which does not exist", field, id).At(field))
			continue
		}
		some, err := grantsOn(ctx, change.Call, id)
		if err != nil {
			return err
		}
		grants = append(grants, some...)
	}
	for _, g := range grants {
		if !g.heldBy(change.Call, who) {
			missing = append(missing, resource.Invalidf("RoleMissing", "the identity does not hold %s; grant it with: %s", g, g.cure(who)).At("properties.primaryUserAssignedIdentity"))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var words []string
	for i, m := range missing {
		words = append(words, fmt.Sprintf("(%d) %s", i+1, m.Message))
	}
	refusal := resource.Invalidf("PrimaryUserAssignedIdentityIncomplete", "A workspace that works as the user-assigned identity '%s' brings everything along, and the identity holds its roles there. Missing are: %s",
		p.PrimaryUserAssignedIdentity, strings.Join(words, "; ")).At("properties.primaryUserAssignedIdentity")
	refusal.Details = missing
	return refusal
}

// grantsOn are the roles that a workspace's identity needs on a resource that the workspace works with. Vaults that do
// not decide by role need no role for their secrets.
func grantsOn(ctx context.Context, call *arm.Call, id resource.ID) ([]grant, error) {
	out := []grant{{contributor, id}}
	switch {
	case id.Type().Is(storageAccountType):
		out = append(out, grant{blobContributor, id})
	case id.Type().Is(vaultType):
		doc, err := call.Manager.Store.Get(ctx, id.Key())
		if err != nil {
			return nil, err
		}
		var vault struct {
			Properties struct {
				ByRole bool `json:"enableRbacAuthorization"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(doc.Body, &vault); err != nil {
			return nil, err
		}
		if vault.Properties.ByRole {
			out = append(out, grant{vaultAdmin, id})
		}
	}
	return out, nil
}
