package machinelearning

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// validateWorkspace checks a workspace of kind Default.
func validateWorkspace(ctx context.Context, change *arm.Change[Workspace]) error {
	p := &change.Next.Properties
	for _, of := range []struct {
		field string
		given bool
	}{
		{"featureStoreSettings", p.FeatureStoreSettings != nil}, {"offlineStore", p.OfflineStore != nil}, {"onlineStore", p.OnlineStore != nil},
		{"materializationIdentity", p.MaterializationIdentity != nil},
	} {
		if of.given {
			return resource.Invalidf("InvalidWorkspace", "properties.%s belongs to workspaces of the kind %s, and this one's kind is %s; leave the field out", of.field, FeatureStoreKind, DefaultKind).At("properties." + of.field)
		}
	}
	if change.Prev == nil {
		p.WorkspaceID = newWorkspaceID()
	} else if err := checkFixed(p, change.Prev.Properties); err != nil {
		return err
	}
	if err := settleAccess(p); err != nil {
		return err
	}
	if err := settleIdentity(change); err != nil {
		return err
	}
	if p.PrimaryUserAssignedIdentity != "" && (change.Prev == nil || workspaceChanged(change.Next, change.Prev)) {
		if err := checkPrimary(ctx, change); err != nil {
			return err
		}
	}
	return checkTargets(ctx, change)
}

// checkFixed refuses changes of what stays as the workspace was created with.
func checkFixed(next *Workspace, prev Workspace) error {
	for _, fixed := range []struct{ field, next, prev string }{
		{"storageAccount", next.StorageAccount, prev.StorageAccount}, {"keyVault", next.KeyVault, prev.KeyVault},
	} {
		if fixed.prev != "" && !strings.EqualFold(fixed.next, fixed.prev) {
			return resource.Invalidf("WorkspacePropertyImmutable", "properties.%s is '%s' and the workspace was created with '%s'; it cannot be changed", fixed.field, fixed.next, fixed.prev).At("properties." + fixed.field)
		}
	}
	if next.HBIWorkspace != prev.HBIWorkspace {
		return resource.Invalidf("WorkspacePropertyImmutable", "properties.hbiWorkspace is %t and the workspace was created with %t; it cannot be changed", next.HBIWorkspace, prev.HBIWorkspace).At("properties.hbiWorkspace")
	}
	return nil
}

// settleAccess says how the workspace and its data are reached. Clients ask for account keys unless they are told
// otherwise; the datastores hold none, whatever was asked for, and the answer says so (MI-20).
func settleAccess(p *Workspace) error {
	switch strings.ToLower(p.SystemDatastoresAuthMode) {
	case "", "identity", "accesskey", "userdelegationsas":
		p.SystemDatastoresAuthMode = "Identity"
	default:
		return resource.Invalidf("InvalidSystemDatastoresAuthMode", "properties.systemDatastoresAuthMode is %q; Identity was expected", p.SystemDatastoresAuthMode).At("properties.systemDatastoresAuthMode")
	}
	switch strings.ToLower(p.PublicNetworkAccess) {
	case "", "enabled":
		p.PublicNetworkAccess = "Enabled"
	case "disabled":
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.publicNetworkAccess: there are no private endpoints through which a workspace without public access would be reached; use Enabled").At("properties.publicNetworkAccess")
	default:
		return resource.Invalidf("InvalidPublicNetworkAccess", "properties.publicNetworkAccess is %q; Enabled was expected", p.PublicNetworkAccess).At("properties.publicNetworkAccess")
	}
	return nil
}

// workspaceChanged tells whether a write changes what is provisioned for the workspace, or who works for it. One whose
// grants could not all be made tries again with every write, as whoever writes.
func workspaceChanged(next, prev *arm.Resource[Workspace]) bool {
	n, p := next.Properties, prev.Properties
	if !workspaceComplete(n) || len(p.MissingGrants) > 0 {
		return true
	}
	for _, pair := range [][2]string{
		{n.ApplicationInsights, p.ApplicationInsights}, {n.ContainerRegistry, p.ContainerRegistry}, {n.PrimaryUserAssignedIdentity, p.PrimaryUserAssignedIdentity},
	} {
		if !strings.EqualFold(pair[0], pair[1]) {
			return true
		}
	}
	return next.Identity.HasSystem() != prev.Identity.HasSystem()
}

// workspaceComplete tells whether a workspace has all that it is created with. The registry is not among it (MI-03).
func workspaceComplete(p Workspace) bool {
	return p.StorageAccount != "" && p.KeyVault != "" && p.ApplicationInsights != ""
}
