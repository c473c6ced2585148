package cli

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const workspaceColumns = "[].{Name:name, ResourceGroup:resourceGroup, Location:location, State:provisioningState, ContainerRegistry:containerRegistry}"

type workspaceGroup struct {
	Create   workspaceCreate   `cmd:"" help:"Create a workspace with what it needs; resources that are named are used instead of made. A container registry is made by the first operation that needs one." example:"alvara ml workspace create -w ws -g rg1 -l westeurope --container-registry /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.ContainerRegistry/registries/fraudacr ;; alvara ml workspace create -f workspace.yaml -g rg1"`
	Show     workspaceShow     `cmd:"" help:"Show a workspace." example:"alvara ml workspace show -w ws -g rg1 --query containerRegistry -o tsv ;; alvara ml workspace show -w ws -g rg1 --query identityPrincipalId -o tsv"`
	List     workspaceList     `cmd:"" help:"List workspaces." example:"alvara ml workspace list -g rg1 -o table"`
	Update   workspaceUpdate   `cmd:"" help:"Change a workspace." example:"alvara ml workspace update -w ws -g rg1 --description 'Trains the fraud models'"`
	Delete   workspaceDelete   `cmd:"" help:"Delete a workspace with all that lies in it; the resources that it works with stay." example:"alvara ml workspace delete -w ws -g rg1 --yes ;; alvara ml workspace delete -w ws -g rg1 --all-resources --yes"`
	Diagnose workspaceDiagnose `cmd:"" help:"Look for what keeps a workspace from working; each finding names its cure." example:"alvara ml workspace diagnose -n ws -g rg1"`
	SyncKeys workspaceSyncKeys `cmd:"" name:"sync-keys" help:"Have the workspace read the keys of its resources again; it keeps none, so that there is nothing to read." example:"alvara ml workspace sync-keys -w ws -g rg1"`
}

// workspaceName names a workspace, by -w as the older commands do and by -n.
type workspaceName struct {
	Name          string `short:"n" alt:"-w" aliases:"workspace-name,workspace" required:"" help:"Name of the workspace (also -w)."`
	ResourceGroup string `short:"g" name:"resource-group" required:"" help:"Resource group."`
}

func (w workspaceName) path(c *Call) (string, error) {
	scope, err := c.scopeOf(w.ResourceGroup)
	return scope + workspaceProvider + "/" + segment(w.Name), err
}

// workspaceInput is what a workspace is made or changed with.
type workspaceInput struct {
	Name                        string `short:"n" alt:"-w" aliases:"workspace-name,workspace" help:"Name (also -w); may also stand in the file."`
	ResourceGroup               string `short:"g" name:"resource-group" help:"Resource group; may also stand in the file."`
	File                        string `short:"f" type:"existingfile" help:"workspace.yaml; flags win over it."`
	DisplayName                 string `name:"display-name" aliases:"friendly-name" help:"Name to show."`
	Description                 string `help:"What the workspace is for."`
	ContainerRegistry           string `name:"container-registry" placeholder:"ID" help:"Use this registry."`
	ApplicationInsights         string `name:"application-insights" placeholder:"ID" help:"Use this application insights component."`
	PrimaryUserAssignedIdentity string `name:"primary-user-assigned-identity" placeholder:"ID" help:"The user-assigned identity that the workspace works as; everything else is brought along then, and the identity holds its roles there."`
	customerKeyFlags
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

type workspaceCreate struct {
	workspaceInput
	Location       string `short:"l" help:"Location; without it that of the group."`
	StorageAccount string `name:"storage-account" placeholder:"ID" help:"Use this storage account."`
	KeyVault       string `name:"key-vault" aliases:"keyvault" placeholder:"ID" help:"Use this key vault."`
	HBIWorkspace   bool   `name:"hbi-workspace" help:"The workspace holds data of high business impact."`
	V1LegacyMode   bool   `name:"v1-legacy-mode" help:"Set the workspace's legacy mode."`
	ExistOK        bool   `name:"exist-ok" help:"For older scripts; a workspace that is there is updated anyhow."`
}

func (w *workspaceCreate) Run(c *Call) error {
	given, err := w.read(document.New().SetIf("location", w.Location).SetIf("storage_account", w.StorageAccount).SetIf("key_vault", w.KeyVault))
	if err != nil {
		return err
	}
	if w.HBIWorkspace {
		given.Set("hbi_workspace", true)
	}
	if w.V1LegacyMode {
		given.Set("v1_legacy_mode", true)
	}
	path, err := w.path(c)
	if err != nil {
		return err
	}
	body, err := workspaceBody(given)
	if err != nil {
		return err
	}
	// Without a location the server takes the group's, or that of the workspace which is there.
	body.SetIf("location", given.Text("location")).Set("kind", "Default")
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, body, "Creating workspace "+w.Name, w.NoWait)
	if err != nil {
		return err
	}
	return c.printWorkspace(made)
}

