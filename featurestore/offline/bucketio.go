package offline

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	icebergio "github.com/apache/iceberg-go/io"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// bucketIO lets iceberg-go read and write manifests in a bucket. Addresses inside the table are mapped by the table's
// own location, so a table stays readable when its bucket gets another address.
type bucketIO struct {
	ctx      context.Context // the library's interface passes none
	bucket   lake.Bucket
	location string // the table's location, without a slash at its end
	prefix   string // where it is in the bucket, with a slash at its end
}

// name maps an address of the table to the object's name.
func (b bucketIO) name(address string) (string, error) {
	rest, ok := strings.CutPrefix(address, b.location+"/")
	if !ok {
		return "", resource.Invalidf("InvalidTable", "the table refers to %q, which lies outside its location %q", address, b.location)
	}
	return b.prefix + rest, nil
}

func (b bucketIO) address(name string) string {
	return b.location + "/" + strings.TrimPrefix(name, b.prefix)
}

// Open implements io.IO. The files that the library opens are small; they are read whole.
func (b bucketIO) Open(address string) (icebergio.File, error) {
	content, err := b.ReadFile(address)
	if err != nil {
		return nil, err
	}
	return &memoryFile{Reader: bytes.NewReader(content), name: path.Base(address)}, nil
}

// ReadFile implements io.ReadFileIO.
func (b bucketIO) ReadFile(address string) ([]byte, error) {
	name, err := b.name(address)
	if err != nil {
		return nil, err
	}
	return lake.ReadAll(b.ctx, b.bucket, name)
}

// Remove implements io.IO.
func (b bucketIO) Remove(address string) error {
	name, err := b.name(address)
	if err != nil {
		return err
	}
	return b.bucket.Delete(b.ctx, name)
}

// WriteFile implements io.WriteFileIO.
func (b bucketIO) WriteFile(address string, content []byte) error {
	name, err := b.name(address)
	if err != nil {
		return err
	}
	_, err = b.bucket.Write(b.ctx, name, bytes.NewReader(content), int64(len(content)), lake.Condition{})
	return err
}

// Create implements io.WriteFileIO; the object appears when the writer is closed.
func (b bucketIO) Create(address string) (icebergio.FileWriter, error) {
	return &memoryWriter{io: b, address: address}, nil
}

type memoryWriter struct {
	bytes.Buffer
	io      bucketIO
	address string
	closed  bool
}

func (w *memoryWriter) ReadFrom(r io.Reader) (int64, error) { return w.Buffer.ReadFrom(r) }

func (w *memoryWriter) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.io.WriteFile(w.address, w.Bytes())
}

type memoryFile struct {
	*bytes.Reader
	name string
}

func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Stat() (fs.FileInfo, error) { return memoryInfo{f}, nil }

type memoryInfo struct{ file *memoryFile }

func (i memoryInfo) Name() string       { return i.file.name }
func (i memoryInfo) Size() int64        { return i.file.Reader.Size() }
func (i memoryInfo) Mode() fs.FileMode  { return 0o400 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }
