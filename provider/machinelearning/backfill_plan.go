package machinelearning

import (
	"sort"
	"time"

	"github.com/alvara-ml/alvara/featurestore/ledger"
)

// fill completes a window's missing bounds.
func fill(w *ledger.Window, span ledger.Window) *ledger.Window {
	out := span
	if w != nil && !w.Start.IsZero() {
		out.Start = w.Start
	}
	if w != nil && !w.End.IsZero() {
		out.End = w.End
	}
	return &out
}

// bootstrappable leaves, of windows to be put online from the offline store, what is Complete there or is computed there by
// the same request: what the offline store lacks must never count as put online.
func bootstrappable(windows, offlineWindows []ledger.Window, l ledgers, offline bool) ([]ledger.Window, error) {
	if !offline {
		return windows, nil
	}
	var out []ledger.Window
	for _, w := range windows {
		intervals, err := l.Offline.Intervals(&w)
		if err != nil {
			return nil, err
		}
		for _, interval := range intervals {
			if interval.Status == ledger.Complete {
				out = append(out, interval.Window)
				continue
			}
			for _, computed := range offlineWindows {
				if part, some := common(interval.Window, computed); some {
					out = append(out, part)
				}
			}
		}
	}
	return out, nil
}

// common is what two windows share.
func common(a, b ledger.Window) (ledger.Window, bool) {
	if a.Start.Before(b.Start) {
		a.Start = b.Start
	}
	if b.End.Before(a.End) {
		a.End = b.End
	}
	return a, a.Start.Before(a.End)
}

// overlay cuts two lists of windows against each other, so that each piece is wanted by one store or by both.
func overlay(offline, online []ledger.Window) []task {
	var cuts []time.Time
	for _, w := range append(append([]ledger.Window{}, offline...), online...) {
		cuts = append(cuts, w.Start, w.End)
	}
	sort.Slice(cuts, func(i, j int) bool { return cuts[i].Before(cuts[j]) })
	within := func(list []ledger.Window, from, to time.Time) (int, bool) {
		for i, w := range list {
			if !from.Before(w.Start) && !to.After(w.End) {
				return i, true
			}
		}
		return -1, false
	}
	type origin struct{ offline, online int }
	var out []task
	var last origin
	for i := 0; i+1 < len(cuts); i++ {
		from, to := cuts[i], cuts[i+1]
		if !from.Before(to) {
			continue
		}
		a, inOffline := within(offline, from, to)
		b, inOnline := within(online, from, to)
		if !inOffline && !inOnline {
			continue
		}
		here := origin{a, b}
		if n := len(out); n > 0 && out[n-1].window.End.Equal(from) && last == here {
			out[n-1].window.End = to
			continue
		}
		out, last = append(out, task{ledger.Window{Start: from, End: to}, inOffline, inOnline}), here
	}
	return out
}
