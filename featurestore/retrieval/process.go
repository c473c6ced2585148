package retrieval

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/worker"
)

// Mode is the worker mode of WorkerMain.
const Mode = "retrieve"

// Process retrieves for callers of the server, each request in a process of its own that holds nothing but the caller's
// tokens.
type Process struct {
	Program         []string // starts the program; nil is the running executable
	ResourceManager string
	Blob            string // as source.Storage has it
	CAFile          string
	ScratchDir      string       // made when it is absent; only for these workers
	Log             *slog.Logger // nil: silent
}

// Tokens are a caller's access tokens by the audience that they are for: ManagementAudience, and https://storage.azure.com/.
type Tokens map[string]string

// GetToken implements azcore.TokenCredential.
func (t Tokens) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	for _, scope := range options.Scopes {
		wanted := strings.Trim(strings.TrimSuffix(scope, ".default"), "/")
		for audience, token := range t {
			if strings.EqualFold(strings.Trim(audience, "/"), wanted) {
				return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
			}
		}
	}
	return azcore.AccessToken{}, resource.Errorf(resource.Unauthenticated, "NoToken", "There is no token of the caller for %s.", strings.Join(options.Scopes, ", "))
}

// Work is the folder of one request: the caller puts the observations there and takes the output from there.
type Work struct {
	Dir     string
	process *Process
}

// Begin makes the folder of a request; Close it.
func (p *Process) Begin() (*Work, error) {
	if err := os.MkdirAll(p.ScratchDir, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(p.ScratchDir, "request-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	return &Work{Dir: dir, process: p}, err
}

// Close removes the folder with all that is in it.
func (w *Work) Close() error { return os.RemoveAll(w.Dir) }

// Clean removes what requests of a server that was killed left behind; call it before the first Begin.
func (p *Process) Clean() error { return os.RemoveAll(p.ScratchDir) }

type input struct {
	Request         Request `json:"request"`
	Tokens          Tokens  `json:"tokens"`
	ResourceManager string  `json:"resourceManager"`
	Blob            string  `json:"blob"`
	CAFile          string  `json:"caFile"`
	Dir             string  `json:"dir"`
}

// Run is Retriever.GetOffline in a process of its own. Observations and Output are names of files in w.Dir.
func (w *Work) Run(ctx context.Context, request Request, tokens Tokens, progress func(worker.Progress)) (Result, error) {
	for _, name := range []*string{&request.Observations, &request.Output} {
		if !filepath.IsLocal(*name) {
			return Result{}, resource.Invalidf("InvalidRequest", "%q is no name of a file in the request's folder.", *name)
		}
		*name = filepath.Join(w.Dir, *name)
	}
	p := w.process
	command := worker.Command{
		Program: p.Program, Mode: Mode, Dir: w.Dir, Progress: progress, Env: []string{"SSL_CERT_FILE=" + p.CAFile},
		Stderr: func(line string) {
			if p.Log != nil {
				p.Log.WarnContext(ctx, "retrieval worker", "line", line)
			}
		},
	}
	var result Result
	err := command.Run(ctx, input{Request: request, Tokens: tokens, ResourceManager: p.ResourceManager, Blob: p.Blob, CAFile: p.CAFile, Dir: w.Dir}, &result)
	if e, ok := resource.AsError(err); ok && e.Cause != nil && p.Log != nil {
		p.Log.WarnContext(ctx, "retrieval failed", "error", err, "cause", e.Cause)
	}
	return result, err
}

// WorkerMain is the worker process: what the program does when it is started with the arguments worker.Argument and Mode.
// It reads one request with its tokens, shuts itself in, retrieves, answers, and gives the exit code.
func WorkerMain(stdin io.Reader, stdout io.Writer, computer engine.Engine) int {
	return worker.Serve(stdin, stdout, func(ctx context.Context, text json.RawMessage, report *worker.Reporter) (any, error) {
		var in input
		if err := json.Unmarshal(text, &in); err != nil {
			return nil, resource.Invalidf("InvalidWorkerInput", "The request cannot be read: %v", err)
		}
		standing := worker.Walls{Write: in.Dir, Read: []string{in.CAFile}, URLs: []string{in.Blob, in.ResourceManager}}.Raise()
		client, err := worker.Client(in.CAFile)
		if err != nil {
			return nil, err
		}
		r := &Retriever{
			ResourceManager: in.ResourceManager, Blob: in.Blob, HTTP: client, Credential: in.Tokens, Engine: computer, Scratch: in.Dir, Progress: report.Progress,
		}
		result, err := r.GetOffline(ctx, in.Request)
		for _, wall := range standing {
			result.Usage.Isolation = append(result.Usage.Isolation, "worker "+wall)
		}
		return result, err
	})
}
