package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/resource"
)

// readFile reads a YAML file in which only the known fields may stand. "$schema" always may.
func readFile(file string, known ...string) (*document.Object, error) {
	given, err := readYAML(file)
	if err != nil {
		return nil, err
	}
	return given, knownFields(filepath.Base(file), given, known...)
}

// readYAML reads a YAML file whose top is a mapping.
func readYAML(file string) (*document.Object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	given, err := document.DecodeYAML(text)
	if err != nil {
		return nil, usagef("%s: %v", filepath.Base(file), err)
	}
	return given, nil
}

// knownFields refuses by name what nobody would heed.
func knownFields(where string, given *document.Object, known ...string) error {
	for _, name := range given.Keys() {
		if name != "$schema" && !slices.Contains(known, name) {
			return usagef("%s: %s is unknown here, or not offered; known are %s", where, name, strings.Join(known, ", "))
		}
	}
	return nil
}

// camel writes a name of the files as the wire has it: idle_time becomes idleTime.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, part := range parts {
		if i > 0 && part != "" {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}

// read gives the file's content with the flags over it, in the words of the file.
func (w *workspaceInput) read(more *document.Object) (*document.Object, error) {
	given := document.New()
	if w.File != "" {
		var err error
		if given, err = readFile(w.File, "name", "resource_group", "location", "display_name", "description", "tags", "storage_account", "key_vault",
			"application_insights", "container_registry", "hbi_workspace", "v1_legacy_mode", "primary_user_assigned_identity", "identity",
			"public_network_access", "system_datastores_auth_mode", "customer_managed_key"); err != nil {
			return nil, err
		}
	}
	given.SetIf("name", w.Name).SetIf("resource_group", w.ResourceGroup).SetIf("display_name", w.DisplayName).SetIf("description", w.Description).
		SetIf("container_registry", w.ContainerRegistry).SetIf("application_insights", w.ApplicationInsights).
		SetIf("primary_user_assigned_identity", w.PrimaryUserAssignedIdentity)
	w.customerKeyFlags.apply(given)
	for _, name := range more.Keys() {
		given.Set(name, more.Get(name))
	}
	tags, err := tagsOf(w.Tags)
	if err != nil {
		return nil, err
	}
	if tags != nil {
		given.Set("tags", tags)
	}
	w.Name, w.ResourceGroup = given.Text("name"), given.Text("resource_group")
	switch {
	case w.Name == "":
		return nil, usagef("the workspace has no name: give --name, or name in the file")
	case w.ResourceGroup == "":
		return nil, usagef("the workspace has no resource group: give --resource-group, or resource_group in the file")
	}
	return given, nil
}

// workspaceBody is a workspace on the wire.
func workspaceBody(given *document.Object) (*document.Object, error) {
	properties := document.New()
	for _, name := range []string{"description", "storage_account", "key_vault", "application_insights", "container_registry", "hbi_workspace",
		"v1_legacy_mode", "public_network_access", "system_datastores_auth_mode"} {
		if value := given.Get(name); value != nil {
			properties.Set(camel(name), value)
		}
	}
	properties.SetIf("friendlyName", given.Text("display_name"))
	encryption, err := encryptionOfFile(given.Object("customer_managed_key"))
	if err != nil {
		return nil, err
	}
	properties.SetIf("encryption", encryption)
	identity, err := identityOfFile(given.Object("identity"))
	if err != nil {
		return nil, err
	}
	if primary := given.Text("primary_user_assigned_identity"); primary != "" {
		id, err := resource.ParseID(primary)
		if err != nil {
			return nil, usagef("the primary user-assigned identity is no resource id: %s", plainMessage(err))
		}
		properties.Set("primaryUserAssignedIdentity", id.String())
		if identity == nil {
			identity = document.New("type", "UserAssigned", "userAssignedIdentities", document.New(id.String(), document.New()))
		}
	}
	body := document.New()
	if tags := given.Object("tags"); tags != nil {
		body.Set("tags", tags)
	}
	return body.SetIf("identity", identity).SetIf("properties", properties), nil
}

