// Package engine is the contract of what computes features: transformations over source files, window aggregations,
// point-in-time joins, and the newest row of every entity for the online store.
//
// The package owns the requests, their rules (which types go together, which names collide) and their results. It knows
// local files only: fetching sources, deciding who may read them, committing output to a table and writing online rows
// belong to the callers. Drivers live below it and are named for their technology.
//
// All times are instants in UTC, kept to the microsecond. A column without a time zone is read as UTC.
package engine

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// ColumnType is a feature's or index column's declared type.
type ColumnType string

// The types a feature set can declare.
const (
	String   ColumnType = "string"
	Integer  ColumnType = "integer" // 32 bits
	Long     ColumnType = "long"    // 64 bits
	Float    ColumnType = "float"   // 32 bits
	Double   ColumnType = "double"  // 64 bits
	Binary   ColumnType = "binary"
	Datetime ColumnType = "datetime" // UTC, microseconds
	Boolean  ColumnType = "boolean"
)

// Column is a named, typed column.
type Column struct {
	Name string     `json:"name"`
	Type ColumnType `json:"type"`
}

// The formats of files. Arrow is the Arrow IPC stream format and is only written.
const (
	Parquet = "parquet"
	CSV     = "csv"
	JSON    = "json"
	Arrow   = "arrow"
)

// Aggregation is one trailing window aggregation: Func (count, sum, avg, min, max) of Column over [t − Window, t] by event
// time, both ends included, the event itself and every event of the same instant included, grouped by the index columns.
// Count may leave Column empty and then counts events; with a Column it counts the values that are not null.
type Aggregation struct {
	Feature string        `json:"feature"`
	Func    string        `json:"func"`
	Column  string        `json:"column,omitempty"`
	Window  time.Duration `json:"window"`
}

// Limits bound one operation. A zero field takes the driver's default.
type Limits struct {
	Memory  int64         `json:"memory,omitempty"`  // bytes that the engine may hold before it spills or gives up
	Scratch int64         `json:"scratch,omitempty"` // bytes of scratch and of output together
	Time    time.Duration `json:"time,omitempty"`    // from start to end
	Threads int           `json:"threads,omitempty"`
}

// Transform computes the features of one feature set for the feature window [Start, End).
type Transform struct {
	Sources []string `json:"sources"` // local files; none is an empty result
	Format  string   `json:"format"`  // Parquet, CSV or JSON

	TimestampColumn string `json:"timestampColumn"`
	// TimestampFormat is needed when the column holds text: strptime (%Y-%m-%d %H:%M:%S) or letters (yyyy-MM-dd HH:mm:ss).
	TimestampFormat string `json:"timestampFormat,omitempty"`

	// At most one of SQL and Aggregations; with neither, the source's columns are taken as they are. SQL is one SELECT over
	// the table `source`, written by a stranger; see Engine.CheckSQL.
	SQL          string        `json:"sql,omitempty"`
	Aggregations []Aggregation `json:"aggregations,omitempty"`

	Index    []Column `json:"index"`
	Features []Column `json:"features"`

	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
	SourceStart time.Time `json:"sourceStart"` // Start − source lookback; zero means Start

	OutputDir string `json:"outputDir"` // exists; receives the parquet files
	Scratch   string `json:"scratch"`   // exists; whatever the engine puts there is gone when it returns
	Limits    Limits `json:"limits"`
}

// OutputFile is one parquet file that a Transform or Latest wrote: index columns, timestamp, features, in the declared order
// and types, timestamps as UTC microseconds. Min and max are zero when the file has no rows.
type OutputFile struct {
	Path         string    `json:"path"`
	Rows         int64     `json:"rows"`
	Bytes        int64     `json:"bytes"`
	MinTimestamp time.Time `json:"minTimestamp"`
	MaxTimestamp time.Time `json:"maxTimestamp"`
}

// TransformResult is what a Transform wrote. No rows means no files.
type TransformResult struct {
	Files []OutputFile `json:"files"`
	Rows  int64        `json:"rows"`
	// Dropped counts result rows that can never be found: a null or infinite timestamp, or a null in an index column.
	DroppedTimestamp int64 `json:"droppedTimestamp"`
	DroppedKey       int64 `json:"droppedKey"`
	Usage            Usage `json:"usage"`
}

// Join adds to every observation the features as they were known at its time.
type Join struct {
	Observations      []string  `json:"observations"` // local files, in the order of the output
	ObservationFormat string    `json:"observationFormat"`
	TimestampColumn   string    `json:"timestampColumn"`
	TimestampFormat   string    `json:"timestampFormat,omitempty"` // for text, as in Transform
	Sets              []JoinSet `json:"sets"`

	Output       string `json:"output"`       // the file to write; it must not exist
	OutputFormat string `json:"outputFormat"` // Parquet, CSV or Arrow
	Scratch      string `json:"scratch"`
	Limits       Limits `json:"limits"`
}

