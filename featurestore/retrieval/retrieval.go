// Package retrieval gets feature values out of a feature store as somebody: training sets, joined point in time, and
// online rows. It owns the way from a request to files and back: which versions and which files are needed, and an
// output that is complete or absent. What a caller may see is decided by the planes that it asks with the caller's token;
// joining and computing is the engine's work.
package retrieval

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/source"
	"github.com/alvara-ml/alvara/resource"
)

// Retriever retrieves with what its credential allows. It keeps nothing between requests and may serve several at once.
type Retriever struct {
	ResourceManager string
	Blob            string // as source.Storage has it
	Features        string // the features plane, for GetOnline
	HTTP            *http.Client
	Credential      azcore.TokenCredential
	Engine          engine.Engine
	Scratch         string // a folder that exists; what a request puts there is gone when it ends
	// Progress is told how far a stage is, in bytes for downloads; total is 0 when it is not known. nil: silent. It may
	// be called concurrently.
	Progress func(stage string, done, total int64)
	// Open opens a container; nil opens it in the blob plane.
	Open func(account, container string) (lake.Bucket, error)
}

// Request asks for features as they were known at each observation's time.
type Request struct {
	Store           resource.ID `json:"store"`           // the feature store; may be the root when every set is local and names its container
	Features        []string    `json:"features"`        // name:version or name:version:feature, each with an optional prefix=
	Observations    string      `json:"observations"`    // a local file
	Format          string      `json:"format"`          // parquet, csv or json; "" goes by the file's ending
	TimestampColumn string      `json:"timestampColumn"` // of the observations
	TimestampFormat string      `json:"timestampFormat"` // of text; see engine.Join
	Output          string      `json:"output"`          // the file to write; one that is there is replaced, when all is well
	OutputFormat    string      `json:"outputFormat"`    // parquet, csv or arrow; "" goes by the file's ending
	// Local are feature sets that are registered nowhere, by name:version (FS-15). They are computed from their source and
	// come before registered ones of the same name and version.
	Local  map[string]LocalSet `json:"local,omitempty"`
	Limits engine.Limits       `json:"limits"`
}

// LocalSet is the specification of an unregistered feature set: the files of its folder by their relative paths.
type LocalSet struct {
	Files map[string][]byte `json:"files"`
}

// Where the rows of a set came from.
const (
	FromStore  = "store"
	FromSource = "source"
)

// Result says what a retrieval wrote.
type Result struct {
	Rows    int64        `json:"rows"`
	Bytes   int64        `json:"bytes"`
	Columns []string     `json:"columns"` // the observations' columns, then the features in the order asked
	Sets    []SetResult  `json:"sets"`    // per run of features of one set, in the order asked
	Usage   engine.Usage `json:"usage"`   // of the join
}

// SetResult tells where a set's rows came from.
type SetResult struct {
	Set     string `json:"set"`     // name:version
	From    string `json:"from"`    // FromStore or FromSource
	Files   int    `json:"files"`   // that were read
	Matched int64  `json:"matched"` // observations that found a row
}

// GetOffline joins features to observations, point in time. A set whose offline materialization is enabled is read from
// the store alone: windows that are not materialized have no rows. Any other is computed from its source.
//
// Faults of the caller are *resource.Error with the refusing plane's own message; nothing is left of an output that did
// not come to its end. A cancelled context gives its error.
func (r *Retriever) GetOffline(ctx context.Context, request Request) (Result, error) {
	request, err := request.complete()
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp(r.Scratch, "retrieve-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	j := &join{r: r, request: request, dir: dir, sets: map[string]*set{}}
	result, err := j.run(ctx)
	if err != nil && ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	return result, err
}

func (r *Retriever) progress(stage string, done, total int64) {
	if r.Progress != nil {
		r.Progress(stage, done, total)
	}
}

func (r *Retriever) open(account, container string) (lake.Bucket, error) {
	if r.Open != nil {
		return r.Open(account, container)
	}
	return source.Storage{Blob: r.Blob, HTTP: r.HTTP, Credential: r.Credential}.Bucket(account, container)
}

// complete fills in what the request leaves to the files' endings.
func (q Request) complete() (Request, error) {
	if len(q.Features) == 0 {
		return q, resource.Invalidf("NoFeatures", "The request asks for no features; name some, such as transactions:1 or transactions:1:sum7d.").At("features")
	}
	if q.Format == "" {
		q.Format = formatOf(q.Observations)
	}
	if q.OutputFormat == "" {
		q.OutputFormat = formatOf(q.Output)
	}
	if q.Format == "" || q.Format == engine.Arrow {
		return q, resource.Invalidf("UnknownFormat", "The ending of the observations' file %s names no format; expected .parquet, .csv or .json, or say the format.", filepath.Base(q.Observations)).At("format")
	}
	if q.OutputFormat == "" || q.OutputFormat == engine.JSON {
		return q, resource.Invalidf("UnknownFormat", "The ending of the output file %s names no format that is written; expected .parquet, .arrow or .csv, or say the format.", filepath.Base(q.Output)).At("outputFormat")
	}
	if info, err := os.Stat(q.Observations); err != nil || info.IsDir() {
		return q, resource.Invalidf(engine.CodeSource, "The observations' file %s cannot be read; expected a file.", q.Observations).At("observations").Because(err)
	}
	var err error
	if q.Observations, err = filepath.Abs(q.Observations); err != nil {
		return q, err
	}
	q.Output, err = filepath.Abs(q.Output)
	return q, err
}

var formats = map[string]string{
	".parquet": engine.Parquet, ".csv": engine.CSV, ".json": engine.JSON, ".jsonl": engine.JSON, ".ndjson": engine.JSON,
	".arrow": engine.Arrow, ".arrows": engine.Arrow, ".feather": engine.Arrow,
}

func formatOf(file string) string {
	name := strings.ToLower(filepath.Base(file))
	for _, compressed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, compressed)
	}
	return formats[filepath.Ext(name)]
}

// span is a closed interval of time.
type span struct{ first, last time.Time }

// The span of time that the engine counts in.
var (
	firstTime = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// needed is the window of feature rows that observations of a span can find; false when there is none.
func (s *set) needed(of span) (start, end time.Time, some bool) {
	start, end = firstTime, of.last.Add(-s.spec.SourceDelay+time.Microsecond)
	if back := s.spec.TemporalJoinLookback; back != nil {
		start = of.first.Add(-*back)
	}
	if start.Before(firstTime) {
		start = firstTime
	}
	if end.After(lastTime) {
		end = lastTime
	}
	return start, end, start.Before(end)
}

// sameName compares names of columns as the engine does.
func sameName(columns []engine.Column, name string) bool {
	return slices.ContainsFunc(columns, func(c engine.Column) bool { return strings.EqualFold(c.Name, name) })
}
