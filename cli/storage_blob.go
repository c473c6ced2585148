package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/alvara-ml/alvara/cli/document"
)

const blobColumns = "[].{Name:name, Length:properties.contentLength, ContentType:properties.contentSettings.contentType, LastModified:properties.lastModified}"

type storageBlobGroup struct {
	Upload        blobUpload        `cmd:"" help:"Upload a file." example:"alvara storage blob upload -f tx.parquet -c source -n transactions/tx.parquet --account-name fraudlake"`
	Download      blobDownload      `cmd:"" help:"Download a blob into a file." example:"alvara storage blob download -c source -n transactions/tx.parquet -f tx.parquet --account-name fraudlake"`
	List          blobList          `cmd:"" help:"List blobs." example:"alvara storage blob list -c source --prefix transactions/ --account-name fraudlake -o table"`
	Show          blobShow          `cmd:"" help:"Show a blob's properties." example:"alvara storage blob show -c source -n transactions/tx.parquet --account-name fraudlake"`
	Exists        blobExists        `cmd:"" help:"Say whether a blob exists." example:"alvara storage blob exists -c source -n transactions/tx.parquet --account-name fraudlake"`
	Delete        blobDelete        `cmd:"" help:"Delete a blob." example:"alvara storage blob delete -c source -n transactions/tx.parquet --account-name fraudlake"`
	UploadBatch   blobUploadBatch   `cmd:"" name:"upload-batch" help:"Upload the files of a folder." example:"alvara storage blob upload-batch -s ./data -d source --destination-path transactions --account-name fraudlake"`
	DownloadBatch blobDownloadBatch `cmd:"" name:"download-batch" help:"Download the blobs of a container." example:"alvara storage blob download-batch -s source -d ./data --pattern 'transactions/*' --account-name fraudlake"`
}

type containerFlag struct {
	ContainerName string `short:"c" name:"container-name" required:"" help:"Name of the container."`
	accountFlags
}

func (f containerFlag) container(c *Call) (*container.Client, error) {
	client, err := f.client(c)
	if err != nil {
		return nil, err
	}
	return client.NewContainerClient(f.ContainerName), nil
}

type blobName struct {
	Name string `short:"n" required:"" help:"Name of the blob."`
	containerFlag
}

type blobUpload struct {
	Name string `short:"n" help:"Name of the blob; without it the file's."`
	containerFlag
	File        string   `short:"f" type:"existingfile" required:"" help:"File to upload."`
	Overwrite   bool     `help:"Replace the blob if it exists."`
	ContentType string   `name:"content-type" help:"Content type; without it by the name's ending."`
	Metadata    []string `sep:"none" placeholder:"NAME=VALUE" help:"Metadata as NAME=VALUE …"`
}

func (u *blobUpload) Run(c *Call) error {
	client, err := u.container(c)
	if err != nil {
		return err
	}
	name := u.Name
	if name == "" {
		name = filepath.Base(u.File)
	}
	meta := map[string]*string{}
	for _, pair := range u.Metadata {
		key, v, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return usagef("--metadata: %q is not of the form NAME=VALUE", pair)
		}
		meta[key] = to.Ptr(v)
	}
	done, err := c.upload(client, u.File, name, u.ContentType, u.Overwrite, meta)
	if storage := storageError(err); storage != nil && storage.Code == "BlobAlreadyExists" {
		return fmt.Errorf("the blob %s exists already; say --overwrite to replace it", name)
	}
	if err != nil {
		return err
	}
	return c.Print(document.New("etag", etag(done.ETag), "lastModified", timeText(done.LastModified), "name", name, "requestId", value(done.RequestID)))
}

const blockSize = 8 << 20

func (c *Call) upload(client *container.Client, file, name, contentType string, overwrite bool, meta map[string]*string) (blockblob.UploadFileResponse, error) {
	opened, err := os.Open(file)
	if err != nil {
		return blockblob.UploadFileResponse{}, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return blockblob.UploadFileResponse{}, err
	}
	if contentType == "" {
		if contentType = mime.TypeByExtension(path.Ext(name)); contentType == "" {
			contentType = "application/octet-stream"
		}
	}
	options := &blockblob.UploadFileOptions{BlockSize: blockSize, Concurrency: 4, Metadata: meta,
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: &contentType}}
	if !overwrite {
		options.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
	}
	progress := c.progressBytes("Uploading "+name, info.Size())
	defer progress.Stop()
	options.Progress = progress.Value
	return client.NewBlockBlobClient(name).UploadFile(c.ctx, opened, options)
}

type blobDownload struct {
	blobName
	File      string `short:"f" type:"path" required:"" help:"File to write; '-' is stdout."`
	Overwrite bool   `default:"true" negatable:"" help:"Replace the file if it exists."`
}

