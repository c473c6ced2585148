package content

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	if b.root == "" { // the engine's reader has a buffer of megabytes
		content, err := b.driver.GetContent(ctx, dataPath(dgst))
		if pathNotFound(err) {
			return nil, errNoBytes
		}
		return content, err
	}
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
	link := linksPath + "/sha256/" + encoded(dgst) // a folder, like the other
	return b.discard(ctx, []string{link, path.Dir(dataPath(dgst))})
}

// walk finds the contents that are there, even in part, and files that a write has not finished, or never will. What is
// removed meanwhile is left out.
func (b *bytes) walk(ctx context.Context) (contents, torn []string, err error) {
	leaf := func(folder string) error {
		files, err := b.list(ctx, folder)
		for _, file := range files {
			if strings.HasSuffix(file, ".tmp") {
				torn = append(torn, file)
			}
		}
		contents = append(contents, "sha256:"+path.Base(folder))
		return err
	}
	if err := b.descend(ctx, blobsPath+"/sha256", 2, leaf); err != nil { // two digits, then all of them
		return nil, nil, err
	}
	if err := b.descend(ctx, linksPath+"/sha256", 1, leaf); err != nil {
		return nil, nil, err
	}
	slices.Sort(contents)
	return slices.Compact(contents), torn, nil
}

func (b *bytes) descend(ctx context.Context, folder string, depth int, leaf func(folder string) error) error {
	if depth == 0 {
		return leaf(folder)
	}
	paths, err := b.list(ctx, folder)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := b.descend(ctx, path, depth-1, leaf); err != nil {
			return err
		}
	}
	return nil
}

// list is the driver's, with nothing in what is not there.
func (b *bytes) list(ctx context.Context, folder string) ([]string, error) {
	paths, err := b.driver.List(ctx, folder)
	if pathNotFound(err) {
		return nil, nil
	}
	return paths, err
}

// discard removes paths, those that are there.
func (b *bytes) discard(ctx context.Context, paths []string) error {
	for _, path := range paths {
		if err := b.driver.Delete(context.WithoutCancel(ctx), path); err != nil && !pathNotFound(err) {
			return err
		}
	}
	return nil
}

func pathNotFound(err error) bool {
	var missing storagedriver.PathNotFoundError
	return errors.As(err, &missing)
}
