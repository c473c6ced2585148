package duckdb

import (
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// toArrow turns a parquet file into an Arrow IPC stream, batch by batch, and removes it.
func (w *worker) toArrow(from, to string) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("write Arrow stream: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	schema, err := parquetSchema(from)
	if err != nil {
		return err
	}
	writer := ipc.NewWriter(out, ipc.WithSchema(schema))
	err = scanFile(w.ctx, from, nil, batchRows, func(batch arrow.RecordBatch) error { return writer.Write(batch) })
	if err = errors.Join(err, writer.Close()); err != nil {
		if limit, ok := w.limited(err); ok {
			return limit
		}
		return fmt.Errorf("write Arrow stream: %w", err)
	}
	return os.Remove(from)
}
