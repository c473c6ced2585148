package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/sandboxed"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/job/process"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload/launch"
)

const registryAudience = "https://containerregistry.azure.net/"

// openLauncher makes what runs code as somebody. Runs go on when the server ends, and are opened again by whoever began them.
func (s *Server) openLauncher(context.Context) error {
	kind, err := s.config.backendKind(sandbox.Check())
	if err != nil {
		return err
	}
	planes, err := s.reachable()
	if err != nil {
		return err
	}
	elsewhere := http.DefaultTransport.(*http.Transport).Clone()
	elsewhere.Proxy = nil // as in builds
	launcher := &launch.Launcher{
		Backend: &local.Backend{Dir: s.config.path("runs", "life"), Kind: kind, Clock: s.config.Clock, Log: s.config.Log},
		Dir:     s.config.path("runs", "files"),
		// Builds and runs share what is unpacked, and what hosts have shown that they have.
		Layers: &layer.Store{
			Dir: s.config.path("builds", "layers"), Owners: sandboxed.Owners(), MaxBytes: maxLayerBytes, MaxEntries: maxLayerEntries, Clock: s.config.Clock,
		},
		Proofs: s.config.path("builds", "proofs"),
		Registries: launch.Registries{
			Transport: &ownRegistries{server: s, others: elsewhere}, Own: s.ownRegistries, Trusted: s.config.TrustedRegistries,
			Token: func(ctx context.Context, principal string) (string, error) {
				set, err := s.tokens.IssueManaged(ctx, principal, registryAudience)
				return set.AccessToken, err
			},
		},
		Files: blobFiles{s}, Identity: s.managedEndpoint(), IdentityURL: s.Endpoints.Identity,
		Planes: planes, Hosts: s.planeNames, CAFile: s.Endpoints.CAFile, Env: s.runEnvironment, Log: s.config.Log,
	}
	s.launcher = launcher
	s.onClose(func(context.Context) error { return launcher.Close() })
	return nil
}

// The most that a layer may take unpacked, as in builds.
const (
	maxLayerBytes   = 16 << 30
	maxLayerEntries = 1_000_000
)

// backendKind is how jobs are run: as the configuration says, in sandboxes where the machine can otherwise.
// What this leaves to be wished for is in the server's log.
func (c *Config) backendKind(can sandbox.Isolation) (string, error) {
	switch kind := c.JobBackend; {
	case kind == local.Process:
		c.Log.Warn("the job backend is process: images are not pulled, and jobs and deployments run as plain processes of the server's user, without walls",
			"follows", process.Driver{}.Isolation().Lacks)
		return kind, nil
	case (kind == local.Sandbox || kind == "") && can.Ready():
		if len(can.Lacks) > 0 {
			c.Log.Warn("sandboxes lack something on this machine", "lacks", can.Lacks)
		}
		return local.Sandbox, nil
	case kind == local.Sandbox:
		return "", fmt.Errorf("the job backend %q cannot be used on this machine: %s", kind, strings.Join(can.Lacks, " "))
	case kind != "":
		return "", fmt.Errorf("the job backend %q is none; it must be %q or %q", kind, local.Sandbox, local.Process)
	}
	c.Log.Warn("this machine has no sandboxes: jobs and deployments run as plain processes of the server's user, without walls", "lacks", can.Lacks)
	return local.Process, nil
}

func (s *Server) managedEndpoint() *identity.ManagedEndpoint {
	return &identity.ManagedEndpoint{Service: s.tokens, Runs: s.runs, Log: s.config.Log}
}

// reachable are the planes that runs reach, at the ports that they have outside.
func (s *Server) reachable() ([]job.Forward, error) {
	var planes []job.Forward
	for address, listener := range map[string]net.Listener{
		s.Endpoints.ResourceManager: s.listeners.main, s.Endpoints.Blob: s.listeners.blob, s.Endpoints.DFS: s.listeners.dfs, s.Endpoints.Inference: s.listeners.inference,
	} {
		plane, err := forwardTo(address, listener)
		if err != nil {
			return nil, err
		}
		planes = append(planes, plane)
	}
	return planes, nil
}

