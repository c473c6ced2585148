// Package online holds the latest feature values per entity for reads at serving time. It owns the store's contract,
// the encoding of keys and rows, and the conversion from Arrow; the drivers (mem, pebble) own the bytes on disk.
// Who may read or write a table is decided before a Store is called.
package online

import (
	"context"
	"time"
)

// A Row is one entity's values at one moment, encoded with the table's Schema.
type Row struct {
	Key   []byte    // Schema.AppendKey
	Event time.Time // when the values became true; microseconds count
	Value []byte    // Schema.AppendRow; the store never looks inside
}

// Batch is what a job writes in one step. A row of a Batch replaces the stored row of its key when its event time is
// later or equal, and is dropped otherwise, so batches may be repeated and come in any order.
type Batch struct {
	Rows []Row
	// TTL counts from the event time; 0 keeps rows for ever. A row written with a TTL is never read after it.
	TTL time.Duration
	// Run marks the rows with the run that wrote them, for Retract; any number but 0 that a run keeps over its retries.
	Run uint64
}

// Retraction removes what the replacement of a window [Start, End) left behind: rows with an event time inside that
// were not written by Run, for instance of entities that the new rows of the window do not have. A run puts its rows
// first and retracts then.
type Retraction struct {
	Start, End time.Time
	Run        uint64
	// Restore gives the rows that were the latest before the window, for those of the keys that had one. Each chunk of
	// keys changes from the old rows to the restored ones in one step. nil restores nothing. The keys are valid only
	// during the call.
	Restore func(ctx context.Context, keys [][]byte) ([]Row, error)
	TTL     time.Duration // of the restored rows, as in Batch
}

// Stats describes one table. Rows counts keys, expired ones too, until a Sweep removes them.
type Stats struct {
	Rows      int64
	Bytes     int64 // encoded keys and values
	FirstTime time.Time
	LastTime  time.Time // the latest event time; zero for an empty table
}

// Store keeps online tables: one per feature set version. All methods may be called concurrently.
//
// Errors are *resource.Error: NotFound (code OnlineTableNotFound), Conflict (code OnlineSchemaChanged: a table of the
// name has another schema), Invalid (code InvalidBatch: an empty key, Run 0, a negative TTL). Put and DropTable are durable when they return.
type Store interface {
	// Create makes the table; one with an equal schema that is there already is fine.
	Create(ctx context.Context, table string, schema *Schema) error
	// Tables gives the names of the tables in order.
	Tables(ctx context.Context) ([]string, error)
	// Schema gives the schema that the table was created with.
	Schema(ctx context.Context, table string) (*Schema, error)
	// Put writes a batch, whole or not at all.
	Put(ctx context.Context, table string, batch Batch) error
	// Get calls yield once per key, in the order of keys, with nil for a key that has no row or whose row's TTL has
	// passed at now. The value is valid only during the call. An error of yield ends the reading and is returned.
	Get(ctx context.Context, table string, keys [][]byte, now time.Time, yield func(i int, event time.Time, value []byte) error) error
	// Scan yields every row that is not expired at now, in the order of keys. Slices are valid only during the call.
	Scan(ctx context.Context, table string, now time.Time, yield func(Row) error) error
	// Retract finishes the replacement of a window: see Retraction. It may be repeated, also after a crash in the middle.
	// It reports how many keys lost their row.
	Retract(ctx context.Context, table string, retraction Retraction) (int64, error)
	// Sweep removes the rows that are expired at now and reports how many.
	Sweep(ctx context.Context, table string, now time.Time) (int64, error)
	// Stats reads the whole table's keys; it is for overviews, not for requests.
	Stats(ctx context.Context, table string) (Stats, error)
	// DropTable removes the table with its rows; an absent one gives NotFound.
	DropTable(ctx context.Context, table string) error
	// Close frees the store; no other method may be running.
	Close() error
}
