package blob_test

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the protocol's checksum
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/appendblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
)

func TestSDKConditions(t *testing.T) {
	w := newWorld(t, "mem")
	ctx, c := t.Context(), w.as(t, "owner", false)
	try(c.CreateContainer(ctx, "data", nil))
	b := c.ServiceClient().NewContainerClient("data").NewBlockBlobClient("x")
	write := func(conditions blob.ModifiedAccessConditions) error {
		_, err := b.UploadBuffer(ctx, []byte("x"), &azblob.UploadBufferOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &conditions}})
		return err
	}
	read := func(conditions blob.ModifiedAccessConditions) error {
		_, err := b.GetProperties(ctx, &blob.GetPropertiesOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &conditions}})
		return err
	}
	star, wrong := to.Ptr(azcore.ETagAny), to.Ptr(azcore.ETag(`"0x1"`))
	past, future := to.Ptr(time.Now().Add(-time.Hour)), to.Ptr(time.Now().Add(time.Hour))
	wantCode(t, write(blob.ModifiedAccessConditions{IfMatch: star}), 412, "ConditionNotMet")
	must(t, 0, write(blob.ModifiedAccessConditions{IfNoneMatch: star}))
	wantCode(t, write(blob.ModifiedAccessConditions{IfNoneMatch: star}), 409, "BlobAlreadyExists")
	etag := try(b.GetProperties(ctx, nil)).ETag
	wantCode(t, write(blob.ModifiedAccessConditions{IfMatch: wrong}), 412, "ConditionNotMet")
	wantCode(t, write(blob.ModifiedAccessConditions{IfNoneMatch: etag}), 412, "ConditionNotMet")
	wantCode(t, write(blob.ModifiedAccessConditions{IfUnmodifiedSince: past}), 412, "ConditionNotMet")
	wantCode(t, write(blob.ModifiedAccessConditions{IfModifiedSince: future}), 412, "ConditionNotMet")
	must(t, 0, read(blob.ModifiedAccessConditions{IfMatch: etag, IfUnmodifiedSince: future, IfModifiedSince: past, IfNoneMatch: wrong}))
	wantCode(t, read(blob.ModifiedAccessConditions{IfNoneMatch: etag}), 304, "ConditionNotMet")
	wantCode(t, read(blob.ModifiedAccessConditions{IfModifiedSince: future}), 304, "ConditionNotMet")
	wantCode(t, read(blob.ModifiedAccessConditions{IfMatch: wrong}), 412, "ConditionNotMet")
	must(t, 0, write(blob.ModifiedAccessConditions{IfMatch: etag}))
	wantCode(t, write(blob.ModifiedAccessConditions{IfMatch: etag}), 412, "ConditionNotMet")
	_, err := b.Delete(ctx, &blob.DeleteOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: etag}}})
	wantCode(t, err, 412, "ConditionNotMet")
}

