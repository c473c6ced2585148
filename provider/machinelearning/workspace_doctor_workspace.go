package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// worker is the identity by which the workspace works, with the roles that it holds on the workspace itself, and for a
// feature store on its offline data.
func worker(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (string, []grant, error) {
	p := r.Properties
	if !isStore(r, nil) {
		who, err := principalOf(ctx, call, r)
		if resource.KindOf(err) == resource.Invalid { // the identity was deleted
			err = nil
		}
		return who, []grant{{contributor, r.ID}}, err
	}
	if p.MaterializationIdentity == nil || p.OfflineStore == nil {
		return "", nil, nil // its provisioning has failed
	}
	container, err := resource.ParseID(p.OfflineStore.Target)
	return p.MaterializationIdentity.PrincipalID, []grant{{dataScientist, r.ID}, {blobContributor, container}}, err
}

// checkWorkspaceIdentity: the identity that the workspace works as is in the directory.
func checkWorkspaceIdentity(_ context.Context, e *examination) error {
	if e.who != "" {
		return nil
	}
	e.add(Finding{
		ID: "IdentityNotFound", Level: levelError, What: e.workspace.ID.String(),
		Message: "The identity that the workspace works as is not in the directory any more.",
		Why:     "Nothing is built, made or written down for the workspace as long as nobody works for it. Which identity it is to have is yours to say.",
	})
	return nil
}

// associatedPart is a resource that a workspace works with.
type associatedPart struct {
	name string // in words
	id   resource.ID
	make string // the command that makes one of the same name; "" where there is none
}

// parts are the resources that the workspace works with.
func (e *examination) parts() ([]associatedPart, error) {
	var out []associatedPart
	p := e.workspace.Properties
	for _, of := range []struct{ name, text, group string }{
		{"storage account", p.StorageAccount, "storage account"}, {"key vault", p.KeyVault, ""},
		{"application insights component", p.ApplicationInsights, ""}, {"container registry", p.ContainerRegistry, "acr"},
	} {
		if of.text == "" {
			continue
		}
		id, err := resource.ParseID(of.text)
		if err != nil {
			return nil, err
		}
		one := associatedPart{name: of.name, id: id}
		if of.group != "" {
			one.make = commandLine(append(strings.Fields(of.group), "create", "-n", id.Name(), "-g", id.ResourceGroup())...)
		}
		out = append(out, one)
	}
	return out, nil
}

// checkAssociated: what the workspace works with is there.
func checkAssociated(ctx context.Context, e *examination) error {
	parts, err := e.parts()
	if err != nil {
		return err
	}
	for _, one := range parts {
		found, readable, err := e.read(ctx, one.id, "whether it is there", &struct{}{})
		if err != nil {
			return err
		}
		if found || !readable {
			continue
		}
		f := Finding{
			ID: "ResourceNotFound", Level: levelError, What: one.id.String(),
			Message: fmt.Sprintf("The %s '%s' does not exist.", one.name, one.id),
			Why:     "The workspace works with it. A new one of the same name is empty.",
		}
		if one.make != "" {
			f.Cure, f.Manual = []string{one.make}, true
		}
		e.add(f)
	}
	return nil
}

// checkWorkspaceRoles: the workspace's identity, or the materialization identity of a feature store, holds its roles (MI-15, FS-08).
func checkWorkspaceRoles(ctx context.Context, e *examination) error {
	if e.who == "" {
		return nil
	}
	grants := e.own
	if !isStore(e.workspace, nil) {
		parts, err := e.parts()
		if err != nil {
			return err
		}
		for _, one := range parts {
			if found, _, err := e.read(ctx, one.id, "whether the workspace's identity holds its roles there", &struct{}{}); err != nil {
				return err
			} else if !found {
				continue
			}
			some, err := grantsOn(ctx, e.call, one.id)
			if err != nil {
				return err
			}
			grants = append(grants, some...)
		}
	}
	name := "The workspace's identity (principal " + e.who + ")"
	switch {
	case isStore(e.workspace, nil):
		name = "The materialization identity (principal " + e.who + ")"
	case e.workspace.Properties.PrimaryUserAssignedIdentity != "":
		name = "The identity '" + e.workspace.Properties.PrimaryUserAssignedIdentity + "' (principal " + e.who + "), as which the workspace works,"
	}
	for _, g := range grants {
		if g.heldBy(e.call, e.who) {
			continue
		}
		e.add(Finding{
			ID: "RoleMissing", Level: levelError, What: g.scope.String(),
			Message: fmt.Sprintf("%s does not hold %s.", name, g),
			Why:     "The workspace works as this identity, with no password; what it may not do is refused when it is needed.",
			Cure:    []string{g.cure(e.who)},
		})
	}
	return nil
}

// checkSharedKeys: the storage accounts of the workspace and its datastores let nobody in by a key (BX-01).
func checkSharedKeys(ctx context.Context, e *examination) error {
	accounts, err := e.storageAccounts(ctx)
	if err != nil {
		return err
	}
	for _, id := range accounts {
		var account struct {
			Properties struct {
				SharedKeys bool `json:"allowSharedKeyAccess"`
			} `json:"properties"`
		}
		if _, _, err := e.read(ctx, id, "whether it lets in whoever has a key", &account); err != nil {
			return err
		}
		if account.Properties.SharedKeys {
			e.add(Finding{
				ID: "SharedKeysEnabled", Level: levelWarning, What: id.String(),
				Message: fmt.Sprintf("The storage account '%s' has its keys turned on.", id),
				Why:     "Whoever has a key reads and writes everything in the account, whatever their roles, until the key is changed. The workspace needs none: it works as its identity.",
				Cure:    []string{commandLine("storage", "account", "update", "-n", id.Name(), "-g", id.ResourceGroup(), "--allow-shared-key-access", "false")},
			})
		}
	}
	return nil
}

// storageAccounts are those of the workspace and of its datastores, each once.
func (e *examination) storageAccounts(ctx context.Context) ([]resource.ID, error) {
	var out []resource.ID
	seen := map[string]bool{}
	add := func(id resource.ID) {
		if !seen[id.Key()] {
			seen[id.Key()] = true
			out = append(out, id)
		}
	}
	if text := e.workspace.Properties.StorageAccount; text != "" {
		id, err := resource.ParseID(text)
		if err != nil {
			return nil, err
		}
		add(id)
	}
	datastores, err := readBelow[Datastore](ctx, e, datastoreType)
	if err != nil {
		return nil, err
	}
	for _, datastore := range datastores {
		id, known, err := e.accountOf(ctx, datastore)
		if err != nil {
			return nil, err
		}
		if known {
			add(id)
		}
	}
	return out, nil
}

// accountOf finds the storage account of a datastore, which has its name alone.
func (e *examination) accountOf(ctx context.Context, datastore *arm.Resource[Datastore]) (resource.ID, bool, error) {
	if e.accounts == nil {
		docs, err := e.call.Manager.Below(ctx, resource.Root, storageAccountType)
		if err != nil {
			return resource.Root, false, err
		}
		e.accounts = make(map[string]resource.ID, len(docs))
		for _, doc := range docs {
			var account struct{ ID resource.ID }
			if err := json.Unmarshal(doc.Body, &account); err != nil {
				return resource.Root, false, err
			}
			e.accounts[strings.ToLower(account.ID.Name())] = account.ID
		}
	}
	id, known := e.accounts[strings.ToLower(datastore.Properties.AccountName)]
	return id, known, nil
}

// checkDatastores: the containers that datastores name are there.
func checkDatastores(ctx context.Context, e *examination) error {
	datastores, err := readBelow[Datastore](ctx, e, datastoreType)
	if err != nil {
		return err
	}
	for _, datastore := range datastores {
		p := datastore.Properties
		f := Finding{
			ID: "DatastoreStorageMissing", Level: levelError, What: datastore.ID.String(),
			Why: "What reads or writes through the datastore fails. What was there is gone; the cure makes an empty one.",
		}
		account, known, err := e.accountOf(ctx, datastore)
		if err != nil {
			return err
		}
		if !known {
			group := p.ResourceGroup
			if group == "" {
				group = e.workspace.ID.ResourceGroup()
			}
			f.Message = fmt.Sprintf("The storage account %s of the datastore %s does not exist.", p.AccountName, datastore.Name)
			f.Cure = []string{commandLine("storage", "account", "create", "-n", p.AccountName, "-g", group), commandLine("storage", "container", "create", "-n", p.ContainerName, "--account-name", p.AccountName)}
			e.add(f)
			continue
		}
		found, readable, err := e.read(ctx, account.Child("blobServices/default/containers", p.ContainerName), "whether the datastore "+datastore.Name+" has its container", &struct{}{})
		if err != nil {
			return err
		}
		if !found && readable {
			f.Message = fmt.Sprintf("The container %s of the datastore %s does not exist in the storage account %s.", p.ContainerName, datastore.Name, p.AccountName)
			f.Cure = []string{commandLine("storage", "container", "create", "-n", p.ContainerName, "--account-name", p.AccountName)}
			e.add(f)
		}
	}
	return nil
}
