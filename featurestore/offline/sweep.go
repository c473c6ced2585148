package offline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// Swept says what Sweep removed.
type Swept struct {
	Snapshots int
	Files     int
	Bytes     int64
}

// Sweep forgets snapshots beyond those that Options retain and removes files that no remaining snapshot needs: rows of
// forgotten snapshots, uploads of attempts that failed, old versions. Only files older than olderThan go, which must be
// longer than any replacement takes from its first upload to its commit; a day is a good choice. It may run beside
// readers and replacements, and again after an interruption.
func (t *Table) Sweep(ctx context.Context, olderThan time.Duration) (Swept, error) {
	var swept Swept
	var err error
	if swept.Snapshots, err = t.expire(ctx); err != nil {
		return swept, err
	}
	// List before reading the newest version: what is committed in between is then referenced, not taken for lost.
	var objects []lake.Object
	err = t.bucket.List(ctx, t.prefix, func(o lake.Object) error {
		objects = append(objects, o)
		return nil
	})
	if err != nil {
		return swept, err
	}
	v, err := t.load(ctx)
	if err != nil {
		return swept, err
	}
	needed, err := t.needed(ctx, v)
	if err != nil {
		return swept, err
	}
	cutoff := t.options.Clock().Add(-olderThan)
	for _, object := range t.unneeded(objects, v, needed, cutoff) {
		if err := t.bucket.Delete(ctx, object.Name); err != nil && resource.KindOf(err) != resource.NotFound {
			return swept, err
		}
		swept.Files++
		swept.Bytes += object.Size
	}
	return swept, nil
}

// unneeded selects what may go, old versions in the order of their numbers.
func (t *Table) unneeded(objects []lake.Object, v version, needed map[string]bool, cutoff time.Time) []lake.Object {
	var out []lake.Object
	versions := map[int]lake.Object{}
	for _, object := range objects {
		if number, ok := t.versionNumber(object.Name); ok {
			versions[number] = object
			continue
		}
		own := strings.HasPrefix(object.Name, t.prefix+"data/") || strings.HasPrefix(object.Name, t.prefix+"metadata/")
		if own && !needed[object.Name] && object.Modified.Before(cutoff) {
			out = append(out, object)
		}
	}
	for number, object := range versions {
		// A version goes when the one after it took its place before the cutoff.
		if next, ok := versions[number+1]; ok && number < v.number && next.Modified.Before(cutoff) {
			out = append(out, object)
		}
	}
	slices.SortFunc(out, func(a, b lake.Object) int {
		na, _ := t.versionNumber(a.Name)
		nb, _ := t.versionNumber(b.Name)
		if na != nb {
			return na - nb
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// needed names every object that a snapshot of the version refers to.
func (t *Table) needed(ctx context.Context, v version) (map[string]bool, error) {
	files := t.io(ctx, v.metadata)
	needed := map[string]bool{t.prefix + "metadata/version-hint.text": true}
	read := map[string]bool{}
	note := func(address string) error {
		name, err := files.name(address)
		needed[name] = true
		return err
	}
	for _, snapshot := range v.metadata.Snapshots() {
		if err := note(snapshot.ManifestList); err != nil {
			return nil, err
		}
		manifests, err := snapshot.Manifests(files)
		if err != nil {
			return nil, err
		}
		for _, manifest := range manifests {
			if read[manifest.FilePath()] {
				continue
			}
			read[manifest.FilePath()] = true
			if err := note(manifest.FilePath()); err != nil {
				return nil, err
			}
			for entry, err := range manifest.Entries(files, true) {
				if err == nil {
					err = note(entry.DataFile().FilePath())
				}
				if err != nil {
					return nil, err
				}
			}
		}
	}
	return needed, nil
}

// expire drops snapshots that are neither among the newest nor younger than RetainFor. A snapshot's age counts from
// when another took its place.
func (t *Table) expire(ctx context.Context) (int, error) {
	for attempt := range t.options.Attempts {
		v, err := t.load(ctx)
		if err != nil {
			return 0, err
		}
		gone := t.expired(v)
		if len(gone) == 0 {
			return 0, nil
		}
		requirements := []table.Requirement{table.AssertTableUUID(v.metadata.TableUUID())}
		updates := []table.Update{table.NewRemoveSnapshotsUpdate(gone, false)}
		_, _, err = commit{t: t, base: v}.CommitTable(ctx, nil, requirements, updates)
		if !errors.Is(err, errConflict) {
			return len(gone), err
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, err
		}
	}
	return 0, resource.Conflictf("CommitConflict", "the table at %q was changed by others during all attempts to expire snapshots; try again", t.prefix)
}

func (t *Table) expired(v version) []int64 {
	snapshots := slices.Clone(v.metadata.Snapshots())
	slices.SortFunc(snapshots, func(a, b table.Snapshot) int { return int(a.SequenceNumber - b.SequenceNumber) })
	cutoff := t.options.Clock().Add(-t.options.RetainFor)
	var gone []int64
	for i := 0; i < len(snapshots)-t.options.RetainSnapshots; i++ {
		replaced := time.UnixMilli(snapshots[i+1].TimestampMs)
		if replaced.Before(cutoff) && snapshots[i].SnapshotID != v.metadata.CurrentSnapshot().SnapshotID {
			gone = append(gone, snapshots[i].SnapshotID)
		}
	}
	return gone
}

// Drop removes the table with all its files. Interrupted, it leaves a table that can be dropped again; a reader
// meanwhile may find files missing.
func (t *Table) Drop(ctx context.Context) error {
	var versions, others []lake.Object
	err := t.bucket.List(ctx, t.prefix, func(o lake.Object) error {
		if _, ok := t.versionNumber(o.Name); ok {
			versions = append(versions, o)
		} else {
			others = append(others, o)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(versions, func(a, b lake.Object) int {
		na, _ := t.versionNumber(a.Name)
		nb, _ := t.versionNumber(b.Name)
		return na - nb
	})
	for _, object := range append(versions, others...) {
		if err := t.bucket.Delete(ctx, object.Name); err != nil && resource.KindOf(err) != resource.NotFound {
			return err
		}
	}
	return nil
}
