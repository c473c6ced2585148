package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/alvara-ml/alvara/cli/document"
)

// testWorkspace is what /W stands for in the tests' files.
const testWorkspace = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"

// named gives names to what a job's file refers to, and uploads nothing.
type named struct{}

func (named) code(_, folder string) (string, error) {
	return testWorkspace + "/codes/" + filepath.Base(folder) + "/versions/1", nil
}

func (named) local(what, path string) (string, bool, error) {
	name := filepath.Base(path)
	switch filepath.Ext(name) {
	case ".csv":
		return "azureml://uploaded/" + name, false, nil
	case ".missing":
		return "", false, usagef("%s: there is no %s", what, path)
	}
	return "azureml://uploaded/" + name + "/", true, nil
}

func (named) context(_, folder, dockerfile string) (string, error) {
	return "azureml://uploaded/" + filepath.Base(folder) + "/" + dockerfile, nil
}

func (n named) environment(what string, given any, folder string) (string, error) {
	switch v := given.(type) {
	case string:
		return n.version(what, "environments", v)
	case *document.Object:
		var words []string
		for _, key := range v.Keys() {
			words = append(words, key+"="+strings.NewReplacer("/", ".", ":", ".").Replace(v.Text(key)))
		}
		return testWorkspace + "/environments/inline/versions/" + strings.Join(words, ","), nil
	}
	return "", usagef("%s is %v", what, given)
}

func (named) version(what, collection, text string) (string, error) {
	return (&workspaceAssets{uploader: uploader{workspace: testWorkspace}}).version(what, collection, text)
}

func (named) register(collection, name, version string, _ *document.Object) (string, error) {
	return testWorkspace + "/" + collection + "/" + name + "/versions/" + version, nil
}

func (named) compute(what, name string) (string, error) {
	return (&workspaceAssets{uploader: uploader{workspace: testWorkspace}}).compute(what, name)
}

func readJob(t *testing.T, text string) (*document.Object, error) {
	t.Helper()
	given, err := document.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return jobFile{folder: "folder", assets: named{}}.properties(given)
}

func sameJSON(t *testing.T, got any, want string) {
	t.Helper()
	encoded, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(encoded, &a); err != nil {
		t.Fatal(err)
	}
	want = strings.ReplaceAll(want, "/W/", testWorkspace+"/")
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got\n%s\nwant\n%s", encoded, strings.ReplaceAll(want, "\n", ""))
	}
}

