package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/jobtest"
	"github.com/alvara-ml/alvara/resource"
)

// server starts the run that it is given, says so, and stays until it is killed.
func server() {
	var spec job.Spec
	if err := json.Unmarshal([]byte(os.Getenv(envServer)), &spec); err != nil {
		panic(err)
	}
	backend := &Backend{Dir: os.Args[1], Kind: os.Args[2], Clock: time.Now}
	if _, err := backend.Start(context.Background(), spec); err != nil {
		panic(err)
	}
	fmt.Println("started")
	time.Sleep(time.Hour)
}

// startServer starts a server that starts a run.
func startServer(t *testing.T, w jobtest.World, kind string, spec job.Spec) (server *exec.Cmd, started func()) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	server = exec.Command("/proc/self/exe", w.Dir, kind)
	server.Env = append(os.Environ(), envServer+"="+string(text))
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	return server, func() {
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
}

func kill(server *exec.Cmd) {
	_ = server.Process.Signal(syscall.SIGKILL)
	_ = server.Wait()
}

// A server that is killed at whatever moment: the next one opens the run or starts it, and it is executed exactly once.
func TestKilledServer(t *testing.T) {
	delays := []time.Duration{0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 50, 80, 120, 500}
	if testing.Short() {
		delays = []time.Duration{0, 8, 15, 120}
	}
	both(t, func(t *testing.T, w jobtest.World) {
		kind := filepath.Base(t.Name())
		for _, delay := range delays {
			t.Run((delay * time.Millisecond).String(), func(t *testing.T) {
				spec, executions := w.Counted(t, "300ms")
				server, _ := startServer(t, w, kind, spec)
				time.Sleep(delay * time.Millisecond)
				kill(server)
				backend := w.Backend(t)
				run, err := backend.Open(t.Context(), spec.ID)
				if known, ok := resource.AsError(err); ok && known.Kind == resource.NotFound {
					run, err = backend.Start(t.Context(), spec)
				}
				if err != nil {
					t.Fatal(err)
				}
				status := jobtest.Wait(t, run)
				if status.State != job.Completed || executions() != 1 {
					t.Errorf("%+v after %d executions", status, executions())
				}
				w.Clean(t, run)
			})
		}
	})
}

// A run goes on without its server: it can be followed and canceled by the next one, and its end is there when it ended meanwhile.
func TestAdopt(t *testing.T) {
	both(t, func(t *testing.T, w jobtest.World) {
		kind := filepath.Base(t.Name())
		t.Run("running", func(t *testing.T) {
			spec := w.Spec("term")
			server, started := startServer(t, w, kind, spec)
			started()
			kill(server)
			run, err := w.Backend(t).Open(t.Context(), spec.ID)
			if err != nil {
				t.Fatal(err)
			}
			jobtest.Says(t, run, "waiting")
			if err := run.Cancel(t.Context()); err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if _, err := run.Logs(t.Context(), 0, 0, true, &text); err != nil || text.String() != "waiting\nsaved\n" {
				t.Errorf("%q %v", text.String(), err)
			}
			if status := jobtest.Wait(t, run); status.State != job.Canceled || status.Nodes[0].ExitCode != 42 {
				t.Errorf("%+v", status)
			}
		})
		t.Run("ended", func(t *testing.T) {
			spec := w.Spec("exit", "3")
			server, started := startServer(t, w, kind, spec)
			started()
			kill(server)
			jobtest.Until(t, "it ends", func() bool {
				busy, err := folder(filepath.Join(w.Dir, spec.ID)).busy()
				return err == nil && !busy
			})
			run, err := w.Backend(t).Open(t.Context(), spec.ID)
			if err != nil {
				t.Fatal(err)
			}
			if status, err := run.Status(); err != nil || status.State != job.Failed || status.Reason != job.ExitCode || status.Nodes[0].ExitCode != 3 {
				t.Errorf("%+v %v", status, err)
			}
		})
	})
}

// supervisorOf finds the process that supervises a run.
func supervisorOf(t *testing.T, w jobtest.World, id string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), Argument+"\x00"+filepath.Join(w.Dir, id)+"\x00") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}

// A run whose folder is removed, as with a whole data folder, ends: nobody can find it again.
func TestRemovedFolder(t *testing.T) {
	both(t, func(t *testing.T, w jobtest.World) {
		spec := w.Spec("term")
		run := w.Start(t, spec)
		jobtest.Says(t, run, "waiting")
		if supervisorOf(t, w, spec.ID) == 0 {
			t.Fatal("there is no supervisor")
		}
		if err := os.RemoveAll(filepath.Join(w.Dir, spec.ID)); err != nil {
			t.Fatal(err)
		}
		jobtest.Until(t, "its supervisor ends", func() bool { return supervisorOf(t, w, spec.ID) == 0 })
	})
}

