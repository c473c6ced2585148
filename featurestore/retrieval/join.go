package retrieval

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/featurestore/source"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// join is one GetOffline on its way.
type join struct {
	r       *Retriever
	request Request
	dir     string
	steps   int
	sets    map[string]*set // by lower-case name:version
	offline resource.ID     // the offline store's container, once it is known
}

// part is a run of features of one set, with one prefix: what becomes a set of the engine's join.
type part struct {
	set      *set
	prefix   string
	features []spec.Column
}

func (j *join) run(ctx context.Context) (Result, error) {
	parts, err := j.parts(ctx)
	if err != nil {
		return Result{}, err
	}
	request := j.joinOf(parts)
	if err := engine.CheckJoin(request); err != nil {
		return Result{}, err
	}
	mode, err := writable(j.request.Output)
	if err != nil {
		return Result{}, err
	}
	of, some, err := j.inspect(ctx, parts)
	if err != nil {
		return Result{}, err
	}
	for _, p := range parts {
		if some && !p.set.computed {
			if err := j.rows(ctx, p.set, of); err != nil {
				return Result{}, err
			}
		}
	}
	for i, p := range parts {
		request.Sets[i].Files = p.set.files
	}
	return j.write(ctx, request, parts, mode)
}

// parts works out what each reference asks for, in the order asked.
func (j *join) parts(ctx context.Context) ([]part, error) {
	var parts []part
	for _, text := range j.request.Features {
		ref, err := spec.ParseFeatureRef(text)
		if err != nil {
			return nil, err
		}
		s, err := j.find(ctx, ref)
		if err != nil {
			return nil, err
		}
		features := s.spec.Features
		if ref.Feature != "" {
			feature, ok := s.spec.Feature(ref.Feature)
			if !ok {
				return nil, resource.Invalidf("FeatureNotFound", "The feature set %s has no feature %q; its features are %s.", s.label(), ref.Feature, names(s.spec.Features)).At("features")
			}
			features = []spec.Column{feature}
		}
		prefix := ""
		if ref.Prefix != "" {
			prefix = ref.ColumnName("")
		}
		if last := len(parts) - 1; last >= 0 && parts[last].set == s && parts[last].prefix == prefix {
			parts[last].features = append(append([]spec.Column(nil), parts[last].features...), features...)
		} else {
			parts = append(parts, part{set: s, prefix: prefix, features: features})
		}
	}
	return parts, nil
}

func names(columns []spec.Column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	return strings.Join(list, ", ")
}

func (j *join) joinOf(parts []part) engine.Join {
	q := engine.Join{
		Observations: []string{j.request.Observations}, ObservationFormat: j.request.Format,
		TimestampColumn: j.request.TimestampColumn, TimestampFormat: j.request.TimestampFormat,
		OutputFormat: j.request.OutputFormat, Scratch: j.dir, Limits: j.request.Limits,
	}
	for _, p := range parts {
		s := p.set.spec
		q.Sets = append(q.Sets, engine.JoinSet{
			Name: p.set.name, Version: p.set.version, Prefix: p.prefix, Index: materialize.EngineColumns(s.IndexColumns),
			TimestampColumn: s.TimestampColumn.Name, Features: materialize.EngineColumns(p.features), Order: materialize.EngineColumns(s.Features),
			Delay: s.SourceDelay, Lookback: s.TemporalJoinLookback,
		})
	}
	return q
}

// inspect looks at the observations before anything is fetched for them: their columns and their span of time.
func (j *join) inspect(ctx context.Context, parts []part) (of span, some bool, err error) {
	j.r.progress("observations", 0, 0)
	seen, err := j.r.Engine.Inspect(ctx, engine.Inspect{
		Files: []string{j.request.Observations}, Format: j.request.Format, TimestampColumn: j.request.TimestampColumn,
		TimestampFormat: j.request.TimestampFormat, Scratch: j.dir, Limits: j.request.Limits,
	})
	if err != nil {
		return of, false, err
	}
	for _, p := range parts {
		for _, index := range p.set.spec.IndexColumns {
			if !sameName(seen.Columns, index.Name) {
				return of, false, resource.Invalidf(engine.CodeColumn, "The observations have no column %q, which is an index column of the feature set %s.", index.Name, p.set.label()).At(index.Name)
			}
		}
		for _, feature := range p.features {
			if name := p.prefix + feature.Name; sameName(seen.Columns, name) {
				return of, false, resource.Invalidf(engine.CodeName, "The observations have a column %q already, which is also a feature of %s. Rename the column, or ask for the set with a prefix, as in fs=%s.", name, p.set.label(), p.set.label()).At(name)
			}
		}
	}
	return span{seen.MinTimestamp, seen.MaxTimestamp}, !seen.MinTimestamp.IsZero() || !seen.MaxTimestamp.IsZero(), nil
}

// rows brings the rows of a set that observations of the span can find.
func (j *join) rows(ctx context.Context, s *set, of span) error {
	s.computed, s.from = true, FromSource
	if s.offline {
		s.from = FromStore
	}
	start, end, some := s.needed(of)
	if !some {
		return nil
	}
	var err error
	if s.offline {
		err = j.stored(ctx, s, offline.Window{Start: start, End: end})
	} else {
		err = j.compute(ctx, s, offline.Window{Start: start, End: end})
	}
	if e, ok := resource.AsError(err); ok {
		said := *e
		said.Message, said.Cause = fmt.Sprintf("Feature set %s: %s", s.label(), e.Message), err
		return &said
	}
	return err
}

