//go:build linux

package sandbox

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// capabilities are those that containers usually have; here they reach no further than the sandbox's own user namespace.
var capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
	"CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// hiddenPaths tell about the machine, or are ways to change it; they look empty inside.
var hiddenPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/modules", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
	"/sys/module",
}

// readOnlyPaths can be read and not written.
var readOnlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// device is a character device with the number that Linux gives it.
func device(path string, major, minor int64) *devices.Device {
	return &devices.Device{Path: path, FileMode: 0o666, Rule: devices.Rule{
		Type: devices.CharDevice, Major: major, Minor: minor, Permissions: "rwm", Allow: true,
	}}
}

// nodes are the devices in /dev.
func nodes() []*devices.Device {
	return []*devices.Device{
		device("/dev/null", 1, 3), device("/dev/zero", 1, 5), device("/dev/full", 1, 7), device("/dev/random", 1, 8),
		device("/dev/urandom", 1, 9), device("/dev/tty", 5, 0),
	}
}

// rules are the devices that may be used: those of /dev, and pseudo-terminals, which are the sandbox's own.
func rules() []*devices.Rule {
	list := []*devices.Rule{&device("", 5, 2).Rule, &device("", 136, devices.Wildcard).Rule}
	for _, node := range nodes() {
		list = append(list, &node.Rule)
	}
	return list
}

// config says it all in libcontainer's words. The spec is complete and its root is at root.
func (s Spec) config(root string, abilities Isolation) *configs.Config {
	c := &configs.Config{
		Rootfs:          root,
		Readonlyfs:      s.ReadOnlyRoot,
		RootPropagation: unix.MS_PRIVATE | unix.MS_REC,
		Hostname:        s.Hostname,
		Capabilities:    &configs.Capabilities{Bounding: capabilities, Permitted: capabilities, Effective: capabilities},
		NoNewPrivileges: true,
		NoNewKeyring:    false, // a keyring of its own
		Devices:         nodes(),
		MaskPaths:       hiddenPaths,
		ReadonlyPaths:   readOnlyPaths,
		Namespaces: configs.Namespaces{
			{Type: configs.NEWUSER}, {Type: configs.NEWNS}, {Type: configs.NEWPID}, {Type: configs.NEWIPC}, {Type: configs.NEWUTS},
			{Type: configs.NEWCGROUP},
		},
		UIDMappings:       []configs.IDMap{{HostID: int64(s.Mapping.Host), Size: int64(s.Mapping.Size)}},
		GIDMappings:       []configs.IDMap{{HostID: int64(s.Mapping.Group), Size: int64(s.Mapping.Size)}},
		RootlessEUID:      !abilities.Root,
		RootlessCgroups:   abilities.Version == 0,
		Cgroups:           s.cgroup(abilities),
		Rlimits:           s.rlimits(abilities),
		Mounts:            s.mounts(),
		ParentDeathSignal: int(unix.SIGKILL),
	}
	switch {
	case s.Net != nil: // mappings are those that the user namespace has
		user, network := s.Net.paths()
		c.Namespaces[0].Path = user
		c.Namespaces = append(c.Namespaces, configs.Namespace{Type: configs.NEWNET, Path: network})
	case s.Network == None:
		c.Namespaces = append(c.Namespaces, configs.Namespace{Type: configs.NEWNET})
		c.Networks = []*configs.Network{{Type: "loopback"}}
	}
	return c
}

const (
	quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	plain = unix.MS_NOSUID | unix.MS_NODEV
)

