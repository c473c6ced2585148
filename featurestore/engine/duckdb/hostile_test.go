package duckdb_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/resource"
)

// hostile is what a stranger may try. SECRET stands for a file beside the source that the SQL must not see.
var hostile = []string{
	`SELECT * FROM read_csv('SECRET')`,
	`SELECT * FROM read_text('SECRET')`,
	`SELECT * FROM read_blob('SECRET')`,
	`SELECT * FROM read_parquet('SECRET')`,
	`SELECT * FROM read_json_auto('SECRET')`,
	`SELECT * FROM read_csv_auto(['SECRET'])`,
	`SELECT * FROM sniff_csv('SECRET')`,
	`SELECT * FROM parquet_metadata('SECRET')`,
	`SELECT * FROM glob('/etc/*')`,
	`SELECT * FROM 'SECRET'`,
	`SELECT * FROM "SECRET"`,
	`FROM 'SECRET'`,
	`SELECT * FROM source, 'SECRET'`,
	`SELECT * FROM source WHERE amount > (SELECT count(*) FROM 'SECRET')`,
	`SELECT * FROM source JOIN LATERAL (SELECT * FROM read_text('SECRET')) ON true`,
	`WITH a AS (SELECT * FROM read_text('SECRET')) SELECT * FROM a`,
	`WITH "SECRET" AS (SELECT 1) SELECT * FROM (SELECT 1), source UNION ALL FROM 'SECRET2'`,
	`SELECT * FROM (WITH "SECRET" AS (SELECT 1 x) FROM "SECRET"), "SECRET"`,
	`WITH a AS (FROM sqlite_master), sqlite_master AS (SELECT 1) SELECT * FROM a`,
	`WITH RECURSIVE a AS (SELECT 1 x UNION ALL SELECT x FROM b), b AS (SELECT 1 x) SELECT * FROM a`,
	`WITH source AS (SELECT 1) SELECT * FROM source`,
	`COPY source TO '/tmp/x.csv'`,
	`COPY (SELECT * FROM source) TO '/tmp/x.csv'`,
	`SELECT * FROM source; COPY source TO '/tmp/x.csv'`,
	`SELECT * FROM source; DROP TABLE source`,
	`SELECT 1) TO '/tmp/x.csv' --`,
	`SELECT * FROM source) UNION ALL (SELECT * FROM read_text('SECRET')`,
	`SELECT * FROM source /* ; */ ; /* */ ATTACH '/tmp/x.db'`,
	`ATTACH '/tmp/x.db' AS x`,
	`INSTALL httpfs`,
	`LOAD httpfs`,
	`LOAD '/tmp/x.so'`,
	`PRAGMA database_list`,
	`PRAGMA enable_external_access`,
	`SET enable_external_access = true`,
	`RESET lock_configuration`,
	`CALL pragma_version()`,
	`SELECT * FROM pragma_database_list()`,
	`SELECT getenv('PATH')`,
	`SELECT current_setting('memory_limit')`,
	`SELECT CURRENT_SETTING('home_directory') FROM source`,
	`SELECT main.current_setting('memory_limit')`,
	`SELECT system.main.current_setting('memory_limit')`,
	`SELECT getvariable('x')`,
	`SELECT nextval('s')`,
	`SELECT * FROM duckdb_secrets()`,
	`SELECT * FROM duckdb_settings()`,
	`SELECT * FROM duckdb_tables`,
	`SELECT * FROM information_schema.tables`,
	`SELECT * FROM sqlite_master`,
	`SELECT * FROM pg_catalog.pg_class`,
	`SELECT * FROM memory.main.source`,
	`SELECT * FROM main.source`,
	`SELECT * FROM query('SELECT 42')`,
	`SELECT * FROM query_table('source')`,
	`SELECT * FROM json_execute_serialized_sql('{}')`,
	`SELECT json_serialize_plan('SELECT 1')`,
	`SELECT write_log('x')`,
	`SELECT pg_sleep(100)`,
	`SELECT sleep_ms(100000)`,
	`SELECT list_transform([1], lambda x: getenv('PATH'))`,
	`SELECT sum(amount) FILTER (getenv('PATH') IS NOT NULL) OVER (ORDER BY current_setting('threads')) FROM source`,
	`SELECT * FROM source ORDER BY current_setting('threads')`,
	`SELECT * FROM source LIMIT (SELECT count(*) FROM read_text('SECRET'))`,
	`SELECT * FROM range((SELECT count(*) FROM read_text('SECRET')))`,
	`SELECT * REPLACE (current_setting('threads') AS amount) FROM source`,
	`SELECT COLUMNS(c -> getenv(c) IS NULL) FROM source`,
	`DESCRIBE source`,
	`SELECT * FROM (DESCRIBE source)`,
	`SELECT * FROM (SUMMARIZE source)`,
	`SHOW TABLES`,
	`EXPLAIN ANALYZE SELECT 1`,
	`PREPARE x AS SELECT 1`,
	`EXECUTE x`,
	`SELECT * FROM source WHERE amount > $1`,
	`SELECT * FROM source WHERE amount > ?`,
	`CREATE TABLE x AS SELECT 1`,
	`CREATE MACRO m() AS TABLE SELECT * FROM read_text('SECRET')`,
	`INSERT INTO source SELECT * FROM source`,
	`DELETE FROM source RETURNING *`,
	`EXPORT DATABASE '/tmp/x'`,
	`SELECT * FROM source AT (VERSION => 1)`,
	`TABLE "SECRET"`,
	`SELECT * FROM repeat_row(1, num_rows = 3)`,
	`SELECT * FROM test_all_types()`,
	`SELECT * FROM arrow_scan(1, 2, 3)`,
	`VALUES (current_setting('threads'))`,
	`SELECT * FROM (VALUES (getenv('PATH'))) v`,
	`SELECT CASE WHEN true THEN getenv('PATH') END`,
	`SELECT amount IN (SELECT getenv('PATH')) FROM source`,
	`SELECT [getenv(x) FOR x IN ['PATH']]`,
	`SELECT {'a': getenv('PATH')}`,
	"",
	"   -- nothing",
	"SELECT 1 \x00; DROP TABLE source",
	`SELECT`,
}

