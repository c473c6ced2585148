package features

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// rowsPerBatch is how many rows are made durable in one step.
const rowsPerBatch = 20_000

// ArrowStream is the content type of rows.
const ArrowStream = "application/vnd.apache.arrow.stream"

// rowsRequest is the query of a request that puts rows online: those of the window [start, end), written by a job. With
// replace, older rows of the window go when all new ones are there.
type rowsRequest struct {
	start, end time.Time
	job        string
	replace    bool
}

func planRows(s *Server, ctx context.Context, q *request) ([]need, func(context.Context, http.ResponseWriter) error, error) {
	query := q.http.URL.Query()
	var want rowsRequest
	var err error
	want.job, want.replace = query.Get("job"), query.Get("replace") == "true"
	if want.job == "" {
		return nil, nil, resource.Invalidf("InvalidParameter", "job is missing; the name of the job that writes the rows was expected").At("job")
	}
	if want.start, err = spec.ParseTime(query.Get("start")); err != nil {
		return nil, nil, resource.Invalidf("InvalidParameter", "start: %v", err).At("start")
	}
	if want.end, err = spec.ParseTime(query.Get("end")); err != nil {
		return nil, nil, resource.Invalidf("InvalidParameter", "end: %v", err).At("end")
	}
	version := q.target
	set, err := s.Catalog.Set(ctx, version.Parent().Parent(), version.Parent().Name(), version.Name())
	if err != nil {
		return []need{{action: actOnSet, scopes: []resource.ID{version}}}, func(context.Context, http.ResponseWriter) error { return err }, nil
	}
	needs := []need{
		{action: actOnSet, scopes: []resource.ID{version}},
		{action: writeRows, data: true, scopes: []resource.ID{set.Container, version}},
	}
	return needs, func(ctx context.Context, w http.ResponseWriter) error {
		return s.putRows(ctx, w, q.http.Body, set, want)
	}, nil
}

func (s *Server) putRows(ctx context.Context, w http.ResponseWriter, body io.Reader, set *Set, want rowsRequest) error {
	if err := s.Online.Create(ctx, set.Table(), set.Schema); err != nil {
		return err
	}
	reader, err := ipc.NewReader(body)
	if err != nil {
		return resource.Invalidf("InvalidRows", "the body is no Arrow stream: %v", err)
	}
	defer reader.Release()
	timestamp, err := timestampOf(reader, set.Schema)
	if err != nil {
		return err
	}
	run := runOf(want.job)
	total := 0
	for reader.Next() {
		rows, err := online.FromArrow(reader.RecordBatch(), set.Schema, timestamp)
		if err != nil {
			return err
		}
		for len(rows) > 0 {
			part := rows[:min(rowsPerBatch, len(rows))]
			if err := s.Online.Put(ctx, set.Table(), online.Batch{Rows: part, TTL: set.TTL, Run: run}); err != nil {
				return err
			}
			total, rows = total+len(part), rows[len(part):]
		}
	}
	if err := reader.Err(); err != nil && !errors.Is(err, io.EOF) {
		return resource.Invalidf("InvalidRows", "the stream of rows broke off after %d rows: %v", total, err)
	}
	retracted := int64(0)
	if want.replace {
		if retracted, err = s.Online.Retract(ctx, set.Table(), online.Retraction{Start: want.start, End: want.end, Run: run, TTL: set.TTL}); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"rows":`+strconv.Itoa(total)+`,"retracted":`+strconv.FormatInt(retracted, 10)+`}`) // the caller has gone away; nobody is left to tell
	return nil
}

// timestampOf finds the column that is neither key nor feature.
func timestampOf(reader *ipc.Reader, schema *online.Schema) (string, error) {
	known := map[string]bool{}
	for _, column := range append(append([]online.Column{}, schema.Index()...), schema.Features()...) {
		known[column.Name] = true
	}
	for _, field := range reader.Schema().Fields() {
		if !known[field.Name] {
			return field.Name, nil
		}
	}
	return "", resource.Invalidf("InvalidRows", "the rows have no timestamp column beside the keys and the features")
}

// runOf numbers a job for the online store; the same job always has the same number.
func runOf(job string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(job)) // never fails
	return max(hash.Sum64(), 1)
}