func (s Spec) mounts() []*configs.Mount {
	pts := "newinstance,ptmxmode=0666,mode=0620"
	if s.Mapping.Size > 5 {
		pts += ",gid=5" // the group tty
	}
	mount := func(kind, target string, flags int, data string) *configs.Mount {
		return &configs.Mount{Source: kind, Device: kind, Destination: target, Flags: flags, Data: data}
	}
	list := []*configs.Mount{
		mount("proc", "/proc", quiet, ""),
		mount("tmpfs", "/dev", unix.MS_NOSUID|unix.MS_STRICTATIME, "mode=755,size=64k"),
		mount("devpts", "/dev/pts", unix.MS_NOSUID|unix.MS_NOEXEC, pts),
		mount("tmpfs", "/dev/shm", quiet, fmt.Sprintf("mode=1777,size=%d", s.Limits.Memory/2)),
		mount("mqueue", "/dev/mqueue", quiet, ""),
	}
	if s.Network == None {
		list = append(list, mount("sysfs", "/sys", quiet|unix.MS_RDONLY, ""))
	} else { // /sys shows the network of whom it belongs to, which is not ours to mount
		list = append(list, mount("tmpfs", "/sys", quiet|unix.MS_RDONLY, "mode=755,size=4k"))
	}
	for _, m := range s.Mounts {
		if m.Source == "" {
			size := m.Size
			if size == 0 {
				size = defaultTmpfs
			}
			list = append(list, mount("tmpfs", m.Target, plain, fmt.Sprintf("mode=1777,size=%d", size)))
			continue
		}
		bind := &configs.Mount{Source: m.Source, Device: "bind", Destination: m.Target, Flags: unix.MS_BIND | unix.MS_REC | plain}
		if m.ReadOnly {
			bind.Flags |= unix.MS_RDONLY
			bind.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		}
		list = append(list, bind)
	}
	return list
}

// cpuPeriod is over which the share of the processors is measured, in microseconds.
const cpuPeriod = 100_000

func (s Spec) cgroup(abilities Isolation) *cgroups.Cgroup {
	pids := s.Limits.PIDs
	group := &cgroups.Cgroup{Name: s.ID, Rootless: abilities.Version == 0, Resources: &cgroups.Resources{Devices: rules()}}
	if abilities.Version == 0 {
		return group
	}
	group.Name, group.Path = "", filepath.Join(cgroupParent, s.ID)
	if abilities.Memory {
		group.Resources.Memory = s.Limits.Memory
		if abilities.swapLimited {
			group.Resources.MemorySwap = s.Limits.Memory
		}
	}
	if abilities.PIDs {
		group.Resources.PidsLimit = &pids
	}
	if abilities.CPUs {
		group.Resources.CpuPeriod = cpuPeriod
		group.Resources.CpuQuota = max(1000, int64(s.Limits.CPUs*cpuPeriod))
	}
	return group
}

// rlimits are those of each process. What a cgroup cannot limit is limited here as well as it goes.
func (s Spec) rlimits(abilities Isolation) []configs.Rlimit {
	both := func(kind int, value uint64) configs.Rlimit {
		var now unix.Rlimit
		if err := unix.Getrlimit(kind, &now); err == nil && value > now.Max {
			value = now.Max // only root may ask for more, and not every root
		}
		return configs.Rlimit{Type: kind, Soft: value, Hard: value}
	}
	list := []configs.Rlimit{
		both(unix.RLIMIT_CORE, 1), // 1 also keeps the host's own handler of core files from being started
		both(unix.RLIMIT_NOFILE, 65536),
	}
	if !abilities.Memory {
		list = append(list, both(unix.RLIMIT_DATA, uint64(s.Limits.Memory)))
	}
	if !abilities.PIDs {
		list = append(list, both(unix.RLIMIT_NPROC, uint64(s.Limits.PIDs)))
	}
	return list
}

// candidates are the files that a command may be, in the order of trying.
func candidates(command string, env []string) []string {
	if strings.Contains(command, "/") {
		return []string{command}
	}
	path, _ := lookupEnv(env, "PATH")
	var list []string
	for _, folder := range filepath.SplitList(path) {
		if strings.HasPrefix(folder, "/") { // the working folder is never searched
			list = append(list, folder+"/"+command)
		}
	}
	if len(list) == 0 {
		list = append(list, "/"+command)
	}
	return list
}
