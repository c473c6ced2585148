package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func ownUsage() syscall.Rusage {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // it has no way to fail
	return usage
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	usage := ownUsage()
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// ownPeak is the largest resident set of this process, in bytes.
func ownPeak() float64 { return float64(ownUsage().Maxrss) * 1024 }

// ticks per second of the times in /proc, which is the same on every Linux that Go runs on.
const ticks = 100

type stat struct {
	pid, parent int
	own, ended  time.Duration // processor time of the process, and of its children that have ended
	resident    int64         // bytes
}

func readStat(path string) (stat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	at := bytes.LastIndexByte(text, ')') // the name before it may hold anything
	fields := bytes.Fields(text[at+1:])
	if at < 0 || len(fields) < 22 {
		return stat{}, fmt.Errorf("%s is not as expected", path)
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i-3]), 10, 64) // the kernel writes numbers
		return n
	}
	duration := func(i int) time.Duration { return time.Duration(number(i)+number(i+1)) * time.Second / ticks }
	pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
	return stat{pid: pid, parent: int(number(4)), own: duration(14), ended: duration(16), resident: number(24) * int64(os.Getpagesize())}, nil
}

// cpuOf is the processor time of a process and of its children that have ended.
func cpuOf(pid int) (time.Duration, error) {
	s, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return s.own + s.ended, err
}

// residentOf is what a process and all below it hold in memory, in bytes.
func residentOf(pid int) (int64, error) {
	root, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	below := map[int][]stat{}
	for _, path := range paths {
		if s, err := readStat(path); err == nil { // others come and go
			below[s.parent] = append(below[s.parent], s)
		}
	}
	total, queue := root.resident, []int{pid}
	for len(queue) > 0 {
		for _, s := range below[queue[0]] {
			total += s.resident
			queue = append(queue, s.pid)
		}
		queue = queue[1:]
	}
	return total, nil
}
