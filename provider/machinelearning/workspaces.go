package machinelearning

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// The kinds of workspaces. Those in which one trains and serves are of the kind Default.
const (
	DefaultKind      = "Default"
	FeatureStoreKind = "FeatureStore"
)

// Workspace is the properties of a workspace.
type Workspace struct {
	FriendlyName                string                `json:"friendlyName,omitempty"`
	Description                 string                `json:"description,omitempty"`
	StorageAccount              string                `json:"storageAccount,omitempty"`
	KeyVault                    string                `json:"keyVault,omitempty"`
	ApplicationInsights         string                `json:"applicationInsights,omitempty"`
	ContainerRegistry           string                `json:"containerRegistry,omitempty"`
	PrimaryUserAssignedIdentity string                `json:"primaryUserAssignedIdentity,omitempty"`
	PublicNetworkAccess         string                `json:"publicNetworkAccess,omitempty"`
	HBIWorkspace                bool                  `json:"hbiWorkspace"`
	V1LegacyMode                bool                  `json:"v1LegacyMode"`
	SystemDatastoresAuthMode    string                `json:"systemDatastoresAuthMode,omitempty"`
	ImageBuildCompute           string                `json:"imageBuildCompute,omitempty"`
	Encryption                  *Encryption           `json:"encryption,omitempty"`
	ManagedNetwork              *ManagedNetwork       `json:"managedNetwork,omitempty"`
	FeatureStoreSettings        *FeatureStoreSettings `json:"featureStoreSettings,omitempty"`
	WorkspaceID                 string                `json:"workspaceId,omitempty"`
	TenantID                    string                `json:"tenantId,omitempty"`
	DiscoveryURL                string                `json:"discoveryUrl,omitempty"`
	StorageHNSEnabled           bool                  `json:"storageHnsEnabled"`

	// What the original keeps in connections, here in plain sight.
	OfflineStore            *StoreTarget             `json:"offlineStore,omitempty"`
	OnlineStore             *StoreTarget             `json:"onlineStore,omitempty"`
	MaterializationIdentity *MaterializationIdentity `json:"materializationIdentity,omitempty"`
	// MissingGrants are the roles that the materialization identity, or the workspace's own, still needs and that the creator
	// could not give.
	MissingGrants []string `json:"missingGrants,omitempty"`
}

// FeatureStoreSettings are the original's settings of a feature store.
type FeatureStoreSettings struct {
	ComputeRuntime             *ComputeRuntime `json:"computeRuntime,omitempty"`
	OfflineStoreConnectionName string          `json:"offlineStoreConnectionName,omitempty"`
	OnlineStoreConnectionName  string          `json:"onlineStoreConnectionName,omitempty"`
}

// ComputeRuntime names the Spark version of the original's materialization jobs.
type ComputeRuntime struct {
	SparkRuntimeVersion string `json:"sparkRuntimeVersion,omitempty"`
}

// StoreTarget is where feature values are kept: for offline stores Target is the id of a storage container.
type StoreTarget struct {
	Type   string `json:"type,omitempty"`
	Target string `json:"target,omitempty"`
}

// MaterializationIdentity is the user-assigned identity that materialization jobs run as (FS-08).
type MaterializationIdentity struct {
	ResourceID  string `json:"resourceId"`
	ClientID    string `json:"clientId,omitempty"`
	PrincipalID string `json:"principalId,omitempty"`
}

// Encryption is asked for with customer-managed keys, which are not offered yet.
type Encryption struct {
	Status string `json:"status"`
}

// ManagedNetwork is asked for where a workspace is to have a network of its own, which is not offered.
type ManagedNetwork struct {
	IsolationMode string `json:"isolationMode"`
}

