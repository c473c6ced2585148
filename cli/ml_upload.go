package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/cli/document"
)

const (
	uploadStore   = "workspaceblobstore" // the datastore for what is uploaded
	uploadFolder  = "LocalUpload"
	uploadsAtOnce = 8
)

// uploader puts files of this machine into a workspace's own datastore, as whom is signed in. The same content is uploaded once.
type uploader struct {
	call      *Call
	workspace string // resource id
	store     *container.Client
}

// open finds the container of the datastore.
func (u *uploader) open() error {
	if u.store != nil {
		return nil
	}
	store, err := u.call.datastore(u.workspace, uploadStore)
	u.store = store
	return err
}

// datastore opens the container that a datastore of a workspace stands for.
func (c *Call) datastore(workspace, name string) (*container.Client, error) {
	found, err := c.arm(http.MethodGet, workspace+"/datastores/"+segment(name), machineLearnAPI, nil)
	if err != nil {
		return nil, err
	}
	account, in := found.Text("properties", "accountName"), first(found.Text("properties", "containerName"), found.Text("properties", "filesystem"))
	if account == "" || in == "" {
		return nil, fmt.Errorf("the datastore %s names no container", name)
	}
	service, err := accountFlags{AccountName: account}.client(c)
	if err != nil {
		return nil, err
	}
	return service.NewContainerClient(in), nil
}

// put uploads what is not there yet and gives the URI of it. Files are below LocalUpload/HASH/name.
func (u *uploader) put(content *localContent, name string) (string, error) {
	if err := u.open(); err != nil {
		return "", err
	}
	place := path.Join(uploadFolder, content.hash, name)
	there, err := u.there(place)
	if err != nil {
		return "", err
	}
	var wanted []localFile
	bytes := int64(0)
	for _, f := range content.files {
		if size, found := there[u.blob(content, place, f)]; !found || size != f.info.Size() {
			wanted = append(wanted, f)
			bytes += f.info.Size()
		}
	}
	if err := u.send(content, place, wanted, bytes); err != nil {
		return "", err
	}
	if content.folder {
		place += "/"
	}
	return storeURI(u.workspace, uploadStore, place), nil
}

// storeURI is the URI of a path in a datastore, with the workspace in it.
func storeURI(workspace, datastore, path string) string {
	parts := strings.Split(workspace, "/") // /subscriptions/S/resourceGroups/G/providers/P/workspaces/W
	return "azureml://subscriptions/" + parts[2] + "/resourcegroups/" + parts[4] + "/workspaces/" + parts[8] + "/datastores/" + datastore + "/paths/" + path
}

func (u *uploader) blob(content *localContent, place string, f localFile) string {
	if content.folder {
		return place + "/" + f.path
	}
	return place
}

// there gives the blobs that were uploaded before, with their sizes.
func (u *uploader) there(place string) (map[string]int64, error) {
	found := map[string]int64{}
	err := u.call.eachBlob(u.store, place, func(item *container.BlobItem) error {
		if p := item.Properties; p != nil && p.ContentLength != nil {
			found[*item.Name] = *p.ContentLength
		}
		return nil
	})
	return found, err
}

func (u *uploader) send(content *localContent, place string, files []localFile, bytes int64) error {
	if len(files) == 0 {
		return nil
	}
	u.call.Warn("uploading %s (files: %d, %s)", content.root, len(files), byteText(bytes))
	bar := u.call.progressBytes("Uploading "+content.name, bytes)
	defer bar.Stop()
	var sent atomic.Int64
	group, ctx := errgroup.WithContext(u.call.ctx)
	group.SetLimit(uploadsAtOnce)
	for _, f := range files {
		group.Go(func() error {
			err := u.sendFile(ctx, f, u.blob(content, place, f))
			bar.Value(sent.Add(f.info.Size()))
			return err
		})
	}
	return group.Wait()
}

// sendFile uploads one file whole or not at all. What changed meanwhile is taken away again, since its place is named for its content.
func (u *uploader) sendFile(ctx context.Context, f localFile, name string) error {
	opened, err := os.Open(f.file)
	if err != nil {
		return err
	}
	defer opened.Close()
	client := u.store.NewBlockBlobClient(name)
	if _, err := client.UploadFile(ctx, opened, &blockblob.UploadFileOptions{BlockSize: blockSize, Concurrency: 2}); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if f.same() {
		return nil
	}
	_, err = client.Delete(ctx, nil)
	return errors.Join(f.changed(), err)
}

// upload uploads a folder of code and registers it under its hash, once. It gives the version's id.
func (w *workspaceAssets) upload(what, folder string) (string, error) {
	content, err := openLocal(what, folder, ignoredInCode)
	if err != nil {
		return "", err
	}
	uri, err := w.put(content, "code")
	if err != nil {
		return "", err
	}
	properties := document.New("codeUri", uri, "isAnonymous", true, "properties", document.New("hash_sha256", content.hash))
	return w.register("codes", content.hash, "1", properties)
}