func TestSDKCopyMetadataAppend(t *testing.T) {
	for _, driver := range []string{"mem", "disk"} {
		t.Run(driver, func(t *testing.T) {
			w := newWorld(t, driver)
			ctx, c := t.Context(), w.as(t, "owner", false)
			try(c.CreateContainer(ctx, "data", nil))
			try(c.CreateContainer(ctx, "more", nil))
			try(c.UploadBuffer(ctx, "data", "from", []byte("content"), &azblob.UploadBufferOptions{Metadata: map[string]*string{"a": to.Ptr("1")}}))
			from := c.ServiceClient().NewContainerClient("data").NewBlobClient("from")
			onto := c.ServiceClient().NewContainerClient("more").NewBlobClient("onto")
			copied := try(onto.StartCopyFromURL(ctx, from.URL(), nil))
			props := try(onto.GetProperties(ctx, nil))
			if *copied.CopyStatus != blob.CopyStatusTypeSuccess || *props.CopyID != *copied.CopyID || *props.Metadata["A"] != "1" {
				t.Fatalf("copied %+v, %+v", copied, props)
			}
			try(onto.CopyFromURL(ctx, from.URL(), &blob.CopyFromURLOptions{Metadata: map[string]*string{"b": to.Ptr("2")}}))
			if props := try(onto.GetProperties(ctx, nil)); *props.Metadata["B"] != "2" || props.Metadata["A"] != nil || string(download(t, c, "more", "onto", nil)) != "content" {
				t.Fatalf("copied %+v", props)
			}
			_, err := onto.StartCopyFromURL(ctx, from.URL()+"-absent", nil)
			wantCode(t, err, 404, "CannotVerifyCopySource")
			_, err = onto.StartCopyFromURL(ctx, "https://elsewhere.example/acct/data/from", nil)
			wantCode(t, err, 400, "CannotVerifyCopySource")
			_, err = onto.StartCopyFromURL(ctx, from.URL(), &blob.StartCopyFromURLOptions{SourceModifiedAccessConditions: &blob.SourceModifiedAccessConditions{SourceIfMatch: to.Ptr(azcore.ETag("x"))}})
			wantCode(t, err, 412, "SourceConditionNotMet")

			try(from.SetMetadata(ctx, map[string]*string{"z": to.Ptr("9")}, nil))
			try(from.SetHTTPHeaders(ctx, blob.HTTPHeaders{BlobContentType: to.Ptr("x/y"), BlobCacheControl: to.Ptr("no-store")}, nil))
			if props := try(from.GetProperties(ctx, nil)); *props.Metadata["Z"] != "9" || *props.ContentType != "x/y" || *props.CacheControl != "no-store" {
				t.Fatalf("properties are %+v", props)
			}

			log := c.ServiceClient().NewContainerClient("data").NewAppendBlobClient("log")
			try(log.Create(ctx, nil))
			for i := range 3 {
				r := try(log.AppendBlock(ctx, body(fmt.Sprint(i)), &appendblob.AppendBlockOptions{AppendPositionAccessConditions: &appendblob.AppendPositionAccessConditions{AppendPosition: to.Ptr(int64(i))}}))
				if *r.BlobAppendOffset != fmt.Sprint(i) || *r.BlobCommittedBlockCount != int32(i+1) {
					t.Fatalf("append %d: %+v", i, r)
				}
			}
			_, err = log.AppendBlock(ctx, body("x"), &appendblob.AppendBlockOptions{AppendPositionAccessConditions: &appendblob.AppendPositionAccessConditions{AppendPosition: to.Ptr(int64(1))}})
			wantCode(t, err, 412, "AppendPositionConditionNotMet")
			if got := string(download(t, c, "data", "log", nil)); got != "012" {
				t.Fatalf("the log reads %q", got)
			}
			_, err = c.ServiceClient().NewContainerClient("data").NewPageBlobClient("page").Create(ctx, 512, &pageblob.CreateOptions{})
			wantCode(t, err, 400, "UnsupportedBlobType")
		})
	}
}

type seeker struct{ *bytes.Reader }

func (seeker) Close() error { return nil }

func body(text string) io.ReadSeekCloser { return seeker{bytes.NewReader([]byte(text))} }

// TestOneCreatorWins: of many writers with If-None-Match, one is told that it wrote.
func TestOneCreatorWins(t *testing.T) {
	w := newWorld(t, "disk")
	w.fill(t)
	var won, lost atomic.Int32
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			r, text := w.send(t, "owner", call{method: "PUT", url: "/data/race", body: fmt.Sprint(i), headers: map[string]string{"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"}})
			switch {
			case r.StatusCode == 201:
				won.Add(1)
			case r.StatusCode == 409 && strings.Contains(text, "<Code>BlobAlreadyExists</Code>"):
				lost.Add(1)
			default:
				t.Errorf("%s %s", r.Status, text)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
	}
}

