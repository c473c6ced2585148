package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/worker"
)

// A child gets its input, an environment that says no more than it was given, and reports lines, progress and a result.
func TestAnswer(t *testing.T) {
	t.Setenv("SECRET_OF_THE_SERVER", "x")
	dir := t.TempDir()
	var lines []string
	var progress []worker.Progress
	c := worker.Command{Mode: "echo", Dir: dir, Env: []string{"ONLY=this"},
		Log: func(line string) { lines = append(lines, line) }, Progress: func(p worker.Progress) { progress = append(progress, p) }}
	var result struct {
		Input json.RawMessage
		Env   []string
		Dir   string
	}
	if err := c.Run(context.Background(), map[string]int{"a": 1}, &result); err != nil {
		t.Fatal(err)
	}
	if string(result.Input) != `{"a":1}` || result.Dir != dir {
		t.Errorf("%+v", result)
	}
	if slices.Sort(result.Env); !slices.Equal(result.Env, []string{"ONLY=this", "TMPDIR=" + dir}) {
		t.Errorf("environment %q", result.Env)
	}
	if !slices.Equal(lines, []string{"a line\nand another"}) || !slices.Equal(progress, []worker.Progress{{"copying", 1, 2}, {"copying", 2, 2}}) {
		t.Errorf("lines %q, progress %v", lines, progress)
	}
}

// Errors keep their kind, code and message; ends without an answer may be tried again.
func TestErrors(t *testing.T) {
	for mode, want := range map[string]struct {
		kind    resource.Kind
		message string
		cause   string
	}{
		"refuses": {resource.Forbidden, "AuthorizationFailed: no right on x", "secret cause"},
		"fails":   {resource.Internal, "disk full", ""},
		"panics":  {resource.Internal, "the work panicked: at the disco", ""},
		"dies":    {resource.Unavailable, "WorkerEnded", "out of luck"},
		"babbles": {resource.Unavailable, "WorkerEnded", "none of its language"},
		"endless": {resource.Unavailable, "WorkerEnded", "too long"},
	} {
		var stderr []string
		c := worker.Command{Mode: mode, Dir: t.TempDir(), Stderr: func(line string) { stderr = append(stderr, line) }}
		err := c.Run(context.Background(), 1, new(any))
		if err == nil || resource.KindOf(err) != want.kind || !strings.Contains(err.Error(), want.message) {
			t.Errorf("%s: %v", mode, err)
		}
		if e, ok := resource.AsError(err); ok {
			if e.Cause == nil || !strings.Contains(e.Cause.Error(), want.cause) || strings.Contains(e.Message, want.cause) {
				t.Errorf("%s: cause %v", mode, e.Cause)
			}
			if mode == "refuses" && e.Target != "field" {
				t.Errorf("%s: target %q", mode, e.Target)
			}
		}
		if mode == "dies" && !slices.Equal(stderr, []string{"out of luck"}) {
			t.Errorf("standard error %q", stderr)
		}
	}
	missing := worker.Command{Program: []string{"/no/such/program"}, Mode: "echo", Dir: t.TempDir()}
	if err := missing.Run(context.Background(), 1, nil); err == nil {
		t.Error("a program that is not there runs")
	}
}

// A cancelled context ends the child and what it started.
func TestCancel(t *testing.T) {
	for _, mode := range []string{"sleeps", "forks"} {
		ctx, cancel := context.WithCancel(context.Background())
		started := make(chan int, 1)
		c := worker.Command{Mode: mode, Dir: t.TempDir(), Log: func(line string) {
			pid, _ := strconv.Atoi(line)
			started <- pid
			cancel()
		}}
		if err := c.Run(ctx, 1, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", mode, err)
		}
		ended(t, mode, <-started)
		cancel()
		if err := c.Run(ctx, 1, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that is over: %v", mode, err)
		}
	}
}

func ended(t *testing.T, name string, pid int) {
	t.Helper()
	for range 200 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s: process %d goes on", name, pid)
}

