package serving

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// quickest is how often an instance is asked whether it is ready, before it is; it grows to slowest.
const (
	quickest = 50 * time.Millisecond
	slowest  = time.Second
)

// health asks an instance how it does.
type health struct {
	i       *instance
	began   time.Time
	quick   time.Duration
	started bool // it was ready once

	nextLive, nextReady   time.Time
	good, bad, liveFailed int
}

func newHealth(i *instance) *health {
	quick := i.d.Quick
	if quick == 0 {
		quick = quickest
	}
	return &health{i: i, began: time.Now(), quick: quick}
}

func (h *health) probes() Probes {
	h.i.d.mu.Lock()
	defer h.i.d.mu.Unlock()
	if h.i.revision == nil {
		return Probes{Startup: Probe{Period: time.Second, Failures: 1}, Live: Probe{Period: time.Second, Timeout: time.Second, Failures: 1}, Ready: Probe{Period: time.Second, Timeout: time.Second, Failures: 1}}
	}
	return h.i.revision.Probes
}

// pause is how long until there is something to ask.
func (h *health) pause() time.Duration {
	if !h.started {
		if delay := h.probes().Ready.Delay - time.Since(h.began); delay > 0 {
			return delay
		}
		pause := h.quick
		h.quick = min(slowest, h.quick+h.quick/4)
		return pause
	}
	return max(0, min(time.Until(h.nextLive), time.Until(h.nextReady)))
}

// look asks what is to be asked now. The error says why the instance must be replaced.
func (h *health) look(ctx context.Context) error {
	p := h.probes()
	if !h.started {
		return h.start(ctx, p)
	}
	if now := time.Now(); !now.Before(h.nextReady) {
		h.nextReady = now.Add(p.Ready.Period)
		if why := h.i.ask(ctx, p.Ready); why == nil {
			h.good, h.bad = h.good+1, 0
		} else {
			h.good, h.bad = 0, h.bad+1
		}
		switch {
		case h.good >= p.Ready.Successes:
			h.i.readyNow(true)
		case h.bad >= p.Ready.Failures:
			h.i.readyNow(false)
		}
	}
	if now := time.Now(); !now.Before(h.nextLive) {
		h.nextLive = now.Add(p.Live.Period)
		why := h.i.ask(ctx, p.Live)
		if why == nil {
			h.liveFailed = 0
			return nil
		}
		if h.liveFailed++; h.liveFailed >= p.Live.Failures {
			return resource.Invalidf("InstanceEnded", "The instance does not live: %v, %d times in a row.", why, h.liveFailed)
		}
	}
	return nil
}

func (h *health) start(ctx context.Context, p Probes) error {
	why := h.i.ask(ctx, p.Ready)
	if why != nil {
		h.good = 0
		if most := p.Startup.Delay + p.Ready.Delay + time.Duration(p.Startup.Failures)*p.Startup.Period; time.Since(h.began) > most {
			return resource.Invalidf("InstanceNotReady", "The instance was not ready after %s: %v.", most, why)
		}
		return nil
	}
	if h.good++; h.good < p.Ready.Successes {
		return nil
	}
	h.started, h.bad = true, 0
	h.nextReady = time.Now().Add(p.Ready.Period)
	h.nextLive = time.Now().Add(max(p.Live.Period, p.Live.Delay-time.Since(h.began)))
	h.i.readyNow(true)
	return nil
}

// ask makes one probe; nil is well.
func (i *instance) ask(ctx context.Context, p Probe) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://instance"+p.Path, nil)
	if err != nil {
		return err
	}
	answer, err := i.transport.RoundTrip(request)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("GET %s is not answered within %s", p.Path, p.Timeout)
		}
		return fmt.Errorf("GET %s: %w", p.Path, err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // what it says besides the status is its own affair
	_ = answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("GET %s is answered with the status %d", p.Path, answer.StatusCode)
	}
	return nil
}
