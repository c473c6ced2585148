package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/lake/dir"
	"github.com/alvara-ml/alvara/featurestore/source"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

func bucketWith(t *testing.T, objects map[string]string) lake.Bucket {
	t.Helper()
	bucket, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range objects {
		if _, err := bucket.Write(context.Background(), name, strings.NewReader(content), -1, lake.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	return bucket
}

func parse(t *testing.T, path string, of spec.SourceType) spec.Source {
	t.Helper()
	src, err := spec.ParseSource("wasbs://sources@store1.blob.core.windows.net/" + path)
	if err != nil {
		t.Fatal(err)
	}
	src.Type = of
	return src
}

// The files that match come in the order of their names, under names of their own.
func TestFetchTakesWhatMatches(t *testing.T) {
	bucket := bucketWith(t, map[string]string{
		"tx/b.csv": "b", "tx/a.CSV": "a", "tx/c.csv.gz": "c", "tx/deep/d.csv": "d", "tx/_SUCCESS": "", "txx/e.csv": "e",
		"tx/" + strings.Repeat("n", 200) + ".csv": "n", "tx/no ending": "x", "tx/odd;name$(x).csv": "o",
	})
	for path, want := range map[string]string{"tx/*.csv": "bno", "tx/a.CSV": "a", "tx/**/*.csv": "bdno", "tx/c.csv.gz": "c", "tx/deep": "d"} {
		into := t.TempDir()
		files, err := source.Fetch(context.Background(), bucket, parse(t, path, spec.CSV), into, source.Options{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := ""
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil || filepath.Dir(file) != into || strings.ContainsAny(filepath.Base(file), ";$() ") || len(filepath.Base(file)) > 40 {
				t.Errorf("%s: local file %s, %v", path, file, err)
			}
			got += string(text)
		}
		if got != want {
			t.Errorf("%s: fetched %q, want %q", path, got, want)
		}
		if entries, err := os.ReadDir(into); err != nil || len(entries) != len(files) {
			t.Errorf("%s: %v, %v", path, entries, err)
		}
	}
	files, err := source.Fetch(context.Background(), bucket, parse(t, "tx/c.csv.gz", spec.CSV), t.TempDir(), source.Options{})
	if err != nil || !strings.HasSuffix(files[0], ".csv.gz") {
		t.Errorf("%v, %v: the engine tells compression by the ending", files, err)
	}
}

func TestNothingMatches(t *testing.T) {
	bucket := bucketWith(t, map[string]string{"tx/b.csv": "b"})
	_, err := source.Fetch(context.Background(), bucket, parse(t, "tx/*.parquet", spec.Parquet), t.TempDir(), source.Options{})
	e, ok := resource.AsError(err)
	if !ok || e.Kind != resource.Invalid || e.Code != engine.CodeSource || !strings.Contains(e.Message, "/tx/*.parquet matches no file") {
		t.Errorf("%v", err)
	}
}

// refusing fails its reads in one way.
type refusing struct {
	lake.Bucket
	list, read error
}

func (r refusing) List(ctx context.Context, prefix string, yield func(lake.Object) error) error {
	if r.list != nil {
		return r.list
	}
	return r.Bucket.List(ctx, prefix, yield)
}

func (r refusing) Stat(ctx context.Context, name string) (lake.Object, error) {
	if r.read != nil {
		return lake.Object{}, r.read
	}
	return r.Bucket.Stat(ctx, name)
}

// FS-08: a refusal says that it is the source which may not be read, and keeps the service's own words.
func TestRefusals(t *testing.T) {
	bucket := bucketWith(t, map[string]string{"tx/a.csv": "a", "tx/b.csv": "b"})
	forbidden := resource.Forbiddenf("AuthorizationPermissionMismatch", "'x' lacks blobs/read on /subscriptions/1")
	for name, c := range map[string]struct {
		bucket lake.Bucket
		kind   resource.Kind
		want   []string
	}{
		"list":         {refusing{Bucket: bucket, list: forbidden}, resource.Forbidden, []string{"The source wasbs://", "may not be read", forbidden.Message}},
		"read":         {refusing{Bucket: bucket, read: forbidden}, resource.Forbidden, []string{"The source wasbs://", forbidden.Message}},
		"no container": {refusing{Bucket: bucket, list: resource.NotFoundf("ContainerNotFound", "no container")}, resource.Invalid, []string{"does not exist"}},
		"token":        {refusing{Bucket: bucket, list: resource.Errorf(resource.Unauthenticated, "Expired", "expired")}, resource.Unauthenticated, []string{"expired"}},
		"vanished":     {refusing{Bucket: bucket, read: resource.NotFoundf("BlobNotFound", "gone")}, resource.Unavailable, []string{"was replaced or removed"}},
		"replaced":     {refusing{Bucket: bucket, read: resource.Conflictf("BlobChanged", "other")}, resource.Unavailable, []string{"was replaced or removed"}},
		"down":         {refusing{Bucket: bucket, list: resource.Errorf(resource.Unavailable, "StorageUnreachable", "down")}, resource.Unavailable, []string{"down"}},
	} {
		into := t.TempDir()
		_, err := source.Fetch(context.Background(), c.bucket, parse(t, "tx/*.csv", spec.CSV), into, source.Options{})
		e, ok := resource.AsError(err)
		if !ok || e.Kind != c.kind {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(e.Message, part) {
				t.Errorf("%s: %q lacks %q", name, e.Message, part)
			}
		}
		if left, err := os.ReadDir(into); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stopped := refusing{Bucket: bucket, read: context.Canceled}
	if _, err := source.Fetch(ctx, stopped, parse(t, "tx/*.csv", spec.CSV), t.TempDir(), source.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestProgress(t *testing.T) {
	bucket := bucketWith(t, map[string]string{"tx/a.csv": "12345", "tx/b.csv": "1234567"})
	var mu sync.Mutex
	var most, total int64
	_, err := source.Fetch(context.Background(), bucket, parse(t, "tx", spec.CSV), t.TempDir(), source.Options{Progress: func(done, of int64) {
		mu.Lock()
		defer mu.Unlock()
		most, total = max(most, done), of
	}})
	if err != nil || most != 12 || total != 12 {
		t.Errorf("progress up to %d of %d, %v", most, total, err)
	}
}

// parquetFile makes a file of rows, one every minute from start, with incompressible ballast, so that looking at its end
// pays.
func parquetFile(t *testing.T, start time.Time, unit arrow.TimeUnit, rows int, column string, null bool) string {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: column, Type: &arrow.TimestampType{Unit: unit}, Nullable: true}, {Name: "ballast", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range rows {
		at, err := arrow.TimestampFromTime(start.Add(time.Duration(i)*time.Minute), unit)
		if err != nil {
			t.Fatal(err)
		}
		if null && i == 0 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.TimestampBuilder).Append(at)
		}
		b.Field(1).(*array.StringBuilder).Append(strings.Repeat(string(rune('a'+i%26)), 300) + start.Add(time.Duration(i)).String())
	}
	record := b.NewRecordBatch()
	defer record.Release()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(700), parquet.WithDictionaryDefault(false)), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(record), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// counting counts the bytes that are read.
type counting struct {
	lake.Bucket
	mu    *sync.Mutex
	bytes *int64
}

func (c counting) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	c.mu.Lock()
	*c.bytes += length
	c.mu.Unlock()
	return c.Bucket.Read(ctx, name, offset, length)
}

// Files whose statistics prove that they have no row in the span are not downloaded; any doubt downloads them.
func TestPruning(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2023, 1, n, 0, 0, 0, 0, time.UTC) }
	const rows = 1440 // a day
	objects := map[string]string{
		"tx/1-before.parquet": parquetFile(t, day(1), arrow.Microsecond, rows, "Timestamp", false),
		"tx/2-in.parquet":     parquetFile(t, day(5), arrow.Microsecond, rows, "timestamp", false),
		"tx/3-edge.parquet":   parquetFile(t, day(3).Add(time.Minute), arrow.Millisecond, rows, "timestamp", false), // its last row is the span's first instant
		"tx/4-after.parquet":  parquetFile(t, day(7), arrow.Nanosecond, rows, "timestamp", false),                   // its first row is the span's end
		"tx/5-nulls.parquet":  parquetFile(t, day(1), arrow.Microsecond, rows, "timestamp", true),
		"tx/6-other.parquet":  parquetFile(t, day(1), arrow.Microsecond, rows, "at", false),
		"tx/7-text.parquet":   strings.Repeat("no parquet ", 50_000),
		"tx/8-small.parquet":  parquetFile(t, day(1), arrow.Microsecond, 3, "timestamp", false),
	}
	var read int64
	bucket := counting{bucketWith(t, objects), &sync.Mutex{}, &read}
	fetch := func(options source.Options) []int64 {
		t.Helper()
		files, err := source.Fetch(context.Background(), bucket, parse(t, "tx/*.parquet", spec.Parquet), t.TempDir(), options)
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int64
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, info.Size())
		}
		return sizes
	}
	size := func(names ...string) (sizes []int64) {
		for _, name := range names {
			for object, content := range objects {
				if strings.HasPrefix(object, "tx/"+name) {
					sizes = append(sizes, int64(len(content)))
				}
			}
		}
		return sizes
	}
	if got, want := fetch(source.Options{Column: "timestamp", Start: day(4), End: day(7)}), size("2", "3", "5", "6", "7", "8"); !slices.Equal(got, want) {
		t.Errorf("fetched %v, want %v", got, want)
	}
	if got, want := fetch(source.Options{Column: "timestamp", End: day(2)}), size("1", "5", "6", "7", "8"); !slices.Equal(got, want) {
		t.Errorf("fetched %v, want %v", got, want)
	}
	if got, want := fetch(source.Options{}), size("1", "2", "3", "4", "5", "6", "7", "8"); !slices.Equal(got, want) {
		t.Errorf("fetched %v, want %v", got, want)
	}
	read = 0
	one := bucketWith(t, map[string]string{"tx/1.parquet": objects["tx/1-before.parquet"]})
	files, err := source.Fetch(context.Background(), counting{one, &sync.Mutex{}, &read}, parse(t, "tx/*.parquet", spec.Parquet), t.TempDir(), source.Options{Column: "timestamp", Start: day(4), End: day(5)})
	if err != nil || len(files) != 0 || read > 64<<10 {
		t.Errorf("a source without rows in the span: %v, %v, read %d bytes", files, err, read)
	}
}

