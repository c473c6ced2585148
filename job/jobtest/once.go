package jobtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

// Counted is a spec whose every execution adds a line to a file.
func (w World) Counted(t testing.TB, sleep string) (spec job.Spec, executions func() int) {
	t.Helper()
	out := w.folder(t, "/out")
	out.Writable = true
	if err := os.Chmod(out.Source, 0o777); err != nil {
		t.Fatal(err)
	}
	spec = w.Spec("append", out.Target+"/count", sleep)
	spec.Mounts = []job.Mount{out}
	return spec, func() int {
		text, err := os.ReadFile(filepath.Join(out.Source, "count"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Count(string(text), "begun\n")
	}
}

// Once: however many want to begin a run, it is begun once.
func once(t *testing.T, w World) {
	spec, executions := w.Counted(t, "300ms")
	var begun, refused atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := w.Backend(t).Start(t.Context(), spec); {
			case err == nil:
				begun.Add(1)
			case is(err, resource.Conflict, "ID"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if begun.Load() != 1 || refused.Load() != 7 {
		t.Errorf("begun %d times, refused %d times", begun.Load(), refused.Load())
	}
	backend := w.Backend(t)
	run, err := backend.Open(t.Context(), spec.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Remove(); !is(err, resource.Conflict, "ID") {
		t.Errorf("removed while it runs: %v", err)
	}
	Wait(t, run)
	if executions() != 1 {
		t.Errorf("%d executions", executions())
	}
	if _, err := backend.Start(t.Context(), spec); !is(err, resource.Conflict, "ID") {
		t.Errorf("begun again: %v", err)
	}
	if ids, err := backend.List(t.Context()); err != nil || !strings.Contains(fmt.Sprint(ids), spec.ID) {
		t.Errorf("%v %v", ids, err)
	}
	if err := run.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Status(); !is(err, resource.NotFound, "") {
		t.Errorf("removed: %v", err)
	}
	if _, err := run.Wait(t.Context()); !is(err, resource.NotFound, "") {
		t.Errorf("removed: %v", err)
	}
	again := w.Start(t, spec)
	Wait(t, again)
	if executions() != 2 {
		t.Errorf("%d executions after it was removed", executions())
	}
}

func refusals(t *testing.T, w World) {
	backend := w.Backend(t)
	for name, spoil := range map[string]func(*job.Spec){
		"ID":                 func(s *job.Spec) { s.ID = "../up" },
		"Command":            func(s *job.Spec) { s.Command = nil },
		"Env":                func(s *job.Spec) { s.Env = []string{"novalue"} },
		"Secrets":            func(s *job.Spec) { s.Secrets = []string{"=x"} },
		"Mounts[0]":          func(s *job.Spec) { s.Mounts = []job.Mount{{Source: "relative", Target: "/x"}} },
		"Nodes":              func(s *job.Spec) { s.Nodes = -1 },
		"Limits":             func(s *job.Spec) { s.Limits.Timeout = -time.Second },
		"Limits.LogBytes":    func(s *job.Spec) { s.Limits.LogBytes = 1 },
		"Forward[0].Inside":  func(s *job.Spec) { s.Forward = []job.Forward{{Inside: "0.0.0.0:80", Outside: "127.0.0.1:80"}} },
		"Forward[0].Outside": func(s *job.Spec) { s.Forward = []job.Forward{{Inside: "127.0.0.1:80", Outside: "nothing"}} },
		"Serve":              func(s *job.Spec) { s.Serve = job.Serve{Port: 80, Socket: "relative"} },
		"Serve.Port": func(s *job.Spec) {
			s.Forward, s.Serve = []job.Forward{{Inside: "127.0.0.1:80", Outside: "unix:/s"}}, job.Serve{Port: 80, Socket: "/s"}
		},
		"Forward[1].Inside": func(s *job.Spec) {
			s.Forward = []job.Forward{{Inside: "127.0.0.1:80", Outside: "h:1"}, {Inside: "127.0.0.1:80", Outside: "h:1"}}
		},
		"Layers": func(s *job.Spec) {
			if s.Layers = nil; !w.Isolated {
				s.Layers = []string{"/"}
			}
		},
	} {
		spec := w.Spec("say", "x")
		spoil(&spec)
		if _, err := backend.Start(t.Context(), spec); !is(err, resource.Invalid, name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := backend.Open(t.Context(), spec.ID); !is(err, resource.NotFound, "") {
			t.Errorf("%s: it is there: %v", name, err)
		}
	}
	held := w.Spec("say", "x")
	held.Hold = []string{filepath.Join(w.Dir, "no", "such", "file")}
	if _, err := backend.Start(t.Context(), held); !is(err, resource.Unavailable, "Hold") || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("what is not there is held: %v", err)
	}
	held.Hold = nil
	if status, _ := w.Run(t, held); status.State != job.Completed { // nothing was begun
		t.Errorf("%+v", status)
	}
	if !w.Isolated {
		return
	}
	gone := w.Spec("say", "x")
	gone.Layers = []string{filepath.Join(w.Dir, "deleted")}
	if status, _ := w.Run(t, gone); status.State != job.Failed || status.Reason != job.StartFailed || status.Message == "" {
		t.Errorf("a deleted image: %+v", status)
	}
}

// Many short runs at once all end.
func many(t *testing.T, w World) {
	count := 40
	if testing.Short() {
		count = 8
	}
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			run := w.Start(t, w.Spec("say", fmt.Sprint(i)))
			if status := Wait(t, run); status.State != job.Completed || Log(t, run, 0) != fmt.Sprintln(i) {
				t.Errorf("%+v", status)
			}
		})
	}
	all.Wait()
}

// Limits end what takes too much, in a state that says so.
func limits(t *testing.T, w World) {
	if w.Memory {
		spec := w.Spec("hog")
		spec.Limits.Memory = 128 << 20
		if status, _ := w.Run(t, spec); status.State != job.Failed || status.Reason != job.OutOfMemory || !status.Nodes[0].OutOfMemory {
			t.Errorf("memory: %+v", status)
		}
	}
	if w.PIDs {
		spec := w.Spec("bomb", t.Name())
		spec.Limits.PIDs, spec.Limits.Timeout, spec.Limits.CPUs, spec.Limits.Memory = 100, time.Second, 0.5, 512<<20
		status, _ := w.Run(t, spec)
		if status.State != job.Failed || Processes(t, t.Name()) != 0 || status.Ended.Sub(status.Begun) > 20*time.Second {
			t.Errorf("processes: %+v", status)
		}
	}
}
