//go:build unix && !linux

package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func pin() (release func()) { return func() {} }

func peak(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss
}

func signalName(signal syscall.Signal) string { return unix.SignalName(signal) }

func adopt() error { return nil }

// endOrphans and endMarked cannot see other processes' environments here: what left the process group is not found.
func (s *site) endOrphans(string) error { return nil }

func endMarked(string) error { return nil }