func (j *join) folder(name string) (string, error) {
	j.steps++
	dir := filepath.Join(j.dir, fmt.Sprintf("%03d-%s", j.steps, name))
	return dir, os.Mkdir(dir, 0o700)
}

// stored downloads the files of the offline table that can matter.
func (j *join) stored(ctx context.Context, s *set, window offline.Window) error {
	account, container, err := j.offlineStore(ctx)
	if err != nil {
		return err
	}
	bucket, err := j.r.open(account, container)
	if err != nil {
		return err
	}
	table, err := offline.Open(ctx, bucket, s.path, offline.Options{})
	if e, ok := resource.AsError(err); ok && e.Code == "TableNotFound" {
		return nil // nothing is materialized yet
	}
	if err != nil {
		return refused(err)
	}
	files, _, err := table.Files(ctx, &window)
	if err != nil {
		return refused(err)
	}
	dir, err := j.folder("store")
	if err != nil {
		return err
	}
	var done atomic.Int64
	var total int64
	for _, file := range files {
		total += file.Bytes
	}
	stage := "store " + s.label()
	j.r.progress(stage, 0, total)
	locals := make([]string, len(files))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, file := range files {
		locals[i] = filepath.Join(dir, fmt.Sprintf("%06d.parquet", i))
		group.Go(func() error {
			_, err := lake.Download(groupCtx, bucket, file.Path, locals[i])
			j.r.progress(stage, done.Add(file.Bytes), total)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return refused(err)
	}
	s.files = locals
	return nil
}

// refused says of a refusal that it is the offline store which may not be read.
func refused(err error) error {
	e, ok := resource.AsError(err)
	if !ok || e.Kind != resource.Forbidden {
		return err
	}
	said := *e
	said.Message, said.Cause = "The offline store may not be read. "+e.Message, err
	return &said
}

// compute makes the rows from the source.
func (j *join) compute(ctx context.Context, s *set, window offline.Window) error {
	account, container, err := j.source(ctx, s)
	if err != nil {
		return err
	}
	bucket, err := j.r.open(account, container)
	if err != nil {
		return err
	}
	in, err := j.folder("source")
	if err != nil {
		return err
	}
	out, err := j.folder("features")
	if err != nil {
		return err
	}
	t := materialize.Compute(s.spec)
	t.Start, t.End, t.SourceStart = window.Start, window.End, window.Start.Add(-s.spec.SourceLookback)
	if t.SourceStart.Before(firstTime) {
		t.SourceStart = firstTime
	}
	names := source.Names{}
	t.Sources, err = source.Fetch(ctx, bucket, s.spec.Source, in, source.Options{
		Column: t.TimestampColumn, Start: t.SourceStart, End: t.End, Names: names,
		Progress: func(done, total int64) { j.r.progress("source "+s.label(), done, total) },
	})
	if err != nil {
		return err
	}
	j.r.progress("compute "+s.label(), 0, 0)
	t.OutputDir, t.Scratch, t.Limits = out, j.dir, j.request.Limits
	result, err := j.r.Engine.Transform(ctx, t)
	if err != nil {
		return names.Explain(err)
	}
	for _, file := range result.Files {
		s.files = append(s.files, file.Path)
	}
	return os.RemoveAll(in) // the disk may be needed for the join
}

// write joins into a file beside the output and puts it in its place when it is complete.
func (j *join) write(ctx context.Context, request engine.Join, parts []part, mode os.FileMode) (Result, error) {
	j.r.progress("join", 0, 0)
	request.Output = besides(j.request.Output)
	defer func() { _ = os.Remove(request.Output) }() // gone already when all went well
	joined, err := j.r.Engine.Join(ctx, request)
	if err == nil {
		err = ctx.Err() // after this, the output appears
	}
	if err != nil {
		return Result{}, err
	}
	if err := os.Chmod(request.Output, mode); err != nil {
		return Result{}, err
	}
	if err := os.Rename(request.Output, j.request.Output); err != nil {
		return Result{}, err
	}
	result := Result{Rows: joined.Rows, Bytes: joined.Bytes, Columns: joined.Columns, Usage: joined.Usage}
	for i, p := range parts {
		one := SetResult{Set: p.set.label(), From: p.set.from, Files: len(p.set.files)}
		if i < len(joined.Matched) {
			one.Matched = joined.Matched[i]
		}
		result.Sets = append(result.Sets, one)
	}
	j.r.progress("join", joined.Rows, joined.Rows)
	return result, nil
}

// writable finds out early that the output cannot be written, and gives the mode that a new file has there.
func writable(output string) (os.FileMode, error) {
	if info, err := os.Stat(output); err == nil && info.IsDir() {
		return 0, resource.Invalidf("InvalidOutput", "The output %s is a folder; expected the name of a file.", output).At("output")
	}
	probe, err := os.OpenFile(besides(output), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return 0, resource.Invalidf("InvalidOutput", "The output %s cannot be written; its folder must be there and be writable.", output).At("output").Because(err)
	}
	info, err := probe.Stat()
	if err := errors.Join(err, probe.Close(), os.Remove(probe.Name())); err != nil {
		return 0, err
	}
	return info.Mode().Perm(), nil
}

// besides is a new name in the output's folder.
func besides(output string) string {
	return filepath.Join(filepath.Dir(output), "."+filepath.Base(output)+"."+rand.Text()[:8]+".part")
}
