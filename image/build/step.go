package build

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
)

// failed is an error at a line of the Dockerfile.
func failed(step dockerfile.Step, format string, args ...any) *resource.Error {
	return resource.Invalidf("BuildFailed", "Dockerfile line %d: %s.", step.Line, fmt.Sprintf(format, args...))
}

// step does one instruction.
func (s *session) step(ctx context.Context, stage *dockerfile.Stage, at *state, step dockerfile.Step) error {
	switch c := step.Command.(type) {
	case *instructions.RunCommand:
		return s.run(ctx, stage, at, step, c)
	case *instructions.CopyCommand:
		from, err := s.tree(ctx, stage, c.From)
		if err != nil {
			return err
		}
		defer from.close()
		return s.copy(ctx, at, step, copying{SourcesAndDest: c.SourcesAndDest, chown: c.Chown, chmod: c.Chmod, exclude: c.ExcludePatterns, from: from})
	case *instructions.AddCommand:
		from, err := s.tree(ctx, stage, "")
		if err != nil {
			return err
		}
		how := copying{SourcesAndDest: c.SourcesAndDest, chown: c.Chown, chmod: c.Chmod, exclude: c.ExcludePatterns, from: from, unpack: true}
		if c.Unpack != nil {
			how.unpack, how.mustUnpack = *c.Unpack, *c.Unpack
		}
		return s.copy(ctx, at, step, how)
	case *instructions.WorkdirCommand:
		return s.workdir(ctx, at, step, c)
	}
	if err := configure(at.config, step); err != nil {
		return err
	}
	return s.add(at, entry{}, step.Text)
}

func (s *session) workdir(ctx context.Context, at *state, step dockerfile.Step, c *instructions.WorkdirCommand) error {
	if c.Path == "" {
		return failed(step, "WORKDIR names no folder")
	}
	dir := inside(at.config, c.Path)
	at.config.Config.WorkingDir = dir
	return s.change(ctx, at, []string{"workdir", dir}, step.Text, func(upper, _ string, below []string) error {
		changes, err := layer.Begin(s.Store.Owners, upper, below)
		if err != nil {
			return err
		}
		defer changes.Close()
		name, err := layer.Resolve(changes.Tree(), dir, true)
		if err != nil {
			return failed(step, "WORKDIR %s: %v", dir, err)
		}
		if _, err := changes.Tree().Lstat(name); err == nil {
			return nil // what is there already makes no layer
		}
		return changes.Folder(name, layer.Attributes{Mode: 0o755})
	})
}

// inside makes a path of an instruction absolute.
func inside(config *v1.ConfigFile, p string) string {
	if !path.IsAbs(p) {
		p = path.Join("/", config.Config.WorkingDir, p)
	}
	return path.Clean(p)
}

// configure does the instructions that change nothing but the configuration.
func configure(file *v1.ConfigFile, step dockerfile.Step) error {
	config := &file.Config
	switch c := step.Command.(type) {
	case *instructions.EnvCommand:
		config.Env = slices.Clone(config.Env)
		for _, pair := range c.Env {
			config.Env = setVariable(config.Env, pair.Key, pair.Value)
		}
	case *instructions.ArgCommand:
	case *instructions.LabelCommand:
		config.Labels = maps.Clone(config.Labels)
		for _, pair := range c.Labels {
			if config.Labels == nil {
				config.Labels = map[string]string{}
			}
			config.Labels[pair.Key] = pair.Value
		}
	case *instructions.MaintainerCommand:
		file.Author = c.Maintainer
	case *instructions.UserCommand:
		if c.User == "" {
			return failed(step, "USER names no user")
		}
		config.User = c.User
	case *instructions.ShellCommand:
		config.Shell = c.Shell
	case *instructions.EntrypointCommand:
		config.Entrypoint = withShell(config, c.ShellDependantCmdLine)
		if len(c.CmdLine) == 0 {
			config.Entrypoint = nil
		}
		config.Cmd = nil // the base's was meant for the base's entry point
	case *instructions.CmdCommand:
		config.Cmd = withShell(config, c.ShellDependantCmdLine)
	case *instructions.ExposeCommand:
		config.ExposedPorts = maps.Clone(config.ExposedPorts)
		for _, port := range step.Ports {
			if config.ExposedPorts == nil {
				config.ExposedPorts = map[string]struct{}{}
			}
			config.ExposedPorts[port] = struct{}{}
		}
	case *instructions.VolumeCommand:
		config.Volumes = maps.Clone(config.Volumes)
		for _, volume := range c.Volumes {
			if config.Volumes == nil {
				config.Volumes = map[string]struct{}{}
			}
			config.Volumes[volume] = struct{}{}
		}
	case *instructions.StopSignalCommand:
		config.StopSignal = c.Signal
	case *instructions.OnbuildCommand:
		config.OnBuild = append(slices.Clone(config.OnBuild), c.Expression)
	case *instructions.HealthCheckCommand:
		h := c.Health
		config.Healthcheck = &v1.HealthConfig{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
		if h.StartInterval != 0 {
			return resource.Errorf(resource.Unsupported, "UnsupportedDockerfile", "Dockerfile line %d: HEALTHCHECK --start-interval is not supported by the built-in builder; leave it out.", step.Line)
		}
	default:
		return resource.Errorf(resource.Unsupported, "UnsupportedDockerfile", "Dockerfile line %d: %s is not supported by the built-in builder.", step.Line, strings.ToUpper(c.Name()))
	}
	return nil
}

func setVariable(env []string, name, value string) []string {
	for i, pair := range env {
		if known, _, _ := strings.Cut(pair, "="); known == name {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

// withShell puts the shell before a command line that is written as text.
func withShell(config *v1.Config, c instructions.ShellDependantCmdLine) []string {
	if !c.PrependShell {
		return c.CmdLine
	}
	return append(shell(config), strings.Join(c.CmdLine, " "))
}

func shell(config *v1.Config) []string {
	if len(config.Shell) > 0 {
		return slices.Clone(config.Shell)
	}
	return []string{"/bin/sh", "-c"}
}
