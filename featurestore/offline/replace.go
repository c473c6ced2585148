package offline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// ReplaceWindow makes the rows of the given files the table's only rows in the window, in one snapshot: readers see all
// of it or nothing. Files that reach over the window's bounds are replaced by what rewrite keeps of them. When another
// commit comes first, the change is worked out again on top of it. A job that committed the window before gets that
// snapshot back. With no files the window becomes empty.
//
// The files must be of the table's schema, with all rows inside the window. Files of an attempt that failed stay in the
// bucket, unseen, until Sweep.
func (t *Table) ReplaceWindow(ctx context.Context, window Window, add []LocalFile, rewrite Rewrite, jobID string) (Snapshot, error) {
	if err := window.check(); err != nil {
		return Snapshot{}, err
	}
	if jobID == "" {
		return Snapshot{}, resource.Invalidf("InvalidJob", "the job's id is empty; it is needed to recognize a repeated commit")
	}
	r := &replacement{
		t: t, window: window, rewrite: rewrite, jobID: jobID,
		stem: cleanName(jobID) + "-" + uuid.NewString(), kept: map[string][]*stored{},
	}
	v, err := t.load(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	if done, ok := r.recognize(v); ok {
		return done, nil
	}
	if r.added, err = r.upload(ctx, v, add, []Window{window}); err != nil {
		return Snapshot{}, err
	}
	for attempt := range t.options.Attempts {
		snapshot, err := r.try(ctx)
		if !errors.Is(err, errConflict) {
			return snapshot, err
		}
		if err := pause(ctx, attempt); err != nil {
			return Snapshot{}, err
		}
	}
	return Snapshot{}, resource.Conflictf("CommitConflict", "the table at %q was changed by others during all %d attempts to replace %s; try again", t.prefix, t.options.Attempts, window)
}

// replacement is one ReplaceWindow: what it uploaded and rewrote serves all its attempts, since files never change.
type replacement struct {
	t       *Table
	window  Window
	rewrite Rewrite
	jobID   string
	stem    string // of the names of the files that it uploads
	count   int
	added   []*stored
	kept    map[string][]*stored // by the path of the file that is replaced
}

// stored is an uploaded file.
type stored struct {
	entry iceberg.DataFile
}

func (r *replacement) try(ctx context.Context) (Snapshot, error) {
	v, err := r.t.load(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	if done, ok := r.recognize(v); ok {
		return done, nil
	}
	remove, add, err := r.plan(ctx, v)
	if err != nil {
		return Snapshot{}, err
	}
	if len(remove) == 0 && len(add) == 0 {
		if current := v.metadata.CurrentSnapshot(); current != nil {
			return describe(current), nil
		}
		return Snapshot{}, nil
	}
	c := commit{t: r.t, base: v}
	transaction := c.table(ctx, v.metadata, v.number).NewTransaction()
	summary := iceberg.Properties{
		jobKey:   r.jobID,
		startKey: r.window.Start.UTC().Format(time.RFC3339Nano),
		endKey:   r.window.End.UTC().Format(time.RFC3339Nano),
	}
	if err := transaction.ReplaceDataFilesWithDataFiles(ctx, remove, add, summary); err != nil {
		return Snapshot{}, fmt.Errorf("replace %s of %s: %w", r.window, r.t.prefix, err)
	}
	committed, err := transaction.Commit(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	return describe(committed.CurrentSnapshot()), nil
}

// recognize finds an earlier commit of the same job and window.
func (r *replacement) recognize(v version) (Snapshot, bool) {
	for _, snapshot := range v.metadata.Snapshots() {
		s := describe(&snapshot)
		if s.JobID == r.jobID && s.Window.Start.Equal(r.window.Start) && s.Window.End.Equal(r.window.End) {
			return s, true
		}
	}
	return Snapshot{}, false
}

// plan works out which files go and which come.
func (r *replacement) plan(ctx context.Context, v version) (remove, add []iceberg.DataFile, err error) {
	for _, file := range r.added {
		add = append(add, file.entry)
	}
	current := v.metadata.CurrentSnapshot()
	if current == nil {
		return nil, add, nil
	}
	var straddling []DataFile
	err = r.t.each(ctx, v, current, func(file DataFile, entry iceberg.DataFile) {
		if !r.window.overlaps(file.MinTimestamp, file.MaxTimestamp) {
			return
		}
		remove = append(remove, entry)
		if !r.window.holds(file.MinTimestamp, file.MaxTimestamp) {
			straddling = append(straddling, file)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, file := range straddling {
		kept, err := r.keep(ctx, v, file)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range kept {
			add = append(add, file.entry)
		}
	}
	return remove, add, nil
}

// keep rewrites a file that reaches over the window's bounds, once.
func (r *replacement) keep(ctx context.Context, v version, old DataFile) ([]*stored, error) {
	if kept, ok := r.kept[old.Path]; ok {
		return kept, nil
	}
	var windows []Window
	if old.MinTimestamp.Before(r.window.Start) {
		windows = append(windows, Window{Start: old.MinTimestamp, End: r.window.Start})
	}
	if !old.MaxTimestamp.Before(r.window.End) {
		windows = append(windows, Window{Start: r.window.End, End: old.MaxTimestamp.Add(time.Microsecond)})
	}
	if r.rewrite == nil {
		return nil, resource.Invalidf("RewriteNeeded", "the file %q reaches over the bounds of %s, and there is nothing to rewrite it with", old.Path, r.window)
	}
	locals, err := r.rewrite(ctx, old, windows)
	if err != nil {
		return nil, fmt.Errorf("rewrite %s: %w", old.Path, err)
	}
	kept, err := r.upload(ctx, v, locals, windows)
	if err != nil {
		return nil, err
	}
	r.kept[old.Path] = kept
	return kept, nil
}

// upload stores local files, each of which must lie inside one of the windows. Files without rows are left out.
func (r *replacement) upload(ctx context.Context, v version, locals []LocalFile, windows []Window) ([]*stored, error) {
	var files []*inspected
	for _, local := range locals { // look at all before storing any
		file, err := r.t.schema.inspect(local)
		if err != nil {
			return nil, err
		}
		if file.rows == 0 {
			continue
		}
		if !withinOne(windows, file) {
			return nil, resource.Invalidf("OutsideWindow", "the file %s has rows from %s to %s, which is not inside %v", local.Path, file.first.Format(time.RFC3339Nano), file.last.Format(time.RFC3339Nano), windows)
		}
		files = append(files, file)
	}
	var out []*stored
	for _, file := range files {
		name := fmt.Sprintf("%sdata/%s-%05d.parquet", r.t.prefix, r.stem, r.count)
		r.count++
		if err := r.store(ctx, name, file); err != nil {
			return nil, err
		}
		entry, err := file.dataFile(r.t.io(ctx, v.metadata).address(name))
		if err != nil {
			return nil, err
		}
		out = append(out, &stored{entry: entry})
	}
	return out, nil
}

func withinOne(windows []Window, file *inspected) bool {
	for _, window := range windows {
		if window.holds(file.first, file.last) {
			return true
		}
	}
	return false
}

func (r *replacement) store(ctx context.Context, name string, file *inspected) error {
	local, err := os.Open(file.local.Path)
	if err != nil {
		return err
	}
	defer local.Close()
	_, err = r.t.bucket.Write(ctx, name, local, file.bytes, lake.Condition{})
	return err
}

// pause waits before another attempt, longer each time and never the same as others.
func pause(ctx context.Context, attempt int) error {
	limit := min(20*time.Millisecond<<min(attempt, 10), 2*time.Second)
	timer := time.NewTimer(limit/4 + rand.N(limit))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// cleanName keeps what every object store takes in a name.
func cleanName(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, text)
	return clean[:min(len(clean), 100)]
}
