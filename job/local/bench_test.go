package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
)

// first tells when something was written first.
type first struct{ at time.Time }

func (f *first) Write(p []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return len(p), nil
}

// BenchmarkStart measures a run on an image that is unpacked: to the end, and to the first line that a follower of the log gets (P8).
// The limit is a sandbox in this process, without anything that survives it.
func BenchmarkStart(b *testing.B) {
	for _, kind := range []string{Process, Sandbox} {
		for _, forwards := range []int{0, 4} {
			b.Run(fmt.Sprintf("%s/forwards=%d", kind, forwards), func(b *testing.B) {
				w := world(b, kind)
				backend := w.Backend(b)
				var line time.Duration
				for b.Loop() {
					spec := w.Spec("say", "hello")
					for i := range forwards {
						address := fmt.Sprintf("127.0.0.1:%d", 17000+i)
						spec.Forward = append(spec.Forward, job.Forward{Inside: address, Outside: address})
					}
					begun, log := time.Now(), &first{}
					run, err := backend.Start(b.Context(), spec)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := run.Logs(b.Context(), 0, 0, true, log); err != nil {
						b.Fatal(err)
					}
					if status, err := run.Status(); err != nil || status.State != job.Completed {
						b.Fatal(status, err)
					}
					line += log.at.Sub(begun)
				}
				b.ReportMetric(float64(line.Milliseconds())/float64(b.N), "ms-to-line")
			})
		}
	}
	b.Run("limit", limit)
}

func limit(b *testing.B) {
	w := world(b, Sandbox)
	driver, err := driverOf(Sandbox)
	if err != nil {
		b.Fatal(err)
	}
	var line time.Duration
	for i := 0; b.Loop(); i++ {
		folder := filepath.Join(b.TempDir(), strconv.Itoa(i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			b.Fatal(err)
		}
		begun, log := time.Now(), &first{}
		site, err := driver.Prepare(b.Context(), w.Spec("say", "hello"), folder, fmt.Sprintf("limit%d", i))
		if err != nil {
			b.Fatal(err)
		}
		if node, err := site.Run(b.Context(), job.Task{Output: log}); err != nil || node.ExitCode != 0 {
			b.Fatal(node, err)
		}
		line += log.at.Sub(begun)
	}
	b.ReportMetric(float64(line.Milliseconds())/float64(b.N), "ms-to-line")
}

// Whoever follows a log at 1 MB/s takes less than a twentieth of a processor for it.
func TestFollowingIsCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	w := world(t, Process)
	run := w.Start(t, w.Spec("rate", "1000", "3"))
	before := processorTime(t)
	begun := time.Now()
	var followed bytes.Buffer
	if _, err := run.Logs(t.Context(), 0, 0, true, &followed); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	share := float64(processorTime(t)-before) / float64(took)
	t.Logf("%d bytes in %v with %.2f %% of a processor", followed.Len(), took, 100*share)
	if share > 0.05 || followed.Len() < 2_500_000 {
		t.Errorf("%.2f %% of a processor for %d bytes", 100*share, followed.Len())
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
