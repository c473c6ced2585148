package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// registryPorts are the listeners of registries where there is no domain: each has a port of its own, chosen when the
// registry is made and kept in its document, because login servers are written into images' names.
type registryPorts struct {
	host    string
	handler func(name string) http.Handler
	tls     func() *tls.Config
	log     *slog.Logger

	mu       sync.Mutex
	begun    bool
	closed   bool
	reserved map[int]net.Listener
	open     map[string]*registryPort // by name
}

type registryPort struct {
	port   int
	server *http.Server
	stop   context.CancelFunc
}

const (
	reservation = time.Minute     // how long a port waits for its registry to be committed
	portRetry   = 2 * time.Second // how often a port that something else holds is tried again
)

// reserve chooses a free port, and holds it until the registry is there.
func (p *registryPorts) reserve(context.Context) (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(p.host, "0"))
	if err != nil {
		return 0, resource.Errorf(resource.Unavailable, "NoPort", "no port is free for the registry: %v", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reserved == nil {
		p.reserved = map[int]net.Listener{}
	}
	p.reserved[port] = listener
	time.AfterFunc(reservation, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.reserved[port] == listener {
			delete(p.reserved, port)
			_ = listener.Close() // nothing was accepted
		}
	})
	return port, nil
}

// opened begins to answer for a registry; a registry that is open on its port already is left as it is.
func (p *registryPorts) opened(name string, port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || port == 0 {
		return
	}
	if was := p.open[name]; was != nil {
		if was.port == port {
			return
		}
		p.end(was)
	}
	if p.open == nil {
		p.open = map[string]*registryPort{}
	}
	r := &registryPort{port: port}
	p.open[name] = r
	if p.begun {
		p.start(name, r)
	}
}

// gone ends the answers for a registry.
func (p *registryPorts) gone(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was := p.open[name]; was != nil {
		delete(p.open, name)
		p.end(was)
	}
}

// begin answers for all registries that are there.
func (p *registryPorts) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	for name, r := range p.open {
		p.start(name, r)
	}
}

func (p *registryPorts) start(name string, r *registryPort) {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.server = &http.Server{
		Handler: p.handler(name), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, TLSConfig: p.tls(),
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	listener := p.reserved[r.port]
	delete(p.reserved, r.port)
	if listener == nil {
		var err error
		if listener, err = p.listen(r.port); err != nil {
			p.log.Error("the port of a registry cannot be opened and is tried again; end what uses it", "registry", name, "port", r.port, "error", err)
			go p.wait(ctx, name, r)
			return
		}
	}
	go p.serve(name, r, listener)
}

func (p *registryPorts) listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(p.host, strconv.Itoa(port)))
}

// wait opens a port when what holds it lets it go.
func (p *registryPorts) wait(ctx context.Context, name string, r *registryPort) {
	tick := time.NewTicker(portRetry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if listener, err := p.listen(r.port); err == nil {
				p.log.Info("the port of a registry is open now", "registry", name, "port", r.port)
				p.serve(name, r, listener)
				return
			}
		}
	}
}

func (p *registryPorts) serve(name string, r *registryPort, listener net.Listener) {
	err := r.server.Serve(tls.NewListener(listener, r.server.TLSConfig))
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		p.log.Error("the listener of a registry ended", "registry", name, "error", err)
	}
}

// end stops to answer for a registry at once: what is under way belongs to something that is no more.
func (p *registryPorts) end(r *registryPort) {
	if r.server == nil {
		return
	}
	r.stop()
	_ = r.server.Close() // the registry is gone; whom it answered has nothing to wait for
}

// shutdown lets running requests end.
func (p *registryPorts) shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	var servers []*http.Server
	for _, r := range p.open {
		if r.server != nil {
			r.stop()
			servers = append(servers, r.server)
		}
	}
	for port, listener := range p.reserved {
		delete(p.reserved, port)
		_ = listener.Close() // nothing was accepted
	}
	p.mu.Unlock()
	var first error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil && first == nil {
			first = err
			_ = server.Close() // what did not end in time is cut off
		}
	}
	return first
}
