package duckdb

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// isolation is a way to start a compute process.
type isolation struct {
	walls   []string
	prepare func(*exec.Cmd)
}

// isolations lists the ways from the strongest on; a machine that refuses namespaces takes the next. There is no process
// namespace: restricting every thread needs a /proc that shows them, and the system call filter forbids signals to others anyway.
func isolations() []isolation {
	// No user is mapped, so that the program starts as nobody in its namespaces and without any capability, and so that
	// nothing has to be written to /proc, which a walled-in parent may not do.
	attributes := func(namespaces uintptr) func(*exec.Cmd) {
		return func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: namespaces}
		}
	}
	return []isolation{
		{
			walls:   []string{"user namespace", "network namespace", "ipc namespace", "host name namespace", "mount namespace"},
			prepare: attributes(syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS),
		},
		{walls: nil, prepare: attributes(0)},
	}
}

func killGroup(cmd *exec.Cmd) {
	if cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Process.Kill()
}

func residentMemory(pid int) int64 {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func peakMemory(state *os.ProcessState) int64 {
	if state == nil {
		return 0
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss * 1024
	}
	return 0
}
