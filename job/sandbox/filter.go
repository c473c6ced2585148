//go:build linux

package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// What a filter answers: linux/seccomp.h.
const (
	filterAllow = 0x7fff0000
	filterErrno = 0x00050000
	filterKill  = 0x80000000 // the whole process
)

// Where a filter finds things: struct seccomp_data. Arguments are 64 bits; both architectures are little-endian.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// newNamespaces are the flags of clone that make a namespace.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// argumentRule lets a call through by one of its arguments; only the lower half counts, as it does for the kernel.
type argumentRule struct {
	call     uint32
	argument uint32
	mask     uint32 // applied first; 0 is none
	values   []uint32
	allow    bool // the values are those that are allowed, otherwise those that are not
}

// argumentRules are the calls whose arguments matter.
var argumentRules = []argumentRule{
	// Families that have been a way out, or that reach past the network namespace (AF_VSOCK, AF_ALG …), are left out.
	{call: unix.SYS_SOCKET, values: []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}, allow: true},
	{call: unix.SYS_CLONE, mask: newNamespaces, values: []uint32{0}, allow: true},
	{call: unix.SYS_PERSONALITY, values: []uint32{0, 0x8, 0x20000, 0x20008, 0xffffffff}, allow: true},
	// They put input into a terminal.
	{call: unix.SYS_IOCTL, argument: 1, values: []uint32{unix.TIOCSTI, unix.TIOCLINUX}},
}

// missingCalls are answered as if the kernel did not know them, because programs have another way then. The arguments
// of clone3 are behind a pointer, where no filter sees them.
var missingCalls = []uint32{unix.SYS_CLONE3}

// filter assembles the program that decides on each system call of everything inside.
func filter() []unix.SockFilter {
	calls := slices.Concat(allowedCalls, archCalls)
	slices.Sort(calls)
	calls = slices.Compact(calls)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	program := []unix.SockFilter{load(offsetArch), jump(unix.BPF_JEQ, arch, 1, 0), answer(filterKill), load(offsetCall)}
	if otherABI != 0 {
		program = append(program, jump(unix.BPF_JGE, otherABI, 0, 1), answer(filterKill))
	}
	for _, call := range missingCalls {
		program = append(program, jump(unix.BPF_JEQ, call, 0, 1), answer(filterErrno|uint32(unix.ENOSYS)))
	}
	for _, rule := range argumentRules {
		body := rule.body(load)
		program = append(program, jump(unix.BPF_JEQ, rule.call, 0, uint8(len(body))))
		program = append(program, body...)
	}
	return append(program, tree(ranges(calls))...)
}

func (r argumentRule) body(load func(uint32) unix.SockFilter) []unix.SockFilter {
	body := []unix.SockFilter{load(offsetArgs + 8*r.argument)}
	if r.mask != 0 {
		body = append(body, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.mask})
	}
	found, otherwise := answer(filterErrno|uint32(unix.EPERM)), answer(filterAllow)
	if r.allow {
		found, otherwise = otherwise, found
	}
	for i, value := range r.values {
		body = append(body, jump(unix.BPF_JEQ, value, uint8(len(r.values)-i), 0))
	}
	return append(body, otherwise, found)
}

// span is the calls from first on, until the next span, and what is answered to them.
type span struct{ first, answer uint32 }

// ranges turns sorted allowed calls into spans that cover every number.
func ranges(calls []uint32) []span {
	spans := []span{{0, filterErrno | uint32(unix.EPERM)}}
	add := func(s span) {
		if spans[len(spans)-1].first == s.first {
			spans = spans[:len(spans)-1]
		}
		spans = append(spans, s)
	}
	for i, call := range calls {
		if i == 0 || calls[i-1]+1 != call {
			add(span{call, filterAllow})
		}
		if i+1 == len(calls) || calls[i+1] != call+1 {
			add(span{call + 1, filterErrno | uint32(unix.EPERM)})
		}
	}
	return append(spans, span{newestCall + 1, filterErrno | uint32(unix.ENOSYS)})
}

// newestCall is the last one that the list was made with; it is the same number on both architectures.
const newestCall = unix.SYS_RSEQ_SLICE_YIELD

// tree looks the call up by halving, eight comparisons for any.
func tree(spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		return []unix.SockFilter{answer(spans[0].answer)}
	}
	middle := len(spans) / 2
	below, above := tree(spans[:middle]), tree(spans[middle:])
	// Conditional jumps reach 255 instructions, the unconditional one everything.
	head := []unix.SockFilter{
		jump(unix.BPF_JGE, spans[middle].first, 0, 1),
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(below))},
	}
	return slices.Concat(head, below, above)
}

func jump(condition uint16, value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | condition, Jt: yes, Jf: no, K: value}
}

func answer(with uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: with}
}
