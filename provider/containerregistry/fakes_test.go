package containerregistry_test

import (
	"context"
	"sync"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image"
)

type auditLog struct{}

func (auditLog) Record(context.Context, audit.Record) error { return nil }

// fakeLog is the log of a run in memory.
type fakeLog struct {
	w       *world
	lines   []string
	outcome string
}

func (l *fakeLog) Write(line string) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *fakeLog) Complete(outcome string) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.outcome = outcome
	return nil
}

func (l *fakeLog) Close() error { return nil }

// fakeBuilder builds nothing.
type fakeBuilder struct {
	mu     sync.Mutex
	orders []image.Order
	who    []identity.Run
	// do is what building does; nil succeeds and pushes everything.
	do func(ctx context.Context, order image.Order, log func(string)) (image.Result, error)
}

const digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func (b *fakeBuilder) Build(ctx context.Context, order image.Order, who identity.Run, log func(string)) (image.Result, error) {
	b.mu.Lock()
	b.orders, b.who = append(b.orders, order), append(b.who, who)
	do := b.do
	b.mu.Unlock()
	if do != nil {
		return do(ctx, order, log)
	}
	return pushed(order), nil
}

func pushed(order image.Order) image.Result {
	result := image.Result{Digest: digest}
	if order.Push {
		result.Pushed = order.Images
	}
	return result
}

func (b *fakeBuilder) set(do func(ctx context.Context, order image.Order, log func(string)) (image.Result, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.do = do
}

// hold makes building wait for its own end; the channel says that it has begun.
func (b *fakeBuilder) hold() chan struct{} {
	begun := make(chan struct{}, 10)
	b.set(func(ctx context.Context, _ image.Order, _ func(string)) (image.Result, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return image.Result{}, ctx.Err()
	})
	return begun
}

func (b *fakeBuilder) last() (image.Order, identity.Run) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.orders) == 0 {
		return image.Order{}, identity.Run{}
	}
	return b.orders[len(b.orders)-1], b.who[len(b.who)-1]
}

func (b *fakeBuilder) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.orders)
}
