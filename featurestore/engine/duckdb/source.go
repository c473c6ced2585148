package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// input is a list of files that are read as one table.
type input struct {
	w       *worker
	what    string // for messages: "source file"
	files   []string
	format  string
	columns []actual
	options string // of the reading function
}

// open finds the columns of files, and names the file that cannot be read.
func (w *worker) open(what string, files []string, format string) (*input, error) {
	in := &input{w: w, what: what, files: make([]string, len(files)), format: format}
	for i, path := range files {
		absolute, err := filepath.Abs(path)
		if err != nil || !slices.Contains(w.reads, absolute) {
			return nil, fmt.Errorf("file %s is not among the files of the request", path)
		}
		in.files[i] = absolute
		if err := checkFile(what, absolute); err != nil {
			return nil, err
		}
	}
	switch format {
	case engine.CSV:
		in.options = ", header = true, sample_size = -1, union_by_name = true, hive_partitioning = false"
	case engine.JSON:
		in.options = ", sample_size = -1, union_by_name = true, hive_partitioning = false, maximum_object_size = 67108864"
	default:
		in.options = ", union_by_name = true, hive_partitioning = false"
	}
	columns, err := w.describe("SELECT * FROM " + in.reader())
	if err != nil {
		return nil, in.culprit(err)
	}
	in.columns = columns
	return in, nil
}

func checkFile(what, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return resource.Invalidf(engine.CodeSource, "The %s %s does not exist.", what, filepath.Base(path)).At(path)
	case err != nil:
		return resource.Invalidf(engine.CodeSource, "The %s %s cannot be opened.", what, filepath.Base(path)).At(path).Because(err)
	case !info.Mode().IsRegular():
		return resource.Invalidf(engine.CodeSource, "The %s %s is not a regular file.", what, filepath.Base(path)).At(path)
	case strings.ContainsAny(path, "*?["):
		return resource.Invalidf(engine.CodeSource, "The %s %s has *, ? or [ in its local path, which would be read as a pattern.", what, filepath.Base(path)).At(path)
	}
	return nil
}

func (in *input) reader() string { return in.readerOf(in.files) }

func (in *input) readerOf(files []string) string {
	function := map[string]string{engine.Parquet: "read_parquet", engine.CSV: "read_csv", engine.JSON: "read_json"}[in.format]
	return function + "(" + texts(files) + in.options + ")"
}

// culprit finds the file at which reading failed, by reading each of them alone.
func (in *input) culprit(err error) error {
	if limit, ok := in.w.limited(err); ok {
		return limit
	}
	for _, path := range in.files {
		if _, alone := in.w.describe("SELECT * FROM " + in.readerOf([]string{path})); alone != nil {
			return in.w.fileFault(in.what, path, alone)
		}
	}
	return in.w.fileFault(in.what+"s", "", err)
}

// declare makes text formats read columns as text where guessing could change them: strings that look like numbers or dates,
// timestamps that have a format of their own.
func (in *input) declare(columns []engine.Column, timestampColumn, timestampFormat string) error {
	if in.format == engine.Parquet {
		return nil
	}
	plain := map[string]bool{}
	for _, c := range columns {
		if a, ok := find(in.columns, c.Name); ok && c.Type == engine.String && family(a.kind) != "text" && (in.format == engine.CSV || family(a.kind) == "time") {
			plain[a.name] = true
		}
	}
	if a, ok := find(in.columns, timestampColumn); ok && timestampFormat != "" && a.kind != "VARCHAR" {
		plain[a.name] = true
	}
	if len(plain) == 0 {
		return nil
	}
	var types []string
	for _, a := range in.columns {
		if plain[a.name] {
			types = append(types, text(a.name)+": 'VARCHAR'")
		} else if in.format == engine.JSON { // which takes all columns or none
			types = append(types, text(a.name)+": "+text(a.kind))
		}
	}
	if in.format == engine.CSV {
		in.options += ", types = {" + strings.Join(types, ", ") + "}"
	} else {
		in.options = ", hive_partitioning = false, maximum_object_size = 67108864, columns = {" + strings.Join(types, ", ") + "}"
	}
	described, err := in.w.describe("SELECT * FROM " + in.reader())
	if err != nil {
		return in.culprit(err)
	}
	in.columns = described
	return nil
}

// makeSource makes the relation `source`: the rows of [from, to), the timestamp as a TIMESTAMP in UTC. Parquet stays where it is
// and is read as often as the query asks; text formats are parsed once. It gives the number of rows without a timestamp.
func (w *worker) makeSource(in *input, timestampColumn, format string, from, to time.Time) (dropped int64, err error) {
	a, ok := find(in.columns, timestampColumn)
	if !ok {
		return 0, resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q is missing from the source; its columns are %s.", timestampColumn, names(in.columns)).At(timestampColumn)
	}
	when, err := timeColumn(a, format, "source")
	if err != nil {
		return 0, err
	}
	columns := "*"
	if when != name(a.name) {
		columns = "* REPLACE (" + when + " AS " + name(a.name) + ")"
	}
	within := fmt.Sprintf("%s >= %s AND %s < %s", when, timestamp(from), when, timestamp(to))
	if a.kind == "TIMESTAMP WITH TIME ZONE" { // compared in its own type, so that row groups are skipped
		zoned := func(t time.Time) string {
			return strings.Replace(strings.TrimSuffix(timestamp(t), "'"), "TIMESTAMP '", "TIMESTAMPTZ '", 1) + "+00'"
		}
		within = fmt.Sprintf("%s >= %s AND %s < %s", name(a.name), zoned(from), name(a.name), zoned(to))
	}
	if in.format == engine.Parquet {
		if _, err := w.exec("CREATE VIEW source AS SELECT " + columns + " FROM " + in.reader() + " WHERE " + within); err != nil {
			return 0, in.culprit(err)
		}
		// The files' own statistics know the nulls without reading a row.
		err := w.row("SELECT coalesce(sum(stats_null_count), 0)::BIGINT FROM parquet_metadata("+texts(in.files)+") WHERE path_in_schema = "+text(a.name), &dropped)
		if err != nil {
			return 0, in.culprit(err)
		}
		return dropped, nil
	}
	if _, err := w.exec("CREATE TABLE source AS SELECT " + columns + " FROM " + in.reader() + " WHERE " + name(a.name) + " IS NULL OR (" + within + ")"); err != nil {
		if fault := w.valueFault(err); fault != nil {
			return 0, fault
		}
		return 0, in.culprit(err)
	}
	return w.exec("DELETE FROM source WHERE " + name(a.name) + " IS NULL")
}

// valueFault recognizes that a timestamp's text was not of its format.
func (w *worker) valueFault(err error) error {
	if message := err.Error(); strings.Contains(message, "according to format specifier") {
		return resource.Invalidf(engine.CodeTimestamp, "A timestamp is not of the format in timestamp_column.format: %s", trimMessage(message)).Because(err)
	}
	return nil
}
