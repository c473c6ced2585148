package spec

import (
	"slices"
	"strings"
	"time"
)

func readTransformation(s *FeatureSetSpec, root object, files map[string][]byte) {
	const useInstead = "is not supported yet, use transformation_sql or transformation_expression"
	if old := root.get("feature_transformation_code"); old.present() {
		old.fault("feature_transformation_code %s under feature_transformation", useInstead)
	}
	v := root.get("feature_transformation")
	if !v.present() {
		return
	}
	o := v.object("transformation_sql", "transformation_expression", "transformation_code")
	if code := o.get("transformation_code"); code.present() {
		code.fault("%s %s", code.path, useInstead)
		return
	}
	sql, expression := o.get("transformation_sql"), o.get("transformation_expression")
	switch {
	case sql.present() && expression.present():
		v.fault("%s has transformation_sql and transformation_expression; at most one is allowed", v.path)
	case sql.present():
		file := sql.object("path").require("path", "name the SQL file in the specification's folder")
		readSQL(s, file, files)
	case expression.present():
		readAggregations(s, expression)
	case len(o.fields) == 0 && len(v.r.faults) == 0:
		v.fault("%s names no transformation; give transformation_sql or transformation_expression, or leave it out", v.path)
	}
}

func readAggregations(s *FeatureSetSpec, v value) {
	seen := map[string]string{}
	for _, item := range v.nonEmptyList() {
		o := item.object("feature", "aggregation", "column", "window")
		a := Aggregation{
			Feature: o.require("feature", "name one of the features").text(),
			Func:    o.require("aggregation", "expected count, sum, avg, min or max").aggregateFunc(),
			Column:  o.get("column").sourceColumn(),
			Window:  o.require("window", "give {length, unit}, such as {length: 3, unit: days}").window(),
		}
		if a.Column == "" && a.Func != Count && a.Func != "" && !o.has("column") {
			item.fault("%s.column is missing; %s needs the source's column that it is computed from", item.path, a.Func)
		}
		key := foldName(a.Feature)
		if first, twice := seen[key]; twice && a.Feature != "" {
			o.get("feature").fault("%s: the feature %q is computed by %s already", o.get("feature").path, a.Feature, first)
			continue
		}
		seen[key] = item.path
		if a.Feature != "" {
			a.Feature = matchFeature(s, o, a)
		}
		s.Aggregations = append(s.Aggregations, a)
	}
	for i, feature := range s.Features {
		if _, computed := seen[foldName(feature.Name)]; !computed && feature.Name != "" {
			v.fault("the feature %q (features[%d]) is computed by no entry of %s; add one or drop the feature",
				feature.Name, i, v.path)
		}
	}
}

// matchFeature finds the aggregation's feature, checks its type and gives its declared spelling.
func matchFeature(s *FeatureSetSpec, o object, a Aggregation) string {
	v := o.get("feature")
	feature, found := s.Feature(a.Feature)
	if !found {
		names := make([]string, len(s.Features))
		for i, f := range s.Features {
			names[i] = f.Name
		}
		v.fault("%s: %q is not among the features; %s", v.path, a.Feature, suggestion(a.Feature, names))
		return a.Feature
	}
	if allowed := resultTypes(a.Func); a.Func != "" && feature.Type != "" && !slices.Contains(allowed, feature.Type) {
		v.fault("%s: the feature %q has the type %s; %s gives %s", v.path, feature.Name, feature.Type, a.Func, joinTypes(allowed))
	}
	return feature.Name
}

// resultTypes are the types that a function's result fits.
func resultTypes(f AggregateFunc) []ColumnType {
	switch f {
	case Count, Sum:
		return []ColumnType{Integer, Long, Float, Double}
	case Avg:
		return []ColumnType{Float, Double}
	}
	return []ColumnType{String, Integer, Long, Float, Double, Datetime, Boolean}
}

func joinTypes(types []ColumnType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

func (v value) aggregateFunc() AggregateFunc {
	text := v.text()
	switch f := AggregateFunc(strings.ToLower(text)); f {
	case Count, Sum, Avg, Min, Max:
		return f
	}
	if isText(v) {
		v.fault("%s is %q; expected count, sum, avg, min or max", v.path, text)
	}
	return ""
}

// checkLookback gives aggregations the lookback that their windows need, and refuses a shorter one: rows at the start of
// a materialization window would get wrong values.
func checkLookback(s *FeatureSetSpec, written value) {
	longest, feature := time.Duration(0), ""
	for _, a := range s.Aggregations {
		if a.Window > longest {
			longest, feature = a.Window, a.Feature
		}
	}
	switch {
	case !written.present():
		s.SourceLookback = (longest + time.Minute - 1).Truncate(time.Minute) // what a document can say
	case s.SourceLookback < longest && !(object{value: written}).faulty(written.path):
		written.fault("source_lookback is %s, shorter than the window of the feature %q, which is %s; make it at least as "+
			"long, or leave it out", FormatDuration(s.SourceLookback), feature, FormatDuration(longest))
	}
}
