package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The logs of all nodes are downloaded, and a stream names the node that failed.
func TestLogsOfSeveralNodes(t *testing.T) {
	job := fakeWorkspace + "/jobs/wide"
	message := "The command of node 1 ended with the exit code 3."
	s := newSite(t, map[string]http.HandlerFunc{
		"GET " + job: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"name":"wide","properties":{"status":"Failed","resources":{"instanceCount":3},"properties":{"alvara.nodes":"3"},"error":{"code":"UserProcessFailed","message":%q}}}`, message)
		},
		"GET " + job + "/artifacts": says(200, `{"value":[]}`),
		"GET " + job + "/logs": func(w http.ResponseWriter, r *http.Request) {
			text := "of node " + first(r.URL.Query().Get("node"), "0")
			fmt.Fprint(w, text[min(len(text), offsetOf(r)):])
		},
	})
	for _, more := range []string{"", " --all"} {
		dir := t.TempDir()
		s.ok(t, "ml job download -n wide -w ws -g rg1 -p "+dir+more)
		for name, want := range map[string]string{"std_log.txt": "of node 0", "std_log_1.txt": "of node 1", "std_log_2.txt": "of node 2"} {
			if got, err := os.ReadFile(filepath.Join(dir, "artifacts", "user_logs", name)); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
	for _, c := range []struct{ message, more, want, absent string }{
		{message, "", "it was node 1 of 3 that failed; its log: alvara ml job stream -n wide -w ws -g rg1 --node 1", "it ran on"},
		{message, " --node 1", "node 1", "WARNING: it "},
		{"The command of node 0 ended with the exit code 3.", "", "it ran on 3 nodes", "it was node"},
		{"The run was not done within its time limit.", "", "it ran on 3 nodes", "it was node"},
	} {
		message = c.message
		code, _, stderr := s.run(t.Context(), "ml job stream -n wide -w ws -g rg1"+c.more)
		if code != ExitError || !strings.Contains(stderr, c.want) || strings.Contains(stderr, c.absent) {
			t.Errorf("%s%s: %d\n%s", c.message, c.more, code, stderr)
		}
	}
}
