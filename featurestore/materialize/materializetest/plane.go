package materializetest

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/online/mem"
	"github.com/alvara-ml/alvara/resource"
)

// Plane is a features plane that takes rows in.
type Plane struct {
	stack *Stack
	Store online.Store

	mu      sync.Mutex
	queries []string // of the requests, in order
	schema  *online.Schema
	stamp   string
}

func newPlane(s *Stack) *Plane { return &Plane{stack: s, Store: &mem.Store{}} }

// Set tells the plane the one feature set's schema and timestamp column.
func (p *Plane) Set(index, features []online.Column, timestamp string) error {
	schema, err := online.NewSchema(index, features)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schema, p.stamp = schema, timestamp
	return err
}

// Queries gives the queries of the requests so far.
func (p *Plane) Queries() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.queries...)
}

var rowsPath = regexp.MustCompile(`^(/subscriptions/.*/featuresets/[^/]+/versions/[^/]+)/rows$`)

// ServeHTTP answers POST {version}/rows.
func (p *Plane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rows, retracted, err := p.rows(r)
	if err == nil {
		_, _ = fmt.Fprintf(w, `{"rows":%d,"retracted":%d}`, rows, retracted)
		return
	}
	status, code := http.StatusInternalServerError, "InternalError"
	if e, ok := resource.AsError(err); ok {
		code = e.Code
		for s, kind := range map[int]resource.Kind{400: resource.Invalid, 401: resource.Unauthenticated, 403: resource.Forbidden, 404: resource.NotFound} {
			if kind == e.Kind {
				status = s
			}
		}
	}
	w.WriteHeader(status)
	message := err.Error()
	if e, ok := resource.AsError(err); ok {
		message = e.Message
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func (p *Plane) rows(r *http.Request) (int, int64, error) {
	who, err := p.stack.principal(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), materialize.Audience)
	if err != nil {
		return 0, 0, err
	}
	if err := p.stack.check(who.ID, "Microsoft.MachineLearningServices/workspaces/featuresets/action", "features"); err != nil {
		return 0, 0, err
	}
	match := rowsPath.FindStringSubmatch(r.URL.Path)
	if match == nil || r.Header.Get("Content-Type") != "application/vnd.apache.arrow.stream" {
		return 0, 0, resource.Invalidf("InvalidRows", "not a request for rows: %s, %s", r.URL.Path, r.Header.Get("Content-Type"))
	}
	query := r.URL.Query()
	start, err1 := time.Parse(time.RFC3339Nano, query.Get("start"))
	end, err2 := time.Parse(time.RFC3339Nano, query.Get("end"))
	if err1 != nil || err2 != nil || query.Get("replace") == "" || query.Get("job") == "" {
		return 0, 0, resource.Invalidf("InvalidRows", "malformed query %s", r.URL.RawQuery)
	}
	p.mu.Lock()
	p.queries = append(p.queries, r.URL.RawQuery)
	schema, stamp := p.schema, p.stamp
	p.mu.Unlock()
	table := strings.ToLower(match[1])
	if err := p.Store.Create(r.Context(), table, schema); err != nil {
		return 0, 0, err
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(query.Get("job")))
	reader, err := ipc.NewReader(r.Body)
	if err != nil {
		return 0, 0, resource.Invalidf("InvalidRows", "no Arrow stream: %v", err)
	}
	defer reader.Release()
	total := 0
	for reader.Next() {
		rows, err := online.FromArrow(reader.RecordBatch(), schema, stamp)
		if err != nil {
			return 0, 0, err
		}
		if err := p.Store.Put(r.Context(), table, online.Batch{Rows: rows, Run: hash.Sum64()}); err != nil {
			return 0, 0, err
		}
		total += len(rows)
	}
	if err := reader.Err(); err != nil {
		return 0, 0, resource.Invalidf("InvalidRows", "the stream broke off: %v", err)
	}
	if query.Get("replace") != "true" {
		return total, 0, nil
	}
	retracted, err := p.Store.Retract(r.Context(), table, online.Retraction{Start: start, End: end, Run: hash.Sum64()})
	return total, retracted, err
}

// Rows gives what the plane has for a version: by key, the event time and the values as JSON.
func (p *Plane) Rows(t testing.TB, version resource.ID) map[string]string {
	t.Helper()
	out := map[string]string{}
	table := version.Key()
	err := p.Store.Scan(context.Background(), table, time.Now(), func(row online.Row) error {
		key, err := p.schema.DecodeKey(row.Key)
		if err != nil {
			return err
		}
		text, err := p.schema.AppendJSON(nil, row.Value, nil)
		out[fmt.Sprint(key...)] = row.Event.UTC().Format(time.RFC3339Nano) + " " + string(text)
		return err
	})
	if err != nil && resource.KindOf(err) != resource.NotFound {
		t.Fatal(err)
	}
	return out
}
