//go:build linux

package sandbox

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// decide carries out a filter as the kernel does.
func decide(t testing.TB, program []unix.SockFilter, call, architecture uint32, args [6]uint64) uint32 {
	t.Helper()
	data := binary.LittleEndian.AppendUint32(nil, call)
	data = binary.LittleEndian.AppendUint32(data, architecture)
	data = binary.LittleEndian.AppendUint64(data, 0)
	for _, arg := range args {
		data = binary.LittleEndian.AppendUint64(data, arg)
	}
	var a uint32
	for pc := 0; ; pc++ {
		i := program[pc]
		skip := func(yes bool) {
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.LittleEndian.Uint32(data[i.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			skip(a == i.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			skip(a >= i.K)
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %d is %+v", pc, i)
		}
	}
}

// The filter answers to every call as the lists say.
func TestFilterIsTheList(t *testing.T) {
	program := filter()
	special := map[uint32]bool{unix.SYS_CLONE3: true}
	for _, rule := range argumentRules {
		special[rule.call] = true
	}
	for call := range uint32(6000) {
		if special[call] {
			continue
		}
		want := uint32(filterErrno | uint32(unix.EPERM))
		switch {
		case slices.Contains(allowedCalls, call), slices.Contains(archCalls, call):
			want = filterAllow
		case call > newestCall:
			want = filterErrno | uint32(unix.ENOSYS)
		}
		if got := decide(t, program, call, arch, [6]uint64{}); got != want {
			t.Errorf("call %d: %#x, not %#x", call, got, want)
		}
	}
	if len(program) > 1000 {
		t.Errorf("%d instructions", len(program))
	}
}

func TestFilterArguments(t *testing.T) {
	program := filter()
	const refused = filterErrno | uint32(unix.EPERM)
	for _, test := range []struct {
		call uint32
		args [6]uint64
		want uint32
	}{
		{unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_FILES | 17}, filterAllow},
		{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWUSER | 17}, refused},
		{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWNET | 1<<40}, refused},
		{unix.SYS_CLONE3, [6]uint64{}, filterErrno | uint32(unix.ENOSYS)},
		{unix.SYS_SOCKET, [6]uint64{unix.AF_INET6}, filterAllow},
		{unix.SYS_SOCKET, [6]uint64{unix.AF_VSOCK}, refused},
		{unix.SYS_SOCKET, [6]uint64{unix.AF_ALG}, refused},
		{unix.SYS_SOCKET, [6]uint64{1<<32 | unix.AF_VSOCK}, refused},
		{unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, filterAllow},
		{unix.SYS_PERSONALITY, [6]uint64{0x0040000}, refused},
		{unix.SYS_IOCTL, [6]uint64{0, unix.TCGETS}, filterAllow},
		{unix.SYS_IOCTL, [6]uint64{0, unix.TIOCSTI}, refused},
		{unix.SYS_IOCTL, [6]uint64{0, 1<<32 | unix.TIOCSTI}, refused},
	} {
		if got := decide(t, program, test.call, arch, test.args); got != test.want {
			t.Errorf("call %d %x: %#x, not %#x", test.call, test.args, got, test.want)
		}
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 10000 { // every flag of a namespace is enough, whatever comes with it
		flags := random.Uint64()
		got := decide(t, program, unix.SYS_CLONE, arch, [6]uint64{flags})
		if (got == filterAllow) != (flags&newNamespaces == 0) {
			t.Fatalf("seed %d: clone with %#x: %#x", seed, flags, got)
		}
	}
}

// Calls in another convention are no way around the list.
func TestFilterOtherConventions(t *testing.T) {
	program := filter()
	if got := decide(t, program, unix.SYS_READ, 0x40000003, [6]uint64{}); got != filterKill {
		t.Errorf("32 bits: %#x", got)
	}
	if otherABI != 0 {
		if got := decide(t, program, otherABI|unix.SYS_READ, arch, [6]uint64{}); got != filterKill {
			t.Errorf("x32: %#x", got)
		}
	}
}

// The verifier takes the device rules of cgroups of version 2.
func TestDeviceProgram(t *testing.T) {
	needRoot(t)
	fd, err := loadDeviceProgram(deviceProgram(rules()))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
}
