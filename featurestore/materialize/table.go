package materialize

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/resource"
)

// replace makes the computed rows the window's only ones in the offline table, in one snapshot.
func (r *run) replace(ctx context.Context, rows []engine.OutputFile) error {
	bucket, err := r.w.open(r.order.Target)
	if err != nil {
		return err
	}
	table, err := offline.Create(ctx, bucket, r.order.Target.Path, OfflineSchema(r.spec), r.w.tableOptions(r.order.Target))
	if err != nil {
		return err
	}
	add := make([]offline.LocalFile, len(rows))
	for i, file := range rows {
		add[i] = offline.LocalFile{Path: file.Path}
	}
	window := offline.Window{Start: r.order.Start, End: r.order.End}
	rewrite := func(ctx context.Context, old offline.DataFile, keep []offline.Window) ([]offline.LocalFile, error) {
		return r.rewrite(ctx, bucket, old, keep)
	}
	snapshot, err := table.ReplaceWindow(ctx, window, add, rewrite, r.order.Job.Key())
	if err != nil {
		return err
	}
	if r.settled = snapshot.JobID == r.order.Job.Key() && snapshot.Time.Before(r.began); r.settled {
		r.w.log("offline store: %s was replaced by an earlier attempt already, snapshot %d", window, snapshot.ID)
	} else {
		r.w.log("offline store: %s has %d rows, snapshot %d", window, r.result.Rows, snapshot.ID)
	}
	r.sweep(ctx, table)
	return nil
}

// rewrite keeps of an old file what lies outside the window.
func (r *run) rewrite(ctx context.Context, bucket lake.Bucket, old offline.DataFile, keep []offline.Window) ([]offline.LocalFile, error) {
	dir, err := r.make("old")
	if err != nil {
		return nil, err
	}
	local := filepath.Join(dir, "old.parquet")
	if _, err := lake.Download(ctx, bucket, old.Path, local); err != nil {
		return nil, err
	}
	var out []offline.LocalFile
	for _, window := range keep {
		t := stored(r.spec)
		t.Sources, t.Start, t.End, t.Scratch, t.Limits = []string{local}, later(window.Start, firstTime), earlier(window.End, lastTime), r.dir, r.order.Limits
		files, err := clip(ctx, r.w.Engine, t, r)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			out = append(out, offline.LocalFile{Path: file.Path})
		}
	}
	return out, os.Remove(local)
}

// The span of time that the engine counts in.
var (
	firstTime = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sweep removes what no reader needs any more. It is housekeeping: a failure waits for the next order.
func (r *run) sweep(ctx context.Context, table *offline.Table) {
	age := r.w.SweepAge
	if age < 0 {
		return
	}
	if age == 0 {
		age = 24 * time.Hour
	}
	switch swept, err := table.Sweep(ctx, age); {
	case err != nil:
		r.w.log("offline store: removing old files failed and will be repeated: %v", err)
	case swept.Files > 0:
		r.w.log("offline store: removed %d old files", swept.Files)
	}
}

// read takes the order's window out of the offline table.
func (r *run) read(ctx context.Context) ([]engine.OutputFile, error) {
	return r.readWindow(ctx, r.order.Start, r.order.End)
}

// readWindow takes the rows of [start, end) out of the offline table. A table that is absent has none.
func (r *run) readWindow(ctx context.Context, start, end time.Time) ([]engine.OutputFile, error) {
	bucket, err := r.w.open(r.order.Target)
	if err != nil {
		return nil, err
	}
	table, err := offline.Open(ctx, bucket, r.order.Target.Path, r.w.tableOptions(r.order.Target))
	if e, ok := resource.AsError(err); ok && e.Code == "TableNotFound" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files, _, err := table.Files(ctx, &offline.Window{Start: start, End: end})
	if err != nil || len(files) == 0 {
		return nil, err
	}
	dir, err := r.make("table")
	if err != nil {
		return nil, err
	}
	locals := make([]string, len(files))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, file := range files {
		locals[i] = filepath.Join(dir, fmt.Sprintf("%06d.parquet", i))
		group.Go(func() error {
			_, err := lake.Download(groupCtx, bucket, file.Path, locals[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	t := stored(r.spec)
	t.Sources, t.Start, t.End, t.Scratch, t.Limits = locals, start, end, r.dir, r.order.Limits
	return clip(ctx, r.w.Engine, t, r)
}
