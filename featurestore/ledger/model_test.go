package ledger

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/resource"
)

// model is the ledger said naively: one cell per minute, every question answered by walking over all of them.
type model struct {
	status [minutes]Status
	job    [minutes]string
}

const minutes = 60

var origin = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func span(from, to int) Window {
	return Window{origin.Add(time.Duration(from) * time.Minute), origin.Add(time.Duration(to) * time.Minute)}
}

func newModel() *model {
	m := &model{}
	for i := range m.status {
		m.status[i] = None
	}
	return m
}

func (m *model) begin(from, to int, job string) bool {
	for i := from; i < to; i++ {
		if m.status[i] == Pending && m.job[i] != job {
			return false
		}
	}
	for i := from; i < to; i++ {
		m.status[i], m.job[i] = Pending, job
	}
	return true
}

func (m *model) complete(from, to int, job string) bool {
	for i := from; i < to; i++ {
		if m.job[i] != job || m.status[i] == Incomplete {
			return false
		}
	}
	for i := from; i < to; i++ {
		m.status[i] = Complete
	}
	return true
}

func (m *model) fail(from, to int, job string) {
	for i := from; i < to; i++ {
		if m.status[i] == Pending && m.job[i] == job {
			m.status[i] = Incomplete
		}
	}
}

// runs gives the windows of equal status in [from, to) for which keep holds.
func (m *model) runs(from, to int, keep func(Status) bool) []Window {
	var out []Window
	for i := from; i < to; {
		j := i
		for j < to && m.status[j] == m.status[i] {
			j++
		}
		if keep(m.status[i]) {
			out = append(out, span(i, j))
		}
		i = j
	}
	return out
}

func (m *model) known() (int, int) {
	first, last := -1, -1
	for i := range m.status {
		if m.status[i] != None {
			if first < 0 {
				first = i
			}
			last = i + 1
		}
	}
	return first, last
}

// TestAgainstModel runs random operations on both and compares everything after each (FS-12).
func TestAgainstModel(t *testing.T) {
	jobs := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		m, l := newModel(), Ledger{}
		written := map[string][minutes]bool{} // what each job says it wrote: the truth that Complete may never exceed
		bounds := func() (int, int) {
			from := rapid.IntRange(0, minutes-1).Draw(t, "from")
			return from, rapid.IntRange(from+1, minutes).Draw(t, "to")
		}
		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			from, to := bounds()
			job, when := jobs.Draw(t, "job"), noon.Add(time.Duration(step)*time.Second)
			before, _ := json.Marshal(l)
			next, err, want := l, error(nil), true
			switch rapid.IntRange(0, 3).Draw(t, "operation") {
			case 0:
				next, err = l.Begin(span(from, to), job, when)
				want = m.begin(from, to, job)
			case 1:
				next, err = l.Complete(span(from, to), job, when)
				if want = m.complete(from, to, job); want {
					write(written, job, from, to)
				}
			case 2:
				next, err = l.Fail(span(from, to), job, when)
				m.fail(from, to, job)
			case 3: // what a job would really do: all that it has pending
				for _, w := range l.PendingOf(job) {
					start, end := int(w.Start.Sub(origin)/time.Minute), int(w.End.Sub(origin)/time.Minute)
					if next, err = next.Complete(w, job, when); err != nil || !m.complete(start, end, job) {
						t.Fatalf("the job %s cannot complete its own window: %v", job, err)
					}
					write(written, job, start, end)
				}
			}
			if (err == nil) != want || err != nil && resource.KindOf(err) != resource.Conflict {
				t.Fatalf("step %d: the ledger says %v, the model %v", step, err, want)
			}
			if after, _ := json.Marshal(l); string(after) != string(before) {
				t.Fatalf("step %d changed the value that it started from", step)
			}
			l = next
			compare(t, m, l)
			for i := range m.status {
				if l.Is(span(i, i+1), Complete) && !written[m.job[i]][i] {
					t.Fatalf("minute %d is Complete, and the job %q never wrote it", i, m.job[i])
				}
			}
		}
		from, to := bounds()
		compareQuestions(t, m, l, from, to)
	})
}

func write(written map[string][minutes]bool, job string, from, to int) {
	done := written[job]
	for i := from; i < to; i++ {
		done[i] = true
	}
	written[job] = done
}

