package duckdb

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

func (w *worker) inspect(i engine.Inspect) (engine.InspectResult, error) {
	var result engine.InspectResult
	in, err := w.open("file", i.Files, i.Format)
	if err != nil {
		return result, err
	}
	if err := in.declare(nil, i.TimestampColumn, i.TimestampFormat); err != nil {
		return result, err
	}
	for _, a := range in.columns {
		result.Columns = append(result.Columns, engine.Column{Name: a.name, Type: declaredAs(a.kind)})
	}
	if i.TimestampColumn == "" {
		return result, nil
	}
	a, ok := find(in.columns, i.TimestampColumn)
	if !ok {
		return result, resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q is missing from the files; their columns are %s.", i.TimestampColumn, names(in.columns)).At(i.TimestampColumn)
	}
	when, err := timeColumn(a, i.TimestampFormat, "files")
	if err != nil {
		return result, err
	}
	if err := w.shut(); err != nil {
		return result, err
	}
	var least, greatest sql.NullInt64
	query := fmt.Sprintf("SELECT count(*), min(epoch_us(t)) FILTER (isfinite(t)), max(epoch_us(t)) FILTER (isfinite(t)) FROM (SELECT %s AS t FROM %s)", when, in.reader())
	if err := w.row(query, &result.Rows, &least, &greatest); err != nil {
		return result, w.dataFault("Reading the files", err)
	}
	if least.Valid {
		result.MinTimestamp, result.MaxTimestamp = time.UnixMicro(least.Int64).UTC(), time.UnixMicro(greatest.Int64).UTC()
	}
	return result, nil
}
