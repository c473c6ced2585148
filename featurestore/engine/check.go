package engine

import (
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// CheckFormat refuses what is no format of input files.
func CheckFormat(field, format string) error {
	switch format {
	case Parquet, CSV, JSON:
		return nil
	}
	return resource.Invalidf(CodeRequest, "%s: %q is not a format; use parquet, csv or json.", field, format).At(field)
}

// CheckTransform finds what is wrong with a request before any file is opened.
func CheckTransform(t Transform) error {
	if err := CheckFormat("format", t.Format); err != nil {
		return err
	}
	if !t.Start.Before(t.End) {
		return resource.Invalidf(CodeRequest, "The feature window must end after it starts: [%s, %s) is empty.",
			t.Start.UTC().Format(time.RFC3339Nano), t.End.UTC().Format(time.RFC3339Nano))
	}
	if !t.SourceStart.IsZero() && t.SourceStart.After(t.Start) {
		return resource.Invalidf(CodeRequest, "sourceStart must not be after the start of the feature window.")
	}
	if t.TimestampColumn == "" {
		return resource.Invalidf(CodeTimestamp, "A timestamp column is needed.")
	}
	if len(t.Index) == 0 {
		return resource.Invalidf(CodeRequest, "At least one index column is needed.")
	}
	if t.SQL != "" && len(t.Aggregations) > 0 {
		return resource.Invalidf(CodeRequest, "A feature set is computed by SQL or by aggregations, not by both.")
	}
	columns := append(append(append([]Column(nil), t.Index...), Column{t.TimestampColumn, Datetime}), t.Features...)
	seen := map[string]bool{}
	for _, c := range columns {
		if !c.Type.valid() {
			return resource.Invalidf(CodeRequest, "Column %q: %q is not a type; use string, integer, long, float, double, binary, datetime or boolean.", c.Name, c.Type)
		}
		if folded := strings.ToLower(c.Name); c.Name == "" || seen[folded] {
			return resource.Invalidf(CodeName, "Column %q is declared twice or has no name; index columns, timestamp and features need names that differ by more than case.", c.Name)
		} else {
			seen[folded] = true
		}
	}
	return checkAggregations(t)
}

func checkAggregations(t Transform) error {
	if len(t.Aggregations) == 0 {
		return nil
	}
	declared := map[string]bool{}
	for _, f := range t.Features {
		declared[f.Name] = true
	}
	made := map[string]bool{}
	for _, a := range t.Aggregations {
		switch a.Func {
		case "count":
		case "sum", "avg", "min", "max":
			if a.Column == "" {
				return resource.Invalidf(CodeRequest, "Aggregation %q: %s needs a column.", a.Feature, a.Func)
			}
		default:
			return resource.Invalidf(CodeRequest, "Aggregation %q: %q is not an aggregation; use count, sum, avg, min or max.", a.Feature, a.Func)
		}
		if a.Window <= 0 {
			return resource.Invalidf(CodeRequest, "Aggregation %q: the window must be longer than zero.", a.Feature)
		}
		if !declared[a.Feature] {
			return resource.Invalidf(CodeRequest, "Aggregation %q makes a feature that the specification does not declare.", a.Feature)
		}
		if made[a.Feature] {
			return resource.Invalidf(CodeName, "Feature %q is made by two aggregations.", a.Feature)
		}
		made[a.Feature] = true
	}
	for _, f := range t.Features {
		if !made[f.Name] {
			return resource.Invalidf(CodeColumn, "Feature %q is declared, and no aggregation makes it.", f.Name)
		}
	}
	return nil
}

// CheckJoin finds what is wrong with a request before any file is opened, two features of one name among it. Features that
// collide with an observation's column are found when the observations are opened.
func CheckJoin(j Join) error {
	if err := CheckFormat("observationFormat", j.ObservationFormat); err != nil {
		return err
	}
	switch j.OutputFormat {
	case Parquet, CSV, Arrow:
	default:
		return resource.Invalidf(CodeRequest, "outputFormat: %q is not an output format; use parquet, csv or arrow.", j.OutputFormat).At("outputFormat")
	}
	if len(j.Observations) == 0 {
		return resource.Invalidf(CodeSource, "There are no observation files. A file without rows is allowed, no file is not.")
	}
	if j.TimestampColumn == "" {
		return resource.Invalidf(CodeTimestamp, "The name of the observations' timestamp column is needed.")
	}
	from := map[string]string{}
	for _, set := range j.Sets {
		label := set.Label()
		if len(set.Index) == 0 || set.TimestampColumn == "" {
			return resource.Invalidf(CodeRequest, "Feature set %s: index columns and a timestamp column are needed.", label)
		}
		if set.Delay < 0 || (set.Lookback != nil && *set.Lookback < 0) {
			return resource.Invalidf(CodeRequest, "Feature set %s: source delay and temporal join lookback must not be negative.", label)
		}
		for _, c := range append(append([]Column(nil), set.Index...), append(set.Order, set.Features...)...) {
			if !c.Type.valid() {
				return resource.Invalidf(CodeRequest, "Feature set %s, column %q: %q is not a type.", label, c.Name, c.Type)
			}
		}
		for _, f := range set.Features {
			name := set.Prefix + f.Name
			if other, taken := from[strings.ToLower(name)]; taken {
				return resource.Invalidf(CodeName, "Two features are called %q: one of %s and one of %s. Ask for both sets with a prefix.", name, other, label)
			}
			from[strings.ToLower(name)] = label
		}
	}
	return nil
}

// Label names a set in messages.
func (s JoinSet) Label() string {
	if s.Version == "" {
		return s.Name
	}
	return s.Name + ":" + s.Version
}

func (t ColumnType) valid() bool {
	switch t {
	case String, Integer, Long, Float, Double, Binary, Datetime, Boolean:
		return true
	}
	return false
}
