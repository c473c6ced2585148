// Package launch is the Launcher: it pulls an order's image, reads its code and inputs, begins the run on a job.Backend, answers it with
// tokens of its identities, and writes its outputs, each as the one who is named. It owns a run's files and how they look from
// inside. It decides nothing: registries and storage refuse by themselves. How a run is kept alive and apart is package job's affair.
//
// # From inside
//
// /alvara/code is the working folder, a copy that the run may write; what it leaves in outputs below it are its artifacts.
// /alvara/inputs/NAME can be read (a file also under a path that ends in its own name, which is what ${{inputs.NAME}} stands for),
// /alvara/outputs/NAME written, /alvara/run too; /alvara/ca.pem are the authorities to trust. On
// 127.0.0.1 answer Alvara's planes, at the ports that they have outside, the run's own identity endpoint, and what the order names; names
// of the planes lead there, and there is no other network. Without isolation there is no inside: the same folders lie below the
// run's own, and the variables ALVARA_CODE, ALVARA_INPUTS, ALVARA_OUTPUTS and ALVARA_METRICS name them in both cases.
//
// # Identities
//
// A run asks for tokens at a Unix socket in its folder, to which its supervisor carries what arrives inside. Its secret is good at that
// socket alone, so it is worth nothing to another run, and the socket is worth nothing without the secret. Without isolation the
// secret is good at the server's own endpoint.
package launch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/process"
	"github.com/alvara-ml/alvara/job/room"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Launcher implements workload.Launcher. Its fields are set before its first use and not changed afterwards. Close it at the end.
type Launcher struct {
	Backend job.Backend
	// Dir holds a folder for each run, beside that of the Backend. It is made when absent, and belongs to this launcher alone.
	Dir string
	// Layers keeps images unpacked, owned as the Backend needs them (sandboxed.Owners); nil where runs have no image.
	Layers *layer.Store
	// Proofs is a folder with what registries have served; it is made when absent.
	Proofs     string
	Registries Registries
	Files      Files
	// Identity answers runs' requests for tokens; IdentityURL is its address, which runs are told.
	Identity    *identity.ManagedEndpoint
	IdentityURL string
	// Planes are what every run can reach. Hosts gives the names that lead to them from inside, nil when there are none.
	Planes []job.Forward
	Hosts  func(context.Context) ([]string, error)
	// CAFile are the authorities that runs trust, and Env gives the variables, NAME=value, that every run has beside its own: how
	// clients find the planes. It is told where the file is for the run.
	CAFile string
	Env    func(caFile string) []string
	Limits Limits
	// Reserve is how many bytes of Dir's disk stay free: with less nothing is brought and no outputs are written. It is as in room.Check.
	Reserve int64
	Log     *slog.Logger // nil: no log

	links links // of runs that are under way, and who waits for whom
}

// Registries is how images are pulled as somebody.
type Registries struct {
	// Transport reaches registries; nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Own gives the resource ids of this server's registries, by host[:port].
	Own func(context.Context) (map[string]resource.ID, error)
	// Trusted are hosts elsewhere to which tokens of identities may go.
	Trusted []string
	// Token gives a token for registries of a principal, by its object id.
	Token func(ctx context.Context, principal string) (string, error)
}

// Files are the files of storage accounts, read and written as somebody. All methods may be called concurrently. Errors: Forbidden, with
// what is missing; NotFound.
type Files interface {
	// List tells of each file below a folder, "" being all of a container, with its whole path. What each returns ends it.
	List(ctx context.Context, who identity.Principal, account, container, folder string, each func(path string, size int64) error) error
	Open(ctx context.Context, who identity.Principal, account, container, path string) (content io.ReadCloser, size int64, err error)
	Write(ctx context.Context, who identity.Principal, account, container, path string, content io.Reader) error
}

// Limits bounds what a run's files take. A zero field takes its default, which stands beside it.
type Limits struct {
	Bytes   int64 // of the code, of each input and of each output; 256 GiB
	Entries int   // files of each; 1,000,000
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 256 << 30
	}
	if l.Entries == 0 {
		l.Entries = 1_000_000
	}
	return l
}

var _ workload.Launcher = (*Launcher)(nil)

// Isolation implements workload.Launcher.
func (l *Launcher) Isolation() job.Isolation { return l.Backend.Isolation() }

func (l *Launcher) isolated() bool { return l.Isolation().Level != process.Level }

