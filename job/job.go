// Package job says what it means to run code on this machine: the contract between those who want something run (jobs, deployments)
// and what runs it. It owns the words: a spec, its limits, a run and how it ends. Where images and inputs come from, as whom a run
// acts and what a job resource is are its users' affair; how a run is kept alive and apart from the machine is that of package
// local and the drivers behind it.
//
// A run does not belong to the process that starts it. It lives on when the server ends or is killed, and whoever opens it by its id
// later follows it from there. What a run is, how far it got and how it ended is in its folder.
package job

import (
	"context"
	"io"
	"time"
)

// Backend runs code. All methods may be called concurrently, also by several processes on one folder.
type Backend interface {
	// Isolation tells what stands between a run and the machine, before anything is run.
	Isolation() Isolation
	// Start begins a run and returns as soon as nobody else can begin it and it holds what it is to hold. Errors: Invalid for a spec
	// that cannot be (Target names the field), Conflict for an id that was ever begun and not removed (Open it), Unavailable for
	// what the machine lacks, what cannot be held, and for a full disk. What goes wrong later, such as a folder that cannot be mounted, is the run's own end.
	Start(ctx context.Context, spec Spec) (Run, error)
	// Open finds a run that was begun, by this process or any other. Errors: NotFound.
	Open(ctx context.Context, id string) (Run, error)
	// List gives the ids of the runs that are there, sorted, ended or not.
	List(ctx context.Context) ([]string, error)
}

// Run is one execution of a spec. All methods may be called concurrently.
type Run interface {
	ID() string
	// Spec gives back what was started, with its Secrets while the run has not ended and without them afterwards.
	Spec() (Spec, error)
	// Status tells how it is now.
	Status() (Status, error)
	// Wait returns when the run has ended and everything it held is free, or with ctx.Err().
	Wait(ctx context.Context) (Status, error)
	// Cancel asks the run to end: every node gets SIGTERM, and SIGKILL after Grace. It returns when the run will be ended, not
	// when it has. A run that has ended stays as it is.
	Cancel(ctx context.Context) error
	// Logs copies what a node wrote, standard output and error in their order, from a byte offset on to w, and returns the offset
	// after what was copied. With follow it goes on until the run has ended. Errors: Invalid for a node or an offset that
	// cannot be, ctx.Err(), and what w returned.
	Logs(ctx context.Context, node int, offset int64, follow bool, w io.Writer) (next int64, err error)
	// Remove forgets a run that has ended, its logs too. Errors: Conflict while it runs.
	Remove() error
}

// Grace is how long the nodes of a run have after SIGTERM.
const Grace = 2 * time.Second

// Spec is what to run.
type Spec struct {
	// ID names the run: 1 to 100 letters, digits, "_", "-" and ".", beginning with a letter or digit.
	ID string
	// Layers are the folders of the image, unpacked as package layer does, the lowest first. Without isolation there are none.
	Layers []string
	// Hold are files on which the run has a shared lock while it lives (flock), such as those that keep layers from being evicted. It
	// has them when Start returns.
	Hold []string
	// Command is the program and its arguments; a name without a slash is looked up in the PATH of Env.
	Command []string
	// Env are NAME=value. Nothing of the server's environment is inherited.
	Env []string
	// Secrets are NAME=value too, kept in a file of their own that ends with the run.
	Secrets []string
	// Dir is the working folder: a path inside, made when missing; without isolation one that exists. "" is the root or, without
	// isolation, an empty folder of the run's own.
	Dir string
	// User is as in an image's configuration: "", "name", "uid", "uid:gid" and so on. Without isolation it is not regarded.
	User string
	// Mounts are the folders and files that the run sees besides the image.
	Mounts []Mount
	Limits Limits
	// Forward are the only addresses that can be reached from inside. Without isolation everything can be.
	Forward []Forward
	// Serve makes what the node of rank 0 serves reachable from outside.
	Serve Serve
	// Nodes is how many times the command runs at once, 0 for 1. Nodes share a network, and each is apart from the others in all
	// else. When there are several, each gets NODE_RANK, RANK, LOCAL_RANK, NODE_COUNT, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and
	// MASTER_PORT; the run ends with the first node that fails.
	Nodes int
}

