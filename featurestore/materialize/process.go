package materialize

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/worker"
)

// Mode is the worker mode of WorkerMain.
const Mode = "materialize"

// Process is a Runner that runs each order in a process of its own, as the order's identity. The process holds nothing
// but the secret for the managed-identity endpoint: no data folder, no key, no environment of the server's.
type Process struct {
	Program    []string // starts the program; nil is the running executable
	Blob       string   // the blob plane, as source.Storage has it
	Features   string   // the features plane
	CAFile     string   // the authorities that the planes' certificates come from
	Identity   string   // base URL of the managed-identity endpoint
	Runs       *identity.Runs
	ScratchDir string       // made when it is absent; only for workers
	Log        *slog.Logger // nil: silent
}

var _ Runner = (*Process)(nil)

// input is what the worker reads.
type input struct {
	Order    Order  `json:"order"`
	Blob     string `json:"blob"`
	Features string `json:"features"`
	CAFile   string `json:"caFile"`
	Identity string `json:"identity"`
	Dir      string `json:"dir"`
}

// Run implements Runner. When ctx ends, the process and all that it started are killed.
func (p *Process) Run(ctx context.Context, order Order, log func(line string)) (Result, error) {
	if order.Identity == "" {
		return Result{}, resource.Invalidf("NoMaterializationIdentity", "The feature store has no materialization identity; give it one and start the backfill again.")
	}
	if err := os.MkdirAll(p.ScratchDir, 0o700); err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp(p.ScratchDir, "materialize-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return Result{}, err
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			p.warn(ctx, "the scratch folder of a job is left behind", "job", order.Job, "folder", dir, "error", err)
		}
	}()
	secret := p.Runs.Register(identity.Run{ID: order.Job.String(), Identities: []string{order.Identity}, Default: order.Identity})
	defer p.Runs.Unregister(secret)
	command := worker.Command{
		Program: p.Program, Mode: Mode, Dir: dir, Log: log,
		Env:    append(identity.Env(p.Identity, secret, ""), "SSL_CERT_FILE="+p.CAFile),
		Stderr: func(line string) { p.warn(ctx, "materialization worker", "job", order.Job, "line", line) },
	}
	var result Result
	err = command.Run(ctx, input{Order: order, Blob: p.Blob, Features: p.Features, CAFile: p.CAFile, Identity: p.Identity, Dir: dir}, &result)
	if e, ok := resource.AsError(err); ok && e.Cause != nil {
		p.warn(ctx, "materialization failed", "job", order.Job, "error", err, "cause", e.Cause)
	}
	return result, err
}

// Clean removes what workers of a server that was killed left behind; call it before the first Run.
func (p *Process) Clean() error { return os.RemoveAll(p.ScratchDir) }

func (p *Process) warn(ctx context.Context, message string, args ...any) {
	if p.Log != nil {
		p.Log.WarnContext(ctx, message, args...)
	}
}

// WorkerMain is the worker process: what the program does when it is started with the arguments worker.Argument and Mode.
// It reads one order, shuts itself in, does the work as the identity of its environment, answers, and gives the exit code.
func WorkerMain(stdin io.Reader, stdout io.Writer, computer engine.Engine) int {
	return worker.Serve(stdin, stdout, func(ctx context.Context, text json.RawMessage, report *worker.Reporter) (any, error) {
		var in input
		if err := json.Unmarshal(text, &in); err != nil {
			return nil, resource.Invalidf("InvalidWorkerInput", "The order cannot be read: %v", err)
		}
		standing := worker.Walls{Write: in.Dir, Read: []string{in.CAFile}, URLs: []string{in.Blob, in.Features, in.Identity}}.Raise()
		client, err := worker.Client(in.CAFile)
		if err != nil {
			return nil, err
		}
		credential, err := newManaged()
		if err != nil {
			return nil, err
		}
		w := &Worker{Blob: in.Blob, Features: in.Features, HTTP: client, Credential: credential, Engine: computer, Scratch: in.Dir, Log: report.Log}
		result, err := w.Run(ctx, in.Order)
		for _, wall := range standing {
			result.Isolation = append(result.Isolation, "worker "+wall)
		}
		return result, err
	})
}
