// Package ledger keeps the data intervals of one feature set version in one store, offline or online: which spans of
// event time hold data, which are being computed, and which were left incomplete. It is pure: a Ledger is a value, an
// operation gives a new one. Where it is stored, and that two writers do not overwrite each other, is the caller's part.
//
// A caller that materializes does, in this order: Select, one job per window; Begin and store the ledger before the job
// starts; commit the data; Complete and store. A crash leaves the window Pending, never Complete; who finds the job dead
// calls Fail.
package ledger

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Status is the state of the data of an interval.
type Status string

// The states. None is never stored: what no interval covers is None.
const (
	None       Status = "None"
	Pending    Status = "Pending"    // a job is computing it
	Incomplete Status = "Incomplete" // a job failed or was cancelled; what is there is not to be relied upon
	Complete   Status = "Complete"   // the data is there
)

// ParseStatus reads a status in any case.
func ParseStatus(text string) (Status, error) {
	for _, s := range []Status{None, Pending, Incomplete, Complete} {
		if strings.EqualFold(text, string(s)) {
			return s, nil
		}
	}
	return "", unknownStatus(text)
}

func unknownStatus(text string) error {
	return resource.Invalidf(codeUserError, "the data status is %q; expected None, Incomplete, Complete or Pending", text).
		At("dataAvailabilityStatus")
}

// Window is a half-open span of event time, [Start, End).
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// String writes [start, end) in UTC.
func (w Window) String() string {
	return "[" + w.Start.UTC().Format(time.RFC3339Nano) + ", " + w.End.UTC().Format(time.RFC3339Nano) + ")"
}

// Duration is the window's length.
func (w Window) Duration() time.Duration { return w.End.Sub(w.Start) }

// Interval is a window with its state.
type Interval struct {
	Window
	Status Status `json:"status"`
	// JobID is the job that brought the interval into its state; "" for None, and where several jobs did.
	JobID string `json:"job,omitempty"`
	// ChangedAt is when it came into its state, of several times the latest; zero for None.
	ChangedAt time.Time `json:"changed,omitzero"`
}

// Ledger is the sequence of intervals. The zero value is empty. It is immutable and may be copied and shared.
type Ledger struct {
	intervals []Interval // sorted, apart, never None; neighbours differ in status or job
}

// Codes of this package's errors.
const (
	codeUserError = "UserError"
	codeConflict  = "Conflict"
)

// check refuses windows that are not windows. The field names are those of the request.
func check(w Window) error {
	switch {
	case w.Start.IsZero() || w.End.IsZero():
		return resource.Invalidf(codeUserError, "the feature window needs a start and an end").At("featureWindow")
	case !w.Start.Before(w.End):
		return resource.Invalidf(codeUserError, "the feature window's end %s is not after its start %s; give an end after the start",
			w.End.UTC().Format(time.RFC3339Nano), w.Start.UTC().Format(time.RFC3339Nano)).At("featureWindow.featureWindowEnd")
	case w.Start.Nanosecond()%1000 != 0 || w.End.Nanosecond()%1000 != 0:
		return resource.Invalidf(codeUserError, "the feature window %s is finer than microseconds", w).At("featureWindow")
	case w.Start.UTC().Year() < 1 || w.End.UTC().Year() > 9999:
		return resource.Invalidf(codeUserError, "the feature window is outside of the years 1 to 9999").At("featureWindow")
	}
	return nil
}

// IsEmpty tells whether nothing was ever materialized or tried.
func (l Ledger) IsEmpty() bool { return len(l.intervals) == 0 }

// Span is from the first to the last interval that is not None; false when there is none.
func (l Ledger) Span() (Window, bool) {
	if l.IsEmpty() {
		return Window{}, false
	}
	return Window{Start: l.intervals[0].Start, End: l.intervals[len(l.intervals)-1].End}, true
}

// overlapping gives the stored intervals that touch the window, not clipped. The result is shared.
func (l Ledger) overlapping(w Window) []Interval {
	from := sort.Search(len(l.intervals), func(i int) bool { return l.intervals[i].End.After(w.Start) })
	to := from + sort.Search(len(l.intervals)-from, func(i int) bool { return !l.intervals[from+i].Start.Before(w.End) })
	return l.intervals[from:to]
}

