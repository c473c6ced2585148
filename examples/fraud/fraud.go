// Package fraud is the example that a user can copy: a feature store for finding fraudulent transactions, and the seeded
// data that it works on. The files beside this one are the example; the package carries them, and makes the data.
package fraud

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // makes the parquet files
)

//go:embed *.yaml transactions accounts
var files embed.FS

// SourcePlaceholder stands in the specifications for the name of the storage account that holds the data.
const SourcePlaceholder = "SOURCE_ACCOUNT"

// Copy writes the example's files into a folder, with the name of the storage account filled in.
func Copy(dir, account string) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, []byte(strings.ReplaceAll(string(text), SourcePlaceholder, account)), 0o644)
	})
}

// Size says how much data to make.
type Size struct {
	Transactions, Accounts, Observations int
}

// Default is the size of the quickstart: more than a million transactions.
var Default = Size{Transactions: 1_200_000, Accounts: 20_000, Observations: 50_000}

// Parts of the data set, as folders below the target. The observations are one file, observations.parquet.
const (
	Transactions = "transactions"
	Accounts     = "accounts"
	Observations = "observations.parquet"
)

// Generate writes the data set into a folder as parquet: transactions by month, accounts, and observations, over 2020-01
// to 2023-06. The same seed and size always give the same data. done is told of each file; it may be nil.
func Generate(ctx context.Context, dir string, size Size, seed int, done func(name string, n, of int)) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // in memory
	db.SetMaxOpenConns(1)
	for _, folder := range []string{Transactions, Accounts} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	// u(i, k) is a number in [0, 1) that depends on the row, the column and the seed alone.
	setup := fmt.Sprintf(`
		SET memory_limit = '512MB';
		SET TimeZone = 'UTC';
		CREATE MACRO u(i, k) AS (hash(i * 131 + k * 7919 + %d) %% 1000000007) / 1000000007.0;
		CREATE MACRO account(i, k) AS printf('A%%d', 1 + CAST(floor(pow(u(i, k), 1.7) * %d) AS BIGINT));
		CREATE MACRO moment(i, k) AS TIMESTAMP '2020-01-01' + to_seconds(CAST(floor(u(i, k) * 110332800) AS BIGINT));
		CREATE TABLE transactions AS
			SELECT printf('T%%08d', i) AS transactionID, account(i, 1) AS accountID, moment(i, 2) AS timestamp,
			       round(exp(1 + 5 * u(i, 3)), 2) AS transactionAmount
			FROM range(%d) r(i);`, seed, size.Accounts, size.Transactions)
	if _, err := db.ExecContext(ctx, setup); err != nil {
		return err
	}
	months := 42
	total := months + 2
	for month := range months {
		name := fmt.Sprintf("%s/%d-%02d.parquet", Transactions, 2020+month/12, 1+month%12)
		start := fmt.Sprintf("%d-%02d-01", 2020+month/12, 1+month%12)
		query := fmt.Sprintf(`SELECT * FROM transactions WHERE timestamp >= TIMESTAMP '%s' AND timestamp < TIMESTAMP '%s' + INTERVAL 1 MONTH ORDER BY timestamp, transactionID`, start, start)
		if err := export(ctx, db, query, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
		report(done, name, month+1, total)
	}
	accounts := fmt.Sprintf(`
		SELECT printf('A%%d', 1 + i %% %d) AS accountID,
		       TIMESTAMP '2020-01-01' + to_days(CAST((i // %d) * 90 AS INTEGER)) AS timestamp,
		       ['pt', 'de', 'FR', 'br', ' us'][1 + CAST(floor(u(i %% %d, 11) * 5) AS INTEGER)] AS accountCountry,
		       u(i %% %d, 12) < 0.8 AS isUserRegistered,
		       CAST(floor(pow(u(i, 13), 6) * 10) AS DOUBLE) AS numPaymentRejects1dPerUser,
		       CAST(floor(u(i %% %d, 14) * 2000) + (i // %d) * 90 AS DOUBLE) AS accountAge
		FROM range(%d) r(i) ORDER BY timestamp, accountID`, size.Accounts, size.Accounts, size.Accounts, size.Accounts, size.Accounts, size.Accounts, size.Accounts*14)
	if err := export(ctx, db, accounts, filepath.Join(dir, Accounts, "accounts.parquet")); err != nil {
		return err
	}
	report(done, Accounts+"/accounts.parquet", months+1, total)
	observations := fmt.Sprintf(`
		SELECT transactionID, accountID, timestamp + to_minutes(CAST(floor(u(i, 21) * 600) AS BIGINT)) AS timestamp,
		       u(i, 22) < 0.005 + 0.0003 * transactionAmount + CASE WHEN u(i, 23) < 0.1 THEN 0.1 ELSE 0 END AS is_fraud, u(i, 23) < 0.1 AS isProxyIP, transactionAmount, round(transactionAmount * 1.08, 2) AS transactionAmountUSD,
		       CAST(hour(timestamp) AS INTEGER) AS localHour, CAST(floor(u(i, 24) * 5) AS INTEGER) AS digitalItemCount, CAST(floor(u(i, 25) * 8) AS INTEGER) AS physicalItemCount
		FROM (SELECT *, row_number() OVER (ORDER BY hash(transactionID), transactionID) AS i FROM transactions) WHERE i <= %d ORDER BY i`, size.Observations)
	if err := export(ctx, db, observations, filepath.Join(dir, Observations)); err != nil {
		return err
	}
	report(done, Observations, total, total)
	return nil
}

func export(ctx context.Context, db *sql.DB, query, path string) error {
	quoted := strings.ReplaceAll(path, "'", "''")
	_, err := db.ExecContext(ctx, fmt.Sprintf("COPY (%s) TO '%s' (FORMAT parquet, COMPRESSION zstd)", query, quoted))
	return err
}

func report(done func(string, int, int), name string, n, of int) {
	if done != nil {
		done(name, n, of)
	}
}
