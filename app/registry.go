package app

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry"
	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/provider/containerregistry"
)

const (
	collectGrace = 24 * time.Hour // how long a blob that no manifest names is kept: pushes may take so long
	collectEvery = time.Hour
)

// registryHost is the host that login servers name where there is no domain.
func (s *Server) registryHost() string {
	u, err := url.Parse(s.Endpoints.Blob)
	if err != nil || u.Hostname() == "" || s.config.Domain != "" {
		return "127.0.0.1"
	}
	return u.Hostname()
}

// loginServer is host:port of a registry as clients write it, in images' names too.
func (s *Server) loginServer(name string, port int) string {
	if s.config.Domain == "" {
		return net.JoinHostPort(s.registryHost(), strconv.Itoa(port))
	}
	host := name + ".cr." + s.config.Domain
	if shared := s.listeners.registry.Addr().(*net.TCPAddr).Port; shared != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(shared))
	}
	return host
}

// openRegistries opens what container registries hold, and the plane that answers for them.
func (s *Server) openRegistries(ctx context.Context) (containerregistry.Deps, error) {
	var deps containerregistry.Deps
	var err error
	s.images, err = content.OpenDisk(ctx, s.config.path("registry"), content.Options{Store: s.store, Clock: s.config.Clock, Log: s.config.Log})
	if err != nil {
		return deps, err
	}
	s.onClose(func(context.Context) error { return s.images.Close() })
	s.registry = &registry.Server{
		Content: s.images, Guard: s.guard, Authenticator: s.verify, Keys: s.keys, Lookup: s.directory.Active, Audit: s.audit,
		Clock: s.config.Clock, Log: s.config.Log,
	}
	s.registryPorts = &registryPorts{host: s.listeners.host, handler: func(name string) http.Handler { return s.registry.Handler(name) }, tls: s.authority.config, log: s.config.Log}
	deps = containerregistry.Deps{
		Sealer: s.sealer, LoginServer: s.loginServer,
		Port: func(ctx context.Context) (int, error) {
			if s.config.Domain != "" {
				return 0, nil // registries have host names
			}
			return s.registryPorts.reserve(ctx)
		},
		Usage: func(ctx context.Context, key string) (int64, error) {
			return s.images.Registry(key, content.Limits{}).Usage(ctx)
		},
	}
	if err := s.openBuilds(&deps); err != nil {
		return deps, err
	}
	s.registryCatalog, err = containerregistry.OpenCatalog(ctx, s.store, deps, containerregistry.Events{
		Opened: func(r registry.Registry, port int) { s.registryPorts.opened(r.Name, port) },
		Closed: func(r registry.Registry) { s.registryPorts.gone(r.Name) },
	})
	s.registry.Catalog = s.registryCatalog
	return deps, err
}

// collectRegistries removes what nobody can reach any more from the registries, from time to time.
func (s *Server) collectRegistries(ctx context.Context) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := s.builds.Evict(s.config.Clock().Add(-layersUnused), layersKept); err != nil {
			s.config.Log.Error("unpacked layers could not be removed and will be tried again", "error", err)
		}
		for _, r := range s.registryCatalog.All() {
			report, err := s.images.Registry(r.Key, content.Limits{}).Collect(ctx, content.CollectOptions{
				Grace: collectGrace, Retention: time.Duration(r.RetentionDays) * 24 * time.Hour,
			})
			if err != nil {
				s.config.Log.Error("the garbage of a registry could not be removed and will be tried again", "registry", r.Name, "error", err)
			} else if report != (content.Report{}) {
				s.config.Log.Info("removed garbage of a registry", "registry", r.Name, "manifests", report.Manifests, "blobs", report.Blobs, "uploads", report.Uploads, "bytes", report.Bytes)
			}
		}
	}
}
