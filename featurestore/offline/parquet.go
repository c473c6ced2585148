package offline

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"

	"github.com/alvara-ml/alvara/resource"
)

// inspected is a local parquet file with what a manifest says about it.
type inspected struct {
	local        LocalFile
	rows, bytes  int64
	first, last  time.Time
	values       map[int]int64 // by field id
	nulls        map[int]int64
	sizes        map[int]int64
	lower, upper map[int][]byte
	splits       []int64
}

// inspect reads a file's footer and refuses a file that is not of the schema. Types that the schema asks for:
// datetime is a UTC timestamp in microseconds (TIMESTAMPTZ in SQL).
func (s Schema) inspect(local LocalFile) (*inspected, error) {
	info, err := os.Stat(local.Path)
	if err != nil {
		return nil, fmt.Errorf("parquet file: %w", err)
	}
	reader, err := file.OpenParquetFile(local.Path, false)
	if err != nil {
		return nil, fmt.Errorf("parquet file %s: %w", local.Path, err)
	}
	defer reader.Close()
	meta := reader.MetaData()
	if meta.Schema.NumColumns() != len(s.columns()) {
		return nil, resource.Invalidf("SchemaMismatch", "the file has %d columns where the feature set has %d", meta.Schema.NumColumns(), len(s.columns()))
	}
	out := &inspected{
		local: local, rows: meta.NumRows, bytes: info.Size(),
		values: map[int]int64{}, nulls: map[int]int64{}, sizes: map[int]int64{}, lower: map[int][]byte{}, upper: map[int][]byte{},
	}
	for i, column := range s.columns() {
		at := meta.Schema.ColumnIndexByName(column.Name)
		if at < 0 {
			return nil, resource.Invalidf("SchemaMismatch", "the file lacks the column %q (%s)", column.Name, column.Type).At(column.Name)
		}
		if found := fits(column, meta.Schema.Column(at)); found != "" {
			return nil, resource.Invalidf("SchemaMismatch", "the column %q should be %s and is %s in the file; cast it in the transformation", column.Name, column.Type, found).At(column.Name)
		}
		if err := out.column(reader, at, i+1); err != nil {
			return nil, err
		}
		if i <= len(s.Index) && out.nulls[i+1] > 0 {
			return nil, resource.Invalidf("NullKey", "the column %q is null in %d rows; index columns and the timestamp must have a value in every row", column.Name, out.nulls[i+1]).At(column.Name)
		}
	}
	for group := range meta.NumRowGroups() {
		chunk, err := meta.RowGroup(group).ColumnChunk(0)
		if err != nil {
			return nil, err
		}
		start := chunk.DataPageOffset()
		if chunk.HasDictionaryPage() {
			start = min(start, chunk.DictionaryPageOffset())
		}
		out.splits = append(out.splits, start)
	}
	id := len(s.Index) + 1
	if out.rows == 0 {
		return out, nil
	}
	if out.lower[id] == nil || out.upper[id] == nil {
		return nil, resource.Invalidf("MissingStatistics", "the file has no statistics for the column %q; write it with statistics", s.Timestamp).At(s.Timestamp)
	}
	out.first, out.last = decodeTime(out.lower[id]), decodeTime(out.upper[id])
	return out, nil
}

// column gathers one column's counts and bounds over the row groups. Iceberg's bytes for bounds are parquet's.
func (f *inspected) column(reader *file.Reader, at, id int) error {
	meta := reader.MetaData()
	var all metadata.TypedStatistics
	bounded := true
	for group := range meta.NumRowGroups() {
		chunk, err := meta.RowGroup(group).ColumnChunk(at)
		if err != nil {
			return err
		}
		f.values[id] += chunk.NumValues()
		f.sizes[id] += chunk.TotalCompressedSize()
		if chunk.NumValues() == 0 {
			continue
		}
		stats, err := chunk.Statistics()
		if err != nil {
			return err
		}
		if stats == nil || !stats.HasNullCount() {
			return resource.Invalidf("MissingStatistics", "the file has no null counts for the column %q; write it with statistics", meta.Schema.Column(at).Name())
		}
		f.nulls[id] += stats.NullCount()
		if stats.NullCount() == chunk.NumValues() {
			continue
		}
		bounded = bounded && stats.HasMinMax()
		if all == nil {
			all = stats
		} else {
			all.Merge(stats)
		}
	}
	if all != nil && bounded && useful(all) {
		f.lower[id], f.upper[id] = append([]byte{}, all.EncodeMin()...), append([]byte{}, all.EncodeMax()...)
	}
	return nil
}

// useful leaves out bounds that help no reader: long text, and numbers whose order NaN breaks.
func useful(stats metadata.TypedStatistics) bool {
	switch s := stats.(type) {
	case *metadata.ByteArrayStatistics:
		return len(s.Min()) <= 64 && len(s.Max()) <= 64
	case *metadata.Float32Statistics:
		return !math.IsNaN(float64(s.Min())) && !math.IsNaN(float64(s.Max()))
	case *metadata.Float64Statistics:
		return !math.IsNaN(s.Min()) && !math.IsNaN(s.Max())
	}
	return true
}

// dataFile is the manifest's entry for the file once it is stored at an address.
func (f *inspected) dataFile(address string) (iceberg.DataFile, error) {
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, address, iceberg.ParquetFile,
		nil, nil, nil, f.rows, f.bytes)
	if err != nil {
		return nil, err
	}
	return b.ColumnSizes(f.sizes).ValueCounts(f.values).NullValueCounts(f.nulls).
		LowerBoundValues(f.lower).UpperBoundValues(f.upper).SplitOffsets(f.splits).Build(), nil
}

func decodeTime(bound []byte) time.Time {
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(bound))).UTC()
}
