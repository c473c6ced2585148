package buildkit

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
)

// Builder carries orders out at a daemon. Besides the faults of image.Builder it gives Unavailable when the daemon cannot be
// reached or is lost. A context that ends ends the solve.
type Builder struct {
	Daemon image.Daemon
	image.Means
}

var _ image.Builder = (*Builder)(nil)

// New makes a Builder.
func New(daemon image.Daemon, means image.Means) image.Builder {
	return &Builder{Daemon: daemon, Means: means}
}

// answerTime is how long a daemon may take to say that it is there.
const answerTime = 15 * time.Second

// Build implements image.Builder.
func (b *Builder) Build(ctx context.Context, order image.Order, report image.Report) (image.Result, error) {
	return image.Bounded(ctx, order, func(ctx context.Context, order image.Order) (image.Result, error) {
		return b.build(ctx, order, report)
	})
}

func (b *Builder) build(ctx context.Context, order image.Order, report image.Report) (image.Result, error) {
	daemon, err := b.dial(ctx, order)
	if err != nil {
		return image.Result{}, err
	}
	defer func() { _ = daemon.Close() }() // nothing is asked of it any more
	folder, err := os.MkdirTemp(b.Dir, "context-")
	if err != nil {
		return image.Result{}, err
	}
	defer func() { _ = layer.RemoveTree(folder) }() // the worker's folder goes with the worker
	source, err := image.Unpack(ctx, b.HTTP, order, folder)
	if err != nil {
		return image.Result{}, err
	}
	defer source.Close()
	if err := readable(source.Dockerfile, order); err != nil {
		return image.Result{}, err
	}
	recipe, err := b.recipe(source.Dockerfile)
	if err != nil {
		return image.Result{}, err
	}
	defer func() { _ = recipe.Close() }() // opened for looking up names
	s := &solve{order: order, registries: order.Registries(b.HTTP, b.Token), context: source.Root, recipe: recipe, log: newLog(order, report)}
	return s.run(ctx, daemon)
}

// recipe is a folder with the Dockerfile. What .dockerignore names is gone from the context already; the file beside the
// Dockerfile keeps the daemon from applying another one.
func (b *Builder) recipe(dockerfile []byte) (*os.Root, error) {
	folder, err := os.MkdirTemp(b.Dir, "dockerfile-")
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{recipeName: dockerfile, recipeName + ".dockerignore": []byte("# applied already\n")} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	return os.OpenRoot(folder)
}

// recipeName is the Dockerfile's, wherever it was in the context.
const recipeName = "Dockerfile"

// Check tells whether a daemon can be meant by an address, without asking it.
func Check(daemon image.Daemon) error {
	at, err := url.Parse(daemon.Address)
	switch {
	case err != nil || at.Scheme != "unix" && at.Scheme != "tcp" || at.Scheme == "unix" && at.Path == "" || at.Scheme == "tcp" && at.Port() == "":
		return resource.Invalidf("InvalidBuildKit", "The address of the BuildKit daemon is %q; write unix:///path/of/buildkitd.sock or tcp://host:port.", daemon.Address).At("buildkit")
	case at.Scheme == "tcp" && daemon.TLS == "" && !loopback(at.Hostname()):
		return resource.Invalidf("InvalidBuildKit", "The BuildKit daemon at %s is on another machine and is spoken to without TLS; name a folder with ca.pem, cert.pem and key.pem (--buildkit-tls).", daemon.Address).At("buildkit")
	case at.Scheme == "unix" && daemon.TLS != "":
		return resource.Invalidf("InvalidBuildKit", "The BuildKit daemon at %s is on this machine's socket, which has no TLS; leave --buildkit-tls out.", daemon.Address).At("buildkit")
	}
	for _, name := range tlsFiles(daemon.TLS) {
		if _, err := os.Stat(name); err != nil {
			return resource.Invalidf("InvalidBuildKit", "The folder for TLS with the BuildKit daemon has no readable %s; it must hold ca.pem, cert.pem and key.pem.", filepath.Base(name)).At("buildkit").Because(err)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func tlsFiles(folder string) []string {
	if folder == "" {
		return nil
	}
	return []string{filepath.Join(folder, "ca.pem"), filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")}
}

// dial finds the daemon there, and able to build for the order's platform.
func (b *Builder) dial(ctx context.Context, order image.Order) (*client.Client, error) {
	if err := Check(b.Daemon); err != nil {
		return nil, err
	}
	var options []client.ClientOpt
	if files := tlsFiles(b.Daemon.TLS); files != nil {
		at, err := url.Parse(b.Daemon.Address)
		if err != nil {
			return nil, err
		}
		options = []client.ClientOpt{client.WithServerConfig(at.Hostname(), files[0]), client.WithCredentials(files[1], files[2])}
	}
	daemon, err := client.New(ctx, b.Daemon.Address, options...)
	if err != nil {
		return nil, b.unreachable(err)
	}
	asking, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	workers, err := daemon.ListWorkers(asking)
	if err == nil && len(workers) == 0 {
		err = errors.New("it has no worker")
	}
	if err == nil {
		err = offers(workers, order.Platform)
	} else if ctx.Err() != nil {
		err = ctx.Err()
	} else {
		err = b.unreachable(err)
	}
	if err != nil {
		return nil, errors.Join(err, daemon.Close())
	}
	return daemon, nil
}

func (b *Builder) unreachable(err error) error {
	return resource.Errorf(resource.Unavailable, "BuildKitUnavailable", "The BuildKit daemon at %s cannot be reached: %v.", b.Daemon.Address, err).Because(err)
}

// offers tells whether the daemon builds for a platform, which is "", linux or os/architecture[/variant].
func offers(workers []*client.WorkerInfo, platform string) error {
	if !strings.Contains(platform, "/") {
		if platform == "" || platform == "linux" {
			return nil
		}
		return resource.Errorf(resource.Unsupported, "UnsupportedPlatform", "The platform %q is not built for; images are for linux.", platform).At("platform")
	}
	var names []string
	for _, worker := range workers {
		for _, p := range worker.Platforms {
			name := p.OS + "/" + p.Architecture
			if p.Variant != "" {
				name += "/" + p.Variant
			}
			if name == platform || p.OS+"/"+p.Architecture == platform {
				return nil
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return resource.Errorf(resource.Unsupported, "UnsupportedPlatform", "The BuildKit daemon does not build for %s; it builds for %s.", platform, strings.Join(names, ", ")).At("platform")
}
