package retrieval_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
	"github.com/alvara-ml/alvara/resource"
)

// Every fault has its reason, and leaves neither output nor scratch; an output that was there stays as it was.
func TestFaults(t *testing.T) {
	w := newWorld(t)
	observations := w.observations()
	for name, c := range map[string]struct {
		change func(*retrieval.Request)
		kind   resource.Kind
		want   string
	}{
		"no features":     {func(q *retrieval.Request) { q.Features = nil }, resource.Invalid, "asks for no features"},
		"reference":       {func(q *retrieval.Request) { q.Features = []string{"transactions"} }, resource.Invalid, "transactions"},
		"unknown set":     {func(q *retrieval.Request) { q.Features = []string{"nothing:1"} }, resource.NotFound, "was not found"},
		"unknown feature": {func(q *retrieval.Request) { q.Features = []string{"transactions:1:sum9d"} }, resource.Invalid, "its features are sum1d, count3d"},
		"collision":       {func(q *retrieval.Request) { q.Features = []string{"transactions:1", "transactions:1:sum1d"} }, resource.Invalid, `"sum1d"`},
		"timestamp":       {func(q *retrieval.Request) { q.TimestampColumn = "when" }, resource.Invalid, `"when"`},
		"no time":         {func(q *retrieval.Request) { q.TimestampColumn = "n" }, resource.Invalid, `"n"`},
		"no observations": {func(q *retrieval.Request) { q.Observations += "x" }, resource.Invalid, "format"},
		"absent":          {func(q *retrieval.Request) { q.Observations, q.Format = "/nowhere.parquet", "parquet" }, resource.Invalid, "cannot be read"},
		"other format":    {func(q *retrieval.Request) { q.Format = "xml" }, resource.Invalid, "xml"},
		"output format":   {func(q *retrieval.Request) { q.Output = "x.json" }, resource.Invalid, "format"},
		"output folder":   {func(q *retrieval.Request) { q.Output = "/nowhere/x.csv" }, resource.Invalid, "cannot be written"},
		"no store":        {func(q *retrieval.Request) { q.Store = resource.Root }, resource.Invalid, "names no feature store"},
		"broken file": {func(q *retrieval.Request) {
			q.Observations = Write(t, t.TempDir()+"/b.csv", "SELECT 1")
			q.Format = "parquet"
		}, resource.Invalid, ""},
		"no key": {func(q *retrieval.Request) {
			q.Observations = Write(t, t.TempDir()+"/b.parquet", "SELECT now() AS seen")
		}, resource.Invalid, `"accountID"`},
		"observation name": {func(q *retrieval.Request) {
			q.Observations = Write(t, t.TempDir()+"/b.parquet", `SELECT now() AS seen, 'A' AS "accountID", 1 AS "SUM1D"`)
		}, resource.Invalid, `"sum1d"`},
		"local spec": {func(q *retrieval.Request) {
			q.Local = map[string]retrieval.LocalSet{"transactions:1": {Files: map[string][]byte{"FeatureSetSpec.yaml": []byte("x: y")}}}
		}, resource.Invalid, "unknown field"},
		"no source": {func(q *retrieval.Request) {
			q.Local = map[string]retrieval.LocalSet{"transactions:1": {Files: map[string][]byte{"FeatureSetSpec.yaml": []byte(strings.Replace(Transactions, "/tx/", "/no/", 1))}}}
		}, resource.Invalid, "matches no file"},
	} {
		dir := t.TempDir()
		q := retrieval.Request{Store: store, Features: []string{"transactions:1"}, Observations: observations, TimestampColumn: "seen", Output: filepath.Join(dir, "out.parquet")}
		if err := os.WriteFile(q.Output, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.change(&q)
		r := w.retriever()
		_, err := r.GetOffline(context.Background(), q)
		if e, ok := resource.AsError(err); !ok || e.Kind != c.kind || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		untouched(t, name, dir, r.Scratch)
	}
}

func untouched(t *testing.T, name, dir, scratch string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "out.parquet"))
	if err != nil || string(text) != "before" {
		t.Errorf("%s: the output that was there is %q, %v", name, text, err)
	}
	for _, folder := range []string{dir, scratch} {
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) > 1 || (folder == scratch && len(entries) > 0) {
			t.Errorf("%s: left in %s: %v, %v", name, folder, entries, err)
		}
	}
}

// FS-06, BX-05: what the caller may not read is refused by the plane that guards it, in its own words.
func TestMissingRights(t *testing.T) {
	w := newWorld(t)
	observations := w.observations()
	run := func() error {
		_, err := w.retriever().GetOffline(context.Background(), retrieval.Request{Store: store, Features: asked, Observations: observations, TimestampColumn: "seen", Output: filepath.Join(t.TempDir(), "o.csv")})
		return err
	}
	refused := func(name string, parts ...string) {
		t.Helper()
		e, ok := resource.AsError(run())
		if !ok || e.Kind != resource.Forbidden {
			t.Fatalf("%s: %v", name, e)
		}
		for _, part := range parts {
			if !strings.Contains(e.Message, part) {
				t.Errorf("%s: %q lacks %q", name, e.Message, part)
			}
		}
	}
	w.refused[versionOf("accounts").Key()] = true
	refused("definition", "does not have authorization to perform action 'featuresets/read'")
	delete(w.refused, versionOf("accounts").Key())
	w.Deny(consumer, "blobs/read", Sources)
	refused("source", "transactions:1", "The source wasbs://sources@store1", "may not be read", "blobs/read", consumer)
	w.Allow(consumer, "blobs/read", Sources)
	w.register("transactions", Transactions, "Offline")
	w.materialize(day(3), day(4))
	w.Deny(consumer, "blobs/read", Offline)
	refused("offline store", "transactions:1", "The offline store may not be read", "blobs/read", consumer)
	w.Allow(consumer, "blobs/read", Offline)
	if err := run(); err != nil {
		t.Error(err)
	}
	w.Remove(consumer)
	if err := run(); resource.KindOf(err) != resource.Unauthenticated {
		t.Errorf("a token that holds no more: %v", err)
	}
}

