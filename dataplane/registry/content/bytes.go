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

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// The layout of distribution's storage below a namespace. Every content of a registry is in one repository of it, the
// pool: which of our repositories has it is what documents say.
const (
	pool       = "content"
	blobsPath  = "/docker/registry/v2/blobs"
	poolPath   = "/docker/registry/v2/repositories/" + pool
	uploadPath = poolPath + "/_uploads"
	linksPath  = poolPath + "/_layers"
)

// bytes keeps the contents of one registry, and those on their way in.
type bytes struct {
	driver storagedriver.StorageDriver
	root   string // the registry's folder, "" when there is none
}

func newBytes(options Options, key string) *bytes {
	b := &bytes{}
	if options.Root != "" {
		b.root = filepath.Join(options.Root, key)
	}
	b.driver = &namespace{StorageDriver: options.Driver, prefix: "/" + key, root: b.root}
	return b
}

func (b *bytes) blobs(ctx context.Context) (distribution.BlobStore, error) {
	registry, err := storage.NewRegistry(ctx, b.driver)
	if err != nil {
		return nil, err
	}
	name, err := reference.WithName(pool)
	if err != nil {
		return nil, err
	}
	repository, err := registry.Repository(ctx, name)
	if err != nil {
		return nil, err
	}
	return repository.Blobs(ctx), nil
}

func dataPath(digest string) string {
	hex := encoded(digest)
	return blobsPath + "/sha256/" + hex[:2] + "/" + hex + "/data"
}

// open opens a content; errNoBytes when it is not there.
func (b *bytes) open(ctx context.Context, dgst string) (io.ReadSeekCloser, error) {
	if b.root != "" {
		file, err := os.Open(filepath.Join(b.root, filepath.FromSlash(dataPath(dgst))))
		if errors.Is(err, os.ErrNotExist) {
			return nil, errNoBytes
		}
		if err != nil {
			return nil, err // and no nil *os.File in the interface
		}
		return file, nil
	}
	blobs, err := b.blobs(ctx)
	if err != nil {
		return nil, err
	}
	content, err := blobs.Open(ctx, digest.Digest(dgst))
	if errors.Is(err, distribution.ErrBlobUnknown) {
		return nil, errNoBytes
	}
	return content, err
}

var errNoBytes = errors.New("the content is not there")

// read reads a whole content that is known to be small.
func (b *bytes) read(ctx context.Context, dgst string) ([]byte, error) {
	content, err := b.open(ctx, dgst)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(content)
}

// put keeps a small content.
func (b *bytes) put(ctx context.Context, content []byte) error {
	blobs, err := b.blobs(ctx)
	if err != nil {
		return err
	}
	_, err = blobs.Put(ctx, "application/octet-stream", content)
	return err
}

// remove takes a content away. The caller has the gate alone and knows that nothing names it.
func (b *bytes) remove(ctx context.Context, dgst string) error {
	link := linksPath + "/sha256/" + encoded(dgst)
	for _, gone := range []string{link, path.Dir(dataPath(dgst))} {
		if err := b.driver.Delete(ctx, gone); err != nil && !pathNotFound(err) {
			return err
		}
	}
	return nil
}

// sweep finds the contents that are there, and removes what a write that was cut off left beside them. The caller has
// the gate alone, so no write is under way.
func (b *bytes) sweep(ctx context.Context) (contents []string, err error) {
	var torn []string
	for _, from := range []string{blobsPath, linksPath} {
		err := b.driver.Walk(ctx, from, func(info storagedriver.FileInfo) error {
			folder, name := path.Split(info.Path())
			switch {
			case info.IsDir():
			case strings.HasSuffix(name, ".tmp"):
				torn = append(torn, info.Path())
			case name == "data":
				contents = append(contents, "sha256:"+path.Base(folder))
			}
			return nil
		})
		if err != nil && !pathNotFound(err) {
			return nil, err
		}
	}
	for _, gone := range torn {
		if err := b.driver.Delete(ctx, gone); err != nil && !pathNotFound(err) {
			return nil, err
		}
	}
	return contents, nil
}

func pathNotFound(err error) bool {
	var missing storagedriver.PathNotFoundError
	return errors.As(err, &missing)
}

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
