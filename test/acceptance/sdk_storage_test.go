package acceptance

import (
	"bytes"
	"io"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/alvara-ml/alvara/access"
)

// BX-01, BX-08: accounts and containers as resources. Keys are given only where somebody has turned shared keys on.
func TestSDKStorageAccounts(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	a.account("rg", "firstaccount", "box")
	ctx, accounts, containers := t.Context(), a.owner.storage().NewAccountsClient(), a.owner.storage().NewBlobContainersClient()
	got := done(accounts.GetProperties(ctx, "rg", "firstaccount", nil))(t)
	p := got.Properties
	if *p.AllowSharedKeyAccess || *p.AllowBlobPublicAccess || !*p.EnableHTTPSTrafficOnly || *p.ProvisioningState != armstorage.ProvisioningStateSucceeded || *got.Kind != armstorage.KindStorageV2 || p.CreationTime.IsZero() {
		t.Fatalf("the account is %+v", *p)
	}
	_, err := accounts.ListKeys(ctx, "rg", "firstaccount", nil)
	refused(t, "keys while shared keys are off", err, 403, "KeyBasedAuthenticationNotPermitted")
	if free := done(accounts.CheckNameAvailability(ctx, armstorage.AccountCheckNameAvailabilityParameters{Name: ptr("firstaccount"), Type: ptr("Microsoft.Storage/storageAccounts")}, nil))(t); *free.NameAvailable {
		t.Fatal("a taken name is said to be free")
	}
	a.group("rg2")
	err = ended(accounts.BeginCreate(ctx, "rg2", "firstaccount", armstorage.AccountCreateParameters{
		Kind: ptr(armstorage.KindStorageV2), SKU: &armstorage.SKU{Name: ptr(armstorage.SKUNameStandardLRS)}, Location: ptr("local"),
	}, nil))(t)
	refused(t, "a name that another group has", err, 409, "NameAlreadyExists")

	updated := done(accounts.Update(ctx, "rg", "firstaccount", armstorage.AccountUpdateParameters{Properties: &armstorage.AccountPropertiesUpdateParameters{AllowSharedKeyAccess: ptr(true)}, Tags: map[string]*string{"a": ptr("b")}}, nil))(t)
	if !*updated.Properties.AllowSharedKeyAccess || *updated.Tags["a"] != "b" {
		t.Fatalf("updated to %+v", *updated.Properties)
	}
	keys := done(accounts.ListKeys(ctx, "rg", "firstaccount", nil))(t)
	if len(keys.Keys) != 2 {
		t.Fatalf("there are %d keys", len(keys.Keys))
	}
	shared := done(azblob.NewSharedKeyCredential("firstaccount", *keys.Keys[0].Value))(t)
	byKey := done(azblob.NewClientWithSharedKeyCredential(*p.PrimaryEndpoints.Blob, shared, &azblob.ClientOptions{ClientOptions: a.options()}))(t)
	done(byKey.UploadBuffer(ctx, "box", "by-key", []byte("x"), nil))(t)
	done(accounts.RegenerateKey(ctx, "rg", "firstaccount", armstorage.AccountRegenerateKeyParameters{KeyName: ptr("key1")}, nil))(t)
	_, err = byKey.UploadBuffer(ctx, "box", "by-key", []byte("x"), nil)
	refused(t, "a key that was replaced", err, 403, "AuthenticationFailed")
	done(accounts.Update(ctx, "rg", "firstaccount", armstorage.AccountUpdateParameters{Properties: &armstorage.AccountPropertiesUpdateParameters{AllowSharedKeyAccess: ptr(false)}}, nil))(t)
	_, err = accounts.ListKeys(ctx, "rg", "firstaccount", nil)
	refused(t, "keys after they were turned off", err, 403, "KeyBasedAuthenticationNotPermitted")

	done(containers.Create(ctx, "rg", "firstaccount", "second", armstorage.BlobContainer{}, nil))(t)
	done(containers.Get(ctx, "rg", "firstaccount", "second", nil))(t)
	listed := paged(t, containers.NewListPager("rg", "firstaccount", &armstorage.BlobContainersClientListOptions{Maxpagesize: ptr("1")}), func(p armstorage.BlobContainersClientListResponse) []*armstorage.ListContainerItem { return p.Value })
	if got := names(listed, func(c *armstorage.ListContainerItem) *string { return c.Name }); got != "box second" {
		t.Fatalf("the containers are %s", got)
	}
	_, err = containers.Create(ctx, "rg", "firstaccount", "Not_A_Name", armstorage.BlobContainer{}, nil)
	refused(t, "a bad name", err, 400, "InvalidResourceName")
	done(containers.Delete(ctx, "rg", "firstaccount", "second", nil))(t)

	reader := a.principal("reader")
	a.admin.Grant(reader.user.ObjectID, access.RoleReader, a.env.Group("rg"))
	byReader := reader.storage().NewAccountsClient()
	inGroup := paged(t, byReader.NewListByResourceGroupPager("rg", nil), func(p armstorage.AccountsClientListByResourceGroupResponse) []*armstorage.Account { return p.Value })
	everywhere := paged(t, byReader.NewListPager(nil), func(p armstorage.AccountsClientListResponse) []*armstorage.Account { return p.Value })
	if len(inGroup) != 1 || len(everywhere) != 1 {
		t.Fatalf("a Reader lists %d and %d accounts", len(inGroup), len(everywhere))
	}
	_, err = byReader.ListKeys(ctx, "rg", "firstaccount", nil)
	forbidden(t, "a Reader asking for keys", err, "Microsoft.Storage/storageAccounts/listKeys/action")
	_, err = byReader.Delete(ctx, "rg", "firstaccount", nil)
	forbidden(t, "a Reader deleting", err, "Microsoft.Storage/storageAccounts/delete")
	done(accounts.Delete(ctx, "rg", "firstaccount", nil))(t)
}

