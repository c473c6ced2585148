package quickstart

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar shows how far a step of the tour itself is; without a terminal it is one line at the end.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	stdout  io.Writer
	name    string
	started time.Time
}

func (t *tour) bar(name string) *bar {
	b := &bar{stdout: t.Stdout, name: name, started: time.Now()}
	if !t.Interactive {
		return b
	}
	b.writer, b.tracker = progress.NewWriter(), &progress.Tracker{Message: name, Total: 0}
	b.writer.SetOutputWriter(t.Stderr)
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	b.writer.AppendTracker(b.tracker)
	go b.writer.Render()
	return b
}

func (b *bar) update(_ string, n, of int) {
	if b.tracker != nil {
		b.tracker.UpdateTotal(int64(of))
		b.tracker.SetValue(int64(n))
	}
}

func (b *bar) end() {
	if b.writer != nil {
		b.tracker.MarkAsDone()
		time.Sleep(150 * time.Millisecond) // lets the bar be drawn full
		b.writer.Stop()
		return
	}
	fmt.Fprintf(b.stdout, "  %s: %s\n", b.name, time.Since(b.started).Round(100*time.Millisecond))
}
