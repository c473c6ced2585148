package acceptance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"

	"github.com/alvara-ml/alvara/access"
)

// store makes a feature store as its admin does with the SDK: with a materialization identity that the admin brings along.
func (a *azure) store(group, name string) *armmachinelearning.Workspace {
	a.t.Helper()
	made := done(a.owner.identities().NewUserAssignedIdentitiesClient().CreateOrUpdate(a.t.Context(), group, name+"-jobs", armmsi.Identity{Location: ptr("local")}, nil))(a.t)
	store := polled(a.owner.learning().NewWorkspacesClient().BeginCreateOrUpdate(a.t.Context(), group, name, storeBody(*made.ID), nil))(a.t)
	return &store.Workspace
}

func storeBody(identity string) armmachinelearning.Workspace {
	body := armmachinelearning.Workspace{
		Location: ptr("local"), Kind: ptr("FeatureStore"),
		Properties: &armmachinelearning.WorkspaceProperties{
			FriendlyName: ptr("Fraud"), FeatureStoreSettings: &armmachinelearning.FeatureStoreSettings{ComputeRuntime: &armmachinelearning.ComputeRuntimeDto{SparkRuntimeVersion: ptr("3.4")}},
		},
	}
	if identity != "" {
		body.Identity = &armmachinelearning.ManagedServiceIdentity{
			Type:                   ptr(armmachinelearning.ManagedServiceIdentityTypeSystemAssignedUserAssigned),
			UserAssignedIdentities: map[string]*armmachinelearning.UserAssignedIdentity{identity: {}},
		}
	}
	return body
}

