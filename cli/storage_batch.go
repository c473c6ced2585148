package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

type blobUploadBatch struct {
	Source          string `short:"s" type:"existingdir" required:"" help:"Folder to upload."`
	Destination     string `short:"d" required:"" help:"Container."`
	DestinationPath string `name:"destination-path" help:"Prefix of the blobs' names."`
	Pattern         string `help:"Only files that fit, such as '*.parquet'; * does not cross folders, ** does."`
	Overwrite       bool   `help:"Replace blobs that exist."`
	accountFlags
}

func (u *blobUploadBatch) Run(c *Call) error {
	service, err := u.client(c)
	if err != nil {
		return err
	}
	client := service.NewContainerClient(u.Destination)
	var files []string
	err = filepath.WalkDir(u.Source, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		relative, err := filepath.Rel(u.Source, file)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if u.Pattern == "" || spec.MatchGlob(u.Pattern, relative) || spec.MatchGlob(u.Pattern, path.Base(relative)) {
			files = append(files, relative)
		}
		return nil
	})
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, relative := range files {
		name := path.Join(u.DestinationPath, relative)
		done, err := c.upload(client, filepath.Join(u.Source, filepath.FromSlash(relative)), name, "", u.Overwrite, nil)
		if storage := storageError(err); storage != nil && storage.Code == "BlobAlreadyExists" {
			c.Warn("the blob %s exists already and stays as it is; say --overwrite to replace it", name)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s (%d of %d files are uploaded): %w", relative, len(out), len(files), err)
		}
		out = append(out, document.New("Blob", name, "Last Modified", timeText(done.LastModified), "eTag", etag(done.ETag)))
	}
	return c.PrintColumns(out, "[].{Blob:Blob, LastModified:\"Last Modified\"}")
}

type blobDownloadBatch struct {
	Source      string `short:"s" required:"" help:"Container."`
	Destination string `short:"d" type:"existingdir" required:"" help:"Folder to write into."`
	Pattern     string `help:"Only blobs that fit, such as 'transactions/*.parquet'; * does not cross folders, ** does."`
	Overwrite   bool   `help:"Replace files that exist."`
	accountFlags
}

func (d *blobDownloadBatch) Run(c *Call) error {
	service, err := d.client(c)
	if err != nil {
		return err
	}
	client := service.NewContainerClient(d.Source)
	root, err := os.OpenRoot(d.Destination)
	if err != nil {
		return err
	}
	defer root.Close()
	prefix := ""
	if d.Pattern != "" {
		prefix = spec.GlobPrefix(d.Pattern)
	}
	out := []any{}
	err = c.eachBlob(client, prefix, func(item *container.BlobItem) error {
		name := *item.Name
		if d.Pattern != "" && !spec.MatchGlob(d.Pattern, name) {
			return nil
		}
		// A blob's name is a stranger's text: it must not lead out of the folder.
		local := filepath.FromSlash(name)
		if !filepath.IsLocal(local) || strings.HasSuffix(name, "/") {
			c.Warn("the blob %q has no name that a file can have; it is left out", name)
			return nil
		}
		if _, err := root.Stat(local); err == nil && !d.Overwrite {
			c.Warn("the file %s exists already and stays as it is; say --overwrite to replace it", local)
			return nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(local), 0o755); err != nil {
			return err
		}
		size := int64(0)
		if item.Properties != nil && item.Properties.ContentLength != nil {
			size = *item.Properties.ContentLength
		}
		if err := c.download(client, name, filepath.Join(d.Destination, local), size); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, name)
		return nil
	})
	if err != nil {
		return err
	}
	return c.Print(out)
}
