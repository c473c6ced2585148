package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/worker"
)

// The test binary is its own worker process, with a mode for every way in which one can behave.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == worker.Argument {
		os.Exit(serve(os.Args[2]))
	}
	os.Exit(m.Run())
}

func serve(mode string) int {
	switch mode {
	case "dies":
		fmt.Fprintln(os.Stderr, "out of luck")
		return 3
	case "babbles":
		fmt.Println("hello")
		time.Sleep(time.Minute)
	case "endless":
		for {
			fmt.Print(strings.Repeat("x", 1<<20))
		}
	}
	return worker.Serve(os.Stdin, os.Stdout, func(ctx context.Context, input json.RawMessage, report *worker.Reporter) (any, error) {
		switch mode {
		case "echo":
			report.Log("a line\nand another")
			report.Progress("copying", 1, 2)
			report.Progress("copying", 2, 2)
			dir, err := os.Getwd()
			return map[string]any{"input": input, "env": os.Environ(), "dir": dir}, err
		case "refuses":
			return nil, fmt.Errorf("while working: %w", resource.Forbiddenf("AuthorizationFailed", "no right on %s", "x").At("field").Because(errors.New("secret cause")))
		case "fails":
			return nil, errors.New("disk full")
		case "panics":
			panic("at the disco")
		case "sleeps":
			report.Log(fmt.Sprint(os.Getpid()))
			time.Sleep(time.Minute)
			return nil, ctx.Err()
		case "waits": // until its parent is gone
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case "forks":
			child := exec.Command("/proc/self/exe", worker.Argument, "babbles")
			if err := child.Start(); err != nil {
				return nil, err
			}
			report.Log(fmt.Sprint(child.Process.Pid))
			time.Sleep(time.Minute)
			return nil, nil
		case "parent":
			return nil, worker.Command{Mode: "sleeps", Dir: os.TempDir(), Log: report.Log}.Run(ctx, 1, nil)
		case "probe":
			return probe(input)
		}
		return nil, fmt.Errorf("no mode %q", mode)
	})
}

// question is what a probe tries once its walls stand.
type question struct {
	Walls  worker.Walls
	Read   map[string]string // by the name of the attempt
	Write  map[string]string
	Dial   map[string]string
	Signal int
}

func probe(input json.RawMessage) (any, error) {
	var q question
	if err := json.Unmarshal(input, &q); err != nil {
		return nil, err
	}
	standing := q.Walls.Raise()
	got := map[string]string{}
	note := func(name string, err error) {
		got[name] = "ok"
		if err != nil {
			got[name] = err.Error()
		}
	}
	for name, path := range q.Read {
		file, err := os.Open(path)
		if err == nil {
			_, err = file.Read(make([]byte, 1))
			file.Close()
		}
		note(name, err)
	}
	for name, path := range q.Write {
		note(name, os.WriteFile(path, []byte("x"), 0o600))
	}
	for name, address := range q.Dial {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		note(name, err)
	}
	note("signal", syscall.Kill(q.Signal, 0))
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil || core.Max != 0 {
		got["core"] = fmt.Sprint(core, err)
	}
	note("own program", exec.Command("/proc/self/exe", worker.Argument, "dies").Start())
	note("other program", exec.Command("/bin/true").Run())
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		if name, value, ok := strings.Cut(line, ":\t"); ok && (name == "CapEff" || name == "CapPrm" || name == "CapBnd" || name == "NoNewPrivs") {
			got[name] = value
		}
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		if os.Geteuid() == 0 && !strings.Contains(string(text), "CapEff:\t0000000000000000") {
			got["a thread"] = "keeps capabilities"
		}
	}
	return map[string]any{"standing": standing, "got": got}, err
}