// FS-01, FS-03, FS-04, FS-08: a feature store over its life; who lacks a right is told which.
func TestSDKFeatureStore(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	ctx, stores := t.Context(), a.owner.learning().NewWorkspacesClient()
	made := a.store("rg", "fs")
	p := made.Properties
	if *made.Kind != "FeatureStore" || *p.ProvisioningState != armmachinelearning.ProvisioningStateSucceeded || *p.FriendlyName != "Fraud" ||
		*p.TenantID != a.env.Server.Endpoints.Tenant || *p.WorkspaceID == "" || *p.FeatureStoreSettings.OfflineStoreConnectionName == "" {
		t.Fatalf("the store is %+v", *p)
	}
	for what, id := range map[string]*string{"storage account": p.StorageAccount, "key vault": p.KeyVault, "application insights": p.ApplicationInsights, "registry": p.ContainerRegistry} {
		if id == nil || !strings.HasPrefix(*id, a.env.Group("rg")) {
			t.Errorf("the %s was not provisioned: %v", what, id)
		}
	}
	if *made.Identity.Type != armmachinelearning.ManagedServiceIdentityTypeSystemAssignedUserAssigned || *made.Identity.PrincipalID == "" || len(made.Identity.UserAssignedIdentities) != 1 {
		t.Fatalf("the identities are %+v", *made.Identity)
	}
	jobs := done(a.owner.identities().NewUserAssignedIdentitiesClient().Get(ctx, "rg", "fs-jobs", nil))(t)
	for id, entry := range made.Identity.UserAssignedIdentities {
		if !strings.EqualFold(id, *jobs.ID) || *entry.PrincipalID != *jobs.Properties.PrincipalID || *entry.ClientID != *jobs.Properties.ClientID {
			t.Fatalf("the store has the identity %s: %+v", id, *entry)
		}
	}
	got := done(stores.Get(ctx, "RG", "FS", nil))(t)
	if *got.ID != *made.ID || *got.Name != "fs" || got.SystemData.CreatedAt == nil || *got.SystemData.CreatedByType != armmachinelearning.CreatedByTypeApplication {
		t.Fatalf("read %s, created %+v", *got.ID, *got.SystemData)
	}
	second := polled(stores.BeginCreateOrUpdate(ctx, "rg", "second", storeBody(""), nil))(t)
	if second.Identity == nil || len(second.Identity.UserAssignedIdentities) != 1 { // clients look for the materialization identity there
		t.Fatalf("a store whose identity was provisioned carries %+v", second.Identity)
	}
	inGroup := paged(t, stores.NewListByResourceGroupPager("rg", nil), func(p armmachinelearning.WorkspacesClientListByResourceGroupResponse) []*armmachinelearning.Workspace {
		return p.Value
	})
	everywhere := paged(t, stores.NewListBySubscriptionPager(nil), func(p armmachinelearning.WorkspacesClientListBySubscriptionResponse) []*armmachinelearning.Workspace {
		return p.Value
	})
	name := func(w *armmachinelearning.Workspace) *string { return w.Name }
	if one, all := names(inGroup, name), names(everywhere, name); one != "fs second" || all != "fs second" {
		t.Fatalf("listed %q and %q", one, all)
	}
	updated := polled(stores.BeginUpdate(ctx, "rg", "fs", armmachinelearning.WorkspaceUpdateParameters{
		Tags: map[string]*string{"team": ptr("fraud")}, Properties: &armmachinelearning.WorkspacePropertiesUpdateParameters{Description: ptr("changed")},
	}, nil))(t)
	if *updated.Properties.Description != "changed" || *updated.Properties.FriendlyName != "Fraud" || *updated.Tags["team"] != "fraud" || *updated.Properties.StorageAccount != *p.StorageAccount {
		t.Fatalf("updated to %+v", *updated.Properties)
	}
	again := polled(stores.BeginCreateOrUpdate(ctx, "rg", "fs", updated.Workspace, nil))(t) // what was read can be sent back
	if *again.Properties.Description != "changed" || *again.Properties.WorkspaceID != *p.WorkspaceID {
		t.Fatalf("sent back, it is %+v", *again.Properties)
	}

	admin, reader, stranger := a.principal("admin"), a.principal("reader"), a.principal("stranger")
	a.admin.Grant(admin.user.ObjectID, access.RoleContributor, a.env.Group("rg"))
	a.admin.Grant(reader.user.ObjectID, access.RoleReader, *made.ID)
	err := ended(admin.learning().NewWorkspacesClient().BeginCreateOrUpdate(ctx, "rg", "third", storeBody(""), nil))(t)
	e := refused(t, "a Contributor, who assigns no roles, creating a store", err, 403, "LinkedAuthorizationFailed")
	if !strings.Contains(e.Error(), "Microsoft.Authorization/roleAssignments/write") {
		t.Errorf("the refusal names no missing action: %v", e)
	}
	a.admin.Grant(admin.user.ObjectID, access.RoleUserAccessAdministrator, a.env.Group("rg"))
	polled(admin.learning().NewWorkspacesClient().BeginCreateOrUpdate(ctx, "rg", "third", storeBody(*jobs.ID), nil))(t)
	done(reader.learning().NewWorkspacesClient().Get(ctx, "rg", "fs", nil))(t)
	err = ended(reader.learning().NewWorkspacesClient().BeginUpdate(ctx, "rg", "fs", armmachinelearning.WorkspaceUpdateParameters{Tags: map[string]*string{}}, nil))(t)
	forbidden(t, "a Reader updating", err, ml+"featurestores/write")
	err = ended(reader.learning().NewWorkspacesClient().BeginDelete(ctx, "rg", "fs", nil))(t)
	forbidden(t, "a Reader deleting", err, ml+"featurestores/delete")
	_, err = stranger.learning().NewWorkspacesClient().Get(ctx, "rg", "fs", nil)
	forbidden(t, "a stranger reading", err, "Microsoft.MachineLearningServices/workspaces/")
	_, err = pages(ctx, stranger.learning().NewWorkspacesClient().NewListByResourceGroupPager("rg", nil), func(p armmachinelearning.WorkspacesClientListByResourceGroupResponse) []*armmachinelearning.Workspace {
		return p.Value
	})
	forbidden(t, "a stranger listing", err, "Microsoft.MachineLearningServices/workspaces/")
	_, err = stores.ListStorageAccountKeys(ctx, "rg", "fs", nil)
	refused(t, "the keys of its storage", err, 403, "KeyBasedAuthenticationNotPermitted")
	_, err = a.owner.identities().NewUserAssignedIdentitiesClient().Delete(ctx, "rg", "fs-jobs", nil)
	refused(t, "deleting the identity that it uses", err, 409, "ResourceInUse")
	other := storeBody("")
	other.Kind = ptr("Default")
	err = ended(stores.BeginCreateOrUpdate(ctx, "rg", "fs", other, nil))(t)
	refused(t, "another kind", err, 400, "WorkspaceKindImmutable")
	err = ended(stores.BeginCreateOrUpdate(ctx, "rg", "bad name!", storeBody(""), nil))(t)
	refused(t, "a bad name", err, 400, "InvalidResourceName")

	polled(stores.BeginDelete(ctx, "rg", "fs", nil))(t)
	_, err = stores.Get(ctx, "rg", "fs", nil)
	refused(t, "a deleted store", err, 404, "ResourceNotFound")
	polled(stores.BeginDelete(ctx, "rg", "fs", nil))(t) // deleting again is no error
}

