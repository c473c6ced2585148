package cli

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Who manages the dependencies is taken from an environment's file, and shown (MI-09, MI-10).
func TestManagedDependenciesOfFiles(t *testing.T) {
	version := fakeWorkspace + "/environments/train/versions/1"
	put := ""
	p := newPlant(t, map[string]http.HandlerFunc{"PUT " + version: func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		put = strings.Replace(string(body), "{", fmt.Sprintf(`{"id":%q,`, version), 1)
		fmt.Fprint(w, put)
	}})
	dir := t.TempDir()
	file := filepath.Join(dir, "environment.yml")
	line := "ml environment create -w ws -g rg1 -o tsv --query user_managed_dependencies -f " + file
	for _, value := range []string{"true", "false"} {
		writeTree(t, dir, map[string]string{"environment.yml": "name: train\nversion: 1\nimage: a:1\nuser_managed_dependencies: " + value + "\n"})
		if got := p.ok(t, line); got != value+"\n" || !strings.Contains(put, `"userManagedDependencies":`+value) {
			t.Errorf("%s: %q, %s", value, got, put)
		}
	}
	writeTree(t, dir, map[string]string{"environment.yml": "name: train\nversion: 1\nimage: a:1\nuser_managed_dependencies: perhaps\n"})
	if code, _, stderr := p.run(t.Context(), line); code != ExitUsage || !strings.Contains(stderr, "user_managed_dependencies is perhaps") {
		t.Errorf("%d, %s", code, stderr)
	}
}
