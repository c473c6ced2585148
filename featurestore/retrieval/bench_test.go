package retrieval_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
)

// BenchmarkGetOffline joins a hundred thousand observations with a million rows of the offline store, through all planes.
func BenchmarkGetOffline(b *testing.B) {
	const rows, observations = 1_000_000, 100_000
	w := newWorld(b)
	w.register("transactions", Transactions, "Offline")
	w.Upload(b, Sources, "tx/part-0.parquet", Write(b, filepath.Join(b.TempDir(), "s.parquet"), fmt.Sprintf(
		`SELECT 'A' || (i * 7919 %% 10000) AS "accountID", TIMESTAMP '2023-01-01' + to_seconds(i * 60) AS "timestamp", (i %% 101)::DOUBLE AS amount FROM range(%d) r(i)`, rows)))
	w.materialize(day(1), day(1).Add(rows*time.Minute))
	asked := Write(b, filepath.Join(b.TempDir(), "o.parquet"), fmt.Sprintf(
		`SELECT 'A' || (i * 104729 %% 10000) AS "accountID", TIMESTAMP '2023-01-02' + to_seconds(i * 597) AS seen FROM range(%d) r(i)`, observations))
	for b.Loop() {
		result, err := w.retriever().GetOffline(context.Background(), retrieval.Request{
			Store: store, Features: []string{"transactions:1"}, Observations: asked, TimestampColumn: "seen", Output: filepath.Join(b.TempDir(), "out.parquet")})
		if err != nil || result.Rows != observations || result.Sets[0].Matched == 0 {
			b.Fatalf("%+v, %v", result, err)
		}
	}
	b.ReportMetric(float64(observations)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
