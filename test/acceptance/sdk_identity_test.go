package acceptance

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/identity"
)

// groupsSeen lists the resource groups that a credential's holder sees.
func groupsSeen(a *azure, credential azcore.TokenCredential) (string, error) {
	c := &client{azure: a, credential: credential}
	groups, err := pages(a.t.Context(), c.resources().NewResourceGroupsClient().NewListPager(nil), func(p armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup { return p.Value })
	return names(groups, func(g *armresources.ResourceGroup) *string { return g.Name }), err
}

// FS-02, BX-08: a service principal with a secret, under both names of the resource manager's audience; a wrong secret is
// told as one.
func TestSDKClientSecret(t *testing.T) {
	a := newAzure(t)
	a.group("seen")
	for _, audience := range []string{"https://management.azure.com", "https://management.core.windows.net/", a.env.Server.Endpoints.ResourceManager} {
		options := a.armOptions()
		options.Cloud.Services[cloud.ResourceManager] = cloud.ServiceConfiguration{Endpoint: a.env.Server.Endpoints.ResourceManager, Audience: audience}
		groups := done(armresources.NewResourceGroupsClient(a.subscription, a.owner.credential, options))(t)
		done(groups.Get(t.Context(), "seen", nil))(t)
	}
	credential, err := azidentity.NewClientSecretCredential(a.env.Server.Endpoints.Tenant, a.owner.user.ClientID, "wrong", &azidentity.ClientSecretCredentialOptions{ClientOptions: a.options(), DisableInstanceDiscovery: true})
	_, err = groupsSeen(a, done(credential, err)(t))
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Fatalf("a wrong secret gives %v", err)
	}
}

// FS-02, BX-08: a service principal with a certificate and no secret.
func TestSDKClientCertificate(t *testing.T) {
	a := newAzure(t)
	a.group("seen")
	ctx, directory := t.Context(), a.env.Server.Directory()
	application := done(directory.CreateApplication(ctx, "certified"))(t)
	service := done(directory.CreateServicePrincipal(ctx, application.AppID))(t)
	key := done(rsa.GenerateKey(rand.Reader, 2048))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "certified"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := done(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	certificate := done(x509.ParseCertificate(der))(t)
	credential := done(azidentity.NewClientCertificateCredential(a.env.Server.Endpoints.Tenant, application.AppID, []*x509.Certificate{certificate}, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: a.options(), DisableInstanceDiscovery: true,
	}))(t)
	if _, err := groupsSeen(a, credential); err == nil || !strings.Contains(err.Error(), "AADSTS") {
		t.Fatalf("a certificate that nobody registered gives %v", err)
	}
	done(directory.AddCertificate(ctx, application.AppID, "test", der))(t)
	a.admin.Grant(service.ID, access.RoleReader, a.env.Group("seen"))
	if seen := done(groupsSeen(a, credential))(t); seen != "seen" {
		t.Fatalf("the certificate's holder sees %q", seen)
	}
}

// MI-20, FS-02: code in a job uses ManagedIdentityCredential as it is, by default, by client id, by resource id and by
// object id, and its identity's roles decide. An identity that is not the run's own gives no token.
func TestSDKManagedIdentity(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	identities := a.owner.identities().NewUserAssignedIdentitiesClient()
	mine := done(identities.CreateOrUpdate(t.Context(), "rg", "mine", armmsi.Identity{Location: ptr("local")}, nil))(t)
	other := done(identities.CreateOrUpdate(t.Context(), "rg", "other", armmsi.Identity{Location: ptr("local")}, nil))(t)
	a.admin.Grant(*mine.Properties.PrincipalID, access.RoleReader, a.env.Group("rg"))
	secret := a.env.Server.Runs().Register(identity.Run{ID: "job", Identities: []string{*mine.Properties.PrincipalID}, Default: *mine.Properties.PrincipalID})
	for _, variable := range identity.Env(a.env.Server.Endpoints.Identity, secret, *mine.Properties.ClientID) {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "IDENTITY_") {
			t.Setenv(name, value)
		}
	}
	for name, id := range map[string]azidentity.ManagedIDKind{
		"default": nil, "client id": azidentity.ClientID(*mine.Properties.ClientID), "resource id": azidentity.ResourceID(*mine.ID), "object id": azidentity.ObjectID(*mine.Properties.PrincipalID),
	} {
		credential := done(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: id}))(t)
		if seen, err := groupsSeen(a, credential); seen != "rg" || err != nil {
			t.Errorf("%s: the identity sees %q, %v", name, seen, err)
		}
		groups := (&client{azure: a, credential: credential}).resources().NewResourceGroupsClient()
		_, err := groups.CreateOrUpdate(t.Context(), "mine", armresources.ResourceGroup{Location: ptr("local")}, nil)
		forbidden(t, name+": a Reader creating a group", err, "Microsoft.Resources/subscriptions/resourceGroups/write")
	}
	// Data is read by the same identity, without a key (MI-20).
	endpoint := a.account("rg", "readbyjob", "box")
	a.admin.Grant(a.owner.user.ObjectID, access.RoleStorageBlobDataContributor, a.env.Group("rg"))
	done(a.owner.blobs(endpoint).UploadBuffer(t.Context(), "box", "x", []byte("x"), nil))(t)
	job := &client{azure: a, credential: done(azidentity.NewManagedIdentityCredential(nil))(t)}
	_, err := job.blobs(endpoint).DownloadStream(t.Context(), "box", "x", nil)
	refused(t, "an identity without a data role", err, 403, "AuthorizationPermissionMismatch")
	a.admin.Grant(*mine.Properties.PrincipalID, access.RoleStorageBlobDataReader, a.env.Group("rg"))
	done(job.blobs(endpoint).DownloadStream(t.Context(), "box", "x", nil))(t)

	credential := done(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(*other.Properties.ClientID)}))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}}); err == nil || ctx.Err() != nil {
		t.Errorf("an identity that is not the run's: %v", err)
	}
	a.env.Server.Runs().Unregister(secret)
	credential = done(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(*mine.Properties.ClientID)}))(t)
	if _, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}}); err == nil || ctx.Err() != nil {
		t.Errorf("a run that has ended still gets tokens: %v", err)
	}
}
