// Package lake is the narrow way in which feature code reaches object storage: always as somebody. It owns the
// contract, the parallel download and the rules for names; the drivers (azure, dir) own the wire. Permissions are the
// service's affair: a refusal comes back as an Error of kind Forbidden with the service's own message.
package lake

import (
	"context"
	"io"
	"path"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Object describes one stored object.
type Object struct {
	Name     string // inside the bucket, with slashes, without one at the front
	Size     int64  // bytes
	ETag     string // opaque; changes with every write
	Modified time.Time
}

// Condition makes a write conditional. The zero value writes always; at most one of the fields is set.
type Condition struct {
	IfNoneMatch bool   // only when no object of this name is there
	IfMatch     string // only when the object has this ETag
}

// ToEnd as a length reads to the end of the object.
const ToEnd int64 = -1

// Bucket is one container seen as one principal. All methods may be called concurrently.
//
// Errors are *resource.Error: NotFound (code BlobNotFound or ContainerNotFound), PreconditionFailed (the Condition does
// not hold), Forbidden and Unauthenticated (with the service's message, which names the action and the scope),
// RangeNotSatisfiable (offset behind the end), Invalid (a malformed name), Unavailable (the service cannot be
// reached). A cancelled context gives its own error.
type Bucket interface {
	// List yields the objects whose names start with prefix in the order of their names. An error of yield ends the
	// listing and is returned.
	List(ctx context.Context, prefix string, yield func(Object) error) error
	// Read opens length bytes from offset; ToEnd reads the rest. A range that passes the end is cut there.
	Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Stat describes the object.
	Stat(ctx context.Context, name string) (Object, error)
	// Write stores the object whole or not at all; readers never see a part of it. The reader must give exactly size
	// bytes; a size of -1 stands for "until it ends".
	Write(ctx context.Context, name string, r io.Reader, size int64, cond Condition) (Object, error)
	// Delete removes the object; an absent one gives NotFound.
	Delete(ctx context.Context, name string) error
}

// CheckName refuses names that some driver could not store or would read as another name.
func CheckName(name string) error {
	switch {
	case name == "":
		return resource.Invalidf("InvalidBlobName", "the object's name is empty; give a path such as data/part-0.parquet")
	case len(name) > 1024:
		return resource.Invalidf("InvalidBlobName", "the object's name has %d bytes; at most 1024 are allowed", len(name))
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || path.Clean(name) != name || strings.HasPrefix(name, "../") || name == ".." || name == ".":
		return resource.Invalidf("InvalidBlobName", "the object's name %q must be a plain relative path without empty, '.' or '..' segments", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }):
		return resource.Invalidf("InvalidBlobName", "the object's name %q has a control character or a backslash; remove it", name)
	}
	return nil
}

// ReadAll gives the whole object.
func ReadAll(ctx context.Context, b Bucket, name string) ([]byte, error) {
	r, err := b.Read(ctx, name, 0, ToEnd)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// ErrSize is what a driver returns when a reader gave another number of bytes than Write was told.
func ErrSize(name string, got, want int64) error {
	return resource.Invalidf("InvalidInput", "the content of %q has %d bytes where %d were announced; nothing was written", name, got, want)
}
