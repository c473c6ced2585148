package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/disk"
	"github.com/alvara-ml/alvara/dataplane/features"
	"github.com/alvara-ml/alvara/dataplane/inference"
	"github.com/alvara-ml/alvara/dataplane/registry"
	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/featurestore/online/pebble"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/provider/containerregistry"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/provider/storage"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/store/sqlite"
	"github.com/alvara-ml/alvara/workload"
)

// Server is a running server. Make one with Open and end it with Close.
type Server struct {
	config    Config
	Endpoints Endpoints

	store     *sqlite.Store
	audit     *audit.File
	objects   *disk.Store
	sealer    identity.Sealer
	directory *identity.Directory
	keys      *identity.Keys
	tokens    *identity.Service
	verify    *identity.Authenticator
	runs      *identity.Runs
	live      *access.Live
	guard     *guard.Guard
	manager   *arm.Manager
	blob      *blob.Server
	features  *features.Server
	inference *inference.Server
	serving   *serving.Controller
	endpoints *machinelearning.EndpointCatalog
	graph     http.Handler
	registry  *registry.Server
	images    *content.Engine
	taskFiles *taskFiles
	builds    *image.Process
	launcher  workload.Launcher
	accounts  *storage.Catalog
	online    *pebble.Store
	authority *authority

	listeners       *listeners
	registryCatalog *containerregistry.Catalog
	registryPorts   *registryPorts
	local           *identity.LocalListener
	servers         []*http.Server
	closers         []func(context.Context) error // run in reverse
	stop            context.CancelFunc
}

// Open starts a server and returns when every plane answers. What fails half-way is undone.
func Open(ctx context.Context, config Config) (_ *Server, err error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder cannot be made: %w", err)
	}
	// Libraries below the registry and the sandbox write to a log of their own what they also return as errors.
	logrus.SetOutput(io.Discard)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{config: config, stop: stop}
	defer func() {
		if err != nil {
			_ = s.Close(ctx) // the reason why Open failed matters more
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openStores, s.openIdentity, s.openPlanes, s.serve,
	} {
		if err := step(background); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// onClose adds a step to Close; the last added runs first.
func (s *Server) onClose(step func(context.Context) error) { s.closers = append(s.closers, step) }

// openStores opens what is kept on disk.
func (s *Server) openStores(ctx context.Context) error {
	var err error
	if s.store, err = sqlite.Open(ctx, s.config.path("alvara.db"), sqlite.WithClock(s.config.Clock), sqlite.WithLogger(s.config.Log)); err != nil {
		return err
	}
	s.onClose(s.store.Close)
	if s.sealer, err = identity.OpenSealer(s.config.path("master.key")); err != nil {
		return err
	}
	if err := os.MkdirAll(s.config.path("audit"), 0o700); err != nil {
		return err
	}
	if s.audit, err = audit.OpenFile(s.config.path("audit", "audit.log"), s.config.Clock); err != nil {
		return err
	}
	s.onClose(func(context.Context) error { return s.audit.Close() })
	if s.objects, err = disk.Open(disk.Options{Dir: s.config.path("blobs"), Clock: s.config.Clock, Log: s.config.Log}); err != nil {
		return err
	}
	s.onClose(func(context.Context) error { return s.objects.Close() })
	var host string
	if s.listeners, host, err = listen(&s.config); err != nil {
		return err
	}
	s.Endpoints = s.listeners.endpoints(&s.config, host)
	names, ips := []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(host); ip != nil {
		ips = append(ips, ip)
	} else {
		names = append(names, host)
	}
	if d := s.config.Domain; d != "" {
		names = append(names, d, "*."+d, "*.blob."+d, "*.dfs."+d, "*.cr."+d, "*.inference."+d)
	}
	s.authority, err = openAuthority(s.config.path("tls"), s.sealer, s.config.Clock, names, ips)
	return err
}

// openIdentity opens the directory, the token service and the decision engine.
func (s *Server) openIdentity(ctx context.Context) error {
	chosen, fresh, err := install(ctx, s.store)
	if err != nil {
		return err
	}
	s.live = access.NewLive(access.Catalogue(), access.BuiltIn()...)
	if err := authorization.Follow(s.store, s.live); err != nil {
		return err
	}
	if s.directory, err = identity.OpenDirectory(s.store, chosen.Tenant, s.config.Clock); err != nil {
		return err
	}
	if fresh {
		if err := bootstrap(ctx, s.store, s.directory, &s.config, &chosen); err != nil {
			return err
		}
	}
	s.Endpoints.Tenant, s.Endpoints.Subscription = chosen.Tenant, chosen.Subscription
	s.guard = &guard.Guard{Access: s.live, Audit: s.audit, Clock: s.config.Clock}
	if s.keys, err = identity.OpenKeys(ctx, identity.KeysConfig{Store: s.store, Sealer: s.sealer, Clock: s.config.Clock}); err != nil {
		return err
	}
	s.tokens, err = identity.NewService(identity.Config{
		Authority: s.Endpoints.Authority, Directory: s.directory, Keys: s.keys, Store: s.store, Resources: s.audiences(),
		PasswordGrant: s.config.PasswordGrant, Clock: s.config.Clock, Log: s.config.Log,
	})
	if err != nil {
		return err
	}
	if s.verify, err = s.tokens.Authenticator(); err != nil {
		return err
	}
	s.runs = identity.NewRuns()
	s.local, err = identity.ListenLocal(identity.LocalConfig{
		Path: s.config.path("alvara.sock"), OwnerUID: os.Getuid(), Service: s.tokens, Principal: func() string { return chosen.Administrator },
		Resource: managementAudience, Endpoints: s.clientEndpoints(), Log: s.config.Log,
	})
	if err != nil {
		return err
	}
	s.onClose(s.local.Close)
	return nil
}

// serve starts to answer on all listeners, and begins with what was left in the queue.
func (s *Server) serve(ctx context.Context) error {
	logger := slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug)
	type plane struct {
		listener net.Listener
		handler  http.Handler
		plain    bool
	}
	planes := []plane{
		{s.listeners.main, s.mainHandler(), false},
		{s.listeners.blob, s.byHost(s.blob.BlobHandler()), false},
		{s.listeners.dfs, s.byHost(s.blob.DFSHandler()), false},
		{s.listeners.inference, s.byHost(s.inference), false},
		{s.listeners.identity, s.managedEndpoint(), true},
	}
	if s.listeners.registry != nil {
		planes = append(planes, plane{s.listeners.registry, s.byHost(s.registry.ByHost(s.config.Domain)), false})
	}
	for _, plane := range planes {
		server := &http.Server{Handler: plane.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: logger, TLSConfig: s.authority.config()}
		listener := plane.listener
		if !plane.plain {
			listener = tls.NewListener(listener, server.TLSConfig)
		}
		s.servers = append(s.servers, server)
		go func() {
			if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.config.Log.Error("a listener ended", "error", err)
			}
		}()
	}
	s.registryPorts.begin()
	s.onClose(s.drain)
	s.onClose(s.registryPorts.shutdown)
	go func() {
		if err := s.local.Serve(); err != nil {
			s.config.Log.Error("local sign-in ended", "error", err)
		}
	}()
	go s.maintain(ctx)
	go s.collectRegistries(ctx)
	if err := s.serving.Start(ctx); err != nil {
		return err
	}
	if err := s.store.Start(ctx); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s.clientEndpoints(), "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.config.path(EndpointsFile), text, 0o644)
}

