package cli

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestTaskCommandsOnTheWire(t *testing.T) {
	const runs = registryID + "/runs"
	b := newBuilder(t, map[string]http.HandlerFunc{
		"GET " + runs: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("page") == "2" {
				says(200, `{"value":[{"name":"cr1","properties":{"runId":"cr1","status":"Failed"}}]}`)(w, r)
				return
			}
			says(200, `{"value":[{"name":"cr3","properties":{"runId":"cr3","status":"Running"}},{"name":"cr2","properties":{"runId":"cr2","status":"Succeeded"}}],"nextLink":"https://HOST`+runs+`?page=2"}`)(w, r)
		},
		"GET " + runs + "/cr3":                says(200, `{"name":"cr3","properties":{"runId":"cr3","status":"Succeeded"}}`),
		"POST " + runs + "/cr3/listLogSasUrl": says(200, `{"logLink":"https://HOST/logs/cr1?sig=x"}`),
	})
	b.chunks = []string{"hello\n"}
	for _, c := range []struct {
		line, stdout string
		requests     []string
		query        map[string]string // of the first request
	}{
		{"list-runs -r fraudacr -g rg1 --query [].runId -o tsv", "cr3\ncr2\ncr1\n", []string{"GET " + runs, "GET " + runs}, nil},
		{"runs -r fraudacr -g rg1 --top 2 --run-status Failed --query [].runId -o tsv", "cr3\ncr2\n", []string{"GET " + runs},
			map[string]string{"$top": "2", "$filter": "Status eq 'Failed'"}},
		{"list-runs -r fraudacr -g rg1 --top 1 -o table", "RUN ID", []string{"GET " + runs}, map[string]string{"$top": "1"}},
		{"show-run -r fraudacr -g rg1 --run-id cr1 --query runType -o tsv", "QuickBuild\n", []string{"GET " + runs + "/cr1"}, nil},
		{"logs -r fraudacr -g rg1", "hello\n", []string{"GET " + runs, "POST " + runs + "/cr3/listLogSasUrl", "HEAD /logs/cr1", "GET /logs/cr1"}, map[string]string{"$top": "1"}},
		{"cancel-run -r fraudacr -g rg1 --run-id cr1", "", []string{"POST " + runs + "/cr1/cancel"}, nil},
	} {
		stdout := b.ok(t, "acr task "+c.line)
		seen := b.sent()
		if got := lines(seen); !reflect.DeepEqual(got, c.requests) || !strings.Contains(stdout, c.stdout) {
			t.Errorf("%s: sent %q, want %q; printed\n%s", c.line, got, c.requests, stdout)
		}
		for key, want := range c.query {
			if got := seen[0].Query.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", c.line, key, got, want)
			}
		}
	}
	if code, _, _ := b.plant.run(t.Context(), "acr task show-run -r fraudacr -g rg1 --run-id nosuch"); code != ExitNotFound {
		t.Errorf("exit code %d", code)
	}
	b.routes["GET "+runs] = says(200, `{"value":[]}`)
	if code, _, stderr := b.plant.run(t.Context(), "acr task logs -r fraudacr -g rg1"); code != ExitNotFound || !strings.Contains(stderr, "no run yet") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
