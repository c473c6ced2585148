package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// driver is River's SQLite driver with notifications inside the process: the original writes them to a table, which it
// reads twenty times a second.
type driver struct {
	*riversqlite.Driver
	bell *bell
}

func newDriver(db *sql.DB) *driver {
	return &driver{riversqlite.New(db), &bell{rung: map[string]bool{}, signal: make(chan struct{}, 1)}}
}

// SupportsListenNotify keeps River from writing notifications to its table.
func (d *driver) SupportsListenNotify() bool { return false }

// GetListener gives River the bell.
func (d *driver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener { return d.bell }

// bell tells River which queues have jobs due. It is a riverdriver.Listener.
type bell struct {
	mu     sync.Mutex
	rung   map[string]bool // by queue
	quiet  bool
	timers map[*time.Timer]struct{}
	signal chan struct{}
}

// slack is by how much a timer waits longer than a job, whose time the database keeps in milliseconds.
const slack = 2 * time.Millisecond

// after calls fn when wait is over, on a goroutine of its own unless that is at once; never after silence.
func (b *bell) after(wait time.Duration, fn func()) {
	if wait <= 0 {
		fn()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.quiet {
		return
	}
	if b.timers == nil {
		b.timers = map[*time.Timer]struct{}{}
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait+slack, func() {
		b.mu.Lock()
		delete(b.timers, timer)
		quiet := b.quiet
		b.mu.Unlock()
		if !quiet {
			fn()
		}
	})
	b.timers[timer] = struct{}{}
}

// ring tells River that a queue has a job due.
func (b *bell) ring(queue string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung[queue] = true
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// silence stops the timers.
func (b *bell) silence() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quiet = true
	for timer := range b.timers {
		timer.Stop()
	}
}

// silent tells whether silence was called.
func (b *bell) silent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.quiet
}

// WaitForNotification implements riverdriver.Listener.
func (b *bell) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		b.mu.Lock()
		for queue := range b.rung {
			delete(b.rung, queue)
			b.mu.Unlock()
			return &riverdriver.Notification{Topic: "river_insert", Payload: fmt.Sprintf(`{"queue": %q}`, queue)}, nil
		}
		b.mu.Unlock()
		select {
		case <-b.signal:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// The rest of riverdriver.Listener has nothing to do inside a process.

func (b *bell) Close(context.Context) error            { return nil }
func (b *bell) Connect(context.Context) error          { return nil }
func (b *bell) Listen(context.Context, string) error   { return nil }
func (b *bell) Ping(context.Context) error             { return nil }
func (b *bell) Schema() string                         { return "" }
func (b *bell) SetAfterConnectExec(string)             {}
func (b *bell) Unlisten(context.Context, string) error { return nil }
