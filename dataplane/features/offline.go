package features

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// maxObservations bounds the observations that a request brings, in bytes.
const maxObservations = 2 << 30

// contentTypes are the formats of observations and results on the wire.
var contentTypes = map[string]string{
	"parquet": "application/vnd.apache.parquet",
	"csv":     "text/csv",
	"arrow":   ArrowStream,
}

// planOffline reads a retrieval: ?features=… (repeated), timestampColumn=, timestampFormat=, format= of the result and
// memoryLimit=; the body is the observations, parquet or CSV by its Content-Type. What may be read is decided by the
// planes that the retrieval goes through, as the caller.
func planOffline(s *Server, _ context.Context, q *request) ([]need, func(context.Context, http.ResponseWriter) error, error) {
	query := q.http.URL.Query()
	r := Retrieval{
		Who: q.who, Store: q.target, Features: query["features"], TimestampColumn: query.Get("timestampColumn"),
		TimestampFormat: query.Get("timestampFormat"), OutputFormat: strings.ToLower(query.Get("format")), Format: "parquet",
	}
	if r.OutputFormat == "" {
		r.OutputFormat = "parquet"
	}
	switch {
	case len(r.Features) == 0:
		return nil, nil, resource.Invalidf("FeaturesRequired", "features is missing; references such as features=transactions:1 were expected").At("features")
	case r.TimestampColumn == "":
		return nil, nil, resource.Invalidf("InvalidParameter", "timestampColumn is missing; the name of the observations' time column was expected").At("timestampColumn")
	case contentTypes[r.OutputFormat] == "":
		return nil, nil, resource.Invalidf("InvalidParameter", "format is %q; parquet, csv or arrow was expected", r.OutputFormat).At("format")
	}
	switch kind, _, _ := mime.ParseMediaType(q.http.Header.Get("Content-Type")); kind {
	case "text/csv":
		r.Format = "csv"
	case contentTypes["parquet"], "application/octet-stream", "":
	default:
		return nil, nil, resource.Invalidf("InvalidContentType", "Content-Type is %q; %s or text/csv was expected", kind, contentTypes["parquet"]).At("Content-Type")
	}
	if text := query.Get("memoryLimit"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 64<<20 {
			return nil, nil, resource.Invalidf("InvalidParameter", "memoryLimit is %q; a number of bytes from %d was expected", text, 64<<20).At("memoryLimit")
		}
		r.MemoryLimit = n
	}
	needs := []need{{action: readStore, scopes: []resource.ID{q.target}}}
	return needs, func(ctx context.Context, w http.ResponseWriter) error { return s.retrieve(ctx, w, q.http, r) }, nil
}

func (s *Server) retrieve(ctx context.Context, w http.ResponseWriter, request *http.Request, r Retrieval) error {
	folder, run, end, err := s.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // what stays is swept at the next start
	r.Observations, r.Output = "observations."+r.Format, "result."+r.OutputFormat
	if err := receive(filepath.Join(folder, r.Observations), http.MaxBytesReader(w, request.Body, maxObservations)); err != nil {
		return err
	}
	if err := run(ctx, r); err != nil {
		return err
	}
	result, err := os.Open(filepath.Join(folder, r.Output))
	if err != nil {
		return err
	}
	defer func() { _ = result.Close() }() // only read
	info, err := result.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentTypes[r.OutputFormat])
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	_, _ = io.Copy(w, result) // the length tells the caller when it broke off
	return nil
}

func receive(path string, body io.Reader) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, body)
	if closing := file.Close(); err == nil {
		err = closing
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return resource.Errorf(resource.TooLarge, "RequestEntityTooLarge", "The observations have more than %d bytes; retrieve in parts, or on your own machine with alvara features get-offline.", int64(maxObservations))
	}
	return err
}
