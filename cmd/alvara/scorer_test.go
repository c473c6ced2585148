package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/alvara-ml/alvara/job/local"
)

// endRuns ends what a server of a script has left running: instances of deployments outlive their server, and not their script.
func endRuns(ctx context.Context, data string) error {
	backend := &local.Backend{Dir: filepath.Join(data, "runs", "life"), Clock: time.Now}
	ids, err := backend.List(ctx)
	for _, id := range ids {
		run, openErr := backend.Open(ctx, id)
		if openErr != nil {
			return openErr
		}
		if err := run.Cancel(ctx); err != nil {
			return err
		}
		if _, err := run.Wait(ctx); err != nil {
			return err
		}
	}
	return err
}

// scorer writes the context of an image that serves into a folder: the program of testdata/scorer, without libraries.
func scorer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: scorer DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	source, err := filepath.Abs("testdata/scorer/main.go")
	ts.Check(err)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "scorer"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		ts.Fatalf("the scorer cannot be built: %v\n%s", err, out)
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY scorer /scorer\nCMD [\"/scorer\"]\n"), 0o644))
}
