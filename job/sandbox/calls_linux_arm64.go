package sandbox

import "debug/elf"

// archCalls are the allowed calls that this architecture has besides: none.
var archCalls []uint32

// arch names the architecture in the data that a filter sees; calls at and above otherABI belong to another calling convention.
const (
	arch     = 0xc00000b7 // AUDIT_ARCH_AARCH64
	otherABI = 0
)

// machine is what executables say of it.
const machine = elf.EM_AARCH64