func (w *workspaceInput) path(c *Call) (string, error) {
	return workspaceName{Name: w.Name, ResourceGroup: w.ResourceGroup}.path(c)
}

func (c *Call) printWorkspace(workspace *document.Object) error {
	for _, grant := range workspace.List("properties", "missingGrants") {
		c.Warn("the workspace's identity still needs %v; grant it, or have somebody who may grant it update the workspace", grant)
	}
	return c.PrintColumns(workspaceDocument(workspace), workspaceColumns)
}

type workspaceShow struct{ workspaceName }

func (w *workspaceShow) Run(c *Call) error {
	path, err := w.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.printWorkspace(found)
}

type workspaceList struct{ optionalGroup }

func (w *workspaceList) Run(c *Call) error {
	scope, err := c.scopeOf(w.ResourceGroup)
	if err != nil {
		return err
	}
	found, err := c.armList(scope+workspaceProvider, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, workspace := range found {
		if !strings.EqualFold(workspace.Text("kind"), "FeatureStore") {
			out = append(out, workspaceDocument(workspace))
		}
	}
	return c.PrintColumns(out, workspaceColumns)
}

type workspaceUpdate struct{ workspaceInput }

func (w *workspaceUpdate) Run(c *Call) error {
	given, err := w.read(document.New())
	if err != nil {
		return err
	}
	path, err := w.path(c)
	if err != nil {
		return err
	}
	body, err := workspaceBody(given)
	if err != nil {
		return err
	}
	if body.Len() == 0 {
		return usagef("nothing to change: give --description, --display-name, --tags, --container-registry, --application-insights, --primary-user-assigned-identity or a file")
	}
	if identity := body.Object("identity"); identity != nil && identity.Text("type") == "UserAssigned" {
		// A system-assigned identity stays beside the user-assigned ones.
		found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
		if err != nil {
			return err
		}
		if strings.HasPrefix(found.Text("identity", "type"), "SystemAssigned") {
			identity.Set("type", "SystemAssigned,UserAssigned")
		}
	}
	changed, err := c.armFinish(http.MethodPatch, path, machineLearnAPI, body, "Updating workspace "+w.Name, w.NoWait)
	if err != nil {
		return err
	}
	return c.printWorkspace(changed)
}

type workspaceDelete struct {
	workspaceName
	confirmFlags
	AllResources      bool `name:"all-resources" help:"Delete the resources too that were provisioned for the workspace; those that were brought along stay. It needs the right to delete each of them, and deletes nothing when one is missing."`
	PermanentlyDelete bool `name:"permanently-delete" short:"p" help:"For scripts that say so; a deletion is for good anyhow."`
	NoWait            bool `name:"no-wait" help:"Do not wait for the end."`
}

// What a deletion says when it takes along what was provisioned.
const (
	allResourcesWords = ", and what was provisioned for it: its data, images and secrets"
	allResourcesQuery = "?deleteAllResources=true"
)

func (w *workspaceDelete) Run(c *Call) error {
	path, err := w.path(c)
	if err != nil {
		return err
	}
	what := "delete the workspace " + w.Name + " with all that lies in it"
	if w.AllResources {
		what += allResourcesWords
		path += allResourcesQuery
	}
	if err := w.confirm(c, what); err != nil {
		return err
	}
	return c.deleteResource(path, machineLearnAPI, "workspace "+w.Name, w.NoWait)
}

type workspaceDiagnose struct {
	workspaceName
}

func (w *workspaceDiagnose) Run(c *Call) error {
	path, err := w.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodPost, path+"/diagnose", machineLearnAPI, document.New("value", document.New()))
	if err != nil {
		return err
	}
	value, out := found.Object("value"), document.New()
	for _, name := range value.Keys() {
		out.Set(snake(name), value.Get(name))
	}
	return c.PrintColumns(out, "values(@)[].{Level:level, Code:code, Message:message}")
}

type workspaceSyncKeys struct {
	workspaceName
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (w *workspaceSyncKeys) Run(c *Call) error {
	path, err := w.path(c)
	if err != nil {
		return err
	}
	_, err = c.armResponse(http.MethodPost, path+"/resyncKeys", machineLearnAPI, nil)
	return err
}
