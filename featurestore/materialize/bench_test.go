package materialize_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/featurestore/online"
)

// BenchmarkMaterialize computes three days and seven days of a million transactions, in one window, through the blob
// plane into both stores.
func BenchmarkMaterialize(b *testing.B) {
	const rows = 1_000_000
	w := &world{t: b, Stack: New(b)}
	if err := w.Plane.Set([]online.Column{{Name: "accountID", Type: online.String}},
		[]online.Column{{Name: "sum1d", Type: online.Double}, {Name: "count3d", Type: online.Long}}, "timestamp"); err != nil {
		b.Fatal(err)
	}
	w.Upload(b, Sources, "tx/part-0.parquet", Write(b, filepath.Join(b.TempDir(), "s.parquet"), fmt.Sprintf(
		`SELECT 'A' || (i * 7919 %% 10000) AS "accountID", TIMESTAMP '2023-01-01' + to_seconds(i * 60) AS "timestamp", (i %% 101)::DOUBLE AS amount FROM range(%d) r(i)`, rows)))
	for i := 0; b.Loop(); i++ {
		o := order(fmt.Sprintf("bench-%d", i), day(1), day(1).Add(rows*time.Minute))
		o.Limits = engine.Limits{}
		if result := w.run(o); result.Rows != rows || result.OnlineRows != 10_000 {
			b.Fatalf("%+v", result)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
