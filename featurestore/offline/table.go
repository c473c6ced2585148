package offline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// Table is one feature set version's table. It holds no state of the table itself: every call looks up the newest
// version, and all methods may be called concurrently, in one process or several.
//
// Errors are those of the lake.Bucket, and NotFound (code TableNotFound), Invalid (SchemaMismatch, InvalidWindow,
// NullKey, MissingStatistics, OutsideWindow), Conflict (SchemaChanged, or CommitConflict when other commits came first
// on every attempt).
type Table struct {
	bucket  lake.Bucket
	prefix  string
	schema  Schema
	options Options
}

// Prefix is the place of a feature set version's table in the container.
func Prefix(featureSet, version string) string {
	return "featuresets/" + featureSet + "/" + version + "/"
}

func at(bucket lake.Bucket, prefix string, options Options) (*Table, error) {
	if !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	if err := lake.CheckName(prefix + "data"); err != nil {
		return nil, err
	}
	return &Table{bucket: bucket, prefix: prefix, options: options.withDefaults()}, nil
}

// Open finds a table that is there; an absent one gives NotFound.
func Open(ctx context.Context, bucket lake.Bucket, prefix string, options Options) (*Table, error) {
	t, err := at(bucket, prefix, options)
	if err != nil {
		return nil, err
	}
	v, err := t.load(ctx)
	if err != nil {
		return nil, err
	}
	t.schema, err = schemaOf(v.metadata.Properties())
	return t, err
}

// Create makes the table, or opens it when it is there with the same schema; with another one it gives Conflict.
func Create(ctx context.Context, bucket lake.Bucket, prefix string, schema Schema, options Options) (*Table, error) {
	fields, err := schema.iceberg()
	if err != nil {
		return nil, err
	}
	t, err := Open(ctx, bucket, prefix, options)
	if resource.KindOf(err) == resource.NotFound {
		if t, err = at(bucket, prefix, options); err != nil {
			return nil, err
		}
		if err = t.create(ctx, schema, fields); errors.Is(err, errConflict) {
			t, err = Open(ctx, bucket, prefix, options)
		}
	}
	if err != nil {
		return nil, err
	}
	if !t.schema.equal(schema) {
		return nil, resource.Conflictf("SchemaChanged", "the table at %q has another schema; a feature set version's schema cannot change, make a new version", prefix)
	}
	return t, nil
}

func (t *Table) create(ctx context.Context, schema Schema, fields *iceberg.Schema) error {
	properties, err := schema.properties(fields)
	if err != nil {
		return err
	}
	location := strings.TrimSuffix(t.options.Location, "/") + "/" + strings.TrimSuffix(t.prefix, "/")
	metadata, err := table.NewMetadata(fields, iceberg.UnpartitionedSpec, table.UnsortedSortOrder, location, properties)
	if err != nil {
		return fmt.Errorf("create table %s: %w", t.prefix, err)
	}
	t.schema = schema
	return t.write(ctx, 1, metadata)
}

// Schema gives the table's schema.
func (t *Table) Schema() Schema { return t.schema }

// Files gives the files that may hold rows of the window, by the manifests' statistics, in the order of their first
// rows, and the snapshot that they belong to. A nil window gives all.
func (t *Table) Files(ctx context.Context, window *Window) ([]DataFile, Snapshot, error) {
	if window != nil {
		if err := window.check(); err != nil {
			return nil, Snapshot{}, err
		}
	}
	v, err := t.load(ctx)
	if err != nil {
		return nil, Snapshot{}, err
	}
	return t.filesOf(ctx, v, v.metadata.CurrentSnapshot(), window)
}

// FilesAt is Files in a snapshot that was current before; one that is expired gives NotFound.
func (t *Table) FilesAt(ctx context.Context, snapshotID int64, window *Window) ([]DataFile, Snapshot, error) {
	v, err := t.load(ctx)
	if err != nil {
		return nil, Snapshot{}, err
	}
	snapshot := v.metadata.SnapshotByID(snapshotID)
	if snapshot == nil {
		return nil, Snapshot{}, resource.NotFoundf("SnapshotNotFound", "the table at %q has no snapshot %d; it is expired", t.prefix, snapshotID)
	}
	return t.filesOf(ctx, v, snapshot, window)
}

func (t *Table) filesOf(ctx context.Context, v version, snapshot *table.Snapshot, window *Window) ([]DataFile, Snapshot, error) {
	if snapshot == nil {
		return nil, Snapshot{}, nil
	}
	var files []DataFile
	err := t.each(ctx, v, snapshot, func(file DataFile, _ iceberg.DataFile) {
		if window == nil || window.overlaps(file.MinTimestamp, file.MaxTimestamp) {
			files = append(files, file)
		}
	})
	if err != nil {
		return nil, Snapshot{}, err
	}
	slices.SortFunc(files, func(a, b DataFile) int {
		if c := a.MinTimestamp.Compare(b.MinTimestamp); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return files, describe(snapshot), nil
}

// each calls f with every live data file of a snapshot.
func (t *Table) each(ctx context.Context, v version, snapshot *table.Snapshot, f func(DataFile, iceberg.DataFile)) error {
	files := t.io(ctx, v.metadata)
	manifests, err := snapshot.Manifests(files)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.prefix, err)
	}
	for _, manifest := range manifests {
		for entry, err := range manifest.Entries(files, true) {
			if err != nil {
				return fmt.Errorf("table %s: manifest %s: %w", t.prefix, manifest.FilePath(), err)
			}
			stored := entry.DataFile()
			if stored.ContentType() != iceberg.EntryContentData {
				return resource.Errorf(resource.Unsupported, "DeleteFiles", "the table at %q has delete files of another engine; compact it there first", t.prefix)
			}
			file, err := t.dataFile(files, stored)
			if err != nil {
				return err
			}
			f(file, stored)
		}
	}
	return nil
}

func (t *Table) dataFile(files bucketIO, stored iceberg.DataFile) (DataFile, error) {
	name, err := files.name(stored.FilePath())
	if err != nil {
		return DataFile{}, err
	}
	file := DataFile{Path: name, Rows: stored.Count(), Bytes: stored.FileSizeBytes()}
	id := len(t.schema.Index) + 1
	lower, upper := stored.LowerBoundValues()[id], stored.UpperBoundValues()[id]
	if len(lower) == 8 && len(upper) == 8 {
		file.MinTimestamp, file.MaxTimestamp = decodeTime(lower), decodeTime(upper)
	} else { // written by another engine without bounds: it may hold any time
		file.MinTimestamp, file.MaxTimestamp = time.UnixMicro(-1<<62).UTC(), time.UnixMicro(1<<62).UTC()
	}
	return file, nil
}

// The properties of a snapshot's summary that tell who made it.
const (
	jobKey   = "alvara.job-id"
	startKey = "alvara.window-start"
	endKey   = "alvara.window-end"
)

func describe(snapshot *table.Snapshot) Snapshot {
	s := Snapshot{ID: snapshot.SnapshotID, Time: time.UnixMilli(snapshot.TimestampMs).UTC()}
	if snapshot.Summary != nil {
		p := snapshot.Summary.Properties
		s.JobID = p[jobKey]
		s.Window.Start, _ = time.Parse(time.RFC3339Nano, p[startKey])
		s.Window.End, _ = time.Parse(time.RFC3339Nano, p[endKey])
	}
	return s
}
