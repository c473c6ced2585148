package local

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
)

// BenchmarkStart measures, on an image that is unpacked, from Start to the end of a command that says one line (P8).
func BenchmarkStart(b *testing.B) {
	for _, kind := range []string{Process, Sandbox} {
		for _, forwards := range []int{0, 4} {
			b.Run(fmt.Sprintf("%s/forwards=%d", kind, forwards), func(b *testing.B) {
				w := world(b, kind)
				backend := w.Backend(b)
				for b.Loop() {
					spec := w.Spec("say", "hello")
					for i := range forwards {
						address := fmt.Sprintf("127.0.0.1:%d", 17000+i)
						spec.Forward = append(spec.Forward, job.Forward{Inside: address, Outside: address})
					}
					run, err := backend.Start(b.Context(), spec)
					if err != nil {
						b.Fatal(err)
					}
					if status, err := run.Wait(b.Context()); err != nil || status.State != job.Completed {
						b.Fatal(status, err)
					}
				}
			})
		}
	}
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
