package acceptance

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

// The tests in the sdk files drive a server with the Azure SDK for Go, unmodified (BX-08): all that they configure is
// where the server is and whose certificates to trust.

// azure is a server as the SDK's users meet it.
type azure struct {
	t            *testing.T
	env          *testenv.Env
	admin        *testenv.User
	subscription string // the GUID
	owner        *client
}

// client is one principal's way to every plane.
type client struct {
	azure      *azure
	user       *testenv.User
	credential azcore.TokenCredential
}

const patience = 20 * time.Second // for a poller or a job; they take milliseconds

func newAzure(t *testing.T) *azure {
	t.Helper()
	env := testenv.Start(t)
	a := &azure{t: t, env: env, admin: env.Admin(), subscription: env.Server.Endpoints.Subscription}
	a.owner = a.principal("owner")
	a.admin.Grant(a.owner.user.ObjectID, access.RoleOwner, "/subscriptions/"+a.subscription)
	return a
}

// options are the SDK's settings for this server.
func (a *azure) options() azcore.ClientOptions {
	e := a.env.Server.Endpoints
	return azcore.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: e.Authority,
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: e.ResourceManager, Audience: "https://management.azure.com"},
			},
		},
		Transport: a.env.HTTP,
		Retry:     policy.RetryOptions{MaxRetries: -1}, // an error is a finding, not a reason to wait
	}
}

func (a *azure) armOptions() *azarm.ClientOptions {
	return &azarm.ClientOptions{ClientOptions: a.options()}
}

// principal makes a service principal that signs in with a secret and holds no role.
func (a *azure) principal(name string) *client {
	a.t.Helper()
	user := a.env.ServicePrincipal(name)
	credential, err := azidentity.NewClientSecretCredential(a.env.Server.Endpoints.Tenant, user.ClientID, user.Secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: a.options(), DisableInstanceDiscovery: true,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return &client{azure: a, user: user, credential: credential}
}

func (c *client) resources() *armresources.ClientFactory {
	return done(armresources.NewClientFactory(c.azure.subscription, c.credential, c.azure.armOptions()))(c.azure.t)
}

func (c *client) identities() *armmsi.ClientFactory {
	return done(armmsi.NewClientFactory(c.azure.subscription, c.credential, c.azure.armOptions()))(c.azure.t)
}

func (c *client) authorization() *armauthorization.ClientFactory {
	return done(armauthorization.NewClientFactory(c.azure.subscription, c.credential, c.azure.armOptions()))(c.azure.t)
}

func (c *client) storage() *armstorage.ClientFactory {
	return done(armstorage.NewClientFactory(c.azure.subscription, c.credential, c.azure.armOptions()))(c.azure.t)
}

func (c *client) learning() *armmachinelearning.ClientFactory {
	return done(armmachinelearning.NewClientFactory(c.azure.subscription, c.credential, c.azure.armOptions()))(c.azure.t)
}

// blobs gives the blob client for an account's primary endpoint.
func (c *client) blobs(endpoint string) *azblob.Client {
	return done(azblob.NewClient(endpoint, c.credential, &azblob.ClientOptions{ClientOptions: c.azure.options()}))(c.azure.t)
}

// group makes a resource group.
func (a *azure) group(name string) {
	a.t.Helper()
	location := "local"
	done(a.owner.resources().NewResourceGroupsClient().CreateOrUpdate(a.t.Context(), name, armresources.ResourceGroup{Location: &location}, nil))(a.t)
}

// account makes a storage account with a container and gives the account's blob endpoint.
func (a *azure) account(group, name, container string) string {
	a.t.Helper()
	f, location := a.owner.storage(), "local"
	made := polled(f.NewAccountsClient().BeginCreate(a.t.Context(), group, name, armstorage.AccountCreateParameters{
		Kind: ptr(armstorage.KindStorageV2), SKU: &armstorage.SKU{Name: ptr(armstorage.SKUNameStandardLRS)}, Location: &location,
	}, nil))(a.t)
	done(f.NewBlobContainersClient().Create(a.t.Context(), group, name, container, armstorage.BlobContainer{}, nil))(a.t)
	return *made.Properties.PrimaryEndpoints.Blob
}

// done passes on what a call gave, and ends the test when it failed.
func done[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// polled waits for a long-running operation to end.
func polled[T any](poller *runtime.Poller[T], err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		return done(await(t, poller, err))(t)
	}
}

// ended waits for a long-running operation to end and gives the error that it began or ended with.
func ended[T any](poller *runtime.Poller[T], err error) func(testing.TB) error {
	return func(t testing.TB) error {
		t.Helper()
		_, err := await(t, poller, err)
		return err
	}
}

func await[T any](t testing.TB, poller *runtime.Poller[T], err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: 20 * time.Millisecond})
}

// paged collects the items of all pages.
func paged[P, V any](t testing.TB, pager *runtime.Pager[P], items func(P) []*V) []*V {
	t.Helper()
	all, err := pages(t.Context(), pager, items)
	return done(all, err)(t)
}

func pages[P, V any](ctx context.Context, pager *runtime.Pager[P], items func(P) []*V) ([]*V, error) {
	var all []*V
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
	}
	return all, nil
}

// refused wants the error that the SDK gives its users: a ResponseError with the status and the code.
func refused(t testing.TB, what string, err error, status int, code string) *azcore.ResponseError {
	t.Helper()
	var e *azcore.ResponseError
	if !errors.As(err, &e) {
		t.Fatalf("%s: got %v, want an azcore.ResponseError with %d %s", what, err, status, code)
	}
	if e.StatusCode != status || e.ErrorCode != code {
		t.Fatalf("%s: got %d %s, want %d %s: %v", what, e.StatusCode, e.ErrorCode, status, code, err)
	}
	return e
}

// forbidden wants the resource manager's refusal to somebody without the role, which names the action that is missing.
func forbidden(t testing.TB, what string, err error, action string) {
	t.Helper()
	e := refused(t, what, err, http.StatusForbidden, "AuthorizationFailed")
	if !strings.Contains(strings.ToLower(e.Error()), strings.ToLower(action)) {
		t.Fatalf("%s: the refusal does not name %s: %v", what, action, e)
	}
}

func ptr[T any](value T) *T { return &value }

// names lists what a function gives for each item, parted by blanks.
func names[V any](items []*V, name func(*V) *string) string {
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, *name(item))
	}
	return strings.Join(out, " ")
}
