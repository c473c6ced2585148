package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Reporter is how work in a child tells its parent what it does. It may be used concurrently.
type Reporter struct {
	mu     sync.Mutex
	out    io.Writer
	last   time.Time
	stage  string
	silent bool
}

// Log reports a line.
func (r *Reporter) Log(line string) { r.send(message{Log: &line}) }

// Progress reports how far a stage is; reports that follow each other closely are left out, but for the last of a stage.
func (r *Reporter) Progress(stage string, done, total int64) {
	r.mu.Lock()
	now := time.Now()
	skip := stage == r.stage && now.Sub(r.last) < 100*time.Millisecond && (total == 0 || done < total)
	if !skip {
		r.last, r.stage = now, stage
	}
	r.mu.Unlock()
	if !skip {
		r.send(message{Progress: &Progress{Stage: stage, Done: done, Total: total}})
	}
}

func (r *Reporter) send(m message) {
	line, err := json.Marshal(m)
	if err != nil {
		line, _ = json.Marshal(message{Error: &fault{Message: fmt.Sprintf("the answer cannot be written: %v", err)}}) // plain text
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent {
		return
	}
	if _, err := r.out.Write(append(line, '\n')); err != nil {
		r.silent = true // the parent is gone, and so will this process be
	}
}

// Serve is the child's side: it reads the input, does the work, answers, and gives the exit code. The work's context ends
// when the parent does. The process allows no core file and takes no new privileges from here on.
func Serve(stdin io.Reader, stdout io.Writer, work func(ctx context.Context, input json.RawMessage, report *Reporter) (any, error)) int {
	report := &Reporter{out: stdout}
	calm()
	reader := bufio.NewReaderSize(stdin, 64<<10)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		report.send(message{Error: &fault{Classed: true, Kind: resource.Invalid, Code: "InvalidWorkerInput", Message: "The worker's input is no line of JSON; the program starts it itself, it is no command for people."}})
		return 2
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		_, _ = io.Copy(io.Discard, reader) // ends with the parent
		cancel(errors.New("the parent process has ended"))
	}()
	result, err := guarded(func() (any, error) { return work(ctx, line, report) })
	if err != nil {
		report.send(message{Error: faultOf(err)})
		return 1
	}
	answer, err := json.Marshal(result)
	if err != nil {
		report.send(message{Error: faultOf(err)})
		return 1
	}
	report.send(message{Result: answer})
	return 0
}

// guarded turns a panic into an error, so that the parent hears of it.
func guarded(work func() (any, error)) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			result, err = nil, fmt.Errorf("the work panicked: %v", r)
		}
	}()
	return work()
}