// BX-05, BX-08: the blob plane by tokens and roles: what a contributor may, a reader may only see, and a stranger may not
// even name.
func TestSDKBlobs(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	endpoint := a.account("rg", "blobaccount", "box")
	ctx, account := t.Context(), a.env.Group("rg")+"/providers/Microsoft.Storage/storageAccounts/blobaccount"
	writer, reader, nobody := a.principal("writer"), a.principal("reader"), a.principal("nobody")
	a.admin.Grant(writer.user.ObjectID, access.RoleStorageBlobDataContributor, account)
	a.admin.Grant(reader.user.ObjectID, access.RoleStorageBlobDataReader, account+"/blobServices/default/containers/box")
	w, r, n := writer.blobs(endpoint), reader.blobs(endpoint), nobody.blobs(endpoint)

	content := make([]byte, 3<<20)
	rand.New(rand.NewSource(7)).Read(content)
	done(w.UploadBuffer(ctx, "box", "a/b/large.bin", content, &azblob.UploadBufferOptions{BlockSize: 1 << 20, Metadata: map[string]*string{"origin": ptr("test")}, HTTPHeaders: &blob.HTTPHeaders{BlobContentType: ptr("x/large")}}))(t)
	done(w.UploadStream(ctx, "box", "a/c.txt", strings.NewReader("text of c"), nil))(t)
	done(w.UploadBuffer(ctx, "box", "d.txt", []byte("d"), nil))(t)
	for name, c := range map[string]*azblob.Client{"reader": r, "writer": w} {
		got := make([]byte, len(content))
		done(c.DownloadBuffer(ctx, "box", "a/b/large.bin", got, nil))(t)
		part := done(c.DownloadStream(ctx, "box", "a/b/large.bin", &azblob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 1<<20 - 5, Count: 10}}))(t)
		if text := done(io.ReadAll(part.Body))(t); !bytes.Equal(got, content) || !bytes.Equal(text, content[1<<20-5:1<<20+5]) {
			t.Fatalf("%s reads other bytes than were written", name)
		}
	}
	flat := paged(t, r.NewListBlobsFlatPager("box", &azblob.ListBlobsFlatOptions{MaxResults: ptr(int32(1)), Include: container.ListBlobsInclude{Metadata: true}}),
		func(p azblob.ListBlobsFlatResponse) []*container.BlobItem { return p.Segment.BlobItems })
	if got := names(flat, func(b *container.BlobItem) *string { return b.Name }); got != "a/b/large.bin a/c.txt d.txt" || *flat[0].Metadata["origin"] != "test" {
		t.Fatalf("the flat list is %s", got)
	}
	tree := r.ServiceClient().NewContainerClient("box").NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: ptr("a/")})
	page := done(tree.NextPage(ctx))(t)
	if got := names(page.Segment.BlobPrefixes, func(b *container.BlobPrefix) *string { return b.Name }); got != "a/b/" || len(page.Segment.BlobItems) != 1 {
		t.Fatalf("below a/ are %s and %d blobs", got, len(page.Segment.BlobItems))
	}

	large := w.ServiceClient().NewContainerClient("box").NewBlockBlobClient("a/b/large.bin")
	properties := done(large.GetProperties(ctx, nil))(t)
	if *properties.ContentLength != int64(len(content)) || *properties.ContentType != "x/large" || *properties.Metadata["Origin"] != "test" {
		t.Fatalf("the properties are %+v", properties)
	}
	done(large.SetMetadata(ctx, map[string]*string{"origin": ptr("again")}, nil))(t)
	stale := &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: properties.ETag}}
	_, err := large.Upload(ctx, text("x"), &blockblob.UploadOptions{AccessConditions: stale})
	refused(t, "writing over a change", err, 412, string(bloberror.ConditionNotMet))
	_, err = large.GetProperties(ctx, &blob.GetPropertiesOptions{AccessConditions: stale})
	if err == nil || !strings.Contains(err.Error(), "412") {
		t.Fatalf("reading with a stale ETag gives %v", err)
	}
	once := &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: ptr(azcore.ETagAny)}}
	_, err = w.ServiceClient().NewContainerClient("box").NewBlockBlobClient("d.txt").Upload(ctx, text("x"), &blockblob.UploadOptions{AccessConditions: once})
	refused(t, "creating what exists", err, 409, string(bloberror.BlobAlreadyExists))

	copied := w.ServiceClient().NewContainerClient("box").NewBlobClient("copy.bin")
	done(copied.StartCopyFromURL(ctx, large.URL(), nil))(t)
	got := make([]byte, len(content))
	done(w.DownloadBuffer(ctx, "box", "copy.bin", got, nil))(t)
	if !bytes.Equal(got, content) {
		t.Fatal("the copy differs")
	}

	for what, act := range map[string]func() error{
		"upload": func() error { _, err := r.UploadBuffer(ctx, "box", "e", nil, nil); return err },
		"delete": func() error { _, err := r.DeleteBlob(ctx, "box", "d.txt", nil); return err },
		"metadata": func() error {
			_, err := r.ServiceClient().NewContainerClient("box").NewBlobClient("d.txt").SetMetadata(ctx, nil, nil)
			return err
		},
		"create a container":  func() error { _, err := r.CreateContainer(ctx, "mine", nil); return err },
		"list the containers": func() error { _, err := r.NewListContainersPager(nil).NextPage(ctx); return err },
		"nobody: read":        func() error { _, err := n.DownloadStream(ctx, "box", "d.txt", nil); return err },
		"nobody: list":        func() error { _, err := n.NewListBlobsFlatPager("box", nil).NextPage(ctx); return err },
		"nobody: absent blob": func() error { _, err := n.DownloadStream(ctx, "box", "absent", nil); return err },
		"nobody: delegate": func() error {
			_, err := n.ServiceClient().GetUserDelegationCredential(ctx, keyInfo(time.Hour), nil)
			return err
		},
	} {
		refused(t, what, act(), 403, string(bloberror.AuthorizationPermissionMismatch))
	}
	_, err = r.DownloadStream(ctx, "box", "absent", nil)
	refused(t, "an absent blob", err, 404, string(bloberror.BlobNotFound))
	_, err = w.DownloadStream(ctx, "absent", "x", nil)
	refused(t, "an absent container", err, 404, string(bloberror.ContainerNotFound))

	done(w.CreateContainer(ctx, "second", nil))(t)
	listed := paged(t, w.NewListContainersPager(nil), func(p azblob.ListContainersResponse) []*service.ContainerItem { return p.ContainerItems })
	if got := names(listed, func(c *service.ContainerItem) *string { return c.Name }); got != "box second" {
		t.Fatalf("the containers are %s", got)
	}
	// A container that was made here is a resource like any other.
	done(a.owner.storage().NewBlobContainersClient().Get(ctx, "rg", "blobaccount", "second", nil))(t)
	done(w.DeleteContainer(ctx, "second", nil))(t)
	done(w.DeleteBlob(ctx, "box", "d.txt", nil))(t)
	_, err = w.DownloadStream(ctx, "box", "d.txt", nil)
	refused(t, "a deleted blob", err, 404, string(bloberror.BlobNotFound))
}

