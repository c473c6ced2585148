package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/examples/fraud"
)

// The example's script runs as it stands, and again.
func TestExampleScript(t *testing.T) {
	dir, err := os.MkdirTemp("", "alvara-example-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := app.Open(t.Context(), app.Config{DataDir: filepath.Join(dir, "server")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	data := filepath.Join(dir, "data")
	if err := fraud.Generate(t.Context(), data, fraud.Size{Transactions: 5_000, Accounts: 100, Observations: 500}, 1, nil); err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), "ALVARA_CONFIG_DIR="+filepath.Join(dir, "profile"))
	run := func(name string, args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), name, args...)
		command.Env = environment
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run("alvara", "login", "--local", "--data", filepath.Join(dir, "server"))
	for range 2 {
		out := run("bash", "../../examples/fraud/run.sh", data)
		if !strings.Contains(out, "A3") {
			t.Errorf("no online rows are shown: %s", out)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "train.parquet")); err != nil {
		t.Error(err)
	}
}
