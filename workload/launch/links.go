package launch

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/socket"
	"github.com/alvara-ml/alvara/workload"
)

// links are how runs under way get tokens, by the runs' ids: a secret, and the server at a run's own socket. They end with the run, or
// with the launcher.
type links struct {
	mu     sync.Mutex
	live   map[string]*link
	busy   map[string]*turn
	stop   context.CancelFunc // of all that follow runs; nil before the first
	ctx    context.Context
	closed bool
}

type link struct {
	secret   string
	server   *http.Server // nil where the run asks at the server's own endpoint
	followed bool
}

// turn is one after the other for those who launch, open or forget the same run.
type turn struct {
	mu      sync.Mutex
	waiting int
}

func (l *links) lock(id string) (unlock func()) {
	l.mu.Lock()
	if l.busy == nil {
		l.busy = map[string]*turn{}
	}
	t := l.busy[id]
	if t == nil {
		t = &turn{}
		l.busy[id] = t
	}
	t.waiting++
	l.mu.Unlock()
	t.mu.Lock()
	return func() {
		t.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(l.busy, id)
		}
	}
}

// link lets a run have tokens, under the secret that it has or, with "", a new one; "" is of a run that gets none.
func (l *Launcher) link(order workload.Order, at place, secret string) (string, error) {
	if len(order.Tokens) == 0 {
		return "", nil
	}
	l.links.mu.Lock()
	defer l.links.mu.Unlock()
	if known := l.links.live[order.ID]; known != nil {
		return known.secret, nil
	}
	if l.links.closed {
		return secret, nil // the next launcher answers the run
	}
	run := identity.Run{ID: order.ID, Identities: order.Tokens, Default: order.Tokens[0], Bound: l.isolated()}
	made := &link{secret: secret}
	if run.Bound {
		listener, err := socket.Listen(at.outside.identity)
		if err != nil {
			return "", diskError(err)
		}
		made.server = l.serve(listener, order.ID)
	}
	if secret == "" {
		made.secret = l.Identity.Runs.Register(run)
	} else {
		l.Identity.Runs.Restore(secret, run)
	}
	if l.links.live == nil {
		l.links.live = map[string]*link{}
	}
	l.links.live[order.ID] = made
	return made.secret, nil
}

// serve answers one run.
func (l *Launcher) serve(listener net.Listener, id string) *http.Server {
	server := &http.Server{
		Handler: l.Identity.For(id), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return server
}

// follow ends a run's link when the run has ended.
func (l *links) follow(id string, run job.Run, endpoint *identity.ManagedEndpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := l.live[id]
	if made == nil || made.followed {
		return
	}
	if l.stop == nil {
		l.ctx, l.stop = context.WithCancel(context.Background())
	}
	made.followed = true
	ctx := l.ctx
	go func() {
		if _, err := run.Wait(ctx); ctx.Err() == nil {
			_ = err // it was removed, or cannot be looked at: nobody gives it tokens either way
			l.drop(id, made, endpoint)
		}
	}()
}

// end ends a run's link, if it has one.
func (l *links) end(id string, endpoint *identity.ManagedEndpoint) { l.drop(id, nil, endpoint) }

// drop ends a link, if it is still this one; nil is any.
func (l *links) drop(id string, which *link, endpoint *identity.ManagedEndpoint) {
	l.mu.Lock()
	made := l.live[id]
	if made == nil || which != nil && which != made {
		l.mu.Unlock()
		return
	}
	delete(l.live, id)
	l.mu.Unlock()
	made.close(endpoint)
}

func (m *link) close(endpoint *identity.ManagedEndpoint) {
	endpoint.Runs.Unregister(m.secret)
	if m.server != nil {
		_ = m.server.Close() // the run is gone, or asks the next launcher
	}
}

func (l *links) close(endpoint *identity.ManagedEndpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.stop != nil {
		l.stop()
	}
	for id, made := range l.live {
		made.close(endpoint)
		delete(l.live, id)
	}
}

const (
	secretVariable    = "IDENTITY_HEADER"
	msiSecretVariable = "MSI_SECRET"
)

// secretOf finds a run's secret among its secret variables.
func secretOf(secrets []string) string {
	for _, setting := range secrets {
		if secret, ok := strings.CutPrefix(setting, secretVariable+"="); ok {
			return secret
		}
	}
	return ""
}