// Records gives the intervals of a range as they were recorded, clipped to it, with None where nothing is recorded;
// neighbours of one status stay apart when different jobs brought them there. A nil range is Span.
func (l Ledger) Records(within *Window) ([]Interval, error) {
	w, ok, err := l.resolve(within)
	if err != nil || !ok {
		return nil, err
	}
	var out []Interval
	at := w.Start
	for _, interval := range l.overlapping(w) {
		interval = clip(interval, w)
		if at.Before(interval.Start) {
			out = append(out, Interval{Window: Window{at, interval.Start}, Status: None})
		}
		out = append(out, interval)
		at = interval.End
	}
	if at.Before(w.End) {
		out = append(out, Interval{Window: Window{at, w.End}, Status: None})
	}
	return out, nil
}

// Intervals gives the data intervals of a range, clipped to it: None gaps included, neighbours of one status merged. A
// nil range is Span.
func (l Ledger) Intervals(within *Window) ([]Interval, error) {
	records, err := l.Records(within)
	if err != nil {
		return nil, err
	}
	var out []Interval
	for _, r := range records {
		if n := len(out); n > 0 && out[n-1].Status == r.Status {
			last := &out[n-1]
			last.End = r.End
			if last.JobID != r.JobID {
				last.JobID = ""
			}
			if r.ChangedAt.After(last.ChangedAt) {
				last.ChangedAt = r.ChangedAt
			}
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

// Is tells whether the whole window has the status.
func (l Ledger) Is(w Window, status Status) bool {
	intervals, err := l.Intervals(&w)
	return err == nil && len(intervals) == 1 && intervals[0].Status == status
}

// PendingOf gives the windows that the job is computing, merged.
func (l Ledger) PendingOf(jobID string) []Window {
	var out []Window
	for _, interval := range l.intervals {
		if interval.Status == Pending && interval.JobID == jobID {
			out = appendWindow(out, interval.Window)
		}
	}
	return out
}

func appendWindow(out []Window, w Window) []Window {
	if n := len(out); n > 0 && out[n-1].End.Equal(w.Start) {
		out[n-1].End = w.End
		return out
	}
	return append(out, w)
}

func clip(interval Interval, w Window) Interval {
	if interval.Start.Before(w.Start) {
		interval.Start = w.Start
	}
	if w.End.Before(interval.End) {
		interval.End = w.End
	}
	return interval
}

// resolve fills a nil range with the span; false when there is nothing.
func (l Ledger) resolve(within *Window) (Window, bool, error) {
	if within == nil {
		w, ok := l.Span()
		return w, ok, nil
	}
	return utc(*within), true, check(*within)
}

func utc(w Window) Window { return Window{Start: w.Start.UTC(), End: w.End.UTC()} }

// put replaces the window by pieces, which cover no more than the window.
func (l Ledger) put(w Window, pieces []Interval) Ledger {
	touched := l.overlapping(w)
	from := sort.Search(len(l.intervals), func(i int) bool { return l.intervals[i].End.After(w.Start) })
	out := make([]Interval, 0, len(l.intervals)+len(pieces)+2)
	out = append(out, l.intervals[:from]...)
	add := func(interval Interval) {
		if n := len(out); n > 0 && out[n-1].End.Equal(interval.Start) && same(out[n-1], interval) {
			out[n-1].End = interval.End
			if interval.ChangedAt.After(out[n-1].ChangedAt) {
				out[n-1].ChangedAt = interval.ChangedAt
			}
			return
		}
		out = append(out, interval)
	}
	if len(touched) > 0 && touched[0].Start.Before(w.Start) {
		add(clip(touched[0], Window{touched[0].Start, w.Start}))
	}
	for _, piece := range pieces {
		add(piece)
	}
	if last := len(touched) - 1; last >= 0 && w.End.Before(touched[last].End) {
		add(clip(touched[last], Window{w.End, touched[last].End}))
	}
	if rest := l.intervals[from+len(touched):]; len(rest) > 0 {
		add(rest[0])
		out = append(out, rest[1:]...)
	}
	return Ledger{intervals: slices.Clip(out)}
}

func same(a, b Interval) bool {
	return a.Status == b.Status && a.JobID == b.JobID
}
