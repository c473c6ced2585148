package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
)

// Azure's SDK for Go, unmodified, makes endpoints and deployments, parts requests among them, reads logs and renews keys.
func TestSDKEndpoints(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	factory, ctx := w.clients(w.owner), t.Context()
	endpoints, deployments := factory.NewOnlineEndpointsClient(), factory.NewOnlineDeploymentsClient()
	made := done[armmachinelearning.OnlineEndpointsClientCreateOrUpdateResponse](t)(endpoints.BeginCreateOrUpdate(ctx, "rg", "ws", "fraud", armmachinelearning.OnlineEndpoint{
		Location: ptr("local"), Identity: &armmachinelearning.ManagedServiceIdentity{Type: ptr(armmachinelearning.ManagedServiceIdentityTypeSystemAssigned)},
		Properties: &armmachinelearning.OnlineEndpointProperties{AuthMode: ptr(armmachinelearning.EndpointAuthModeKey)},
	}, nil))
	if *made.Properties.ProvisioningState != armmachinelearning.EndpointProvisioningStateSucceeded || made.Identity.PrincipalID == nil || *made.Properties.ScoringURI == "" {
		t.Fatalf("the endpoint: %+v", made.Properties)
	}
	blue := done[armmachinelearning.OnlineDeploymentsClientCreateOrUpdateResponse](t)(deployments.BeginCreateOrUpdate(ctx, "rg", "ws", "fraud", "blue", armmachinelearning.OnlineDeployment{
		Location: ptr("local"), SKU: &armmachinelearning.SKU{Name: ptr("Default"), Capacity: ptr[int32](2)},
		Properties: &armmachinelearning.ManagedOnlineDeployment{
			EndpointComputeType: ptr(armmachinelearning.EndpointComputeTypeManaged), EnvironmentID: ptr(ws + "/environments/serve/versions/1"), InstanceType: ptr("Standard_DS3_v2"),
			EnvironmentVariables: map[string]*string{"A": ptr("b")}, ScaleSettings: &armmachinelearning.DefaultScaleSettings{ScaleType: ptr(armmachinelearning.ScaleTypeDefault)},
			RequestSettings: &armmachinelearning.OnlineRequestSettings{RequestTimeout: ptr("PT10S"), MaxConcurrentRequestsPerInstance: ptr[int32](3), MaxQueueWait: ptr("PT0.5S")},
			LivenessProbe:   &armmachinelearning.ProbeSettings{Period: ptr("PT1S"), FailureThreshold: ptr[int32](3)},
		},
	}, nil))
	managed, ok := blue.Properties.(*armmachinelearning.ManagedOnlineDeployment)
	if !ok || *managed.ProvisioningState != armmachinelearning.DeploymentProvisioningStateSucceeded || *managed.RequestSettings.MaxConcurrentRequestsPerInstance != 3 || *blue.SKU.Capacity != 2 {
		t.Fatalf("the deployment: %+v", blue.Properties)
	}
	endpoint := made.OnlineEndpoint
	endpoint.Properties.Traffic = map[string]*int32{"blue": ptr[int32](100)}
	parted := done[armmachinelearning.OnlineEndpointsClientCreateOrUpdateResponse](t)(endpoints.BeginCreateOrUpdate(ctx, "rg", "ws", "fraud", endpoint, nil))
	if *parted.Properties.Traffic["blue"] != 100 {
		t.Errorf("traffic: %+v", parted.Properties.Traffic)
	}
	logs := got[armmachinelearning.OnlineDeploymentsClientGetLogsResponse](t)(deployments.GetLogs(ctx, "rg", "ws", "fraud", "blue", armmachinelearning.DeploymentLogsRequest{Tail: ptr[int32](50)}, nil))
	if !strings.Contains(*logs.Content, "serves") {
		t.Errorf("logs: %s", *logs.Content)
	}
	keys := got[armmachinelearning.OnlineEndpointsClientListKeysResponse](t)(endpoints.ListKeys(ctx, "rg", "ws", "fraud", nil))
	done[armmachinelearning.OnlineEndpointsClientRegenerateKeysResponse](t)(endpoints.BeginRegenerateKeys(ctx, "rg", "ws", "fraud", armmachinelearning.RegenerateEndpointKeysRequest{KeyType: ptr(armmachinelearning.KeyTypePrimary)}, nil))
	if now := got[armmachinelearning.OnlineEndpointsClientListKeysResponse](t)(endpoints.ListKeys(ctx, "rg", "ws", "fraud", nil)); *now.PrimaryKey == *keys.PrimaryKey || *now.SecondaryKey != *keys.SecondaryKey {
		t.Error("the wrong key was renewed")
	}
	done[armmachinelearning.OnlineDeploymentsClientUpdateResponse](t)(deployments.BeginUpdate(ctx, "rg", "ws", "fraud", "blue", armmachinelearning.PartialMinimalTrackedResourceWithSKU{SKU: &armmachinelearning.PartialSKU{Capacity: ptr[int32](1)}}, nil))
	if now := got[armmachinelearning.OnlineDeploymentsClientGetResponse](t)(deployments.Get(ctx, "rg", "ws", "fraud", "blue", nil)); *now.SKU.Capacity != 1 {
		t.Errorf("scaled to %d", *now.SKU.Capacity)
	}
	if _, err := deployments.BeginDelete(ctx, "rg", "ws", "fraud", "blue", nil); code(err) != "DeploymentHasTraffic" {
		t.Errorf("deleting what gets requests: %v", err)
	}
	done[armmachinelearning.OnlineEndpointsClientDeleteResponse](t)(endpoints.BeginDelete(ctx, "rg", "ws", "fraud", nil))
	if w.serving.machine.Kept() != 0 {
		t.Error("instances are left")
	}
}
