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
		inner := w.Backend
		w.Backend = func(t testing.TB) job.Backend { // which fills the disk to its end
			b := inner(t).(*Backend)
			b.Reserve = -1
			return b
		}
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

// Below the reserve nothing is begun, and what runs is ended and says why, so that the server has room to go on.
func TestReserve(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root's rights, to mount a small disk")
	}
	both(t, func(t *testing.T, w jobtest.World) {
		if err := os.Mkdir(w.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", w.Dir, "tmpfs", 0, "size=64m"); err != nil {
			t.Skipf("no small disk: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(w.Dir, unix.MNT_DETACH) })
		inner := w.Backend
		w.Backend = func(t testing.TB) job.Backend {
			b := inner(t).(*Backend)
			b.Reserve = 32 << 20
			return b
		}
		run := w.Start(t, w.Spec("term"))
		jobtest.Says(t, run, "waiting")
		if err := os.WriteFile(filepath.Join(w.Dir, "filler"), make([]byte, 40<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if status := jobtest.Wait(t, run); status.State != job.Failed || status.Reason != job.DiskFull || status.Message == "" {
			t.Errorf("%+v", status)
		}
		_, err := w.Backend(t).Start(t.Context(), w.Spec("term"))
		if known, ok := resource.AsError(err); !ok || known.Kind != resource.Unavailable || known.Code != "DiskFull" {
			t.Errorf("on a disk without room: %v", err)
		}
		if err := os.Remove(filepath.Join(w.Dir, "filler")); err != nil {
			t.Fatal(err)
		}
		again := w.Start(t, w.Spec("term"))
		jobtest.Says(t, again, "waiting")
		if err := again.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		jobtest.Wait(t, again)
	})
}
