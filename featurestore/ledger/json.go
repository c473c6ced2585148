package ledger

import (
	"encoding/json"
	"fmt"
)

// document is the JSON form: {"intervals":[{"start":…,"end":…,"status":…,"job":…,"changed":…}]}, times in RFC 3339.
type document struct {
	Intervals []Interval `json:"intervals"`
}

// MarshalJSON writes the stored intervals; None is not among them.
func (l Ledger) MarshalJSON() ([]byte, error) {
	intervals := l.intervals
	if intervals == nil {
		intervals = []Interval{}
	}
	return json.Marshal(document{Intervals: intervals})
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses anything else: intervals out of order, overlapping, empty or of
// an unknown status.
func (l *Ledger) UnmarshalJSON(data []byte) error {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	out := make([]Interval, 0, len(d.Intervals))
	for i, interval := range d.Intervals {
		if err := check(interval.Window); err != nil {
			return fmt.Errorf("ledger: interval %d: %w", i, err)
		}
		interval.Window = utc(interval.Window)
		interval.ChangedAt = interval.ChangedAt.UTC()
		switch interval.Status {
		case Pending, Incomplete, Complete:
		default:
			return fmt.Errorf("ledger: interval %d has the status %q", i, interval.Status)
		}
		if interval.JobID == "" {
			return fmt.Errorf("ledger: interval %d has no job", i)
		}
		if n := len(out); n > 0 {
			last := &out[n-1]
			if interval.Start.Before(last.End) {
				return fmt.Errorf("ledger: interval %d starts before the one in front of it ends", i)
			}
			if interval.Start.Equal(last.End) && same(*last, interval) {
				return fmt.Errorf("ledger: interval %d is not merged with the one in front of it", i)
			}
		}
		out = append(out, interval)
	}
	if len(out) == 0 {
		out = nil
	}
	l.intervals = out
	return nil
}
