//go:build linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // the C part of the first process inside; it has to be linked
	"golang.org/x/sys/unix"
)

// The first process inside does not wait for the packages whose variables are initialized after this one: in a large program
// that takes longer than all the rest, for every command. A program that does not call IsInit works too, therefore.
func init() {
	if IsInit(os.Args) {
		Main()
	}
	if isHolder(os.Args) {
		holderMain(os.Args[2:])
	}
}

// IsInit tells that this process is to become the first one inside a sandbox. A main that can run sandboxes asks before
// everything else, with os.Args, and calls Main then.
func IsInit(args []string) bool {
	return len(args) == 2 && args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != ""
}

// Main becomes the first process inside a sandbox. It does not return.
func Main() {
	runtime.LockOSThread()
	// From here on it dies with its caller, also where it waits for it.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	libcontainer.Init()
}

// Run runs a command and returns when it and all that it started are gone. A command that ran is no error, however it ended: see Exit.
// Errors: Invalid for a spec that cannot be (Target names the field), Conflict for an ID that runs already,
// Unavailable for what the machine lacks, ctx.Err() when ctx ended first, and what a Write to Stdout or Stderr returned; with the
// last two, Exit tells how the command ended.
// It may be called any number of times at once.
func Run(ctx context.Context, spec Spec) (Exit, error) {
	spec, err := spec.complete()
	if err != nil {
		return Exit{}, err
	}
	if err := ctx.Err(); err != nil {
		return Exit{}, err
	}
	prepare()
	can := Look()
	if spec.Overlay != nil && !can.Overlay {
		return Exit{}, unavailable("Overlay needs root's rights and a kernel with the overlay file system.").At("Overlay")
	}
	lock, err := claim(spec.State, spec.ID)
	if err != nil {
		return Exit{}, err
	}
	defer func() { _ = lock.Close() }()
	folder := filepath.Join(spec.State, spec.ID)
	defer func() { _ = os.RemoveAll(folder) }()

	var exit Exit
	onOwnThread(func() { exit, err = spec.run(ctx, folder, can) })
	return exit, err
}

// run does it all on a thread of its own.
func (s Spec) run(ctx context.Context, folder string, can Isolation) (Exit, error) {
	staged := s
	if can.Root {
		var err error
		if staged, err = s.stage(); err != nil {
			return Exit{}, err
		}
	}
	who, err := lookUp(staged.Root, s.User, s.Mapping)
	if err != nil {
		return Exit{}, err
	}
	if _, ok := lookupEnv(s.Env, "HOME"); !ok {
		staged.Env = append(staged.Env, "HOME="+who.home)
	}
	streams, err := openStreams(s, who, can.Root)
	if err != nil {
		return Exit{}, err
	}
	defer streams.close()
	program, err := reaper()
	if err != nil {
		return Exit{}, unavailable("The first process of a sandbox cannot be made: %v.", err)
	}
	defer func() { _ = program.Close() }()

	box, err := libcontainer.Create(folder, boxName, staged.config(staged.Root, can))
	if err != nil {
		return Exit{}, fmt.Errorf("create the sandbox: %w", err)
	}
	process := &libcontainer.Process{
		Init: true, Args: staged.command(), Env: staged.Env, Cwd: s.Dir, UID: who.uid, GID: who.gid, AdditionalGroups: who.groups,
		Stdin: streams.stdin(), Stdout: streams.stdout(), Stderr: streams.stderr(),
		ExtraFiles: []*os.File{program, streams.report.write},
	}
	exit, err := s.supervise(ctx, box, process, streams)
	if destroyErr := box.Destroy(); destroyErr != nil {
		err = errors.Join(err, fmt.Errorf("remove the sandbox: %w", destroyErr))
	}
	return exit, err
}

// selfPath is the reaper's own file, inside.
var selfPath = "/proc/self/fd/" + strconv.Itoa(selfFD)

func (s Spec) command() []string {
	args := append([]string{selfPath}, candidates(s.Args[0], s.Env)...)
	return append(append(args, ""), s.Args...)
}

func reaper() (*os.File, error) {
	content, err := image(filter())
	if err != nil {
		return nil, err
	}
	return executable(content)
}

