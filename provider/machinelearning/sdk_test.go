package machinelearning_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/alvara-ml/alvara/access"
)

// bearer is a credential whose token is the holder's object id.
type bearer string

func (b bearer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(b), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// clients makes the unmodified SDK of Azure for somebody; all that is configured is where the server is.
func (w *world) clients(who string) *armmachinelearning.ClientFactory {
	w.t.Helper()
	server := httptest.NewTLSServer(w.manager)
	w.t.Cleanup(server.Close)
	factory, err := armmachinelearning.NewClientFactory("22222222-2222-2222-2222-222222222222", bearer(who), &azarm.ClientOptions{ClientOptions: azcore.ClientOptions{
		Cloud:     cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.azure.com"}}},
		Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return factory
}

func ptr[T any](value T) *T { return &value }

// done follows an operation to its end.
func done[T any](t *testing.T) func(poller *runtime.Poller[T], err error) T {
	return func(poller *runtime.Poller[T], err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		result, err := poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

func got[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func code(err error) string {
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		return response.ErrorCode
	}
	return ""
}

// BX-08: workspaces, connections and computes are managed with Azure's SDK, unmodified.
func TestSDKWorkspace(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", registries+"byo", object{})
	ctx, factory := t.Context(), w.clients(w.owner)
	client := factory.NewWorkspacesClient()
	made := done[armmachinelearning.WorkspacesClientCreateOrUpdateResponse](t)(client.BeginCreateOrUpdate(ctx, "rg", "ws", armmachinelearning.Workspace{
		Location: ptr("local"), Kind: ptr("Default"), Identity: &armmachinelearning.ManagedServiceIdentity{Type: ptr(armmachinelearning.ManagedServiceIdentityTypeSystemAssigned)},
		Properties: &armmachinelearning.WorkspaceProperties{FriendlyName: ptr("Trains"), ContainerRegistry: ptr(registries + "byo"), V1LegacyMode: ptr(false), HbiWorkspace: ptr(true)},
	}, nil))
	if *made.Properties.ContainerRegistry != registries+"byo" || *made.Identity.PrincipalID == "" || *made.Properties.ProvisioningState != armmachinelearning.ProvisioningStateSucceeded || !*made.Properties.HbiWorkspace {
		t.Errorf("the workspace: %+v", made.Properties)
	}
	updated := done[armmachinelearning.WorkspacesClientUpdateResponse](t)(client.BeginUpdate(ctx, "rg", "ws", armmachinelearning.WorkspaceUpdateParameters{
		Tags: map[string]*string{"a": ptr("b")}, Properties: &armmachinelearning.WorkspacePropertiesUpdateParameters{Description: ptr("changed")},
	}, nil))
	if *updated.Properties.Description != "changed" || *updated.Tags["a"] != "b" || *updated.Properties.FriendlyName != "Trains" {
		t.Errorf("the update: %+v", updated.Properties)
	}
	diagnosis := done[armmachinelearning.WorkspacesClientDiagnoseResponse](t)(client.BeginDiagnose(ctx, "rg", "ws", &armmachinelearning.WorkspacesClientBeginDiagnoseOptions{
		Parameters: &armmachinelearning.DiagnoseWorkspaceParameters{Value: &armmachinelearning.DiagnoseRequestProperties{}},
	}))
	if diagnosis.Value == nil || len(diagnosis.Value.StorageAccountResults) != 0 || len(diagnosis.Value.OtherResults) != 0 {
		t.Errorf("the diagnosis: %+v", diagnosis.Value)
	}
	done[armmachinelearning.WorkspacesClientResyncKeysResponse](t)(client.BeginResyncKeys(ctx, "rg", "ws", nil))
	if _, err := client.ListKeys(ctx, "rg", "ws", nil); code(err) != "KeyBasedAuthenticationNotPermitted" {
		t.Errorf("keys: %v", err)
	}
	names := []string{}
	for pager := client.NewListByResourceGroupPager("rg", nil); pager.More(); {
		for _, workspace := range got[armmachinelearning.WorkspacesClientListByResourceGroupResponse](t)(pager.NextPage(ctx)).Value {
			names = append(names, *workspace.Name)
		}
	}
	if strings.Join(names, " ") != "ws" {
		t.Errorf("the list: %v", names)
	}
	done[armmachinelearning.WorkspacesClientDeleteResponse](t)(client.BeginDelete(ctx, "rg", "ws", nil))
	if _, err := client.Get(ctx, "rg", "ws", nil); code(err) != "ResourceNotFound" {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestSDKConnections(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	id, _ := w.identity("puller")
	clientID := w.must("GET", id, nil).text("properties.clientId")
	ctx, client := t.Context(), w.clients(w.owner).NewWorkspaceConnectionsClient()
	create := func(name string, properties armmachinelearning.WorkspaceConnectionPropertiesV2Classification) armmachinelearning.WorkspaceConnectionPropertiesV2Classification {
		t.Helper()
		return got[armmachinelearning.WorkspaceConnectionsClientCreateResponse](t)(client.Create(ctx, "rg", "ws", name, armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource{Properties: properties}, nil)).Properties
	}
	registry, _ := create("registry", &armmachinelearning.ManagedIdentityAuthTypeWorkspaceConnectionProperties{
		AuthType: ptr(armmachinelearning.ConnectionAuthTypeManagedIdentity), Category: ptr(armmachinelearning.ConnectionCategoryContainerRegistry), Target: ptr("private.azurecr.io"),
		Credentials: &armmachinelearning.WorkspaceConnectionManagedIdentity{ResourceID: &id, ClientID: &clientID},
	}).(*armmachinelearning.ManagedIdentityAuthTypeWorkspaceConnectionProperties)
	if registry == nil || *registry.Credentials.ClientID != clientID {
		t.Errorf("the registry: %+v", registry)
	}
	feed, _ := create("feed", &armmachinelearning.PATAuthTypeWorkspaceConnectionProperties{
		AuthType: ptr(armmachinelearning.ConnectionAuthTypePAT), Category: ptr(armmachinelearning.ConnectionCategoryPythonFeed), Target: ptr("https://feed"),
		Credentials: &armmachinelearning.WorkspaceConnectionPersonalAccessToken{Pat: ptr("secret")},
	}).(*armmachinelearning.PATAuthTypeWorkspaceConnectionProperties)
	if feed == nil || feed.Credentials != nil {
		t.Errorf("the feed shows %+v", feed)
	}
	secrets, _ := got[armmachinelearning.WorkspaceConnectionsClientListSecretsResponse](t)(client.ListSecrets(ctx, "rg", "ws", "feed", nil)).Properties.(*armmachinelearning.PATAuthTypeWorkspaceConnectionProperties)
	if secrets == nil || *secrets.Credentials.Pat != "secret" {
		t.Errorf("the feed's secrets: %+v", secrets)
	}
	if _, err := client.Delete(ctx, "rg", "ws", "feed", nil); err != nil {
		t.Error(err)
	}
	if _, err := client.Get(ctx, "rg", "ws", "feed", nil); code(err) != "ResourceNotFound" {
		t.Errorf("after the deletion: %v", err)
	}
	reader := w.person("reader")
	w.grant(reader, access.RoleReader, ws)
	if _, err := w.clients(reader).NewWorkspaceConnectionsClient().ListSecrets(ctx, "rg", "ws", "registry", nil); code(err) != "AuthorizationFailed" {
		t.Errorf("a reader lists secrets: %v", err)
	}
}

func TestSDKComputes(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	id, principal := w.identity("puller")
	ctx, client := t.Context(), w.clients(w.owner).NewComputeClient()
	cluster := func(max int32) *armmachinelearning.AmlCompute {
		return &armmachinelearning.AmlCompute{ComputeType: ptr(armmachinelearning.ComputeTypeAmlCompute), Properties: &armmachinelearning.AmlComputeProperties{
			VMSize: ptr("STANDARD_DS3_v2"), OSType: ptr(armmachinelearning.OsTypeLinux), EnableNodePublicIP: ptr(true), IsolatedNetwork: ptr(false),
			RemoteLoginPortPublicAccess: ptr(armmachinelearning.RemoteLoginPortPublicAccessNotSpecified),
			ScaleSettings:               &armmachinelearning.ScaleSettings{MinNodeCount: ptr(int32(0)), MaxNodeCount: &max, NodeIdleTimeBeforeScaleDown: ptr("PT120S")},
		}}
	}
	made := done[armmachinelearning.ComputeClientCreateOrUpdateResponse](t)(client.BeginCreateOrUpdate(ctx, "rg", "ws", "cpu", armmachinelearning.ComputeResource{
		Location: ptr("local"), Identity: &armmachinelearning.ManagedServiceIdentity{Type: ptr(armmachinelearning.ManagedServiceIdentityTypeSystemAssigned)}, Properties: cluster(2),
	}, nil))
	properties, _ := made.Properties.(*armmachinelearning.AmlCompute)
	if properties == nil || *properties.ProvisioningState != armmachinelearning.ProvisioningStateSucceeded || *properties.Properties.CurrentNodeCount != 0 || *properties.Properties.AllocationState != armmachinelearning.AllocationStateSteady || properties.CreatedOn == nil {
		t.Fatalf("the cluster: %+v", made.Properties)
	}
	if held := w.roles(*made.Identity.PrincipalID, registries+"byo"); !held[access.RoleAcrPull] { // MI-05
		t.Errorf("the cluster's identity holds %v", held)
	}
	done[armmachinelearning.ComputeClientUpdateResponse](t)(client.BeginUpdate(ctx, "rg", "ws", "cpu", armmachinelearning.ClusterUpdateParameters{Properties: &armmachinelearning.ClusterUpdateProperties{
		Properties: &armmachinelearning.ScaleSettingsInformation{ScaleSettings: &armmachinelearning.ScaleSettings{MaxNodeCount: ptr(int32(7))}},
	}}, nil))
	// What was read is written again, with another identity.
	again := got[armmachinelearning.ComputeClientGetResponse](t)(client.Get(ctx, "rg", "ws", "cpu", nil))
	again.Identity = &armmachinelearning.ManagedServiceIdentity{Type: ptr(armmachinelearning.ManagedServiceIdentityTypeUserAssigned), UserAssignedIdentities: map[string]*armmachinelearning.UserAssignedIdentity{id: {}}}
	made = done[armmachinelearning.ComputeClientCreateOrUpdateResponse](t)(client.BeginCreateOrUpdate(ctx, "rg", "ws", "cpu", again.ComputeResource, nil))
	properties, _ = made.Properties.(*armmachinelearning.AmlCompute)
	if *properties.Properties.ScaleSettings.MaxNodeCount != 7 || *made.Identity.UserAssignedIdentities[id].PrincipalID != principal {
		t.Errorf("the cluster: %+v", properties.Properties.ScaleSettings)
	}
	if _, err := client.BeginStart(ctx, "rg", "ws", "cpu", nil); code(err) != "ComputeOperationNotSupported" {
		t.Errorf("start: %v", err)
	}
	for pager := client.NewListNodesPager("rg", "ws", "cpu", nil); pager.More(); {
		if page := got[armmachinelearning.ComputeClientListNodesResponse](t)(pager.NextPage(ctx)); len(page.Nodes) != 0 {
			t.Errorf("nodes: %v", page.Nodes)
		}
	}
	mine := done[armmachinelearning.ComputeClientCreateOrUpdateResponse](t)(client.BeginCreateOrUpdate(ctx, "rg", "ws", "mine", armmachinelearning.ComputeResource{
		Properties: &armmachinelearning.ComputeInstance{ComputeType: ptr(armmachinelearning.ComputeTypeComputeInstance), Properties: &armmachinelearning.ComputeInstanceProperties{VMSize: ptr("Standard_DS3_v2")}},
	}, nil))
	if instance, _ := mine.Properties.(*armmachinelearning.ComputeInstance); instance == nil || *instance.Properties.State != armmachinelearning.ComputeInstanceStateRunning {
		t.Errorf("the instance: %+v", mine.Properties)
	}
	done[armmachinelearning.ComputeClientDeleteResponse](t)(client.BeginDelete(ctx, "rg", "ws", "cpu", armmachinelearning.UnderlyingResourceActionDelete, nil))
	if _, err := client.Get(ctx, "rg", "ws", "cpu", nil); code(err) != "ResourceNotFound" {
		t.Errorf("after the deletion: %v", err)
	}
}
