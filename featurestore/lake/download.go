package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/resource"
)

// The shape of a download: parts of this many bytes, so many at a time.
const (
	downloadPart    = 8 << 20
	downloadStreams = 4
)

// Download copies the object to a local file, in parallel ranges when it is large. The file appears under path only
// when it is complete; an object that changes meanwhile gives an Error of kind Conflict.
func Download(ctx context.Context, b Bucket, name, path string) (Object, error) {
	object, err := b.Stat(ctx, name)
	if err != nil {
		return Object{}, err
	}
	partial := path + ".part"
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return Object{}, fmt.Errorf("create %s: %w", partial, err)
	}
	err = fetch(ctx, b, object, file)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(partial)
		return Object{}, err
	}
	after, err := b.Stat(ctx, name)
	if err == nil && after.ETag != object.ETag {
		err = resource.Conflictf("BlobChanged", "the object %q was replaced while it was downloaded; try again", name)
	}
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		os.Remove(partial)
		return Object{}, err
	}
	return object, nil
}

func fetch(ctx context.Context, b Bucket, object Object, file *os.File) error {
	if object.Size == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloadStreams)
	for offset := int64(0); offset < object.Size; offset += downloadPart {
		length := min(downloadPart, object.Size-offset)
		group.Go(func() error {
			r, err := b.Read(ctx, object.Name, offset, length)
			if err != nil {
				return err
			}
			defer r.Close()
			n, err := io.Copy(io.NewOffsetWriter(file, offset), io.LimitReader(r, length))
			if err == nil && n != length {
				err = resource.Errorf(resource.Unavailable, "ShortRead", "the object %q ended after %d of %d bytes; try again", object.Name, offset+n, object.Size)
			}
			return err
		})
	}
	return group.Wait()
}
