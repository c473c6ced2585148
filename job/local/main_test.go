package local

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/jobtest"
	"github.com/alvara-ml/alvara/job/sandbox"
)

const (
	envProbe  = "JOB_TEST_PROBE"  // the test program, when it is built already
	envServer = "JOB_TEST_SERVER" // makes this program a server to be killed
)

var probe string

// The program of the tests is the supervisor of its runs too, before this begins.
func TestMain(m *testing.M) {
	if os.Getenv(envServer) != "" {
		server()
		return
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if probe = os.Getenv(envProbe); probe == "" {
		folder, err := os.MkdirTemp("", "probe")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(folder) }()
		if err := os.Chmod(folder, 0o755); err != nil {
			panic(err)
		}
		if probe, err = jobtest.Build(folder); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// world makes a world with a folder for runs of its own.
func world(t testing.TB, kind string) jobtest.World {
	t.Helper()
	w := jobtest.World{Dir: filepath.Join(t.TempDir(), "runs"), Probe: probe}
	w.Backend = func(t testing.TB) job.Backend {
		return &Backend{Dir: w.Dir, Kind: kind, Clock: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	}
	if kind == Process {
		return w
	}
	can := sandbox.Check()
	if !can.Ready() {
		t.Skipf("this machine cannot run sandboxes: %v", can.Lacks)
	}
	w.Isolated, w.Memory, w.PIDs = true, can.Memory, can.PIDs
	w.Layers = []string{image(t)}
	return w
}

// image is an unpacked layer with the test program in it.
func image(t testing.TB) string {
	t.Helper()
	layer := filepath.Join(t.TempDir(), "layer")
	content, err := os.ReadFile(probe)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"", "bin", "tmp"} {
		if err := os.Mkdir(filepath.Join(layer, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(layer, "bin/probe"), content, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return layer
	}
	err = filepath.Walk(layer, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, sandbox.FirstID, sandbox.FirstID)
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func both(t *testing.T, test func(*testing.T, jobtest.World)) {
	for _, kind := range []string{Process, Sandbox} {
		t.Run(kind, func(t *testing.T) { test(t, world(t, kind)) })
	}
}

// MI-11, BX-03: what runs code passes one suite, in sandboxes and without.
func TestSuite(t *testing.T) { both(t, jobtest.Suite) }