// A retrieval that is interrupted leaves nothing.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	observations := w.observations()
	for _, stage := range []string{"observations", "source transactions:1", "compute transactions:1", "join"} {
		dir := t.TempDir()
		q := retrieval.Request{Store: store, Features: []string{"transactions:1"}, Observations: observations, TimestampColumn: "seen", Output: filepath.Join(dir, "out.parquet")}
		if err := os.WriteFile(q.Output, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		r := w.retriever()
		met := false
		r.Progress = func(now string, _, _ int64) {
			if now == stage {
				met = true
				cancel()
			}
		}
		if _, err := r.GetOffline(ctx, q); !errors.Is(err, context.Canceled) || !met {
			t.Errorf("at %s (%v): %v", stage, met, err)
		}
		untouched(t, stage, dir, r.Scratch)
		cancel()
	}
}

// The online read passes request and answer on, with the caller's token.
func TestGetOnline(t *testing.T) {
	w := newWorld(t)
	w.online = func(body []byte) (int, any) {
		if string(body) != `{"features":["transactions:1"],"keys":{"accountID":["A1","A9"]}}` {
			return 400, map[string]any{"error": map[string]string{"code": "InvalidBody", "message": string(body)}}
		}
		return 200, map[string]any{"rows": []any{map[string]any{"accountID": "A1", "sum1d": 1.5}, map[string]any{"accountID": "A9", "sum1d": nil}}}
	}
	rows, err := w.retriever().GetOnline(context.Background(), store, []string{"transactions:1"}, map[string][]string{"accountID": {"A1", "A9"}})
	if err != nil || !slices.Equal([]string{string(rows[0]), string(rows[1])}, []string{`{"accountID":"A1","sum1d":1.5}`, `{"accountID":"A9","sum1d":null}`}) {
		t.Errorf("%s, %v", rows, err)
	}
	w.online = func([]byte) (int, any) {
		return 403, map[string]any{"error": map[string]string{"code": "AuthorizationFailed", "message": "no data action"}}
	}
	if _, err := w.retriever().GetOnline(context.Background(), store, nil, nil); resource.KindOf(err) != resource.Forbidden || !strings.Contains(err.Error(), "no data action") {
		t.Errorf("%v", err)
	}
}

func (w *world) readOnline(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	status, answer := w.online(body)
	if err != nil || r.Header.Get("Authorization") != "Bearer "+Token(consumer, "https://ml.azure.com/") {
		status = http.StatusUnauthorized
	}
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(answer)
}

// The server retrieves for a caller in a process that holds the caller's tokens alone.
func TestProcess(t *testing.T) {
	w := newWorld(t)
	p := &retrieval.Process{ResourceManager: w.URL(), Blob: w.Blob, CAFile: w.CAFile, ScratchDir: filepath.Join(t.TempDir(), "scratch")}
	work, err := p.Begin()
	if err != nil {
		t.Fatal(err)
	}
	Write(t, filepath.Join(work.Dir, "observations.parquet"), observationRows)
	q := retrieval.Request{Store: store, Features: asked, Observations: "observations.parquet", TimestampColumn: "seen", Output: "out.parquet"}
	tokens := retrieval.Tokens{retrieval.ManagementAudience: Token(consumer, retrieval.ManagementAudience), StorageAudience: Token(consumer, StorageAudience)}
	result, err := work.Run(context.Background(), q, tokens, nil)
	if err != nil || result.Rows != 300 {
		t.Fatalf("%+v, %v", result, err)
	}
	t.Log(result.Usage.Isolation)
	if got := read(t, filepath.Join(work.Dir, "out.parquet")); !slices.Equal(got, w.expect(always)) {
		t.Errorf("the output of the process differs: %d rows", len(got))
	}
	w.Deny(consumer, "blobs/read", Sources)
	if _, err := work.Run(context.Background(), q, tokens, nil); resource.KindOf(err) != resource.Forbidden || !strings.Contains(err.Error(), "blobs/read") {
		t.Errorf("without a right: %v", err)
	}
	if _, err := work.Run(context.Background(), q, retrieval.Tokens{}, nil); resource.KindOf(err) != resource.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	q.Output = "../out.parquet"
	if _, err := work.Run(context.Background(), q, tokens, nil); resource.KindOf(err) != resource.Invalid {
		t.Errorf("an output outside the folder: %v", err)
	}
	if err := work.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(p.ScratchDir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
