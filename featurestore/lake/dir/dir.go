// Package dir is a lake.Bucket on a local folder, for tests and for work without a server. It knows no permissions
// beyond the file system's.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// staging holds writes that are not complete; its name is outside the names that callers can use.
const staging = ".\\staging"

// Bucket keeps each object as one file below Root. Writers of several processes may create objects safely
// (IfNoneMatch); IfMatch is atomic among the users of one Bucket.
type Bucket struct {
	Root string
	mu   sync.RWMutex
}

// Open makes the folder when it is absent.
func Open(root string) (*Bucket, error) {
	if err := os.MkdirAll(filepath.Join(root, staging), 0o700); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	return &Bucket{Root: root}, nil
}

func (b *Bucket) path(name string) (string, error) {
	if err := lake.CheckName(name); err != nil {
		return "", err
	}
	return filepath.Join(b.Root, filepath.FromSlash(name)), nil
}

// List implements lake.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string, yield func(lake.Object) error) error {
	folder := b.Root
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder = filepath.Join(b.Root, filepath.FromSlash(prefix[:i]))
	}
	var found []lake.Object
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == staging {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		relative, err := filepath.Rel(b.Root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		found = append(found, describe(name, info))
		return nil
	})
	if err != nil {
		return err
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	for _, object := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(object); err != nil {
			return err
		}
	}
	return nil
}

// Read implements lake.Bucket.
func (b *Bucket) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	path, err := b.path(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, classify(name, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, classify(name, err)
	}
	if offset < 0 || offset > info.Size() || (offset == info.Size() && info.Size() > 0) {
		file.Close()
		return nil, resource.Errorf(resource.RangeNotSatisfiable, "InvalidRange", "the object %q has %d bytes; it cannot be read from %d", name, info.Size(), offset)
	}
	rest := info.Size() - offset
	if length >= 0 {
		rest = min(rest, length)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, offset, rest), file}, nil
}

// Stat implements lake.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (lake.Object, error) {
	path, err := b.path(name)
	if err != nil {
		return lake.Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return lake.Object{}, err
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return lake.Object{}, classify(name, err)
	}
	return describe(name, info), nil
}

// Write implements lake.Bucket.
func (b *Bucket) Write(ctx context.Context, name string, r io.Reader, size int64, cond lake.Condition) (lake.Object, error) {
	path, err := b.path(name)
	if err != nil {
		return lake.Object{}, err
	}
	staged, err := b.stage(ctx, name, r, size)
	if err != nil {
		return lake.Object{}, err
	}
	defer os.Remove(staged)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return lake.Object{}, fmt.Errorf("write %q: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case cond.IfNoneMatch:
		err = os.Link(staged, path) // fails when the name is taken, also by another process
		if errors.Is(err, fs.ErrExist) {
			return lake.Object{}, resource.Errorf(resource.PreconditionFailed, "BlobAlreadyExists", "the object %q is there already", name)
		}
	case cond.IfMatch != "":
		var present lake.Object
		if present, err = b.Stat(ctx, name); err != nil {
			return lake.Object{}, err
		}
		if present.ETag != cond.IfMatch {
			return lake.Object{}, resource.Errorf(resource.PreconditionFailed, "ConditionNotMet", "the object %q was changed meanwhile; read it again", name)
		}
		err = os.Rename(staged, path)
	default:
		err = os.Rename(staged, path)
	}
	if err != nil {
		return lake.Object{}, fmt.Errorf("write %q: %w", name, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return lake.Object{}, classify(name, err)
	}
	return describe(name, info), nil
}

func (b *Bucket) stage(ctx context.Context, name string, r io.Reader, size int64) (_ string, err error) {
	file, err := os.CreateTemp(filepath.Join(b.Root, staging), "write-*")
	if err != nil {
		return "", fmt.Errorf("write %q: %w", name, err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(file.Name())
		}
	}()
	n, err := io.Copy(file, r)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && size >= 0 && n != size {
		err = lake.ErrSize(name, n, size)
	}
	return file.Name(), err
}

// Delete implements lake.Bucket. The folders that held the object stay.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	path, err := b.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return classify(name, fs.ErrNotExist)
	}
	return classify(name, os.Remove(path))
}

func classify(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return resource.NotFoundf("BlobNotFound", "there is no object %q in the bucket", name).Because(err)
	case errors.Is(err, fs.ErrPermission):
		return resource.Forbiddenf("AuthorizationPermissionMismatch", "the file system forbids access to the object %q", name).Because(err)
	}
	return fmt.Errorf("object %q: %w", name, err)
}

// describe takes the file's inode into the ETag: every write makes a new file, so equal times cannot hide a change.
func describe(name string, info fs.FileInfo) lake.Object {
	var inode uint64
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return lake.Object{
		Name: name, Size: info.Size(), Modified: info.ModTime().UTC(),
		ETag: fmt.Sprintf("%x-%x-%x", inode, info.ModTime().UnixNano(), info.Size()),
	}
}
