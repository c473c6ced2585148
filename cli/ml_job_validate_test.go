package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A job's file is checked against this machine and the workspace, and nothing is changed.
func TestValidationOfJobs(t *testing.T) {
	s := newSite(t, map[string]http.HandlerFunc{
		"GET " + fakeWorkspace + "/computes/cpu":                  says(200, `{}`),
		"GET " + fakeWorkspace + "/environments/train/versions/1": says(200, `{}`),
	})
	dir := t.TempDir()
	const whole = "command: python train.py ${{inputs.data}}\ncode: src\ncompute: azureml:cpu\n"
	writeTree(t, dir, map[string]string{
		"src/train.py": "print(1)", "data.csv": "1,2", "context/Dockerfile": "FROM a\n",
		"job.yml":      whole + "environment: azureml:train:1\ninputs:\n  data: {path: data.csv}\n",
		"inline.yml":   whole + "environment: {build: {path: context}}\n",
		"pipeline.yml": "type: pipeline\nsettings: {default_compute: cpu}\njobs:\n  one: {command: a, environment: {image: a:1}, code: src}\n",
		"field.yml":    whole + "nosuch: 1\n",
		"code.yml":     "command: a\ncode: nosuch\ncompute: cpu\n",
		"compute.yml":  "command: a\ncompute: gpu\n",
		"version.yml":  whole + "environment: azureml:train:2\n",
		"latest.yml":   whole + "environment: azureml:other@latest\n",
		"data.yml":     whole + "inputs:\n  data: {path: nosuch.csv}\n",
		"context.yml":  whole + "environment: {build: {path: src}}\n",
	})
	for _, file := range []string{"job", "inline", "pipeline", "compute --set compute=cpu"} {
		name, more, _ := strings.Cut(file, " ")
		if got := s.ok(t, "ml job validate -w ws -g rg1 --query result -o tsv -f "+filepath.Join(dir, name+".yml")+" "+more); got != "Passed\n" {
			t.Errorf("%s: %q", file, got)
		}
	}
	for file, want := range map[string]string{
		"field": "nosuch is unknown", "code": "the job: code", "compute": "compute: there is no gpu in the workspace", "version": "environment: there is no azureml:train:2 in the workspace",
		"latest": "environment: there is no azureml:other@latest", "data": "inputs.data", "context": "there is no Dockerfile",
	} {
		code, stdout, stderr := s.run(t.Context(), "ml job validate -w ws -g rg1 -f "+filepath.Join(dir, file+".yml"))
		if code == ExitOK || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d, %q, %s", file, code, stdout, stderr)
		}
	}
	if got := s.changes(); len(got) != 0 || len(s.blobs)+len(s.put) != 0 {
		t.Errorf("sent: %q", got)
	}
}
