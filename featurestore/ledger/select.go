package ledger

import (
	"slices"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Select gives the windows of a backfill, one job each: every data interval with one of the statuses, cut to the window,
// in order of time. Neighbours of different statuses make windows of their own.
//
// A nil window, or a zero Start or End in it, stands for the start of the first or the end of the last interval that is
// not None; while there is none, both must be given. Without statuses, None and Incomplete are selected. Pending is
// accepted and never selects: a job is at work there already. An empty result means that nothing is left to do.
// Errors are of kind Invalid with code UserError.
func (l Ledger) Select(window *Window, statuses []Status) ([]Window, error) {
	w, err := l.bounds(window)
	if err != nil {
		return nil, err
	}
	if len(statuses) == 0 {
		statuses = []Status{None, Incomplete}
	}
	for _, s := range statuses {
		if s != None && s != Pending && s != Incomplete && s != Complete {
			return nil, unknownStatus(string(s))
		}
	}
	intervals, err := l.Intervals(&w)
	if err != nil {
		return nil, err
	}
	var out []Window
	for _, interval := range intervals {
		if interval.Status != Pending && slices.Contains(statuses, interval.Status) {
			out = append(out, interval.Window)
		}
	}
	return out, nil
}

func (l Ledger) bounds(window *Window) (Window, error) {
	var w Window
	if window != nil {
		w = *window
	}
	if span, ok := l.Span(); ok {
		missing := ""
		if w.Start.IsZero() {
			w.Start, missing = span.Start, "featureWindow.featureWindowStart"
		}
		if w.End.IsZero() {
			w.End, missing = span.End, "featureWindow.featureWindowEnd"
		}
		if missing != "" && !w.Start.Before(w.End) {
			return w, resource.Invalidf(codeUserError, "the feature window %s is empty: without %s it ends where the known data "+
				"intervals do, which span %s; give both bounds", w, missing, span).At(missing)
		}
	} else if w.Start.IsZero() || w.End.IsZero() {
		return w, resource.Invalidf(codeUserError, "nothing has been materialized yet, so the first backfill needs both "+
			"featureWindow.featureWindowStart and featureWindow.featureWindowEnd").At("featureWindow")
	}
	return utc(w), check(w)
}

// ByJob gives the window of a failed or cancelled job for another attempt. The whole of it must be Incomplete; otherwise
// the error has kind Invalid and code UserError, and says what is there.
func (l Ledger) ByJob(w Window, jobID string) ([]Window, error) {
	if err := check(w); err != nil {
		return nil, err
	}
	w = utc(w)
	intervals, err := l.Intervals(&w)
	if err != nil {
		return nil, err
	}
	for _, interval := range intervals {
		if interval.Status != Incomplete {
			return nil, resource.Invalidf(codeUserError, "the job %s cannot be resubmitted: %s of its window %s is %s, and only a "+
				"window that is Incomplete as a whole can; start a backfill by window and data status instead",
				jobID, interval.Window, w, interval.Status).At("jobId")
		}
	}
	return []Window{w}, nil
}

// RecurrentWindow is what a trigger at t covers: [t − delay − interval, t − delay), for data that arrives up to delay
// late. It is cut to microseconds.
func RecurrentWindow(t time.Time, delay, interval time.Duration) Window {
	end := t.UTC().Truncate(time.Microsecond).Add(-delay)
	return Window{Start: end.Add(-interval), End: end}
}

// BootstrapOnline gives the windows that can be copied from the offline store to the online one: Complete offline, and
// neither Complete nor Pending online. A nil range is everything.
func BootstrapOnline(offline, online Ledger, within *Window) ([]Window, error) {
	w, ok, err := offline.resolve(within)
	if err != nil || !ok {
		return nil, err
	}
	sources, err := offline.Intervals(&w)
	if err != nil {
		return nil, err
	}
	var out []Window
	for _, source := range sources {
		if source.Status != Complete {
			continue
		}
		targets, err := online.Intervals(&source.Window)
		if err != nil {
			return nil, err
		}
		for _, target := range targets {
			if target.Status != Complete && target.Status != Pending {
				out = appendWindow(out, target.Window)
			}
		}
	}
	return out, nil
}
