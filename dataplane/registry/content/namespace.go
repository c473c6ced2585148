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
	"sync"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// namespace is a part of a driver: everything below prefix. On a file system it also makes renames survive a power
// failure, which the driver leaves to chance: it syncs files, and only the folder right above a file that it replaces.
type namespace struct {
	storagedriver.StorageDriver
	prefix string
	root   string // the folder that prefix stands for, "" when there is none

	lasting sync.Map // folders whose entry in their parent survives a power failure
}

func (n *namespace) GetContent(ctx context.Context, path string) ([]byte, error) {
	return n.StorageDriver.GetContent(ctx, n.prefix+path)
}

func (n *namespace) PutContent(ctx context.Context, path string, content []byte) error {
	if n.root != "" && !strings.HasPrefix(path, blobsPath+"/") {
		return n.jot(path, content)
	}
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

// sync makes the entries of a content's path last: the file's in its folder, that folder's in its parent, and so on up to
// the root. Only a content's own folder ever goes away, so the entries above it are made to last once.
func (n *namespace) sync(file string) error {
	if n.root == "" {
		return nil
	}
	own := path.Dir(file)
	if err := syncFolder(n.file(own)); err != nil {
		return err
	}
	for folder := own; folder != "/"; folder = path.Dir(folder) {
		if _, lasts := n.lasting.Load(folder); lasts {
			return nil
		}
		if err := syncFolder(n.file(path.Dir(folder))); err != nil {
			return err
		}
		if folder != own {
			n.lasting.Store(folder, true)
		}
	}
	return syncFolder(filepath.Dir(n.root))
}

func (n *namespace) file(path string) string { return filepath.Join(n.root, filepath.FromSlash(path)) }

// jot writes a note of the engine whole or not at all, without waiting for the disk: states of uploads, which need not
// survive a power failure, and links, which are not looked at when bytes are files.
func (n *namespace) jot(name string, content []byte) error {
	file := n.file(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
