//go:build !linux

package bench

import (
	"errors"
	"syscall"
	"time"
)

var errOnlyLinux = errors.New("other processes are measured on Linux only; measure P1, P2 and P4 here")

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // it has no way to fail
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// ownPeak is not known here.
func ownPeak() float64 { return 0 }

func cpuOf(int) (time.Duration, error) { return 0, errOnlyLinux }

func residentOf(int) (int64, error) { return 0, errOnlyLinux }
