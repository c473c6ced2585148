package machinelearning

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// JobLogs keeps what the server says of jobs, in a folder for each: what comes before the run's own output, and what comes after. The
// run's output is the launcher's.
type JobLogs struct{ Dir string }

// The parts of a log.
const (
	logHead = "head"
	logTail = "tail"
)

func (l *JobLogs) folder(job resource.ID) string {
	sum := sha256.Sum256([]byte(job.Key()))
	return filepath.Join(l.Dir, hex.EncodeToString(sum[:16]))
}

// Line appends a line, with its time.
func (l *JobLogs) Line(job resource.ID, part string, now time.Time, line string) error {
	return l.add(job, part, fmt.Sprintf("%s %s\n", now.UTC().Format(time.RFC3339), strings.ReplaceAll(strings.TrimRight(line, "\n"), "\n", "\n  ")))
}

// Break begins what comes after the run's output with the end of a line, unless it has begun.
func (l *JobLogs) Break(job resource.ID) error {
	if size, err := l.Size(job, logTail); err != nil || size > 0 {
		return err
	}
	return l.add(job, logTail, "\n")
}

func (l *JobLogs) add(job resource.ID, part, text string) error {
	folder := l.folder(job)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(folder, part), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// Size is how many bytes a part has.
func (l *JobLogs) Size(job resource.ID, part string) (int64, error) {
	info, err := os.Stat(filepath.Join(l.folder(job), part))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Copy copies a part from an offset on, and gives the offset after it.
func (l *JobLogs) Copy(job resource.ID, part string, offset int64, w io.Writer) (int64, error) {
	file, err := os.Open(filepath.Join(l.folder(job), part))
	if errors.Is(err, fs.ErrNotExist) {
		return offset, nil
	}
	if err != nil {
		return offset, err
	}
	defer func() { _ = file.Close() }() // only read
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return offset, err
	}
	n, err := io.Copy(w, file)
	return offset + n, err
}

// Forget removes what is kept of a job.
func (l *JobLogs) Forget(job resource.ID) error { return os.RemoveAll(l.folder(job)) }
