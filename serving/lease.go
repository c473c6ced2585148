package serving

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// queuedFor is how many requests may wait for each place at an instance.
const queuedFor = 16

// Lease is a request's place at an instance.
type Lease struct {
	i        *instance
	once     sync.Once
	requests Requests
}

// Requests are the bounds of the request.
func (l *Lease) Requests() Requests { return l.requests }

// Instance is the number of the instance.
func (l *Lease) Instance() int { return l.i.record.Number }

// RoundTrip sends a request to the instance, whatever host it names.
func (l *Lease) RoundTrip(r *http.Request) (*http.Response, error) { return l.i.transport.RoundTrip(r) }

// Release gives the place back. It may be called again.
func (l *Lease) Release() {
	l.once.Do(func() {
		d := l.i.d
		d.mu.Lock()
		defer d.mu.Unlock()
		l.i.busy--
		if l.i.state == draining && l.i.busy == 0 {
			l.i.end()
		}
		d.hand()
	})
}

// waiter is a request that waits for a place.
type waiter struct{ got chan *Lease }

func (d *deployment) acquire(ctx context.Context) (*Lease, error) {
	d.mu.Lock()
	if d.current == nil || d.removed {
		d.mu.Unlock()
		return nil, notServing()
	}
	if len(d.waiting) == 0 {
		if lease := d.take(); lease != nil {
			d.mu.Unlock()
			return lease, nil
		}
	}
	wait := d.current.Requests.Wait
	if places := max(1, d.wanted) * d.current.Requests.Concurrency; wait <= 0 || len(d.waiting) >= places*queuedFor {
		err := d.full()
		d.mu.Unlock()
		return nil, err
	}
	w := &waiter{got: make(chan *Lease, 1)}
	d.waiting = append(d.waiting, w)
	d.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case lease := <-w.got:
		if lease == nil {
			return nil, notServing()
		}
		return lease, nil
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.Index(d.waiting, w)
	if at < 0 { // it got its place at the same moment
		if lease := <-w.got; lease != nil {
			if err == nil {
				return lease, nil
			}
			go lease.Release() // d.mu is held here
		}
		if err == nil {
			err = notServing()
		}
		return nil, err
	}
	d.waiting = slices.Delete(d.waiting, at, at+1)
	if err == nil {
		err = d.full()
	}
	return nil, err
}

// full words why there is no place. The caller holds d.mu.
func (d *deployment) full() error {
	for _, i := range d.instances {
		if i.state == isReady && i.record.Revision == d.current.ID {
			return resource.Errorf(resource.TooManyRequests, "TooManyRequests", "All instances of the deployment are busy: %d, with %d requests at once each; try again, or give it more instances", d.wanted, d.current.Requests.Concurrency)
		}
	}
	return notServing()
}

// take gives a place at the least busy instance that is ready, or nil. The caller holds d.mu.
func (d *deployment) take() *Lease {
	if d.current == nil || d.removed {
		return nil
	}
	var best *instance
	for n := range d.instances {
		i := d.instances[(n+d.turned)%len(d.instances)]
		if i.state == isReady && i.record.Revision == d.current.ID && i.busy < d.current.Requests.Concurrency && (best == nil || i.busy < best.busy) {
			best = i
		}
	}
	if best == nil {
		return nil
	}
	d.turned++
	best.busy++
	return &Lease{i: best, requests: d.current.Requests}
}

// hand gives places to those who wait, in their order; nil when the deployment is gone. The caller holds d.mu.
func (d *deployment) hand() {
	for len(d.waiting) > 0 {
		lease := d.take()
		if lease == nil && !d.removed && !d.dead {
			return
		}
		d.waiting[0].got <- lease
		d.waiting = d.waiting[1:]
	}
}
