package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

type mlGroup struct {
	Workspace          workspaceGroup     `cmd:"" help:"Workspaces: where one trains and serves."`
	Compute            computeGroup       `cmd:"" help:"Computes of a workspace: what jobs run on."`
	Computetarget      computeTargetGroup `cmd:"" help:"Computes, in the words of the older commands."`
	Environment        environmentGroup   `cmd:"" help:"Environments of a workspace: what jobs run in."`
	FeatureStore       featureStoreGroup  `cmd:"" name:"feature-store" help:"Feature stores."`
	FeatureStoreEntity entityGroup        `cmd:"" name:"feature-store-entity" help:"Entities: the keys that features belong to."`
	FeatureSet         featureSetGroup    `cmd:"" name:"feature-set" help:"Feature sets and their materialization."`
	Datastore          datastoreGroup     `cmd:"" help:"Datastores of a workspace or a store."`
	Connection         connectionGroup    `cmd:"" help:"Connections of a workspace or a store."`
	Job                jobGroup           `cmd:"" help:"Jobs: commands, pipelines of them, materialization runs."`
	OnlineEndpoint     endpointGroup      `cmd:"" name:"online-endpoint" help:"Online endpoints: addresses that answer requests."`
	OnlineDeployment   deploymentGroup    `cmd:"" name:"online-deployment" help:"Deployments: what answers the requests of an online endpoint."`
	Model              modelGroup         `cmd:"" help:"Models of a workspace."`
	Data               dataGroup          `cmd:"" help:"Data of a workspace: files and folders by name and version."`
}

// storeFlags name the feature store that holds an asset.
type storeFlags struct {
	FeatureStore  string `name:"feature-store" alt:"-fs,-w" aliases:"feature-store-name,fs-name,workspace-name,workspace" required:"" help:"Feature store (also -fs), or workspace (-w)."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

// path is the store's resource id.
func (s storeFlags) path(c *Call) (string, error) {
	scope, err := c.scopeOf(s.ResourceGroup)
	return scope + workspaceProvider + "/" + segment(s.FeatureStore), err
}

// viewFlags choose among current and archived assets.
type viewFlags struct {
	IncludeArchived bool `name:"include-archived" help:"Archived ones too."`
	ArchivedOnly    bool `name:"archived-only" help:"Archived ones only."`
}

func (v viewFlags) viewType() string {
	switch {
	case v.ArchivedOnly:
		return "ArchivedOnly"
	case v.IncludeArchived:
		return "All"
	}
	return "ActiveOnly"
}

func (c *Call) listBelow(store inWorkspace, path, columns string) error {
	base, err := store.path(c)
	if err != nil {
		return err
	}
	found, err := c.armList(base+path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, columns)
}

func (c *Call) showBelow(store inWorkspace, path, columns string) error {
	base, err := store.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, base+path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, columns)
}

// creation is az's creation_context of an asset.
func creation(resource *document.Object) *document.Object {
	data := resource.Object("systemData")
	if data == nil {
		return nil
	}
	return document.New("created_at", data.Get("createdAt"), "created_by", data.Get("createdBy"), "created_by_type", data.Get("createdByType"),
		"last_modified_at", data.Get("lastModifiedAt"), "last_modified_by", data.Get("lastModifiedBy"), "last_modified_by_type", data.Get("lastModifiedByType"))
}
