package arm

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// AssignAction is the permission that whoever gives an identity to a resource needs on that identity (MI-18).
const AssignAction = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"

// UserAssignedIdentities is the type of user-assigned identities.
const UserAssignedIdentities resource.Type = "Microsoft.ManagedIdentity/userAssignedIdentities"

func readIdentity(value any) (*Identity, error) {
	if value == nil {
		return nil, nil
	}
	identity := &Identity{}
	if err := decodeInto("identity", value, identity, false); err != nil {
		return nil, err
	}
	system, user := false, false
	for _, word := range strings.Split(identity.Type, ",") {
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "systemassigned":
			system = true
		case "userassigned":
			user = true
		case "none", "":
		default:
			return nil, resource.Invalidf("InvalidIdentityType", "identity.type is %q; None, SystemAssigned, UserAssigned or 'SystemAssigned, UserAssigned' was expected", identity.Type).At("identity.type")
		}
	}
	entries := make(map[string]*UserAssignedEntry, len(identity.UserAssigned))
	for text, entry := range identity.UserAssigned {
		if entry == nil { // null: not assigned
			continue
		}
		id, err := resource.ParseID(text)
		if err != nil || !id.Type().Is(UserAssignedIdentities) {
			return nil, resource.Invalidf("InvalidIdentityId", "identity.userAssignedIdentities names %q, which is not the id of a user-assigned identity", text).At("identity.userAssignedIdentities")
		}
		entries[id.String()] = &UserAssignedEntry{}
	}
	if user && len(entries) == 0 {
		return nil, resource.Invalidf("InvalidIdentity", "identity.type asks for user-assigned identities and identity.userAssignedIdentities names none").At("identity.userAssignedIdentities")
	}
	if !user && len(entries) > 0 {
		return nil, resource.Invalidf("InvalidIdentity", "identity.userAssignedIdentities names identities and identity.type is %q; use 'UserAssigned' or 'SystemAssigned, UserAssigned'", identity.Type).At("identity.type")
	}
	switch {
	case system && user && strings.Contains(identity.Type, " "): // namespaces differ here, and so do their clients
		identity.Type = "SystemAssigned, UserAssigned"
	case system && user:
		identity.Type = "SystemAssigned,UserAssigned"
	case system:
		identity.Type = "SystemAssigned"
	case user:
		identity.Type = "UserAssigned"
	default:
		identity.Type = "None"
	}
	identity.UserAssigned, identity.PrincipalID, identity.TenantID = entries, "", ""
	if len(entries) == 0 {
		identity.UserAssigned = nil
	}
	return identity, nil
}

// HasSystem tells whether the identity has a system-assigned part.
func (i *Identity) HasSystem() bool { return i != nil && strings.HasPrefix(i.Type, "SystemAssigned") }

// Has tells whether a user-assigned identity is among them.
func (i *Identity) Has(id resource.ID) bool { return i.entry(id) != nil }

// entry finds a user-assigned identity among them; nil when it is not.
func (i *Identity) entry(id resource.ID) *UserAssignedEntry {
	if i == nil {
		return nil
	}
	for text, entry := range i.UserAssigned {
		if strings.EqualFold(text, id.String()) {
			return entry
		}
	}
	return nil
}

// identityRequirements: whoever newly assigns an identity must be allowed to (MI-18). Those that were there stay, unless
// another identity has come into being under the same id.
func (m *Manager) identityRequirements(ctx context.Context, next, prev *Identity) ([]Requirement, error) {
	if next == nil {
		return nil, nil
	}
	var out []Requirement
	for _, text := range slices.Sorted(maps.Keys(next.UserAssigned)) {
		id, err := resource.ParseID(text)
		if err != nil {
			return nil, err
		}
		held := prev.entry(id)
		if held == nil {
			out = append(out, Requirement{Action: AssignAction, Scope: id})
			continue
		}
		now, err := m.UserAssigned(ctx, id)
		if resource.KindOf(err) == resource.Invalid { // deleted since; nothing is assigned anew
			continue
		}
		if err != nil {
			return nil, err
		}
		if now != *held {
			out = append(out, Requirement{Action: AssignAction, Scope: id})
		}
	}
	return out, nil
}

// dropIdentities takes the user-assigned identities out of what a patch is merged into, when the patch sets a type without
// them and says nothing else of them.
func dropIdentities(now, patch map[string]any) {
	given, _ := patch[sameName(patch, "identity")].(map[string]any)
	kind, _ := given[sameName(given, "type")].(string)
	_, named := given[sameName(given, "userAssignedIdentities")]
	if kind == "" || named || strings.Contains(strings.ToLower(kind), "userassigned") {
		return
	}
	if held, ok := now["identity"].(map[string]any); ok {
		delete(held, "userAssignedIdentities")
	}
}

// identities fills in the principals of a resource's identities and gives the ops that make or remove its own one.
func (d *definition[P]) identities(ctx context.Context, call *Call, change *Change[P], prev *stored[P]) ([]store.Op, error) {
	if !d.Identities {
		return nil, nil
	}
	var old *Identity
	if prev != nil {
		old = prev.Identity
	}
	next := change.Next.Identity
	if next == nil && old != nil && call.Method == "PUT" {
		next = old // a PUT that says nothing of identities leaves them alone
		change.Next.Identity = old
	}
	var ops []store.Op
	switch {
	case next.HasSystem() && old.HasSystem():
		next.PrincipalID, next.TenantID = old.PrincipalID, old.TenantID
	case next.HasSystem():
		principal, create, err := call.Manager.Identities.ManagedIdentityOps(call.Target.ID, call.Target.ID.Name())
		if err != nil {
			return nil, err
		}
		next.PrincipalID, next.TenantID = principal.PrincipalID, principal.TenantID
		ops = append(ops, create...)
	case old.HasSystem():
		ops = append(ops, call.Manager.Identities.RemoveOps(old.PrincipalID)...)
	}
	if next == nil {
		return ops, nil
	}
	for text, entry := range next.UserAssigned {
		id, err := resource.ParseID(text)
		if err != nil {
			return nil, err
		}
		found, err := call.Manager.UserAssigned(ctx, id)
		if held := old.entry(id); held != nil && resource.KindOf(err) == resource.Invalid {
			*entry = *held // it was deleted since, and stays named until somebody takes it off
			continue
		}
		if err != nil {
			return nil, err
		}
		*entry = found
	}
	return ops, nil
}

// UserAssigned reads the principal and client ids of a user-assigned identity.
func (m *Manager) UserAssigned(ctx context.Context, id resource.ID) (UserAssignedEntry, error) {
	doc, err := m.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return UserAssignedEntry{}, resource.Invalidf("FailedIdentityOperation", "The user-assigned identity '%s' does not exist; create it first, for example with: alvara identity create -g %s -n %s", id, id.ResourceGroup(), id.Name()).At("identity.userAssignedIdentities")
	}
	if err != nil {
		return UserAssignedEntry{}, err
	}
	var identity struct {
		Properties UserAssignedEntry `json:"properties"`
	}
	err = json.Unmarshal(doc.Body, &identity)
	return identity.Properties, err
}
