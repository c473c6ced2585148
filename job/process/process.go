// Package process is the driver that runs nodes as plain processes of the server's user: no image, no wall of any kind, and no limits but
// time and log. It is for machines without sandboxes and for people who run their own code alone. It owns the life of those processes and
// the end of what they leave; on Linux what they started is found even when it left their process group, unless it hides.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
)

// Level is what job.Isolation.Level says of this driver.
const Level = "process"

// DefaultPath is the PATH of a command whose environment has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// mark is the variable by which the processes of a run are found.
const mark = "ALVARA_RUN"

// Driver implements job.Driver.
type Driver struct{}

var _ job.Driver = Driver{}

// Isolation implements job.Driver.
func (Driver) Isolation() job.Isolation {
	return job.Isolation{Level: Level, Lacks: []string{
		"Runs are plain processes of the server's user: they can read and write what it can, reach every network, see each other, and are not limited in memory, processors and processes. Use the backend sandbox, on Linux, to keep them apart.",
	}}
}

// Check implements job.Driver.
func (Driver) Check(spec job.Spec) error {
	if len(spec.Layers) > 0 {
		return resource.Invalidf("InvalidRun", "Layers must be empty: a plain process has no image. Use the backend sandbox to run in one.").At("Layers")
	}
	for i, m := range spec.Mounts {
		if filepath.Clean(m.Source) != filepath.Clean(m.Target) {
			return resource.Invalidf("InvalidRun", "Target %q must be the Source %q: a plain process sees the machine's own folders.", m.Target, m.Source).At(fmt.Sprintf("Mounts[%d].Target", i))
		}
	}
	if spec.Dir != "" {
		if info, err := os.Stat(spec.Dir); err != nil || !info.IsDir() {
			return resource.Invalidf("InvalidRun", "Dir %q is not a folder of this machine.", spec.Dir).At("Dir")
		}
	}
	return nil
}

// Prepare implements job.Driver. An address inside is one of the machine's loopback; nothing is forwarded to itself.
func (Driver) Prepare(_ context.Context, spec job.Spec, folder, token string) (job.Site, error) {
	s := &site{spec: spec, folder: folder, token: token, commands: map[int]bool{}}
	if err := adopt(); err != nil {
		return nil, err
	}
	for _, f := range spec.Forward {
		if f.Inside == f.Outside {
			s.listeners = append(s.listeners, nil)
			continue
		}
		listener, err := net.Listen("tcp", f.Inside)
		if err != nil {
			return nil, errors.Join(resource.Errorf(resource.Unavailable, "AddressInUse", "The address %s cannot be listened at: %v. Plain processes share the machine's loopback.", f.Inside, err), s.Close())
		}
		s.listeners = append(s.listeners, listener)
	}
	var err error
	if spec.Nodes > 1 {
		s.port, err = freePort()
	}
	if spec.Serve.Port != 0 && err == nil {
		s.served, err = freePort()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// freePort finds a port that nobody listens at. Somebody else may take it before the run does; then the run fails and says so.
func freePort() (int, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return free.Addr().(*net.TCPAddr).Port, free.Close()
}

// Sweep implements job.Driver.
func (Driver) Sweep(_, token string) error { return endMarked(mark + "=" + token + "-") }

type site struct {
	spec          job.Spec
	folder, token string
	listeners     []net.Listener
	port          int // for the nodes among each other
	served        int // to serve at; 0 for a run that does not

	mu       sync.Mutex
	commands map[int]bool // the processes that are waited for
}

func (s *site) Listeners() []net.Listener { return s.listeners }
func (s *site) MasterPort() int           { return s.port }

// Dial implements job.Site.
func (s *site) Dial() (net.Conn, error) {
	return net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.served)))
}

func (s *site) Close() error {
	for _, listener := range s.listeners {
		if listener != nil {
			_ = listener.Close() // which may be closed already
		}
	}
	return s.endOrphans("")
}

