package duckdb

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/alvara-ml/alvara/featurestore/engine"
)

// written is what COPY says of a file that it wrote.
type written struct {
	rows, bytes int64
	stats       map[string]map[string]any // by column
}

// rowGroup is how many rows a parquet file of so many columns collects before it writes them: what DuckDB takes, and fewer for
// wide files, whose groups would not fit into memory to be written or read.
func rowGroup(columns int) int { return max(2048, min(122_880, 122_880*64/max(columns, 1))) }

// copyTo writes a query to one parquet file and gives the file's own statistics.
func (w *worker) copyTo(query, path string, columns int) (written, error) {
	rows, err := w.conn.QueryContext(w.ctx, "COPY (\n"+query+"\n) TO "+text(path)+" (FORMAT parquet, RETURN_STATS true, ROW_GROUP_SIZE "+strconv.Itoa(rowGroup(columns))+")")
	if err != nil {
		return written{}, err
	}
	defer rows.Close()
	out := written{stats: map[string]map[string]any{}}
	for rows.Next() {
		var file, footer, columns, partitions any
		if err := rows.Scan(&file, &out.rows, &out.bytes, &footer, &columns, &partitions); err != nil {
			return written{}, err
		}
		for column, stats := range pairs(columns) {
			out.stats[unquote(column)] = pairs(stats)
		}
	}
	return out, rows.Err()
}

func pairs(v any) map[string]any {
	all := map[string]any{}
	if m, ok := v.(duck.OrderedMap); ok {
		keys, values := m.Keys(), m.Values()
		for i, key := range keys {
			all[fmt.Sprint(key)] = values[i]
		}
	}
	return all
}

func unquote(column string) string {
	if len(column) > 1 && column[0] == '"' && column[len(column)-1] == '"' {
		column = column[1 : len(column)-1]
		for i := 0; i+1 < len(column); i++ {
			if column[i] == '"' && column[i+1] == '"' {
				column = column[:i] + column[i+1:]
			}
		}
	}
	return column
}

func (o written) nulls(column string) int64 {
	var n int64
	_, _ = fmt.Sscan(fmt.Sprint(o.stats[column]["null_count"]), &n)
	return n
}

func (o written) file(path, timestampColumn string) engine.OutputFile {
	f := engine.OutputFile{Path: path, Rows: o.rows, Bytes: o.bytes}
	for bound, into := range map[string]*time.Time{"min": &f.MinTimestamp, "max": &f.MaxTimestamp} {
		if value, ok := o.stats[timestampColumn][bound]; ok {
			if t, err := time.Parse("2006-01-02 15:04:05.999999", fmt.Sprint(value)); err == nil {
				*into = t
			}
		}
	}
	return f
}

// adoptFiles moves a compute process's files to where the caller wants them, under names that are new there, and sets their paths.
func adoptFiles(from, dir string, files []engine.OutputFile) error {
	for i := range files {
		var unique [8]byte
		if _, err := rand.Read(unique[:]); err != nil {
			return err
		}
		// The base alone: the name comes from the compute process.
		target := filepath.Join(dir, hex.EncodeToString(unique[:])+".parquet")
		if err := moveFile(filepath.Join(from, filepath.Base(files[i].Path)), target); err != nil {
			for _, done := range files[:i] {
				_ = os.Remove(done.Path)
			}
			return err
		}
		files[i].Path = target
	}
	return nil
}

// outputName is the one file of a Join in the compute process's folder.
const outputName = "output"

func adoptOutput(from, target string) error { return moveFile(filepath.Join(from, outputName), target) }

// moveFile renames, and copies between file systems; target appears complete or not at all, and is never overwritten.
func moveFile(source, target string) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("the compute process did not leave a regular file")
	}
	if err = os.Link(source, target); err == nil {
		return os.Remove(source)
	}
	if !errors.Is(err, syscall.EXDEV) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EPERM) {
		return err
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	partial, err := os.CreateTemp(filepath.Dir(target), ".partial-")
	if err != nil {
		return err
	}
	defer os.Remove(partial.Name())
	if _, err := io.Copy(partial, in); err != nil {
		partial.Close()
		return err
	}
	if err := partial.Close(); err != nil {
		return err
	}
	return os.Link(partial.Name(), target)
}
