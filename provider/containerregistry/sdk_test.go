package containerregistry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerregistry/armcontainerregistry"
)

// token is a credential that gives an object id for a token.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// sdk gives the clients of the Go SDK, as somebody, over TLS.
func (w *world) sdk(who string) (*armcontainerregistry.RegistriesClient, *armcontainerregistry.RunsClient) {
	w.t.Helper()
	server := httptest.NewTLSServer(w.manager)
	w.t.Cleanup(server.Close)
	factory, err := armcontainerregistry.NewClientFactory(subscriptionID, token(who), &arm.ClientOptions{DisableRPRegistration: true, ClientOptions: azcore.ClientOptions{
		Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1},
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.azure.com/"}}},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return factory.NewRegistriesClient(), factory.NewRunsClient()
}

// polled waits for the end of a long-running operation of the SDK.
func polled[T any](t *testing.T, poller *runtime.Poller[T], err error) T {
	t.Helper()
	var none T
	if err != nil {
		t.Fatal(err)
		return none
	}
	out, err := poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func isStatus(t *testing.T, what string, err error, status int, code string) {
	t.Helper()
	var refusal *azcore.ResponseError
	if !errors.As(err, &refusal) || refusal.StatusCode != status || refusal.ErrorCode != code {
		t.Errorf("%s: %v; want %d %s", what, err, status, code)
	}
}

// TestRegistriesSDK (MI-02) walks through the methods of the SDK's client for registries.
func TestRegistriesSDK(t *testing.T) {
	w := newWorld(t)
	client, _ := w.sdk(w.owner)
	ctx := t.Context()
	kind := to.Ptr("Microsoft.ContainerRegistry/registries")
	free, err := client.CheckNameAvailability(ctx, armcontainerregistry.RegistryNameCheckRequest{Name: to.Ptr("fraudacr"), Type: kind}, nil)
	if err != nil || !*free.NameAvailable {
		t.Fatalf("%+v, %v", free, err)
	}
	begun, err := client.BeginCreate(ctx, "rg", "fraudacr", armcontainerregistry.Registry{
		Location: to.Ptr("local"), SKU: &armcontainerregistry.SKU{Name: to.Ptr(armcontainerregistry.SKUNameStandard)}, Tags: map[string]*string{"a": to.Ptr("b")},
		Identity:   &armcontainerregistry.IdentityProperties{Type: to.Ptr(armcontainerregistry.ResourceIdentityTypeSystemAssigned)},
		Properties: &armcontainerregistry.RegistryProperties{Policies: &armcontainerregistry.Policies{RetentionPolicy: &armcontainerregistry.RetentionPolicy{Days: to.Ptr[int32](3), Status: to.Ptr(armcontainerregistry.PolicyStatusEnabled)}}},
	}, nil)
	made := polled(t, begun, err).Registry
	p := made.Properties
	if *made.ID != fraud || *p.AdminUserEnabled || *p.LoginServer != "127.0.0.1:50001" || *p.ProvisioningState != armcontainerregistry.ProvisioningStateSucceeded || p.CreationDate.IsZero() ||
		*p.Policies.RetentionPolicy.Days != 3 || p.Policies.RetentionPolicy.LastUpdatedTime.IsZero() || *made.Identity.PrincipalID == "" || *made.SKU.Tier != armcontainerregistry.SKUTierStandard {
		t.Errorf("made is %+v", made)
	}
	if taken, err := client.CheckNameAvailability(ctx, armcontainerregistry.RegistryNameCheckRequest{Name: to.Ptr("fraudacr"), Type: kind}, nil); err != nil || *taken.NameAvailable || *taken.Reason != "AlreadyExists" {
		t.Errorf("%+v, %v", taken, err)
	}
	_, err = client.ListCredentials(ctx, "rg", "fraudacr", nil)
	isStatus(t, "credentials while the admin user is off", err, 400, "UnAuthorizedForCredentialOperations")

	changed, err := client.BeginUpdate(ctx, "rg", "fraudacr", armcontainerregistry.RegistryUpdateParameters{
		SKU: &armcontainerregistry.SKU{Name: to.Ptr(armcontainerregistry.SKUNamePremium)}, Tags: map[string]*string{"c": to.Ptr("d")},
		Properties: &armcontainerregistry.RegistryPropertiesUpdateParameters{AdminUserEnabled: to.Ptr(true)},
	}, nil)
	if got := polled(t, changed, err).Registry; !*got.Properties.AdminUserEnabled || *got.SKU.Name != armcontainerregistry.SKUNamePremium || *got.Properties.Policies.RetentionPolicy.Days != 3 {
		t.Errorf("changed is %+v", got)
	}
	credentials, err := client.ListCredentials(ctx, "rg", "fraudacr", nil)
	if err != nil || *credentials.Username != "fraudacr" || len(credentials.Passwords) != 2 {
		t.Fatalf("%+v, %v", credentials, err)
	}
	renewed, err := client.RegenerateCredential(ctx, "rg", "fraudacr", armcontainerregistry.RegenerateCredentialParameters{Name: to.Ptr(armcontainerregistry.PasswordNamePassword)}, nil)
	if err != nil || *renewed.Passwords[0].Name != armcontainerregistry.PasswordNamePassword || *renewed.Passwords[0].Value == *credentials.Passwords[0].Value || *renewed.Passwords[1].Value != *credentials.Passwords[1].Value {
		t.Errorf("%+v, %v", renewed, err)
	}
	usage, err := client.ListUsages(ctx, "rg", "fraudacr", nil)
	if err != nil || len(usage.Value) != 2 || *usage.Value[0].Unit != armcontainerregistry.RegistryUsageUnitBytes || *usage.Value[0].Limit != 500<<30 {
		t.Errorf("%+v, %v", usage, err)
	}
	if got, err := client.Get(ctx, "rg", "FraudAcr", nil); err != nil || *got.Name != "fraudacr" || *got.Properties.LoginServer != *p.LoginServer {
		t.Errorf("%+v, %v", got, err)
	}
	for what, pager := range map[string]func() (int, error){
		"the subscription's": func() (int, error) {
			page, err := client.NewListPager(nil).NextPage(ctx)
			return len(page.Value), err
		},
		"the group's": func() (int, error) {
			page, err := client.NewListByResourceGroupPager("rg", nil).NextPage(ctx)
			return len(page.Value), err
		},
	} {
		if n, err := pager(); n != 1 || err != nil {
			t.Errorf("%s are %d, %v", what, n, err)
		}
	}
	for range 2 { // the second one finds nothing
		deleted, err := client.BeginDelete(ctx, "rg", "fraudacr", nil)
		polled(t, deleted, err)
	}
	_, err = client.Get(ctx, "rg", "fraudacr", nil)
	isStatus(t, "deleted", err, http.StatusNotFound, "ResourceNotFound")
	_, err = client.BeginCreate(ctx, "rg", "x", armcontainerregistry.Registry{Location: to.Ptr("local"), SKU: &armcontainerregistry.SKU{Name: to.Ptr(armcontainerregistry.SKUNameBasic)}}, nil)
	isStatus(t, "a bad name", err, 400, "InvalidResourceName")
	stranger, _ := w.sdk(w.person("stranger"))
	_, err = stranger.Get(ctx, "rg", "fraudacr", nil)
	isStatus(t, "a stranger", err, 403, "AuthorizationFailed")
}

// TestRunsSDK schedules, follows, lists, changes and cancels runs with the SDK.
func TestRunsSDK(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	uami := w.must("PUT", builder, map[string]any{"location": "local"})
	client, runs := w.sdk(w.owner)
	ctx := t.Context()
	schedule := func() armcontainerregistry.Run {
		t.Helper()
		source, err := client.GetBuildSourceUploadURL(ctx, "rg", "fraudacr", nil)
		if err != nil || *source.UploadURL == "" {
			t.Fatalf("%+v, %v", source, err)
		}
		poller, err := client.BeginScheduleRun(ctx, "rg", "fraudacr", &armcontainerregistry.DockerBuildRequest{
			DockerFilePath: to.Ptr("Dockerfile"), SourceLocation: source.RelativePath, ImageNames: []*string{to.Ptr("app:{{.Run.ID}}")}, IsPushEnabled: to.Ptr(true), Timeout: to.Ptr[int32](3600),
			Platform:           &armcontainerregistry.PlatformProperties{OS: to.Ptr(armcontainerregistry.OSLinux), Architecture: to.Ptr(armcontainerregistry.ArchitectureAmd64)},
			Arguments:          []*armcontainerregistry.Argument{{Name: to.Ptr("V"), Value: to.Ptr("1")}, {Name: to.Ptr("S"), Value: to.Ptr("s"), IsSecret: to.Ptr(true)}},
			AgentConfiguration: &armcontainerregistry.AgentProperties{CPU: to.Ptr[int32](2)},
			Credentials: &armcontainerregistry.Credentials{SourceRegistry: &armcontainerregistry.SourceRegistryCredentials{LoginMode: to.Ptr(armcontainerregistry.SourceRegistryLoginModeDefault)},
				CustomRegistries: map[string]*armcontainerregistry.CustomRegistryCredentials{"127.0.0.1:50001": {Identity: to.Ptr(uami.text("properties.clientId"))}}},
		}, nil)
		return polled(t, poller, err).Run
	}
	run := schedule()
	if *run.ID != fraud+"/runs/cr1" || *run.Properties.RunID != "cr1" || run.Properties.CreateTime.IsZero() {
		t.Errorf("scheduled is %+v", run)
	}
	w.ended(*run.ID)
	got, err := runs.Get(ctx, "rg", "fraudacr", "cr1", nil)
	p := got.Properties
	if err != nil || *p.Status != armcontainerregistry.RunStatusSucceeded || *p.RunType != armcontainerregistry.RunTypeQuickBuild || p.StartTime.IsZero() || p.FinishTime.IsZero() ||
		len(p.OutputImages) != 1 || *p.OutputImages[0].Tag != "cr1" || *p.OutputImages[0].Digest != digest || *p.ProvisioningState != armcontainerregistry.ProvisioningStateSucceeded {
		t.Errorf("%+v, %v", got, err)
	}
	if log, err := runs.GetLogSasURL(ctx, "rg", "fraudacr", "cr1", nil); err != nil || *log.LogLink == "" {
		t.Errorf("%+v, %v", log, err)
	}
	update, err := runs.BeginUpdate(ctx, "rg", "fraudacr", "cr1", armcontainerregistry.RunUpdateParameters{IsArchiveEnabled: to.Ptr(true)}, nil)
	if kept := polled(t, update, err); !*kept.Properties.IsArchiveEnabled {
		t.Errorf("%+v", kept)
	}
	begun := w.build.hold()
	schedule()
	<-begun
	cancel, err := runs.BeginCancel(ctx, "rg", "fraudacr", "cr2", nil)
	polled(t, cancel, err)
	if canceled, err := runs.Get(ctx, "rg", "fraudacr", "cr2", nil); err != nil || *canceled.Properties.Status != armcontainerregistry.RunStatusCanceled {
		t.Errorf("%+v, %v", canceled, err)
	}
	for filter, want := range map[string]int{"": 2, "Status eq 'Canceled'": 1, "RunId eq 'cr9'": 0} {
		options := &armcontainerregistry.RunsClientListOptions{}
		if filter != "" {
			options.Filter = to.Ptr(filter)
		}
		page, err := runs.NewListPager("rg", "fraudacr", options).NextPage(ctx)
		if err != nil || len(page.Value) != want {
			t.Errorf("%q: %d runs, %v", filter, len(page.Value), err)
		}
	}
	if page, err := runs.NewListPager("rg", "fraudacr", &armcontainerregistry.RunsClientListOptions{Top: to.Ptr[int32](1)}).NextPage(ctx); err != nil || len(page.Value) != 1 || *page.Value[0].Name != "cr2" {
		t.Errorf("the newest is %+v, %v", page.Value, err)
	}
	_, err = client.BeginScheduleRun(ctx, "rg", "fraudacr", &armcontainerregistry.EncodedTaskRunRequest{EncodedTaskContent: to.Ptr("x"), Platform: &armcontainerregistry.PlatformProperties{OS: to.Ptr(armcontainerregistry.OSLinux)}}, nil)
	isStatus(t, "a task", err, 400, "NotSupported")
	_, err = runs.Get(ctx, "rg", "fraudacr", "cr99", nil)
	isStatus(t, "a run that is not there", err, 404, "ResourceNotFound")
}
