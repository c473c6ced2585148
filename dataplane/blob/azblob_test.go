package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// credential gives the token of a name.
type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token-of-" + string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// client is an HTTP client that trusts the server and finds it under every host name.
func (w *world) client() *http.Client {
	transport := w.blob.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // the certificate is not for the account's host
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		to := address
		switch {
		case strings.Contains(address, ".blob.store.example"):
			to = w.blob.Listener.Addr().String()
		case strings.Contains(address, ".dfs.store.example"):
			to = w.dfs.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	return &http.Client{Transport: transport}
}

func (w *world) options() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: w.client(), Retry: policy.RetryOptions{MaxRetries: -1}}
}

// as gives the unmodified SDK's client for a principal, in the IP form or, with hosts, in the host form.
func (w *world) as(t testing.TB, who string, hosts bool) *azblob.Client {
	t.Helper()
	client, err := azblob.NewClient(w.url("acct", hosts), credential(who), &azblob.ClientOptions{ClientOptions: w.options()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (w *world) url(account string, hosts bool) string {
	if hosts {
		return "https://" + account + ".blob.store.example/"
	}
	return w.blob.URL + "/" + account + "/"
}

func must[T any](t testing.TB, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// wantCode checks the code that a client is told.
func wantCode(t testing.TB, err error, status int, code string) {
	t.Helper()
	var e *azcore.ResponseError
	if !errors.As(err, &e) || e.StatusCode != status || e.ErrorCode != code {
		t.Fatalf("got %v, want %d %s", err, status, code)
	}
}

func forEachForm(t *testing.T, test func(t *testing.T, w *world, hosts bool)) {
	for _, driver := range []string{"mem", "disk"} {
		for _, hosts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/hosts=%v", driver, hosts), func(t *testing.T) { test(t, newWorld(t, driver), hosts) })
		}
	}
}

func TestSDKPutGetList(t *testing.T) {
	forEachForm(t, func(t *testing.T, w *world, hosts bool) {
		ctx, c := t.Context(), w.as(t, "owner", hosts)
		try(c.CreateContainer(ctx, "data", nil))
		_, err := c.CreateContainer(ctx, "data", nil)
		wantCode(t, err, 409, "ContainerAlreadyExists")

		body := make([]byte, 1<<20)
		rand.New(rand.NewSource(1)).Read(body)
		if _, err := c.UploadBuffer(ctx, "data", "a/b c/ü%.bin", body, &azblob.UploadBufferOptions{
			Metadata: map[string]*string{"owner": to.Ptr("me")}, HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("x/y")}}); err != nil {
			t.Fatal(err)
		}
		got := download(t, c, "data", "a/b c/ü%.bin", nil)
		if !bytes.Equal(got, body) {
			t.Fatal("the bytes differ")
		}
		got = download(t, c, "data", "a/b c/ü%.bin", &azblob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 1000, Count: 10}})
		if !bytes.Equal(got, body[1000:1010]) {
			t.Fatal("the range differs")
		}
		b := c.ServiceClient().NewContainerClient("data").NewBlobClient("a/b c/ü%.bin")
		props := try(b.GetProperties(ctx, nil))
		if *props.ContentLength != 1<<20 || *props.ContentType != "x/y" || *props.Metadata["Owner"] != "me" || *props.BlobType != blob.BlobTypeBlockBlob {
			t.Fatalf("properties are %+v", props)
		}
		if names := list(t, c, "data", nil); strings.Join(names, " ") != "a/b c/ü%.bin" {
			t.Fatalf("listed %q", names)
		}
		if _, err := c.DeleteBlob(ctx, "data", "a/b c/ü%.bin", nil); err != nil {
			t.Fatal(err)
		}
		_, err = c.DownloadStream(ctx, "data", "a/b c/ü%.bin", nil)
		wantCode(t, err, 404, "BlobNotFound")
		if _, err := c.DeleteContainer(ctx, "data", nil); err != nil {
			t.Fatal(err)
		}
		_, err = c.DownloadStream(ctx, "data", "a", nil)
		wantCode(t, err, 404, "ContainerNotFound")
	})
}

