package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbid tries what must not work and prints each with its error.
func forbid([]string) error {
	pointer := func(s string) uintptr { b, _ := unix.BytePtrFromString(s); return uintptr(unsafe.Pointer(b)) }
	zeros := uintptr(unsafe.Pointer(&make([]byte, 4096)[0]))
	raw := func(call uintptr, args ...uintptr) error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := unix.Syscall6(call, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
	attempts := []struct {
		name string
		err  error
	}{
		{"mount tmpfs", unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "")},
		{"remount root", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")},
		{"umount proc", unix.Unmount("/proc", unix.MNT_DETACH)},
		{"fsopen", raw(unix.SYS_FSOPEN, pointer("tmpfs"))},
		{"open_tree", raw(unix.SYS_OPEN_TREE, 0, pointer("/"), 1)},
		{"pivot_root", unix.PivotRoot("/", "/")},
		{"mknod char", unix.Mknod("/tmp/kmsg", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11)))},
		{"mknod block", unix.Mknod("/tmp/disk", unix.S_IFBLK|0o666, int(unix.Mkdev(254, 0)))},
		{"ptrace", unix.PtraceAttach(1)},
		{"process_vm_readv", raw(unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0, 0)},
		{"init_module", raw(unix.SYS_INIT_MODULE, zeros, 1, pointer(""))},
		{"finit_module", raw(unix.SYS_FINIT_MODULE, 0, pointer(""), 0)},
		{"sethostname", unix.Sethostname([]byte("other"))},
		{"unshare user", unix.Unshare(unix.CLONE_NEWUSER)},
		{"unshare net", unix.Unshare(unix.CLONE_NEWNET)},
		{"clone user", raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_VM)},
		{"clone3", raw(unix.SYS_CLONE3, zeros, 88)},
		{"setns", unix.Setns(0, 0)},
		{"bpf", raw(unix.SYS_BPF, 0, zeros, 120)},
		{"perf_event_open", raw(unix.SYS_PERF_EVENT_OPEN, zeros, 0, ^uintptr(0), ^uintptr(0), 0)},
		{"io_uring_setup", raw(unix.SYS_IO_URING_SETUP, 1, zeros)},
		{"userfaultfd", raw(unix.SYS_USERFAULTFD, 1)},
		{"keyctl", raw(unix.SYS_KEYCTL, 0, 0)},
		{"add_key", raw(unix.SYS_ADD_KEY, pointer("user"), pointer("a"), zeros, 1, ^uintptr(2)+1)},
		{"kexec_load", raw(unix.SYS_KEXEC_LOAD)},
		{"reboot", raw(unix.SYS_REBOOT, 0, 0, 0)},
		{"swapon", raw(unix.SYS_SWAPON, pointer("/tmp"), 0)},
		{"syslog", raw(unix.SYS_SYSLOG, 10, 0, 0)},
		{"acct", unix.Acct("/tmp/acct")},
		{"open_by_handle_at", raw(unix.SYS_OPEN_BY_HANDLE_AT, 3, zeros, 0)},
		{"clock_settime", raw(unix.SYS_CLOCK_SETTIME, 0, zeros)},
		{"quotactl", raw(unix.SYS_QUOTACTL, 0, 0, 0, 0)},
		{"personality", raw(unix.SYS_PERSONALITY, 0x0040000)},
		{"ioctl TIOCSTI", raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, zeros)},
		{"socket vsock", socket(unix.AF_VSOCK, unix.SOCK_STREAM)},
		{"socket alg", socket(unix.AF_ALG, unix.SOCK_SEQPACKET)},
		{"socket packet", socket(unix.AF_PACKET, unix.SOCK_RAW)},
		{"a call of the future", raw(5000)},
		{"write core_pattern", os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/bin/x"), 0)},
		{"write ip_forward", os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)},
		{"write sysrq", os.WriteFile("/proc/sysrq-trigger", []byte("h"), 0)},
		{"write uevent_helper", os.WriteFile("/sys/kernel/uevent_helper", []byte("/bin/x"), 0)},
		{"write uid_map", os.WriteFile("/proc/self/uid_map", []byte("0 0 1"), 0)},
		{"raise files", raise(unix.RLIMIT_NOFILE)},
		{"renice", unix.Setpriority(unix.PRIO_PROCESS, 0, -10)},
	}
	for _, a := range attempts {
		fmt.Printf("%s: %v\n", a.name, a.err)
	}
	return nil
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func raise(resource int) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return nil
	}
	now.Max++
	return unix.Prlimit(0, resource, &now, nil)
}
