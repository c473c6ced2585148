package local

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

// run implements job.Run. It keeps nothing: all there is to know is in the folder.
type run struct {
	backend *Backend
	folder  folder
	id      string
}

func (r *run) ID() string { return r.id }

func (r *run) Spec() (job.Spec, error) {
	o, err := r.folder.order()
	return o.Spec, err
}

// Status implements job.Run.
func (r *run) Status() (job.Status, error) {
	for {
		status, err := r.folder.status()
		switch {
		case err == nil && status.State.Ended():
			return status, nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return status, err
		}
		busy, lockErr := r.folder.busy()
		if lockErr != nil {
			return status, r.gone(lockErr)
		}
		if busy {
			return r.alive(status), nil
		}
		if status, err = r.settle(); !errors.Is(err, errBusy) {
			return status, err
		}
	}
}

func (r *run) gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return resource.NotFoundf("RunNotFound", "The run %q was removed.", r.id).Because(err)
	}
	return err
}

// alive adds what a record does not have while the run goes on.
func (r *run) alive(status job.Status) job.Status {
	if status.State == "" { // the supervisor has not come to its first record
		status.State = job.Starting
	}
	for i := range status.Nodes {
		if info, err := os.Stat(r.folder.logPath(i)); err == nil {
			status.Nodes[i].LogBytes = info.Size()
		}
	}
	return status
}

// settle records the end of a run that nobody supervises and whose record does not say how it ended. Errors: errBusy when
// somebody has begun to look at it too, or supervises it after all.
func (r *run) settle() (job.Status, error) {
	lock, err := r.folder.claim(0)
	if err != nil {
		return job.Status{}, err
	}
	defer func() { _ = lock.Close() }()
	status, err := r.folder.status()
	if err == nil && status.State.Ended() {
		return status, nil
	}
	begun := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return status, err
	}
	o, err := r.folder.order()
	if err != nil {
		return status, r.gone(err)
	}
	driver, err := driverOf(o.Kind)
	if err != nil {
		return status, err
	}
	if err := driver.Sweep(r.folder.path(nodesName), o.Token); err != nil {
		return status, err
	}
	status.State, status.Reason, status.Ended = job.Failed, job.Lost, r.backend.Clock()
	status.Message = "The process that supervised the run was killed, or the machine was restarted; nothing of the run is left, and how it would have ended is not known."
	if !begun {
		status.Reason, status.Isolation = job.StartFailed, o.Isolation
		status.Message = "The process that was to supervise the run ended before it had begun it."
		if said := r.said(); said != "" {
			status.Message += " It said: " + said
		}
	}
	for i := range status.Nodes {
		status.Nodes[i].Ended = false
	}
	status = r.alive(status)
	return status, errors.Join(r.folder.free(), r.folder.write(recordName, status, true))
}

// said is the last of what the supervisor wrote to standard error.
func (r *run) said() string {
	text, err := os.ReadFile(r.folder.path(saidName))
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-500):])
}

// Wait implements job.Run.
func (r *run) Wait(ctx context.Context) (job.Status, error) {
	for {
		if err := ctx.Err(); err != nil {
			return job.Status{}, err
		}
		busy, err := r.folder.busy()
		if err != nil {
			return job.Status{}, r.gone(err)
		}
		if !busy { // a record that is still to be settled may be settled by somebody else just now
			if status, err := r.Status(); err != nil || status.State.Ended() {
				return status, err
			}
		}
		if err := r.untilGone(ctx); err != nil {
			return job.Status{}, err
		}
	}
}

// untilGone returns when the supervisor has ended, or somewhat earlier, or when ctx has.
func (r *run) untilGone(ctx context.Context) error {
	pause := 20 * time.Millisecond // where pipes cannot be waited for, and while Start is still making them
	pipe, err := os.OpenFile(r.folder.path(aliveName), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		defer func() { _ = pipe.Close() }()
		if err := pipe.SetReadDeadline(time.Time{}); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = pipe.SetReadDeadline(time.Unix(1, 0)) })
			defer stop()
			_, _ = pipe.Read(make([]byte, 1)) // nobody ever writes; it ends
			pause = time.Millisecond
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

