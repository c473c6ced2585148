package sandbox

import (
	"io"
	"time"
)

// What a zero in Limits stands for.
const (
	DefaultMemory = 4 << 30       // bytes
	DefaultPIDs   = 4096          // processes and threads
	DefaultTime   = 1 * time.Hour // from start to end
)

// Grace is how long a command has, after SIGTERM, before everything is killed.
const Grace = 2 * time.Second

// Spec is one command to run.
type Spec struct {
	// ID names the cgroup and the state folder: letters, digits, "_", "-", "." and "+", unique among what runs on the machine.
	ID string
	// State is the folder below which each command has one (State/ID) while it runs: on a local file system, and not below
	// the folder of the program's own file, which would cost a copy of that file for each command.
	State string
	// Root is the folder of the root file system, mounted or plain. What is in it is owned by shifted ids, see Mapping.
	// Mount points that it lacks (/proc, /dev, /sys, Dir and the targets of Mounts) are created in it.
	Root string
	// Overlay, when set, is mounted over Root for this command alone, so nothing stays mounted whatever happens. Only with
	// root's rights (Isolation.Overlay).
	Overlay *Overlay
	// Mapping tells which ids outside the ids inside are; zero is Map().
	Mapping Mapping
	// Mounts are more folders and files, mounted in their order. Targets must not be below /proc, /sys or /dev.
	Mounts []Mount
	// ReadOnlyRoot lets nothing be written but in Mounts.
	ReadOnlyRoot bool

	// Args is the command; a name without a slash is looked up in the PATH of Env, inside.
	Args []string
	// Env is the whole environment; nothing of the caller's is inherited. Without a PATH it gets DefaultPath.
	Env []string
	// Dir is the working folder inside; it is created when missing. "" is "/".
	Dir string
	// User is "", "name", "uid", "uid:gid", "name:group" and so on, by Root's /etc/passwd and /etc/group. "" is 0:0.
	User string
	// Hostname is the host name inside; "" is ID.
	Hostname string
	Network  Network
	// Net, when set, is the network that the command shares with others; Network is None then.
	Net    *Net
	Limits Limits

	// Stdin is read until its end or the command's; nil is empty. A read that blocks outlives Run.
	Stdin io.Reader
	// Stdout and Stderr are written by one goroutine each, or by one for both when they are the same; nil throws the
	// output away. The command waits while a Write does. A Write that fails ends the command, and Run returns its error.
	Stdout, Stderr io.Writer
}

// Overlay is a stack of read-only layers with one that takes the changes. Folders have shifted owners.
type Overlay struct {
	Lower       []string // the topmost layer first
	Upper, Work string   // on one file system; Work is empty; both "" makes the stack read-only
}

// Mount puts a folder or file at Target inside.
type Mount struct {
	// Source is a folder or file outside. "" makes an empty tmpfs, whose pages count as the command's memory.
	Source string
	Target string // absolute; links in Root are followed inside Root
	// ReadOnly forbids writing. A tmpfs is never read-only.
	ReadOnly bool
	// Size is the most that a tmpfs holds, in bytes; 0 is 64 MiB.
	Size int64
}

// Network is what the command can reach.
type Network uint8

// The networks. The zero value has the stronger wall.
const (
	// None has a network namespace of its own with nothing but a loopback interface: neither the outside, nor the
	// host's loopback, nor its abstract sockets can be reached.
	None Network = iota
	// Host is the host's network, loopback and abstract sockets included, without the right to change it. /sys is empty then.
	Host
)

// Limits bounds what a command takes. Zero means the default named at each, not "none".
type Limits struct {
	Memory int64         // bytes, of everything inside together; DefaultMemory. Swap is not allowed on top.
	PIDs   int64         // processes and threads; DefaultPIDs
	CPUs   float64       // such as 1.5; 0 is all of the machine's
	Time   time.Duration // from start to end; DefaultTime
}

// Exit tells how a command ended.
type Exit struct {
	// Code is the command's exit status, or 128 + the signal's number. As in shells, 127 is a command that is not there
	// and 126 one that cannot be executed, each with a line on Stderr.
	Code int
	// Signal is the name of the signal that ended the command, such as "SIGKILL", or "".
	Signal string
	// OutOfMemory tells that the memory limit cost some process inside its life; the command itself may have survived it.
	OutOfMemory bool
	// TimedOut tells that the command was ended because of Limits.Time.
	TimedOut bool
	Usage    Usage
}

// Usage is what everything inside took together, the start of the sandbox included. Without a cgroup it is of the command and
// those of its descendants that were waited for.
type Usage struct {
	CPU        time.Duration // of all processors together
	PeakMemory int64         // bytes; without a cgroup, of the largest process
}