func TestContainerURL(t *testing.T) {
	for _, c := range []struct{ blob, account, container, want string }{
		{"https://127.0.0.1:10000", "store1", "sources", "https://127.0.0.1:10000/store1/sources"},
		{"https://127.0.0.1:10000/", "store1", "$web", "https://127.0.0.1:10000/store1/$web"},
		{"https://{account}.blob.example.org:8443", "store1", "sources", "https://store1.blob.example.org:8443/sources"},
		{"https://x", "evil.example/x", "sources", ""},
		{"https://x", "Store1", "sources", ""},
		{"https://x", "store1", "../other", ""},
		{"https://x", "store1", "a/b", ""},
		{"https://x", "store1", "", ""},
		{"https://{account}.blob.example.org", "evil.example#", "sources", ""},
	} {
		got, err := source.Storage{Blob: c.blob}.URL(c.account, c.container)
		if got != c.want || (c.want == "") != (resource.KindOf(err) == resource.Invalid) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestNamesExplain(t *testing.T) {
	names := source.Names{"000001.parquet": "transactions/2021-02.parquet"}
	err := names.Explain(resource.Invalidf("InvalidSourceData", "The source file 000001.parquet cannot be read: too small").At("/scratch/000001.parquet"))
	e, ok := resource.AsError(err)
	if !ok || e.Message != "The source file transactions/2021-02.parquet cannot be read: too small" || e.Target != "transactions/2021-02.parquet" {
		t.Errorf("explained as %#v", err)
	}
}