// Workspaces declares workspaces. A feature store has permissions of its own, workspaces/featurestores/… (FS-09).
func (d Deps) Workspaces() arm.Type {
	return arm.Define(arm.Spec[Workspace]{
		Type: workspaceType, Tracked: true, Identities: true, Created: 200, APIVersions: apiVersions,
		Name: regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,32}$`), NameRule: "1 to 33 letters, digits, '_' or '-', beginning with a letter or digit",
		Permission: workspacePermission, Kinds: []string{FeatureStoreKind},
		Linked: func(_ context.Context, change *arm.Change[Workspace]) ([]arm.Requirement, error) {
			if isStore(change.Next, change.Prev) {
				return linkedOfStore(change)
			}
			return linkedOfWorkspace(change)
		},
		Validate: validate,
		Provision: func(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) ([]store.Op, error) {
			if isStore(r, nil) {
				return provisionStore(ctx, call, r)
			}
			return provisionWorkspace(ctx, call, r)
		},
		NeedsProvision: func(change *arm.Change[Workspace]) bool {
			switch {
			case change.Prev == nil:
				return true
			case isStore(change.Next, change.Prev):
				return !complete(change.Next.Properties) || storeChanged(change.Next.Properties, change.Prev.Properties)
			}
			return workspaceChanged(change.Next, change.Prev)
		},
		Listed: func(call *arm.Call) (func(*arm.Resource[Workspace]) bool, error) {
			kind := call.QueryValue("kind")
			return func(r *arm.Resource[Workspace]) bool { return kind == "" || strings.EqualFold(kind, r.Kind) }, nil
		},
		References: referencesOfWorkspace,
		Along:      alongWithWorkspace,
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Workspace]) {
			r.Properties.DiscoveryURL = d.DiscoveryURL
		},
		Actions: []arm.Action[Workspace]{
			{Name: "listStorageAccountKeys", Run: refuseKeys}, {Name: "listKeys", Run: refuseKeys},
			{Name: "resyncKeys", Permission: string(workspaceType) + "/resynckeys/action", Run: resyncKeys},
			{Name: "diagnose", Permission: string(workspaceType) + "/diagnose/read", Run: d.diagnose},
			{Name: "doctor", Permission: string(workspaceType) + "/diagnose/read", Run: d.doctor},
		},
	})
}

// isStore tells feature stores from other workspaces; the kind of one that is there already counts.
func isStore(next, prev *arm.Resource[Workspace]) bool {
	if prev != nil {
		next = prev
	}
	return strings.EqualFold(next.Kind, FeatureStoreKind)
}

func workspacePermission(verb arm.Verb, next, prev *arm.Resource[Workspace]) string {
	kind := ""
	if next != nil {
		kind = next.Kind
	}
	if prev != nil {
		kind = prev.Kind
	}
	if strings.EqualFold(kind, FeatureStoreKind) {
		return string(workspaceType) + "/featurestores/" + string(verb)
	}
	return string(workspaceType) + "/" + string(verb)
}

func validate(ctx context.Context, change *arm.Change[Workspace]) error {
	p := &change.Next.Properties
	if change.Prev != nil {
		if change.Next.Kind == "" {
			change.Next.Kind = change.Prev.Kind
		}
		if !strings.EqualFold(change.Next.Kind, change.Prev.Kind) {
			return resource.Invalidf("WorkspaceKindImmutable", "kind is %q and the workspace was created as %q; it cannot be changed", change.Next.Kind, change.Prev.Kind).At("kind")
		}
		if was := change.Prev.Location; was != "" && change.Next.Location != was {
			return resource.Conflictf("InvalidResourceLocation", "The workspace '%s' is in the location '%s' and stays there; location is '%s'. Leave the field out, or make a workspace of another name.", change.Next.Name, was, change.Next.Location).At("location")
		}
		keep(p, change.Prev.Properties)
	} else {
		p.WorkspaceID, p.MissingGrants = "", nil
	}
	p.DiscoveryURL, p.TenantID = "", change.Manager.Tenant
	if err := refuseNotOffered(p); err != nil {
		return err
	}
	switch {
	case strings.EqualFold(change.Next.Kind, FeatureStoreKind):
		change.Next.Kind = FeatureStoreKind
		return validateStore(ctx, change)
	case change.Next.Kind == "" || strings.EqualFold(change.Next.Kind, DefaultKind):
		change.Next.Kind = DefaultKind
		return validateWorkspace(ctx, change)
	}
	return resource.Errorf(resource.Unsupported, "WorkspaceKindNotSupported", "kind is %q; this version offers workspaces of the kinds %s and %s", change.Next.Kind, DefaultKind, FeatureStoreKind).At("kind")
}

// refuseNotOffered refuses by name what would be promised and not kept.
func refuseNotOffered(p *Workspace) error {
	refusal := func(field, why string) error {
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s: %s", field, why).At(field)
	}
	switch {
	case p.Encryption != nil && !strings.EqualFold(p.Encryption.Status, "Disabled"):
		return refusal("properties.encryption", "customer-managed keys are not offered yet, so that nothing would be encrypted with one; leave the field out (on the command line --cmk-keyvault, --resource-cmk-uri and --user-assigned-identity-for-cmk-encryption)")
	case p.ManagedNetwork != nil && !strings.EqualFold(p.ManagedNetwork.IsolationMode, "Disabled"):
		return refusal("properties.managedNetwork", "workspaces have no networks of their own here; leave the field out, or set isolationMode to Disabled")
	case p.ImageBuildCompute != "":
		return refusal("properties.imageBuildCompute", "images are built as tasks of the workspace's registry, on no compute; leave the field out")
	}
	p.Encryption, p.ManagedNetwork = nil, nil
	return nil
}

func validateStore(ctx context.Context, change *arm.Change[Workspace]) error {
	p := &change.Next.Properties
	if m := p.MaterializationIdentity; m != nil { // who it is, is not the caller's to say
		p.MaterializationIdentity = identified(m, change.Prev)
	}
	if err := checkTargets(ctx, change); err != nil {
		return err
	}
	if change.Prev != nil && storeChanged(*p, change.Prev.Properties) {
		if set, err := materializing(ctx, change); err != nil {
			return err
		} else if set != "" {
			return resource.Invalidf("UserError", "The offline store or the materialization identity cannot be changed while the feature set %s has materialization enabled; disable it there first.", set).At("properties.offlineStore")
		}
	}
	if p.PublicNetworkAccess == "" {
		p.PublicNetworkAccess = "Enabled"
	}
	if p.FeatureStoreSettings == nil {
		p.FeatureStoreSettings = &FeatureStoreSettings{}
	}
	if p.FeatureStoreSettings.ComputeRuntime == nil {
		p.FeatureStoreSettings.ComputeRuntime = &ComputeRuntime{SparkRuntimeVersion: "3.4"}
	}
	if change.Next.Identity == nil && change.Prev == nil {
		change.Next.Identity = &arm.Identity{Type: "SystemAssigned"}
	}
	return nil
}

// identified is the identity that a request names, with the ids that are known of it; without them the store is provisioned
// anew, which looks them up.
func identified(m *MaterializationIdentity, prev *arm.Resource[Workspace]) *MaterializationIdentity {
	if prev != nil && prev.Properties.MaterializationIdentity != nil && strings.EqualFold(m.ResourceID, prev.Properties.MaterializationIdentity.ResourceID) {
		copied := *prev.Properties.MaterializationIdentity
		return &copied
	}
	return &MaterializationIdentity{ResourceID: m.ResourceID}
}

// keep carries over what an update does not say.
func keep(next *Workspace, prev Workspace) {
	for _, pair := range [][2]*string{
		{&next.StorageAccount, &prev.StorageAccount}, {&next.KeyVault, &prev.KeyVault}, {&next.ApplicationInsights, &prev.ApplicationInsights},
		{&next.ContainerRegistry, &prev.ContainerRegistry}, {&next.PrimaryUserAssignedIdentity, &prev.PrimaryUserAssignedIdentity},
	} {
		if *pair[0] == "" {
			*pair[0] = *pair[1]
		}
	}
	if next.OfflineStore == nil {
		next.OfflineStore = prev.OfflineStore
	}
	if next.OnlineStore == nil {
		next.OnlineStore = prev.OnlineStore
	}
	if next.MaterializationIdentity == nil {
		next.MaterializationIdentity = prev.MaterializationIdentity
	}
	if next.FeatureStoreSettings == nil {
		next.FeatureStoreSettings = prev.FeatureStoreSettings
	}
	next.WorkspaceID, next.MissingGrants = prev.WorkspaceID, prev.MissingGrants
}

// checkTargets makes sure that what was brought along is of the right type and exists.
func checkTargets(ctx context.Context, change *arm.Change[Workspace]) error {
	p := &change.Next.Properties
	checks := []struct {
		field string
		value *string
		t     resource.Type
	}{
		{"properties.storageAccount", &p.StorageAccount, storageAccountType},
		{"properties.keyVault", &p.KeyVault, vaultType},
		{"properties.applicationInsights", &p.ApplicationInsights, insightsType},
		{"properties.containerRegistry", &p.ContainerRegistry, registryType},
		{"properties.primaryUserAssignedIdentity", &p.PrimaryUserAssignedIdentity, arm.UserAssignedIdentities},
	}
	if p.OfflineStore != nil {
		checks = append(checks, struct {
			field string
			value *string
			t     resource.Type
		}{"properties.offlineStore.target", &p.OfflineStore.Target, containerType})
	}
	if p.MaterializationIdentity != nil {
		checks = append(checks, struct {
			field string
			value *string
			t     resource.Type
		}{"properties.materializationIdentity.resourceId", &p.MaterializationIdentity.ResourceID, arm.UserAssignedIdentities})
	}
	for _, check := range checks {
		if *check.value == "" {
			continue
		}
		id, err := resource.ParseID(*check.value)
		if err != nil || !id.Type().Is(check.t) {
			return resource.Invalidf("InvalidResourceId", "%s is %q; the id of a %s was expected", check.field, *check.value, check.t).At(check.field)
		}
		exists, err := change.Manager.Exists(ctx, id)
		if err != nil {
			return err
		}
		if !exists {
			return resource.Invalidf("LinkedResourceNotFound", "%s names '%s', which does not exist; create it first, or leave the field out and it is provisioned.", check.field, id).At(check.field)
		}
		*check.value = id.String()
	}
	if p.OnlineStore != nil && p.OnlineStore.Type != "" && !strings.EqualFold(p.OnlineStore.Type, "pebble") {
		return resource.Errorf(resource.Unsupported, "OnlineStoreNotSupported", "properties.onlineStore.type is %q; this version offers pebble, the embedded one", p.OnlineStore.Type).At("properties.onlineStore.type")
	}
	return nil
}

func storeChanged(next, prev Workspace) bool {
	target := func(s *StoreTarget) string {
		if s == nil {
			return ""
		}
		return strings.ToLower(s.Target)
	}
	who := func(m *MaterializationIdentity) string {
		if m == nil {
			return ""
		}
		return strings.ToLower(m.ResourceID)
	}
	return target(next.OfflineStore) != target(prev.OfflineStore) || who(next.MaterializationIdentity) != who(prev.MaterializationIdentity)
}

// materializing names a feature set of the store that has materialization enabled, or "".
func materializing(ctx context.Context, change *arm.Change[Workspace]) (string, error) {
	docs, err := change.Manager.Below(ctx, change.Next.ID, featureSetVersion)
	if err != nil {
		return "", err
	}
	for _, doc := range docs {
		var r arm.Resource[FeatureSetVersion]
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			return "", err
		}
		if offline, online := r.Properties.Materialized(); offline || online {
			return r.ID.Parent().Name() + ":" + r.Name, nil
		}
	}
	return "", nil
}

func referencesOfWorkspace(_ *arm.Call, r *arm.Resource[Workspace]) []resource.ID {
	p := r.Properties
	texts := []string{p.StorageAccount, p.KeyVault, p.ApplicationInsights, p.ContainerRegistry, p.PrimaryUserAssignedIdentity}
	if p.OfflineStore != nil {
		texts = append(texts, p.OfflineStore.Target)
	}
	if p.MaterializationIdentity != nil {
		texts = append(texts, p.MaterializationIdentity.ResourceID)
	}
	var out []resource.ID
	for _, text := range texts {
		if id, err := resource.ParseID(text); err == nil && text != "" {
			out = append(out, id)
		}
	}
	return out
}

// newWorkspaceID makes the id by which a store's own container is called.
func newWorkspaceID() string { return uuid.NewString() }
