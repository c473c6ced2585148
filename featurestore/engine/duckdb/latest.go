package duckdb

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// latest keeps the newest row of every key, in two passes like the join: the newest times first, then their rows.
func (w *worker) latest(l engine.Latest) (engine.TransformResult, error) {
	var result engine.TransformResult
	in, err := w.open("file", l.Files, engine.Parquet)
	if err != nil {
		return result, err
	}
	when, ok := find(in.columns, l.TimestampColumn)
	if !ok || family(when.kind) != "time" {
		return result, resource.Invalidf(engine.CodeTimestamp, "The files have no timestamp column %q.", l.TimestampColumn).At(l.TimestampColumn)
	}
	var list, keys, plain, output []string
	for i, c := range l.Index {
		a, err := match(in.columns, c, "Index column", "the files")
		if err != nil {
			return result, err
		}
		keys = append(keys, fmt.Sprintf("k%d", i))
		list = append(list, cast(name(a.name), a, c.Type)+" AS "+keys[i])
		output = append(output, keys[i]+" AS "+name(c.Name))
	}
	at := cast(name(when.name), when, engine.Datetime) + " AS moment"
	if when.kind == "TIMESTAMP WITH TIME ZONE" { // much faster than the cast, which asks the calendar
		at = "make_timestamp(epoch_us(" + name(when.name) + ")) AS moment"
	}
	output = append(output, "moment AS "+name(l.TimestampColumn))
	plain = append(append(plain, list...), at)
	list = append(list, at)
	for i, c := range l.Features {
		a, err := match(in.columns, c, "Feature", "the files")
		if err != nil {
			return result, err
		}
		list = append(list, cast(name(a.name), a, c.Type)+fmt.Sprintf(" AS o%d", i))
		output = append(output, fmt.Sprintf("o%d AS %s", i, name(c.Name)))
	}
	if err := w.shut(); err != nil {
		return result, err
	}
	fault := func(err error) error { return w.dataFault("Finding the latest rows", err) }
	group := strings.Join(keys, ", ")
	found := "moment IS NOT NULL"
	for _, k := range keys {
		found += " AND " + k + " IS NOT NULL"
	}
	entities, err := w.fill("CREATE TABLE newest AS SELECT " + group + ", max(moment) AS moment FROM (SELECT " + strings.Join(plain, ", ") +
		" FROM " + in.reader() + ") WHERE " + found + " GROUP BY ALL")
	if err != nil {
		return result, fault(err)
	}
	rows := "SELECT " + strings.Join(output, ", ") + " FROM (SELECT " + strings.Join(list, ", ") + " FROM " + in.reader() + ") SEMI JOIN newest USING (" + group + ", moment)"
	path := filepath.Join(w.out, "part-0.parquet")
	if err := w.ordered(true); err != nil {
		return result, err
	}
	wrote, err := w.copyTo(rows+" ORDER BY "+group, path, len(l.Features))
	if err == nil && wrote.rows > entities {
		// There are ties, as in a join.
		path = filepath.Join(w.out, "part-1.parquet")
		wrote, err = w.copyTo(rows+" QUALIFY row_number() OVER (PARTITION BY "+group+" ORDER BY "+totalOrder(l.Features)+") = 1 ORDER BY "+group, path, len(l.Features))
	}
	if err != nil {
		return result, fault(err)
	}
	if wrote.rows == 0 {
		return result, nil
	}
	result.Rows = wrote.rows
	result.Files = []engine.OutputFile{wrote.file(path, l.TimestampColumn)}
	return result, nil
}
