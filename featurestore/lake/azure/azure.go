// Package azure is a lake.Bucket on a container of the Azure Blob protocol, reached with a token. It holds no keys and
// no signatures: whoever the credential names is who reads and writes, and the service's refusals are passed on.
package azure

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// Uploads larger than one block go in blocks, so many at a time; this bounds an upload's memory.
const (
	uploadBlock   = 8 << 20
	uploadStreams = 3
)

// Options say how to reach the service.
type Options struct {
	HTTP  *http.Client         // trusts the service's certificate; nil for the default client
	Retry *policy.RetryOptions // nil for three retries that start at 200 ms
}

// Bucket is one container.
type Bucket struct {
	client *container.Client
}

// Open makes a bucket of the container at a URL such as https://127.0.0.1:10000/account/container. It sends no request.
func Open(containerURL string, credential azcore.TokenCredential, options Options) (*Bucket, error) {
	client := policy.ClientOptions{}
	if options.Retry != nil {
		client.Retry = *options.Retry
	} else {
		client.Retry = policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second}
	}
	if options.HTTP != nil {
		client.Transport = options.HTTP
	}
	c, err := container.NewClient(containerURL, credential, &container.ClientOptions{ClientOptions: client})
	if err != nil {
		return nil, fmt.Errorf("open container %s: %w", containerURL, err)
	}
	return &Bucket{client: c}, nil
}

// URL is the container's address.
func (b *Bucket) URL() string { return b.client.URL() }

// List implements lake.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string, yield func(lake.Object) error) error {
	pager := b.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix})
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return classify(err, prefix, lake.Condition{})
		}
		if page.Segment == nil {
			continue
		}
		for _, item := range page.Segment.BlobItems {
			if item == nil || item.Name == nil || item.Properties == nil {
				continue
			}
			object := describe(*item.Name, item.Properties.ETag, item.Properties.LastModified)
			if item.Properties.ContentLength != nil {
				object.Size = *item.Properties.ContentLength
			}
			if err := yield(object); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read implements lake.Bucket. A connection that breaks is resumed where it stopped, at the same ETag.
func (b *Bucket) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := lake.CheckName(name); err != nil {
		return nil, err
	}
	if length == 0 {
		if _, err := b.Stat(ctx, name); err != nil {
			return nil, err
		}
		return http.NoBody, nil
	}
	options := &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: offset, Count: max(length, 0)}}
	response, err := b.client.NewBlobClient(name).DownloadStream(ctx, options)
	if err != nil {
		return nil, classify(err, name, lake.Condition{})
	}
	return response.NewRetryReader(ctx, &blob.RetryReaderOptions{MaxRetries: 3}), nil
}

// Stat implements lake.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (lake.Object, error) {
	if err := lake.CheckName(name); err != nil {
		return lake.Object{}, err
	}
	client := b.client.NewBlobClient(name)
	properties, err := client.GetProperties(ctx, nil)
	if err != nil {
		err = classify(err, name, lake.Condition{})
		if resource.KindOf(err) == resource.Forbidden {
			// An answer to HEAD has no body; ask again with GET for the message that says which action on which scope.
			response, again := client.DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Count: 1}})
			if again != nil {
				return lake.Object{}, classify(again, name, lake.Condition{})
			}
			response.Body.Close()
		}
		return lake.Object{}, err
	}
	object := describe(name, properties.ETag, properties.LastModified)
	if properties.ContentLength != nil {
		object.Size = *properties.ContentLength
	}
	return object, nil
}

// Write implements lake.Bucket. Large content is staged in blocks and appears with the last request.
func (b *Bucket) Write(ctx context.Context, name string, r io.Reader, size int64, cond lake.Condition) (lake.Object, error) {
	if err := lake.CheckName(name); err != nil {
		return lake.Object{}, err
	}
	counted := &exactly{reader: r, name: name, want: size}
	block := int64(uploadBlock)
	if size >= 0 && size < uploadBlock {
		block = max(size+1, 1<<20) // one request, and no more memory than the content needs
	}
	response, err := b.client.NewBlockBlobClient(name).UploadStream(ctx, counted, &blockblob.UploadStreamOptions{
		BlockSize: block, Concurrency: uploadStreams, AccessConditions: conditions(cond),
	})
	if counted.err != nil {
		return lake.Object{}, counted.err
	}
	if err != nil {
		return lake.Object{}, classify(err, name, cond)
	}
	object := describe(name, response.ETag, response.LastModified)
	object.Size = counted.got
	return object, nil
}

// Delete implements lake.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := lake.CheckName(name); err != nil {
		return err
	}
	if _, err := b.client.NewBlobClient(name).Delete(ctx, nil); err != nil {
		return classify(err, name, lake.Condition{})
	}
	return nil
}

func conditions(cond lake.Condition) *blob.AccessConditions {
	modified := &blob.ModifiedAccessConditions{}
	switch {
	case cond.IfNoneMatch:
		anyVersion := azcore.ETagAny
		modified.IfNoneMatch = &anyVersion
	case cond.IfMatch != "":
		tag := azcore.ETag(`"` + cond.IfMatch + `"`)
		modified.IfMatch = &tag
	default:
		return nil
	}
	return &blob.AccessConditions{ModifiedAccessConditions: modified}
}

func describe(name string, tag *azcore.ETag, modified *time.Time) lake.Object {
	object := lake.Object{Name: name}
	if tag != nil {
		object.ETag = strings.Trim(string(*tag), `"`) // headers quote it, listings do not
	}
	if modified != nil {
		object.Modified = modified.UTC()
	}
	return object
}

// exactly turns content of another length than announced into an error before anything is committed.
type exactly struct {
	reader    io.Reader
	name      string
	got, want int64
	err       error
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.reader.Read(p)
	e.got += int64(n)
	if e.want >= 0 && (e.got > e.want || (err == io.EOF && e.got != e.want)) {
		e.err = lake.ErrSize(e.name, e.got, e.want)
		return n, e.err
	}
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}
