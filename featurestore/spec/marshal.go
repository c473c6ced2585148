package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Files writes the specification as its folder's files: FeatureSetSpec.yaml in canonical form and the SQL file. Parse
// reads them back to an equal value. Durations that are no whole minutes, which no document can say, are an error; so
// are windows that are no whole seconds.
func (s *FeatureSetSpec) Files() (map[string][]byte, error) {
	document, err := s.MarshalYAML()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{FileName: document}
	if s.SQL != "" {
		files[s.SQLPath] = []byte(s.SQL)
	}
	return files, nil
}

// MarshalYAML writes FeatureSetSpec.yaml in canonical form: fields in one order, defaults left out, windows as
// {length, unit} in the largest unit that fits. The text of a transformation stays in its own file.
func (s *FeatureSetSpec) MarshalYAML() ([]byte, error) {
	w := &writer{}
	w.line(0, "source:")
	w.text(1, "type", string(s.Source.Type))
	w.text(1, "path", s.Source.URI)
	w.line(1, "timestamp_column:")
	w.text(2, "name", s.TimestampColumn.Name)
	if s.TimestampColumn.Format != "" {
		w.text(2, "format", s.TimestampColumn.Format)
	}
	if s.SourceDelay != 0 {
		w.duration(1, "source_delay", s.SourceDelay)
	}
	switch {
	case s.SQL != "":
		w.line(0, "feature_transformation:")
		w.line(1, "transformation_sql:")
		w.text(2, "path", s.SQLPath)
	case len(s.Aggregations) > 0:
		w.line(0, "feature_transformation:")
		w.line(1, "transformation_expression:")
		for _, a := range s.Aggregations {
			w.text(2, "- feature", a.Feature)
			w.text(3, "aggregation", string(a.Func))
			if a.Column != "" {
				w.text(3, "column", a.Column)
			}
			w.window(3, a.Window)
		}
	}
	w.columns("features", s.Features)
	w.columns("index_columns", s.IndexColumns)
	w.duration(0, "source_lookback", s.SourceLookback)
	if s.TemporalJoinLookback != nil {
		w.duration(0, "temporal_join_lookback", *s.TemporalJoinLookback)
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.b.Bytes(), nil
}

// writer writes block YAML; the first error stays.
type writer struct {
	b   bytes.Buffer
	err error
}

func (w *writer) line(level int, text string) {
	w.b.WriteString(strings.Repeat("  ", level))
	w.b.WriteString(text)
	w.b.WriteByte('\n')
}

func (w *writer) text(level int, key, text string) { w.line(level, key+": "+quote(text)) }

func (w *writer) columns(key string, columns []Column) {
	w.line(0, key+":")
	for _, column := range columns {
		w.text(1, "- name", column.Name)
		w.text(2, "type", string(column.Type))
		if column.Description != "" {
			w.text(2, "description", column.Description)
		}
	}
}

func (w *writer) duration(level int, key string, d time.Duration) {
	if (d < 0 || d > MaxDuration || d%time.Minute != 0) && w.err == nil {
		w.err = invalid("%s is %s; it must be whole minutes between 0 and %d days", key, d, MaxDuration/day)
	}
	w.line(level, key+":")
	days, hours, minutes := d/day, d%day/time.Hour, d%time.Hour/time.Minute
	for _, part := range []struct {
		name  string
		count time.Duration
	}{{"days", days}, {"hours", hours}, {"minutes", minutes}} {
		if part.count != 0 || d == 0 && part.name == "minutes" {
			w.line(level+1, fmt.Sprintf("%s: %d", part.name, part.count))
		}
	}
}

func (w *writer) window(level int, d time.Duration) {
	if d <= 0 || d > MaxDuration || d%time.Second != 0 {
		if w.err == nil {
			w.err = invalid("an aggregation's window is %s; it must be whole seconds, more than 0 and at most %d days", d, MaxDuration/day)
		}
		return
	}
	for _, unit := range windowUnits[1:] { // days at most: people say 7 days, not 1 week
		if d%unit.size == 0 {
			w.line(level, "window:")
			w.line(level+1, fmt.Sprintf("length: %d", d/unit.size))
			w.line(level+1, "unit: "+unit.name)
			return
		}
	}
}

var (
	plainScalar = regexp.MustCompile(`^[A-Za-z_$./][A-Za-z0-9_$./@*:+=-]*[A-Za-z0-9_/*]$`)
	notText     = []string{"true", "false", "null", "yes", "no", "on", "off", ".inf", ".nan"}
)

// quote writes text plainly where no reader can take it for anything else, and in double quotes otherwise.
func quote(text string) string {
	if plainScalar.MatchString(text) && !slices.Contains(notText, strings.ToLower(text)) {
		return text
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return `""` // cannot happen: strings always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}
