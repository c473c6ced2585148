package jobtest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
)

// Ends: every way in which a command can end is told as it was.
func ends(t *testing.T, w World) {
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		signal string
		says   string
	}{
		{"well", []string{"say", "hello"}, 0, "", "hello\n"},
		{"with a code", []string{"exit", "3"}, 3, "", ""},
		{"by a signal", []string{"signal", "1"}, 129, "SIGHUP", ""},
		{"killed", []string{"signal", "9"}, 137, "SIGKILL", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, said := w.Run(t, w.Spec(test.args...))
			state, reason := job.Failed, job.ExitCode
			if test.code == 0 {
				state, reason = job.Completed, ""
			}
			node := status.Nodes[0]
			if status.State != state || status.Reason != reason || node.ExitCode != test.code || node.Signal != test.signal || !node.Ended || said != test.says {
				t.Errorf("%+v %q", status, said)
			}
			if (status.Message == "") != (state == job.Completed) || status.Begun.After(status.Ended) || status.Isolation.Level == "" {
				t.Errorf("%+v", status)
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		spec := w.Spec()
		spec.Command = []string{"/nothing/here"}
		if status, said := w.Run(t, spec); status.Nodes[0].ExitCode != 127 || said != "cannot execute /nothing/here: no such file or directory\n" {
			t.Errorf("%+v %q", status, said)
		}
	})
	t.Run("what it leaves in the background ends with it", func(t *testing.T) {
		begun := time.Now()
		status, said := w.Run(t, w.Spec("orphan", t.Name()))
		if status.State != job.Completed || !strings.HasPrefix(said, "left ") || Processes(t, t.Name()) != 0 || time.Since(begun) > 10*time.Second {
			t.Errorf("%+v %q, %d are left", status, said, Processes(t, t.Name()))
		}
	})
	t.Run("zombies", func(t *testing.T) {
		if status, said := w.Run(t, w.Spec("zombie", "50")); status.State != job.Completed || said != "made 50\n" {
			t.Errorf("%+v %q", status, said)
		}
	})
}

// Cancellation and time limits: SIGTERM, then SIGKILL of everything.
func cancellation(t *testing.T, w World) {
	t.Run("it may finish", func(t *testing.T) {
		run := w.Start(t, w.Spec("term"))
		Says(t, run, "waiting")
		if status, err := run.Status(); err != nil || status.State != job.Running || status.Nodes[0].LogBytes != 8 {
			t.Errorf("%+v %v", status, err)
		}
		begun := time.Now()
		if err := run.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		status := Wait(t, run)
		if status.State != job.Canceled || status.Nodes[0].ExitCode != 42 || Log(t, run, 0) != "waiting\nsaved\n" || time.Since(begun) > job.Grace {
			t.Errorf("%+v %q after %v", status, Log(t, run, 0), time.Since(begun))
		}
		w.Clean(t, run)
		if err := run.Cancel(t.Context()); err != nil { // nothing any more
			t.Error(err)
		}
		if again, err := run.Status(); err != nil || again.State != job.Canceled {
			t.Errorf("%+v %v", again, err)
		}
	})
	t.Run("it ignores SIGTERM", func(t *testing.T) {
		run := w.Start(t, w.Spec("ignore", t.Name()))
		Says(t, run, "sleeping")
		begun := time.Now()
		if err := run.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		status := Wait(t, run)
		took := time.Since(begun)
		if status.State != job.Canceled || status.Nodes[0].Signal != "SIGKILL" || took < job.Grace || took > 3*job.Grace || Processes(t, t.Name()) != 0 {
			t.Errorf("%+v after %v", status, took)
		}
		w.Clean(t, run)
	})
	t.Run("at once", func(t *testing.T) {
		run := w.Start(t, w.Spec("sleep", "1h"))
		if err := run.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status := Wait(t, run); status.State != job.Canceled {
			t.Errorf("%+v", status)
		}
		w.Clean(t, run)
	})
	t.Run("time", func(t *testing.T) {
		spec := w.Spec("sleep", "1h")
		spec.Limits.Timeout = 300 * time.Millisecond
		status, _ := w.Run(t, spec)
		if took := status.Ended.Sub(status.Begun); status.State != job.Failed || status.Reason != job.Timeout || took < 300*time.Millisecond || took > 10*time.Second {
			t.Errorf("%+v", status)
		}
	})
}

// Nodes of a run find each other, and end with the first that fails.
func nodes(t *testing.T, w World) {
	t.Run("meet", func(t *testing.T) {
		spec := w.Spec("meet")
		spec.Nodes = 3
		run := w.Start(t, spec)
		status := Wait(t, run)
		said := Log(t, run, 0)
		if status.State != job.Completed || len(status.Nodes) != 3 || !strings.Contains(said, "node 1 is here\n") || !strings.Contains(said, "node 2 is here\n") {
			t.Errorf("%+v %q %q %q", status, said, Log(t, run, 1), Log(t, run, 2))
		}
		w.Clean(t, run)
	})
	t.Run("one fails", func(t *testing.T) {
		spec := w.Spec("fail", "1", "7")
		spec.Nodes = 3
		status, _ := w.Run(t, spec)
		if status.State != job.Failed || status.Reason != job.ExitCode || status.Nodes[1].ExitCode != 7 || status.Nodes[0].Ended && status.Nodes[0].ExitCode == 0 || !strings.Contains(status.Message, "node 1 ended with the exit code 7") {
			t.Errorf("%+v", status)
		}
	})
	t.Run("environment", func(t *testing.T) {
		spec := w.Spec("env")
		spec.Nodes = 2
		run := w.Start(t, spec)
		Wait(t, run)
		for rank := range 2 {
			said := Log(t, run, rank)
			for _, want := range []string{"NODE_RANK=" + strconv.Itoa(rank), "RANK=" + strconv.Itoa(rank), "LOCAL_RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT="} {
				if !strings.Contains("\n"+said, "\n"+want) {
					t.Errorf("node %d has no %s: %q", rank, want, said)
				}
			}
		}
	})
}