// TestRefusedInput: bad requests have their own codes, and change nothing.
func TestRefusedInput(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	sum := md5.Sum([]byte("abc")) //nolint:gosec // as above
	put := func(extra ...string) map[string]string {
		h := map[string]string{"x-ms-blob-type": "BlockBlob"}
		for i := 0; i < len(extra); i += 2 {
			h[extra[i]] = extra[i+1]
		}
		return h
	}
	before := fmt.Sprint(w.everything(t))
	for _, test := range []struct {
		call
		status int
		code   string
	}{
		{call{method: "PUT", url: "/data/x", body: "abd", headers: put("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))}, 400, "Md5Mismatch"},
		{call{method: "PUT", url: "/data/x", body: "abd", headers: put("Content-MD5", "!")}, 400, "InvalidMd5"},
		{call{method: "PUT", url: "/data/x", body: "abd", headers: put("x-ms-content-crc64", "AAAAAAAAAAA=")}, 400, "Crc64Mismatch"},
		{call{method: "PUT", url: "/data/x", headers: put("x-ms-meta-a-b", "1")}, 400, "InvalidMetadata"},
		{call{method: "PUT", url: "/data/x", headers: put("x-ms-meta-a", strings.Repeat("x", 9000))}, 400, "MetadataTooLarge"},
		{call{method: "PUT", url: "/data/x", headers: put("If-Modified-Since", "yesterday")}, 400, "InvalidHeaderValue"},
		{call{method: "PUT", url: "/data/x", headers: put("x-ms-lease-id", "1")}, 412, "LeaseNotPresentWithBlobOperation"},
		{call{method: "PUT", url: "/data/x", headers: put("x-ms-access-tier", "Archive")}, 400, "InvalidHeaderValue"},
		{call{method: "PUT", url: "/data/x?comp=lease"}, 400, "FeatureNotSupported"},
		{call{method: "PUT", url: "/data/dir/old?comp=snapshot"}, 400, "FeatureNotSupported"},
		{call{method: "PUT", url: "/data/x?comp=unknown"}, 400, "UnsupportedHttpVerb"},
		{call{method: "TRACE", url: "/data/x"}, 400, "UnsupportedHttpVerb"},
		{call{method: "PUT", url: "/data/x?comp=block&blockid=***"}, 400, "InvalidQueryParameterValue"},
		{call{method: "PUT", url: "/data/x?comp=blocklist", body: "<BlockList>"}, 400, "InvalidXmlDocument"},
		{call{method: "PUT", url: "/data/x?comp=blocklist", body: "<BlockList><Other>YQ==</Other></BlockList>"}, 400, "InvalidXmlDocument"},
		{call{method: "PUT", url: "/data/x?comp=blocklist", body: "<BlockList><Latest>YQ==</Latest></BlockList>"}, 400, "InvalidBlockList"},
		{call{method: "GET", url: "/data/dir/old", headers: map[string]string{"x-ms-range": "bytes=3-"}}, 416, "InvalidRange"},
		{call{method: "GET", url: "/data/dir/old?snapshot=1"}, 400, "UnsupportedQueryParameter"},
		{call{method: "GET", url: "/data/%ff"}, 400, "InvalidUri"},
		{call{method: "GET", url: "/data/%00"}, 400, "InvalidUri"},
		{call{method: "GET", url: "/data/" + strings.Repeat("x", 1025)}, 400, "InvalidUri"},
		{call{method: "GET", url: "/Data/x"}, 400, "InvalidResourceName"},
		{call{method: "PUT", url: "/a%2Fb?restype=container"}, 400, "InvalidResourceName"},
		{call{method: "GET", url: "/data?restype=container&comp=list&maxresults=0"}, 400, "OutOfRangeQueryParameterValue"},
		{call{method: "GET", url: "/data?restype=container&comp=list&marker=!"}, 400, "InvalidQueryParameterValue"},
		{call{method: "GET", url: "/data/x?a=%zz"}, 400, "InvalidQueryParameterValue"},
		{call{method: "PUT", url: "/data/x?comp=appendblock", body: "x"}, 404, "BlobNotFound"},
		{call{method: "PUT", url: "/data/dir/old?comp=appendblock", body: "x"}, 409, "InvalidBlobType"},
		{call{method: "PATCH", url: "/data/dir/old?action=flush&position=4", dfs: true}, 400, "InvalidFlushPosition"},
		{call{method: "PATCH", url: "/data/dir/old?action=append&position=1", body: "x", dfs: true}, 400, "InvalidQueryParameterValue"},
		{call{method: "PATCH", url: "/data/absent?action=append&position=0", body: "x", dfs: true}, 404, "PathNotFound"},
		{call{method: "PUT", url: "/data//?resource=directory"}, 400, "UnsupportedHttpVerb"},
		{call{method: "DELETE", url: "/data//?recursive=true"}, 400, "UnsupportedHttpVerb"},
		{call{method: "PUT", url: "/data/dir?resource=file", dfs: true}, 409, "PathAlreadyExists"},
		{call{method: "PUT", url: "/data/dir/old/below?resource=file", dfs: true}, 409, "PathConflict"},
		{call{method: "DELETE", url: "/data/dir?recursive=false", dfs: true}, 409, "DirectoryNotEmpty"},
		{call{method: "PUT", url: "/data/dir/in", headers: map[string]string{"x-ms-rename-source": "/data/dir"}, dfs: true}, 409, "InvalidRenameSourcePath"},
		{call{method: "PUT", url: "/data/no/where", headers: map[string]string{"x-ms-rename-source": "/data/dir"}, dfs: true}, 404, "RenameDestinationParentPathNotFound"},
		{call{method: "PUT", url: "/data/y", headers: map[string]string{"x-ms-rename-source": "/data/absent"}, dfs: true}, 404, "SourcePathNotFound"},
		{call{method: "PATCH", url: "/data/dir/old?action=setAccessControl", headers: map[string]string{"x-ms-acl": "user:someone:rwx"}, dfs: true}, 400, "FeatureNotSupported"},
		{call{method: "GET", url: "/absent?resource=filesystem&recursive=true", dfs: true}, 404, "FilesystemNotFound"},
		{call{method: "PATCH", url: "/data/dir/old?action=setAccessControlRecursive", dfs: true}, 400, "FeatureNotSupported"},
	} {
		r, text := w.send(t, "owner", test.call)
		if r.StatusCode != test.status || r.Header.Get("x-ms-error-code") != test.code || r.Header.Get("x-ms-request-id") == "" {
			t.Errorf("%s %s %v: %s %s, want %d %s: %s", test.method, test.url, test.headers, r.Status, r.Header.Get("x-ms-error-code"), test.status, test.code, text)
		}
		if want := `"code":"` + test.code; test.dfs && !strings.Contains(text, want) {
			t.Errorf("%s %s: the JSON is %s", test.method, test.url, text)
		}
		if want := "<Code>" + test.code; !test.dfs && !strings.Contains(text, want) {
			t.Errorf("%s %s: the XML is %s", test.method, test.url, text)
		}
	}
	if after := fmt.Sprint(w.everything(t)); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	r := try(http.NewRequestWithContext(t.Context(), "PUT", w.blob.URL+"/acct/data/x", io.MultiReader(strings.NewReader("x"))))
	r.Header.Set("Authorization", "Bearer token-of-owner")
	r.Header.Set("x-ms-blob-type", "BlockBlob")
	if response := try(w.client().Do(r)); response.StatusCode != 411 || response.Body.Close() != nil {
		t.Errorf("a chunked body: %s", response.Status)
	}
}

// TestDFSNamespace: what one protocol writes the other one sees, directories included.
func TestDFSNamespace(t *testing.T) {
	for _, driver := range []string{"mem", "disk"} {
		t.Run(driver, func(t *testing.T) {
			w := newWorld(t, driver)
			w.fill(t)
			do := func(want int, c call) string {
				t.Helper()
				c.dfs = true
				r, text := w.send(t, "owner", c)
				if r.StatusCode != want {
					t.Fatalf("%s %s: %s %s", c.method, c.url, r.Status, text)
				}
				return text
			}
			do(201, call{method: "PUT", url: "/data/lake/year/part?resource=file"})
			do(202, call{method: "PATCH", url: "/data/lake/year/part?action=append&position=0", body: "hello "})
			do(202, call{method: "PATCH", url: "/data/lake/year/part?action=append&position=6", body: "world"})
			if got := do(200, call{method: "GET", url: "/data/lake/year/part"}); got != "" {
				t.Fatalf("before the flush it reads %q", got)
			}
			do(200, call{method: "PATCH", url: "/data/lake/year/part?action=flush&position=11"})
			do(202, call{method: "PATCH", url: "/data/lake/year/part?action=append&position=11&flush=true", body: "!"})
			c := w.as(t, "owner", false)
			if got := string(download(t, c, "data", "lake/year/part", nil)); got != "hello world!" {
				t.Fatalf("the Blob protocol reads %q", got)
			}
			do(200, call{method: "HEAD", url: "/data/lake/year?action=getStatus"})
			do(201, call{method: "PUT", url: "/data/lake2", headers: map[string]string{"x-ms-rename-source": "/data/lake"}})
			if got := strings.Join(list(t, c, "data", nil), " "); got != "dir/deep/other dir/old lake2 lake2/year lake2/year/part log" {
				t.Fatalf("after the rename: %q", got)
			}
			paths := do(200, call{method: "GET", url: "/data?resource=filesystem&recursive=true"})
			var order []string
			for _, part := range strings.Split(paths, `"name":"`)[1:] {
				name, _, _ := strings.Cut(part, `"`)
				order = append(order, name)
			}
			if got := strings.Join(order, " "); got != "dir dir/deep dir/deep/other dir/old lake2 lake2/year lake2/year/part log" {
				t.Fatalf("listed %q", got)
			}
			do(200, call{method: "DELETE", url: "/data/lake2?recursive=true"})
			do(404, call{method: "HEAD", url: "/data/lake2?action=getStatus"})
			if got := strings.Join(list(t, c, "data", nil), " "); got != "dir/deep/other dir/old log" {
				t.Fatalf("after the delete: %q", got)
			}
		})
	}
}
