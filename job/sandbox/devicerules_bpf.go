//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"
)

// instruction is struct bpf_insn; Registers has the destination in its lower half.
type instruction struct {
	Code, Registers uint8
	Offset          int16
	Constant        int32
}

// deviceProgram is what decides in a cgroup of version 2. It sees struct bpf_cgroup_dev_ctx: the kind of device in the lower half of
// the first word, the major number in the second, the minor one in the third.
func deviceProgram(rules []*devices.Rule) []instruction {
	const (
		loadWord = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
		and      = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		notEqual = unix.BPF_JMP | 0x50 | unix.BPF_K // BPF_JNE
		move     = 0x07 | 0xb0 | unix.BPF_K         // BPF_ALU64, BPF_MOV
		exit     = unix.BPF_JMP | 0x90              // BPF_EXIT
		kind     = 2                                // BPF_DEVCG_DEV_CHAR
	)
	leave := func(result int32) []instruction {
		return []instruction{{Code: move, Constant: result}, {Code: exit}}
	}
	program := []instruction{
		{Code: loadWord, Registers: 0x12, Offset: 0}, {Code: and, Registers: 2, Constant: 0xffff},
		{Code: loadWord, Registers: 0x13, Offset: 4}, {Code: loadWord, Registers: 0x14, Offset: 8},
		{Code: notEqual, Registers: 2, Constant: kind, Offset: 1}, {Code: unix.BPF_JMP | unix.BPF_JA, Offset: 2},
	}
	program = append(program, leave(0)...)
	for _, rule := range rules {
		if rule.Minor == devices.Wildcard {
			program = append(program, instruction{Code: notEqual, Registers: 3, Constant: int32(rule.Major), Offset: 2})
		} else {
			program = append(program, instruction{Code: notEqual, Registers: 3, Constant: int32(rule.Major), Offset: 3},
				instruction{Code: notEqual, Registers: 4, Constant: int32(rule.Minor), Offset: 2})
		}
		program = append(program, leave(1)...)
	}
	return append(program, leave(0)...)
}

// attachDeviceRules has the kernel ask our program about devices in a cgroup of version 2.
func attachDeviceRules(path string, r *cgroups.Resources) error {
	for _, rule := range r.Devices {
		if err := allowedCharDevice(rule); err != nil {
			return err
		}
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	program, err := loadDeviceProgram(deviceProgram(r.Devices))
	if err != nil {
		return fmt.Errorf("load the device rules: %w", err)
	}
	defer func() { _ = unix.Close(program) }() // the cgroup holds on to it
	attach := struct{ target, program, kind, flags uint32 }{uint32(folder.Fd()), uint32(program), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI}
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach))
	runtime.KeepAlive(folder)
	if err != nil {
		return fmt.Errorf("attach the device rules: %w", err)
	}
	return nil
}

func loadDeviceProgram(code []instruction) (int, error) {
	license := []byte("Apache-2.0\x00")
	var pins runtime.Pinner
	defer pins.Unpin()
	pins.Pin(&code[0])
	pins.Pin(&license[0])
	load := struct {
		kind, length          uint32
		instructions, license uint64
		logLevel, logSize     uint32
		log                   uint64
		version, flags        uint32
		name                  [16]byte
		ifindex, expectedKind uint32
	}{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, length: uint32(len(code)),
		instructions: uint64(uintptr(unsafe.Pointer(&code[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
		expectedKind: unix.BPF_CGROUP_DEVICE,
	}
	for {
		fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
		if !errors.Is(err, unix.EAGAIN) { // the verifier was interrupted by a signal
			return fd, err
		}
	}
}

func bpf(command uintptr, attributes unsafe.Pointer, size uintptr) (int, error) {
	result, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attributes), size)
	if errno != 0 {
		return -1, errno
	}
	return int(result), nil
}
