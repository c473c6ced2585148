package app

import (
	"context"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/image/sandboxed"
	"github.com/alvara-ml/alvara/provider/containerregistry"
	"github.com/alvara-ml/alvara/resource"
)

const (
	layersUnused = 7 * 24 * time.Hour // unpacked layers that no build used for so long are removed
	layersKept   = 50                 // but for so many
)

// openBuilds completes what the registry provider works with by what its runs need, and has the queue carry runs out.
func (s *Server) openBuilds(deps *containerregistry.Deps) error {
	deps.Source, deps.ReadSource, deps.LogLink, deps.ForgetRun = s.taskFiles.Source, s.taskFiles.ReadSource, s.taskFiles.LogLink, s.taskFiles.ForgetRun
	deps.OpenLog = func(ctx context.Context, key, run string) (containerregistry.Log, error) {
		return s.taskFiles.OpenLog(ctx, key, run)
	}
	s.builds = &image.Process{
		Program: s.config.Program, Dir: s.config.path("builds"), CAFile: s.Endpoints.CAFile, Identity: s.Endpoints.Identity, Runs: s.runs,
		ScratchDir: filepath.Join(s.config.path("scratch"), "builds"), Sweep: sandboxed.Sweep, Log: s.config.Log,
		Daemon: s.config.daemon(),
	}
	if err := s.builds.Clean(); err != nil {
		return err
	}
	deps.Drop, deps.TrustedHosts = s.dropRegistry, s.config.TrustedRegistries
	runner := &containerregistry.Runner{
		Store: s.store, Deps: *deps, Network: s.config.BuildNetwork, Limits: image.Limits{MemoryBytes: s.config.BuildMemory}, Clock: s.config.Clock,
		Build: func(ctx context.Context, order image.Order, who identity.Run, log func(string)) (image.Result, error) {
			order.Run = who.ID // the audit log names the run by its id
			return s.builds.Build(ctx, order, image.Report{Log: log})
		},
		Tell: func(run resource.ID, err error) {
			s.config.Log.Error("a build failed", "run", run.String(), "error", err)
		},
	}
	deps.Cancel = runner.Cancel
	s.store.Work(containerregistry.RunJob, s.config.Jobs, runner.Run)
	return nil
}

// dropRegistry forgets all that a registry had.
func (s *Server) dropRegistry(ctx context.Context, key string) error {
	for _, drop := range []func() error{
		func() error { return s.images.Drop(ctx, key) },
		func() error { return s.taskFiles.Drop(ctx, key) },
		func() error { return s.builds.Forget(key) },
	} {
		if err := drop(); err != nil {
			return err
		}
	}
	return nil
}