// Mount shows a folder or file of the machine at Target inside. Without isolation there is no inside: Target must be Source.
type Mount struct {
	Source string // absolute. What is read-only must be readable by everybody; folders above it need not be
	Target string // absolute
	// Writable lets the run write. The folder, not what is in it, is given to the run's root user.
	Writable bool
}

// Limits bounds what each node takes, and Timeout the run. Zero is the default named at each.
type Limits struct {
	Timeout  time.Duration // of the whole run, from its first command on; 0 is none
	Memory   int64         // bytes; sandbox.DefaultMemory
	CPUs     float64       // such as 1.5; all of the machine's
	PIDs     int64         // processes and threads; sandbox.DefaultPIDs
	LogBytes int64         // what is kept of a node's output; DefaultLogBytes
}

// DefaultLogBytes is what is kept of a node's output at most. What a node writes beyond is read and thrown away, and the run goes
// on; the last of it is kept (LogTail), after a line that says how much is missing.
const (
	DefaultLogBytes = 64 << 20
	LeastLogBytes   = 4 << 10
	LogTail         = 64 << 10 // at most, and never more than a quarter of the limit
)

// Forward makes an address of the machine reachable from inside.
type Forward struct {
	Inside  string // an IP address and port inside, on its loopback, which gets the address: "127.0.0.1:8443"
	Outside string // "host:port" as the server reaches it, or "unix:" and the path of a socket
}

// Serve says where a run serves; the zero one serves nothing.
type Serve struct {
	// Port is where the command listens inside, on 127.0.0.1 or everywhere. Without isolation, where ports are everybody's, it is
	// told a free one as PORT instead.
	Port int
	// Socket is the path of a Unix socket that the run makes while it lives; who connects there is connected to the port. A
	// connection that nobody inside takes is closed at once.
	Socket string
}

// Isolation tells what stands between a run and the machine.
type Isolation struct {
	Level string   // "sandbox" or "process"
	Walls []string // what stands, in one or two words each: "user namespace", "memory limit" …
	Lacks []string // in sentences for administrators: what is missing, what follows from it, and the cure
}

// State is how far a run is.
type State string

// The states, in their order. The last three do not change any more.
const (
	Starting  State = "Starting" // nothing of the command runs yet
	Running   State = "Running"
	Ending    State = "Ending" // it was told to end
	Completed State = "Completed"
	Failed    State = "Failed"
	Canceled  State = "Canceled"
)

// Ended tells that the run is over.
func (s State) Ended() bool { return s == Completed || s == Failed || s == Canceled }

// Reason is why a run failed.
type Reason string

// The reasons.
const (
	ExitCode    Reason = "ExitCode"    // a node's command ended with another status than 0, or by a signal
	OutOfMemory Reason = "OutOfMemory" // as ExitCode, and the memory limit took some process
	Timeout     Reason = "Timeout"     // Limits.Timeout was over
	DiskFull    Reason = "DiskFull"    // the disk of the runs had less than its reserve free, so that all runs were ended
	StartFailed Reason = "StartFailed" // the command could not be begun: see Message
	Lost        Reason = "Lost"        // what supervised the run was killed, so its end is not known; nothing of it runs any more
)

// Status tells how a run is.
type Status struct {
	State     State
	Reason    Reason `json:",omitempty"` // when Failed
	Message   string `json:",omitempty"` // a sentence for people, when Failed or Canceled
	Isolation Isolation
	// Begun is when the first command was started, Ended when the run was over; zero before.
	Begun, Ended time.Time
	Nodes        []Node
}

// Node tells how one node is.
type Node struct {
	// Ended tells that the command was begun and is over; ExitCode and Signal are meaningful then. ExitCode is the exit status, or
	// 128 + the signal's number; as in shells, 127 is a command that is not there and 126 one that cannot be executed.
	Ended       bool
	ExitCode    int
	Signal      string        `json:",omitempty"` // such as "SIGKILL"
	OutOfMemory bool          `json:",omitempty"` // the limit took some process, not necessarily the command
	CPU         time.Duration `json:",omitempty"` // of all processors together
	PeakMemory  int64         `json:",omitempty"` // bytes
	LogBytes    int64         // in the log
	LogLost     int64         `json:",omitempty"` // bytes of output that are not in the log
}
