package duckdb_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
)

// FS-08: ties that a look at the first rows does not show are found out as the result is written; still one row wins, every
// observation is there once and in its order, in every format, and with a set before and after.
func TestLateTies(t *testing.T) {
	dir := t.TempDir()
	copyTo := func(path, query string) string {
		statement(t, "COPY ("+query+") TO '"+path+"' (FORMAT parquet)")
		return path
	}
	const columns = "SELECT i AS k, TIMESTAMP '2024-01-01' + to_seconds(i) AS ts, "
	untied := copyTo(dir+"/untied.parquet", columns+"i::DOUBLE AS a, 'x' AS b FROM range(40000) t(i)")
	tied := copyTo(dir+"/tied.parquet", columns+"i + 0.25 * j AS a, 'x' || j AS b FROM range(39000, 41000) t(i), range(3) u(j)")
	observations := copyTo(dir+"/obs.parquet", "SELECT (41999 - i) AS k, TIMESTAMP '2024-01-02' AS at, i AS n FROM range(42000) t(i)")
	set := engine.JoinSet{
		Name: "s", Version: "1", Files: []string{untied, tied}, Index: []engine.Column{{Name: "k", Type: engine.Long}}, TimestampColumn: "ts",
		Features: []engine.Column{{Name: "b", Type: engine.String}, {Name: "a", Type: engine.Double}},
		Order:    []engine.Column{{Name: "a", Type: engine.Double}, {Name: "b", Type: engine.String}},
	}
	again := set
	again.Prefix, again.Files = "again_", []string{tied, untied}
	for _, format := range []string{engine.Parquet, engine.CSV, engine.Arrow} {
		output := dir + "/out." + format
		result, err := (&duckdb.Engine{}).Join(context.Background(), engine.Join{
			Observations: []string{observations}, ObservationFormat: engine.Parquet, TimestampColumn: "at", Sets: []engine.JoinSet{again, set},
			Output: output, OutputFormat: format, Scratch: t.TempDir(), Limits: engine.Limits{Threads: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		if result.Rows != 42000 || !slices.Equal(result.Matched, []int64{41000, 41000}) {
			t.Errorf("%s: %+v", format, result)
		}
		if format == engine.Arrow {
			if got := readArrow(t, output); len(got) != 42000 || got[999] != "NULL" || got[1000] != "x2" {
				t.Errorf("%s: %d rows, %s, %s", format, len(got), got[999], got[1000])
			}
			continue
		}
		got := query(t, fmt.Sprintf("FROM read_%s('%s')", format, output)).rows
		if len(got) != 42000 {
			t.Fatalf("%s: %d rows", format, len(got))
		}
		for n, r := range got {
			k := 41999 - n
			a, b := "NULL", "NULL"
			switch {
			case k >= 41000:
			case k >= 39000:
				a, b = query1(float64(k)+0.5), "x2"
			default:
				a, b = query1(float64(k)), "x"
			}
			if r[2] != fmt.Sprint(n) || !slices.Equal(r[3:], []string{b, a, b, a}) {
				t.Fatalf("%s: row %d is %v, want k %d, %s, %s", format, n, r, k, b, a)
			}
		}
	}
}