// drain lets running requests end.
func (s *Server) drain(ctx context.Context) error {
	var first error
	for _, server := range s.servers {
		if err := server.Shutdown(ctx); err != nil && first == nil {
			first = err
			_ = server.Close() // what did not end in time is cut off
		}
	}
	return first
}

// maintain does what time brings: new signing keys, and the end of old sessions.
func (s *Server) maintain(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, step := range []func(context.Context) error{s.keys.Maintain, s.tokens.Maintain} {
				if err := step(ctx); err != nil {
					s.config.Log.Error("maintenance failed and will be repeated", "error", err)
				}
			}
		}
	}
}

// workGrace is how long Close lets running work end by itself.
const workGrace = 2 * time.Second

// URL is the address of the resource manager.
func (s *Server) URL() string { return s.Endpoints.ResourceManager }

// Close ends the server: requests in progress end, running jobs stop and are taken up by the next start.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	var first error
	if s.store != nil {
		// Work ends first, while the planes that it goes through still answer: it is cut off after a moment, costs no
		// attempt, and goes on with the next start.
		work, cancel := context.WithTimeout(ctx, workGrace)
		if err := s.store.Stop(work); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			first = err
		}
		cancel()
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](ctx); err != nil && first == nil {
			first = err
		}
	}
	s.closers = nil
	if s.listeners != nil {
		s.listeners.close()
	}
	return first
}

// Directory is who is who. Tests and the quickstart make principals with it.
func (s *Server) Directory() *identity.Directory { return s.directory }

// Runs is where work that acts as managed identities is registered.
func (s *Server) Runs() *identity.Runs { return s.runs }

// Handlers gives the handler behind each address, for callers in the same process.
func (s *Server) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		s.Endpoints.ResourceManager: s.mainHandler(), s.Endpoints.Blob: s.byHost(s.blob.BlobHandler()), s.Endpoints.DFS: s.byHost(s.blob.DFSHandler()),
	}
}
