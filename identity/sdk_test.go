package identity

import (
	"context"
	"crypto"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// These tests drive the service with the Azure SDK for Go, unmodified.

func (w *world) clientOptions(transport policy.Transporter) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: w.server.URL},
		Transport: transport,
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
}

func (w *world) sdkToken(credential azcore.TokenCredential, err error, scope string) string {
	w.t.Helper()
	w.must(err)
	token, err := credential.GetToken(w.ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	w.must(err)
	if !token.ExpiresOn.After(time.Now()) {
		w.t.Fatalf("the token expires on %v", token.ExpiresOn)
	}
	return token.Token
}

// proxied brings every host to the server, as a CONNECT proxy beside it does.
type proxied struct {
	target *url.URL
	next   http.RoundTripper
}

func (p proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.URL.Host = r.URL.Host, p.target.Host
	return p.next.RoundTrip(r)
}

func (w *world) proxy() *http.Client {
	target, err := url.Parse(w.server.URL)
	w.must(err)
	return &http.Client{Transport: proxied{target, w.server.Client().Transport}}
}

func TestSDKClientSecretCredential(t *testing.T) {
	w := newWorld(t)
	application, service, secret := w.app("ci")
	for _, scope := range []string{"https://management.azure.com/.default", "https://management.azure.com//.default"} {
		credential, err := azidentity.NewClientSecretCredential(testTenant, application.AppID, secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: w.clientOptions(w.server.Client()), DisableInstanceDiscovery: true,
		})
		w.wantAllowed(w.sdkToken(credential, err, scope), "arm", service.ID)
	}
	credential, err := azidentity.NewClientSecretCredential(testTenant, application.AppID, "wrong", &azidentity.ClientSecretCredentialOptions{
		ClientOptions: w.clientOptions(w.server.Client()), DisableInstanceDiscovery: true,
	})
	w.must(err)
	_, err = credential.GetToken(w.ctx, policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Fatalf("a wrong secret: %v", err)
	}
}

// With instance discovery the SDK drops the port, so a proxy has to bring it to the server.
func TestSDKWithInstanceDiscovery(t *testing.T) {
	w := newWorld(t)
	application, service, secret := w.app("ci")
	credential, err := azidentity.NewClientSecretCredential(testTenant, application.AppID, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: w.clientOptions(w.proxy()),
	})
	w.wantAllowed(w.sdkToken(credential, err, "https://management.azure.com/.default"), "arm", service.ID)
}

// The public authority, with the server behind it.
func TestSDKAgainstAnAlias(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Aliases = []string{"https://login.microsoftonline.com"} })
	application, service, secret := w.app("ci")
	options := w.clientOptions(w.proxy())
	options.Cloud = cloud.AzurePublic
	credential, err := azidentity.NewClientSecretCredential(testTenant, application.AppID, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	w.wantAllowed(w.sdkToken(credential, err, "https://management.core.windows.net//.default"), "arm", service.ID)
}

func TestSDKClientCertificateCredential(t *testing.T) {
	w := newCertificateWorld(t)
	certificate, err := x509.ParseCertificate(w.der)
	w.must(err)
	for _, chain := range []bool{false, true} {
		credential, err := azidentity.NewClientCertificateCredential(testTenant, w.application.AppID, []*x509.Certificate{certificate}, crypto.PrivateKey(w.key), &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: w.clientOptions(w.server.Client()), DisableInstanceDiscovery: true, SendCertificateChain: chain,
		})
		w.wantAllowed(w.sdkToken(credential, err, "https://storage.azure.com/.default"), "storage", w.principal.ID)
	}
}

func TestSDKWorkloadIdentityCredential(t *testing.T) {
	outside := newOutsideIssuer(t)
	w := newWorld(t, func(c *Config) { c.HTTPClient = outside.server.Client() })
	identity, _ := w.managed("workload")
	ops, err := w.directory.SetFederatedCredentialsOps(identity.PrincipalID, []FederatedCredential{{
		Name: "k8s", Issuer: outside.server.URL, Subject: "system:serviceaccount:ns:sa", Audiences: []string{tokenExchange},
	}})
	w.must(err)
	_, err = w.store.Apply(w.ctx, ops...)
	w.must(err)
	file := filepath.Join(t.TempDir(), "token")
	w.must(os.WriteFile(file, []byte(outside.sign(t, outside.claims(w))), 0o600))
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: w.clientOptions(w.server.Client()), DisableInstanceDiscovery: true,
		TenantID: testTenant, ClientID: identity.ClientID, TokenFilePath: file,
	})
	w.wantAllowed(w.sdkToken(credential, err, "https://management.azure.com/.default"), "arm", identity.PrincipalID)
}

func setEnv(t *testing.T, env []string) {
	t.Helper()
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

// MI-20: App-Service form.
func TestSDKManagedIdentityCredential(t *testing.T) {
	w := newManagedWorld(t)
	setEnv(t, Env(w.endpoint.URL, w.secret, ""))
	credential, err := azidentity.NewManagedIdentityCredential(nil)
	w.wantAllowed(w.sdkToken(credential, err, "https://management.azure.com/.default"), "arm", w.first.PrincipalID)
	for _, id := range []azidentity.ManagedIDKind{azidentity.ClientID(w.first.ClientID), azidentity.ResourceID(w.firstID), azidentity.ObjectID(w.first.PrincipalID)} {
		credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: id})
		w.wantAllowed(w.sdkToken(credential, err, "https://storage.azure.com/.default"), "storage", w.first.PrincipalID)
	}
	credential, err = azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(w.outside.ClientID)})
	w.must(err)
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	if _, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}}); err == nil {
		t.Fatal("an identity of another run gives a token")
	} else if ctx.Err() != nil {
		t.Fatal("the SDK tries an unknown identity again and again")
	}
}

// MI-20: Azure-ML form.
func TestSDKManagedIdentityCredentialInAzureML(t *testing.T) {
	w := newManagedWorld(t)
	for _, variable := range Env(w.endpoint.URL, w.secret, w.second.ClientID) {
		if !strings.HasPrefix(variable, "IDENTITY_") {
			setEnv(t, []string{variable})
		}
	}
	// MSAL remembers the tokens of the default identity for the whole process, so another test's resource must not be asked for.
	credential, err := azidentity.NewManagedIdentityCredential(nil)
	w.wantAllowed(w.sdkToken(credential, err, "https://graph.microsoft.com/.default"), "graph", w.second.PrincipalID)
	credential, err = azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(w.first.ClientID)})
	w.wantAllowed(w.sdkToken(credential, err, "https://storage.azure.com/.default"), "storage", w.first.PrincipalID)
}

func TestManagedEndpointNeverRedirects(t *testing.T) {
	w := newManagedWorld(t)
	for _, path := range []string{"/msi/token/", "//msi/token", "/x/../msi/token", "/MSI/token", "/"} {
		request := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path+"?"+appService, nil)
		request.Header.Set("X-IDENTITY-HEADER", w.secret)
		recorder := httptest.NewRecorder()
		(&ManagedEndpoint{Service: w.service, Runs: w.runs}).ServeHTTP(recorder, request)
		if recorder.Code >= 300 && recorder.Code < 400 {
			t.Fatalf("%s answers %d", path, recorder.Code)
		}
	}
}
