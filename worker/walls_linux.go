package worker

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// calm forbids core files, which would hold tokens, and new privileges.
func calm() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})         // lowering never fails
	_ = ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // old kernels
}

// Raise puts the walls up, for good, and names those that stand.
func (w Walls) Raise() []string {
	var standing []string
	if w.landlock() == nil {
		standing = append(standing, "landlock")
	}
	if os.Geteuid() == 0 && dropCapabilities() == nil {
		standing = append(standing, "no capabilities")
	}
	return standing
}

func (w Walls) landlock() error {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return unix.ENOSYS
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const look = ll.AccessFSReadFile | ll.AccessFSReadDir
	rules := []landlock.Rule{
		landlock.RWDirs(w.Write).WithRefer(),
		landlock.ROFiles(append(append(mapped(), self), w.Read...)...).IgnoreIfMissing(),
		landlock.RODirs("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo").IgnoreIfMissing(),
		landlock.ROFiles("/etc/ld.so.cache", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
			"/etc/localtime", "/dev/urandom", "/dev/zero").IgnoreIfMissing(),
		landlock.RWFiles("/dev/null").IgnoreIfMissing(),
		landlock.PathAccess(look, "/proc").IgnoreIfMissing(),
		landlock.PathAccess(look, "/sys/fs/cgroup", "/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage").IgnoreIfMissing(),
	}
	for _, port := range w.ports() {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	return landlock.V6.BestEffort().Restrict(rules...)
}

// mapped gives the files that this process runs from: program, loader and libraries, wherever the system keeps them. What
// it starts, which is itself again, needs the same.
func mapped() []string {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	var files []string
	for _, line := range strings.Split(string(text), "\n") {
		if at := strings.IndexByte(line, '/'); at > 0 && !strings.HasSuffix(line, " (deleted)") && !slices.Contains(files, line[at:]) {
			files = append(files, line[at:])
		}
	}
	return files
}

// dropCapabilities gives up what root may do beyond its own files, in every thread.
func dropCapabilities() error {
	last := 63
	if text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil && len(text) > 1 {
		if n, err := strconv.Atoi(string(text[:len(text)-1])); err == nil {
			last = n
		}
	}
	for capability := 0; capability <= last; capability++ {
		// Without it in the bounding set, no program that is started gets it back.
		if err := ll.AllThreadsPrctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil {
			return err
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0); errno != 0 {
		return errno
	}
	return nil
}
