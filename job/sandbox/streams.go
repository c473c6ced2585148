//go:build linux

package sandbox

import (
	"io"
	"os"
	"sync"
)

// pipe is both ends of one.
type pipe struct{ read, write *os.File }

// streams carry the command's input and output. The command never gets a file of the caller: an open file can be more than
// a stream, a terminal above all.
type streams struct {
	in, out, err pipe // zero for none; err is out when both go to one writer
	report       pipe
	spec         Spec
	copies       sync.WaitGroup
	once         sync.Once
	failed       chan struct{} // closed when a write failed
	failure      error
}

// openStreams makes the pipes and gives them to the command's user, who can open them again (/dev/stdout).
func openStreams(s Spec, who account, give bool) (_ *streams, err error) {
	t := &streams{spec: s, failed: make(chan struct{})}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	uid, _ := s.Mapping.UID(uint32(who.uid))
	gid, _ := s.Mapping.GID(uint32(who.gid))
	open := func(p *pipe) error {
		if p.read, p.write, err = os.Pipe(); err != nil || !give {
			return err
		}
		return p.write.Chown(int(uid), int(gid))
	}
	if err = open(&t.report); err != nil {
		return nil, err
	}
	if s.Stdin != nil {
		if err = open(&t.in); err != nil {
			return nil, err
		}
	}
	if s.Stdout != nil {
		if err = open(&t.out); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Stderr == nil:
	case same(s.Stdout, s.Stderr):
		t.err = t.out
	default:
		if err = open(&t.err); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// same tells whether two writers are one. Some values cannot be compared; they count as different.
func same(a, b io.Writer) (equal bool) {
	defer func() {
		if recover() != nil {
			equal = false
		}
	}()
	return a == b
}

// The command's ends; nil, and not a nil file, when there is none.
func (t *streams) stdin() io.Reader {
	if t.in.read == nil {
		return nil
	}
	return t.in.read
}

func (t *streams) stdout() io.Writer {
	if t.out.write == nil {
		return nil
	}
	return t.out.write
}

func (t *streams) stderr() io.Writer {
	if t.err.write == nil {
		return nil
	}
	return t.err.write
}

// start closes the command's ends, which it has by now, and copies.
func (t *streams) start() {
	closeFiles(t.in.read, t.out.write, t.err.write, t.report.write)
	if t.in.write != nil {
		go func() { // not waited for: a read of the caller's may block for ever
			_, _ = io.Copy(t.in.write, t.spec.Stdin)
			_ = t.in.write.Close()
		}()
	}
	copies := func(from *os.File, to io.Writer) {
		if from == nil {
			return
		}
		t.copies.Go(func() {
			if _, err := io.Copy(to, from); err != nil {
				t.once.Do(func() {
					t.failure = err
					close(t.failed)
				})
			}
		})
	}
	copies(t.out.read, t.spec.Stdout)
	if t.err != t.out {
		copies(t.err.read, t.spec.Stderr)
	}
}

// finish waits until all output is written, and gives the first error of doing so.
func (t *streams) finish() error {
	t.copies.Wait()
	return t.failure
}

func (t *streams) close() {
	closeFiles(t.in.read, t.in.write, t.out.read, t.out.write, t.err.read, t.err.write, t.report.read, t.report.write)
}

func closeFiles(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close() // closed twice at worst, which is an error and nothing more
		}
	}
}