// supervise starts the command and sees it through to its end.
func (s Spec) supervise(ctx context.Context, box *libcontainer.Container, process *libcontainer.Process, streams *streams) (Exit, error) {
	begun := time.Now()
	if err := box.Run(process); err != nil {
		if pid, pidErr := process.Pid(); pidErr == nil && pid > 0 {
			_ = box.Signal(unix.SIGKILL)
			_, _ = process.Wait()
		}
		return Exit{}, startError(err)
	}
	pid, err := process.Pid()
	if err != nil {
		return Exit{}, err
	}
	first, err := os.FindProcess(pid) // holds on to the process, whoever gets its number later
	if err != nil {
		return Exit{}, err
	}
	defer func() { _ = first.Release() }()
	var paths map[string]string
	if state, err := box.State(); err == nil {
		paths = state.CgroupPaths
	}
	streams.start()
	end := s.watch(ctx, first, streams.failed, s.Limits.Time-time.Since(begun))
	ended, waitErr := process.Wait() // of everything inside: the kernel ends them all with the first
	why := end()
	copyErr := streams.finish()
	reports, err := readReports(streams.report.read)
	if err != nil {
		return Exit{}, err
	}
	exit, err := s.exit(reports, ended)
	if errors.Is(err, errSilent) && why != endItself { // it was told to end before it became the command
		exit, err = exitOf(unix.WaitStatus(unix.SIGTERM)), nil
	}
	if err != nil {
		return exit, errors.Join(err, waitErr)
	}
	if took, ok := consumed(paths); ok {
		exit.Usage = Usage{CPU: took.cpu, PeakMemory: took.peak}
		exit.OutOfMemory = took.oomKill
	}
	exit.TimedOut = why == endTime
	switch {
	case why == endContext:
		return exit, ctx.Err()
	case copyErr != nil:
		return exit, fmt.Errorf("write the command's output: %w", copyErr)
	}
	return exit, nil
}

// startError explains why a sandbox did not start.
func startError(err error) error {
	return unavailable("The sandbox did not start: %v.", err).Because(err)
}

var errSilent = errors.New("the first process of the sandbox ended without a word")

// exit turns the reaper's reports into an Exit; without one, the reaper itself was killed.
func (s Spec) exit(reports []report, first *os.ProcessState) (Exit, error) {
	for _, r := range reports {
		why := unix.Errno(r.Value)
		switch r.Kind {
		case reportNoFilter:
			return Exit{}, unavailable("The kernel does not take the system call filter: %v.", why)
		case reportNoFork:
			return Exit{}, unavailable("No process can be made for the command: %v.", why)
		case reportNoExec:
			if s.Stderr != nil {
				_, _ = fmt.Fprintf(s.Stderr, "cannot execute %s: %v\n", s.Args[0], why)
			}
		case reportEnded:
			exit := exitOf(unix.WaitStatus(r.Value))
			exit.Usage.CPU = time.Duration(r.UserUS+r.SystemUS) * time.Microsecond
			exit.Usage.PeakMemory = r.PeakKB << 10
			return exit, nil
		}
	}
	if first == nil {
		return Exit{}, errors.New("the first process of the sandbox is lost")
	}
	status, _ := first.Sys().(interface{ Signaled() bool })
	if status == nil || !status.Signaled() {
		return Exit{}, fmt.Errorf("%w: %v", errSilent, first)
	}
	return exitOf(unix.WaitStatus(unix.SIGKILL)), nil
}

func exitOf(status unix.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Code: 128 + int(status.Signal()), Signal: unix.SignalName(status.Signal())}
	}
	return Exit{Code: status.ExitStatus()}
}

// Why a command is ended before it ends itself.
type reason int

const (
	endItself reason = iota
	endContext
	endTime
	endOutput
)

// watch ends the command when the context or its time ends, or its output cannot be written. The function that it returns
// stops watching and tells what happened.
func (s Spec) watch(ctx context.Context, first *os.Process, failed <-chan struct{}, rest time.Duration) func() reason {
	stop, told := make(chan struct{}), make(chan reason, 1)
	go func() {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		why := endItself
		select {
		case <-stop:
		case <-ctx.Done():
			why = endContext
		case <-timer.C:
			why = endTime
		case <-failed:
			why = endOutput
		}
		defer func() { told <- why }()
		if why == endItself {
			return
		}
		if why != endOutput {
			_ = first.Signal(unix.SIGTERM)
			timer.Reset(Grace)
			select {
			case <-stop:
				return
			case <-timer.C:
			}
		}
		_ = first.Kill()
	}()
	return func() reason {
		close(stop)
		return <-told
	}
}
