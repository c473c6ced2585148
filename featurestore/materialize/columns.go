package materialize

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// EngineColumns gives columns of a specification in the engine's words.
func EngineColumns(columns []spec.Column) []engine.Column {
	out := make([]engine.Column, len(columns))
	for i, c := range columns {
		out[i] = engine.Column{Name: c.Name, Type: engine.ColumnType(c.Type)}
	}
	return out
}

// OfflineSchema is the schema of a feature set's offline table.
func OfflineSchema(s *spec.FeatureSetSpec) offline.Schema {
	convert := func(columns []spec.Column) []offline.Column {
		out := make([]offline.Column, len(columns))
		for i, c := range columns {
			out[i] = offline.Column{Name: c.Name, Type: string(c.Type)}
		}
		return out
	}
	return offline.Schema{Index: convert(s.IndexColumns), Timestamp: s.TimestampColumn.Name, Features: convert(s.Features)}
}

// Compute is the transformation of a feature set, for a caller to add window, files, folders and limits.
func Compute(s *spec.FeatureSetSpec) engine.Transform {
	t := engine.Transform{
		Format: string(s.Source.Type), TimestampColumn: s.TimestampColumn.Name, TimestampFormat: s.TimestampColumn.Format,
		SQL: s.SQL, Index: EngineColumns(s.IndexColumns), Features: EngineColumns(s.Features),
	}
	for _, a := range s.Aggregations {
		t.Aggregations = append(t.Aggregations, engine.Aggregation{Feature: a.Feature, Func: string(a.Func), Column: a.Column, Window: a.Window})
	}
	return t
}

// stored reads rows that were computed before, from files of the offline table.
func stored(s *spec.FeatureSetSpec) engine.Transform {
	return engine.Transform{
		Format: engine.Parquet, TimestampColumn: s.TimestampColumn.Name,
		Index: EngineColumns(s.IndexColumns), Features: EngineColumns(s.Features),
	}
}

// check refuses orders that no provider makes. The worker is handed what others wrote.
func (o Order) check() (*spec.FeatureSetSpec, error) {
	files := make(map[string][]byte, len(o.Spec))
	for name, text := range o.Spec {
		files[name] = []byte(text)
	}
	parsed, err := spec.Parse(files)
	switch {
	case err != nil:
		return nil, err
	case !o.Start.Before(o.End):
		return nil, resource.Invalidf("InvalidWindow", "The feature window must end after it starts.")
	case !o.Offline && !o.Online:
		return nil, resource.Invalidf("InvalidOrder", "The order names no store to materialize into.")
	case o.Job.IsRoot() || o.Version.IsRoot():
		return nil, resource.Invalidf("InvalidOrder", "The order names no job or no feature set version.")
	case o.OnlineTTL < 0:
		return nil, resource.Invalidf("InvalidOrder", "The time to live must not be negative.")
	case o.fromTable() && !strings.HasPrefix(o.Target.Path, OfflinePrefix(o.Version)):
		return nil, resource.Invalidf("InvalidOrder", "The offline table of %s lies at %s and not at %q.", o.Version, OfflinePrefix(o.Version), o.Target.Path)
	}
	return parsed, nil
}

// fromTable tells whether the order touches the offline table.
func (o Order) fromTable() bool { return o.Offline || !o.FromSource }

// computed tells whether the order computes from the source.
func (o Order) computed() bool { return o.Offline || o.FromSource }

// Because the engine's folders are many and short-lived, each step gets one of its own.
type folders interface {
	make(name string) (string, error)
}

// clip keeps the rows of stored files that lie in a window.
func clip(ctx context.Context, e engine.Engine, t engine.Transform, in folders) ([]engine.OutputFile, error) {
	var err error
	if t.OutputDir, err = in.make("clip"); err != nil {
		return nil, err
	}
	result, err := e.Transform(ctx, t)
	if err != nil {
		return nil, err
	}
	return result.Files, markUTC(result.Files)
}