// A child whose standard input ends knows that its parent is gone.
func TestParentGone(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write.WriteString("{}\n"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { write.Close() })
	var out strings.Builder
	code := worker.Serve(read, &out, func(ctx context.Context, _ json.RawMessage, _ *worker.Reporter) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	if code != 1 || !strings.Contains(out.String(), "the parent process has ended") {
		t.Errorf("%d, %s", code, out.String())
	}
	out.Reset()
	if code := worker.Serve(strings.NewReader(""), &out, nil); code != 2 || !strings.Contains(out.String(), "no line of JSON") {
		t.Errorf("without input: %d, %s", code, out.String())
	}
}

// A parent that is killed takes its child with it, so that no worker of a server that was killed goes on.
func TestKilledParent(t *testing.T) {
	for range 5 {
		started := make(chan int, 1)
		c := worker.Command{Mode: "parent", Dir: t.TempDir(), Log: func(line string) {
			pid, _ := strconv.Atoi(line)
			started <- pid
			stat, err := os.ReadFile("/proc/" + line + "/stat")
			if err != nil {
				t.Error(err)
				return
			}
			parent, _ := strconv.Atoi(strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[1])
			if err := syscall.Kill(parent, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}}
		if err := c.Run(context.Background(), 1, nil); resource.KindOf(err) != resource.Unavailable {
			t.Errorf("%v", err)
		}
		ended(t, "child of a killed parent", <-started)
	}
}

// The worker runs with the least that the machine allows: its own folder, the files and services that it was given, and
// nothing else of the machine.
func TestWalls(t *testing.T) {
	if _, _, errno := syscall.Syscall(444, 0, 0, 1); errno != 0 {
		t.Skip("this machine has no Landlock")
	}
	own, others := t.TempDir(), t.TempDir()
	given, secret, mine := filepath.Join(others, "ca.pem"), filepath.Join(others, "master.key"), filepath.Join(own, "mine")
	for _, file := range []string{given, secret, mine} {
		if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	service, other := listen(), listen()
	_, port, _ := net.SplitHostPort(service)
	q := question{
		Walls:  worker.Walls{Write: own, Read: []string{given, "/no/such/file"}, URLs: []string{"https://{account}.blob.example.org:" + port, ""}},
		Read:   map[string]string{"given": given, "secret": secret, "mine": mine, "passwd": "/etc/passwd", "environment": "/proc/" + strconv.Itoa(os.Getpid()) + "/environ", "memory": "/proc/" + strconv.Itoa(os.Getpid()) + "/mem"},
		Write:  map[string]string{"new": filepath.Join(own, "new"), "beside": filepath.Join(others, "new"), "over given": given, "setting": "/proc/sys/kernel/core_pattern"},
		Dial:   map[string]string{"service": service, "other": other},
		Signal: os.Getpid(),
	}
	var answer struct {
		Standing []string
		Got      map[string]string
	}
	c := worker.Command{Mode: "probe", Dir: own, Stderr: func(line string) { t.Log(line) }}
	if err := c.Run(context.Background(), q, &answer); err != nil {
		t.Fatal(err)
	}
	t.Log(answer.Standing, answer.Got)
	for _, name := range []string{"given", "mine", "new", "service", "own program"} {
		if answer.Got[name] != "ok" {
			t.Errorf("%s: %s", name, answer.Got[name])
		}
	}
	for _, name := range []string{"secret", "passwd", "environment", "memory", "beside", "over given", "setting", "other", "other program"} {
		if !strings.Contains(answer.Got[name], "permission denied") && !strings.Contains(answer.Got[name], "not permitted") && !strings.Contains(answer.Got[name], "input/output error") {
			t.Errorf("%s: %s", name, answer.Got[name])
		}
	}
	if answer.Got["NoNewPrivs"] != "1" || answer.Got["core"] != "" || answer.Got["a thread"] != "" {
		t.Errorf("%v", answer.Got)
	}
	if os.Geteuid() == 0 && (strings.Trim(answer.Got["CapEff"]+answer.Got["CapPrm"]+answer.Got["CapBnd"], "0") != "" || !slices.Contains(answer.Standing, "no capabilities")) {
		t.Errorf("capabilities: %v", answer.Got)
	}
}
