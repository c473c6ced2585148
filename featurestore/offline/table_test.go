package offline_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/resource"
)

func want(t *testing.T, err error, kind resource.Kind, code string) {
	t.Helper()
	e, ok := resource.AsError(err)
	if !ok || e.Kind != kind || e.Code != code {
		t.Fatalf("got error %v, want code %s", err, code)
	}
}

func wantRows(t *testing.T, got []row, rows ...row) {
	t.Helper()
	if !slices.Equal(got, sorted(rows)) {
		t.Fatalf("the table holds %v, want %v", got, rows)
	}
}

func TestTableIsAbsentUntilCreated(t *testing.T) {
	bucket := newBucket(t)
	_, err := offline.Open(t.Context(), bucket, "featuresets/a/1/", offline.Options{})
	want(t, err, resource.NotFound, "TableNotFound")
	table := create(t, bucket, offline.Options{})
	files, snapshot, err := table.Files(t.Context(), nil)
	if err != nil || len(files) != 0 || snapshot.ID != 0 {
		t.Fatalf("a new table has %v %v %v", files, snapshot, err)
	}
	if again := create(t, bucket, offline.Options{}); again.Schema().Timestamp != "at" {
		t.Fatal("creating again does not open the table")
	}
	other := schema
	other.Features = []offline.Column{{Name: "job", Type: "long"}}
	_, err = offline.Create(t.Context(), bucket, offline.Prefix("transactions", "1"), other, offline.Options{})
	want(t, err, resource.Conflict, "SchemaChanged")
}

