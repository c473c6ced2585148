package jobtest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

func logs(t *testing.T, w World) {
	t.Run("followed", func(t *testing.T) {
		run := w.Start(t, w.Spec("term"))
		Says(t, run, "waiting")
		followers := make(chan string, 2)
		for _, offset := range []int64{0, 4} {
			go func() {
				var text bytes.Buffer
				next, err := run.Logs(t.Context(), 0, offset, true, &text)
				if err != nil || next != 14 {
					t.Errorf("from %d to %d: %v", offset, next, err)
				}
				followers <- text.String()
			}()
		}
		time.Sleep(50 * time.Millisecond)
		if err := run.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := []string{<-followers, <-followers}
		if strings.Join(got, "|") != "waiting\nsaved\n|ing\nsaved\n" && strings.Join(got, "|") != "ing\nsaved\n|waiting\nsaved\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("a follower leaves", func(t *testing.T) {
		run := w.Start(t, w.Spec("sleep", "1h"))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := run.Logs(ctx, 0, 0, true, &bytes.Buffer{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := run.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	t.Run("flood", func(t *testing.T) {
		amount := int64(1 << 30) // bytes
		if testing.Short() {
			amount = 64 << 20
		}
		spec := w.Spec("flood", "1048576")
		if testing.Short() {
			spec = w.Spec("flood", "65536")
		}
		spec.Limits.LogBytes = 1 << 20
		status, said := w.Run(t, spec)
		node := status.Nodes[0]
		if status.State != job.Completed || node.LogBytes != 1<<20 || node.LogBytes+node.LogLost != amount+14 || len(said) > 1<<20+200 {
			t.Errorf("%+v, %d bytes", status, len(said))
		}
		if !strings.HasPrefix(said, "0123456789abcde\n") || !strings.HasSuffix(said, "0123456789abcde\nthe last line\n") || strings.Count(said, "bytes of output are missing here") != 1 {
			t.Errorf("%q", said[len(said)-100:])
		}
	})
	t.Run("just at the limit", func(t *testing.T) {
		spec := w.Spec("flood", "64")
		spec.Limits.LogBytes = 64<<10 + 14
		status, said := w.Run(t, spec)
		if len(said) != 64<<10+14 || status.Nodes[0].LogLost != 0 || strings.Contains(said, "missing") {
			t.Errorf("%+v, %d bytes", status, len(said))
		}
	})
	t.Run("refusals", func(t *testing.T) {
		run := w.Start(t, w.Spec("say", "x"))
		Wait(t, run)
		if _, err := run.Logs(t.Context(), 1, 0, false, &bytes.Buffer{}); !is(err, resource.Invalid, "node") {
			t.Error(err)
		}
		if _, err := run.Logs(t.Context(), 0, -1, false, &bytes.Buffer{}); !is(err, resource.Invalid, "offset") {
			t.Error(err)
		}
		if next, err := run.Logs(t.Context(), 0, 99, true, &bytes.Buffer{}); err != nil || next != 99 {
			t.Errorf("%d %v", next, err)
		}
		broken := errors.New("broken")
		if _, err := run.Logs(t.Context(), 0, 0, true, writer(func([]byte) (int, error) { return 0, broken })); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
