package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

func pin() (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

func peak(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10
}

func signalName(signal syscall.Signal) string { return unix.SignalName(signal) }

// rounds is how often processes are looked for that make others while they are being ended.
const rounds = 200

// adopt makes this process the parent of what loses its own among those that it started.
func adopt() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// endOrphans kills what commands that have ended left, and returns when nothing is: those with a setting, or with "" all that nobody
// waits for. When the parent of a process is killed, the process is an orphan in the next round.
func (s *site) endOrphans(setting string) error {
	for range rounds {
		found, err := s.endSome(setting)
		if err != nil || found == 0 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return tooMany(setting)
}

// endSome is one round. No command is started meanwhile.
func (s *site) endSome(setting string) (found int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); errors.Is(err, unix.ECHILD) {
		return 0, nil // there is nobody, as nearly always, and nothing to look through
	}
	children, err := childrenOf(os.Getpid())
	if err != nil {
		return 0, err
	}
	for _, pid := range children {
		if s.commands[pid] {
			continue
		}
		if ended, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil || ended == pid {
			found++ // and there may be others behind it
			continue
		}
		if setting == "" || isMarked(strconv.Itoa(pid), setting) {
			found++
			_ = unix.Kill(pid, unix.SIGKILL) // it may be gone
		}
	}
	return found, nil
}

// childrenOf looks through all processes: not every kernel has a list.
func childrenOf(parent int) (children []int, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range processes {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone
		}
		// pid (name) state parent …, and the name may have anything in it
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		children = append(children, pid)
	}
	return children, nil
}

// isMarked tells whether the environment that a process was started with has a variable that begins so.
func isMarked(pid, setting string) bool {
	env, err := os.ReadFile("/proc/" + pid + "/environ")
	return err == nil && (bytes.HasPrefix(env, []byte(setting)) || bytes.Contains(env, append([]byte{0}, setting...)))
}

func tooMany(setting string) error {
	return fmt.Errorf("processes with %q are made faster than they can be ended", setting)
}

// endMarked kills every process of the machine that is marked, and returns when none is left. Zombies have no environment.
func endMarked(setting string) error {
	for range rounds {
		found := 0
		processes, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return err
		}
		for _, path := range processes {
			name := filepath.Base(filepath.Dir(path))
			pid, err := strconv.Atoi(name)
			if err != nil {
				return err
			}
			if isMarked(name, setting) {
				found++
				_ = unix.Kill(pid, unix.SIGKILL) // it may be gone
			}
		}
		if found == 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return tooMany(setting)
}