func TestReplaceWindowReplacesExactlyTheWindow(t *testing.T) { // FS-12
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	replace(t, table, bucket, window(0, 10), "a", row{1, 0, "a"}, row{1, 4, "a"}, row{2, 5, "a"}, row{1, 9, "a"})
	replace(t, table, bucket, window(3, 6), "b", row{3, 3, "b"})
	wantRows(t, all(t, table, bucket), row{1, 0, "a"}, row{3, 3, "b"}, row{1, 9, "a"})
	replace(t, table, bucket, window(9, 20), "c") // a window without rows
	wantRows(t, all(t, table, bucket), row{1, 0, "a"}, row{3, 3, "b"})
	replace(t, table, bucket, window(0, 20), "d")
	wantRows(t, all(t, table, bucket))
	replace(t, table, bucket, window(0, 20), "e") // empty by empty
	again, err := offline.Open(t.Context(), bucket, offline.Prefix("transactions", "1"), offline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	replace(t, again, bucket, window(0, 1), "f", row{1, 0, "f"})
	wantRows(t, all(t, table, bucket), row{1, 0, "f"})
}

func TestFilesOutsideAWindowAreNotRead(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	for day := range 5 {
		replace(t, table, bucket, window(day*10, day*10+10), "a", row{1, day * 10, "a"}, row{1, day*10 + 8, "a"})
	}
	for _, c := range []struct{ start, end, files int }{{0, 50, 5}, {10, 20, 1}, {8, 11, 2}, {9, 10, 0}, {48, 49, 1}, {49, 99, 0}} {
		w := window(c.start, c.end)
		files, _, err := table.Files(t.Context(), &w)
		if err != nil || len(files) != c.files {
			t.Fatalf("%s gives %d files (%v), want %d", w, len(files), err, c.files)
		}
	}
}

func TestRepeatedCommitIsRecognized(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	first := replace(t, table, bucket, window(0, 10), "a", row{1, 1, "a"})
	replace(t, table, bucket, window(0, 10), "b", row{1, 1, "b"})
	if again := replace(t, table, bucket, window(0, 10), "a", row{1, 1, "a"}); again.ID != first.ID || again.JobID != "a" {
		t.Fatalf("the repeated commit gave %+v, want %+v", again, first)
	}
	wantRows(t, all(t, table, bucket), row{1, 1, "b"})
	replace(t, table, bucket, window(0, 11), "a", row{1, 1, "a"}) // another window of the same job is another commit
	wantRows(t, all(t, table, bucket), row{1, 1, "a"})
}

func TestReadersKeepTheirSnapshot(t *testing.T) {
	bucket := newBucket(t)
	now := time.Now()
	table := create(t, bucket, offline.Options{RetainSnapshots: 1, RetainFor: time.Hour, Clock: func() time.Time { return now }})
	held := replace(t, table, bucket, window(0, 10), "a", row{1, 1, "a"}, row{2, 2, "a"})
	replace(t, table, bucket, window(0, 2), "b", row{1, 0, "b"})
	readHeld := func() ([]row, error) {
		files, _, err := table.FilesAt(t.Context(), held.ID, nil)
		if err != nil {
			return nil, err
		}
		return read(t.Context(), bucket, t.TempDir(), files, nil)
	}
	now = now.Add(30 * time.Minute)
	if _, err := table.Sweep(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	rows, err := readHeld()
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, rows, row{1, 1, "a"}, row{2, 2, "a"})
	now = now.Add(2 * time.Hour)
	swept, err := table.Sweep(t.Context(), time.Minute)
	if err != nil || swept.Snapshots != 1 || swept.Files == 0 {
		t.Fatalf("swept %+v (%v)", swept, err)
	}
	_, err = readHeld()
	want(t, err, resource.NotFound, "SnapshotNotFound")
	wantRows(t, all(t, table, bucket), row{1, 0, "b"}, row{2, 2, "a"})
}

func TestSweepLeavesOnlyWhatIsNeeded(t *testing.T) {
	bucket := newBucket(t)
	now := time.Now()
	table := create(t, bucket, offline.Options{RetainSnapshots: 1, RetainFor: time.Second, Clock: func() time.Time { return now }})
	for i := range 12 {
		replace(t, table, bucket, window(0, 10), string(rune('a'+i)), row{1, 1, "x"})
	}
	if _, err := bucket.Write(t.Context(), "featuresets/transactions/1/data/lost.parquet", strings.NewReader("x"), 1, lake.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Write(t.Context(), "featuresets/transactions/10/data/other.parquet", strings.NewReader("x"), 1, lake.Condition{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	for range 2 { // the second also removes the version that was current before the first
		if _, err := table.Sweep(t.Context(), 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	var data, metadata []string
	err := bucket.List(t.Context(), "featuresets/", func(o lake.Object) error {
		if strings.Contains(o.Name, "/data/") {
			data = append(data, o.Name)
		} else {
			metadata = append(metadata, o.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// One data file and that of another table; newest metadata, hint, manifest list, manifest.
	if len(data) != 2 || len(metadata) > 5 {
		t.Fatalf("left over: %q %q", data, metadata)
	}
	wantRows(t, all(t, table, bucket), row{1, 1, "x"})
	if err := table.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err = table.Files(t.Context(), nil)
	want(t, err, resource.NotFound, "TableNotFound")
}

func TestHintIsNotNeeded(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	replace(t, table, bucket, window(0, 10), "a", row{1, 1, "a"})
	hint := "featuresets/transactions/1/metadata/version-hint.text"
	if content, err := lake.ReadAll(t.Context(), bucket, hint); err != nil || string(content) != "2" {
		t.Fatalf("the hint is %q (%v)", content, err)
	}
	if _, err := bucket.Write(t.Context(), hint, strings.NewReader("1"), 1, lake.Condition{}); err != nil {
		t.Fatal(err)
	}
	wantRows(t, all(t, table, bucket), row{1, 1, "a"})
	if err := bucket.Delete(t.Context(), hint); err != nil {
		t.Fatal(err)
	}
	wantRows(t, all(t, table, bucket), row{1, 1, "a"})
}

func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	bucket := newBucket(t)
	table := create(t, bucket, offline.Options{})
	utc := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	text := arrow.BinaryTypes.String
	long := arrow.PrimitiveTypes.Int64
	for _, c := range []struct {
		name, code string
		kinds      []arrow.DataType
		names      []string
		null       int
	}{
		{"a column is missing", "SchemaMismatch", []arrow.DataType{long, utc}, []string{"id", "at"}, -1},
		{"a column has another name", "SchemaMismatch", []arrow.DataType{long, utc, text}, []string{"id", "at", "Job"}, -1},
		{"a column has another type", "SchemaMismatch", []arrow.DataType{text, utc, text}, []string{"id", "at", "job"}, -1},
		{"a local time", "SchemaMismatch", []arrow.DataType{long, &arrow.TimestampType{Unit: arrow.Microsecond}, text}, []string{"id", "at", "job"}, -1},
		{"milliseconds", "SchemaMismatch", []arrow.DataType{long, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, text}, []string{"id", "at", "job"}, -1},
		{"no time", "NullKey", []arrow.DataType{long, utc, text}, []string{"id", "at", "job"}, 1},
		{"no key", "NullKey", []arrow.DataType{long, utc, text}, []string{"id", "at", "job"}, 0},
		{"a row outside", "OutsideWindow", []arrow.DataType{long, utc, text}, []string{"id", "at", "job"}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fields []arrow.Field
			for i, kind := range c.kinds {
				fields = append(fields, arrow.Field{Name: c.names[i], Type: kind, Nullable: true})
			}
			b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
			defer b.Release()
			for i, kind := range c.kinds {
				switch field := b.Field(i).(type) {
				case *array.Int64Builder:
					field.AppendValues([]int64{1, 2}, []bool{true, c.null != i})
				case *array.StringBuilder:
					field.AppendValues([]string{"a", "b"}, nil)
				case *array.TimestampBuilder:
					_ = kind
					field.AppendValues([]arrow.Timestamp{arrow.Timestamp(tick(1).UnixMicro()), arrow.Timestamp(tick(10).UnixMicro())}, []bool{true, c.null != i})
				}
			}
			local, err := writeRecord(t.TempDir(), b.NewRecordBatch())
			if err != nil {
				t.Fatal(err)
			}
			_, err = table.ReplaceWindow(t.Context(), window(0, 10), []offline.LocalFile{local}, nil, "job")
			want(t, err, resource.Invalid, c.code)
			wantRows(t, all(t, table, bucket))
		})
	}
	_, err := table.ReplaceWindow(t.Context(), window(3, 3), nil, nil, "job")
	want(t, err, resource.Invalid, "InvalidWindow")
	_, err = table.ReplaceWindow(t.Context(), window(3, 4), nil, nil, "")
	want(t, err, resource.Invalid, "InvalidJob")
}
