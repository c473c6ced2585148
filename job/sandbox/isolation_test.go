//go:build linux

package sandbox

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// What must not work inside does not, each with the error that tells which wall it met.
func TestForbidden(t *testing.T) {
	output := succeed(t, box(t, "forbid"))
	missing := []string{"clone3", "a call of the future"}
	readOnly := []string{"write core_pattern", "write ip_forward", "write sysrq", "write uevent_helper"}
	for line := range strings.Lines(output) {
		name, got, _ := strings.Cut(strings.TrimSpace(line), ": ")
		want := unix.EPERM.Error()
		switch {
		case slices.Contains(missing, name):
			want = unix.ENOSYS.Error()
		case slices.Contains(readOnly, name) || name == "write uid_map":
			if strings.HasSuffix(got, unix.EROFS.Error()) || strings.HasSuffix(got, unix.EACCES.Error()) ||
				strings.HasSuffix(got, unix.EPERM.Error()) || strings.HasSuffix(got, unix.ENOENT.Error()) {
				continue
			}
		case name == "renice":
			want = unix.EACCES.Error()
		}
		if got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
	if n := strings.Count(output, "\n"); n < 40 {
		t.Errorf("only %d attempts:\n%s", n, output)
	}
}

func TestSeesNothingOfTheHost(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o644))
	fails := func(args ...string) {
		t.Helper()
		if exit, output := run(t, box(t, args...)); exit.Code == 0 {
			t.Errorf("%v gave %q", args, output)
		}
	}
	fails("cat", outside)
	fails("cat", "/../../../.."+outside)
	fails("cat", "/proc/1/root"+outside)
	fails("cat", "/proc/1/environ")
	fails("cat", "/proc/kmsg")
	fails("write", "/proc/1/fd/4", "a report that the reaper did not write")
	fails("ls", "/sys/fs/cgroup/alvara")
	fails("kill", "1000")
	if got := succeed(t, box(t, "cat", "/proc/interrupts")); got != "" {
		t.Errorf("%d bytes about the machine", len(got))
	}
	if got := succeed(t, box(t, "ls", "/")); got != "bin\ndev\netc\nhome\nproc\nsys\ntmp" {
		t.Errorf("the root has %q", got)
	}
	devices := strings.Fields(succeed(t, box(t, "ls", "/dev")))
	devices = slices.DeleteFunc(devices, func(name string) bool { return name == "core" }) // a link into /proc, where the kernel has it
	if got := strings.Join(devices, " "); got != "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero" {
		t.Errorf("/dev has %q", got)
	}
	pids := 0
	for _, name := range strings.Fields(succeed(t, box(t, "ls", "/proc"))) {
		if name[0] >= '0' && name[0] <= '9' {
			pids++
		}
	}
	if pids != 2 {
		t.Errorf("%d processes are seen, not the reaper and the command", pids)
	}
	status := succeed(t, box(t, "cat", "/proc/self/status"))
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "CapAmb:\t0000000000000000"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("no %q in %s", want, status)
		}
	}
}

// With no network neither the host's loopback nor its abstract sockets can be reached; the own loopback works. With the
// host's network they can.
func TestNetwork(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = tcp.Close() }()
	abstract, err := net.Listen("unix", "@"+t.Name()+filepath.Base(t.TempDir()))
	must(t, err)
	defer func() { _ = abstract.Close() }()
	for _, listener := range []net.Listener{tcp, abstract} {
		spec := box(t, "dial", listener.Addr().Network(), listener.Addr().String())
		if exit, output := run(t, spec); exit.Code == 0 || !strings.Contains(output, "refused") {
			t.Errorf("%s: %q", listener.Addr(), output)
		}
		spec = box(t, "dial", listener.Addr().Network(), listener.Addr().String())
		spec.Network = Host
		if got := succeed(t, spec); got != "connected" {
			t.Errorf("%s: %q", listener.Addr(), got)
		}
	}
	if exit, output := run(t, box(t, "dial", "tcp", "192.0.2.1:80")); exit.Code == 0 || !strings.Contains(output, "unreachable") {
		t.Errorf("the outside: %q", output)
	}
	if got := succeed(t, box(t, "echo")); got != "hello" {
		t.Errorf("loopback: %q", got)
	}
}

