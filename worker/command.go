// Package worker runs a piece of work in a process of its own: the program again, with a hidden command. It owns the
// lines that parent and child speak, the child's life (it ends with its parent, with the caller's context, and as a whole
// group) and the walls that the child puts around itself. What the work is, and as whom it is done, is its users' affair.
package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Argument is the hidden command: Program + Argument + mode is what a child is started with.
const Argument = "worker"

// Command is one child.
type Command struct {
	Program []string // the program and its first arguments; nil is the running executable
	Mode    string   // which work: the argument after Argument
	// Env is the whole environment, but for TMPDIR; nothing of the parent's is inherited.
	Env []string
	// Dir exists and becomes the working folder and the place for temporary files.
	Dir string
	// Log gets the lines that the work reports, Progress its progress, Stderr what the process writes to standard error.
	// Any may be nil. They are called from one goroutine each.
	Log      func(line string)
	Progress func(Progress)
	Stderr   func(line string)
}

// Progress is how far a stage of the work is, in the stage's own unit; Total is 0 when it is not known.
type Progress struct {
	Stage string `json:"stage"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// message is one line from the child; one of the fields is set.
type message struct {
	Log      *string         `json:"log,omitempty"`
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *fault          `json:"error,omitempty"`
}

// fault is an error on its way between the processes. Classed tells a resource.Error from any other.
type fault struct {
	Classed bool          `json:"classed,omitempty"`
	Kind    resource.Kind `json:"kind"`
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message"`
	Target  string        `json:"target,omitempty"`
	Cause   string        `json:"cause,omitempty"`
}

func faultOf(err error) *fault {
	e, ok := resource.AsError(err)
	if !ok {
		return &fault{Message: err.Error()}
	}
	f := &fault{Classed: true, Kind: e.Kind, Code: e.Code, Message: e.Message, Target: e.Target}
	if err.Error() != e.Error() {
		f.Cause = err.Error()
	}
	if e.Cause != nil {
		f.Cause = strings.TrimPrefix(f.Cause+": "+e.Cause.Error(), ": ")
	}
	return f
}

func (f *fault) err() error {
	if !f.Classed {
		return errors.New(f.Message)
	}
	e := &resource.Error{Kind: f.Kind, Code: f.Code, Message: f.Message, Target: f.Target}
	if f.Cause != "" {
		e.Cause = errors.New(f.Cause)
	}
	return e
}

const (
	maxLine    = 16 << 20 // bytes of a line from the child
	stderrTail = 2000     // bytes that an error quotes
)

// Run starts the child, hands it the input as JSON, and decodes what it answers into result. An error that the work
// returned comes back with its kind, code and message; a child that ends without an answer gives an Unavailable, since a
// repetition may well succeed. A cancelled context kills the child's group and gives ctx.Err().
func (c Command) Run(ctx context.Context, input, result any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := json.Marshal(input)
	if err != nil {
		return err
	}
	child, err := c.start()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, child.kill)
	defer stop()
	_, writeErr := child.stdin.Write(append(line, '\n')) // a child that is gone already shows in its answer
	answer, readErr := c.listen(child.stdout)
	if readErr != nil {
		child.kill()
	}
	_ = child.stdin.Close()
	_ = child.stdout.Close()
	waitErr := <-child.done
	child.kill() // whatever of the group outlived it
	switch {
	case answer != nil && answer.Error != nil:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return answer.Error.err()
	case answer != nil:
		return json.Unmarshal(answer.Result, result)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return resource.Errorf(resource.Unavailable, "WorkerEnded", "The worker process ended before its work was done; it can be repeated.").Because(
		errors.Join(writeErr, readErr, waitErr, fmt.Errorf("standard error: %s", child.stderr.tail())))
}

// listen reads the child's lines until the answer or the end.
func (c Command) listen(stdout io.Reader) (*message, error) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("the worker wrote a line that is none of its language: %w", err)
		}
		switch {
		case m.Log != nil:
			if c.Log != nil {
				c.Log(*m.Log)
			}
		case m.Progress != nil:
			if c.Progress != nil {
				c.Progress(*m.Progress)
			}
		case m.Result != nil || m.Error != nil:
			return &m, nil
		}
	}
	return nil, lines.Err()
}

type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *os.File
	stderr *lineWriter
	done   chan error // gives what Wait gives, once
}

func (c Command) start() (*child, error) {
	program := c.Program
	if len(program) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find own program: %w", err)
		}
		program = []string{self}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	arguments := append(append([]string(nil), program[1:]...), Argument, c.Mode)
	ch := &child{cmd: exec.Command(program[0], arguments...), stderr: &lineWriter{to: c.Stderr}, done: make(chan error, 1)}
	ch.cmd.Env = append(append([]string{}, c.Env...), "TMPDIR="+dir)
	ch.cmd.Dir = dir
	ch.cmd.Stderr = ch.stderr
	ch.cmd.WaitDelay = time.Second
	ch.cmd.SysProcAttr = attributes()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = write.Close() }() // the child has its own
	ch.stdout, ch.cmd.Stdout = read, write
	if ch.stdin, err = ch.cmd.StdinPipe(); err != nil {
		_ = read.Close()
		return nil, err
	}
	running := make(chan error)
	go ch.live(running)
	if err := <-running; err != nil {
		_ = read.Close()
		return nil, fmt.Errorf("start worker process: %w", err)
	}
	return ch, nil
}

// lineWriter hands lines on and keeps the last of them.
type lineWriter struct {
	to   func(string)
	mu   sync.Mutex
	last []byte
	part []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = append(w.last, p...)
	if over := len(w.last) - stderrTail; over > 0 {
		w.last = append([]byte(nil), w.last[over:]...)
	}
	w.part = append(w.part, p...)
	for {
		line, rest, whole := bytes.Cut(w.part, []byte("\n"))
		if !whole && len(w.part) < 8<<10 {
			return len(p), nil
		}
		if w.to != nil {
			w.to(string(line))
		}
		w.part = append([]byte(nil), rest...)
	}
}

func (w *lineWriter) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.last)
}
