package spec

import (
	"time"

	"github.com/alvara-ml/alvara/resource"
)

var timeLayouts = []string{
	time.RFC3339,
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
	"2006-01-02 15:04",
	time.DateOnly,
}

// ParseTime reads a point in time as people and clients write it: RFC 3339, the same without an offset or with a space
// instead of T, or a date. Without an offset it is UTC. Fractions go down to microseconds, years from 1 to 9999; the
// result is in UTC. Errors are of kind Invalid with code InvalidTime.
func ParseTime(text string) (time.Time, error) {
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		t = t.UTC()
		if t.Nanosecond()%1000 != 0 {
			return time.Time{}, resource.Invalidf("InvalidTime", "the time %q is finer than microseconds", short(text))
		}
		if t.Year() < 1 || t.Year() > 9999 {
			return time.Time{}, resource.Invalidf("InvalidTime", "the time %q is outside of the years 1 to 9999", short(text))
		}
		return t, nil
	}
	return time.Time{}, resource.Invalidf("InvalidTime",
		"%q is not a point in time; expected a form such as 2020-01-01T00:00:00Z, 2020-01-01 00:00:00 (UTC) or 2020-01-01", short(text))
}