// BX-01, BX-05: a user delegation SAS reaches no further than the one who signed it, and ends with the role.
func TestSDKUserDelegation(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	endpoint := a.account("rg", "delegated", "box")
	ctx, scope := t.Context(), a.env.Group("rg")+"/providers/Microsoft.Storage/storageAccounts/delegated"
	reader, writer := a.principal("reader"), a.principal("writer")
	a.admin.Grant(writer.user.ObjectID, access.RoleStorageBlobDataContributor, scope)
	grant := a.admin.Grant(reader.user.ObjectID, access.RoleStorageBlobDataReader, scope)
	done(writer.blobs(endpoint).UploadBuffer(ctx, "box", "x.txt", []byte("shared"), nil))(t)

	delegation := done(reader.blobs(endpoint).ServiceClient().GetUserDelegationCredential(ctx, keyInfo(time.Hour), nil))(t)
	sign := func(permissions sas.BlobPermissions, name string) *blockblob.Client {
		query := done(sas.BlobSignatureValues{
			Protocol: sas.ProtocolHTTPS, StartTime: time.Now().Add(-time.Minute).UTC(), ExpiryTime: time.Now().Add(30 * time.Minute).UTC(),
			Permissions: permissions.String(), ContainerName: "box", BlobName: name,
		}.SignWithUserDelegation(delegation))(t)
		return done(blockblob.NewClientWithNoCredential(endpoint+"box/x.txt?"+query.Encode(), &blockblob.ClientOptions{ClientOptions: a.options()}))(t)
	}
	signed := sign(sas.BlobPermissions{Read: true}, "x.txt")
	body := done(signed.DownloadStream(ctx, nil))(t)
	if text := done(io.ReadAll(body.Body))(t); string(text) != "shared" {
		t.Fatalf("the signature's holder reads %q", text)
	}
	_, err := signed.Upload(ctx, text("y"), nil)
	refused(t, "writing with a signature for reading", err, 403, string(bloberror.AuthorizationPermissionMismatch))
	_, err = sign(sas.BlobPermissions{Read: true, Write: true}, "x.txt").Upload(ctx, text("y"), nil)
	refused(t, "a signature for more than its signer may", err, 403, string(bloberror.AuthorizationPermissionMismatch))
	_, err = sign(sas.BlobPermissions{Read: true}, "other.txt").DownloadStream(ctx, nil)
	refused(t, "a signature for another blob", err, 403, string(bloberror.AuthenticationFailed))
	done(a.owner.authorization().NewRoleAssignmentsClient().DeleteByID(ctx, strings.TrimPrefix(grant, "/"), nil))(t)
	_, err = signed.DownloadStream(ctx, nil)
	refused(t, "a signature whose signer lost the role", err, 403, string(bloberror.AuthorizationPermissionMismatch))
}

// text is a body for Upload.
func text(content string) io.ReadSeekCloser { return streaming.NopCloser(strings.NewReader(content)) }

// keyInfo asks for a delegation key from now on.
func keyInfo(validity time.Duration) service.KeyInfo {
	now := time.Now().UTC()
	return service.KeyInfo{Start: ptr(now.Add(-time.Minute).Format(sas.TimeFormat)), Expiry: ptr(now.Add(validity).Format(sas.TimeFormat))}
}
