package duckdb_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
)

// table is what the tests write to files and read back: column names, their types, and rows of values that fmt.Sprint compares.
type table struct {
	columns []string
	types   []string
	rows    [][]string // SQL literals when written, text when read; NULL in both
}

// write makes a file of rows given as SQL literals, in order.
func (tb table) write(t testing.TB, path string) string {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var list []string
	for i, c := range tb.columns {
		list = append(list, fmt.Sprintf("%q %s", c, tb.types[i]))
	}
	must(t, db, "SET threads = 1")
	must(t, db, "SET TimeZone = 'UTC'")
	must(t, db, "CREATE TABLE t("+strings.Join(list, ", ")+")")
	for at := 0; at < len(tb.rows); at += 500 {
		var values []string
		for _, row := range tb.rows[at:min(at+500, len(tb.rows))] {
			values = append(values, "("+strings.Join(row, ", ")+")")
		}
		must(t, db, "INSERT INTO t VALUES "+strings.Join(values, ", "))
	}
	format := "FORMAT parquet"
	switch filepath.Ext(path) {
	case ".csv":
		format = "FORMAT csv, HEADER"
	case ".json":
		format = "FORMAT json"
	}
	must(t, db, "COPY t TO '"+path+"' ("+format+")")
	return path
}

func must(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// read gives the rows of parquet files as text, in the files' order.
func read(t testing.TB, paths ...string) table {
	t.Helper()
	if len(paths) == 0 {
		return table{}
	}
	return query(t, "SELECT * FROM read_parquet(['"+strings.Join(paths, "', '")+"'])")
}

func query(t testing.TB, text string) table {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	must(t, db, "SET TimeZone = 'UTC'")
	rows, err := db.Query("SELECT COLUMNS(*)::VARCHAR FROM (" + text + ")")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out table
	out.columns, err = rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]sql.NullString, len(out.columns))
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = "NULL"
			if v.Valid {
				row[i] = v.String
			}
		}
		out.rows = append(out.rows, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func statement(t testing.TB, text string) {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, text)
}
