package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/worker"
)

// Mode is the worker mode of WorkerMain.
const Mode = "build"

// Process is a Builder that carries out each order in a process of its own. The process holds nothing but a secret for
// the managed-identity endpoint, which is good for the order's identities and ends with it, and the commands of RUN, which
// run in a sandbox inside it, do not hold that. A process needs root's rights, or those of an ordinary user; it is not
// walled in by Landlock, because sandboxes cannot be made within.
type Process struct {
	Program    []string // starts the program; nil is the running executable
	Dir        string   // layers and caches; made when absent, and kept
	CAFile     string   // more authorities that registries' certificates may come from
	Daemon     Daemon   // carries orders out instead of the built-in builder, when it has an address
	Identity   string   // base URL of the managed-identity endpoint
	Runs       *identity.Runs
	ScratchDir string // made when absent; only for workers
	// Sweep ends what commands of killed workers left behind in Dir; nil where commands leave nothing.
	Sweep func(dir string) error
	Log   *slog.Logger // nil: silent
}

var _ Builder = (*Process)(nil)

// input is what the worker reads.
type input struct {
	Order  Order  `json:"order"`
	Dir    string `json:"dir"`
	CAFile string `json:"caFile"`
	Daemon Daemon `json:"daemon"`
}

// Daemon is a BuildKit daemon that an operator runs.
type Daemon struct {
	Address string `json:"address,omitempty"` // unix:///path or tcp://host:port; "" is none
	// TLS is a folder with ca.pem, cert.pem and key.pem; "" speaks in the clear.
	TLS string `json:"tls,omitempty"`
}

// Means are what a worker process gives a builder: how it reaches registries and sources, how it gets tokens of the order's
// identities (by client id, or "system"), and a folder of its own.
type Means struct {
	HTTP  http.RoundTripper
	Token func(ctx context.Context, clientID string) (string, error)
	Dir   string
}

// Build implements Builder. When ctx ends, the process and all that it started are killed.
func (p *Process) Build(ctx context.Context, order Order, report Report) (Result, error) {
	if err := order.Check(); err != nil {
		return Result{}, err
	}
	run, err := runOf(order)
	if err != nil {
		return Result{}, err
	}
	for _, folder := range []string{p.ScratchDir, p.Dir} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return Result{}, err
		}
	}
	dir, err := os.MkdirTemp(p.ScratchDir, "build-")
	if err != nil {
		return Result{}, err
	}
	defer func() {
		if err := layer.RemoveTree(dir); err != nil {
			p.warn(ctx, "the scratch folder of a build is left behind", "run", order.Run, "folder", dir, "error", err)
		}
	}()
	in := input{Order: order, CAFile: p.CAFile, Daemon: p.Daemon}
	if in.Dir, err = filepath.Abs(p.Dir); err != nil {
		return Result{}, err
	}
	command := worker.Command{
		Program: p.Program, Mode: Mode, Dir: dir, Log: report.Log,
		Stderr: func(line string) { p.warn(ctx, "build worker", "run", order.Run, "line", line) },
	}
	if len(run.Identities) > 0 {
		secret := p.Runs.Register(run)
		defer p.Runs.Unregister(secret)
		command.Env = identity.Env(p.Identity, secret, "")
	}
	if report.Progress != nil {
		command.Progress = func(at worker.Progress) { report.Progress(at.Stage, at.Done, at.Total) }
	}
	var result Result
	err = command.Run(ctx, in, &result)
	if e, ok := resource.AsError(err); ok && e.Cause != nil {
		p.warn(ctx, "build failed", "run", order.Run, "error", err, "cause", e.Cause)
	}
	return result, err
}

// runOf says which identities the worker may get tokens of.
func runOf(order Order) (identity.Run, error) {
	run := identity.Run{ID: order.Run}
	seen := map[string]bool{}
	for host, c := range order.Credentials {
		if c.ClientID == "" {
			continue
		}
		if c.Principal == "" {
			return run, resource.Invalidf("InvalidBuild", "The credential of %s names an identity without its object id.", host).At("credentials")
		}
		if !seen[c.Principal] {
			seen[c.Principal] = true
			run.Identities = append(run.Identities, c.Principal)
		}
		if c.ClientID == pull.System {
			run.Default = c.Principal
		}
	}
	return run, nil
}

// Clean removes what builds of a server that was killed left behind; call it before the first Build.
func (p *Process) Clean() error {
	if err := layer.RemoveTree(p.ScratchDir); err != nil {
		return err
	}
	if p.Sweep != nil {
		if err := p.Sweep(p.Dir); err != nil {
			return err
		}
	}
	return (&layer.Store{Dir: filepath.Join(p.Dir, "layers"), Clock: time.Now}).Clean()
}

// Evict removes unpacked layers that no build used since a time, but for the latest keep. They are unpacked again when they are
// needed.
func (p *Process) Evict(since time.Time, keep int) (removed int, err error) {
	return (&layer.Store{Dir: filepath.Join(p.Dir, "layers"), Clock: time.Now}).Evict(since, keep)
}

// Forget removes the cache of a scope, when its registry is deleted.
func (p *Process) Forget(scope string) error {
	if err := (Order{Source: "none", CacheScope: scope}).Check(); err != nil {
		return err
	}
	return layer.RemoveTree(filepath.Join(p.Dir, "cache", scope))
}

func (p *Process) warn(ctx context.Context, message string, args ...any) {
	if p.Log != nil {
		p.Log.WarnContext(ctx, message, args...)
	}
}

// WorkerMain is the worker process: what the program does when it is started with the arguments worker.Argument and Mode.
// Local makes the built-in builder of a folder; remote the one has a daemon carry orders out: where that is nil, an order for one is Unsupported.
func WorkerMain(stdin io.Reader, stdout io.Writer, local func(dir string) *Local, remote func(Daemon, Means) Builder) int {
	return worker.Serve(stdin, stdout, func(ctx context.Context, text json.RawMessage, report *worker.Reporter) (any, error) {
		var in input
		if err := json.Unmarshal(text, &in); err != nil {
			return nil, resource.Invalidf("InvalidWorkerInput", "The order cannot be read: %v", err)
		}
		transport, err := transportFor(in.CAFile)
		if err != nil {
			return nil, err
		}
		said := Report{Log: report.Log, Progress: report.Progress}
		if in.Daemon.Address != "" {
			if remote == nil {
				return nil, resource.Errorf(resource.Unsupported, "NoBuildKit", "This program has no driver for BuildKit daemons; run builds without one.")
			}
			dir, err := os.Getwd()
			if err != nil {
				return nil, err
			}
			return remote(in.Daemon, Means{HTTP: transport, Token: ManagedToken, Dir: dir}).Build(ctx, in.Order, said)
		}
		builder := local(in.Dir)
		builder.HTTP = transport
		return builder.Build(ctx, in.Order, said)
	})
}

// transportFor trusts the system's authorities and those of a file. It uses no proxy.
func transportFor(caFile string) (*http.Transport, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(text)
	}
	return &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, MaxIdleConnsPerHost: 16,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
		ResponseHeaderTimeout: 2 * time.Minute,
	}, nil
}
