package launch_test

import (
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/workload"
)

// first tells when something was written first.
type first struct{ at time.Time }

func (f *first) Write(p []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return len(p), nil
}

// BenchmarkLaunch measures a run with code and tokens on an image that is unpacked: until Launch returns, and until a follower of the log
// has the first line (P8).
func BenchmarkLaunch(b *testing.B) {
	for _, kind := range []string{local.Process, local.Sandbox} {
		b.Run(kind, func(b *testing.B) {
			w := newWorld(b, kind)
			w.files.put("code/train.sh", "train")
			var launched, line time.Duration
			for b.Loop() {
				order := w.order("say hello")
				order.Tokens, order.ClientID = []string{w.ann.ID}, w.ann.ClientID
				order.Code = []workload.File{{Account: "a", Container: "c", Path: "code", Folder: true}}
				begun, log := time.Now(), &first{}
				run, err := w.launcher.Launch(b.Context(), order, nil)
				if err != nil {
					b.Fatal(err)
				}
				launched += time.Since(begun)
				if _, err := run.Logs(b.Context(), 0, 0, true, log); err != nil {
					b.Fatal(err)
				}
				if status, err := run.Status(); err != nil || status.State != job.Completed {
					b.Fatal(status, err)
				}
				line += log.at.Sub(begun)
				w.must(w.launcher.Forget(order.ID))
			}
			b.ReportMetric(float64(launched.Milliseconds())/float64(b.N), "ms-to-launched")
			b.ReportMetric(float64(line.Milliseconds())/float64(b.N), "ms-to-line")
		})
	}
}
