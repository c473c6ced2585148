package offline_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/alvara-ml/alvara/featurestore/offline"
)

// A reader that knows nothing but the newest metadata file reads the same rows by the Iceberg rules, also from parquet
// files without field ids, and prunes by the manifests' bounds.
func TestOtherReadersReadTheTable(t *testing.T) {
	bucket := newBucket(t)
	ours := create(t, bucket, offline.Options{Location: "file://" + bucket.Root})
	replace(t, ours, bucket, window(0, 10), "a", fill(0, 10, "a")...)
	replace(t, ours, bucket, window(10, 20), "b", fill(10, 20, "b")...)
	replace(t, ours, bucket, window(4, 6), "c", fill(4, 5, "c")...)
	metadata := "file://" + bucket.Root + "/featuresets/transactions/1/metadata/v4.metadata.json"
	files := func(context.Context) (icebergio.IO, error) { return icebergio.LocalFS{}, nil }
	theirs, err := table.NewFromLocation(t.Context(), table.Identifier{"t"}, metadata, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	scan := func(options ...table.ScanOption) []row {
		t.Helper()
		_, records, err := theirs.Scan(options...).ToArrowRecords(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var rows []row
		for record, err := range records {
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(record.NumRows()) {
				at := record.Column(1).(*array.Timestamp).Value(i)
				rows = append(rows, row{
					id: int(record.Column(0).(*array.Int64).Value(i)), tick: int(time.UnixMicro(int64(at)).Sub(epoch) / time.Minute),
					job: fmt.Sprint(record.Column(2).ValueStr(i)),
				})
			}
			record.Release()
		}
		return sorted(rows)
	}
	want := append(append(append(fill(0, 4, "a"), fill(4, 5, "c")...), fill(6, 10, "a")...), fill(10, 20, "b")...)
	if got := scan(); !slices.Equal(got, sorted(want)) {
		t.Fatalf("another reader sees %v, want %v", got, want)
	}
	late := iceberg.GreaterThanEqual(iceberg.Reference("at"), iceberg.Timestamp(tick(15).UnixMicro()))
	if got := scan(table.WithRowFilter(late)); !slices.Equal(got, sorted(fill(15, 20, "b"))) {
		t.Fatalf("another reader sees %v after a filter", got)
	}
	tasks, err := theirs.Scan(table.WithRowFilter(late)).PlanFiles(t.Context())
	if err != nil || len(tasks) != 1 {
		t.Fatalf("another reader opens %d files of 4 (%v)", len(tasks), err)
	}
}
