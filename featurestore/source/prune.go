package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/featurestore/lake"
)

// worthPruning is the size from which a look at a file's end costs less than the file.
const worthPruning = 256 << 10

// tail is how much of a file's end is read at once; most footers fit.
const tail = 64 << 10

// prune leaves out the files that prove to have no row in the span. Any doubt keeps a file: a footer that cannot be read
// is the engine's to complain about.
func prune(ctx context.Context, bucket lake.Bucket, objects []lake.Object, options Options) ([]lake.Object, error) {
	keep := make([]bool, len(objects))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * fetchStreams)
	for i, o := range objects {
		if o.Size < worthPruning {
			keep[i] = true
			continue
		}
		group.Go(func() error {
			first, last, known, err := span(ctx, bucket, o, options.Column)
			if err != nil {
				return err
			}
			keep[i] = !known || (options.Start.IsZero() || !last.Before(options.Start)) && (options.End.IsZero() || first.Before(options.End))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var kept []lake.Object
	for i, o := range objects {
		if keep[i] {
			kept = append(kept, o)
		}
	}
	return kept, nil
}

// span reads the least and the greatest time of a column out of a parquet file's footer.
func span(ctx context.Context, bucket lake.Bucket, o lake.Object, column string) (first, last time.Time, known bool, err error) {
	remote := &remoteFile{ctx: ctx, bucket: bucket, object: o}
	defer func() {
		if r := recover(); r != nil { // the reader answers some broken files with a panic
			known, err = false, nil
		}
		if remote.err != nil {
			err = remote.err
		}
	}()
	reader, err := file.NewParquetReader(remote)
	if err != nil {
		return first, last, false, nil // not a parquet file, or a broken one
	}
	defer reader.Close()
	meta := reader.MetaData()
	at, unit := timeColumn(meta.Schema, column)
	if at < 0 {
		return first, last, false, nil
	}
	for i := range meta.NumRowGroups() {
		group := meta.RowGroup(i)
		if group.NumRows() == 0 {
			continue
		}
		chunk, err := group.ColumnChunk(at)
		if err != nil {
			return first, last, false, nil
		}
		stats, err := chunk.Statistics()
		numbers, ok := stats.(*metadata.Int64Statistics)
		if err != nil || !ok || !numbers.HasMinMax() || !numbers.HasNullCount() || numbers.NullCount() > 0 {
			return first, last, false, nil
		}
		if low := unit(numbers.Min()); !known || low.Before(first) {
			first = low
		}
		if high := unit(numbers.Max()); !known || high.After(last) {
			last = high
		}
		known = true
	}
	return first, last, known, nil
}

// timeColumn finds a column of instants and what its numbers mean.
func timeColumn(of *schema.Schema, name string) (int, func(int64) time.Time) {
	for i := range of.NumColumns() {
		column := of.Column(i)
		if len(column.ColumnPath()) != 1 || !strings.EqualFold(column.Name(), name) || column.PhysicalType() != parquet.Types.Int64 {
			continue
		}
		switch logical := column.LogicalType().(type) {
		case schema.TimestampLogicalType:
			switch logical.TimeUnit() {
			case schema.TimeUnitMillis:
				return i, time.UnixMilli
			case schema.TimeUnitMicros:
				return i, time.UnixMicro
			case schema.TimeUnitNanos:
				return i, func(n int64) time.Time { return time.Unix(0, n) }
			}
		}
		return -1, nil
	}
	return -1, nil
}

// remoteFile reads an object in place; what lies at its end is fetched once.
type remoteFile struct {
	ctx    context.Context
	bucket lake.Bucket
	object lake.Object
	offset int64
	end    []byte
	err    error // of the bucket, which is not the file's fault
}

// ReadAt implements io.ReaderAt.
func (r *remoteFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset >= r.object.Size {
		return 0, io.EOF
	}
	begin := max(r.object.Size-tail, 0)
	if offset >= begin {
		if r.end == nil {
			end := make([]byte, r.object.Size-begin)
			if err := r.read(end, begin); err != nil {
				return 0, err
			}
			r.end = end
		}
		n := copy(p, r.end[offset-begin:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	want := p[:min(int64(len(p)), r.object.Size-offset)]
	if err := r.read(want, offset); err != nil {
		return 0, err
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(p), nil
}

func (r *remoteFile) read(p []byte, offset int64) error {
	body, err := r.bucket.Read(r.ctx, r.object.Name, offset, int64(len(p)))
	if err == nil {
		_, err = io.ReadFull(body, p)
		_ = body.Close() // only read
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err
}

// Seek implements io.Seeker.
func (r *remoteFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.object.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek before the start of %s", r.object.Name)
	}
	r.offset = offset
	return offset, nil
}
