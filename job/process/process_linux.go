package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
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

// endMarked kills every process whose environment, as it was started with, has a variable that begins so, and returns when
// none is left. Zombies have no environment.
func endMarked(setting string) error {
	for range rounds {
		found := 0
		processes, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return err
		}
		for _, path := range processes {
			env, err := os.ReadFile(path)
			if err != nil || !bytes.HasPrefix(env, []byte(setting)) && !bytes.Contains(env, append([]byte{0}, setting...)) {
				continue // gone, or somebody else's
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return err
			}
			found++
			_ = unix.Kill(pid, unix.SIGKILL) // it may be gone
		}
		if found == 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("processes with %s are made faster than they can be ended", setting)
}