// MI-20, FS-09: datastores and connections name places and identities and hold no secret.
func TestSDKDatastoresAndConnections(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	a.account("rg", "datasource", "box")
	made := a.store("rg", "fs")
	ctx, datastores, connections := t.Context(), a.owner.learning().NewDatastoresClient(), a.owner.learning().NewWorkspaceConnectionsClient()
	body := armmachinelearning.Datastore{Properties: &armmachinelearning.AzureBlobDatastore{
		DatastoreType: ptr(armmachinelearning.DatastoreTypeAzureBlob), AccountName: ptr("datasource"), ContainerName: ptr("box"), Protocol: ptr("https"),
		ResourceGroup: ptr("rg"), SubscriptionID: &a.subscription, Description: ptr("Sources"), Tags: map[string]*string{"a": ptr("b")},
		Credentials:                   &armmachinelearning.NoneDatastoreCredentials{CredentialsType: ptr(armmachinelearning.CredentialsTypeNone)},
		ServiceDataAccessAuthIdentity: ptr(armmachinelearning.ServiceDataAccessAuthIdentityWorkspaceUserAssignedIdentity),
	}}
	done(datastores.CreateOrUpdate(ctx, "rg", "fs", "sources", body, nil))(t)
	got, isBlob := done(datastores.Get(ctx, "rg", "fs", "sources", nil))(t).Properties.(*armmachinelearning.AzureBlobDatastore)
	if !isBlob || *got.AccountName != "datasource" || *got.ContainerName != "box" || *got.Tags["a"] != "b" || *got.IsDefault {
		t.Fatalf("the datastore is %+v", got)
	}
	list := func(options *armmachinelearning.DatastoresClientListOptions) string {
		found := paged(t, datastores.NewListPager("rg", "fs", options), func(p armmachinelearning.DatastoresClientListResponse) []*armmachinelearning.Datastore {
			return p.Value
		})
		return names(found, func(d *armmachinelearning.Datastore) *string { return d.Name })
	}
	for want, options := range map[string]*armmachinelearning.DatastoresClientListOptions{
		"offlinestore sources": {Count: ptr(int32(1))},
		"offlinestore":         {IsDefault: ptr(true)},
		"sources":              {Names: []string{"sources", "absent"}},
	} {
		if got := list(options); got != want {
			t.Errorf("listed %q, want %q", got, want)
		}
	}
	secrets := done(datastores.ListSecrets(ctx, "rg", "fs", "sources", nil))(t)
	if kind := secrets.GetDatastoreSecrets().SecretsType; kind == nil || *kind != "None" {
		t.Fatalf("the secrets are %v", kind)
	}
	keyed := body
	keyed.Properties = &armmachinelearning.AzureBlobDatastore{
		DatastoreType: ptr(armmachinelearning.DatastoreTypeAzureBlob), AccountName: ptr("datasource"), ContainerName: ptr("box"),
		Credentials: &armmachinelearning.AccountKeyDatastoreCredentials{CredentialsType: ptr(armmachinelearning.CredentialsTypeAccountKey), Secrets: &armmachinelearning.AccountKeyDatastoreSecrets{SecretsType: ptr(armmachinelearning.SecretsTypeAccountKey), Key: ptr("a2V5")}},
	}
	_, err := datastores.CreateOrUpdate(ctx, "rg", "fs", "keyed", keyed, nil)
	refused(t, "a datastore with a key", err, 400, "DatastoreCredentialsNotSupported")

	var worker, workerClient string // the identity that materializes
	for id, identity := range made.Identity.UserAssignedIdentities {
		worker, workerClient = id, *identity.ClientID
	}
	made2 := done(connections.Create(ctx, "rg", "fs", "lake", armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource{Properties: &armmachinelearning.ManagedIdentityAuthTypeWorkspaceConnectionProperties{
		AuthType: ptr(armmachinelearning.ConnectionAuthTypeManagedIdentity), Category: ptr(armmachinelearning.ConnectionCategoryADLSGen2), Target: made.Properties.StorageAccount,
		Credentials: &armmachinelearning.WorkspaceConnectionManagedIdentity{ClientID: &workerClient, ResourceID: &worker}, Metadata: map[string]*string{"a": ptr("b")},
	}}, nil))(t)
	if *made2.Name != "lake" {
		t.Fatalf("made %s", *made2.Name)
	}
	connection, byIdentity := done(connections.Get(ctx, "rg", "fs", "lake", nil))(t).Properties.(*armmachinelearning.ManagedIdentityAuthTypeWorkspaceConnectionProperties)
	if !byIdentity || *connection.Target != *made.Properties.StorageAccount || *connection.Credentials.ClientID != workerClient || *connection.Metadata["a"] != "b" {
		t.Fatalf("the connection is %+v", connection)
	}
	offline := done(connections.Get(ctx, "rg", "fs", *made.Properties.FeatureStoreSettings.OfflineStoreConnectionName, nil))(t).Properties.(*armmachinelearning.ManagedIdentityAuthTypeWorkspaceConnectionProperties)
	if *offline.Category != armmachinelearning.ConnectionCategoryADLSGen2 || !strings.Contains(*offline.Target, "/containers/") {
		t.Fatalf("the offline store is %+v", offline)
	}
	listed := paged(t, connections.NewListPager("rg", "fs", &armmachinelearning.WorkspaceConnectionsClientListOptions{Target: made.Properties.StorageAccount}), func(p armmachinelearning.WorkspaceConnectionsClientListResponse) []*armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource {
		return p.Value
	})
	if got := names(listed, func(c *armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource) *string { return c.Name }); got != "lake" {
		t.Fatalf("the connections to the account are %q", got)
	}
	done(connections.ListSecrets(ctx, "rg", "fs", "lake", nil))(t)
	_, err = connections.Create(ctx, "rg", "fs", "secret", armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource{Properties: &armmachinelearning.AccountKeyAuthTypeWorkspaceConnectionProperties{
		AuthType: ptr(armmachinelearning.ConnectionAuthTypeAccountKey), Category: ptr(armmachinelearning.ConnectionCategoryAzureBlob), Target: ptr("x"), Credentials: &armmachinelearning.WorkspaceConnectionAccountKey{Key: ptr("s")},
	}}, nil)
	refused(t, "a connection with a key", err, 400, "ConnectionAuthNotSupported")

	reader := a.principal("reader")
	a.admin.Grant(reader.user.ObjectID, access.RoleReader, *made.ID)
	r := reader.learning()
	done(r.NewDatastoresClient().Get(ctx, "rg", "fs", "sources", nil))(t)
	for action, act := range map[string]func() error{
		ml + "datastores/listSecrets/action": func() error {
			_, err := r.NewDatastoresClient().ListSecrets(ctx, "rg", "fs", "sources", nil)
			return err
		},
		ml + "datastores/write": func() error {
			_, err := r.NewDatastoresClient().CreateOrUpdate(ctx, "rg", "fs", "mine", body, nil)
			return err
		},
		ml + "datastores/delete": func() error { _, err := r.NewDatastoresClient().Delete(ctx, "rg", "fs", "sources", nil); return err },
		ml + "connections/listsecrets/action": func() error {
			_, err := r.NewWorkspaceConnectionsClient().ListSecrets(ctx, "rg", "fs", "lake", nil)
			return err
		},
		ml + "connections/delete": func() error {
			_, err := r.NewWorkspaceConnectionsClient().Delete(ctx, "rg", "fs", "lake", nil)
			return err
		},
	} {
		forbidden(t, "a Reader: "+action, act(), action)
	}
	done(connections.Delete(ctx, "rg", "fs", "lake", nil))(t)
	done(datastores.Delete(ctx, "rg", "fs", "sources", nil))(t)
	_, err = datastores.Get(ctx, "rg", "fs", "sources", nil)
	refused(t, "a deleted datastore", err, http.StatusNotFound, "ResourceNotFound")
}
