package ledger

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// at reads "04-02T12" as an hour of 2025.
func at(text string) time.Time {
	t, err := time.Parse("2006-01-02T15", "2025-"+text)
	if err != nil {
		panic(err)
	}
	return t
}

func window(start, end string) Window { return Window{Start: at(start), End: at(end)} }

var noon = at("06-01T12")

// build runs operations that must succeed.
func build(t *testing.T, steps ...func(Ledger) (Ledger, error)) Ledger {
	t.Helper()
	var l Ledger
	for i, step := range steps {
		var err error
		if l, err = step(l); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return l
}

func begin(start, end, job string) func(Ledger) (Ledger, error) {
	return func(l Ledger) (Ledger, error) { return l.Begin(window(start, end), job, noon) }
}

func complete(start, end, job string) func(Ledger) (Ledger, error) {
	return func(l Ledger) (Ledger, error) { return l.Complete(window(start, end), job, noon) }
}

func fail(start, end, job string) func(Ledger) (Ledger, error) {
	return func(l Ledger) (Ledger, error) { return l.Fail(window(start, end), job, noon) }
}

// documented is the worked example: five one-day intervals None, Incomplete, None, Complete, None.
func documented(t *testing.T) Ledger {
	return build(t,
		begin("04-02T04", "04-03T04", "j1"), fail("04-02T04", "04-03T04", "j1"),
		begin("04-04T04", "04-05T04", "j2"), complete("04-04T04", "04-05T04", "j2"))
}

func show(intervals []Interval) string {
	var parts []string
	for _, i := range intervals {
		parts = append(parts, i.Start.Format("01-02T15")+" "+string(i.Status))
	}
	if n := len(intervals); n > 0 {
		parts = append(parts, intervals[n-1].End.Format("01-02T15"))
	}
	return strings.Join(parts, ", ")
}

func intervals(t *testing.T, l Ledger, within *Window) string {
	t.Helper()
	got, err := l.Intervals(within)
	if err != nil {
		t.Fatal(err)
	}
	return show(got)
}

// TestWorkedExample is the example that the described system's document works through (FS-12).
func TestWorkedExample(t *testing.T) {
	l := documented(t)
	five := window("04-01T04", "04-06T04")
	if got, want := intervals(t, l, &five), "04-01T04 None, 04-02T04 Incomplete, 04-03T04 None, 04-04T04 Complete, 04-05T04 None, 04-06T04"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	asked := window("04-02T12", "04-04T12")
	got, err := l.Select(&asked, []Status{Complete, Incomplete})
	if err != nil {
		t.Fatal(err)
	}
	want := []Window{window("04-02T12", "04-03T04"), window("04-04T04", "04-04T12")}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
	for i, w := range got {
		if l, err = l.Begin(w, []string{"j3", "j4"}[i], noon); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := intervals(t, l, nil), "04-02T04 Incomplete, 04-02T12 Pending, 04-03T04 None, 04-04T04 Pending, 04-04T12 Complete, 04-05T04"; got != want {
		t.Fatalf("the intervals do not split as documented:\ngot  %s\nwant %s", got, want)
	}
}

// TestSelect shows the bounds and the statuses of a backfill (FS-12).
func TestSelect(t *testing.T) {
	l := documented(t)
	pending := build(t, func(Ledger) (Ledger, error) { return l, nil }, begin("04-03T04", "04-03T10", "j5"))
	cases := []struct {
		name     string
		ledger   Ledger
		window   *Window
		statuses []Status
		want     []Window
		err      string
	}{
		{name: "defaults", ledger: l, want: []Window{window("04-02T04", "04-03T04"), window("04-03T04", "04-04T04")}},
		{name: "no start", ledger: l, window: &Window{End: at("04-03T00")}, want: []Window{window("04-02T04", "04-03T00")}},
		{name: "no end", ledger: l, window: &Window{Start: at("04-04T00")}, statuses: []Status{Complete, None},
			want: []Window{window("04-04T00", "04-04T04"), window("04-04T04", "04-05T04")}},
		{name: "beyond what is known", ledger: l, window: &Window{at("03-01T00"), at("05-01T00")}, statuses: []Status{None},
			want: []Window{window("03-01T00", "04-02T04"), window("04-03T04", "04-04T04"), window("04-05T04", "05-01T00")}},
		{name: "pending never", ledger: pending, statuses: []Status{Pending, None}, want: []Window{window("04-03T10", "04-04T04")}},
		{name: "nothing left", ledger: l, window: &Window{at("04-04T05"), at("04-04T06")}},
		{name: "first backfill", window: &Window{at("04-01T00"), at("04-02T00")}, want: []Window{window("04-01T00", "04-02T00")}},
		{name: "first, no bounds", err: "featureWindow.featureWindowStart and featureWindow.featureWindowEnd"},
		{name: "first, no end", window: &Window{Start: at("04-01T00")}, err: "featureWindow.featureWindowStart and featureWindow.featureWindowEnd"},
		{name: "end before start", ledger: l, window: &Window{at("04-03T00"), at("04-02T00")}, err: "is not after its start"},
		{name: "end is start", ledger: l, window: &Window{at("04-03T00"), at("04-03T00")}, err: "is not after its start"},
		{name: "start after all", ledger: l, window: &Window{Start: at("05-01T00")}, err: "without featureWindow.featureWindowEnd"},
		{name: "nanoseconds", ledger: l, window: &Window{at("04-03T00").Add(1), at("05-01T00")}, err: "finer than microseconds"},
		{name: "status", ledger: l, statuses: []Status{"Done"}, err: `"Done"; expected None, Incomplete, Complete or Pending`},
		{name: "status case", ledger: l, statuses: []Status{"complete"}, err: `"complete"; expected None`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.ledger.Select(c.window, c.statuses)
			if c.err != "" {
				e, ok := resource.AsError(err)
				if !ok || e.Kind != resource.Invalid || e.Code != "UserError" || !strings.Contains(e.Message, c.err) || e.Target == "" {
					t.Fatalf("want %q, got %v", c.err, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %v, %v\nwant %v", got, err, c.want)
			}
		})
	}
}

// TestOwnership shows that a stale job's report never changes what another job owns (FS-12).
func TestOwnership(t *testing.T) {
	l := build(t, begin("04-01T00", "04-03T00", "old"))
	if _, err := l.Begin(window("04-02T00", "04-04T00"), "new", noon); resource.KindOf(err) != resource.Conflict || !strings.Contains(err.Error(), "the job old is computing") {
		t.Errorf("an overlapping job must wait: %v", err)
	}
	l = build(t, func(Ledger) (Ledger, error) { return l, nil }, fail("04-01T00", "04-03T00", "old"), begin("04-02T00", "04-04T00", "new"))
	before := intervals(t, l, nil)
	for _, w := range []Window{window("04-01T00", "04-03T00"), window("04-01T00", "04-02T00"), window("04-02T00", "04-03T00"), window("04-03T00", "04-05T00")} {
		after, err := l.Complete(w, "old", noon)
		if resource.KindOf(err) != resource.Conflict || intervals(t, after, nil) != before {
			t.Errorf("the stale job completed %s: %v", w, err)
		}
		if after, err = l.Fail(w, "old", noon); err != nil || intervals(t, after, nil) != before {
			t.Errorf("the stale job failed %s: %v", w, err)
		}
	}
	if _, err := l.Complete(window("04-02T00", "04-05T00"), "new", noon); resource.KindOf(err) != resource.Conflict {
		t.Errorf("a job completed more than it began: %v", err)
	}
	l = build(t, func(Ledger) (Ledger, error) { return l, nil }, complete("04-02T00", "04-03T00", "new"))
	if got, want := intervals(t, l, nil), "04-01T00 Incomplete, 04-02T00 Complete, 04-03T00 Pending, 04-04T00"; got != want {
		t.Errorf("got %s", got)
	}
	repeated := build(t, func(Ledger) (Ledger, error) { return l, nil }, complete("04-02T00", "04-04T00", "new"), complete("04-02T00", "04-04T00", "new"))
	if got, want := intervals(t, repeated, nil), "04-01T00 Incomplete, 04-02T00 Complete, 04-04T00"; got != want {
		t.Errorf("a repeated report: got %s", got)
	}
	if got := l.PendingOf("new"); !reflect.DeepEqual(got, []Window{window("04-03T00", "04-04T00")}) {
		t.Errorf("pending of new is %v", got)
	}
	if _, err := l.Begin(window("04-01T00", "04-02T00"), "", noon); err == nil {
		t.Error("a change without a job")
	}
	if _, err := l.Complete(Window{}, "new", noon); err == nil {
		t.Error("a change without a window")
	}
}

// TestByJob shows what may be resubmitted by job id (FS-12).
func TestByJob(t *testing.T) {
	l := documented(t)
	got, err := l.ByJob(window("04-02T04", "04-03T04"), "j1")
	if err != nil || !reflect.DeepEqual(got, []Window{window("04-02T04", "04-03T04")}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, w := range []Window{window("04-02T04", "04-03T05"), window("04-04T04", "04-05T04"), window("04-01T04", "04-03T04")} {
		_, err := l.ByJob(w, "j1")
		if e, ok := resource.AsError(err); !ok || e.Code != "UserError" || !strings.Contains(e.Message, "j1 cannot be resubmitted") {
			t.Errorf("%s: %v", w, err)
		}
	}
	l = build(t, func(Ledger) (Ledger, error) { return l, nil }, begin("04-02T10", "04-02T11", "j9"))
	if _, err := l.ByJob(window("04-02T04", "04-03T04"), "j1"); err == nil || !strings.Contains(err.Error(), "is Pending") {
		t.Errorf("another job is at work in the window: %v", err)
	}
}

func TestRecurrentWindow(t *testing.T) {
	got := RecurrentWindow(at("04-02T12").Add(123), 20*time.Minute, 3*time.Hour)
	if want := (Window{at("04-02T08").Add(40 * time.Minute), at("04-02T11").Add(40 * time.Minute)}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBootstrapOnline(t *testing.T) {
	offline := build(t, begin("04-01T00", "04-05T00", "a"), complete("04-01T00", "04-05T00", "a"),
		begin("04-05T00", "04-06T00", "b"), complete("04-05T00", "04-06T00", "b"), begin("04-06T00", "04-07T00", "c"),
		begin("04-08T00", "04-09T00", "d"), complete("04-08T00", "04-09T00", "d"))
	online := build(t, begin("04-02T00", "04-03T00", "x"), complete("04-02T00", "04-03T00", "x"),
		begin("04-03T00", "04-03T12", "y"), fail("04-03T00", "04-03T12", "y"), begin("04-08T00", "04-08T12", "z"))
	got, err := BootstrapOnline(offline, online, nil)
	want := []Window{window("04-01T00", "04-02T00"), window("04-03T00", "04-06T00"), window("04-08T12", "04-09T00")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
	part := window("04-01T12", "04-03T12")
	if got, err = BootstrapOnline(offline, online, &part); err != nil || len(got) != 2 || got[1] != window("04-03T00", "04-03T12") {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = BootstrapOnline(Ledger{}, online, nil); err != nil || got != nil {
		t.Errorf("nothing offline: %v, %v", got, err)
	}
}

func TestJSON(t *testing.T) {
	l := documented(t)
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"intervals":[` +
		`{"start":"2025-04-02T04:00:00Z","end":"2025-04-03T04:00:00Z","status":"Incomplete","job":"j1","changed":"2025-06-01T12:00:00Z"},` +
		`{"start":"2025-04-04T04:00:00Z","end":"2025-04-05T04:00:00Z","status":"Complete","job":"j2","changed":"2025-06-01T12:00:00Z"}]}`
	if string(data) != want {
		t.Errorf("got %s", data)
	}
	if empty, _ := json.Marshal(Ledger{}); string(empty) != `{"intervals":[]}` {
		t.Errorf("the empty ledger is %s", empty)
	}
	for name, bad := range map[string][2]string{
		"status":  {`"Incomplete"`, `"None"`},
		"overlap": {`"end":"2025-04-03T04`, `"end":"2025-04-04T05`},
		"order":   {"2025-04-04T04", "2025-04-01T04"},
		"empty":   {"2025-04-03T04", "2025-04-02T04"},
		"job":     {`"j1"`, `""`},
	} {
		var back Ledger
		if err := json.Unmarshal([]byte(strings.Replace(want, bad[0], bad[1], 1)), &back); err == nil {
			t.Errorf("%s was accepted", name)
		} else if !back.IsEmpty() {
			t.Errorf("%s changed the value", name)
		}
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal([]byte("{"), new(Ledger)); !errors.As(err, &syntax) {
		t.Errorf("got %v", err)
	}
}