// Jobs of files become those of the wire, and what is shown of them becomes the same job again.
func TestJobsOfFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/jobs/*.txtar")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, part := range archive.Files {
				parts[part.Name] = string(part.Data)
			}
			got, err := readJob(t, parts["job.yml"])
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, got, parts["job.json"])
			shown := jobDocument(document.New("name", "train", "id", "/W/jobs/train", "properties", got))
			for _, added := range []string{"status", "id", "creation_context"} {
				shown.Delete(added)
			}
			text, err := document.EncodeYAML(withoutNothing(shown))
			if err != nil {
				t.Fatal(err)
			}
			again, err := readJob(t, string(text))
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			sameJSON(t, again, asShown(parts["job.json"]))
		})
	}
}

func withoutNothing(given *document.Object) *document.Object {
	out := document.New()
	for _, key := range given.Keys() {
		if given.Get(key) != nil {
			out.Set(key, given.Get(key))
		}
	}
	return out
}

// asShown writes ids of versions as they are shown, which mean the same.
func asShown(wire string) string {
	return strings.ReplaceAll(wire, `"/W/models/m/versions/1"`, `"azureml:m:1"`)
}

// What a job's file says and nobody would heed is refused by its name.
func TestJobsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"type: sweep": `type is "sweep"; command or pipeline`, "type: spark": "feature-set backfill", "compute: cpu": "command is missing", "command: x\nservices: {}": "services is unknown here",
		"command: x\nenvironment: train": "azureml:NAME:VERSION", "command: x\nenvironment: azureml:train": "azureml:NAME@latest", "command: x\nenvironment: [a]": "environment",
		"command: x\ncompute: local": "azureml:NAME was expected", "command: x\ncompute: azureml:a:1": "azureml:NAME was expected",
		"command: x\nidentity: {type: me}": `identity.type is "me"`, "command: x\nidentity: {type: user_identity, client_id: c}": "type: managed alone", "command: x\nidentity: {kind: a}": "kind is unknown",
		"command: x\ninputs: {a: }": "inputs.a has no value", "command: x\ninputs: {a: [1]}": "inputs.a is a list", "command: x\ninputs: [a]": "inputs is no mapping",
		"command: x\ninputs: {a: {type: uri_file}}": "inputs.a has no path", "command: x\ninputs: {a: {type: csv, path: x.csv}}": `inputs.a: type is "csv"`,
		"command: x\ninputs: {a: {type: uri_file, path: data}}": "type: uri_folder", "command: x\ninputs: {a: {type: uri_folder, path: x.csv}}": "type: uri_file",
		"command: x\ninputs: {a: {path: azureml:d:1, mode: fast}}": "direct, download, eval_download", "command: x\ninputs: {a: {path: azureml:d:1, pattern: x}}": "pattern is unknown",
		"command: x\ninputs: {a: {path: x.missing}}": "inputs.a: there is no", "command: x\noutputs: {a: {path: ./here}}": "job download", "command: x\noutputs: {a: 5}": "outputs.a is 5",
		"command: x\nlimits: {timeout: 0}": "limits.timeout is 0", "command: x\nlimits: {timeout: soon}": "limits.timeout is soon", "command: x\nlimits: 5": "limits is no mapping",
		"command: x\nresources: {instance_count: many}": "resources.instance_count is many", "command: x\nresources: {gpu: 1}": "gpu is unknown",
		"command: x\ndistribution: {type: ray}": `distribution.type is "ray"`, "command: x\ndistribution: {type: mpi, worker_count: 2}": "worker_count is unknown",
		"command: x\ntags: {a: [1]}": "tags.a is a list", "command: x\nenvironment_variables: [A=1]": "environment_variables is no mapping", "command: x\ncode: https://x/y": `code is "https://x/y"`,
		"command: x\nqueue_settings: {priority: urgent}": `priority is "urgent"`,
	} {
		if got, err := readJob(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v and %v; the refusal says nothing of %q", text, got, err, want)
		}
	}
}

func TestFieldsThatAreSet(t *testing.T) {
	for _, c := range []struct{ file, pairs, want string }{
		{"command: x\ninputs: {epochs: 5}", "inputs.epochs=7", `{"command":"x","inputs":{"epochs":7}}`},
		{"command: x", "inputs.data={type: uri_file, path: a.csv}|tags.a=b", `{"command":"x","inputs":{"data":{"type":"uri_file","path":"a.csv"}},"tags":{"a":"b"}}`},
		{"environment: azureml:a:1", "environment.image=b:1", `{"environment":{"image":"b:1"}}`},
		{"command: x", "command=echo a=b", `{"command":"echo a=b"}`},
		{"list: [{a: 1}, 2]", "list[0].a=3|list[1]=4", `{"list":[{"a":3},4]}`},
		{"command: x", "a=|b=true|c=\"5\"", `{"command":"x","a":null,"b":true,"c":"5"}`},
	} {
		given, err := document.DecodeYAML([]byte(c.file))
		if err != nil {
			t.Fatal(err)
		}
		if err := setInto(given, strings.Split(c.pairs, "|")); err != nil {
			t.Errorf("%s: %v", c.pairs, err)
			continue
		}
		sameJSON(t, given, c.want)
	}
	for _, bad := range []string{"a", "=b", "a..b=c", "list[3]=x", "a={", "a=: b: c", "a.=1", "x=1\ny: 2"} {
		given := document.New("list", []any{1})
		if err := setInto(given, []string{bad}); err == nil {
			t.Errorf("%q is taken: %v", bad, given)
		}
	}
}

// Whatever a file says and whatever is set in it, the answer is a job or a refusal.
func FuzzJobFile(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/jobs/command.txtar")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive.Files[0].Data, "inputs.rate=5")
	f.Add([]byte("type: pipeline\njobs:\n  a:\n    command: x\n    inputs:\n      b: ${{parent.inputs.c}}\n"), "jobs.a.compute=azureml:cpu")
	f.Add([]byte("command: x\ninputs: {a: 1, a: 2}"), "a[0]=1")
	f.Fuzz(func(t *testing.T, text []byte, pair string) {
		given, err := document.DecodeYAML(text)
		if err != nil {
			return
		}
		if err := setInto(given, []string{pair}); err != nil {
			return
		}
		got, err := jobFile{folder: ".", assets: named{}}.properties(given)
		if err != nil {
			return
		}
		encoded, err := got.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := document.DecodeObject(encoded)
		if err != nil {
			t.Fatalf("%v in %s", err, encoded)
		}
		if twice, err := again.MarshalJSON(); err != nil || !bytes.Equal(twice, encoded) {
			t.Fatalf("%s becomes %s, %v", encoded, twice, err)
		}
		jobDocument(document.New("properties", got))
	})
}

func TestNewNamesOfJobs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		name := newJobName()
		if seen[name] || len(name) != 20 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz234567-") != "" {
			t.Fatalf("the name %q", name)
		}
		seen[name] = true
	}
}

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
	}
}
