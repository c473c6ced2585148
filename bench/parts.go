package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/cockroachdb/pebble/v2"

	"github.com/alvara-ml/alvara/featurestore/online"
)

// partsPlan is a parquet file to append to an Iceberg table and a number of rows to load into Pebble.
type partsPlan struct {
	File string
	Rows int
}

// parts does with the bare libraries what follows a computation, and tells what it cost.
func parts(ctx context.Context, p partsPlan) (Cost, error) {
	dir, err := os.MkdirTemp(filepath.Dir(p.File), "parts-")
	if err != nil {
		return Cost{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	rows, err := loadRows(p.Rows)
	if err != nil {
		return Cost{}, err
	}
	return timed(func() error {
		if err := appendFile(ctx, dir, p.File); err != nil {
			return err
		}
		return loadPebble(filepath.Join(dir, "pebble"), rows)
	})
}

// appendFile makes an Iceberg table in a folder and appends a file to it.
func appendFile(ctx context.Context, dir, file string) error {
	fields := []iceberg.NestedField{{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64}, {ID: 2, Name: "ts", Type: iceberg.PrimitiveTypes.Timestamp}}
	for i, name := range []string{"count3", "sum3", "avg3", "count7", "sum7", "avg7"} {
		var kind iceberg.Type = iceberg.PrimitiveTypes.Float64
		if i%3 == 0 {
			kind = iceberg.PrimitiveTypes.Int64
		}
		fields = append(fields, iceberg.NestedField{ID: 3 + i, Name: name, Type: kind})
	}
	metadata, err := table.NewMetadata(iceberg.NewSchema(0, fields...), iceberg.UnpartitionedSpec, table.UnsortedSortOrder, "file://"+dir, nil)
	if err != nil {
		return err
	}
	catalog := &memoryCatalog{metadata: metadata, location: "file://" + dir}
	tbl, err := catalog.LoadTable(ctx, table.Identifier{"t"})
	if err != nil {
		return err
	}
	transaction := tbl.NewTransaction()
	if err := transaction.AddFiles(ctx, []string{file}, nil, false); err != nil {
		return err
	}
	_, err = transaction.Commit(ctx)
	return err
}

// memoryCatalog keeps the state of one table in memory.
type memoryCatalog struct {
	metadata table.Metadata
	location string
}

// LoadTable implements table.CatalogIO.
func (c *memoryCatalog) LoadTable(_ context.Context, name table.Identifier) (*table.Table, error) {
	files := func(context.Context) (icebergio.IO, error) { return icebergio.LocalFS{}, nil }
	return table.New(name, c.metadata, c.location+"/metadata.json", files, c), nil
}

// CommitTable implements table.CatalogIO.
func (c *memoryCatalog) CommitTable(_ context.Context, _ table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	for _, requirement := range requirements {
		if err := requirement.Validate(c.metadata); err != nil {
			return nil, "", err
		}
	}
	updated, err := table.UpdateTableMetadata(c.metadata, updates, "")
	if err == nil {
		c.metadata = updated
	}
	return updated, c.location + "/metadata.json", err
}

// loadRows makes encoded rows of the aggregation's shape.
func loadRows(n int) ([]online.Row, error) {
	var features []online.Column
	for i := range featuresInSet {
		kind := online.Double
		if i%3 == 0 {
			kind = online.Long
		}
		features = append(features, online.Column{Name: fmt.Sprintf("f%d", i), Type: kind})
	}
	schema, err := online.NewSchema([]online.Column{{Name: "k", Type: online.Long}}, features)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(5, 5))
	rows, values := make([]online.Row, n), make([]any, featuresInSet)
	for i := range rows {
		for j := range values {
			values[j] = random.Float64() * 1000
			if j%3 == 0 {
				values[j] = random.Int64N(100)
			}
		}
		row := &rows[i]
		row.Event = time.Unix(1_704_067_200+random.Int64N(7_776_000), 0)
		if row.Key, err = schema.AppendKey(nil, []any{int64(i)}); err != nil {
			return nil, err
		}
		if row.Value, err = schema.AppendRow(nil, values); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// loadPebble writes rows in batches of 10,000, each to disk before the next.
func loadPebble(dir string, rows []online.Row) error {
	db, err := pebble.Open(dir, &pebble.Options{MemTableSize: 16 << 20, MemTableStopWritesThreshold: 4, Logger: silent{}})
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		part := rows[:min(10_000, len(rows))]
		rows = rows[len(part):]
		batch := db.NewBatch()
		for _, row := range part {
			if err := batch.Set(append([]byte{0, 0, 0, 16}, row.Key...), online.AppendRecord(nil, row, 0, 1), nil); err != nil {
				return err
			}
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			return err
		}
	}
	return db.Close()
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
