package serving_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/serving/servingtest"
	"github.com/alvara-ml/alvara/workload"
)

const key = "/deployments/blue"

// world is a machine with a controller.
type world struct {
	t       *testing.T
	machine *servingtest.Launcher
	records *servingtest.Records
	journal *servingtest.Journal
	control *serving.Controller
	mu      sync.Mutex
	refuse  error // of Order
	sick    sync.Map
}

// Order gives an order whose image is the template's.
func (w *world) Order(_ context.Context, _ string, template json.RawMessage) (workload.Order, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var image string
	err := json.Unmarshal(template, &image)
	return workload.Order{Image: image, Port: 8080}, errors.Join(err, w.refuse)
}

// program answers with its image; it is unready while its image is sick.
func (w *world) program(order workload.Order) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, sick := w.sick.Load(order.Image); sick && r.URL.Path != "/score" {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(rw, order.Image)
	})
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, records: &servingtest.Records{}, journal: &servingtest.Journal{}}
	w.machine = servingtest.NewLauncher(w.program)
	w.start()
	t.Cleanup(func() { _ = w.control.Close() })
	return w
}

// start makes another controller of the same machine and records.
func (w *world) start() {
	w.t.Helper()
	w.control = &serving.Controller{
		Launcher: w.machine, Orders: w, Records: w.records, Journal: w.journal, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		Backoff: func(int) time.Duration { return time.Millisecond }, Quick: time.Millisecond,
	}
	if err := w.control.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func revision(image string, count int) serving.Revision {
	template, _ := json.Marshal(image) // a text always marshals
	probe := serving.Probe{Path: "/", Period: 2 * time.Millisecond, Timeout: 10 * time.Second, Failures: 3, Successes: 1}
	startup := probe
	startup.Period = time.Minute
	return serving.Revision{
		ID: image, Template: template, Scale: serving.Scale{Min: count},
		Requests: serving.Requests{Path: "/score", Concurrency: 2, Wait: time.Minute, Timeout: time.Minute},
		Probes:   serving.Probes{Startup: startup, Live: probe, Ready: probe},
	}
}

func (w *world) roll(image string, count int) {
	w.t.Helper()
	if err := w.control.Roll(w.t.Context(), key, revision(image, count)); err != nil {
		w.t.Fatal(err)
	}
}

// score makes one request and gives what was answered.
func (w *world) score() (string, error) {
	lease, err := w.control.Acquire(context.Background(), key)
	if err != nil {
		return "", err
	}
	defer lease.Release()
	request, err := http.NewRequest(http.MethodPost, "http://x/score", strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	answer, err := lease.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }() // only read
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// eventually waits for what other goroutines do, however long they take.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func TestRollAndRemove(t *testing.T) {
	w := newWorld(t)
	if _, err := w.control.Acquire(t.Context(), key); resource.KindOf(err) != resource.Unavailable {
		t.Errorf("before there is anything: %v", err)
	}
	w.roll("a", 2)
	if now, ok := w.control.Status(key); !ok || now.Ready != 2 || now.Wanted != 2 || now.Revision != "a" {
		t.Errorf("status: %+v", now)
	}
	if got, err := w.score(); got != "a" || err != nil {
		t.Errorf("score: %q, %v", got, err)
	}
	text, err := w.control.Logs(t.Context(), key, 100)
	if err != nil || !strings.Contains(text, "pulled a") || strings.Count(text, "serves\n") != 2 {
		t.Errorf("logs: %s, %v", text, err)
	}
	if err := w.control.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if kept, all := w.machine.Kept(), w.machine.Running(); kept != 0 || len(all) != 0 {
		t.Errorf("%d runs are left, running %v", kept, all)
	}
	records, _ := w.records.All(t.Context())
	if _, ok := w.control.Status(key); ok || len(records) != 0 {
		t.Errorf("the deployment is still known: %+v", records)
	}
	if err := w.control.Remove(t.Context(), key); err != nil {
		t.Errorf("again: %v", err)
	}
	w.roll("b", 1) // the same key can be used again
}

// Requests go on without one being dropped while revisions are exchanged, and each gets an answer of a revision that serves.
func TestRollDropsNothing(t *testing.T) {
	w := newWorld(t)
	w.roll("r0", 2)
	stop := make(chan struct{})
	var served atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := w.score()
				if err != nil || !strings.HasPrefix(got, "r") {
					t.Errorf("a request got %q, %v", got, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for n := 1; n <= 5; n++ {
		before := served.Load()
		eventually(t, "requests between two rolls", func() bool { return served.Load() > before+20 || t.Failed() })
		w.roll(fmt.Sprintf("r%d", n), 1+n%3)
		if got, err := w.score(); got != fmt.Sprintf("r%d", n) || err != nil {
			t.Errorf("after roll %d a request got %q, %v", n, got, err)
		}
	}
	close(stop)
	group.Wait()
	eventually(t, "the old instances end", func() bool { return w.machine.Kept() == 3 })
}

// A request that began with the old revision is answered by it, however long it takes, before its instance ends.
func TestDrainWaitsForRequests(t *testing.T) {
	w := newWorld(t)
	w.roll("a", 1)
	lease, err := w.control.Acquire(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	w.roll("b", 1)
	if got := w.machine.Running(); len(got) != 2 {
		t.Errorf("running are %v", got)
	}
	request, _ := http.NewRequest(http.MethodGet, "http://x/score", nil)
	answer, err := lease.RoundTrip(request)
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("the old instance answers %v, %v", answer, err)
	}
	lease.Release()
	lease.Release()
	eventually(t, "the old instance ends", func() bool { return w.machine.Kept() == 1 })
}

// A revision that fails leaves what served before, and says why.
func TestFailedRollLeavesTheOld(t *testing.T) {
	w := newWorld(t)
	w.roll("good", 1)
	forbidden := resource.Forbiddenf("AuthorizationFailed", "pull needs AcrPull")
	for _, failure := range []struct {
		name string
		fail func()
		want string
	}{
		{"refused pull", func() {
			w.machine.SetRefuse(func(o workload.Order) error {
				if o.Image == "bad" {
					return forbidden
				}
				return nil
			})
		}, "AcrPull"},
		{"no order", func() { w.refuse = resource.Invalidf("AdminUserDisabled", "the admin user is off") }, "admin user is off"},
	} {
		t.Run(failure.name, func(t *testing.T) {
			before := len(w.machine.Launches())
			failure.fail()
			err := w.control.Roll(t.Context(), key, revision("bad", 2))
			w.machine.SetRefuse(nil)
			w.mu.Lock()
			w.refuse = nil
			w.mu.Unlock()
			if err == nil || !strings.Contains(err.Error(), failure.want) {
				t.Errorf("the roll: %v", err)
			}
			if n := len(w.machine.Launches()) - before; n > 2 {
				t.Errorf("what cannot help was tried %d times", n)
			}
			if got, err := w.score(); got != "good" || err != nil {
				t.Errorf("what served before answers %q, %v", got, err)
			}
			if now, _ := w.control.Status(key); now.Revision != "good" || now.Wanted != 1 {
				t.Errorf("status: %+v", now)
			}
		})
	}
	w.roll("bad", 1) // and what was cured serves at once
}

// A revision whose instances end before they are ready is given up after some starts, with their last lines.
func TestCrashLoop(t *testing.T) {
	w := newWorld(t)
	w.sick.Store("sick", true)
	done := make(chan error, 1)
	go func() { done <- w.control.Roll(context.Background(), key, revision("sick", 1)) }()
	var err error
	for n := 0; ; {
		select {
		case err = <-done:
		default:
			for _, id := range w.machine.Running() {
				w.machine.Crash(id)
				n++
			}
			time.Sleep(time.Millisecond)
			continue
		}
		break
	}
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "Its last lines: run serve-") || strings.Contains(err.Error(), "..") {
		t.Errorf("the roll: %v", err)
	}
	eventually(t, "nothing is left", func() bool { _, known := w.control.Status(key); return !known && w.machine.Kept() == 0 })
	if text, _ := w.control.Logs(t.Context(), key, 100); !strings.Contains(text, "failed") {
		t.Errorf("the reason is not told any more: %s", text)
	}
	records, _ := w.records.All(t.Context())
	if len(records) != 0 {
		t.Errorf("records are left: %+v", records)
	}
}

// What ends by itself is begun again under another id, and what does badly is replaced.
func TestCrashAndSickness(t *testing.T) {
	w := newWorld(t)
	w.roll("a", 1)
	first := w.machine.Running()[0]
	w.machine.Crash(first)
	eventually(t, "a new instance", func() bool {
		all := w.machine.Running()
		now, _ := w.control.Status(key)
		return len(all) == 1 && all[0] != first && now.Ready == 1
	})
	if got, err := w.score(); got != "a" || err != nil {
		t.Errorf("after a crash: %q, %v", got, err)
	}
	second := w.machine.Running()[0]
	w.sick.Store("a", true)
	eventually(t, "it is taken for dead", func() bool { all := w.machine.Running(); return len(all) == 0 || all[0] != second })
	w.sick.Delete("a")
	eventually(t, "a third instance", func() bool { now, _ := w.control.Status(key); return now.Ready == 1 })
	if text, _ := w.control.Logs(t.Context(), key, 100); !strings.Contains(text, "does not live: GET / is answered with the status 503, 3 times in a row") {
		t.Errorf("logs: %s", text)
	}
}

// A restart that is refused says why, is tried again, and goes well when it is cured (MI-14).
func TestRefusedRestart(t *testing.T) {
	w := newWorld(t)
	w.roll("a", 1)
	w.mu.Lock()
	w.refuse = resource.Invalidf("AdminUserDisabled", "the admin user is off")
	w.mu.Unlock()
	w.machine.Crash(w.machine.Running()[0])
	eventually(t, "the reason is told", func() bool {
		now, _ := w.control.Status(key)
		return now.Ready == 0 && now.Wanted == 1 && strings.Contains(now.Message, "admin user is off")
	})
	if err := w.control.Roll(t.Context(), key, revision("a", 2)); err == nil || !strings.Contains(err.Error(), "admin user is off") {
		t.Errorf("more of the same: %v", err)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	eventually(t, "it is cured", func() bool { now, _ := w.control.Status(key); return now.Ready == 1 && now.Message == "" })
}

// Scaling begins what is missing and ends what is too much, and leaves the rest alone.
func TestScale(t *testing.T) {
	w := newWorld(t)
	w.roll("a", 1)
	first := w.machine.Running()[0]
	w.roll("a", 3)
	if got := w.machine.Running(); len(got) != 3 || !strings.Contains(strings.Join(got, " "), first) {
		t.Errorf("running are %v, and %s was", got, first)
	}
	w.roll("a", 1)
	eventually(t, "two of them end", func() bool { return w.machine.Kept() == 1 })
	if got := w.machine.Running(); got[0] != first {
		t.Errorf("running is %v, and %s was", got, first)
	}
}

// A controller that is gone leaves the instances; the next one finds them, under their ids, and begins none anew.
func TestAdoption(t *testing.T) {
	w := newWorld(t)
	w.roll("a", 2)
	before, launched := fmt.Sprint(w.machine.Running()), len(w.machine.Launches())
	if err := w.control.Close(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.machine.Running()); got != before {
		t.Fatalf("after the end of the controller there are %s, and there were %s", got, before)
	}
	w.start()
	eventually(t, "both are ready", func() bool { now, _ := w.control.Status(key); return now.Ready == 2 && now.Revision == "a" })
	if got := fmt.Sprint(w.machine.Running()); got != before || len(w.machine.Launches()) != launched {
		t.Errorf("the next controller has %s, and there were %s", got, before)
	}
	if got, err := w.score(); got != "a" || err != nil {
		t.Errorf("it answers %q, %v", got, err)
	}
	// What ended while nobody looked is begun again.
	_ = w.control.Close()
	w.machine.Crash(w.machine.Running()[0])
	w.start()
	eventually(t, "two again", func() bool { now, _ := w.control.Status(key); return now.Ready == 2 && w.machine.Kept() == 2 })
}

// A roll that the end of the controller cuts off is begun again by whoever asks for it, and nothing of the first try is left.
func TestInterruptedRoll(t *testing.T) {
	w := newWorld(t)
	w.roll("a", 1)
	w.sick.Store("b", true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.control.Roll(ctx, key, revision("b", 2)) }()
	eventually(t, "both revisions run", func() bool { return len(w.machine.Running()) == 3 })
	_ = w.control.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the roll: %v", err)
	}
	w.sick.Delete("b")
	w.start()
	w.roll("b", 2)
	eventually(t, "two of the new one", func() bool { return w.machine.Kept() == 2 })
	if got, err := w.score(); got != "b" || err != nil {
		t.Errorf("it answers %q, %v", got, err)
	}
}

// A deletion that the end of the controller cuts off is finished by the next one.
func TestRemoveWhileRolling(t *testing.T) {
	w := newWorld(t)
	w.sick.Store("a", true)
	done := make(chan error, 1)
	go func() { done <- w.control.Roll(context.Background(), key, revision("a", 1)) }()
	eventually(t, "it runs", func() bool { return len(w.machine.Running()) == 1 })
	if err := w.control.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := <-done; resource.KindOf(err) != resource.Conflict {
		t.Errorf("the roll: %v", err)
	}
	if w.machine.Kept() != 0 {
		t.Error("a run is left")
	}
}

// Nothing is begun that could not be written down.
func TestNothingUnrecorded(t *testing.T) {
	w := newWorld(t)
	var failed atomic.Bool
	w.records.Fail = func(serving.Record) error {
		if failed.CompareAndSwap(false, true) {
			return errors.New("the disk is full")
		}
		return nil
	}
	w.roll("a", 1)
	if !failed.Load() || w.machine.Kept() != 1 {
		t.Errorf("%d runs", w.machine.Kept())
	}
}

// Requests wait for a place in their order; who waits too long is told that all are busy.
func TestPlaces(t *testing.T) {
	w := newWorld(t)
	next := revision("a", 1)
	next.Requests.Wait = 0
	if err := w.control.Roll(t.Context(), key, next); err != nil {
		t.Fatal(err)
	}
	var leases []*serving.Lease
	for range 2 {
		lease, err := w.control.Acquire(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, lease)
	}
	if _, err := w.control.Acquire(t.Context(), key); resource.KindOf(err) != resource.TooManyRequests {
		t.Errorf("a third one: %v", err)
	}
	next.Requests.Wait = time.Hour
	if err := w.control.Roll(t.Context(), key, next); err != nil {
		t.Fatal(err)
	}
	if len(w.machine.Launches()) != 1 {
		t.Error("another bound began another instance")
	}
	got := make(chan error, 1)
	go func() {
		lease, err := w.control.Acquire(context.Background(), key)
		if err == nil {
			lease.Release()
		}
		got <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.control.Acquire(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away: %v", err)
	}
	leases[0].Release()
	if err := <-got; err != nil {
		t.Errorf("who waited: %v", err)
	}
	leases[1].Release()
}
