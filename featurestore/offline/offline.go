// Package offline keeps the rows of a materialized feature set version as an Iceberg table in a lake.Bucket. It owns
// the table's layout, the replacement of a window in one snapshot, retries on conflict and the removal of what no
// reader needs any more. It does not read or write rows: parquet files come from an engine and are read by one.
//
// The layout is the one of Iceberg's file-system catalog, so that other engines can read the table:
//
//	{prefix}metadata/v{N}.metadata.json    one per commit, created only when absent: that is what makes a commit atomic
//	{prefix}metadata/version-hint.text     the newest N for engines that look there; never relied upon here
//	{prefix}metadata/*.avro                manifest lists and manifests
//	{prefix}data/*.parquet                 rows
package offline

import (
	"context"
	"fmt"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Column is a named column with one of the types string, integer, long, float, double, binary, datetime and boolean.
type Column struct {
	Name string
	Type string
}

// Schema is what a table's rows hold: the index columns, the event time and the features. Index columns and the time
// are never null.
type Schema struct {
	Index     []Column
	Timestamp string // the name of the event time column, which is a datetime
	Features  []Column
}

// Window is the half-open interval [Start, End) of event time, in microseconds.
type Window struct {
	Start, End time.Time
}

// String writes the window as [start, end).
func (w Window) String() string {
	return fmt.Sprintf("[%s, %s)", w.Start.UTC().Format(time.RFC3339Nano), w.End.UTC().Format(time.RFC3339Nano))
}

func (w Window) overlaps(first, last time.Time) bool {
	return !last.Before(w.Start) && first.Before(w.End)
}

func (w Window) holds(first, last time.Time) bool {
	return !first.Before(w.Start) && last.Before(w.End)
}

func (w Window) check() error {
	if !w.Start.Before(w.End) {
		return resource.Invalidf("InvalidWindow", "the window %s is empty; its start must be before its end", w)
	}
	if w.Start.Nanosecond()%1000 != 0 || w.End.Nanosecond()%1000 != 0 {
		return resource.Invalidf("InvalidWindow", "the window %s is finer than microseconds; round its bounds", w)
	}
	return nil
}

// DataFile is one parquet file of a snapshot.
type DataFile struct {
	Path         string // the object's name in the bucket
	Rows         int64
	Bytes        int64
	MinTimestamp time.Time // the event times of its first and last row, both inclusive
	MaxTimestamp time.Time
}

// LocalFile is a parquet file on this machine that is to become part of the table. It is only read.
type LocalFile struct {
	Path string
}

// Snapshot is a state of the table that readers can hold on to. The zero Snapshot is the empty table before any commit.
type Snapshot struct {
	ID     int64
	Time   time.Time
	JobID  string // who committed it
	Window Window // and which window it replaced
}

// Rewrite makes local parquet files that hold the rows of old whose event time lies in one of the windows of keep. No
// file may reach over two of them. It is called once per file, however often the commit is retried.
type Rewrite func(ctx context.Context, old DataFile, keep []Window) ([]LocalFile, error)

// Options change how a table is kept; the zero value is right for most.
type Options struct {
	// Location is the address of the bucket that other engines are told, such as
	// abfss://container@account.dfs.core.windows.net; it is written into the table when it is created.
	Location string
	// RetainSnapshots are kept however old they are; 0 means 10. A repeated commit is recognized as long as its snapshot
	// is kept; later it replaces the window again.
	RetainSnapshots int
	// RetainFor is how long a snapshot is kept after a newer one took its place, so that its readers can finish; 0
	// means one hour.
	RetainFor time.Duration
	// Attempts bounds how often a commit that meets another one is tried; 0 means 30.
	Attempts int
	// Clock gives the time; nil means time.Now.
	Clock func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Location == "" {
		o.Location = "lake://bucket"
	}
	if o.RetainSnapshots <= 0 {
		o.RetainSnapshots = 10
	}
	if o.RetainFor <= 0 {
		o.RetainFor = time.Hour
	}
	if o.Attempts <= 0 {
		o.Attempts = 30
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}
