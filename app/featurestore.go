package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// jobLog is the file of a job's log.
func (s *Server) jobLog(job resource.ID) string {
	return s.config.path("logs", "jobs", filepath.Base(job.Name())+".log")
}

// openJobLog gives the function that appends lines to a job's log.
func (s *Server) openJobLog(job resource.ID) (func(string), func() error, error) {
	path := s.jobLog(job)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	write := func(line string) {
		// A full disk costs lines of the log and not the job.
		_, _ = fmt.Fprintf(file, "%s %s\n", s.config.Clock().UTC().Format(time.RFC3339), line)
	}
	return write, file.Close, nil
}

// maxLogPart is how much of a job's log one request gets, in bytes.
const maxLogPart = 256 << 10

// readJobLog reads a part of a job's log.
func (s *Server) readJobLog(_ context.Context, job resource.ID, offset int64) ([]byte, int64, error) {
	file, err := os.Open(s.jobLog(job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, offset, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }() // only read
	part := make([]byte, maxLogPart)
	n, err := file.ReadAt(part, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return part[:n], offset + int64(n), nil
}
