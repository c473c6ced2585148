package materialize

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/featurestore/source"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// Worker does the work of an order with what its credential allows and no more. It keeps nothing between orders and may
// run several at once.
type Worker struct {
	Blob       string // the blob plane, as source.Storage has it
	Features   string // the features plane
	HTTP       *http.Client
	Credential azcore.TokenCredential
	Engine     engine.Engine
	Scratch    string            // a folder that exists; what an order puts there is gone when it ends
	Log        func(line string) // nil: silent
	// Open opens a container; nil opens it in the blob plane.
	Open func(account, container string) (lake.Bucket, error)
	// SweepAge is how old files of the offline table must be before a finished order removes those that no snapshot
	// needs; 0 is a day, negative never sweeps.
	SweepAge time.Duration
}

// Run does what the order says. It may be repeated at any time: the window is replaced as a whole, once per job.
//
// Faults that a repetition cannot cure are *resource.Error: Invalid (specification, source data), Forbidden (which
// identity lacks which action on which scope, and whether source, offline store or online store was meant),
// Unauthenticated (the identity gets no token). Anything else may be tried again.
func (w *Worker) Run(ctx context.Context, order Order) (Result, error) {
	parsed, err := order.check()
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp(w.Scratch, "order-")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the parent removes what is left
	r := &run{w: w, order: order, spec: parsed, dir: dir, began: time.Now().Truncate(time.Millisecond)}
	if err := r.materialize(ctx); err != nil {
		return Result{}, err
	}
	return r.result, nil
}

func (w *Worker) log(format string, args ...any) {
	if w.Log != nil {
		w.Log(fmt.Sprintf(format, args...))
	}
}

func (w *Worker) open(l Location) (lake.Bucket, error) {
	if w.Open != nil {
		return w.Open(l.Account, l.Container)
	}
	return source.Storage{Blob: w.Blob, HTTP: w.HTTP, Credential: w.Credential}.Bucket(l.Account, l.Container)
}

// run is one order on its way.
type run struct {
	w      *Worker
	order  Order
	spec   *spec.FeatureSetSpec
	dir    string
	began  time.Time
	steps  int
	result Result
	// settled says that an earlier attempt of the job committed the window: what it computed counts.
	settled bool
}

func (r *run) make(name string) (string, error) {
	r.steps++
	dir := filepath.Join(r.dir, fmt.Sprintf("%03d-%s", r.steps, name))
	return dir, os.Mkdir(dir, 0o700)
}

func (r *run) materialize(ctx context.Context) error {
	var rows []engine.OutputFile
	var err error
	if r.order.computed() {
		if rows, err = r.compute(ctx); err != nil {
			return err
		}
	}
	if r.order.Offline {
		if err := r.replace(ctx, rows); err != nil {
			return r.explain(err, "offline store", r.order.Target)
		}
	}
	if !r.order.Online {
		return nil
	}
	if !r.order.computed() || r.settled {
		if rows, err = r.read(ctx); err != nil {
			return r.explain(err, "offline store", r.order.Target)
		}
	}
	return r.putOnline(ctx, rows)
}

// compute fetches the source and computes the window's features.
func (r *run) compute(ctx context.Context) ([]engine.OutputFile, error) {
	w := r.w
	bucket, err := w.open(r.order.Source)
	if err != nil {
		return nil, err
	}
	in, err := r.make("source")
	if err != nil {
		return nil, err
	}
	out, err := r.make("features")
	if err != nil {
		return nil, err
	}
	src := r.spec.Source
	src.Path = r.order.Source.Path
	from := r.order.Start.Add(-r.spec.SourceLookback)
	began := time.Now()
	names := source.Names{}
	files, err := source.Fetch(ctx, bucket, src, in, source.Options{
		Column: r.spec.TimestampColumn.Name, Start: from, End: r.order.End, Place: src.URI, Names: names,
	})
	if err != nil {
		return nil, r.explain(err, "source", r.order.Source)
	}
	w.log("source %s: %d files fetched in %s", src.URI, len(files), time.Since(began).Round(time.Millisecond))
	t := Compute(r.spec)
	t.Sources, t.Start, t.End, t.SourceStart = files, r.order.Start, r.order.End, from
	t.OutputDir, t.Scratch, t.Limits = out, r.dir, r.order.Limits
	result, err := w.Engine.Transform(ctx, t)
	if err != nil {
		return nil, names.Explain(err)
	}
	r.result.Dropped = result.DroppedKey + result.DroppedTimestamp
	r.result.Isolation = result.Usage.Isolation
	w.log("computed %d rows in %s (memory %d MiB), dropped %d without a key and %d without a timestamp", result.Rows,
		result.Usage.Wall.Round(time.Millisecond), result.Usage.PeakMemory>>20, result.DroppedKey, result.DroppedTimestamp)
	if err := os.RemoveAll(in); err != nil { // the disk may be needed for what follows
		return nil, err
	}
	r.result.Rows = result.Rows
	return result.Files, markUTC(result.Files)
}

// explain says of a refusal what was refused to whom.
func (r *run) explain(err error, what string, where Location) error {
	e, ok := resource.AsError(err)
	if !ok {
		return err
	}
	said := *e
	switch {
	case e.Kind == resource.Forbidden:
		said.Message = fmt.Sprintf("The materialization identity %s lacks a right on the %s%s. %s", r.order.Identity, what, where.cure(what, e.Message), e.Message)
	case e.Kind == resource.Unauthenticated:
		said.Message = fmt.Sprintf("The materialization identity %s does not reach the %s: %s", r.order.Identity, what, e.Message)
	case e.Kind == resource.NotFound && e.Code == "ContainerNotFound":
		said.Message = fmt.Sprintf("The container %s of the account %s, which is the %s, does not exist. Create it again.", where.Container, where.Account, what)
	case e.Kind == resource.Conflict && (e.Code == "CommitConflict" || e.Code == "BlobChanged"):
		said.Kind = resource.Unavailable // others were quicker; the next attempt finds its turn
	default:
		return err
	}
	said.Cause = err
	return &said
}

// cure says which role helps, when the refusal does not say so itself.
func (l Location) cure(what, refusal string) string {
	role := map[string]string{"source": "Storage Blob Data Reader", "offline store": "Storage Blob Data Contributor"}[what]
	if role == "" || strings.Contains(refusal, "is granted by") {
		return ""
	}
	return fmt.Sprintf("; %s on the container %s of the account %s grants it", role, l.Container, l.Account)
}

// location is the address that other engines find the offline container at.
func (w *Worker) location(l Location) string {
	if rest, ok := strings.CutPrefix(w.Blob, "https://{account}.blob."); ok {
		return fmt.Sprintf("abfss://%s@%s.dfs.%s", l.Container, l.Account, strings.TrimSuffix(rest, "/"))
	}
	url, err := source.Storage{Blob: w.Blob}.URL(l.Account, l.Container)
	if err != nil || w.Blob == "" {
		return ""
	}
	return url
}

func (w *Worker) tableOptions(l Location) offline.Options {
	return offline.Options{Location: w.location(l)}
}
