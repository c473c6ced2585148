// Package spec is the language of the feature store: the files that people write (feature set specifications, feature
// stores, entities, feature sets, retrieval specifications), source paths, feature references and points in time. It
// reads them strictly, validates them and writes them back in a canonical form. It owns no data access: sources are
// opened by the engine, and resources are registered by the machine learning provider.
//
// Every fault is a *resource.Error of kind Invalid. A document's error carries all faults that were found in Details,
// each with "file:line:column" in its message and the path of the field in Target.
package spec

import (
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// FileName is the file that describes a feature set, in the root of the specification's folder.
const FileName = "FeatureSetSpec.yaml"

// ReservedPrefix starts the names of columns that the product adds while it computes. No column of a specification may
// start with it, in any case.
const ReservedPrefix = "__alvara"

// MaxDuration bounds every duration that can be written in a document: 36,500 days. Sums of a few of them, and instants
// moved by them, cannot overflow.
const MaxDuration = 36500 * 24 * time.Hour

// FeatureSetSpec says how the features of one feature set are computed. At most one of SQL and Aggregations is set;
// without either, the source's own columns are the features. A parsed one is complete and valid; treat it as immutable.
type FeatureSetSpec struct {
	Source          Source
	TimestampColumn TimestampColumn

	// SourceDelay is how late rows may arrive: a row with timestamp t is there at t + SourceDelay. Default 0.
	SourceDelay time.Duration
	// SourceLookback is how far before a window's start the source is read. When the document leaves it out it is the
	// longest aggregation window, rounded up to minutes, or 0.
	SourceLookback time.Duration
	// TemporalJoinLookback is how old a feature row may be at an observation: nil is unbounded, zero admits only a row at
	// the very instant of the observation.
	TemporalJoinLookback *time.Duration

	IndexColumns []Column // the key, in the order written; at least one
	Features     []Column // in the order written; at least one

	SQL          string        // the text of the transformation's file: one SELECT over the table "source"
	SQLPath      string        // the file's path in the folder, with slashes; "" without SQL
	Aggregations []Aggregation // one per feature, in the order written
}

// TimestampColumn is the column of the source that holds the event's time.
type TimestampColumn struct {
	Name   string
	Format string // the pattern of timestamps that are written as text, in the notation of java.time; "" means inferred
}

// Column is a column of the result.
type Column struct {
	Name        string
	Type        ColumnType
	Description string
}

// ColumnType is the type of an index column or a feature.
type ColumnType string

// The column types: integer has 32 bits, long 64, float 32, double 64; datetime is an instant in UTC with microseconds.
const (
	String   ColumnType = "string"
	Integer  ColumnType = "integer"
	Long     ColumnType = "long"
	Float    ColumnType = "float"
	Double   ColumnType = "double"
	Binary   ColumnType = "binary"
	Datetime ColumnType = "datetime"
	Boolean  ColumnType = "boolean"
)

// Aggregation computes one feature over a trailing window of event time: for a row at t, over the rows of the same index
// columns with timestamps in the window that ends at t, the row itself included.
type Aggregation struct {
	Feature string // the name of the feature, spelled as in Features
	Func    AggregateFunc
	Column  string        // the source's column; "" only for Count, which then counts rows instead of non-null values
	Window  time.Duration // more than 0
}

// AggregateFunc is the function of an aggregation.
type AggregateFunc string

// The aggregate functions.
const (
	Count AggregateFunc = "count"
	Sum   AggregateFunc = "sum"
	Avg   AggregateFunc = "avg"
	Min   AggregateFunc = "min"
	Max   AggregateFunc = "max"
)

// SourceType is the format of the source's files.
type SourceType string

// The source types.
const (
	Parquet SourceType = "parquet"
	CSV     SourceType = "csv"
	JSON    SourceType = "json" // one object per line, or an array of objects
)

// Columns gives the columns of the result in their order: index columns, the timestamp (type datetime), features.
func (s *FeatureSetSpec) Columns() []Column {
	columns := make([]Column, 0, len(s.IndexColumns)+1+len(s.Features))
	columns = append(columns, s.IndexColumns...)
	columns = append(columns, Column{Name: s.TimestampColumn.Name, Type: Datetime})
	return append(columns, s.Features...)
}

// Feature finds a feature without regard to case.
func (s *FeatureSetSpec) Feature(name string) (Column, bool) {
	for _, column := range s.Features {
		if foldName(column.Name) == foldName(name) {
			return column, true
		}
	}
	return Column{}, false
}

const codeInvalidSpec = "InvalidSpecification"

// Parse reads a feature set specification from the files of its folder: paths relative to it, with slashes, to contents.
// It needs FeatureSetSpec.yaml (any case, .yml too) and the SQL file that the document names; other files are ignored.
func Parse(files map[string][]byte) (*FeatureSetSpec, error) {
	name, data, err := findSpec(files)
	if err != nil {
		return nil, err
	}
	r, root := openDocument(name, data)
	s := readSpec(root.object(
		"$schema", "source", "feature_transformation", "feature_transformation_code", "features", "index_columns",
		"source_lookback", "temporal_join_lookback"), files)
	if err := r.err(codeInvalidSpec); err != nil {
		return nil, err
	}
	return s, nil
}

func invalid(format string, args ...any) *resource.Error {
	return resource.Invalidf(codeInvalidSpec, format, args...)
}
