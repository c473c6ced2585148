package spec

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawSpec draws any valid specification.
func drawSpec(t *rapid.T) *FeatureSetSpec {
	taken := map[string]bool{}
	name := func(label string) string {
		return rapid.OneOf(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_-]{0,12}`), rapid.SampledFrom([]string{"true", "Null", "yes", "n", "été", "Straße", "_1", "on"})).
			Filter(func(s string) bool {
				key := foldName(s)
				if taken[key] || CheckColumnName(s) != nil {
					return false
				}
				taken[key] = true
				return true
			}).Draw(t, label)
	}
	text := rapid.OneOf(rapid.StringN(0, 20, 60), rapid.SampledFrom([]string{
		"", "a: b", "# no comment", "'", `"`, "\\", "- x", "1", "1.0", "~", "null", "{a}", "a #b", "|", ">", "&a", "*a", "!t", "%d", "@x", "tail:", " lead", "tail ", "two\nlines", "\t", "é\u2028\U0001F600",
	}))
	minutes := func(label string) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Int64Range(0, 100000), rapid.Int64Range(0, int64(MaxDuration/time.Minute))).Draw(t, label)) * time.Minute
	}
	source, err := ParseSource(rapid.SampledFrom([]string{
		"wasbs://data@acct.blob.host.net/a b/*.parquet", "abfss://data@acct.dfs.host.net/", "https://127.0.0.1:8443/acct/data/x/[0-9]?.csv",
		"https://acct.blob.host.net/data/x%20y", "azureml://datastores/store/paths/x/**/y: z #.json",
		"azureml://subscriptions/s/resourcegroups/rg/workspaces/ws/datastores/d/paths/",
	}).Draw(t, "path"))
	if err != nil {
		t.Fatal(err)
	}
	source.Type = rapid.SampledFrom([]SourceType{Parquet, CSV, JSON}).Draw(t, "source type")
	s := &FeatureSetSpec{Source: source, SourceDelay: minutes("delay"), SourceLookback: minutes("lookback")}
	s.TimestampColumn.Name = name("timestamp")
	s.TimestampColumn.Format = rapid.SampledFrom([]string{"", "yyyy-MM-dd HH:mm:ss", "'at' yyyy"}).Draw(t, "format")
	if rapid.Bool().Draw(t, "bounded") {
		d := minutes("join lookback")
		s.TemporalJoinLookback = &d
	}
	for range rapid.IntRange(1, 3).Draw(t, "index columns") {
		s.IndexColumns = append(s.IndexColumns, Column{Name: name("index"), Type: rapid.SampledFrom(columnTypes).Draw(t, "type")})
	}
	transformation := rapid.IntRange(0, 2).Draw(t, "transformation")
	for range rapid.IntRange(1, 5).Draw(t, "features") {
		f := Column{Name: name("feature"), Type: rapid.SampledFrom(columnTypes).Draw(t, "type"), Description: text.Draw(t, "description")}
		if transformation == 1 {
			a := Aggregation{Feature: f.Name, Func: rapid.SampledFrom([]AggregateFunc{Count, Sum, Avg, Min, Max}).Draw(t, "function"),
				Window: time.Duration(rapid.Int64Range(1, 1e7).Draw(t, "window")) * time.Second}
			f.Type = rapid.SampledFrom(resultTypes(a.Func)).Draw(t, "result type")
			a.Column = text.Filter(func(c string) bool {
				return !hasControl(c) && (c == "" && a.Func == Count || strings.TrimSpace(c) != "")
			}).Draw(t, "column")
			s.SourceLookback = max(s.SourceLookback, a.Window.Truncate(time.Minute)+time.Minute)
			s.Aggregations = append(s.Aggregations, a)
		}
		s.Features = append(s.Features, f)
	}
	if transformation == 2 {
		s.SQLPath = rapid.SampledFrom([]string{"t.sql", "a/b.sql", "my query.sql", "true"}).Draw(t, "sql path")
		s.SQL = "SELECT " + text.Draw(t, "sql")
		s.SQL = strings.ReplaceAll(s.SQL, "\x00", "")
	}
	return s
}

// TestRoundTrip shows that the canonical form reads back to the same value and is stable (FS-11).
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(files)
		if err != nil {
			t.Fatalf("%v\n%s", err, files[FileName])
		}
		if !reflect.DeepEqual(s, back) {
			t.Fatalf("wrote %+v\nread  %+v\n%s", s, back, files[FileName])
		}
		again, err := back.Files()
		if err != nil || !reflect.DeepEqual(files, again) {
			t.Fatalf("the canonical form changes: %v\n%s\n%s", err, files[FileName], again[FileName])
		}
	})
}

// TestCanonical keeps the canonical form as people see it.
func TestCanonical(t *testing.T) {
	s, err := Parse(map[string][]byte{FileName: []byte(transactionsYAML)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	const want = `source:
  type: parquet
  path: wasbs://data@frauddata.blob.core.windows.net/transactions/*.parquet
  timestamp_column:
    name: timestamp
  source_delay:
    minutes: 20
feature_transformation:
  transformation_expression:
    - feature: transaction_7d_count
      aggregation: count
      window:
        length: 7
        unit: days
    - feature: transaction_amount_7d_sum
      aggregation: sum
      column: transactionAmount
      window:
        length: 7
        unit: days
    - feature: transaction_amount_3d_avg
      aggregation: avg
      column: transactionAmount
      window:
        length: 3
        unit: days
features:
  - name: transaction_7d_count
    type: long
  - name: transaction_amount_7d_sum
    type: double
    description: "sum over 7 days: all accounts"
  - name: transaction_amount_3d_avg
    type: double
index_columns:
  - name: accountID
    type: string
source_lookback:
  days: 7
temporal_join_lookback:
  days: 1
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	s.SourceDelay = time.Second
	if _, err := s.MarshalYAML(); err == nil {
		t.Error("a delay of one second cannot be written")
	}
}
