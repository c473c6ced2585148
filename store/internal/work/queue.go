// Package work runs the jobs of a store that lives in one process: it knows which job is due, how many of a kind may run,
// and when a failed one is tried again. What is kept of a job across a restart is the driver's part, through Keep.
package work

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// Item is a job that waits.
type Item struct {
	store.Job // Attempt is the number of the attempt to come
	RunAt     time.Time
}

// Keeper records how an attempt ended, before the queue acts on it.
type Keeper interface {
	Done(store.Job, error) error         // the job has succeeded, or failed for good
	Again(item Item, failed error) error // the job is tried again at item.RunAt
}

// Queue runs jobs. Its exported fields are set before the first call and not changed.
type Queue struct {
	Clock      func() time.Time
	Log        *slog.Logger
	RetryDelay func(attempt int) time.Duration
	Keep       Keeper // nil: nothing is kept

	mu      sync.Mutex
	lines   map[string]*line
	started bool
	closed  bool
	running int
	idle    chan struct{} // closed when nothing runs after closed was set
	ctx     context.Context
	cancel  context.CancelFunc
}

// line is the jobs of one kind.
type line struct {
	waiting     waiting
	run         func(context.Context, store.Job) error // nil: nobody works on this kind
	concurrency int
	running     int
	timer       *time.Timer // wakes the line for a job that is not yet due
}

func (q *Queue) line(kind string) *line {
	if q.lines == nil {
		q.lines = map[string]*line{}
	}
	l := q.lines[kind]
	if l == nil {
		l = &line{}
		q.lines[kind] = l
	}
	return l
}

// Work has the jobs of a kind run. A second call for a kind, one after Start, or a concurrency below 1 is a fault of the
// calling code and panics.
func (q *Queue) Work(kind string, concurrency int, run func(context.Context, store.Job) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(kind)
	if q.started || l.run != nil || concurrency < 1 || run == nil {
		panic(fmt.Sprintf("store: Work(%q, %d): must come before Start, once for a kind, with a concurrency of at least 1", kind, concurrency))
	}
	l.run, l.concurrency = run, concurrency
}

// Add takes jobs, which the driver has made durable.
func (q *Queue) Add(items ...Item) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range items {
		heap.Push(&q.line(item.Kind).waiting, item)
	}
	for _, item := range items {
		q.dispatch(item.Kind)
	}
}

// Start begins to run jobs, until Close.
func (q *Queue) Start(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.started || q.closed {
		return errors.New("store: Start was called twice, or after Close")
	}
	q.ctx, q.cancel = context.WithCancel(context.WithoutCancel(ctx))
	q.started = true
	for kind := range q.lines {
		q.dispatch(kind)
	}
	return nil
}

// Close takes no more jobs and waits for the running ones. When ctx ends first it cancels them, waits until they have
// returned, and leaves them to the next Start; the error is ctx's then. A second call does nothing.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	for _, l := range q.lines {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	q.idle = make(chan struct{})
	if q.running == 0 {
		close(q.idle)
	}
	cancel := q.cancel
	q.mu.Unlock()
	if cancel != nil {
		defer cancel()
	}
	select {
	case <-q.idle:
		return nil
	default:
	}
	select {
	case <-q.idle:
		return nil
	case <-ctx.Done():
		cancel()
		<-q.idle
		return ctx.Err()
	}
}

// dispatch starts what may start of a kind. The queue is locked.
func (q *Queue) dispatch(kind string) {
	l := q.line(kind)
	if !q.started || q.closed || l.run == nil {
		return
	}
	for l.running < l.concurrency && len(l.waiting) > 0 {
		if wait := l.waiting[0].RunAt.Sub(q.Clock()); wait > 0 {
			q.wake(l, kind, wait)
			return
		}
		item := heap.Pop(&l.waiting).(Item)
		l.running++
		q.running++
		go q.attempt(l, item)
	}
}

func (q *Queue) wake(l *line, kind string, wait time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.dispatch(kind)
		})
		return
	}
	l.timer.Reset(wait)
}

func (q *Queue) attempt(l *line, item Item) {
	err := q.run(l, item.Job)
	again := q.settle(&item, err)
	q.mu.Lock()
	defer q.mu.Unlock()
	if again {
		heap.Push(&l.waiting, item)
	}
	l.running--
	q.running--
	q.dispatch(item.Kind)
	if q.closed && q.running == 0 {
		close(q.idle)
	}
}

func (q *Queue) run(l *line, job store.Job) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the job panicked: %v\n%s", fault, debug.Stack())
		}
	}()
	return l.run(q.ctx, job)
}

// settle records how an attempt ended and tells whether item is to wait for another one.
func (q *Queue) settle(item *Item, err error) (again bool) {
	log := q.Log.With("job", item.ID, "kind", item.Kind, "attempt", item.Attempt)
	switch {
	case err == nil:
		log.Debug("job done")
	case q.ctx.Err() != nil:
		log.Info("job interrupted; it runs again after the next start", "error", err)
		return false // nothing is recorded: it counts as running, and the attempt is repeated
	case item.Last() || store.IsFatal(err):
		log.Error("job failed for good", "error", err)
	default:
		failed := *item
		item.RunAt = q.Clock().Add(q.RetryDelay(item.Attempt))
		item.Attempt++
		log.Warn("job failed; it is tried again", "error", err, "at", item.RunAt)
		if q.Keep != nil {
			if keepErr := q.Keep.Again(*item, err); keepErr != nil {
				log.Error("job's failure could not be recorded", "error", keepErr, "attempt", failed.Attempt)
			}
		}
		return true
	}
	if q.Keep != nil {
		if keepErr := q.Keep.Done(item.Job, err); keepErr != nil {
			log.Error("job's end could not be recorded; it runs again after the next start", "error", keepErr)
		}
	}
	return false
}

// waiting is a heap of jobs, the next one first.
type waiting []Item

func (w waiting) Len() int { return len(w) }
func (w waiting) Less(i, j int) bool {
	if !w[i].RunAt.Equal(w[j].RunAt) {
		return w[i].RunAt.Before(w[j].RunAt)
	}
	return w[i].ID < w[j].ID
}
func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)   { *w = append(*w, x.(Item)) }
func (w *waiting) Pop() any {
	old := *w
	last := len(old) - 1
	item := old[last]
	old[last] = Item{}
	*w = old[:last]
	return item
}