// Cancel implements job.Run.
func (r *run) Cancel(ctx context.Context) error {
	for {
		status, err := r.Status()
		if err != nil || status.State.Ended() {
			return err
		}
		pipe, err := os.OpenFile(r.folder.path(controlName), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			_, err = io.WriteString(pipe, cancelCommand)
			err = errors.Join(err, pipe.Close())
		}
		if err == nil || !errors.Is(err, unix.ENXIO) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EPIPE) {
			return err
		}
		select { // nobody reads: it has just ended, or has not been started quite
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// cancelCommand is what the supervisor is told to end the run.
const cancelCommand = "cancel\n"

// How often a log that is followed is looked at: soon after something came, and less and less often while nothing does.
const (
	followSoon = 10 * time.Millisecond
	followLate = 100 * time.Millisecond
)

// Logs implements job.Run.
func (r *run) Logs(ctx context.Context, node int, offset int64, follow bool, w io.Writer) (int64, error) {
	spec, err := r.Spec()
	if err != nil {
		return offset, r.gone(err)
	}
	if node < 0 || node >= spec.Nodes {
		return offset, invalid("node", "The run has the nodes 0 to %d, and not %d.", spec.Nodes-1, node)
	}
	if offset < 0 {
		return offset, invalid("offset", "The offset %d must not be negative.", offset)
	}
	log := &logReader{path: r.folder.logPath(node), offset: offset}
	defer log.close()
	if !follow {
		return log.copy(w)
	}
	ended := make(chan struct{})
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(ended)
		_, _ = r.Wait(waiting) // however it ended, no more is written
	}()
	pause := followSoon
	for last := false; ; {
		before := log.offset
		if offset, err = log.copy(w); err != nil || last {
			return offset, err
		}
		if pause = min(2*pause, followLate); offset != before {
			pause = followSoon
		}
		select {
		case <-ended: // what was written before the end is there now
			last = true
		case <-time.After(pause):
		}
		if err := ctx.Err(); err != nil {
			return offset, err
		}
	}
}

// logReader copies a log bit by bit.
type logReader struct {
	path   string
	file   *os.File // nil until the node has begun
	offset int64
}

func (l *logReader) copy(w io.Writer) (next int64, err error) {
	if l.file == nil {
		l.file, err = os.Open(l.path)
		if errors.Is(err, os.ErrNotExist) {
			return l.offset, nil
		}
		if err != nil {
			return l.offset, err
		}
	}
	info, err := l.file.Stat()
	if err != nil || l.offset >= info.Size() {
		return l.offset, err
	}
	n, err := io.Copy(w, io.NewSectionReader(l.file, l.offset, info.Size()-l.offset))
	l.offset += n
	return l.offset, err
}

func (l *logReader) close() {
	if l.file != nil {
		_ = l.file.Close() // opened for reading
	}
}

// Remove implements job.Run.
func (r *run) Remove() error {
	if status, err := r.Status(); err != nil {
		return err
	} else if !status.State.Ended() {
		return resource.Conflictf("RunRuns", "The run %q has not ended; cancel it and wait.", r.id).At("ID")
	}
	lock, err := r.folder.claim(patience)
	if errors.Is(err, errBusy) {
		return resource.Conflictf("RunRuns", "The run %q is being looked at; try again.", r.id).At("ID")
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	return layer.RemoveTree(string(r.folder))
}

// free removes what only a run that goes on needs.
func (f folder) free() error {
	return errors.Join(layer.RemoveTree(f.path(nodesName)), layer.RemoveTree(f.path(secretsName)), layer.RemoveTree(f.path(reserveName)))
}
