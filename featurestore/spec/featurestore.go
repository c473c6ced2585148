package spec

import (
	"strings"

	"github.com/goccy/go-yaml/token"

	"github.com/alvara-ml/alvara/resource"
)

// FeatureStore is the file that creates or updates a feature store. Empty fields were left out.
type FeatureStore struct {
	Name                    string
	Location                string
	DisplayName             string
	Description             string
	Tags                    map[string]string
	ResourceGroup           string
	SparkRuntimeVersion     string       // compute_runtime.spark_runtime_version
	OfflineStore            *StoreTarget // type azure_data_lake_gen2, target a storage container
	OnlineStore             *StoreTarget // type redis with a target, or pebble, which needs none
	MaterializationIdentity *MaterializationIdentity
	Identity                *WorkspaceIdentity //  the store's own identity

	// Resources that are brought along instead of being provisioned; the root where one is not.
	StorageAccount      resource.ID
	KeyVault            resource.ID
	ContainerRegistry   resource.ID
	ApplicationInsights resource.ID

	PublicNetworkAccess string // Enabled or Disabled
}

// StoreTarget is an offline or online store.
type StoreTarget struct {
	Type   string
	Target resource.ID // the root when there is none
}

// MaterializationIdentity is the user-assigned identity that materialization runs as; any field may be empty, not all.
type MaterializationIdentity struct {
	ClientID    string
	PrincipalID string
	ResourceID  resource.ID
}

// WorkspaceIdentity is the identity of the store itself.
type WorkspaceIdentity struct {
	System       bool
	UserAssigned []resource.ID
}

// ParseFeatureStore reads featurestore.yaml; file is its name in messages.
func ParseFeatureStore(file string, data []byte) (*FeatureStore, error) {
	r, root := openDocument(file, data)
	o := root.object("$schema", "name", "location", "display_name", "description", "tags", "resource_group", "compute_runtime",
		"offline_store", "online_store", "materialization_identity", "identity", "storage_account", "key_vault",
		"container_registry", "application_insights", "public_network_access")
	s := &FeatureStore{
		Name:                    o.require("name", "give the store's name").assetName(),
		Location:                o.get("location").text(),
		DisplayName:             o.get("display_name").text(),
		Description:             o.get("description").text(),
		Tags:                    o.get("tags").texts(),
		ResourceGroup:           o.get("resource_group").text(),
		SparkRuntimeVersion:     o.get("compute_runtime").object("spark_runtime_version").get("spark_runtime_version").text(),
		OfflineStore:            o.get("offline_store").offlineStore(),
		OnlineStore:             o.get("online_store").onlineStore(),
		MaterializationIdentity: o.get("materialization_identity").materializationIdentity(),
		Identity:                o.get("identity").workspaceIdentity(),
		StorageAccount:          o.get("storage_account").resourceID("Microsoft.Storage/storageAccounts"),
		KeyVault:                o.get("key_vault").resourceID("Microsoft.KeyVault/vaults"),
		ContainerRegistry:       o.get("container_registry").resourceID("Microsoft.ContainerRegistry/registries"),
		ApplicationInsights:     o.get("application_insights").resourceID("Microsoft.Insights/components"),
		PublicNetworkAccess:     o.get("public_network_access").oneOf("Enabled", "Disabled"),
	}
	o.get("$schema").text()
	if err := r.err(codeInvalidSpec); err != nil {
		return nil, err
	}
	return s, nil
}

const containerType = resource.Type("Microsoft.Storage/storageAccounts/blobServices/containers")

func (v value) offlineStore() *StoreTarget {
	if !v.present() {
		return nil
	}
	o := v.object("type", "target")
	return &StoreTarget{
		Type:   o.require("type", "expected azure_data_lake_gen2").oneOf("azure_data_lake_gen2"),
		Target: o.require("target", "give the resource id of a storage container").resourceID(containerType),
	}
}

func (v value) onlineStore() *StoreTarget {
	if !v.present() {
		return nil
	}
	o := v.object("type", "target")
	store := &StoreTarget{Type: o.require("type", "expected redis or pebble").oneOf("redis", "pebble")}
	switch target := o.get("target"); {
	case store.Type == "redis":
		store.Target = o.require("target", "give the resource id of a Redis cache").resourceID("Microsoft.Cache/Redis")
	case store.Type == "pebble" && target.present():
		target.fault("%s is given; an online store of type pebble is part of the server and has none", target.path)
	}
	return store
}

func (v value) materializationIdentity() *MaterializationIdentity {
	if !v.present() {
		return nil
	}
	o := v.object("client_id", "principal_id", "resource_id")
	m := &MaterializationIdentity{
		ClientID:    o.get("client_id").guid(),
		PrincipalID: o.get("principal_id").guid(),
		ResourceID:  o.get("resource_id").resourceID(identityType),
	}
	if !o.has("client_id") && !o.has("principal_id") && !o.has("resource_id") {
		v.fault("%s names no identity; give resource_id", v.path)
	}
	return m
}

const identityType = resource.Type("Microsoft.ManagedIdentity/userAssignedIdentities")

// workspaceIdentity reads type and user_assigned_identities, the latter as a list of ids, of mappings with resource_id,
// or as a mapping whose keys are ids.
func (v value) workspaceIdentity() *WorkspaceIdentity {
	if !v.present() {
		return nil
	}
	o := v.object("type", "user_assigned_identities")
	kind := o.require("type", "expected system_assigned, user_assigned or system_assigned,user_assigned")
	text := strings.ReplaceAll(kind.text(), " ", "")
	identity := &WorkspaceIdentity{}
	user := false
	switch strings.ToLower(text) {
	case "system_assigned":
		identity.System = true
	case "user_assigned":
		user = true
	case "system_assigned,user_assigned":
		identity.System, user = true, true
	default:
		if isText(kind) {
			kind.fault("%s is %q; expected system_assigned, user_assigned or system_assigned,user_assigned", kind.path, text)
		}
		return identity
	}
	list := o.get("user_assigned_identities")
	if list.isMapping() {
		list.eachField(func(name string, at *token.Position, field value) {
			id, err := typedID(name, identityType)
			if err != nil {
				v.r.fault(at, field.path, "%s: %s", list.path, message(err))
			}
			identity.UserAssigned = append(identity.UserAssigned, id)
		})
	} else {
		for _, item := range list.list() {
			if item.isMapping() {
				item = item.object("resource_id", "client_id", "principal_id").require("resource_id", "give the identity's resource id")
			}
			identity.UserAssigned = append(identity.UserAssigned, item.resourceID(identityType))
		}
	}
	switch {
	case user && len(identity.UserAssigned) == 0 && !o.faulty(list.path):
		list.fault("%s is missing; %s needs at least one identity", list.path, text)
	case !user && len(identity.UserAssigned) > 0:
		list.fault("%s is given, but %s.type is %s", list.path, v.path, text)
	}
	return identity
}
