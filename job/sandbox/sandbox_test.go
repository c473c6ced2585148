//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The tests run with root's rights, and again as an ordinary user, who has the program that runs inside from the first.
const (
	envProbe    = "SANDBOX_TEST_PROBE"
	envScenario = "SANDBOX_TEST_SCENARIO"
)

var probe string // a static program that runs inside; the only thing that the tests put there

func TestMain(m *testing.M) {
	if IsInit(os.Args) {
		Main()
	}
	if name := os.Getenv(envScenario); name != "" {
		scenarios[name]()
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
		probe = filepath.Join(folder, "probe")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", probe, "./testdata/probe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build the program that runs inside: %v\n%s", err, out))
		}
	}
	return m.Run()
}

var runs atomic.Int64

// box makes a root file system with the probe in it, and a spec that runs it with arguments.
func box(t testing.TB, args ...string) Spec {
	t.Helper()
	if isolation := Check(); !isolation.Ready() {
		t.Skipf("this machine cannot run sandboxes: %s", strings.Join(isolation.Lacks, " "))
	}
	root := filepath.Join(t.TempDir(), "root")
	for _, folder := range []string{"bin", "tmp", "etc", "home/ann"} {
		must(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	content, err := os.ReadFile(probe)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin/probe"), content, 0o755))
	must(t, os.Symlink("probe", filepath.Join(root, "bin/true")))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nstaff:x:50:ann\nann:x:1001:\nwheel:x:10:ann,bob\n"), 0o644))
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o777))
	own(t, root, 0)
	own(t, filepath.Join(root, "home/ann"), 1000)
	return Spec{
		ID: fmt.Sprintf("test-%d-%d", os.Getpid(), runs.Add(1)), State: filepath.Join(t.TempDir(), "state"), Root: root,
		Args: append([]string{"probe"}, args...), Limits: Limits{Time: time.Minute},
	}
}

// own gives a tree to a user inside, where ids are shifted.
func own(t testing.TB, root string, inside uint32) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	uid, _ := Map().UID(inside)
	gid, _ := Map().GID(inside)
	must(t, filepath.Walk(root, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(uid), int(gid))
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root's rights")
	}
}

// run runs a spec and gives what it wrote.
func run(t testing.TB, spec Spec) (Exit, string) {
	t.Helper()
	var output bytes.Buffer
	spec.Stdout, spec.Stderr = &output, &output
	exit, err := Run(context.Background(), spec)
	if err != nil {
		t.Fatalf("%v (%v)\n%s", err, unwrapped(err), output.String())
	}
	return exit, output.String()
}

func unwrapped(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// succeed runs a spec that must exit with 0 and gives its output without the last newline.
func succeed(t testing.TB, spec Spec) string {
	t.Helper()
	exit, output := run(t, spec)
	if exit.Code != 0 {
		t.Fatalf("exit %+v\n%s", exit, output)
	}
	return strings.TrimSuffix(output, "\n")
}
