package job

import (
	"context"
	"io"
	"net"
)

// Driver runs the nodes of runs in one way; all that is the same in every way is package local's. It is used in the process that
// supervises a run, for this run alone, and to check specs and to clean up anywhere.
type Driver interface {
	// Isolation tells what stands between a run and the machine.
	Isolation() Isolation
	// Check tells whether a spec, whole and sound otherwise, can be run in this way. Errors: Invalid, Unavailable.
	Check(spec Spec) error
	// Prepare makes what the nodes of a run share, in an existing folder of their own that is removed afterwards. token tells this
	// run from all others on the machine: lower-case letters and digits.
	Prepare(ctx context.Context, spec Spec, folder, token string) (Site, error)
	// Sweep ends and frees what is left of a run whose supervising process was killed, but for its folder.
	Sweep(folder, token string) error
}

// Site is where the nodes of one run are.
type Site interface {
	// Listeners are at the addresses inside of Spec.Forward, in its order; nil where nothing has to be forwarded.
	Listeners() []net.Listener
	// Dial connects to what the node of rank 0 serves, by Spec.Serve.
	Dial() (net.Conn, error)
	// MasterPort is a port that the node of rank 0 can listen at and the others reach.
	MasterPort() int
	// Run runs the command once and returns when all that it started is gone. At the end of ctx it gets SIGTERM, and SIGKILL after
	// Grace. A command that ran is no error, however it ended. Errors: Unavailable and others when it could not be begun.
	Run(ctx context.Context, task Task) (Node, error)
	// Close frees the site, after its nodes have ended.
	Close() error
}

// Task is one node to run.
type Task struct {
	Rank   int
	Env    []string  // all of it
	Output io.Writer // standard output and error; one goroutine writes
}