// compare checks the intervals, the invariants of the stored form and the JSON form.
func compare(t *rapid.T, m *model, l Ledger) {
	whole := span(0, minutes)
	got, err := l.Intervals(&whole)
	if err != nil {
		t.Fatal(err)
	}
	var windows []Window
	for i, interval := range got {
		windows = append(windows, interval.Window)
		if i > 0 && got[i-1].Status == interval.Status {
			t.Fatalf("neighbours are not merged: %v", got)
		}
		for at := interval.Start; at.Before(interval.End); at = at.Add(time.Minute) {
			if minute := int(at.Sub(origin) / time.Minute); m.status[minute] != interval.Status {
				t.Fatalf("minute %d is %s, the model says %s", minute, interval.Status, m.status[minute])
			}
		}
	}
	if want := m.runs(0, minutes, func(Status) bool { return true }); !reflect.DeepEqual(windows, want) {
		t.Fatalf("got  %v\nwant %v", windows, want)
	}
	for i, interval := range l.intervals {
		minute := int(interval.Start.Sub(origin) / time.Minute)
		switch {
		case interval.Status == None || interval.JobID != m.job[minute]:
			t.Fatalf("interval %d is %+v, the model's job is %s", i, interval, m.job[minute])
		case i > 0 && interval.Start.Before(l.intervals[i-1].End):
			t.Fatalf("interval %d overlaps the one in front", i)
		case i > 0 && interval.Start.Equal(l.intervals[i-1].End) && same(interval, l.intervals[i-1]):
			t.Fatalf("interval %d is not merged", i)
		}
	}
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var back Ledger
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, l) {
		t.Fatalf("JSON: %v\n%s", err, data)
	}
}

func compareQuestions(t *rapid.T, m *model, l Ledger, from, to int) {
	statuses := rapid.SliceOfN(rapid.SampledFrom([]Status{None, Pending, Incomplete, Complete}), 1, 4).Draw(t, "statuses")
	asked := span(from, to)
	if first, last := m.known(); first >= 0 && rapid.Bool().Draw(t, "open start") && first < to {
		asked.Start, from = time.Time{}, first
		if rapid.Bool().Draw(t, "open end") {
			asked.End, to = time.Time{}, last
		}
	}
	got, err := l.Select(&asked, statuses)
	want := m.runs(from, to, func(s Status) bool {
		for _, status := range statuses {
			if status == s {
				return s != Pending
			}
		}
		return false
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Select(%v, %v):\ngot  %v, %v\nwant %v", asked, statuses, got, err, want)
	}
	w := span(from, to)
	whole := m.runs(from, to, func(Status) bool { return true })
	_, err = l.ByJob(w, "a")
	if want := len(whole) == 1 && m.status[from] == Incomplete; (err == nil) != want {
		t.Fatalf("ByJob(%s): %v, the model says %v", w, err, want)
	}
	for _, s := range []Status{None, Pending, Incomplete, Complete} {
		if got, want := l.Is(w, s), len(whole) == 1 && m.status[from] == s; got != want {
			t.Fatalf("Is(%s, %s) is %v", w, s, got)
		}
	}
}

// long is a ledger of n one-hour intervals that do not merge: alternating jobs, every fifth incomplete.
func long(tb testing.TB, n int) Ledger {
	l := Ledger{intervals: make([]Interval, n)}
	for i := range n {
		status := Complete
		if i%5 == 4 {
			status = Incomplete
		}
		start := origin.Add(time.Duration(i) * time.Hour)
		l.intervals[i] = Interval{Window: Window{start, start.Add(time.Hour)}, Status: status, JobID: fmt.Sprint("job", i), ChangedAt: noon}
	}
	return l
}

// TestLong shows that a ledger of 50,000 intervals, 25 times what the original allows, works (FS-12).
func TestLong(t *testing.T) {
	l := long(t, 50000)
	w := Window{origin.Add(20000*time.Hour + 30*time.Minute), origin.Add(20010 * time.Hour)}
	next, err := l.Begin(w, "new", noon)
	if err != nil {
		t.Fatal(err)
	}
	if next, err = next.Complete(w, "new", noon); err != nil || !next.Is(w, Complete) || len(next.intervals) != 50000-9+1 {
		t.Fatalf("%v, %d intervals", err, len(next.intervals))
	}
	selected, err := next.Select(nil, []Status{Incomplete})
	if err != nil || len(selected) != 10000-2 {
		t.Errorf("%v, %d windows", err, len(selected))
	}
	data, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	var back Ledger
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, next) {
		t.Errorf("JSON: %v", err)
	}
}

func BenchmarkLedger(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		l := long(b, n)
		w := Window{origin.Add(time.Duration(n/2) * time.Hour), origin.Add(time.Duration(n/2+3) * time.Hour)}
		b.Run(fmt.Sprintf("Begin/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := l.Begin(w, "new", noon); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Select/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := l.Select(&w, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
