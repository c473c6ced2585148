package buildkit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/alvara-ml/alvara/test/testenv"
)

// The test binary is the server's worker too.
func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// programs builds the daemon and its runc, from the module in test/buildkitd; go build keeps them up to date. It takes
// minutes the first time; what is compiled when the time is over serves the next attempt.
var programs = sync.OnceValues(func() (string, error) {
	folder := filepath.Join(os.TempDir(), "alvara-test-tools")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for name, source := range map[string]string{"buildkitd": "github.com/moby/buildkit/cmd/buildkitd", "runc": "github.com/opencontainers/runc", "plainrunc": "./plainrunc"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(folder, name), source)
		build.Dir = filepath.Join("..", "..", "test", "buildkitd")
		out, err := build.CombinedOutput()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
	}
	return folder, nil
})

// daemon is a BuildKit daemon of a test.
type daemon struct {
	t       testing.TB
	dir     string
	address string
	process *exec.Cmd
	log     *os.File
}

// newDaemon says where a daemon will be; start starts it.
func newDaemon(t testing.TB) *daemon {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("building and running a BuildKit daemon takes minutes the first time")
	case os.Geteuid() != 0:
		t.Skip("the BuildKit daemon of the tests needs root's rights")
	}
	if _, err := programs(); errors.Is(err, context.DeadlineExceeded) {
		t.Skip("compiling the BuildKit daemon took too long; run the tests again, they go on from there")
	} else if err != nil {
		t.Fatalf("building the BuildKit daemon: %v", err)
	}
	// Unix sockets have short names.
	dir, err := os.MkdirTemp("", "buildkitd-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir, address: "unix://" + filepath.Join(dir, "sock")}
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("the daemon's log:\n%s", text[max(0, len(text)-8000):])
		}
		d.unmount()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("the daemon's folder: %v", err)
		}
	})
	return d
}

// start runs the daemon, which trusts an authority for some registries, as docs/buildkit.md tells operators.
func (d *daemon) start(authority string, registries ...string) {
	d.t.Helper()
	tools, err := programs()
	if err != nil {
		d.t.Fatal(err)
	}
	var config strings.Builder
	fmt.Fprintf(&config, "root = %q\n[grpc]\n  address = [%q]\n[worker.containerd]\n  enabled = false\n", filepath.Join(d.dir, "root"), d.address)
	fmt.Fprintf(&config, "[worker.oci]\n  enabled = true\n  binary = %q\n  snapshotter = \"native\"\n  networkMode = \"host\"\n  gc = false\n[cdi]\n  disabled = true\n", filepath.Join(tools, "plainrunc"))
	for _, host := range registries {
		fmt.Fprintf(&config, "[registry.%q]\n  http = false\n  ca = [%q]\n", host, authority)
	}
	file := filepath.Join(d.dir, "buildkitd.toml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if d.log, err = os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.process = exec.Command(filepath.Join(tools, "buildkitd"), "--config", file)
	d.process.Stdout, d.process.Stderr = d.log, d.log
	d.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(d.dir, "sock")); err == nil {
			return
		}
	}
	text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	d.t.Fatalf("the BuildKit daemon does not start:\n%s", text)
}

// stop ends the daemon as an operator would.
func (d *daemon) stop() {
	if d.process == nil {
		return
	}
	_ = d.process.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- d.process.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		d.kill()
		<-ended
	}
	d.process = nil
	_ = d.log.Close()
}

// kill ends the daemon and what it runs at once.
func (d *daemon) kill() { _ = syscall.Kill(-d.process.Process.Pid, syscall.SIGKILL) }

// unmount takes away what a daemon that was killed left mounted.
func (d *daemon) unmount() {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		d.t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			if err := syscall.Unmount(fields[1], syscall.MNT_DETACH); err != nil {
				d.t.Errorf("unmount %s: %v", fields[1], err)
			}
		}
	}
}

// ask gives a client for looking at the daemon.
func (d *daemon) ask() *client.Client {
	d.t.Helper()
	c, err := client.New(d.t.Context(), d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}
