package duckdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// transform computes one feature set. The source is opened first, then the database is shut, and only then is there a
// statement with a stranger's SQL in it.
func (w *worker) transform(t engine.Transform) (engine.TransformResult, error) {
	var result engine.TransformResult
	var inner string
	place := "the source"
	if t.SQL != "" {
		sql, err := w.checkSQL(t.SQL)
		if err != nil {
			return result, err
		}
		inner, place = "(\n"+sql+"\n)", "the result of the SQL"
	}
	in, err := w.open("source file", t.Sources, t.Format)
	if err != nil {
		return result, err
	}
	known := append([]engine.Column(nil), t.Index...)
	if len(t.Aggregations) == 0 {
		known = append(known, t.Features...)
	}
	if err := in.declare(known, t.TimestampColumn, t.TimestampFormat); err != nil {
		return result, err
	}
	from := t.SourceStart
	if from.IsZero() {
		from = t.Start
	}
	result.DroppedTimestamp, err = w.makeSource(in, t.TimestampColumn, t.TimestampFormat, from, t.End)
	if err != nil {
		return result, err
	}
	if err := errors.Join(w.shut(), w.lock()); err != nil {
		return result, err
	}
	fault := func(err error) error { return w.dataFault("Reading the source", err) }
	switch {
	case t.SQL != "":
		fault = w.sqlFault
	case len(t.Aggregations) > 0:
		if inner, err = w.aggregation(t, in.columns); err != nil {
			return result, err
		}
	default:
		inner = "source"
	}

	query, err := w.declared(inner, t, place, fault)
	if err != nil {
		return result, err
	}
	path := filepath.Join(w.out, "part-0.parquet")
	wrote, err := w.copyTo(query, path, len(t.Features))
	if err != nil {
		return result, fault(err)
	}
	if wrote, path, err = w.dropLost(&result, t, wrote, path); err != nil {
		return result, err
	}
	if wrote.rows == 0 {
		return result, os.Remove(path)
	}
	result.Rows = wrote.rows
	result.Files = []engine.OutputFile{wrote.file(path, t.TimestampColumn)}
	return result, nil
}

// declared selects from a relation the declared columns in their order and types, for the feature window. Rows that lack the
// timestamp stay in for the moment, to be counted.
func (w *worker) declared(inner string, t engine.Transform, place string, fault func(error) error) (string, error) {
	columns, err := w.describe("SELECT * FROM " + inner)
	if err != nil {
		return "", fault(err)
	}
	var list []string
	add := func(c engine.Column, role string) error {
		a, err := match(columns, c, role, place)
		if err != nil {
			return err
		}
		list = append(list, cast(name(a.name), a, c.Type)+" AS "+name(c.Name))
		return nil
	}
	for _, c := range t.Index {
		if err := add(c, "Index column"); err != nil {
			return "", err
		}
	}
	a, ok := find(columns, t.TimestampColumn)
	if !ok {
		return "", resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q is missing from %s; its columns are %s.", t.TimestampColumn, place, names(columns)).At(t.TimestampColumn)
	}
	if of := family(a.kind); of != "time" && of != "null" {
		return "", resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q of %s is %s, which is no time.", t.TimestampColumn, place, a.kind).At(t.TimestampColumn)
	}
	when := cast(name(a.name), a, engine.Datetime)
	list = append(list, when+" AS "+name(t.TimestampColumn))
	for _, c := range t.Features {
		if err := add(c, "Feature"); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s IS NULL OR (%s >= %s AND %s < %s)",
		strings.Join(list, ", "), inner, when, when, timestamp(t.Start), when, timestamp(t.End)), nil
}

// dropLost writes the file again without the rows that can never be found, when its statistics say that there are some.
func (w *worker) dropLost(result *engine.TransformResult, t engine.Transform, wrote written, path string) (written, string, error) {
	lost := wrote.nulls(t.TimestampColumn)
	keep := []string{name(t.TimestampColumn) + " IS NOT NULL"}
	for _, c := range t.Index {
		lost += wrote.nulls(c.Name)
		keep = append(keep, name(c.Name)+" IS NOT NULL")
	}
	if lost == 0 {
		return wrote, path, nil
	}
	again := filepath.Join(w.out, "part-1.parquet")
	second, err := w.copyTo("SELECT * FROM read_parquet("+text(path)+") WHERE "+strings.Join(keep, " AND "), again, len(t.Features))
	if err != nil {
		return wrote, path, w.computeFault("Dropping rows without a key or a timestamp", err)
	}
	result.DroppedTimestamp += wrote.nulls(t.TimestampColumn)
	result.DroppedKey += wrote.rows - second.rows - wrote.nulls(t.TimestampColumn)
	return second, again, os.Remove(path)
}

// aggregation is the query of declared window aggregations. Windows of one length share their frame, all share one sort.
func (w *worker) aggregation(t engine.Transform, columns []actual) (string, error) {
	var keys []string
	for _, c := range t.Index {
		a, err := match(columns, c, "Index column", "the source")
		if err != nil {
			return "", err
		}
		keys = append(keys, name(a.name))
	}
	when, _ := find(columns, t.TimestampColumn)
	list := append(append([]string(nil), keys...), name(when.name))
	frames := map[time.Duration]string{}
	var windows []string
	for _, g := range t.Aggregations {
		frame, ok := frames[g.Window]
		if !ok {
			frame = fmt.Sprintf("w%d", len(frames))
			frames[g.Window] = frame
			windows = append(windows, fmt.Sprintf("%s AS (PARTITION BY %s ORDER BY %s RANGE BETWEEN to_microseconds(%d) PRECEDING AND CURRENT ROW)",
				name(frame), strings.Join(keys, ", "), name(when.name), g.Window.Microseconds()))
		}
		argument := "*"
		if g.Column != "" {
			a, ok := find(columns, g.Column)
			if !ok {
				return "", resource.Invalidf(engine.CodeColumn, "Aggregation %q: column %q is missing from the source; its columns are %s.", g.Feature, g.Column, names(columns)).At(g.Column)
			}
			if of := family(a.kind); (g.Func == "sum" || g.Func == "avg") && of != "whole" && of != "real" && of != "null" {
				return "", resource.Invalidf(engine.CodeColumn, "Aggregation %q: %s needs numbers, and column %q is %s.", g.Feature, g.Func, g.Column, a.kind).At(g.Column)
			}
			argument = name(a.name)
		}
		list = append(list, fmt.Sprintf("%s(%s) OVER %s AS %s", g.Func, argument, name(frame), name(g.Feature)))
	}
	return "(SELECT " + strings.Join(list, ", ") + " FROM source WINDOW " + strings.Join(windows, ", ") + ")", nil
}

// dataFault is for statements of ours over a stranger's data.
func (w *worker) dataFault(what string, err error) error {
	if limit, ok := w.limited(err); ok {
		return limit
	}
	if fault := w.valueFault(err); fault != nil {
		return fault
	}
	if message := err.Error(); strings.Contains(message, "Conversion Error") || strings.Contains(message, "Out of Range Error") {
		return resource.Invalidf(engine.CodeColumn, "A value does not fit its declared type: %s", trimMessage(message)).Because(err)
	}
	return resource.Invalidf(engine.CodeSource, "%s failed: %s", what, trimMessage(err.Error())).Because(err)
}