// Run implements job.Site.
func (s *site) Run(ctx context.Context, task job.Task) (job.Node, error) {
	home := filepath.Join(s.folder, "node-"+strconv.Itoa(task.Rank))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return job.Node{}, err
	}
	marked := fmt.Sprintf("%s=%s-%d", mark, s.token, task.Rank)
	env := append([]string{"PATH=" + DefaultPath, "HOME=" + home, "TMPDIR=" + home}, task.Env...)
	env = append(env, marked)
	if s.served != 0 && task.Rank == 0 {
		env = append(env, "PORT="+strconv.Itoa(s.served))
	}
	read, write, err := os.Pipe()
	if err != nil {
		return job.Node{}, err
	}
	defer func() { _ = read.Close() }()
	command := &exec.Cmd{Args: s.spec.Command, Env: env, Dir: s.spec.Dir, Stdout: write, Stderr: write, SysProcAttr: attributes()}
	if command.Dir == "" {
		command.Dir = home
	}
	var code int
	if command.Path, code, err = find(s.spec.Command[0], command.Dir, env); err != nil {
		_ = write.Close()
		_, _ = fmt.Fprintf(task.Output, "cannot execute %s: %v\n", s.spec.Command[0], err)
		return job.Node{Ended: true, ExitCode: code}, nil
	}
	return s.life(ctx, command, marked, read, write, task.Output)
}

// life starts the command and sees it to its end. Output is copied until nobody is left who could write it.
func (s *site) life(ctx context.Context, command *exec.Cmd, marked string, read, write *os.File, output io.Writer) (job.Node, error) {
	copied := make(chan struct{})
	begun, done := make(chan error, 1), make(chan struct{})
	var state *os.ProcessState
	go func() {
		defer close(done)
		release := pin() // the process is told of its parent's death by the death of the thread that made it
		defer release()
		s.mu.Lock()
		err := command.Start()
		if err == nil {
			s.commands[command.Process.Pid] = true
		}
		s.mu.Unlock()
		_ = write.Close()
		begun <- err
		if err != nil {
			return
		}
		_ = command.Wait() // how it ended is in the state
		state = command.ProcessState
		s.mu.Lock()
		delete(s.commands, command.Process.Pid)
		s.mu.Unlock()
	}()
	if err := <-begun; err != nil {
		return cannotStart(err, command, output)
	}
	go func() {
		defer close(copied)
		_, _ = io.Copy(output, read) // a log takes everything
	}()
	group := -command.Process.Pid
	select {
	case <-done:
	case <-ctx.Done():
		_ = syscall.Kill(group, syscall.SIGTERM) // it may be gone, here and below
		select {
		case <-done:
		case <-time.After(job.Grace):
		}
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-done
	err := s.endOrphans(marked)
	select {
	case <-copied:
	case <-time.After(job.Grace): // a process that hides from its end still holds the pipe
		_ = read.Close()
		<-copied
	}
	return nodeOf(state), err
}

// cannotStart is the end of a command that is a file and no program, as shells tell it.
func cannotStart(err error, command *exec.Cmd, output io.Writer) (job.Node, error) {
	var errno syscall.Errno
	if errors.As(err, &errno) && (errno == syscall.EACCES || errno == syscall.ENOEXEC || errno == syscall.ENOENT) {
		_, _ = fmt.Fprintf(output, "cannot execute %s: %v\n", command.Args[0], errno)
		code := 126
		if errno == syscall.ENOENT {
			code = 127
		}
		return job.Node{Ended: true, ExitCode: code}, nil
	}
	return job.Node{}, resource.Errorf(resource.Unavailable, "ProcessUnavailable", "No process can be made for the command: %v.", err).Because(err)
}

func nodeOf(state *os.ProcessState) job.Node {
	node := job.Node{Ended: true, ExitCode: state.ExitCode(), CPU: state.UserTime() + state.SystemTime(), PeakMemory: peak(state)}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		node.ExitCode, node.Signal = 128+int(status.Signal()), signalName(status.Signal())
	}
	return node
}

// find looks a command up as a shell would, in the PATH of its own environment; otherwise it gives the exit code for what is not there.
func find(command, dir string, env []string) (path string, code int, err error) {
	if strings.Contains(command, "/") {
		if !filepath.IsAbs(command) {
			command = filepath.Join(dir, command)
		}
		info, err := os.Stat(command)
		switch {
		case err != nil:
			return "", 127, syscall.ENOENT
		case info.IsDir() || info.Mode()&0o111 == 0:
			return "", 126, syscall.EACCES
		}
		return command, 0, nil
	}
	var list string
	for _, setting := range env {
		if value, ok := strings.CutPrefix(setting, "PATH="); ok {
			list = value
		}
	}
	for _, folder := range filepath.SplitList(list) {
		candidate := filepath.Join(folder, command)
		if info, err := os.Stat(candidate); filepath.IsAbs(folder) && err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return candidate, 0, nil
		}
	}
	return "", 127, syscall.ENOENT
}
