package launch_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// MI-04: code, inputs and outputs are where they belong, and what the run leaves is delivered and kept.
func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.files.put("code/train.sh", "train")
		w.files.put("code/lib/x.py", "lib")
		w.files.put("data/rows.csv", "1,2,3")
		w.files.put("set/a/one", "1")
		w.files.put("set/two", "2")
		order := w.order()
		order.Code = []workload.File{{Account: "a", Container: "c", Path: "code", Folder: true, Who: &w.ben}}
		order.Inputs = []workload.File{{Name: "rows", Account: "a", Container: "c", Path: "data/rows.csv"}, {Name: "set", Account: "a", Container: "c", Path: "set/", Folder: true}}
		order.Outputs = []workload.File{{Name: "model", Account: "a", Container: "c", Path: "out/model", Folder: true}, {Name: "score", Account: "a", Container: "c", Path: "out/score.txt"},
			{Name: "none", Account: "a", Container: "c", Path: "out/none.txt"}, {Name: "empty", Account: "a", Container: "c", Path: "out/empty", Folder: true}}
		order.Values = map[string]string{"inputs.rate": "0.1", "inputs.nested": "${{inputs.rate}}"}
		order.Env = []string{"RATE=${{ inputs.rate }}", "ROWS=${{inputs.rows}}", "SSL_CERT_FILE=mine"}
		order.Command = w.order("pwd", "cat train.sh", "cat lib/x.py", "mode train.sh 0755", "cat ${{inputs.rows}}", "cat "+w.at(order, "inputs/rows"), "cat ${{inputs.set}}/a/one",
			"cat "+w.at(order, "inputs/set/two"), "say rate=${{inputs.rate}} ${{inputs.nested}}", "write ${{outputs.model}}/weights/w.bin learned", "write ${{outputs.score}} 0.9",
			"write outputs/plot.png plot", "write made-here x", "write "+w.at(order, "run/metrics.jsonl")+" {\"name\":\"loss\",\"value\":1}", "env").Command
		run, status, said := w.run(order)
		if status.State != job.Completed {
			t.Fatalf("%+v\n%s", status, said)
		}
		for _, want := range []string{w.at(order, "code") + "\ntrain\nlib\n1,2,3\n1,2,3\n1\n2\nrate=0.1 ${{inputs.rate}}\n", "\nRATE=0.1\n", "\nROWS=", "rows.csv\n", "\nSSL_CERT_FILE=mine\n",
			"\nALVARA_METRICS=" + w.at(order, "run/metrics.jsonl") + "\n", "\nALVARA_CODE=" + w.at(order, "code") + "\n", "\nALVARA_INPUTS=", "\nALVARA_OUTPUTS="} {
			if !strings.Contains("\n"+said, want) {
				t.Errorf("the run does not say %q:\n%s", want, said)
			}
		}
		if strings.Contains(said, "IDENTITY_") {
			t.Errorf("a run without tokens has an endpoint for them:\n%s", said)
		}
		var told []string
		for range 2 { // the second changes nothing
			w.must(run.Deliver(t.Context(), func(line string) { told = append(told, line) }))
		}
		if all := strings.Join(told, "\n"); !strings.Contains(all, "output none is not written") || !strings.Contains(all, "Wrote the output empty: 0 files") || !strings.Contains(all, w.ann.ID) || strings.Count(all, "Wrote the output model") != 1 {
			t.Errorf("told: %s", all)
		}
		for path, want := range map[string]string{"out/model/weights/w.bin": "learned", "out/score.txt": "0.9"} {
			if got, ok := w.files.has(path); !ok || got != want {
				t.Errorf("%s: %q %v", path, got, ok)
			}
		}
		for range 2 {
			w.kept(run)
			w.must(run.Release())
		}
		if _, err := os.Stat(filepath.Join(w.dir, "files", order.ID, "inputs")); err == nil {
			t.Error("released inputs are still there")
		}
		w.forget(run)
	})
}

// kept tells of artifacts and metrics that are not there.
func (w *world) kept(run workload.Launched) {
	w.t.Helper()
	artifacts, err := run.Artifacts()
	if err != nil || len(artifacts) != 1 || artifacts[0] != (workload.Artifact{Path: "plot.png", Size: 4}) {
		w.t.Errorf("artifacts: %v %v", artifacts, err)
	}
	file, err := run.OpenArtifact("plot.png")
	w.must(err)
	text, err := io.ReadAll(file)
	w.must(err)
	if w.must(file.Close()); string(text) != "plot" {
		w.t.Errorf("%q", text)
	}
	_, err = run.OpenArtifact("../made-here")
	isKind(w.t, err, resource.NotFound)
	var metrics strings.Builder
	if next, err := run.Metrics(0, &metrics); err != nil || next != int64(metrics.Len()) || metrics.String() != `{"name":"loss","value":1}` {
		w.t.Errorf("metrics: %q %d %v", &metrics, next, err)
	}
}

// forget forgets a run, of which nothing is left then.
func (w *world) forget(run workload.Launched) {
	w.t.Helper()
	if ids, err := w.launcher.List(); err != nil || len(ids) != 1 || ids[0] != run.ID() {
		w.t.Errorf("there are %v %v", ids, err)
	}
	for range 2 {
		w.must(w.launcher.Forget(run.ID()))
	}
	if ids, err := w.launcher.List(); err != nil || len(ids) != 0 {
		w.t.Errorf("after forgetting there are %v %v", ids, err)
	}
	_, err := w.launcher.Open(w.t.Context(), w.order())
	isKind(w.t, err, resource.NotFound)
}

