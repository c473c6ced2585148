package duckdb

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// ComputeMain is a compute process: it reads one request, shuts itself in, computes, answers, and gives the exit code. It
// ends at once when stdin does.
func ComputeMain(stdin io.Reader, stdout io.Writer) int {
	in := bufio.NewReaderSize(stdin, 64<<10)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return 2
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return 2
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(3)
	}()
	res := response{Walls: lockIn(req.Limits, req.Reads, req.Work)}
	body, err := compute(req)
	if err == nil {
		res.Body, err = json.Marshal(body)
	}
	if err != nil {
		res.Body, res.Fault = nil, faultOf(err)
	}
	answer, err := json.Marshal(res)
	if err != nil {
		return 2
	}
	if _, err := stdout.Write(append(answer, '\n')); err != nil {
		return 2
	}
	return 0
}

// worker is a compute process at work: one connection to one database in memory that spills to its folder.
type worker struct {
	ctx      context.Context
	conn     *sql.Conn
	limits   engine.Limits
	reads    []string
	out      string
	overfull atomic.Bool // the folder outgrew its limit
}

func compute(req request) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), req.Limits.Time)
	defer cancel()
	w := &worker{ctx: ctx, limits: req.Limits, reads: req.Reads, out: filepath.Join(req.Work, "out")}
	go w.weigh(req.Work, cancel)

	connector, err := duck.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	defer connector.Close()
	db := sql.OpenDB(connector)
	defer db.Close()
	if w.conn, err = db.Conn(ctx); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	defer w.conn.Close()
	if err := w.configure(filepath.Join(req.Work, "spill")); err != nil {
		return nil, err
	}
	switch req.Op {
	case opTransform:
		return with(req.Body, w.transform)
	case opJoin:
		return with(req.Body, w.join)
	case opLatest:
		return with(req.Body, w.latest)
	case opInspect:
		return with(req.Body, w.inspect)
	case opCheck:
		return with(req.Body, func(text string) (struct{}, error) {
			_, err := w.checkSQL(text)
			return struct{}{}, err
		})
	}
	return nil, resource.Errorf(resource.Unsupported, engine.CodeRequest, "Operation %q is unknown.", req.Op)
}

func with[In, Out any](body json.RawMessage, do func(In) (Out, error)) (any, error) {
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return do(in)
}

// configure sets what every operation needs. Extensions are off from the start; files stay open until shut.
func (w *worker) configure(spill string) error {
	for _, setting := range []string{
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET allow_unsigned_extensions = false",
		"SET TimeZone = 'UTC'",
		"SET temp_directory = " + text(spill),
		fmt.Sprintf("SET memory_limit = '%dB'", w.limits.Memory),
		fmt.Sprintf("SET max_temp_directory_size = '%dB'", w.limits.Scratch),
		fmt.Sprintf("SET threads = %d", w.limits.Threads),
		"SET preserve_insertion_order = false",
		"SET enable_progress_bar = false",
	} {
		if _, err := w.exec(setting); err != nil && !strings.Contains(setting, "allow_unsigned") {
			return fmt.Errorf("configure database: %s: %w", setting, err)
		}
	}
	return nil
}

// shut leaves the database its input files to read and its output folder to write, for good.
func (w *worker) shut() error {
	paths := make([]string, len(w.reads))
	for i, path := range w.reads {
		paths[i] = text(path)
	}
	for _, setting := range []string{
		"SET allowed_paths = [" + strings.Join(paths, ", ") + "]",
		"SET allowed_directories = [" + text(w.out) + "]",
		"SET enable_external_access = false",
	} {
		if _, err := w.exec(setting); err != nil {
			return fmt.Errorf("shut database: %w", err)
		}
	}
	return nil
}

// lock keeps every setting as it is, for good; it comes before a stranger's SQL.
func (w *worker) lock() error {
	if _, err := w.exec("SET lock_configuration = true"); err != nil {
		return fmt.Errorf("lock database: %w", err)
	}
	return nil
}

// weigh cancels the work when its folder outgrows the scratch limit: spill and output together.
func (w *worker) weigh(dir string, cancel context.CancelFunc) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
			var total int64
			_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return nil // a file that went away meanwhile weighs nothing
				}
				if info, err := entry.Info(); err == nil {
					total += info.Size()
				}
				return nil
			})
			if total > w.limits.Scratch {
				w.overfull.Store(true)
				cancel()
				return
			}
		}
	}
}

// exec runs one statement and gives the number of rows that it wrote.
func (w *worker) exec(statement string) (int64, error) {
	result, err := w.conn.ExecContext(w.ctx, statement)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// fill runs CREATE TABLE AS and gives the number of rows that the table got.
func (w *worker) fill(statement string) (rows int64, err error) {
	err = w.row(statement, &rows)
	return rows, err
}

// row reads the one row of a query.
func (w *worker) row(query string, into ...any) error {
	return w.conn.QueryRowContext(w.ctx, query).Scan(into...)
}

// text quotes a string for SQL, name an identifier.
func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func texts(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = text(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
