package machinelearning_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// What a job leaves is copied to the datastore up to a limit, and while the disk has room; what is left out is told of, and the job
// completes.
func TestArtifactsAreBounded(t *testing.T) {
	full := func(bytes int64) error {
		if bytes != int64(5+len(output)) {
			t.Errorf("asked for %d bytes", bytes)
		}
		return resource.Errorf(resource.Unavailable, "DiskFull", "The server's disk is full.")
	}
	for name, c := range map[string]struct {
		limits machinelearning.ArtifactLimits
		room   func(int64) error
		wrote  string
		says   string
	}{
		"within":    {machinelearning.ArtifactLimits{Bytes: 5, Files: 1}, nil, "model.bin std_log.txt", ""},
		"too large": {machinelearning.ArtifactLimits{Bytes: 4}, nil, "std_log.txt", "1 of 1 artifacts are not in the datastore workspaceartifactstore"},
		"full":      {machinelearning.ArtifactLimits{}, full, "", "The server's disk is full."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newJobs(t)
			w.submit("job", "task say hello")
			runner, _ := w.server(&life{})
			var wrote []string
			runner.Keep, runner.Room = c.limits, c.room
			runner.Write = func(_ context.Context, _ identity.Principal, _, _, path string, content io.Reader) error {
				wrote = append(wrote, filepath.Base(path))
				_, err := io.Copy(io.Discard, content)
				return err
			}
			body, err := json.Marshal(jobID("job"))
			if err != nil {
				t.Fatal(err)
			}
			if err := runner.Run(t.Context(), store.Job{Body: body, Attempt: 1, MaxAttempts: 1000}); err != nil || w.status("job") != "Completed" {
				t.Fatal(err, w.status("job"))
			}
			if got := strings.Join(wrote, " "); got != c.wrote {
				t.Errorf("wrote %q; want %q", got, c.wrote)
			}
			if said := w.linesOf("job"); !strings.Contains(said, c.says) || c.says == "" && strings.Contains(said, "Warning") {
				t.Error(said)
			}
		})
	}
}

// linesOf is what the server has said in a job's log.
func (w *jobWorld) linesOf(name string) string {
	w.t.Helper()
	var said bytes.Buffer
	for _, part := range []string{"head", "tail"} {
		if _, err := w.logs.Copy(jobID(name), part, 0, &said); err != nil {
			w.t.Fatal(err)
		}
	}
	return said.String()
}
