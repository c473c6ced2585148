package launch_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Outputs beyond the limits, be it by holes, and those for which the disk has no room, are refused before any of them is written.
func TestOutputsAreMeasuredFirst(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		order := w.order()
		order.Outputs = []workload.File{{Name: "small", Account: "a", Container: "c", Path: "out/small", Folder: true}, {Name: "large", Account: "a", Container: "c", Path: "out/large", Folder: true}}
		order.Command = w.order("write ${{outputs.small}}/a 1", "write ${{outputs.large}}/b 2").Command
		run, status, said := w.run(order)
		if status.State != job.Completed {
			t.Fatalf("%+v\n%s", status, said)
		}
		w.must(os.Truncate(filepath.Join(w.dir, "files", order.ID, "outputs/large/b"), 50<<30))
		w.launcher.Limits.Bytes = 1 << 30
		isKind(t, run.Deliver(t.Context(), nil), resource.TooLarge, "large", "1 GiB")
		w.launcher.Limits.Bytes, w.launcher.Reserve = 100<<30, math.MaxInt64
		isKind(t, run.Deliver(t.Context(), nil), resource.Unavailable, "disk is full")
		if _, there := w.files.has("out/small/a"); there {
			t.Error("an output was written before all were measured")
		}
		_, err := w.launcher.Launch(t.Context(), w.order("say x"), nil)
		isKind(t, err, resource.Unavailable, "disk is full")
	})
}
