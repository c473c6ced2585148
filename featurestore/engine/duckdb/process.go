package duckdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// call is one operation on its way to a compute process.
type call struct {
	op      string
	body    any
	limits  engine.Limits
	reads   []string
	scratch string
	keep    func(out string, answer json.RawMessage) error // takes the answer and the files over; nil needs neither
}

const (
	answerLimit = 64 << 20 // bytes of an answer; a stranger's code may be what writes it
	killGrace   = 3 * time.Second
)

// run starts a compute process, waits for its answer, and leaves nothing of it behind: no process and no file but those that
// keep moved out.
func (e *Engine) run(ctx context.Context, c call) (engine.Usage, error) {
	began := time.Now()
	if err := ctx.Err(); err != nil {
		return engine.Usage{}, err
	}
	work, err := os.MkdirTemp(c.scratch, "compute-")
	if err != nil {
		return engine.Usage{}, fmt.Errorf("make scratch folder: %w", err)
	}
	defer os.RemoveAll(work)
	if work, err = filepath.Abs(work); err != nil {
		return engine.Usage{}, err
	}
	out := filepath.Join(work, "out")
	for _, dir := range []string{out, filepath.Join(work, "spill")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return engine.Usage{}, fmt.Errorf("make scratch folder: %w", err)
		}
	}
	body, err := json.Marshal(c.body)
	if err != nil {
		return engine.Usage{}, err
	}
	reads := make([]string, 0, len(c.reads))
	for _, path := range c.reads {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return engine.Usage{}, err
		}
		reads = append(reads, absolute)
	}
	limits := e.limits(c.limits)
	p := &process{engine: e, limits: limits}
	usage, answer, err := p.answer(ctx, request{Op: c.op, Body: body, Limits: limits, Reads: reads, Work: work})
	usage.Wall = time.Since(began)
	if err != nil {
		return usage, err
	}
	if c.keep != nil {
		err = c.keep(out, answer)
	}
	return usage, err
}

// process is one compute process as its parent sees it.
type process struct {
	engine *Engine
	limits engine.Limits

	mu   sync.Mutex
	ends string // why the parent killed it: a code, or empty
}

func (p *process) killFor(cmd *exec.Cmd, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends == "" {
		p.ends = code
	}
	killGroup(cmd)
}

func (p *process) answer(ctx context.Context, req request) (engine.Usage, json.RawMessage, error) {
	var usage engine.Usage
	s, err := p.start(req.Work)
	if err != nil {
		return usage, nil, err
	}
	defer s.stdout.Close()
	usage.Isolation = s.walls
	line, err := json.Marshal(req)
	if err != nil {
		killGroup(s.cmd)
		<-s.done
		return usage, nil, err
	}
	finished := make(chan struct{})
	watched := make(chan int64, 1)
	go func() { watched <- p.watch(ctx, s.cmd, finished) }()

	// A process that is gone before it has read its request shows in its answer.
	_, writeErr := s.stdin.Write(append(line, '\n'))
	raw, readErr := bufio.NewReaderSize(io.LimitReader(s.stdout, answerLimit), 64<<10).ReadBytes('\n')
	_ = s.stdin.Close()
	if readErr != nil {
		killGroup(s.cmd)
	}
	waitErr := <-s.done
	close(finished)
	usage.PeakMemory = max(<-watched, peakMemory(s.cmd.ProcessState))
	if state := s.cmd.ProcessState; state != nil {
		usage.CPU = state.UserTime() + state.SystemTime()
	}

	if ctx.Err() != nil {
		return usage, nil, ctx.Err()
	}
	if p.ends != "" {
		return usage, nil, limitFault(p.ends, p.limits)
	}
	var res response
	if jsonErr := json.Unmarshal(raw, &res); jsonErr != nil {
		cause := errors.Join(writeErr, waitErr, fmt.Errorf("standard error: %s", tail(s.stderr.String(), 2000)))
		p.log(ctx, "compute process ended without an answer", "error", cause)
		return usage, nil, resource.Invalidf(engine.CodeCompute,
			"The computation ended without an answer; most often it needs more memory than its limit of %s.", size(p.limits.Memory)).Because(cause)
	}
	usage.Isolation = append(append([]string(nil), s.walls...), res.Walls...)
	if res.Fault != nil {
		return usage, nil, res.Fault.asError()
	}
	return usage, res.Body, nil
}

// started is a running compute process and its ends of the pipes.
type started struct {
	cmd    *exec.Cmd
	walls  []string
	stdin  io.WriteCloser
	stdout *os.File
	stderr *capped
	done   chan error // gives what Wait gives, once
}

// start runs the command behind as many walls as the machine allows: with namespaces first, without them if that is refused.
func (p *process) start(work string) (*started, error) {
	command := p.engine.Command
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find own program: %w", err)
		}
		command = []string{self, ComputeArgument}
	}
	var failed error
	for _, level := range isolations() {
		s, err := launch(command, work, level)
		if err == nil {
			return s, nil
		}
		failed = err
	}
	return nil, fmt.Errorf("start compute process: %w", failed)
}

func launch(command []string, work string, level isolation) (*started, error) {
	s := &started{cmd: exec.Command(command[0], command[1:]...), walls: level.walls, stderr: &capped{limit: 64 << 10}, done: make(chan error, 1)}
	s.cmd.Env = []string{"GOTRACEBACK=none"} // nothing of the parent's environment
	s.cmd.Dir = work
	s.cmd.Stderr = s.stderr
	s.cmd.WaitDelay = time.Second
	level.prepare(s.cmd)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	s.stdout, s.cmd.Stdout = read, write
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		read.Close()
		return nil, err
	}
	running := make(chan error)
	go func() {
		// The child is told of its parent's death by the death of the thread that made it, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		running <- err
		if err == nil {
			s.done <- s.cmd.Wait()
		}
	}()
	if err := <-running; err != nil {
		read.Close()
		return nil, err
	}
	return s, nil
}

// watch ends the process when the context or its limits do, and gives the most memory that it saw resident.
func (p *process) watch(ctx context.Context, cmd *exec.Cmd, finished <-chan struct{}) (peak int64) {
	deadline := time.NewTimer(p.limits.Time + killGrace)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			return peak
		case <-ctx.Done():
			killGroup(cmd)
			<-finished
			return peak
		case <-deadline.C:
			p.killFor(cmd, engine.CodeTime)
		case <-tick.C:
			resident := residentMemory(cmd.Process.Pid)
			peak = max(peak, resident)
			if resident > residentCeiling(p.limits.Memory) {
				p.killFor(cmd, engine.CodeMemory)
			}
		}
	}
}

// residentCeiling is where the parent ends a process whose engine lost hold of its memory: the limit, half as much again for what
// lies outside the engine's own accounts, and the program itself.
func residentCeiling(limit int64) int64 { return limit + limit/2 + 512<<20 }

func (p *process) log(ctx context.Context, message string, args ...any) {
	if p.engine.Logger != nil {
		p.engine.Logger.Log(ctx, slog.LevelWarn, message, args...)
	}
}

// capped keeps the beginning of what is written to it.
type capped struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	limit int
}

func (c *capped) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := c.limit - c.buf.Len(); room > 0 {
		c.buf.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func tail(s string, n int) string {
	if s = strings.TrimSpace(s); len(s) > n {
		return s[:n]
	}
	return s
}
