package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job/room"
	"github.com/alvara-ml/alvara/provider/machinelearning"
)

// queuedJobs is how many command jobs, and how many pipelines, are on their way at once, most of them waiting for nodes or for what they run.
const queuedJobs = 512

// openJobs completes what the machine learning provider works with by what carries command jobs and pipelines out, and has the queue do it. What it gives
// needs the resource manager before the store begins.
func (s *Server) openJobs(ctx context.Context, deps *machinelearning.Deps) (*machinelearning.JobRunner, error) {
	runner := &machinelearning.JobRunner{
		Launcher: s.launcher, Nodes: deps.Nodes, Logs: &machinelearning.JobLogs{Dir: s.config.path("logs", "runs")},
		Write: func(ctx context.Context, who identity.Principal, account, container, path string, content io.Reader) error {
			return blobFiles{s}.Write(ctx, who, account, container, path, content)
		},
		Room:     func(bytes int64) error { return room.Check(s.config.DataDir, 0, bytes) },
		BuildLog: s.readBuildLog, Clock: s.config.Clock, Log: s.config.Log, Done: ctx.Done(),
	}
	deps.Runner = runner
	runner.Deps = *deps
	s.store.Work(machinelearning.CommandJob, queuedJobs, runner.Run)
	pipelines, err := machinelearning.OpenPipelines(s.store, runner)
	if err != nil {
		return nil, err
	}
	s.store.Work(machinelearning.PipelineJob, queuedJobs, pipelines.Run)
	return runner, nil
}

// readBuildLog reads a part of the log of a build by its link, from an offset on.
func (s *Server) readBuildLog(ctx context.Context, link string, offset int64) ([]byte, int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, offset, err
	}
	r.Header.Set("x-ms-version", "2021-12-02")
	r.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	answer, err := serveInProcess(s.taskFiles.handler, r)
	if err != nil {
		return nil, offset, err
	}
	defer func() { _ = answer.Body.Close() }() // only read
	var text bytes.Buffer
	if _, err := io.Copy(&text, io.LimitReader(answer.Body, maxLogPart)); err != nil {
		return nil, offset, err
	}
	switch answer.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable: // there is no more
		return nil, offset, nil
	case http.StatusOK, http.StatusPartialContent:
		return text.Bytes(), offset + int64(text.Len()), nil
	}
	return nil, offset, fmt.Errorf("the log of a build: %d %s", answer.StatusCode, text.String())
}
