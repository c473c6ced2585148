package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// namespace is a part of a driver: everything below prefix. On a file system it also makes renames survive a power
// failure, which the driver leaves to chance: it syncs files, and only the folder right above a file that it replaces.
type namespace struct {
	storagedriver.StorageDriver
	prefix string
	root   string // the folder that prefix stands for, "" when there is none
}

func (n *namespace) GetContent(ctx context.Context, path string) ([]byte, error) {
	return n.StorageDriver.GetContent(ctx, n.prefix+path)
}

func (n *namespace) PutContent(ctx context.Context, path string, content []byte) error {
	if err := n.StorageDriver.PutContent(ctx, n.prefix+path, content); err != nil {
		return err
	}
	return n.sync(path)
}

func (n *namespace) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	return n.StorageDriver.Reader(ctx, n.prefix+path, offset)
}

func (n *namespace) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	return n.StorageDriver.Writer(ctx, n.prefix+path, append)
}

func (n *namespace) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	info, err := n.StorageDriver.Stat(ctx, n.prefix+path)
	if err != nil {
		return nil, err
	}
	return storagedriver.FileInfoInternal{FileInfoFields: storagedriver.FileInfoFields{
		Path: path, Size: info.Size(), ModTime: info.ModTime(), IsDir: info.IsDir(),
	}}, nil
}

func (n *namespace) List(ctx context.Context, path string) ([]string, error) {
	paths, err := n.StorageDriver.List(ctx, n.prefix+path)
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], n.prefix)
	}
	return paths, err
}

func (n *namespace) Move(ctx context.Context, from, to string) error {
	if err := n.StorageDriver.Move(ctx, n.prefix+from, n.prefix+to); err != nil {
		return err
	}
	return n.sync(to)
}

func (n *namespace) Delete(ctx context.Context, path string) error {
	return n.StorageDriver.Delete(ctx, n.prefix+path)
}

func (n *namespace) Walk(ctx context.Context, path string, fn storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, n, path, fn, options...)
}

// sync makes the entries of a path last, from the folder of the file up to the namespace's own and its place in the root.
func (n *namespace) sync(file string) error {
	if n.root == "" || strings.Contains(file, "/hashstates/") { // a lost state is computed again
		return nil
	}
	for folder := path.Dir(file); ; folder = path.Dir(folder) {
		if err := syncFolder(filepath.Join(n.root, filepath.FromSlash(folder))); err != nil {
			return err
		}
		if folder == "/" {
			return syncFolder(filepath.Dir(n.root))
		}
	}
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
