package cli

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// storeBody is the workspace that a feature store is on the wire.
func (c *Call) storeBody(given *spec.FeatureStore) (*document.Object, error) {
	settings := document.New()
	if given.SparkRuntimeVersion != "" {
		settings.Set("computeRuntime", document.New("sparkRuntimeVersion", given.SparkRuntimeVersion))
	}
	properties := document.New()
	if given.OfflineStore != nil {
		properties.Set("offlineStore", document.New("type", given.OfflineStore.Type).SetIf("target", idText(given.OfflineStore.Target)))
	}
	if given.OnlineStore != nil {
		properties.Set("onlineStore", document.New("type", given.OnlineStore.Type).SetIf("target", idText(given.OnlineStore.Target)))
	}
	properties.SetIf("friendlyName", given.DisplayName).SetIf("description", given.Description).
		SetIf("storageAccount", idText(given.StorageAccount)).SetIf("keyVault", idText(given.KeyVault)).
		SetIf("applicationInsights", idText(given.ApplicationInsights)).SetIf("containerRegistry", idText(given.ContainerRegistry)).
		SetIf("publicNetworkAccess", given.PublicNetworkAccess).SetIf("featureStoreSettings", settings)
	identity := document.New("type", "SystemAssigned")
	users := document.New()
	if given.Identity != nil {
		for _, id := range given.Identity.UserAssigned {
			users.Set(id.String(), document.New())
		}
	}
	if given.MaterializationIdentity != nil {
		id, err := c.identityID(given.MaterializationIdentity)
		if err != nil {
			return nil, err
		}
		users.Set(id, document.New())
		properties.Set("materializationIdentity", document.New("resourceId", id))
	}
	if users.Len() > 0 {
		identity.Set("type", "SystemAssigned,UserAssigned").Set("userAssignedIdentities", users)
	}
	return document.New("kind", "FeatureStore", "identity", identity, "properties", properties).SetIf("location", given.Location).
		SetIf("tags", tagsDocument(given.Tags)), nil
}

// identityID gives an identity's resource id; where only its client or principal id is known it is looked up.
func (c *Call) identityID(given *spec.MaterializationIdentity) (string, error) {
	if !given.ResourceID.IsRoot() {
		return given.ResourceID.String(), nil
	}
	scope, err := c.scopeOf("")
	if err != nil {
		return "", err
	}
	found, err := c.armList(scope+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities", identityAPI, nil)
	if err != nil {
		return "", err
	}
	for _, identity := range found {
		p := identity.Object("properties")
		if (given.ClientID != "" && strings.EqualFold(p.Text("clientId"), given.ClientID)) ||
			(given.PrincipalID != "" && strings.EqualFold(p.Text("principalId"), given.PrincipalID)) {
			return identity.Text("id"), nil
		}
	}
	return "", &notFound{"no user-assigned identity with the materialization identity's client id or principal id is visible in the subscription; name it by its resource id"}
}

// storeShape is a feature store as az prints it.
func storeShape(workspace *document.Object) *document.Object {
	p := workspace.Object("properties")
	out := document.New("name", workspace.Get("name")).
		Set("id", workspace.Get("id")).Set("location", workspace.Get("location")).Set("resource_group", groupOf(workspace.Text("id"))).
		Set("display_name", p.Get("friendlyName")).Set("description", p.Get("description")).Set("tags", workspace.Get("tags")).
		Set("provisioning_state", p.Get("provisioningState"))
	settings := p.Object("featureStoreSettings")
	if runtime := settings.Object("computeRuntime"); runtime != nil {
		out.Set("compute_runtime", document.New("spark_runtime_version", runtime.Get("sparkRuntimeVersion")))
	}
	for _, kind := range []string{"offline", "online"} {
		if given := p.Object(kind + "Store"); given != nil {
			out.Set(kind+"_store", document.New("type", given.Get("type"), "target", given.Get("target")))
		}
	}
	if identity := materializationIdentityOf(workspace); identity != nil {
		out.Set("materialization_identity", identity)
	}
	if identity := workspace.Object("identity"); identity != nil {
		shown := document.New("type", identity.Get("type"), "principal_id", identity.Get("principalId"), "tenant_id", identity.Get("tenantId"))
		users := []any{}
		for _, id := range identity.Object("userAssignedIdentities").Keys() {
			user := identity.Object("userAssignedIdentities", id)
			users = append(users, document.New("resource_id", id, "client_id", user.Get("clientId"), "principal_id", user.Get("principalId")))
		}
		out.Set("identity", shown.SetIf("user_assigned_identities", users))
	}
	return out.SetIf("storage_account", p.Text("storageAccount")).SetIf("key_vault", p.Text("keyVault")).
		SetIf("application_insights", p.Text("applicationInsights")).SetIf("container_registry", p.Text("containerRegistry")).
		SetIf("missing_grants", p.List("missingGrants")).SetIf("workspace_id", p.Text("workspaceId")).SetIf("discovery_url", p.Text("discoveryUrl"))
}

// materializationIdentityOf finds the identity that materialization runs as: the one that the store names, else its
// first user-assigned one.
func materializationIdentityOf(workspace *document.Object) *document.Object {
	shape := func(id any, ids *document.Object) *document.Object {
		return document.New("resource_id", id, "client_id", ids.Get("clientId"), "principal_id", ids.Get("principalId"))
	}
	if named := workspace.Object("properties", "materializationIdentity"); named != nil {
		return shape(named.Get("resourceId"), named)
	}
	users := workspace.Object("identity", "userAssignedIdentities")
	for _, id := range users.Keys() {
		return shape(id, users.Object(id))
	}
	return nil
}

// storeDocument adds what the workspace only refers to: the targets behind its connections, and the ids of its
// materialization identity, as far as the caller may read them.
func (c *Call) storeDocument(workspace *document.Object) *document.Object {
	if workspace == nil {
		return nil
	}
	out := storeShape(workspace)
	for _, grant := range workspace.List("properties", "missingGrants") {
		c.Warn("the materialization identity still needs %v; jobs fail until somebody grants it", grant)
	}
	settings := workspace.Object("properties", "featureStoreSettings")
	for _, kind := range []string{"offline", "online"} {
		name := settings.Text(kind + "StoreConnectionName")
		if name == "" || out.Has(kind+"_store") {
			continue
		}
		connection, err := c.arm(http.MethodGet, workspace.Text("id")+"/connections/"+segment(name), machineLearnAPI, nil)
		if err != nil {
			continue
		}
		p := connection.Object("properties")
		target := p.Text("metadata", "ResourceId")
		if target == "" {
			target = p.Text("target")
		}
		out.Set(kind+"_store", document.New("type", strings.ToLower(p.Text("category")), "target", target))
	}
	if identity := out.Object("materialization_identity"); identity != nil && identity.Text("client_id") == "" {
		if id, err := resource.ParseID(identity.Text("resource_id")); err == nil {
			if found, err := c.arm(http.MethodGet, id.String(), identityAPI, nil); err == nil {
				identity.Set("client_id", found.Object("properties").Get("clientId"))
				identity.Set("principal_id", found.Object("properties").Get("principalId"))
			}
		}
	}
	return out
}