// What cannot be is refused before anything begins, and leaves nothing.
func TestRefused(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.files.put("set/../../escape", "x")
		w.files.put("twice/a", "x")
		w.files.put("twice/a/b", "x")
		in := func(path string, folder bool) []workload.File {
			return []workload.File{{Name: "in", Account: "a", Container: "c", Path: path, Folder: folder}}
		}
		for name, c := range map[string]struct {
			spoil func(*workload.Order)
			kind  resource.Kind
			says  string
		}{
			"id":                  {func(o *workload.Order) { o.ID = "../x" }, resource.Invalid, "id"},
			"placeholder":         {func(o *workload.Order) { o.Command = append(o.Command, "${{inputs.nowhere}}") }, resource.Invalid, "inputs.nowhere"},
			"placeholder in env":  {func(o *workload.Order) { o.Env = []string{"X=${{outputs.gone}}"} }, resource.Invalid, "outputs.gone"},
			"variable":            {func(o *workload.Order) { o.Env = []string{"X"} }, resource.Invalid, "NAME=value"},
			"name of an input":    {func(o *workload.Order) { o.Inputs = []workload.File{{Name: "../x"}} }, resource.Invalid, "../x"},
			"name of an output":   {func(o *workload.Order) { o.Outputs = []workload.File{{Name: "a/b"}} }, resource.Invalid, "a/b"},
			"same name":           {func(o *workload.Order) { o.Inputs = append(in("x", false), in("y", false)...) }, resource.Invalid, "twice"},
			"nobody":              {func(o *workload.Order) { o.Inputs, o.Who = in("x", false), identity.Principal{} }, resource.Forbidden, "nobody"},
			"who may not":         {func(o *workload.Order) { o.Inputs, o.Who = in("x", false), identity.Principal{ID: "carl"} }, resource.Forbidden, "carl"},
			"no such file":        {func(o *workload.Order) { o.Inputs = in("nofile", false) }, resource.NotFound, "nofile"},
			"no such folder":      {func(o *workload.Order) { o.Inputs = in("nofolder", true) }, resource.NotFound, "nofolder"},
			"name that leads out": {func(o *workload.Order) { o.Inputs = in("set", true) }, resource.Invalid, "escape"},
			"file and folder":     {func(o *workload.Order) { o.Inputs = in("twice", true) }, resource.Invalid, "a file and a folder"},
			"spec of the backend": {func(o *workload.Order) { o.Nodes = -1 }, resource.Invalid, "Nodes"},
		} {
			t.Run(name, func(t *testing.T) {
				order := w.order("say x")
				c.spoil(&order)
				_, err := w.launcher.Launch(t.Context(), order, nil)
				isKind(t, err, c.kind, c.says)
				if ids, err := w.launcher.List(); err != nil || len(ids) != 0 {
					t.Errorf("left: %v %v", ids, err)
				}
			})
		}
		w.launcher.Limits.Bytes, w.launcher.Limits.Entries = 10, 3
		for name, text := range map[string]string{"big/a": "123456", "big/b": "123456", "many/1": "", "many/2": "", "many/3": "", "many/4": ""} {
			w.files.put(name, text)
		}
		for _, folder := range []string{"big", "many"} {
			order := w.order("say x")
			order.Inputs = in(folder, true)
			_, err := w.launcher.Launch(t.Context(), order, nil)
			isKind(t, err, resource.TooLarge, "the input in")
		}
		if _, err := os.Stat(filepath.Join(w.dir, "escape")); err == nil {
			t.Error("an input got out of its folder")
		}
	})
}

// A run is begun once, however often it is launched; whoever launches it again gets it, after a restart too.
func TestOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.files.put("code/x", "")
		order := w.order("write mark x", "sleep")
		first := w.launch(order)
		w.until(first, "sleeping")
		w.must(w.launcher.Close())
		w.launcher = w.open()
		for range 2 {
			again, err := w.launcher.Launch(t.Context(), order, nil)
			w.must(err)
			if text, err := os.ReadFile(filepath.Join(w.dir, "files", order.ID, "code/mark")); err != nil || string(text) != "x" {
				t.Errorf("it was begun again: %q %v", text, err)
			}
			err = again.Deliver(t.Context(), nil)
			isKind(t, err, resource.Conflict)
			isKind(t, again.Release(), resource.Conflict)
			isKind(t, again.Remove(), resource.Conflict)
		}
		other := w.order()
		_, err := w.launcher.Open(t.Context(), other)
		isKind(t, err, resource.NotFound)
		// What an attempt left that was cut off does not stand in the way.
		left := filepath.Join(w.dir, "files", other.ID, "inputs")
		w.must(os.MkdirAll(left, 0o700))
		w.must(os.WriteFile(filepath.Join(left, "rows"), []byte("half"), 0o600))
		other.Command = w.order("list " + w.at(other, "inputs")).Command
		if _, status, said := w.run(other); status.State != job.Completed || strings.Contains(said, "rows") {
			t.Errorf("%+v %s", status, said)
		}
	})
}