// BX-05, FS-05: a stranger's SQL is refused when it names anything but the table source, before it runs.
func TestHostileSQLIsRefused(t *testing.T) {
	secret := t.TempDir() + "/secret.csv"
	if err := os.WriteFile(secret, []byte("secret\n42\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &duckdb.Engine{}
	for _, sql := range hostile {
		t.Run(sql[:min(len(sql), 40)], func(t *testing.T) {
			t.Parallel()
			err := e.CheckSQL(context.Background(), strings.ReplaceAll(sql, "SECRET", secret))
			if known, ok := resource.AsError(err); !ok || known.Kind != resource.Invalid || known.Code != engine.CodeSQL {
				t.Fatalf("%s\ngives %v, want an error %s", sql, err, engine.CodeSQL)
			}
		})
	}
}

// What an author of features writes passes, comments and all.
func TestHonestSQLIsAllowed(t *testing.T) {
	e := &duckdb.Engine{}
	for _, sql := range []string{
		`SELECT * FROM source`,
		"select accountID, \"timestamp\", sum(amount) over (partition by accountID order by timestamp range between interval 3 day preceding and current row) s\nfrom SOURCE -- the end\n",
		"SELECT * FROM source; -- done\n;\n",
		`WITH a AS (SELECT * FROM source), b AS (SELECT * FROM a) SELECT x.* FROM a x JOIN b USING (accountID)`,
		`WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM source, r`,
		`SELECT accountID, date_trunc('day', timestamp) AS timestamp, count(*) c, avg(amount) FILTER (amount > 0) m FROM source GROUP BY ALL HAVING c > 1 ORDER BY 1 LIMIT 10`,
		`SELECT DISTINCT ON (accountID) * FROM source QUALIFY row_number() OVER (PARTITION BY accountID ORDER BY timestamp DESC) = 1`,
		`SELECT coalesce(CAST(amount AS VARCHAR), 'none') || '''' x, amount::INTEGER % 3, [1, 2][1], {'a': 1}.a, '-- no comment' FROM source`,
		`SELECT * FROM source s, unnest([1, 2]) u(n), range(3) t(i), generate_series(1, 2)`,
		`SELECT a.* FROM source a ASOF JOIN source b ON a.accountID = b.accountID AND a.timestamp >= b.timestamp`,
		`FROM source SELECT accountID UNION ALL SELECT accountID FROM source EXCEPT SELECT 'x'`,
		`SELECT list_transform([1, 2], lambda x: x + 1), amount BETWEEN 1 AND 2, accountID LIKE 'a%', accountID IN ('a') FROM source WHERE EXISTS (SELECT 1 FROM source s WHERE s.amount > source.amount)`,
		`SELECT time_bucket(INTERVAL '1 hour', timestamp), extract(year FROM timestamp), strftime(timestamp, '%Y'), epoch_ms(timestamp), timestamp AT TIME ZONE 'Europe/Berlin' FROM source`,
	} {
		if err := e.CheckSQL(context.Background(), sql); err != nil {
			t.Errorf("%s\n%v", sql, err)
		}
	}
}

// BX-05: SQL that never ends or grows without bound ends at a limit, and the error names the limit.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("each bomb runs until its limit")
	}
	for name, bomb := range map[string]string{
		"cross join":      `SELECT a.accountID, a.timestamp, sum(a.amount * b.amount * c.i * d.i) AS amount FROM source a, source b, range(1000000) c(i), range(1000000) d(i) GROUP BY ALL`,
		"generate series": `SELECT s.accountID, s.timestamp, g.i + random() AS amount FROM source s, generate_series(1, 1000000000000) g(i) ORDER BY amount`,
		"recursion":       `WITH RECURSIVE r AS (SELECT 1::BIGINT n UNION ALL SELECT n + 1 FROM r) SELECT s.accountID, s.timestamp, sum(n)::DOUBLE amount FROM source s, r GROUP BY ALL`,
		"doubling":        `WITH RECURSIVE r AS (SELECT 1::BIGINT n UNION ALL SELECT r.n + random() FROM r, range(1000) x) SELECT s.accountID, s.timestamp, sum(n)::DOUBLE amount FROM source s, r GROUP BY ALL`,
		"repeat":          `SELECT accountID, timestamp, length(repeat(repeat('x', 40000), 100000) || i)::DOUBLE AS amount FROM source, range(1000) t(i)`,
		"list":            `SELECT accountID, timestamp, len(list(x))::DOUBLE AS amount FROM source, (SELECT repeat('y', 1000) || i AS x FROM range(10000000000) t(i)) GROUP BY ALL`,
		"output":          `SELECT accountID, timestamp, random() AS amount FROM source, range(100000000000)`,
	} {
		t.Run(name, func(t *testing.T) {
			request := transactions(t)
			request.SQL = bomb
			request.Limits = engine.Limits{Memory: 128 << 20, Scratch: 64 << 20, Time: 4 * time.Second, Threads: 1}
			began := time.Now()
			result, err := (&duckdb.Engine{}).Transform(context.Background(), request)
			known, _ := resource.AsError(err)
			if known == nil || !strings.HasSuffix(known.Code, "LimitReached") {
				t.Fatalf("gives %+v, %v", result, err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
			if result.Usage.PeakMemory > 1<<30 {
				t.Errorf("held %d bytes", result.Usage.PeakMemory)
			}
			t.Logf("%s in %v, %d MiB", known.Code, time.Since(began).Round(time.Millisecond), result.Usage.PeakMemory>>20)
			empty(t, request.Scratch)
			empty(t, request.OutputDir)
		})
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s is left in %s", entry.Name(), dir)
	}
}

// A cancelled caller leaves neither a process nor a file behind.
func TestCancel(t *testing.T) {
	request := transactions(t)
	request.SQL = `SELECT a.accountID, a.timestamp, sum(c.i * d.i)::DOUBLE AS amount FROM source a, range(1000000) c(i), range(1000000) d(i) GROUP BY ALL`
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	began := time.Now()
	_, err := (&duckdb.Engine{}).Transform(ctx, request)
	if err != context.DeadlineExceeded {
		t.Fatalf("gives %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	empty(t, request.Scratch)
	empty(t, request.OutputDir)
}

// No text makes the check fall over, and whatever passes it reads nothing but the source: the database is shut when it runs, and
// an attempt to open a file shows in its error.
func FuzzCheckSQL(f *testing.F) {
	for _, sql := range hostile {
		f.Add(sql)
	}
	f.Add("SELECT * FROM source")
	e := &duckdb.Engine{Defaults: engine.Limits{Memory: 64 << 20, Scratch: 16 << 20, Time: 2 * time.Second, Threads: 1}}
	request := transactions(f)
	f.Fuzz(func(t *testing.T, sql string) {
		err := e.CheckSQL(context.Background(), sql)
		if err != nil {
			if known, ok := resource.AsError(err); !ok || known.Code != engine.CodeSQL {
				t.Fatalf("%q: %v", sql, err)
			}
			return
		}
		run := request
		run.SQL, run.OutputDir, run.Scratch = sql, t.TempDir(), t.TempDir()
		if _, err := e.Transform(context.Background(), run); err != nil && strings.Contains(err.Error(), "disabled by configuration") {
			t.Fatalf("%q got as far as a file: %v", sql, err)
		}
	})
}
