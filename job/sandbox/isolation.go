//go:build linux

package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Check finds out what this machine can do, for this process. It takes a few milliseconds, as it tries the walls.
func Check() Isolation {
	i := Look()
	i.try()
	return i
}

// Look is what can be told of the machine by looking, without trying: all of Check but Namespaces and Seccomp.
func Look() Isolation {
	i := Isolation{Root: os.Geteuid() == 0}
	if !i.Root {
		i.lack("The server does not have root's rights: inside there is a single user, root, and a command that changes to another one fails. Start the server as root to have them all.")
	}
	kinds, _ := os.ReadFile("/proc/filesystems")
	i.Overlay = i.Root && strings.Contains(string(kinds), "\toverlay\n")
	if i.Root && !i.Overlay {
		i.lack("The kernel has no overlay file system: layers cannot be mounted over each other. Load the module overlay.")
	}
	i.findCgroups()
	return i
}

func (i *Isolation) lack(format string, args ...any) {
	i.Lacks = append(i.Lacks, fmt.Sprintf(format, args...))
}

// cgroupParent is the cgroup, in every hierarchy, below which each command has one.
const cgroupParent = "/alvara"

func (i *Isolation) findCgroups() {
	switch {
	case cgroups.IsCgroup2UnifiedMode():
		i.findVersion2()
	case i.Root:
		i.findVersion1()
	}
	if i.Version == 0 {
		i.lack("Cgroups cannot be written: memory and processes are limited by rlimits, memory for each process alone (RLIMIT_DATA), so that a command that needs more ends as a failure of its own and not as OutOfMemory, and the use of CPUs is not limited. Start the server as root.")
		return
	}
	if !i.Memory {
		i.lack("The cgroup controller memory is missing: memory is limited for each process alone (RLIMIT_DATA), so that a command that needs more ends as a failure of its own and not as OutOfMemory. Enable it in the kernel.")
	}
	if !i.PIDs {
		i.lack("The cgroup controller pids is missing: processes are limited by RLIMIT_NPROC. Enable it in the kernel.")
	}
	if !i.CPUs {
		i.lack("The cgroup controller cpu, or its quota, is missing: the use of CPUs is not limited. Enable it in the kernel.")
	}
}

func (i *Isolation) findVersion2() {
	const top = "/sys/fs/cgroup"
	if unix.Access(top, unix.W_OK) != nil || !i.Root {
		return
	}
	list, err := os.ReadFile(filepath.Join(top, "cgroup.controllers"))
	if err != nil {
		return
	}
	i.Version = 2
	for controller := range strings.FieldsSeq(string(list)) {
		switch controller {
		case "memory":
			i.Memory = true
		case "pids":
			i.PIDs = true
		case "cpu":
			i.CPUs = true
		}
	}
	swap, _ := filepath.Glob(filepath.Join(top, "*", "memory.swap.max"))
	i.swapLimited = len(swap) > 0
}

func (i *Isolation) findVersion1() {
	// What is needed is the file that the limit is written to; kernels can be built without it.
	has := func(controller, file string) bool {
		mount, err := cgroups.FindCgroupMountpoint("", controller)
		if err != nil || unix.Access(mount, unix.W_OK) != nil {
			return false
		}
		_, err = os.Stat(filepath.Join(mount, file))
		return err == nil
	}
	if !has("devices", "cgroup.procs") {
		return
	}
	i.Version = 1
	i.Memory = has("memory", "memory.limit_in_bytes")
	i.swapLimited = has("memory", "memory.memsw.limit_in_bytes")
	i.PIDs = has("pids", "cgroup.procs")
	i.CPUs = has("cpu", "cpu.cfs_quota_us")
}

// try starts the reaper in new namespaces, with nothing to run: it gets as far as the filter.
func (i *Isolation) try() {
	if i.Root {
		var err error
		onOwnThread(func() { _, err = Spec{Root: "/", State: "/proc"}.stage() })
		if err != nil {
			i.lack("%v", err)
			return
		}
	}
	reports, err := tryReaper()
	switch {
	case err != nil:
		i.lack("User namespaces cannot be made (%v): commands cannot run in a sandbox. Allow them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns).", err)
		return
	case len(reports) == 0:
		i.Namespaces = true
		i.lack("The first process of a sandbox was killed at once: commands cannot run in a sandbox.")
		return
	}
	i.Namespaces = true
	i.Seccomp = reports[0].Kind == reportNoExec
	if !i.Seccomp {
		i.lack("The kernel does not take the system call filter (%v): commands cannot run in a sandbox. Use a kernel with CONFIG_SECCOMP_FILTER.", unix.Errno(reports[0].Value))
	}
}

func tryReaper() ([]report, error) {
	content, err := image(filter())
	if err != nil {
		return nil, err
	}
	program, err := executable(content)
	if err != nil {
		return nil, err
	}
	defer func() { _ = program.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	me := Map()
	command := exec.Cmd{
		Path: "/proc/self/fd/3", Args: []string{"reaper", "/nothing/here", "", "nothing"}, Dir: "/", Env: []string{},
		ExtraFiles: []*os.File{program, write},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			UidMappings: []syscall.SysProcIDMap{{HostID: int(me.Host), Size: int(me.Size)}},
			GidMappings: []syscall.SysProcIDMap{{HostID: int(me.Group), Size: int(me.Size)}},
		},
	}
	runtime.LockOSThread() // the reaper dies with the thread that started it
	defer runtime.UnlockOSThread()
	err = command.Start()
	_ = write.Close()
	if err != nil {
		return nil, err
	}
	reports, err := readReports(read)
	_ = command.Wait() // its status is that of a command which is not there
	return reports, err
}