// try lets a call with two results stand as an argument.
func try[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func download(t testing.TB, c *azblob.Client, containerName, name string, o *azblob.DownloadStreamOptions) []byte {
	t.Helper()
	r := try(c.DownloadStream(t.Context(), containerName, name, o))
	body, err := io.ReadAll(r.Body)
	return must(t, body, errors.Join(err, r.Body.Close()))
}

func list(t testing.TB, c *azblob.Client, containerName string, o *container.ListBlobsFlatOptions) []string {
	t.Helper()
	var names []string
	pager := c.NewListBlobsFlatPager(containerName, o)
	for pager.More() {
		page := try(pager.NextPage(t.Context()))
		for _, b := range page.Segment.BlobItems {
			names = append(names, *b.Name)
		}
	}
	return names
}

func TestSDKBlocks(t *testing.T) {
	forEachForm(t, func(t *testing.T, w *world, hosts bool) {
		ctx, c := t.Context(), w.as(t, "owner", hosts)
		try(c.CreateContainer(ctx, "data", nil))
		body := make([]byte, 5<<20+17)
		rand.New(rand.NewSource(2)).Read(body)
		try(c.UploadStream(ctx, "data", "big", bytes.NewReader(body), &azblob.UploadStreamOptions{BlockSize: 1 << 20, Concurrency: 3}))
		if !bytes.Equal(download(t, c, "data", "big", nil), body) {
			t.Fatal("the bytes differ")
		}
		bb := c.ServiceClient().NewContainerClient("data").NewBlockBlobClient("big")
		blocks := try(bb.GetBlockList(ctx, blockblob.BlockListTypeAll, nil))
		if len(blocks.CommittedBlocks) != 6 || len(blocks.UncommittedBlocks) != 0 {
			t.Fatalf("%d committed, %d uncommitted blocks", len(blocks.CommittedBlocks), len(blocks.UncommittedBlocks))
		}
		// A range over the borders of blocks.
		buffer := make([]byte, 3<<20)
		try(bb.DownloadBuffer(ctx, buffer, &blob.DownloadBufferOptions{Range: blob.HTTPRange{Offset: 1<<20 - 5, Count: 3 << 20}}))
		if !bytes.Equal(buffer, body[1<<20-5:4<<20-5]) {
			t.Fatal("the range differs")
		}
		_, err := bb.CommitBlockList(ctx, []string{"bm90IHRoZXJl"}, nil)
		wantCode(t, err, 400, "InvalidBlockList")
	})
}

func TestSDKHierarchy(t *testing.T) {
	forEachForm(t, func(t *testing.T, w *world, hosts bool) {
		ctx, c := t.Context(), w.as(t, "owner", hosts)
		try(c.CreateContainer(ctx, "data", nil))
		for _, name := range []string{"a", "a/1", "a/2", "a/b/3", "b", "c/4", "c!"} {
			try(c.UploadBuffer(ctx, "data", name, []byte(name), nil))
		}
		var seen []string
		pager := c.ServiceClient().NewContainerClient("data").NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{MaxResults: to.Ptr(int32(2))})
		for pager.More() {
			page := try(pager.NextPage(ctx))
			for _, b := range page.Segment.BlobItems {
				seen = append(seen, *b.Name)
			}
			for _, p := range page.Segment.BlobPrefixes {
				seen = append(seen, *p.Name)
			}
		}
		if got := strings.Join(seen, " "); got != "a a/ b c! c/" {
			t.Fatalf("listed %q", got)
		}
		if got := strings.Join(list(t, c, "data", &container.ListBlobsFlatOptions{Prefix: to.Ptr("a/"), MaxResults: to.Ptr(int32(1))}), " "); got != "a/1 a/2 a/b/3" {
			t.Fatalf("listed %q", got)
		}
	})
}

func TestSDKContainersAndService(t *testing.T) {
	w := newWorld(t, "mem")
	ctx, c := t.Context(), w.as(t, "owner", false)
	for i := range 5 {
		try(c.CreateContainer(ctx, fmt.Sprintf("box%d", i), &azblob.CreateContainerOptions{Metadata: map[string]*string{"n": to.Ptr(fmt.Sprint(i))}}))
	}
	var names []string
	pager := c.NewListContainersPager(&service.ListContainersOptions{MaxResults: to.Ptr(int32(2)), Include: service.ListContainersInclude{Metadata: true}})
	for pager.More() {
		for _, one := range try(pager.NextPage(ctx)).ContainerItems {
			names = append(names, *one.Name+*one.Metadata["n"])
		}
	}
	if got := strings.Join(names, " "); got != "box00 box11 box22 box33 box44" {
		t.Fatalf("listed %q", got)
	}
	box := c.ServiceClient().NewContainerClient("box1")
	try(box.SetMetadata(ctx, &container.SetMetadataOptions{Metadata: map[string]*string{"n": to.Ptr("new")}}))
	if props := try(box.GetProperties(ctx, nil)); *props.Metadata["N"] != "new" {
		t.Fatalf("metadata is %v", props.Metadata)
	}
	if info := try(c.ServiceClient().GetAccountInfo(ctx, nil)); *info.AccountKind != service.AccountKindStorageV2 {
		t.Fatalf("account info is %+v", info)
	}
	if props := try(c.ServiceClient().GetProperties(ctx, nil)); *props.Logging.Read {
		t.Fatalf("service properties are %+v", props)
	}
}
