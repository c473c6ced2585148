//go:build linux

package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scenarios are what the test program does when it is started as a caller to be killed.
var scenarios = map[string]func(){
	"caller": func() {
		spec := Spec{
			ID: os.Args[1], State: os.Args[2], Root: os.Args[3], Args: []string{"probe", "sleep", os.Args[4]}, Stdout: os.Stdout,
		}
		exit, err := Run(context.Background(), spec)
		fmt.Println(exit, err)
	},
}

// marker is a duration that nobody else sleeps, to find the command's process by.
func marker() string { return fmt.Sprintf("%dms", 3_600_000+os.Getpid()+int(runs.Add(1))) }

// sleeping counts the processes of the machine that sleep that long.
func sleeping(t testing.TB, mark string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	found := 0
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(line), "probe\x00sleep\x00"+mark) {
			found++
		}
	}
	return found
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Errorf("never: %s", what)
}

// A caller that is killed takes the command with it, at whatever point, and Sweep removes what is left.
func TestKilledCaller(t *testing.T) {
	for _, after := range []time.Duration{0, 5, 10, 15, 20, 25, 30, 40, 60, -1} {
		t.Run((after * time.Millisecond).String(), func(t *testing.T) {
			spec, mark := box(t), marker()
			caller := exec.Command("/proc/self/exe", spec.ID, spec.State, spec.Root, mark)
			caller.Env = append(os.Environ(), envScenario+"=caller")
			out, err := caller.StdoutPipe()
			must(t, err)
			must(t, caller.Start())
			if after < 0 { // when it runs
				if _, err := out.Read(make([]byte, 8)); err != nil || sleeping(t, mark) != 1 {
					t.Errorf("%v, %d sleep", err, sleeping(t, mark))
				}
			} else {
				time.Sleep(after * time.Millisecond)
			}
			must(t, caller.Process.Signal(unix.SIGKILL))
			_ = caller.Wait()
			eventually(t, "the command is gone", func() bool { return sleeping(t, mark) == 0 })
			if _, err := Sweep(spec.State); err != nil {
				t.Errorf("sweep: %v", err)
			}
			leaves(t, spec)
			eventually(t, "no process of the sandbox is left", func() bool { return inits(t, spec.Root) == 0 })
			// What is left of a caller does not keep the next one with the same id.
			spec.Args = []string{"/bin/true"}
			succeed(t, spec)
		})
	}
}

// inits counts the processes that have a root file system as their working folder or root.
func inits(t testing.TB, root string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	must(t, err)
	found := 0
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, root) {
			found++
		}
	}
	return found
}

// leaves checks that a command left nothing.
func leaves(t testing.TB, spec Spec) {
	t.Helper()
	if entries, err := os.ReadDir(spec.State); err == nil && len(entries) > 0 {
		t.Errorf("in the state folder: %v", entries)
	}
	for _, group := range groups(t) {
		if strings.Contains(group, spec.ID) {
			t.Errorf("a cgroup is left: %s", group)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), spec.Root) || strings.Contains(string(mounts), spec.State) {
		t.Errorf("a mount is left:\n%s", mounts)
	}
}

func groups(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/alvara/*", "/sys/fs/cgroup/alvara/*"} {
		found, err := filepath.Glob(pattern)
		must(t, err)
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				list = append(list, path)
			}
		}
	}
	return list
}

// Many commands one after the other, and some at once, leave nothing behind, whatever their ends.
func TestNothingIsLeft(t *testing.T) {
	total := 200
	if testing.Short() || os.Geteuid() != 0 {
		total = 20
	}
	spec := box(t)
	before := state(t)
	for i := range total {
		s := spec
		s.ID = fmt.Sprintf("%s-%d", spec.ID, i)
		switch i % 4 {
		case 0:
			s.Args = []string{"probe", "exit", "1"}
		case 1:
			s.Args = []string{"probe", "orphan", "1h"}
		case 2:
			s.Args = []string{"nothing"}
		default:
			s.Args, s.User = []string{"/bin/true"}, "nobody-like-this"
		}
		if _, err := Run(context.Background(), s); (err != nil) != (i%4 == 3) {
			t.Fatal(err)
		}
	}
	leaves(t, spec)
	eventually(t, "files, threads and mounts are as many as before", func() bool {
		after := state(t)
		return after.files <= before.files && after.mounts == before.mounts && after.threads <= before.threads+8
	})
	if t.Failed() {
		t.Logf("before %+v, after %+v", before, state(t))
	}
}

type footprint struct{ files, mounts, threads int }

func state(t testing.TB) footprint {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	threads, err := os.ReadDir("/proc/self/task")
	must(t, err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	return footprint{files: len(files), mounts: strings.Count(string(mounts), "\n"), threads: len(threads)}
}

func TestAtOnce(t *testing.T) {
	const many = 6
	done := make(chan error, many)
	for i := range many {
		spec := box(t, "exit", fmt.Sprint(i))
		go func() {
			exit, err := Run(context.Background(), spec)
			if err == nil && exit.Code != i {
				err = fmt.Errorf("%d gave %+v", i, exit)
			}
			done <- err
		}()
	}
	for range many {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