func (d *blobDownload) Run(c *Call) error {
	client, err := d.container(c)
	if err != nil {
		return err
	}
	if d.File == "-" {
		answer, err := client.NewBlobClient(d.Name).DownloadStream(c.ctx, nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(c.Program.Stdout, answer.Body)
		return err
	}
	if _, err := os.Stat(d.File); err == nil && !d.Overwrite {
		return fmt.Errorf("the file %s exists already", d.File)
	}
	found, err := c.blobProperties(client, d.Name)
	if err != nil {
		return err
	}
	if err := c.download(client, d.Name, d.File, *found.ContentLength); err != nil {
		return err
	}
	return c.Print(blobDocument(d.Name, found))
}

// download writes beside the target and renames, so that a download that was stopped leaves no half file.
func (c *Call) download(client *container.Client, name, file string, size int64) error {
	return writeWhole(file, func(part *os.File) error {
		progress := c.progressBytes("Downloading "+name, size)
		defer progress.Stop()
		_, err := client.NewBlobClient(name).DownloadFile(c.ctx, part, &blob.DownloadFileOptions{BlockSize: blockSize, Concurrency: 4, Progress: progress.Value})
		return err
	})
}

// writeWhole lets write fill a temporary file in the same folder and puts it in place when all went well.
func writeWhole(file string, write func(*os.File) error) error {
	part, err := os.CreateTemp(filepath.Dir(file), ".alvara-*"+filepath.Ext(file))
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	if err := write(part); err != nil {
		part.Close()
		return err
	}
	if err := errors.Join(part.Chmod(0o644), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), file)
}

type blobList struct {
	containerFlag
	Prefix     string `help:"Only names that start with this."`
	NumResults int    `name:"num-results" help:"At most this many."`
}

func (l *blobList) Run(c *Call) error {
	client, err := l.container(c)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	err = c.eachBlob(client, l.Prefix, func(item *container.BlobItem) error {
		if l.NumResults > 0 && len(out) >= l.NumResults {
			return fs.SkipAll
		}
		properties := document.New()
		if p := item.Properties; p != nil {
			properties.Set("contentLength", value(p.ContentLength)).Set("contentSettings", document.New("contentType", value(p.ContentType))).
				Set("etag", etag(p.ETag)).Set("lastModified", timeText(p.LastModified))
		}
		out = append(out, document.New("name", value(item.Name), "container", l.ContainerName, "metadata", metadata(item.Metadata), "properties", properties))
		return nil
	})
	if err != nil {
		return err
	}
	return c.PrintColumns(out, blobColumns)
}

// eachBlob calls visit for every blob; fs.SkipAll ends it without an error.
func (c *Call) eachBlob(client *container.Client, prefix string, visit func(*container.BlobItem) error) error {
	pager := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: optional(prefix), Include: container.ListBlobsInclude{Metadata: true}})
	for pager.More() {
		page, err := pager.NextPage(c.ctx)
		if err != nil {
			return err
		}
		for _, item := range page.Segment.BlobItems {
			if item.Name == nil {
				continue
			}
			if err := visit(item); errors.Is(err, fs.SkipAll) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func blobDocument(name string, found blob.GetPropertiesResponse) *document.Object {
	return document.New("name", name, "metadata", metadata(found.Metadata), "properties", document.New(
		"blobType", etag(found.BlobType), "contentLength", value(found.ContentLength),
		"contentSettings", document.New("contentType", value(found.ContentType), "cacheControl", value(found.CacheControl), "contentEncoding", value(found.ContentEncoding)),
		"etag", etag(found.ETag), "lastModified", timeText(found.LastModified)))
}

// blobProperties reads a blob's properties. The answer to HEAD cannot say why it refuses, so a refusal is asked for again
// with a GET.
func (c *Call) blobProperties(client *container.Client, name string) (blob.GetPropertiesResponse, error) {
	found, err := client.NewBlobClient(name).GetProperties(c.ctx, nil)
	if refused := storageError(err); refused != nil && refused.Status >= 400 {
		answer, getErr := client.NewBlobClient(name).DownloadStream(c.ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Count: 1}})
		if getErr == nil {
			return found, errors.Join(err, answer.Body.Close())
		}
		return found, getErr
	}
	return found, err
}

type blobShow struct{ blobName }

func (s *blobShow) Run(c *Call) error {
	client, err := s.container(c)
	if err != nil {
		return err
	}
	found, err := c.blobProperties(client, s.Name)
	if err != nil {
		return err
	}
	return c.PrintColumns(blobDocument(s.Name, found), blobColumns)
}

type blobExists struct{ blobName }

func (e *blobExists) Run(c *Call) error {
	client, err := e.container(c)
	if err != nil {
		return err
	}
	_, err = c.blobProperties(client, e.Name)
	if err != nil && !storageMissing(err) {
		return err
	}
	return c.Print(document.New("exists", err == nil))
}

type blobDelete struct{ blobName }

func (d *blobDelete) Run(c *Call) error {
	client, err := d.container(c)
	if err != nil {
		return err
	}
	_, err = client.NewBlobClient(d.Name).Delete(c.ctx, nil)
	return err
}
