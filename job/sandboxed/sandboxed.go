//go:build linux

// Package sandboxed is the driver that runs each node of a run in a sandbox of its own (package sandbox), on its image's layers, in one
// network that the nodes share and that has no way out but what is forwarded. It owns how a run's words become a sandbox's.
package sandboxed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/cgroups"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/resource"
)

// Level is what job.Isolation.Level says of this driver.
const Level = "sandbox"

// masterPort is where the node of rank 0 listens; the network is the run's own, so it is free.
const masterPort = 6105

// forever is the time limit of a run that has none; sandboxes always have one.
const forever = 100 * 365 * 24 * time.Hour

// Driver implements job.Driver.
type Driver struct{}

var _ job.Driver = Driver{}

// abilities are found out once: they do not change while a program runs, and trying them takes milliseconds.
var abilities = sync.OnceValue(sandbox.Check)

// Owners are how the folders of layers have to be unpacked to be run here.
func Owners() layer.Owners {
	m := sandbox.Map()
	return layer.Owners{UID: m.Host, GID: m.Group, Size: m.Size, Chown: os.Geteuid() == 0}
}

// Isolation implements job.Driver.
func (Driver) Isolation() job.Isolation {
	can := abilities()
	i := job.Isolation{Level: Level, Lacks: slices.Clone(can.Lacks)}
	for _, wall := range []struct {
		name   string
		stands bool
	}{
		{"user namespace", can.Namespaces}, {"network namespace", can.Namespaces}, {"system call filter", can.Seccomp},
		{"many users inside", can.Root}, {"memory limit", can.Memory}, {"process limit", can.PIDs}, {"cpu limit", can.CPUs},
	} {
		if wall.stands {
			i.Walls = append(i.Walls, wall.name)
		}
	}
	return i
}

// Check implements job.Driver.
func (Driver) Check(spec job.Spec) error {
	if can := abilities(); !can.Ready() {
		return resource.Errorf(resource.Unavailable, "SandboxUnavailable", "This machine cannot run sandboxes: %s", strings.Join(can.Lacks, " "))
	}
	if len(spec.Layers) == 0 {
		return resource.Invalidf("InvalidRun", "Layers must name the folders of an image: a sandbox has a root file system of its own.").At("Layers")
	}
	return nil
}

// Prepare implements job.Driver.
func (Driver) Prepare(ctx context.Context, spec job.Spec, folder, token string) (job.Site, error) {
	// libcontainer opens the cgroups' folder once per process, at the first use; a sandbox's thread has mounts of its own
	// that are gone afterwards, so the first use must not be there. A file that does not exist does as well.
	_, _ = cgroups.ReadFile("/sys/fs/cgroup", "none")
	s := &site{spec: spec, folder: folder, token: token}
	for _, m := range spec.Mounts {
		if m.Writable && os.Geteuid() == 0 {
			if err := os.Chown(m.Source, sandbox.FirstID, sandbox.FirstID); err != nil {
				return nil, err
			}
		}
	}
	if spec.Nodes < 2 && len(spec.Forward) == 0 && spec.Serve.Port == 0 {
		return s, nil // the sandbox's own network does
	}
	var inside []string
	for _, f := range spec.Forward {
		inside = append(inside, f.Inside)
	}
	var err error
	s.net, err = sandbox.NewNet(ctx, inside, spec.Serve.Port != 0)
	return s, err
}

// Sweep implements job.Driver.
func (Driver) Sweep(folder, _ string) error {
	_, err := sandbox.Sweep(filepath.Join(folder, stateName))
	return err
}

const stateName = "sandboxes"

type site struct {
	spec          job.Spec
	folder, token string
	net           *sandbox.Net
}

func (s *site) MasterPort() int { return masterPort }

func (s *site) Listeners() []net.Listener {
	if s.net == nil {
		return nil
	}
	return s.net.Listeners
}

func (s *site) Dial() (net.Conn, error) { return s.net.Dial(s.spec.Serve.Port) }

func (s *site) Close() error {
	if s.net == nil {
		return nil
	}
	return s.net.Close()
}

// Run implements job.Site.
func (s *site) Run(ctx context.Context, task job.Task) (job.Node, error) {
	folder := filepath.Join(s.folder, "node-"+strconv.Itoa(task.Rank))
	spec := sandbox.Spec{
		ID: fmt.Sprintf("job-%s-%d", s.token, task.Rank), State: filepath.Join(s.folder, stateName), Hostname: fmt.Sprintf("node-%d", task.Rank),
		Args: s.spec.Command, Env: task.Env, Dir: s.spec.Dir, User: s.spec.User, Net: s.net,
		Limits: sandbox.Limits{Memory: s.spec.Limits.Memory, CPUs: s.spec.Limits.CPUs, PIDs: s.spec.Limits.PIDs, Time: forever},
		Stdout: task.Output, Stderr: task.Output,
	}
	for _, m := range s.spec.Mounts {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: m.Source, Target: m.Target, ReadOnly: !m.Writable})
	}
	if err := s.root(ctx, folder, &spec); err != nil {
		return job.Node{}, fmt.Errorf("lay out the image: %w", err)
	}
	exit, err := sandbox.Run(ctx, spec)
	node := job.Node{
		Ended: true, ExitCode: exit.Code, Signal: exit.Signal, OutOfMemory: exit.OutOfMemory,
		CPU: exit.Usage.CPU, PeakMemory: exit.Usage.PeakMemory,
	}
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		node.Ended = exit != sandbox.Exit{}
	default:
		return job.Node{}, err
	}
	return node, nil
}
