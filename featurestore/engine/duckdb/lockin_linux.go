package duckdb

import (
	"os/signal"
	"runtime"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/featurestore/engine"
)

// lockIn shuts the compute process in before it opens any data, and names the walls that stand.
func lockIn(limits engine.Limits, reads []string, work string) []string {
	var walls []string
	runtime.LockOSThread() // what a thread gives up, the filter's synchronization spreads to the others
	defer runtime.UnlockOSThread()
	// A write beyond the size limit is to fail, not to kill.
	signal.Ignore(syscall.SIGXFSZ)
	seconds := uint64(limits.Time.Seconds()*float64(limits.Threads)) + 30
	all := true
	for _, limit := range []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, 4096},
		{unix.RLIMIT_FSIZE, uint64(limits.Scratch)},
		{unix.RLIMIT_CPU, seconds},
	} {
		if setLimit(limit.resource, limit.value) != nil {
			all = false
		}
	}
	if all {
		walls = append(walls, "resource limits")
	}
	if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil {
		walls = append(walls, "no new privileges")
	}
	rules := []landlock.Rule{
		landlock.RWDirs(work).WithRefer(),
		landlock.ROFiles(reads...).IgnoreIfMissing(),
		// The engine looks there for the machine's size.
		landlock.ROFiles("/proc/meminfo", "/proc/cpuinfo", "/proc/self/cgroup", "/proc/self/mountinfo", "/proc/self/statm").IgnoreIfMissing(),
		landlock.RODirs("/sys/fs/cgroup", "/sys/devices/system/cpu").IgnoreIfMissing(),
	}
	if landlockVersion() > 0 && landlock.V6.BestEffort().Restrict(rules...) == nil {
		walls = append(walls, "landlock")
	}
	if refuseCalls() == nil {
		walls = append(walls, "system call filter")
	}
	return walls
}

func setLimit(which int, value uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(which, &now); err != nil {
		return err
	}
	value = min(value, now.Max)
	return unix.Setrlimit(which, &unix.Rlimit{Cur: value, Max: value})
}

func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}