// JoinSet is one feature set of a Join. For an observation at t the newest row with equal keys and a timestamp in
// [t − Lookback, t − Delay], both ends included, gives every feature; no such row, or a null key, gives nulls.
type JoinSet struct {
	Name    string `json:"name"`    // for messages
	Version string `json:"version"` // for messages
	Prefix  string `json:"prefix,omitempty"`

	Files           []string `json:"files"` // parquet with the index columns, the timestamp and the features; may be empty
	Index           []Column `json:"index"` // the observations hold columns of the same names
	TimestampColumn string   `json:"timestampColumn"`
	Features        []Column `json:"features"` // those wanted, in order; the output column is Prefix + Name
	// Order lists every feature column of the set. Rows of one key and one instant are ordered by them, so that the same row
	// wins whichever features are asked for. Empty means Features.
	Order []Column `json:"order,omitempty"`

	Delay    time.Duration  `json:"delay"`
	Lookback *time.Duration `json:"lookback,omitempty"` // nil: unbounded
}

// JoinResult tells what a Join wrote.
type JoinResult struct {
	Rows    int64       `json:"rows"`
	Bytes   int64       `json:"bytes"`
	Columns []string    `json:"columns"` // the output's columns in order
	Matched []int64     `json:"matched"` // per set: the observations that found a row
	Times   []time.Time `json:"times"`   // the least and the greatest observation time; empty when there is none
	Usage   Usage       `json:"usage"`
}

// Latest keeps, of files that Transform wrote, the newest row of every key, ordered by key: what the online store takes in.
type Latest struct {
	Files           []string `json:"files"`
	Index           []Column `json:"index"`
	TimestampColumn string   `json:"timestampColumn"`
	Features        []Column `json:"features"`
	OutputDir       string   `json:"outputDir"`
	Scratch         string   `json:"scratch"`
	Limits          Limits   `json:"limits"`
}

// Inspect asks for the columns of files and, when TimestampColumn is given, the least and greatest time in them.
type Inspect struct {
	Files           []string `json:"files"`
	Format          string   `json:"format"`
	TimestampColumn string   `json:"timestampColumn,omitempty"`
	TimestampFormat string   `json:"timestampFormat,omitempty"`
	Scratch         string   `json:"scratch"`
	Limits          Limits   `json:"limits"`
}

// InspectResult tells the columns with their nearest declared types (empty for what has none, such as lists), and the span
// of time when it was asked for; MinTimestamp and MaxTimestamp are zero without rows.
type InspectResult struct {
	Columns      []Column  `json:"columns"`
	Rows         int64     `json:"rows"` // known when a TimestampColumn was given
	MinTimestamp time.Time `json:"minTimestamp"`
	MaxTimestamp time.Time `json:"maxTimestamp"`
	Usage        Usage     `json:"usage"`
}

// Usage is what an operation cost and how it was shut in.
type Usage struct {
	Wall       time.Duration `json:"wall"`
	CPU        time.Duration `json:"cpu"`
	PeakMemory int64         `json:"peakMemory"` // resident bytes
	Isolation  []string      `json:"isolation"`  // the walls that were in force, such as "network namespace", "landlock"
}

// Engine computes. It is safe for concurrent use: every operation is on its own.
//
// Faults that a caller can mend are *resource.Error of kind Invalid with one of the codes below; the message names the
// column, file, feature or limit at fault. A cancelled context gives ctx.Err().
type Engine interface {
	// Transform computes and writes features. Nothing is left in OutputDir when it fails.
	Transform(ctx context.Context, t Transform) (TransformResult, error)
	// Join retrieves point in time. Every observation is kept exactly once, in its order. Output is complete or absent.
	Join(ctx context.Context, j Join) (JoinResult, error)
	// Latest writes the newest row of every key. Among rows of one key and one instant the same one wins as in a Join.
	Latest(ctx context.Context, l Latest) (TransformResult, error)
	// Inspect reads the columns of files.
	Inspect(ctx context.Context, i Inspect) (InspectResult, error)
	// CheckSQL says whether a text is one SELECT that reads nothing but the table `source`. It is to be asked when a feature
	// set is registered; Transform asks it again.
	CheckSQL(ctx context.Context, sql string) error
	// Scan reads parquet files that the engine wrote, batch by batch, with memory that does not grow with them. The batch is
	// the callee's only until yield returns. No columns means all of them.
	Scan(ctx context.Context, files, columns []string, yield func(arrow.RecordBatch) error) error
}

// The codes of an engine's errors.
const (
	CodeSQL       = "InvalidTransformationSQL"  // the SQL is not allowed, or fails
	CodeSource    = "InvalidSourceData"         // a file is missing, truncated, not of its format
	CodeTimestamp = "InvalidTimestampColumn"    // missing, not a time, text without a format, or not of that format
	CodeColumn    = "FeatureColumnMismatch"     // a column is missing or of another type than declared
	CodeName      = "DuplicateColumnName"       // two columns of one name
	CodeRequest   = "InvalidComputeRequest"     // the request itself is at odds with itself
	CodeMemory    = "ComputeMemoryLimitReached" // with Limits.Memory
	CodeScratch   = "ComputeScratchLimitReached"
	CodeTime      = "ComputeTimeLimitReached"
	CodeCompute   = "ComputeFailed" // the compute process ended without an answer
)