// A supervisor that is killed takes the run with it, and the run is said to be lost; nothing of it is left.
func TestKilledSupervisor(t *testing.T) {
	both(t, func(t *testing.T, w jobtest.World) {
		for _, command := range []string{"ignore", "orphan", "at once"} {
			t.Run(command, func(t *testing.T) {
				mark := "mark-" + filepath.Base(filepath.Dir(t.Name())) + "-" + command
				spec := w.Spec(command, mark)
				if command == "at once" {
					spec = w.Spec("ignore", mark)
				}
				spec.Secrets = []string{"TOKEN=hidden"}
				run := w.Start(t, spec)
				if command == "ignore" {
					jobtest.Says(t, run, "sleeping")
				} else {
					jobtest.Until(t, "it is recorded", func() bool { _, err := folder(filepath.Join(w.Dir, spec.ID)).status(); return err == nil })
				}
				if pid := supervisorOf(t, w, spec.ID); pid != 0 {
					if err := unix.Kill(pid, unix.SIGKILL); err != nil {
						t.Fatal(err)
					}
				}
				status := jobtest.Wait(t, run)
				lost := status.State == job.Failed && status.Reason == job.Lost && status.Message != ""
				if !lost && (command != "orphan" || status.State != job.Completed) { // which may have ended by itself
					t.Errorf("%+v", status)
				}
				jobtest.Until(t, "its processes are gone", func() bool { return jobtest.Processes(t, mark) == 0 })
				w.Clean(t, run)
				if again, err := run.Status(); err != nil || again.State != status.State || again.Reason != status.Reason {
					t.Errorf("%+v %v", again, err)
				}
			})
		}
	})
}

// A supervisor that is asked to end, as at the shutdown of a machine, ends the run as one that is canceled.
func TestTerminatedSupervisor(t *testing.T) {
	both(t, func(t *testing.T, w jobtest.World) {
		spec := w.Spec("term")
		run := w.Start(t, spec)
		jobtest.Says(t, run, "waiting")
		if err := unix.Kill(supervisorOf(t, w, spec.ID), unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := jobtest.Wait(t, run); status.State != job.Canceled || status.Nodes[0].ExitCode != 42 {
			t.Errorf("%+v", status)
		}
	})
}

// Whoever waits for a run whose supervisor is killed learns how it ended, also while somebody else is about to write that down.
func TestManyWaitForALostRun(t *testing.T) {
	both(t, func(t *testing.T, w jobtest.World) {
		spec := w.Spec("ignore")
		run := w.Start(t, spec)
		jobtest.Says(t, run, "sleeping")
		const many = 50
		type seen struct {
			status job.Status
			err    error
		}
		all := make(chan seen, many)
		for range many {
			go func() {
				status, err := run.Wait(t.Context())
				all <- seen{status, err}
			}()
		}
		if err := unix.Kill(supervisorOf(t, w, spec.ID), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for range many {
			if s := <-all; s.err != nil || s.status.State != job.Failed || s.status.Reason != job.Lost || s.status.Message == "" {
				t.Fatalf("%+v %v", s.status, s.err)
			}
		}
	})
}

// Somebody who waits is not let go while somebody else writes down that the run was lost: the record, here a pipe, is read when the
// lock was found free, and is still that of a run that goes on.
func TestWaitWhileItIsSettled(t *testing.T) {
	f := folder(t.TempDir())
	lock, err := f.claim(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(f.path(recordName), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan job.Status, 1)
	go func() {
		status, err := (&run{folder: f, id: "lost"}).Wait(t.Context())
		if err != nil {
			t.Error(err)
		}
		ended <- status
	}()
	record, err := os.OpenFile(f.path(recordName), os.O_WRONLY, 0) // returns when the one who waits reads
	if err != nil {
		t.Fatal(err)
	}
	settling, err := f.claim(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.WriteString(`{"State":"Running"}`); err != nil {
		t.Fatal(err)
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.write(recordName, job.Status{State: job.Failed, Reason: job.Lost}, true); err != nil {
		t.Fatal(err)
	}
	if err := settling.Close(); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status.Reason != job.Lost {
		t.Errorf("%+v", status)
	}
}
