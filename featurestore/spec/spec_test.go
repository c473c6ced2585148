package spec

import (
	"reflect"
	"testing"
	"time"
)

const transactionsYAML = `$schema: http://azureml/sdk-2-0/FeatureSetSpec.json
source:
  type: parquet
  path: wasbs://data@frauddata.blob.core.windows.net/transactions/*.parquet
  timestamp_column: # the event's time
    name: timestamp
  source_delay:
    minutes: 20
feature_transformation:
  transformation_expression:
    - feature: transaction_7d_count
      aggregation: count
      window: {length: 7, unit: days}
    - {feature: transaction_amount_7d_sum, aggregation: sum, column: transactionAmount, window: {length: 1, unit: week}}
    - {feature: transaction_amount_3d_avg, aggregation: AVG, column: transactionAmount, window: {days: 3}}
features:
  - name: transaction_7d_count
    type: long
  - name: transaction_amount_7d_sum
    type: double
    description: "sum over 7 days: all accounts"
  - {name: transaction_amount_3d_avg, type: double}
index_columns:
  - name: accountID
    type: string
source_lookback:
  days: 7
temporal_join_lookback:
  days: 1
`

// TestTransactions shows the tutorial's first feature set (J1, J6; FS-11).
func TestTransactions(t *testing.T) {
	got, err := Parse(map[string][]byte{"FeatureSetSpec.yaml": []byte(transactionsYAML)})
	if err != nil {
		t.Fatal(err)
	}
	oneDay := 24 * time.Hour
	want := &FeatureSetSpec{
		Source: Source{Type: Parquet, URI: "wasbs://data@frauddata.blob.core.windows.net/transactions/*.parquet",
			Scheme: SchemeWASBS, Account: "frauddata", Container: "data", Endpoint: "https://frauddata.blob.core.windows.net",
			Path: "transactions/*.parquet"},
		TimestampColumn:      TimestampColumn{Name: "timestamp"},
		SourceDelay:          20 * time.Minute,
		SourceLookback:       7 * oneDay,
		TemporalJoinLookback: &oneDay,
		IndexColumns:         []Column{{Name: "accountID", Type: String}},
		Features: []Column{
			{Name: "transaction_7d_count", Type: Long},
			{Name: "transaction_amount_7d_sum", Type: Double, Description: "sum over 7 days: all accounts"},
			{Name: "transaction_amount_3d_avg", Type: Double},
		},
		Aggregations: []Aggregation{
			{Feature: "transaction_7d_count", Func: Count, Window: 7 * oneDay},
			{Feature: "transaction_amount_7d_sum", Func: Sum, Column: "transactionAmount", Window: 7 * oneDay},
			{Feature: "transaction_amount_3d_avg", Func: Avg, Column: "transactionAmount", Window: 3 * oneDay},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	names := ""
	for _, column := range got.Columns() {
		names += column.Name + " "
	}
	if names != "accountID timestamp transaction_7d_count transaction_amount_7d_sum transaction_amount_3d_avg " {
		t.Errorf("columns are %s", names)
	}
}
