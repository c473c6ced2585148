package duckdb

import (
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// patternLetters turns runs of letters, as in yyyy-MM-dd HH:mm:ss, into strptime's directives.
var patternLetters = map[string]string{
	"yyyy": "%Y", "uuuu": "%Y", "yy": "%y", "y": "%Y",
	"MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m",
	"dd": "%d", "d": "%-d", "DDD": "%j",
	"HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I",
	"mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S",
	"SSS": "%g", "SSSSSS": "%f", "SSSSSSSSS": "%n",
	"a": "%p", "EEEE": "%A", "EEE": "%a", "EE": "%a", "E": "%a",
	"XXX": "%z", "XX": "%z", "X": "%z", "xxx": "%z", "xx": "%z", "x": "%z", "Z": "%z", "ZZZ": "%z", "z": "%Z", "VV": "%Z",
}

// strptimeFormat gives DuckDB's form of a timestamp format in either notation.
func strptimeFormat(format string) (string, error) {
	if strings.Contains(format, "%") {
		return format, nil
	}
	var out strings.Builder
	for i := 0; i < len(format); {
		c := format[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(format[i+1:], '\'')
			if end < 0 {
				return "", resource.Invalidf(engine.CodeTimestamp, "timestamp_column.format: %q has a quote that is not closed.", format)
			}
			literal := format[i+1 : i+1+end]
			if literal == "" {
				literal = "'"
			}
			out.WriteString(literal)
			i += end + 2
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			end := i
			for end < len(format) && format[end] == c {
				end++
			}
			run := format[i:end]
			directive, ok := patternLetters[run]
			if !ok && run == "T" {
				directive, ok = "T", true
			}
			if !ok {
				return "", resource.Invalidf(engine.CodeTimestamp,
					"timestamp_column.format: %q in %q is not understood; use letters as in yyyy-MM-dd HH:mm:ss or strptime as in %%Y-%%m-%%d %%H:%%M:%%S.", run, format)
			}
			out.WriteString(directive)
			i = end
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), nil
}

// timeColumn gives the expression of a timestamp column as a TIMESTAMP in UTC.
func timeColumn(a actual, format, whose string) (expression string, err error) {
	quoted := name(a.name)
	switch family(a.kind) {
	case "time":
		if a.kind == "TIMESTAMP" {
			return quoted, nil
		}
		return "CAST(" + quoted + " AS TIMESTAMP)", nil
	case "null":
		return "CAST(NULL AS TIMESTAMP)", nil
	case "text":
		if format == "" {
			return "", resource.Invalidf(engine.CodeTimestamp,
				"The timestamp column %q of the %s is text. Give its format in timestamp_column.format, as in yyyy-MM-dd HH:mm:ss.", a.name, whose).At(a.name)
		}
		pattern, err := strptimeFormat(format)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("CAST(strptime(CAST(%s AS VARCHAR), %s) AS TIMESTAMP)", quoted, text(pattern)), nil
	}
	return "", resource.Invalidf(engine.CodeTimestamp, "The timestamp column %q of the %s is %s, which is no time.", a.name, whose, a.kind).At(a.name)
}

// timestamp is an instant as a literal. What is beyond DuckDB's range, year 1 to 9999 for our purposes, is cut to it.
func timestamp(t time.Time) string {
	t = t.UTC()
	if t.Year() > 9999 {
		t = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	}
	if t.Year() < 1 {
		t = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return "TIMESTAMP '" + t.Format("2006-01-02 15:04:05.999999") + "'"
}
