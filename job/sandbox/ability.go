package sandbox

// Isolation is what this machine can do, as this user. A field that is false comes with a sentence in Lacks.
type Isolation struct {
	Root       bool // root's rights: 65536 ids inside, overlays, cgroups
	Namespaces bool // namespaces can be made and mounted in; without them Run cannot work at all
	Seccomp    bool // the system call filter can be installed; without it Run cannot work at all
	Overlay    bool // Spec.Overlay works
	Memory     bool // the memory of all processes together is limited, otherwise each process's data segment
	PIDs       bool // by cgroup, otherwise by RLIMIT_NPROC
	CPUs       bool // Limits.CPUs is enforced
	Version    int  // of the cgroups: 1 or 2, or 0 for none
	// Lacks names, in sentences for administrators, each thing that is missing, what follows from it, and the cure.
	Lacks []string

	swapLimited bool
}

// Ready tells whether Run can work here.
func (i Isolation) Ready() bool { return i.Namespaces && i.Seccomp }
