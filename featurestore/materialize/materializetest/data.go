package materializetest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2" // writes and reads the tests' files
)

// Transactions is the specification of a feature set over parquet files below tx/: sums of a day and counts of three by
// account.
const Transactions = `
source:
  type: parquet
  path: wasbs://sources@store1.blob.core.windows.net/tx/*.parquet
  timestamp_column: {name: timestamp}
  source_delay: {minutes: 20}
source_lookback: {days: 3}
temporal_join_lookback: {days: 2}
index_columns:
  - {name: accountID, type: string}
features:
  - {name: sum1d, type: double}
  - {name: count3d, type: long}
feature_transformation:
  transformation_expression:
    - {feature: sum1d, aggregation: sum, column: amount, window: {length: 1, unit: day}}
    - {feature: count3d, aggregation: count, window: {length: 3, unit: day}}
`

// Accounts is the specification of a feature set without transformation over CSV files.
const Accounts = `
source:
  type: csv
  path: wasbs://sources@store1.blob.core.windows.net/accounts/accounts.csv
  timestamp_column: {name: timestamp}
index_columns:
  - {name: accountID, type: string}
features:
  - {name: accountAge, type: double}
  - {name: country, type: string}
`

// TransactionRows is the SQL of so many transactions, one every 37 minutes from 2023-01-01, of five accounts. The amounts
// depend on the seed.
func TransactionRows(rows, seed int) string {
	return fmt.Sprintf(`SELECT 'A' || (i %% 5) AS "accountID", TIMESTAMP '2023-01-01' + to_minutes(i * 37) AS "timestamp",
		((i * 7 + %d * 13) %% 101)::DOUBLE AS amount FROM range(%d) r(i)`, seed, rows)
}

// AccountRows is the SQL of one row of each of five accounts every day, ten days from 2023-01-01.
const AccountRows = `SELECT 'A' || (i % 5) AS "accountID", TIMESTAMP '2023-01-01' + to_days((i // 5)::INTEGER) AS "timestamp",
	(i * 1.5)::DOUBLE AS "accountAge", CASE WHEN i % 3 = 0 THEN NULL ELSE 'C' || (i % 4) END AS country FROM range(50) r(i)`

// Write writes the rows of a query to a file, in the format of its ending.
func Write(t testing.TB, path, query string) string {
	t.Helper()
	format := "FORMAT parquet"
	switch {
	case strings.HasSuffix(path, ".csv"):
		format = "FORMAT csv, HEADER"
	case strings.HasSuffix(path, ".json"):
		format = "FORMAT json"
	}
	Query(t, fmt.Sprintf("COPY (%s) TO '%s' (%s)", query, path, format))
	return path
}

// Query gives a query's rows as text, columns parted by "|", null as NULL.
func Query(t testing.TB, query string) []string {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // in memory
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("SET TimeZone = 'UTC'; SET threads = 1"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }() // read to the end
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, value := range values {
			texts[i] = "NULL"
			if value != nil {
				texts[i] = fmt.Sprint(value)
			}
		}
		out = append(out, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
