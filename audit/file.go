package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// File is a Log in files: the newest records are in the file at its path, older ones in segments beside it, named by
// number: path.000001, path.000002 … The chain runs through them all.
type File struct {
	path    string
	clock   func() time.Time
	sync    bool
	segment int64
	lock    *os.File

	mu      sync.Mutex
	next    *batch        // collects what the writer takes next
	ended   bool          // nothing more is taken
	wake    chan struct{} // holds a token when next is not empty, closed by Close
	stopped chan struct{} // closed when the writer has returned
	seq     uint64        // of the last record written
	last    Hash          // its hash

	// Owned by the writer.
	file   *os.File
	size   int64
	number int // of the newest segment
	lines  []byte
	broken error // the file could not be brought back to whole lines
}

// batch is records that share a write.
type batch struct {
	fields []byte
	ends   []int // where each record's part of fields ends
	done   chan struct{}
	err    error
}

// Option changes how OpenFile opens a log.
type Option func(*File)

// WithSync has every write followed by fsync, so that records survive the death of the machine too.
func WithSync() Option { return func(f *File) { f.sync = true } }

// WithSegmentBytes sets the size at which the file becomes a segment; the default is 64 MiB.
func WithSegmentBytes(bytes int64) Option { return func(f *File) { f.segment = bytes } }

// OpenFile opens the log at path, and creates it when it is absent; the folder must exist. clock gives the time of records
// that come without one. Whatever a crash left after the last whole record is moved to a file path.torn-N, and a record
// says so.
func OpenFile(path string, clock func() time.Time, options ...Option) (_ *File, err error) {
	f := &File{
		path: path, clock: clock, segment: 64 << 20, next: &batch{done: make(chan struct{})},
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	for _, option := range options {
		option(f)
	}
	defer func() {
		if err != nil {
			_ = f.release()
		}
	}()
	if f.lock, err = lock(path); err != nil {
		return nil, err
	}
	if err = f.open(); err != nil {
		return nil, err
	}
	torn, err := f.resume()
	if err != nil {
		return nil, err
	}
	go f.run()
	if torn != "" {
		err := f.Record(context.Background(), Record{Plane: "audit", Action: "recover", Scope: "/", Allowed: true, Reason: torn})
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

func lock(path string) (*os.File, error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("audit: the log %s is in use by another server; stop that one first, or give this one a folder of its own", path)
	}
	return file, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("audit: %w", err)
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Record implements Log. It ignores ctx: a decision that was made is recorded, even when its caller has gone.
func (f *File) Record(_ context.Context, record Record) error {
	if record.Time.IsZero() {
		record.Time = f.clock()
	}
	scratch := scratches.Get().(*[]byte)
	*scratch = appendFields((*scratch)[:0], &record)
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return errors.New("audit: the log is closed")
	}
	b := f.next
	b.fields = append(b.fields, *scratch...)
	b.ends = append(b.ends, len(b.fields))
	if len(b.ends) == 1 {
		f.wake <- struct{}{} // has room: the writer takes the token before it takes the batch
	}
	f.mu.Unlock()
	scratches.Put(scratch)
	<-b.done
	return b.err
}

var scratches = sync.Pool{New: func() any { return new([]byte) }}

// Head is the number and hash of the last record. Kept elsewhere, it shows whether the newest records were cut off, which
// the chain by itself can't.
func (f *File) Head() (seq uint64, hash Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seq, f.last
}

// Close writes what waits and closes the log. A second call does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		<-f.stopped
		return nil
	}
	f.ended = true
	close(f.wake)
	f.mu.Unlock()
	<-f.stopped
	return f.release()
}

func (f *File) release() error {
	var errs []error
	for _, file := range []*os.File{f.file, f.lock} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// run is the writer.
func (f *File) run() {
	defer close(f.stopped)
	spare := &batch{}
	for range f.wake {
		spare.fields, spare.ends, spare.err, spare.done = spare.fields[:0], spare.ends[:0], nil, make(chan struct{})
		f.mu.Lock()
		b := f.next
		f.next = spare
		f.mu.Unlock()
		b.err = f.write(b)
		close(b.done)
		spare = &batch{fields: b.fields, ends: b.ends} // b itself is its callers'
	}
}

// write appends a batch with one write(2). Either all of its records are in the log or none is.
func (f *File) write(b *batch) error {
	if f.broken != nil {
		return f.broken
	}
	seq, last, start := f.seq, f.last, 0
	f.lines = f.lines[:0]
	for _, end := range b.ends {
		seq++
		f.lines, last = appendLine(f.lines, seq, last, b.fields[start:end])
		start = end
	}
	if f.size > 0 && f.size+int64(len(f.lines)) > f.segment {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	_, err := f.file.Write(f.lines)
	if err == nil && f.sync {
		err = f.file.Sync()
	}
	if err != nil {
		if undo := f.file.Truncate(f.size); undo != nil {
			f.broken = fmt.Errorf("audit: a failed write left part of a record in %s, and it can't be removed: %w", f.path, undo)
		}
		return fmt.Errorf("audit: %w", err)
	}
	f.size += int64(len(f.lines))
	if cap(f.lines) > 4<<20 {
		f.lines = nil
	}
	f.mu.Lock()
	f.seq, f.last = seq, last
	f.mu.Unlock()
	return nil
}

// rotate makes the file a segment and begins a new one.
func (f *File) rotate() error {
	if f.sync {
		if err := f.file.Sync(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	if err := os.Rename(f.path, segmentPath(f.path, f.number+1)); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	f.number++
	old := f.file
	if err := f.open(); err != nil {
		f.broken = err // old is a segment now: nothing more may be written to it
		return err
	}
	if f.sync {
		if folder, err := os.Open(filepath.Dir(f.path)); err == nil {
			_ = folder.Sync()
			_ = folder.Close()
		}
	}
	return old.Close()
}
