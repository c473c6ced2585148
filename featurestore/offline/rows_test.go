package offline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/lake/dir"
	"github.com/alvara-ml/alvara/featurestore/offline"
)

// The tests' tables have one index column, the time and the name of the job that wrote the row.
var schema = offline.Schema{
	Index:     []offline.Column{{Name: "id", Type: "long"}},
	Timestamp: "at",
	Features:  []offline.Column{{Name: "job", Type: "string"}},
}

var arrowSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	{Name: "job", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// epoch is the tests' time zero; a tick is a minute.
var epoch = time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC)

func tick(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }

func window(start, end int) offline.Window { return offline.Window{Start: tick(start), End: tick(end)} }

type row struct {
	id, tick int
	job      string
}

func (r row) String() string { return fmt.Sprintf("%d@%d:%s", r.id, r.tick, r.job) }

func sorted(rows []row) []row {
	sort.Slice(rows, func(i, j int) bool { return rows[i].String() < rows[j].String() })
	return rows
}

var fileCount atomic.Int64

// write makes a local parquet file.
func write(folder string, rows []row) (offline.LocalFile, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(r.id))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(tick(r.tick).UnixMicro()))
		b.Field(2).(*array.StringBuilder).Append(r.job)
	}
	return writeRecord(folder, b.NewRecordBatch())
}

func writeRecord(folder string, record arrow.RecordBatch) (offline.LocalFile, error) {
	defer record.Release()
	path := filepath.Join(folder, fmt.Sprintf("%d.parquet", fileCount.Add(1)))
	f, err := os.Create(path)
	if err != nil {
		return offline.LocalFile{}, err
	}
	w, err := pqarrow.NewFileWriter(record.Schema(), f, nil, pqarrow.DefaultWriterProps())
	if err != nil {
		return offline.LocalFile{}, err
	}
	if err := w.Write(record); err != nil {
		return offline.LocalFile{}, err
	}
	return offline.LocalFile{Path: path}, w.Close()
}

func readFile(path string) ([]row, error) {
	reader, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	arrows, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	table, err := arrows.ReadTable(context.Background())
	if err != nil {
		return nil, err
	}
	defer table.Release()
	records := array.NewTableReader(table, 0)
	defer records.Release()
	var rows []row
	for records.Next() {
		record := records.RecordBatch()
		for i := range int(record.NumRows()) {
			at := record.Column(1).(*array.Timestamp).Value(i)
			rows = append(rows, row{
				id:   int(record.Column(0).(*array.Int64).Value(i)),
				tick: int(time.UnixMicro(int64(at)).Sub(epoch) / time.Minute),
				job:  record.Column(2).(*array.String).Value(i),
			})
		}
	}
	return rows, nil
}

func fetch(ctx context.Context, bucket lake.Bucket, folder string, data offline.DataFile) ([]row, error) {
	path := filepath.Join(folder, fmt.Sprintf("read-%d.parquet", fileCount.Add(1)))
	if _, err := lake.Download(ctx, bucket, data.Path, path); err != nil {
		return nil, err
	}
	defer os.Remove(path)
	rows, err := readFile(path)
	if err == nil && int64(len(rows)) != data.Rows {
		err = fmt.Errorf("%s holds %d rows, its manifest says %d", data.Path, len(rows), data.Rows)
	}
	return rows, err
}

// read gives the table's rows in a window, or all.
func read(ctx context.Context, bucket lake.Bucket, folder string, files []offline.DataFile, w *offline.Window) ([]row, error) {
	var all []row
	for _, data := range files {
		rows, err := fetch(ctx, bucket, folder, data)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			at := tick(r.tick)
			if at.Before(data.MinTimestamp) || at.After(data.MaxTimestamp) {
				return nil, fmt.Errorf("%s has a row at %s, its manifest says %s to %s", data.Path, at, data.MinTimestamp, data.MaxTimestamp)
			}
			if w == nil || !at.Before(w.Start) && at.Before(w.End) {
				all = append(all, r)
			}
		}
	}
	return sorted(all), nil
}

// rewriter keeps rows of the windows, one file per window.
func rewriter(bucket lake.Bucket, folder string) offline.Rewrite {
	return func(ctx context.Context, old offline.DataFile, keep []offline.Window) ([]offline.LocalFile, error) {
		rows, err := fetch(ctx, bucket, folder, old)
		if err != nil {
			return nil, err
		}
		var out []offline.LocalFile
		for _, w := range keep {
			var kept []row
			for _, r := range rows {
				if at := tick(r.tick); !at.Before(w.Start) && at.Before(w.End) {
					kept = append(kept, r)
				}
			}
			local, err := write(folder, kept)
			if err != nil {
				return nil, err
			}
			out = append(out, local)
		}
		return out, nil
	}
}

func newBucket(t testing.TB) *dir.Bucket {
	t.Helper()
	b, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func create(t testing.TB, bucket lake.Bucket, options offline.Options) *offline.Table {
	t.Helper()
	table, err := offline.Create(context.Background(), bucket, offline.Prefix("transactions", "1"), schema, options)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func all(t testing.TB, table *offline.Table, bucket lake.Bucket) []row {
	t.Helper()
	files, _, err := table.Files(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := read(context.Background(), bucket, t.TempDir(), files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func replace(t testing.TB, table *offline.Table, bucket lake.Bucket, w offline.Window, job string, rows ...row) offline.Snapshot {
	t.Helper()
	folder := t.TempDir()
	var files []offline.LocalFile
	if len(rows) > 0 {
		local, err := write(folder, rows)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, local)
	}
	snapshot, err := table.ReplaceWindow(context.Background(), w, files, rewriter(bucket, folder), job)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}
