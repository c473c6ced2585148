package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/jobtest"
	"github.com/alvara-ml/alvara/resource"
)

// A full disk ends in a clear state: what runs goes on without its log and its end is recorded, what begins is refused or fails
// and says why; and when there is room again, so is everything else.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root's rights, to mount a small disk")
	}
	both(t, func(t *testing.T, w jobtest.World) {
		if err := os.Mkdir(w.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", w.Dir, "tmpfs", 0, "size=8m"); err != nil {
			t.Skipf("no small disk: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(w.Dir, unix.MNT_DETACH) })
		out := job.Mount{Source: filepath.Join(w.Dir, "out"), Target: filepath.Join(w.Dir, "out"), Writable: true}
		if w.Isolated {
			out.Target = "/out"
		}
		if err := os.Mkdir(out.Source, 0o755); err != nil {
			t.Fatal(err)
		}
		filling := w.Spec("fill", out.Target+"/file")
		filling.Mounts = []job.Mount{out}
		status, _ := w.Run(t, filling)
		if status.State != job.Completed || status.Nodes[0].LogBytes+status.Nodes[0].LogLost == 0 {
			t.Errorf("the one that fills it: %+v", status)
		}
		flood := w.Spec("flood", "20480") // larger than the disk
		flood.Limits.LogBytes = 64 << 20
		run, err := w.Backend(t).Start(t.Context(), flood)
		if known, ok := resource.AsError(err); ok && known.Kind == resource.Unavailable && known.Code == "DiskFull" {
			t.Log("refused")
		} else if err != nil {
			t.Fatal(err)
		} else if status := jobtest.Wait(t, run); !status.State.Ended() || status.State == job.Failed && status.Message == "" {
			t.Errorf("on a full disk: %+v", status)
		}
		if err := os.Remove(filepath.Join(out.Source, "file")); err != nil {
			t.Fatal(err)
		}
		flood.ID += "-again"
		status, said := w.Run(t, flood)
		node := status.Nodes[0]
		if status.State != job.Completed || node.LogLost == 0 || node.LogBytes+node.LogLost != 20<<20+14 || !strings.HasPrefix(said, "0123456789abcde\n") {
			t.Errorf("a log larger than the disk: %+v", status)
		}
	})
}