// identityOfFile reads the identity of a file: its type in either spelling, and the ids as a list of {resource_id} or as
// the keys of a mapping.
func identityOfFile(given *document.Object) (*document.Object, error) {
	if given == nil {
		return nil, nil
	}
	if err := knownFields("identity", given, "type", "user_assigned_identities", "principal_id", "tenant_id"); err != nil {
		return nil, err
	}
	kind := strings.ToLower(strings.NewReplacer("_", "", " ", "").Replace(given.Text("type")))
	system, user := strings.Contains(kind, "systemassigned"), strings.Contains(kind, "userassigned")
	if !system && !user && kind != "none" {
		return nil, usagef("identity.type is %q; system_assigned, user_assigned or none was expected", given.Text("type"))
	}
	users := document.New()
	add := func(text string) error {
		id, err := resource.ParseID(text)
		if err != nil {
			return usagef("identity.user_assigned_identities: %q is no resource id: %s", text, plainMessage(err))
		}
		users.Set(id.String(), document.New())
		return nil
	}
	for _, id := range given.Object("user_assigned_identities").Keys() {
		if err := add(id); err != nil {
			return nil, err
		}
	}
	for _, one := range given.List("user_assigned_identities") {
		text, _ := one.(string)
		if entry, ok := one.(*document.Object); ok {
			text = entry.Text("resource_id")
		}
		if err := add(text); err != nil {
			return nil, err
		}
	}
	return document.New("type", strings.ReplaceAll(identityType(system, user), " ", "")).SetIf("userAssignedIdentities", users), nil
}

// identityDocument is an identity as the newer commands print it.
func identityDocument(identity *document.Object) any {
	if identity == nil {
		return nil
	}
	words := strings.Split(strings.ReplaceAll(identity.Text("type"), " ", ""), ",")
	for i := range words {
		words[i] = snake(words[i])
	}
	users := []any{}
	for _, id := range identity.Object("userAssignedIdentities").Keys() {
		user := identity.Object("userAssignedIdentities", id)
		users = append(users, document.New("resource_id", id, "client_id", user.Get("clientId"), "principal_id", user.Get("principalId")))
	}
	return document.New("type", strings.Join(words, ",")).SetIf("principal_id", identity.Text("principalId")).SetIf("tenant_id", identity.Text("tenantId")).
		SetIf("user_assigned_identities", users)
}

// workspaceDocument is a workspace as the older commands print it, flat and with identityPrincipalId; what the newer ones
// call otherwise stands beside it, so that the queries of both find what they ask for (MI-04).
func workspaceDocument(workspace *document.Object) *document.Object {
	if workspace == nil {
		return nil
	}
	p, identity := workspace.Object("properties"), workspace.Object("identity")
	out := document.New("name", workspace.Get("name"), "id", workspace.Get("id"), "location", workspace.Get("location"), "resourceGroup", groupOf(workspace.Text("id")),
		"kind", workspace.Get("kind"), "tags", workspace.Get("tags"))
	names := []string{"friendlyName", "description", "storageAccount", "keyVault", "applicationInsights", "containerRegistry", "primaryUserAssignedIdentity",
		"hbiWorkspace", "v1LegacyMode", "publicNetworkAccess", "systemDatastoresAuthMode", "provisioningState", "workspaceId", "discoveryUrl"}
	for _, name := range names {
		out.Set(name, p.Get(name))
	}
	out.Set("identityType", identity.Get("type")).Set("identityPrincipalId", identity.Get("principalId")).Set("identityTenantId", identity.Get("tenantId")).
		Set("userAssignedIdentities", identity.Get("userAssignedIdentities"))
	out.SetIf("missingGrants", p.List("missingGrants"))
	out.Set("resource_group", out.Get("resourceGroup")).Set("display_name", p.Get("friendlyName")).Set("identity", identityDocument(identity))
	for _, name := range names {
		if spelled := snake(name); spelled != name && name != "friendlyName" {
			out.Set(spelled, p.Get(name))
		}
	}
	return out
}
