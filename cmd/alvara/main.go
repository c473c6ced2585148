// Command alvara runs the server and is its command line.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/bench"
	"github.com/alvara-ml/alvara/cli"
	"github.com/alvara-ml/alvara/examples/model"
)

func main() {
	if status, ours := app.Child(os.Args); ours {
		os.Exit(status)
	}
	os.Exit(run())
}

func run() int {
	if status, ours := bench.Child(os.Args); ours {
		return status
	}
	if status, ours := model.Main(os.Args, os.Getenv, os.Stdout, os.Stderr); ours {
		return status
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	called := program(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	called.Name = cli.CalledAs(os.Args[0])
	return called.Run(ctx, os.Args[1:])
}

// program wires the command line to what it starts; the tests run the same one.
func program(stdin io.Reader, stdout, stderr io.Writer, env func(string) string) *cli.Program {
	return &cli.Program{
		Stdin: stdin, Stdout: stdout, Stderr: stderr, Env: env, Now: time.Now, Version: version(),
		Serve: serve, Retrieve: retrieve, Quickstart: tour, Bench: measure,
	}
}
