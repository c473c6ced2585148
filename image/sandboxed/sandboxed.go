// Package sandboxed makes the builder whose commands run in the sandbox of this machine. It is apart from package image, because the
// sandbox is heavy to link, and only the worker process needs it.
package sandboxed

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/build"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/resource"
)

// runner runs the commands of RUN in a sandbox.
type runner struct {
	state string // folder for what the sandbox keeps while it runs
}

var _ build.Runner = runner{}

// Owners are how the sandbox shifts ids, and so how layers are unpacked.
func Owners() layer.Owners {
	m := sandbox.Map()
	return layer.Owners{UID: m.Host, GID: m.Group, Size: m.Size, Chown: os.Geteuid() == 0}
}

// Run implements build.Runner.
func (s runner) Run(ctx context.Context, c build.Command) (int, error) {
	spec := sandbox.Spec{
		ID: "build-" + strings.ToLower(rand.Text()), State: s.state, Root: c.Root, Args: c.Args, Env: c.Env, Dir: c.Dir, User: c.User, Hostname: "build",
		Limits: sandbox.Limits{Memory: c.MemoryBytes, PIDs: c.Processes, CPUs: c.CPUs, Time: c.Time},
		Stdout: c.Stdout, Stderr: c.Stderr,
	}
	if len(c.Lower) > 0 {
		spec.Overlay = &sandbox.Overlay{Lower: c.Lower, Upper: c.Upper, Work: c.Work}
	}
	if c.Network {
		spec.Network = sandbox.Host
	}
	for _, m := range c.Mounts {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: m.Source, Target: m.Target, ReadOnly: !m.Writable && m.Source != "", Size: m.Size})
	}
	exit, err := sandbox.Run(ctx, spec)
	switch {
	case err != nil:
		return 0, err
	case exit.TimedOut:
		return 0, resource.Errorf(resource.TooLarge, "BuildTimeout", "The command '%s' was not done in its time and was ended.", strings.Join(c.Args, " "))
	case exit.OutOfMemory && exit.Code != 0:
		return 0, resource.Errorf(resource.TooLarge, "BuildOutOfMemory", "The command '%s' needed more memory than its limit of %d MiB; let the command do with less, or have the server's operator raise it (serve --build-memory).", strings.Join(c.Args, " "), c.MemoryBytes>>20)
	}
	return exit.Code, nil
}

// New makes a builder that keeps layers and caches in a folder. The program's main must let sandbox.Main have the processes
// that the sandbox starts (sandbox.IsInit).
func New(dir string) *image.Local {
	can := sandbox.Check()
	return &image.Local{
		Dir: dir, Clock: time.Now, Token: image.ManagedToken, Runner: runner{state: state(dir)}, Overlay: can.Overlay, Owners: Owners(), Isolation: names(can),
	}
}

// Sweep ends and removes what sandboxes of a program that was killed left behind in the folder of a builder.
func Sweep(dir string) error {
	_, err := sandbox.Sweep(state(dir))
	return err
}

func state(dir string) string { return filepath.Join(dir, "sandboxes") }

func names(can sandbox.Isolation) []string {
	var standing []string
	for name, has := range map[string]bool{"user namespace": can.Namespaces, "seccomp": can.Seccomp, "memory limit": can.Memory, "process limit": can.PIDs, "overlay": can.Overlay} {
		if has {
			standing = append(standing, name)
		}
	}
	slices.Sort(standing)
	return standing
}
