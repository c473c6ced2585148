package lake_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/lake/dir"
	"github.com/alvara-ml/alvara/resource"
)

// changing replaces an object just after a read of it began.
type changing struct{ lake.Bucket }

func (c changing) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := c.Bucket.Read(ctx, name, offset, length)
	if err == nil {
		_, err = c.Write(ctx, name, strings.NewReader("after"), 5, lake.Condition{})
	}
	return r, err
}

func TestDownloadNoticesAReplacement(t *testing.T) {
	b, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), "o", strings.NewReader("before"), 6, lake.Condition{}); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	_, err = lake.Download(t.Context(), changing{b}, "o", filepath.Join(folder, "o"))
	if e, ok := resource.AsError(err); !ok || e.Kind != resource.Conflict || e.Code != "BlobChanged" {
		t.Fatalf("got %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Fatalf("left over: %v (%v)", left, err)
	}
}