// Launch implements workload.Launcher.
func (l *Launcher) Launch(ctx context.Context, order workload.Order, tell func(string)) (workload.Launched, error) {
	if tell == nil {
		tell = func(string) {}
	}
	if err := check(order); err != nil {
		return nil, err
	}
	unlock := l.links.lock(order.ID)
	defer unlock()
	if found, err := l.open(ctx, order); err == nil || resource.KindOf(err) != resource.NotFound {
		return found, err
	}
	at := l.place(order.ID)
	begun, err := l.begin(ctx, order, at, tell)
	if err != nil {
		l.links.end(order.ID, l.Identity)
		if left := layer.RemoveTree(at.outside.dir); left != nil {
			l.warn("the files of a run that could not be begun are left behind", order.ID, left)
		}
	}
	return begun, err
}

// begin does all of it, in a folder that nobody else uses. What it leaves when it fails is the caller's to remove.
func (l *Launcher) begin(ctx context.Context, order workload.Order, at place, tell func(string)) (workload.Launched, error) {
	order, err := at.resolve(order)
	if err != nil {
		return nil, err
	}
	if err := room.Check(at.outside.dir, l.Reserve, 0); err != nil {
		return nil, err
	}
	image, err := l.pull(ctx, order, tell)
	if err != nil {
		return nil, err
	}
	defer image.release() // the run holds them too by then
	if err := at.make(l.owners()); err != nil {
		return nil, diskError(err)
	}
	if err := l.bring(ctx, order, at, tell); err != nil {
		return nil, diskError(err)
	}
	secret, err := l.link(order, at, "")
	if err != nil {
		return nil, err
	}
	spec, err := l.spec(ctx, order, at, image, secret)
	if err != nil {
		return nil, err
	}
	run, err := l.Backend.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return l.launched(order, at, run), nil
}

// Open implements workload.Launcher.
func (l *Launcher) Open(ctx context.Context, order workload.Order) (workload.Launched, error) {
	if err := check(order); err != nil {
		return nil, err
	}
	unlock := l.links.lock(order.ID)
	defer unlock()
	return l.open(ctx, order)
}

func (l *Launcher) open(ctx context.Context, order workload.Order) (workload.Launched, error) {
	run, err := l.Backend.Open(ctx, order.ID)
	if err != nil {
		return nil, err
	}
	at := l.place(order.ID)
	status, err := run.Status()
	if err != nil || status.State.Ended() {
		return &launched{Run: run, launcher: l, order: order, at: at}, err
	}
	spec, err := run.Spec()
	if err != nil {
		return nil, err
	}
	if secret := secretOf(spec.Secrets); secret != "" {
		if _, err := l.link(order, at, secret); err != nil {
			return nil, err
		}
	}
	return l.launched(order, at, run), nil
}

// launched is a run under way, whose links end with it.
func (l *Launcher) launched(order workload.Order, at place, run job.Run) *launched {
	l.links.follow(order.ID, run, l.Identity)
	return &launched{Run: run, launcher: l, order: order, at: at}
}

// Forget implements workload.Launcher. Errors: Conflict while the run is under way.
func (l *Launcher) Forget(id string) error {
	if !isID(id) {
		return resource.NotFoundf("RunNotFound", "There is no run with the id %q.", id)
	}
	unlock := l.links.lock(id)
	defer unlock()
	run, err := l.Backend.Open(context.Background(), id)
	if err == nil {
		err = run.Remove()
	}
	if err != nil && resource.KindOf(err) != resource.NotFound {
		return err
	}
	l.links.end(id, l.Identity)
	return layer.RemoveTree(l.place(id).outside.dir)
}

// List gives the ids of all runs of which something is kept, sorted.
func (l *Launcher) List() ([]string, error) {
	ids, err := l.Backend.List(context.Background())
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(l.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if isID(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Close lets go of the runs, which go on; their requests for tokens wait for the next launcher that opens them.
func (l *Launcher) Close() error {
	l.links.close(l.Identity)
	return nil
}

func (l *Launcher) warn(message, run string, err error) {
	if l.Log != nil {
		l.Log.Warn(message, "run", run, "error", err)
	}
}

// diskError says what a full disk means.
func diskError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return resource.Errorf(resource.Unavailable, "DiskFull", "The disk that holds the runs is full; make room and try again.").Because(err)
	}
	return err
}
