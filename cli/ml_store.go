package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

const featureStoreColumns = "[].{Name:name, ResourceGroup:resource_group, Location:location, State:provisioning_state, MaterializationIdentity:materialization_identity.client_id}"

type featureStoreGroup struct {
	Create featureStoreCreate `cmd:"" help:"Create a feature store with what it needs; resources that are named are used instead of made." example:"alvara ml feature-store create -n fs -g rg1 --materialization-identity /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mat ;; alvara ml feature-store create -f featurestore.yaml -g rg1"`
	Show   featureStoreShow   `cmd:"" help:"Show a feature store." example:"alvara ml feature-store show -n fs -g rg1 --query materialization_identity.principal_id -o tsv"`
	List   featureStoreList   `cmd:"" help:"List feature stores." example:"alvara ml feature-store list -g rg1 -o table"`
	Update featureStoreUpdate `cmd:"" help:"Change a feature store." example:"alvara ml feature-store update -n fs -g rg1 --description 'Fraud features'"`
	Delete featureStoreDelete `cmd:"" help:"Delete a feature store." example:"alvara ml feature-store delete -n fs -g rg1 --yes"`
}

type featureStoreInput struct {
	Name                    string `short:"n" aliases:"feature-store-name" help:"Name; may also stand in the file."`
	ResourceGroup           string `short:"g" name:"resource-group" help:"Resource group; may also stand in the file."`
	File                    string `short:"f" type:"existingfile" help:"featurestore.yaml; flags win over it."`
	DisplayName             string `name:"display-name" help:"Name to show."`
	Description             string `help:"What the store is for."`
	MaterializationIdentity string `name:"materialization-identity" placeholder:"ID" help:"Resource id of the user-assigned identity that materialization runs as."`
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

// read gives the file's content with the flags over it.
func (f *featureStoreInput) read() (*spec.FeatureStore, error) {
	given := &spec.FeatureStore{}
	if f.File != "" {
		text, err := os.ReadFile(f.File)
		if err != nil {
			return nil, err
		}
		if f.Name != "" && !strings.Contains(string(text), "name:") {
			text = append([]byte("name: "+f.Name+"\n"), text...)
		}
		if given, err = spec.ParseFeatureStore(filepath.Base(f.File), text); err != nil {
			return nil, err
		}
	}
	for _, over := range []struct {
		flag string
		at   *string
	}{{f.Name, &given.Name}, {f.ResourceGroup, &given.ResourceGroup}, {f.DisplayName, &given.DisplayName}, {f.Description, &given.Description}} {
		if over.flag != "" {
			*over.at = over.flag
		}
	}
	if f.MaterializationIdentity != "" {
		id, err := resource.ParseID(f.MaterializationIdentity)
		if err != nil {
			return nil, usagef("--materialization-identity: %s", plainMessage(err))
		}
		given.MaterializationIdentity = &spec.MaterializationIdentity{ResourceID: id}
	}
	if f.Tags != nil {
		given.Tags = map[string]string{}
		tags, err := tagsOf(f.Tags)
		if err != nil {
			return nil, err
		}
		for _, name := range tags.Keys() {
			given.Tags[name] = tags.Text(name)
		}
	}
	f.Name, f.ResourceGroup = given.Name, given.ResourceGroup
	switch {
	case f.Name == "":
		return nil, usagef("the store has no name: give --name, or name in the file")
	case f.ResourceGroup == "":
		return nil, usagef("the store has no resource group: give --resource-group, or resource_group in the file")
	}
	return given, nil
}

func (f *featureStoreInput) path(c *Call) (string, error) {
	return storeFlags{FeatureStore: f.Name, ResourceGroup: f.ResourceGroup}.path(c)
}

type featureStoreCreate struct {
	featureStoreInput
	Location            string `short:"l" help:"Location; without it that of the group."`
	OfflineStore        string `name:"offline-store" aliases:"offline-store-target" placeholder:"ID" help:"Resource id of the storage container for offline data."`
	OnlineStore         string `name:"online-store" placeholder:"pebble|ID" help:"The online store: pebble, which is part of the server, or the id of a Redis cache."`
	StorageAccount      string `name:"storage-account" placeholder:"ID" help:"Use this storage account."`
	KeyVault            string `name:"key-vault" placeholder:"ID" help:"Use this key vault."`
	ApplicationInsights string `name:"application-insights" placeholder:"ID" help:"Use this application insights component."`
	ContainerRegistry   string `name:"container-registry" placeholder:"ID" help:"Use this registry."`
}

func (f *featureStoreCreate) Run(c *Call) error {
	given, err := f.read()
	if err != nil {
		return err
	}
	if err := f.over(given); err != nil {
		return err
	}
	path, err := f.path(c)
	if err != nil {
		return err
	}
	body, err := c.storeBody(given) // without a location the server takes the group's, or that of the store which is there
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, body, "Creating feature store "+f.Name, f.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(c.storeDocument(made), featureStoreColumns)
}

func (f *featureStoreCreate) over(given *spec.FeatureStore) error {
	if f.Location != "" {
		given.Location = f.Location
	}
	parse := func(flag, text string, at *resource.ID) error {
		if text == "" {
			return nil
		}
		id, err := resource.ParseID(text)
		if err != nil {
			return usagef("%s: %s", flag, plainMessage(err))
		}
		*at = id
		return nil
	}
	if f.OfflineStore != "" {
		given.OfflineStore = &spec.StoreTarget{Type: "azure_data_lake_gen2"}
		if err := parse("--offline-store", f.OfflineStore, &given.OfflineStore.Target); err != nil {
			return err
		}
	}
	if f.OnlineStore != "" {
		given.OnlineStore = &spec.StoreTarget{Type: f.OnlineStore}
		if strings.HasPrefix(f.OnlineStore, "/") {
			given.OnlineStore.Type = "redis"
			if err := parse("--online-store", f.OnlineStore, &given.OnlineStore.Target); err != nil {
				return err
			}
		}
	}
	for _, bring := range []struct {
		flag, text string
		at         *resource.ID
	}{
		{"--storage-account", f.StorageAccount, &given.StorageAccount}, {"--key-vault", f.KeyVault, &given.KeyVault},
		{"--application-insights", f.ApplicationInsights, &given.ApplicationInsights}, {"--container-registry", f.ContainerRegistry, &given.ContainerRegistry},
	} {
		if err := parse(bring.flag, bring.text, bring.at); err != nil {
			return err
		}
	}
	return nil
}

func idText(id resource.ID) string {
	if id.IsRoot() {
		return ""
	}
	return id.String()
}

func tagsDocument(tags map[string]string) *document.Object {
	names := make([]string, 0, len(tags))
	for name := range tags {
		names = append(names, name)
	}
	sort.Strings(names)
	out := document.New()
	for _, name := range names {
		out.Set(name, tags[name])
	}
	return out
}

type featureStoreShow struct {
	Name          string `short:"n" alt:"-fs,-w" aliases:"feature-store,feature-store-name" required:"" help:"Name."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (f *featureStoreShow) Run(c *Call) error {
	path, err := storeFlags{FeatureStore: f.Name, ResourceGroup: f.ResourceGroup}.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(c.storeDocument(found), featureStoreColumns)
}

type featureStoreList struct{ optionalGroup }

func (f *featureStoreList) Run(c *Call) error {
	scope, err := c.scopeOf(f.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+workspaceProvider, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, workspace := range found {
		if strings.EqualFold(workspace.Text("kind"), "FeatureStore") {
			out = append(out, storeShape(workspace))
		}
	}
	return c.PrintColumns(out, featureStoreColumns)
}

type featureStoreUpdate struct{ featureStoreInput }

func (f *featureStoreUpdate) Run(c *Call) error {
	given, err := f.read()
	if err != nil {
		return err
	}
	path, err := f.path(c)
	if err != nil {
		return err
	}
	properties := document.New().SetIf("friendlyName", given.DisplayName).SetIf("description", given.Description)
	if given.SparkRuntimeVersion != "" {
		properties.Set("featureStoreSettings", document.New("computeRuntime", document.New("sparkRuntimeVersion", given.SparkRuntimeVersion)))
	}
	if given.OfflineStore != nil {
		properties.Set("offlineStore", document.New("type", given.OfflineStore.Type, "target", idText(given.OfflineStore.Target)))
	}
	if given.MaterializationIdentity != nil {
		id, err := c.identityID(given.MaterializationIdentity)
		if err != nil {
			return err
		}
		properties.Set("materializationIdentity", document.New("resourceId", id))
	}
	body := document.New()
	if given.Tags != nil {
		body.Set("tags", tagsDocument(given.Tags))
	}
	body.SetIf("properties", properties)
	if body.Len() == 0 {
		return usagef("nothing to change: give --description, --display-name, --tags, --materialization-identity or a file")
	}
	changed, err := c.armFinish(http.MethodPatch, path, machineLearnAPI, body, "Updating feature store "+f.Name, f.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(c.storeDocument(changed), featureStoreColumns)
}

type featureStoreDelete struct {
	featureStoreShow
	confirmFlags
	AllResources bool `name:"all-resources" help:"Delete the resources too that were provisioned for the store; those that were brought along stay. It needs the right to delete each of them, and deletes nothing when one is missing."`
	NoWait       bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *featureStoreDelete) Run(c *Call) error {
	path, err := storeFlags{FeatureStore: f.Name, ResourceGroup: f.ResourceGroup}.path(c)
	if err != nil {
		return err
	}
	what := "delete the feature store " + f.Name + " with its entities and feature sets"
	if f.AllResources {
		what += allResourcesWords
		path += allResourcesQuery
	}
	if err := f.confirm(c, what); err != nil {
		return err
	}
	return c.deleteResource(path, machineLearnAPI, "feature store "+f.Name, f.NoWait)
}
