package offline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// errConflict says that another commit came first. It is not the library's own conflict, which would retry by itself
// with what it computed before.
var errConflict = errors.New("another commit came first")

// version is one committed state of a table.
type version struct {
	number   int
	metadata table.Metadata
}

func (t *Table) versionName(number int) string {
	return fmt.Sprintf("%smetadata/v%d.metadata.json", t.prefix, number)
}

// versionNumber reads the number out of an object's name.
func (t *Table) versionNumber(name string) (int, bool) {
	text, ok := strings.CutPrefix(name, t.prefix+"metadata/v")
	if !ok {
		return 0, false
	}
	if text, ok = strings.CutSuffix(text, ".metadata.json"); !ok {
		return 0, false
	}
	number, err := strconv.Atoi(text)
	return number, err == nil && number > 0
}

// newest lists the versions; the hint file may be behind and is not asked.
func (t *Table) newest(ctx context.Context) (int, error) {
	last := 0
	err := t.bucket.List(ctx, t.prefix+"metadata/v", func(o lake.Object) error {
		if number, ok := t.versionNumber(o.Name); ok {
			last = max(last, number)
		}
		return nil
	})
	return last, err
}

// load reads the newest version; an absent table gives NotFound.
func (t *Table) load(ctx context.Context) (version, error) {
	number, err := t.newest(ctx)
	if err != nil {
		return version{}, err
	}
	if number == 0 {
		return version{}, resource.NotFoundf("TableNotFound", "there is no table at %q; nothing was materialized there yet", t.prefix)
	}
	content, err := lake.ReadAll(ctx, t.bucket, t.versionName(number))
	if err != nil {
		return version{}, err
	}
	metadata, err := table.ParseMetadataBytes(content)
	if err != nil {
		return version{}, fmt.Errorf("table %s: version %d: %w", t.prefix, number, err)
	}
	return version{number: number, metadata: metadata}, nil
}

func (t *Table) io(ctx context.Context, metadata table.Metadata) bucketIO {
	return bucketIO{ctx: ctx, bucket: t.bucket, location: strings.TrimSuffix(metadata.Location(), "/"), prefix: t.prefix}
}

// write makes a version that must not be there yet. A lost answer to a write that succeeded is recognized by its content.
func (t *Table) write(ctx context.Context, number int, metadata table.Metadata) error {
	content, err := json.Marshal(metadata)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.prefix, err)
	}
	name := t.versionName(number)
	_, err = t.bucket.Write(ctx, name, bytes.NewReader(content), int64(len(content)), lake.Condition{IfNoneMatch: true})
	if resource.KindOf(err) == resource.PreconditionFailed && err != nil {
		present, readErr := lake.ReadAll(ctx, t.bucket, name)
		if readErr != nil {
			return readErr
		}
		if !bytes.Equal(present, content) {
			return errConflict
		}
		err = nil
	}
	if err != nil {
		return err
	}
	// Only other engines read the hint; when this write is lost, or overtaken by another, they are a commit behind.
	hint := []byte(strconv.Itoa(number))
	_, _ = t.bucket.Write(ctx, t.prefix+"metadata/version-hint.text", bytes.NewReader(hint), int64(len(hint)), lake.Condition{})
	return nil
}

// commit is the catalog that one attempt hands to the library. It commits on top of the version that the attempt
// started from or not at all.
type commit struct {
	t    *Table
	base version
}

func (c commit) table(ctx context.Context, metadata table.Metadata, number int) *table.Table {
	address := c.t.io(ctx, metadata).address(c.t.versionName(number))
	return table.New(table.Identifier{c.t.prefix}, metadata, address, func(ctx context.Context) (icebergio.IO, error) {
		return c.t.io(ctx, metadata), nil
	}, c)
}

// LoadTable implements table.CatalogIO.
func (c commit) LoadTable(ctx context.Context, _ table.Identifier) (*table.Table, error) {
	return c.table(ctx, c.base.metadata, c.base.number), nil
}

// CommitTable implements table.CatalogIO.
func (c commit) CommitTable(ctx context.Context, _ table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	for _, requirement := range requirements {
		if err := requirement.Validate(c.base.metadata); err != nil {
			return nil, "", fmt.Errorf("table %s: %w", c.t.prefix, err)
		}
	}
	files := c.t.io(ctx, c.base.metadata)
	next, err := table.UpdateTableMetadata(c.base.metadata, updates, files.address(c.t.versionName(c.base.number)))
	if err != nil {
		return nil, "", fmt.Errorf("table %s: %w", c.t.prefix, err)
	}
	// A version's name is free again once Sweep removed it. An attempt that is so far behind must not take it.
	number, err := c.t.newest(ctx)
	if err != nil {
		return nil, "", err
	}
	if number != c.base.number {
		return nil, "", errConflict
	}
	if err := c.t.write(ctx, number+1, next); err != nil {
		return nil, "", err
	}
	return next, files.address(c.t.versionName(number + 1)), nil
}