// forwardTo leads from the address of a plane, as clients know it, to its listener. A name is the run's own loopback.
func forwardTo(address string, listener net.Listener) (job.Forward, error) {
	u, err := url.Parse(address)
	if err != nil {
		return job.Forward{}, err
	}
	at := listener.Addr().(*net.TCPAddr)
	outside := net.JoinHostPort(at.IP.String(), strconv.Itoa(at.Port))
	if at.IP.IsUnspecified() {
		outside = net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
	}
	host := u.Hostname()
	if net.ParseIP(host) == nil {
		host = "127.0.0.1"
	}
	return job.Forward{Inside: net.JoinHostPort(host, strconv.Itoa(at.Port)), Outside: outside}, nil
}

// planeNames are the names that lead to the planes: with a domain, also those of the accounts that are there when a run begins.
func (s *Server) planeNames(context.Context) ([]string, error) {
	var names []string
	add := func(address string) error {
		u, err := url.Parse(address)
		if err == nil && net.ParseIP(u.Hostname()) == nil {
			names = append(names, u.Hostname())
		}
		return err
	}
	addresses := []string{s.Endpoints.ResourceManager, s.Endpoints.Authority, s.Endpoints.Blob, s.Endpoints.Inference}
	if s.config.Domain != "" {
		for _, account := range s.accounts.Names() {
			blobURL, dfsURL := s.accountEndpoints(account)
			addresses = append(addresses, blobURL, dfsURL)
		}
		for _, endpoint := range s.endpoints.Names() {
			addresses = append(addresses, s.endpointURL(endpoint))
		}
	}
	for _, address := range addresses {
		if err := add(address); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// runEnvironment is what `alvara env` prints, for a run.
func (s *Server) runEnvironment(caFile string) []string {
	e := s.clientEndpoints()
	var env []string
	for _, v := range (profile.Endpoints{
		ResourceManager: e.ResourceManager, Authority: e.Authority, Tenant: e.Tenant, Subscription: e.Subscription,
		Blob: e.Blob, DFS: e.DFS, Graph: e.Graph, Features: e.Features, CAFile: caFile,
	}).Variables() {
		env = append(env, v.Name+"="+v.Value)
	}
	return append(env, "CURL_CA_BUNDLE="+caFile, "ALVARA_RESOURCE_MANAGER="+e.ResourceManager)
}

// ownRegistries gives the ids of this server's registries by their login servers.
func (s *Server) ownRegistries(context.Context) (map[string]resource.ID, error) {
	return environmentRegistries{s}.Hosts(), nil
}

// ownRegistries asks the registries of this server within the process, through their pipeline like everybody, and others over the
// network.
type ownRegistries struct {
	server *Server
	others http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o *ownRegistries) RoundTrip(r *http.Request) (*http.Response, error) {
	id, own := environmentRegistries{o.server}.Hosts()[strings.ToLower(r.URL.Host)]
	if !own {
		return o.others.RoundTrip(r)
	}
	return serveInProcess(o.server.registry.Handler(id.Name()), r)
}

// blobFiles are the files of storage accounts, through the blob plane's own door.
type blobFiles struct{ *Server }

func (f blobFiles) List(ctx context.Context, who identity.Principal, account, container, folder string, each func(string, int64) error) error {
	query := blob.ListQuery{Limit: 1000}
	if folder != "" {
		query.Prefix = folder + "/"
	}
	for {
		page, err := f.blob.As(who, "").List(ctx, account, container, query)
		if err != nil {
			return err
		}
		for _, entry := range page.Entries {
			if entry.Object.IsFolder() {
				continue
			}
			if err := each(entry.Object.Name, entry.Object.Size); err != nil {
				return err
			}
		}
		if query.From = page.Next; query.From == "" {
			return nil
		}
	}
}

func (f blobFiles) Open(ctx context.Context, who identity.Principal, account, container, path string) (io.ReadCloser, int64, error) {
	return f.openBlob(ctx, who, account, container, path)
}

func (f blobFiles) Write(ctx context.Context, who identity.Principal, account, container, path string, content io.Reader) error {
	_, err := f.blob.As(who, "").Write(ctx, account, container, path, content, blob.Headers{})
	return err
}
