package cli

import (
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar is one line of progress on stderr; without a terminal every method does nothing.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	done    chan struct{}
	title   string
}

// progress starts a line that shows that something goes on.
func (c *Call) progress(title string) *bar { return c.progressOf(title, 0, progress.UnitsDefault) }

// progressBytes starts a bar of bytes.
func (c *Call) progressBytes(title string, total int64) *bar {
	return c.progressOf(title, total, progress.UnitsBytes)
}

func (c *Call) progressOf(title string, total int64, units progress.Units) *bar {
	if !c.interactive() {
		return &bar{}
	}
	return newBar(c.Program.Stderr, title, total, units)
}

func newBar(w io.Writer, title string, total int64, units progress.Units) *bar {
	writer := progress.NewWriter()
	writer.SetOutputWriter(w)
	writer.SetAutoStop(true) // ends also when Stop came before the first drawing
	writer.SetUpdateFrequency(100 * time.Millisecond)
	writer.SetTrackerLength(24)
	writer.SetStyle(progress.StyleBlocks)
	visible := &writer.Style().Visibility
	visible.ETA, visible.Percentage, visible.Value = total > 0, total > 0, total > 0
	b := &bar{writer: writer, tracker: &progress.Tracker{Message: title, Total: total, Units: units}, done: make(chan struct{}), title: title}
	writer.AppendTracker(b.tracker)
	go func() {
		writer.Render()
		close(b.done)
	}()
	return b
}

// State shows a word beside the title.
func (b *bar) State(state string) {
	if b.tracker != nil && state != "" {
		b.tracker.UpdateMessage(b.title + ": " + state)
	}
}

// Value sets how far the work is.
func (b *bar) Value(n int64) {
	if b.tracker != nil {
		b.tracker.SetValue(n)
	}
}

// Stop ends the line; it may be called more than once.
func (b *bar) Stop() {
	if b.writer == nil {
		return
	}
	b.tracker.MarkAsDone()
	b.writer.Stop()
	<-b.done
	b.writer = nil
}
