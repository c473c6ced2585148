package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
)

// credential gives access tokens that the fake authenticator knows.
type credential struct{ id string }

func (c credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(options.Scopes) != 1 || options.Scopes[0] != "https://containerregistry.azure.net/.default" {
		return azcore.AccessToken{}, fmt.Errorf("a token for %v is asked for", options.Scopes)
	}
	return azcore.AccessToken{Token: "registry:" + c.id, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

type transporter struct{ client *http.Client }

func (t transporter) Do(request *http.Request) (*http.Response, error) { return t.client.Do(request) }

// sdk gives the clients of the Azure SDK for somebody.
func (w *world) sdk(name string) (*azcontainerregistry.Client, *azcontainerregistry.BlobClient) {
	w.t.Helper()
	options := azcore.ClientOptions{Transport: transporter{w.http["alpha"].Client()}, Retry: policy.RetryOptions{MaxRetries: -1}}
	endpoint, who := w.http["alpha"].URL, credential{w.person(name)}
	client, err := azcontainerregistry.NewClient(endpoint, who, &azcontainerregistry.ClientOptions{ClientOptions: options})
	if err != nil {
		w.t.Fatal(err)
	}
	blobs, err := azcontainerregistry.NewBlobClient(endpoint, who, &azcontainerregistry.BlobClientOptions{ClientOptions: options})
	if err != nil {
		w.t.Fatal(err)
	}
	return client, blobs
}

// pages reads all pages of a list.
func pages[T any](t testing.TB, pager *runtime.Pager[T]) (all []T) {
	t.Helper()
	for pager.More() {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page); len(all) > 50 {
			t.Fatal("the list does not end")
		}
	}
	return all
}

func statusOf(err error) int {
	var failed *azcore.ResponseError
	if errors.As(err, &failed) {
		return failed.StatusCode
	}
	return 0
}

// Every method of the SDK's blob client, on a repository whose name has several parts.
func TestSDKBlobs(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Contributor", alpha())
	ctx := t.Context()
	_, blobs := w.sdk("somebody")
	const repository = "team/deep/app"
	data := bytes.Repeat([]byte("0123456789"), 1000)

	started, err := blobs.StartUpload(ctx, repository, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := azcontainerregistry.NewBlobDigestCalculator()
	first, err := blobs.UploadChunk(ctx, *started.Location, bytes.NewReader(data[:4000]), sum, &azcontainerregistry.BlobClientUploadChunkOptions{RangeStart: to.Ptr(int32(0)), RangeEnd: to.Ptr(int32(3999))})
	if err != nil {
		t.Fatal(err)
	}
	status, err := blobs.GetUploadStatus(ctx, *first.Location, nil)
	if err != nil || *status.Range != "0-3999" {
		t.Fatalf("%v %v", status.Range, err)
	}
	second, err := blobs.UploadChunk(ctx, *first.Location, bytes.NewReader(data[4000:]), sum, nil)
	if err != nil {
		t.Fatal(err)
	}
	done, err := blobs.CompleteUpload(ctx, *second.Location, sum, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest := *done.DockerContentDigest
	if digest != digestOf(data) {
		t.Fatalf("the digest is %s", digest)
	}

	head, err := blobs.CheckBlobExists(ctx, repository, digest, nil)
	if err != nil || *head.ContentLength != int64(len(data)) {
		t.Errorf("CheckBlobExists: %v %v", head, err)
	}
	if chunk, err := blobs.CheckChunkExists(ctx, repository, digest, "bytes=0-299", nil); err != nil || chunk.ContentLength == nil {
		t.Errorf("CheckChunkExists: %v %v", chunk, err)
	}
	whole, err := blobs.GetBlob(ctx, repository, digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(whole.BlobData); err != nil || !bytes.Equal(got, data) {
		t.Errorf("GetBlob: %d bytes, %v", len(got), err)
	}
	part, err := blobs.GetChunk(ctx, repository, digest, "bytes=10-19", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(part.ChunkData); err != nil || string(got) != "0123456789" {
		t.Errorf("GetChunk: %q, %v", got, err)
	}
	if mounted, err := blobs.MountBlob(ctx, "team/copy", repository, digest, nil); err != nil || mounted.DockerContentDigest == nil {
		t.Errorf("MountBlob: %v %v", mounted, err)
	}
	other, err := blobs.StartUpload(ctx, repository, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blobs.CancelUpload(ctx, *other.Location, nil); err != nil {
		t.Errorf("CancelUpload: %v", err)
	}
	if _, err := blobs.DeleteBlob(ctx, repository, digest, nil); err != nil {
		t.Errorf("DeleteBlob: %v", err)
	}
	if _, err := blobs.GetBlob(ctx, repository, digest, nil); statusOf(err) != 404 {
		t.Errorf("after DeleteBlob: %v", err)
	}
	_, stranger := w.sdk("stranger")
	if _, err := stranger.StartUpload(ctx, repository, nil); statusOf(err) != 403 || !strings.Contains(err.Error(), "AcrPush") {
		t.Errorf("a stranger: %v", err)
	}
}

// Every method of the SDK's registry client.
func TestSDKRegistry(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Contributor", alpha())
	header, ctx := w.as("somebody", "team/app", "team/more"), t.Context()
	client, _ := w.sdk("somebody")
	const repository = "team/app"
	manifest := w.pushImage(header, repository, "v1", "one")
	other := w.pushImage(header, repository, "v2", "two")
	w.pushImage(header, "team/more", "v1", "one")
	digest := digestOf(manifest)
	login := w.catalog.registries["alpha"].LoginServer

	uploaded, err := client.UploadManifest(ctx, repository, "v3", azcontainerregistry.ContentTypeApplicationVndOciImageManifestV1JSON, streaming.NopCloser(bytes.NewReader(manifest)), nil)
	if err != nil || *uploaded.DockerContentDigest != digest {
		t.Fatalf("UploadManifest: %v %v", uploaded, err)
	}
	got, err := client.GetManifest(ctx, repository, "v3", &azcontainerregistry.ClientGetManifestOptions{Accept: to.Ptr(manifestType)})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(got.ManifestData); err != nil || !bytes.Equal(body, manifest) || *got.DockerContentDigest != digest {
		t.Errorf("GetManifest: %s %v", body, err)
	}

	var names []string
	for _, page := range pages(t, client.NewListRepositoriesPager(&azcontainerregistry.ClientListRepositoriesOptions{MaxNum: to.Ptr(int32(1))})) {
		for _, name := range page.Names {
			names = append(names, *name)
		}
	}
	if !slices.Equal(names, []string{"team/app", "team/more"}) {
		t.Errorf("ListRepositories: %v", names)
	}

	properties, err := client.GetRepositoryProperties(ctx, repository, nil)
	if err != nil || *properties.Name != repository || *properties.RegistryLoginServer != login || *properties.ManifestCount != 2 || *properties.TagCount != 3 ||
		properties.CreatedOn == nil || properties.LastUpdatedOn == nil || !*properties.ChangeableAttributes.CanDelete {
		t.Errorf("GetRepositoryProperties: %+v %v", properties, err)
	}

	var tags []string
	for _, page := range pages(t, client.NewListTagsPager(repository, &azcontainerregistry.ClientListTagsOptions{MaxNum: to.Ptr(int32(1))})) {
		if *page.Repository != repository || *page.RegistryLoginServer != login {
			t.Errorf("a page of tags: %+v", page)
		}
		for _, tag := range page.Tags {
			tags = append(tags, *tag.Name)
		}
	}
	if !slices.Equal(tags, []string{"v1", "v2", "v3"}) {
		t.Errorf("ListTags: %v", tags)
	}
	tags = nil
	for _, page := range pages(t, client.NewListTagsPager(repository, &azcontainerregistry.ClientListTagsOptions{Digest: &digest, OrderBy: to.Ptr(azcontainerregistry.ArtifactTagOrderByLastUpdatedOnDescending)})) {
		for _, tag := range page.Tags {
			tags = append(tags, *tag.Name)
		}
	}
	slices.Sort(tags)
	if !slices.Equal(tags, []string{"v1", "v3"}) {
		t.Errorf("ListTags of a manifest: %v", tags)
	}
	tag, err := client.GetTagProperties(ctx, repository, "v2", nil)
	if err != nil || *tag.Tag.Digest != digestOf(other) || tag.Tag.CreatedOn == nil {
		t.Errorf("GetTagProperties: %+v %v", tag, err)
	}

	var digests []string
	for _, page := range pages(t, client.NewListManifestsPager(repository, &azcontainerregistry.ClientListManifestsOptions{MaxNum: to.Ptr(int32(1)), OrderBy: to.Ptr(azcontainerregistry.ArtifactManifestOrderByLastUpdatedOnAscending)})) {
		for _, one := range page.Attributes {
			digests = append(digests, *one.Digest)
			if one.Size == nil || *one.Size <= int64(len(manifest)) || string(*one.Architecture) != "amd64" || string(*one.OperatingSystem) != "linux" || *one.MediaType != manifestType || *one.ConfigMediaType != configType {
				t.Errorf("a manifest of the list: %+v", one)
			}
		}
	}
	if len(digests) != 2 || !slices.Contains(digests, digest) {
		t.Errorf("ListManifests: %v", digests)
	}
	one, err := client.GetManifestProperties(ctx, repository, digest, nil)
	if err != nil || len(one.Manifest.Tags) != 2 || *one.RepositoryName != repository {
		t.Errorf("GetManifestProperties: %+v %v", one, err)
	}

	w.locks(client, repository, digest)

	if _, err := client.DeleteTag(ctx, repository, "v3", nil); err != nil {
		t.Errorf("DeleteTag: %v", err)
	}
	if _, err := client.GetTagProperties(ctx, repository, "v3", nil); statusOf(err) != 404 {
		t.Errorf("after DeleteTag: %v", err)
	}
	if _, err := client.DeleteManifest(ctx, repository, digest, nil); err != nil {
		t.Errorf("DeleteManifest: %v", err)
	}
	if _, err := client.DeleteRepository(ctx, repository, nil); err != nil {
		t.Errorf("DeleteRepository: %v", err)
	}
	if _, err := client.GetRepositoryProperties(ctx, repository, nil); statusOf(err) != 404 {
		t.Errorf("after DeleteRepository: %v", err)
	}
}

// locks: what is locked says so and stays; unlocked, it can be changed again.
func (w *world) locks(client *azcontainerregistry.Client, repository, digest string) {
	t, ctx := w.t, w.t.Context()
	locked, err := client.UpdateTagProperties(ctx, repository, "v1", &azcontainerregistry.ClientUpdateTagPropertiesOptions{Value: &azcontainerregistry.TagWriteableProperties{CanDelete: to.Ptr(false), CanWrite: to.Ptr(false)}})
	if err != nil || *locked.Tag.ChangeableAttributes.CanDelete || *locked.Tag.ChangeableAttributes.CanWrite || !*locked.Tag.ChangeableAttributes.CanRead {
		t.Errorf("UpdateTagProperties: %+v %v", locked, err)
	}
	header := w.as("somebody", repository)
	for name, c := range map[string]call{
		"delete a locked tag":              {method: "DELETE", path: "/acr/v1/" + repository + "/_tags/v1"},
		"push over a locked tag":           {method: "PUT", path: "/v2/" + repository + "/manifests/v1", body: manifestOf([]byte("{}"), []byte("hello"))},
		"delete what the locked tag names": {method: "DELETE", path: "/v2/" + repository + "/manifests/" + digest},
		"delete the repository with it":    {method: "DELETE", path: "/acr/v1/" + repository},
	} {
		w.pushBlob(header, repository, []byte("{}"))
		w.pushBlob(header, repository, []byte("hello"))
		c.header = with(header, "Content-Type", manifestType)
		if a := w.do(c); a.status != 405 && a.status != 409 || a.codes() != "DENIED" || !strings.Contains(string(a.body), "locked") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if _, err := client.UpdateTagProperties(ctx, repository, "v1", &azcontainerregistry.ClientUpdateTagPropertiesOptions{Value: &azcontainerregistry.TagWriteableProperties{CanDelete: to.Ptr(true), CanWrite: to.Ptr(true)}}); err != nil {
		t.Errorf("unlock: %v", err)
	}
	manifest, err := client.UpdateManifestProperties(ctx, repository, digest, &azcontainerregistry.ClientUpdateManifestPropertiesOptions{Value: &azcontainerregistry.ManifestWriteableProperties{CanRead: to.Ptr(false)}})
	if err != nil || *manifest.Manifest.ChangeableAttributes.CanRead {
		t.Errorf("UpdateManifestProperties: %+v %v", manifest, err)
	}
	if a := w.do(call{method: "GET", path: "/v2/" + repository + "/manifests/" + digest, header: header}); a.status != 405 || a.codes() != "DENIED" {
		t.Errorf("pull what is locked against reading: %d %s", a.status, a.body)
	}
	if _, err := client.UpdateManifestProperties(ctx, repository, digest, &azcontainerregistry.ClientUpdateManifestPropertiesOptions{Value: &azcontainerregistry.ManifestWriteableProperties{CanRead: to.Ptr(true)}}); err != nil {
		t.Errorf("unlock: %v", err)
	}
	updated, err := client.UpdateRepositoryProperties(ctx, repository, &azcontainerregistry.ClientUpdateRepositoryPropertiesOptions{Value: &azcontainerregistry.RepositoryWriteableProperties{CanList: to.Ptr(false)}})
	if err != nil || *updated.ChangeableAttributes.CanList {
		t.Errorf("UpdateRepositoryProperties: %+v %v", updated, err)
	}
	if a := w.do(call{method: "GET", path: "/v2/_catalog", header: header}); string(a.body) != `{"repositories":["team/more"]}` {
		t.Errorf("an unlisted repository is listed: %s", a.body)
	}
	if _, err := client.UpdateRepositoryProperties(ctx, repository, &azcontainerregistry.ClientUpdateRepositoryPropertiesOptions{Value: &azcontainerregistry.RepositoryWriteableProperties{CanList: to.Ptr(true)}}); err != nil {
		t.Errorf("unlock: %v", err)
	}
	for name, body := range map[string]string{"nothing to change": `{}`, "no JSON": `delete`, "another type": `{"deleteEnabled":"no"}`} {
		if a := w.do(call{method: "PATCH", path: "/acr/v1/" + repository, header: header, body: []byte(body)}); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}
