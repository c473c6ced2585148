package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// batchRows is how many rows a batch of Scan has at most.
const batchRows = 16 << 10

// Scan implements engine.Engine. It reads with the memory-safe reader, in the caller's process.
func (e *Engine) Scan(ctx context.Context, files, columns []string, yield func(arrow.RecordBatch) error) error {
	for _, path := range files {
		if err := scanFile(ctx, path, columns, batchRows, yield); err != nil {
			return err
		}
	}
	return nil
}

func scanFile(ctx context.Context, path string, columns []string, rows int64, yield func(arrow.RecordBatch) error) error {
	var reader *file.Reader
	var batches pqarrow.RecordReader
	err := readSafely(path, func() (err error) {
		if reader, err = file.OpenParquetFile(path, false); err != nil {
			return err
		}
		batches, err = recordReader(ctx, reader, path, columns, rows)
		return err
	})
	if reader != nil {
		defer reader.Close()
	}
	if err != nil {
		return err
	}
	defer batches.Release()
	for {
		var batch arrow.RecordBatch
		err := readSafely(path, func() error {
			if batches.Next() {
				batch = batches.RecordBatch()
				return nil
			}
			if err := batches.Err(); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case batch == nil:
			return nil
		}
		if err := yieldInOrder(batch, columns, yield); err != nil {
			return err
		}
	}
}

// readSafely runs a step of the reader, which answers some broken files with a panic.
func readSafely(path string, step func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if _, known := resource.AsError(err); err != nil && !known {
			err = resource.Invalidf(engine.CodeSource, "The file %s cannot be read as parquet.", filepath.Base(path)).At(path).Because(err)
		}
	}()
	return step()
}

func recordReader(ctx context.Context, reader *file.Reader, path string, columns []string, rows int64) (pqarrow.RecordReader, error) {
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{BatchSize: rows}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	var wanted []int
	for _, column := range columns {
		at := reader.MetaData().Schema.ColumnIndexByName(column)
		if at < 0 {
			return nil, resource.Invalidf(engine.CodeColumn, "Column %q is missing from %s.", column, filepath.Base(path)).At(column)
		}
		wanted = append(wanted, at)
	}
	return arrowReader.GetRecordReader(ctx, wanted, nil)
}

// yieldInOrder hands a batch on with its columns in the order asked; the reader gives them in the file's.
func yieldInOrder(batch arrow.RecordBatch, columns []string, yield func(arrow.RecordBatch) error) error {
	if len(columns) == 0 {
		return yield(batch)
	}
	fields := make([]arrow.Field, len(columns))
	arrays := make([]arrow.Array, len(columns))
	for i, column := range columns {
		at := batch.Schema().FieldIndices(column)
		if len(at) == 0 {
			return fmt.Errorf("column %q went missing", column)
		}
		fields[i], arrays[i] = batch.Schema().Field(at[0]), batch.Column(at[0])
	}
	ordered := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, batch.NumRows())
	defer ordered.Release()
	return yield(ordered)
}

func parquetSchema(path string) (schema *arrow.Schema, err error) {
	err = readSafely(path, func() error {
		reader, err := file.OpenParquetFile(path, false)
		if err != nil {
			return err
		}
		defer reader.Close()
		arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		schema, err = arrowReader.Schema()
		return err
	})
	return schema, err
}
