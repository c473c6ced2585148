package main

import (
	"context"
	"io"
	"strings"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/cli"
	"github.com/alvara-ml/alvara/examples/fraud"
	"github.com/alvara-ml/alvara/quickstart"
)

// tourSize is how much data the quickstart makes; its test makes less.
var tourSize = fraud.Default

// tour runs the quickstart on a server in this process; its commands are the command line's own.
func tour(ctx context.Context, options cli.QuickstartOptions) error {
	return quickstart.Run(ctx, quickstart.Options{
		Act: options.Act, Size: tourSize, Dir: options.Dir, Exit: options.Exit, Interactive: options.Interactive, Stdout: options.Stdout, Stderr: options.Stderr,
		Open: func(ctx context.Context) (quickstart.Server, error) {
			log, err := logger(options.Stderr, "error")
			if err != nil {
				return nil, err
			}
			return app.Open(ctx, app.Config{DataDir: options.Dir, Listen: options.Listen, Log: log})
		},
		Command: func(ctx context.Context, env func(string) string, stdout, stderr io.Writer, args []string) int {
			return program(strings.NewReader(""), stdout, stderr, env).Run(ctx, args)
		},
	})
}
