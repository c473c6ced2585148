package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/cli"
)

func serve(ctx context.Context, options cli.ServeOptions) (cli.Server, error) {
	log, err := logger(options.Log, options.LogLevel)
	if err != nil {
		return nil, err
	}
	server, err := app.Open(ctx, app.Config{
		DataDir: options.DataDir, Listen: options.Listen, Domain: options.Domain, PasswordGrant: options.PasswordGrant, Jobs: options.Jobs, JobTime: options.JobTimeLimit, Log: log,
		Nodes: options.Nodes, BuildNetwork: options.BuildNetwork, BuildMemory: options.BuildMemory << 20, TrustedRegistries: options.TrustedRegistries, BuildKit: options.BuildKit, BuildKitTLS: options.BuildKitTLS, JobBackend: options.JobBackend,
	})
	if err != nil {
		return nil, err // an interface that holds nothing, unlike server
	}
	trim()
	return server, nil
}

func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}
