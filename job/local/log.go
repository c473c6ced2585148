package local

import (
	"fmt"
	"io"
	"os"

	"github.com/alvara-ml/alvara/job"
)

// logFile keeps what a node writes, up to a limit: the beginning as it comes, and the last of it, which is held in memory and written
// at the end. It never fails: what cannot be written, since the disk is full, is lost like what is beyond the limit. One goroutine writes.
type logFile struct {
	file *os.File
	room int64  // bytes that may still be written as they come
	kept int64  // bytes of output in the file
	lost int64  // bytes that are not, and are not in tail either
	tail []byte // a ring of the last bytes, once room is used up
	next int    // where the ring's next byte goes
}

func openLog(path string, limit int64) (*logFile, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	tail := min(job.LogTail, limit/4)
	return &logFile{file: file, room: limit - tail, tail: make([]byte, 0, tail)}, nil
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	length := len(p)
	if n := min(l.room, int64(len(p))); n > 0 {
		written, _ := l.file.Write(p[:n]) // what is missing is counted
		l.kept += int64(written)
		l.lost += n - int64(written)
		l.room -= n
		p = p[n:]
	}
	if over := len(p) - cap(l.tail); over > 0 { // the ring would hold nothing of it
		l.lost += int64(over)
		p = p[over:]
	}
	for len(p) > 0 {
		if len(l.tail) < cap(l.tail) {
			n := min(cap(l.tail)-len(l.tail), len(p))
			l.tail, p = append(l.tail, p[:n]...), p[n:]
			continue
		}
		n := copy(l.tail[l.next:], p)
		l.lost += int64(n)
		l.next, p = (l.next+n)%cap(l.tail), p[n:]
	}
	return length, nil
}

// finish writes what is held back, and closes.
func (l *logFile) finish() (kept, lost int64) {
	if l.lost > 0 {
		_, _ = fmt.Fprintf(l.file, "\n[alvara: %d bytes of output are missing here: the log has reached its limit, or could not be written]\n", l.lost)
	}
	for _, part := range [][]byte{l.tail[l.next:], l.tail[:l.next]} {
		written, _ := l.file.Write(part)
		l.kept += int64(written)
		l.lost += int64(len(part) - written)
	}
	_ = l.file.Close() // what was written was
	return l.kept, l.lost
}

var _ io.Writer = (*logFile)(nil)
