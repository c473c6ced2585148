// Package workload says what it takes to run something as somebody: the contract between those who have jobs and deployments to run
// and what launches them. An Order names an image, files and identities; a Launcher pulls, reads and runs, each as the one who is
// named, and knows no roles: the planes decide. What a job resource is and when it may run are its users' affair; how a run is kept
// alive and apart from the machine is that of package job. Package launch is the Launcher.
package workload

import (
	"context"
	"io"
	"net"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
)

// Order is what somebody wants to have run: a job.Spec whose image, files and identity are still to be brought. It can be written down
// as JSON, but for the password of its Puller, and given again to whoever follows the run after a restart.
//
// In Command and in the values of Env, ${{inputs.NAME}} and ${{outputs.NAME}} stand for the path of an input or output
// inside, or for what Values has under inputs.NAME.
type Order struct {
	ID string // of the run, as job.Spec.ID
	// Image is the reference of the image, pulled as Puller. "" is none, for backends without isolation alone.
	Image  string
	Puller Puller
	// Who is as whom inputs are read and outputs written; the zero one reads and writes nothing.
	Who identity.Principal
	// Tokens are the object ids of the identities whose tokens the code gets, the first one without naming it. Without any there
	// is no identity endpoint inside. ClientID is the client id of the first, "" for a person.
	Tokens   []string
	ClientID string

	Command []string // of the image's configuration when empty
	Env     []string // NAME=value, beside those of the image and of the platform
	Values  map[string]string
	Code    []File // copied to the working folder, where the run may write
	Inputs  []File
	Outputs []File
	Limits  job.Limits
	Nodes   int
	// Reach are addresses, host:port, that the run may reach beside Alvara's own planes.
	Reach []string
	// Port is where the run serves HTTP, for those that do: it listens on 127.0.0.1 (or everywhere) inside. Without isolation it
	// is told another one as PORT.
	Port int
}

// Puller is as whom an image is pulled: an identity, or the user name and password of a registry's admin user where nothing
// else is possible, or nobody.
type Puller struct {
	Who                identity.Principal
	Username, Password string `json:"-"`
}

// File is a file or a folder of a storage container, and the name that it has for the run.
type File struct {
	Name                     string
	Account, Container, Path string
	Folder                   bool
	// Who reads or writes this one, when it is not Order.Who.
	Who *identity.Principal
}

// Launcher carries orders out. All methods may be called concurrently, and again after a crash.
type Launcher interface {
	// Isolation tells what stands between runs and the machine.
	Isolation() job.Isolation
	// Launch pulls the image, brings code and inputs, and begins the run; a run that was begun is opened. tell is given lines for
	// the job's log. Errors: Invalid for an order that cannot be, Forbidden when somebody may not pull or read (the message says what is
	// missing and which role grants it), NotFound for an image or a file that is not there, Unavailable for what the machine lacks.
	Launch(ctx context.Context, order Order, tell func(line string)) (Launched, error)
	// Open finds a run that was begun, and lets it have its tokens again. Errors: NotFound.
	Open(ctx context.Context, order Order) (Launched, error)
	// Forget removes all that is kept of a run that has ended or was never begun.
	Forget(id string) error
}

// Launched is a run on its way.
type Launched interface {
	job.Run
	// Deliver writes the outputs to where the order says, once the run has ended. It may be called again. Errors: Forbidden and
	// others of the storage.
	Deliver(ctx context.Context, tell func(line string)) error
	// Artifacts names the files that the run has left in the folder outputs of its working folder, by their paths there.
	Artifacts() ([]Artifact, error)
	// OpenArtifact opens one of them. Errors: NotFound.
	OpenArtifact(path string) (io.ReadCloser, error)
	// Metrics copies what the run has written to its metrics file (ALVARA_METRICS), from an offset on, one JSON object a line.
	Metrics(offset int64, w io.Writer) (next int64, err error)
	// Dial connects to Order.Port of a run that serves.
	Dial(ctx context.Context) (net.Conn, error)
	// Release frees the files that only the run needed: its inputs and the links to its identity. Logs, metrics and artifacts stay
	// until Forget.
	Release() error
}

// Artifact is a file that a run has left.
type Artifact struct {
	Path string // with slashes, below the folder outputs: model.bin
	Size int64  // bytes
}