func TestFiles(t *testing.T) {
	shared, readOnly := t.TempDir(), t.TempDir()
	own(t, shared, 0)
	must(t, os.WriteFile(filepath.Join(readOnly, "file"), []byte("data"), 0o644))
	with := func(args ...string) Spec {
		spec := box(t, args...)
		spec.Mounts = []Mount{
			{Source: shared, Target: "/shared"}, {Source: readOnly, Target: "/data", ReadOnly: true},
			{Source: filepath.Join(readOnly, "file"), Target: "/etc/one", ReadOnly: true}, {Target: "/scratch", Size: 1 << 20},
		}
		return spec
	}
	succeed(t, with("write", "/shared/file", "from inside"))
	content, err := os.ReadFile(filepath.Join(shared, "file"))
	if err != nil || string(content) != "from inside" {
		t.Errorf("%q %v", content, err)
	}
	want, _ := Map().UID(0)
	if got := ownerOf(t, filepath.Join(shared, "file")); got != want {
		t.Errorf("it belongs to %d, not %d", got, want)
	}
	if got := succeed(t, with("cat", "/data/file")) + succeed(t, with("cat", "/etc/one")); got != "datadata" {
		t.Error(got)
	}
	for _, args := range [][]string{
		{"write", "/data/file", "x"}, {"write", "/data/new", "x"}, {"write", "/etc/one", "x"},
	} {
		if exit, output := run(t, with(args...)); exit.Code == 0 || !strings.Contains(output, "read-only") {
			t.Errorf("%v: %q", args, output)
		}
	}
	succeed(t, with("write", "/scratch/file", "x"))
	spec := with("write", "/file", "x")
	spec.ReadOnlyRoot = true
	must(t, os.MkdirAll(filepath.Join(spec.Root, "proc"), 0o755))
	if exit, output := run(t, spec); exit.Code == 0 || !strings.Contains(output, "read-only") {
		t.Errorf("a read-only root: %q", output)
	}
	spec = box(t, "pwd")
	spec.Dir = "/made/on the way"
	if got := succeed(t, spec); got != spec.Dir {
		t.Error(got)
	}
	spec = box(t, "host")
	spec.Hostname = "builder-1"
	if got := succeed(t, spec); got != "builder-1" {
		t.Error(got)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var stat unix.Stat_t
	must(t, unix.Lstat(path, &stat))
	return stat.Uid
}

// A stack of layers: what is below is seen and not changed, and the changes are in the upper folder.
func TestOverlay(t *testing.T) {
	needRoot(t)
	spec := box(t, "write", "/etc/passwd", "changed")
	top, upper, work := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(top, "top"), []byte("top"), 0o644))
	for _, folder := range []string{top, upper, work} {
		must(t, os.Chmod(folder, 0o755))
		own(t, folder, 0)
	}
	spec.Overlay = &Overlay{Lower: []string{top, spec.Root}, Upper: upper, Work: work}
	succeed(t, spec)
	changed, err := os.ReadFile(filepath.Join(upper, "etc/passwd"))
	if err != nil || string(changed) != "changed" {
		t.Errorf("%q %v", changed, err)
	}
	if below, _ := os.ReadFile(filepath.Join(spec.Root, "etc/passwd")); !strings.HasPrefix(string(below), "root:") {
		t.Errorf("the layer below: %q", below)
	}
	spec.Args, spec.Overlay.Upper, spec.Overlay.Work = []string{"probe", "cat", "/top"}, "", ""
	for _, folder := range []string{"proc", "sys", "dev"} {
		must(t, os.MkdirAll(filepath.Join(top, folder), 0o755))
	}
	if got := succeed(t, spec); got != "top" {
		t.Error(got)
	}
	leaves(t, spec)
}

func TestInvalid(t *testing.T) {
	good := box(t, "true")
	for field, change := range map[string]func(*Spec){
		"ID":                 func(s *Spec) { s.ID = "../x" },
		"State":              func(s *Spec) { s.State = "" },
		"Root":               func(s *Spec) { s.Root = "/nothing/here" },
		"Mapping":            func(s *Spec) { s.Mapping = Mapping{Host: 5} },
		"Args":               func(s *Spec) { s.Args = nil },
		"Env":                func(s *Spec) { s.Env = []string{"NOTHING"} },
		"Dir":                func(s *Spec) { s.Dir = "here" },
		"Hostname":           func(s *Spec) { s.Hostname = "a b" },
		"Network":            func(s *Spec) { s.Network = 9 },
		"Mounts[0].Target":   func(s *Spec) { s.Mounts = []Mount{{Target: "/proc/../proc/x"}} },
		"Mounts[0].Source":   func(s *Spec) { s.Mounts = []Mount{{Source: "/nothing/here", Target: "/x"}} },
		"Mounts[0].Size":     func(s *Spec) { s.Mounts = []Mount{{Source: "/etc", Target: "/x", Size: 1}} },
		"Mounts[0].ReadOnly": func(s *Spec) { s.Mounts = []Mount{{Target: "/x", ReadOnly: true}} },
		"Overlay":            func(s *Spec) { s.Overlay = &Overlay{} },
		"Limits.Memory":      func(s *Spec) { s.Limits.Memory = 1 },
		"Limits.PIDs":        func(s *Spec) { s.Limits.PIDs = -1 },
		"Limits.CPUs":        func(s *Spec) { s.Limits.CPUs = -1 },
		"Limits.Time":        func(s *Spec) { s.Limits.Time = -time.Second },
	} {
		spec := good
		change(&spec)
		_, err := Run(context.Background(), spec)
		if e, ok := resource.AsError(err); !ok || e.Kind != resource.Invalid || e.Target != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	leaves(t, good)
}
