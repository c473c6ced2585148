package machinelearning_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// step is a step of a pipeline on the cluster of a jobWorld, which reads what other steps write and writes a folder itself.
func step(reads ...string) object {
	inputs := object{}
	for _, other := range reads {
		inputs["from_"+other] = object{"jobInputType": "uri_folder", "uri": "${{parent.jobs." + other + ".outputs.made}}"}
	}
	return object{"type": "command", "command": "task run", "environmentId": "azureml:task:1", "inputs": inputs, "outputs": object{"made": object{}}}
}

// diamond has a step before and one after two that can run at once.
func diamond() object {
	return object{"a": step(), "b": step("a"), "c": step("a"), "d": step("b", "c")}
}

func pipelineOf(jobs object, more ...object) object {
	return object{"properties": and(append([]object{{"jobType": "Pipeline", "settings": object{"default_compute": "azureml:cpu"}, "jobs": jobs}}, more...)...)}
}

// workers end the jobs of steps, as the handlers of command jobs would.
type workers struct {
	*jobWorld
	mu    sync.Mutex
	fails map[string]bool // by step
	holds map[string]bool // steps that run until they are told to end
	ended []string        // steps, in order
}

// work ends what can be ended now.
func (w *workers) work() {
	docs, err := w.store.List(context.Background(), store.Query{Kind: jobID("x").Type().Key()})
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, doc := range docs {
		var r object
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			w.t.Error(err)
		}
		properties := r["properties"].(object)
		own, _ := properties["properties"].(object)
		name, isStep := own["azureml.stepname"].(string)
		status := properties["status"].(string)
		switch {
		case !isStep || slices.Contains([]string{"Completed", "Failed", "Canceled"}, status):
			continue
		case status == "CancelRequested":
			properties["status"] = "Canceled"
		case w.holds[name]:
			continue
		case w.fails[name]:
			properties["status"], properties["error"] = "Failed", object{"code": "UserProcessFailed", "message": "It exited with 1."}
		default:
			properties["status"] = "Completed"
		}
		body, err := json.Marshal(r)
		if err != nil {
			w.t.Error(err)
		}
		if _, err := w.store.Apply(context.Background(), store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag}); err == nil {
			w.ended = append(w.ended, name)
		}
	}
}

// conduct has a server of a life carry a pipeline out until it is done or the server is killed.
func (w *workers) conduct(l *life, name string) error {
	w.t.Helper()
	runner, _ := w.server(l)
	pipelines, err := machinelearning.OpenPipelines(w.store, runner)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := json.Marshal(jobID(name))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(w.t.Context(), time.Minute)
	defer stop()
	working := make(chan struct{})
	go func() {
		defer close(working)
		for ctx.Err() == nil {
			w.work()
			time.Sleep(200 * time.Microsecond)
		}
	}()
	err = pipelines.Run(ctx, store.Job{Body: body, Attempt: 1, MaxAttempts: 1000})
	stop()
	<-working
	return err
}

func newWorkers(t testing.TB) *workers {
	w := &workers{jobWorld: newJobs(t), fails: map[string]bool{}, holds: map[string]bool{}}
	runner, launcher := w.server(&life{})
	w.deps.Runner.Launcher = launcher
	w.deps.Runner.Manager, w.deps.Runner.Nodes, w.deps.Runner.Logs, w.deps.Runner.Clock = w.manager, runner.Nodes, w.logs, time.Now
	return w
}

// steps gives the jobs of a pipeline's steps, by the steps' names, each with its state.
func (w *workers) steps(pipeline string) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	list, _ := w.must("GET", ws+"/jobs?parentJobName="+pipeline, nil).get("value").([]any)
	for _, item := range list {
		p := answer{Body: item.(object)}
		properties := p.get("properties.properties").(object)
		out[properties["azureml.stepname"].(string)] = p.text("properties.status")
		if properties["azureml.pipelinerunid"] != pipeline {
			w.t.Errorf("a step of another pipeline: %v", properties)
		}
	}
	return out
}

func (w *workers) want(pipeline, status string, steps map[string]string) {
	w.t.Helper()
	if got := w.steps(pipeline); w.status(pipeline) != status || fmt.Sprint(got) != fmt.Sprint(steps) {
		w.t.Errorf("the pipeline %s is %s with %v; want %s with %v", pipeline, w.status(pipeline), got, status, steps)
	}
}

// A pipeline's steps run in the order of their data, each as a job of its own that says whose it is.
func TestPipeline(t *testing.T) {
	w := newWorkers(t)
	made := w.must("PUT", ws+"/jobs/p", pipelineOf(object{
		"prepare": object{"type": "command", "command": "prep ${{inputs.rate}} ${{inputs.rows}}", "environment_id": "azureml:task:1", "inputs": object{"rate": "${{parent.inputs.rate}}", "rows": object{"path": "${{parent.inputs.rows}}"}}, "outputs": object{"clean": object{}}},
		"train":   object{"type": "command", "command": "train ${{inputs.clean}}", "environment": "azureml:task:1", "inputs": object{"clean": object{"value": "${{parent.jobs.prepare.outputs.clean}}"}}, "outputs": object{"model": object{"type": "mlflow_model", "path": "${{parent.outputs.model}}"}}},
	}, object{
		"inputs":  object{"rate": object{"jobInputType": "literal", "value": "0.1"}, "rows": object{"jobInputType": "uri_file", "uri": blobs + "rows.csv"}},
		"outputs": object{"model": object{"jobOutputType": "mlflow_model"}}, "experimentName": "trains", "tags": object{"a": "b"},
	}))
	const model = "azureml://datastores/workspaceblobstore/paths/azureml/p/model/"
	if made.Status != http.StatusCreated || made.text("properties.status") != "Queued" || made.text("properties.outputs.model.uri") != model || made.get("properties.parts") != nil {
		t.Errorf("submitted: %d %s", made.Status, made.Raw)
	}
	if err := w.conduct(&life{}, "p"); err != nil {
		t.Fatal(err)
	}
	w.want("p", "Completed", map[string]string{"prepare": "Completed", "train": "Completed"})
	if !slices.Equal(w.ended, []string{"prepare", "train"}) {
		t.Errorf("the steps ended as %v", w.ended)
	}
	prepare, train := w.must("GET", ws+"/jobs/p-prepare", nil), w.must("GET", ws+"/jobs/p-train", nil)
	if prepare.text("properties.inputs.rate.value") != "0.1" || prepare.text("properties.inputs.rows.uri") != blobs+"rows.csv" || prepare.text("properties.inputs.rows.jobInputType") != "uri_file" ||
		prepare.text("properties.experimentName") != "trains" || prepare.text("properties.displayName") != "prepare" || prepare.text("properties.jobType") != "Command" {
		t.Errorf("the first step: %s", prepare.Raw)
	}
	const clean = "azureml://datastores/workspaceblobstore/paths/azureml/p-prepare/clean/"
	if prepare.text("properties.outputs.clean.uri") != clean || train.text("properties.inputs.clean.uri") != clean || train.text("properties.inputs.clean.jobInputType") != "uri_folder" || train.text("properties.outputs.model.uri") != model {
		t.Errorf("the second step: %s", train.Raw)
	}
	whole := w.must("GET", ws+"/jobs/p", nil)
	steps, _ := whole.get("properties.properties").(object)
	if steps["alvara.steps"] != "2 of 2" || whole.text("properties.startTime") == "" || whole.text("properties.endTime") == "" || whole.get("properties.error") != nil {
		t.Errorf("the pipeline: %s", whole.Raw)
	}
	if log := w.must("GET", ws+"/jobs/p/logs", nil).Raw; !strings.Contains(log, "prepare begins as the job p-prepare") || !strings.Contains(log, "The pipeline is Completed") {
		t.Errorf("the log: %s", log)
	}
	if followed := w.must("GET", ws+"/jobs/p/logs?follow=true", nil).Raw; !strings.Contains(followed, "The pipeline is Completed") {
		t.Errorf("the log as it comes: %s", followed)
	}
	if list := w.must("GET", ws+"/jobs?properties=azureml.pipelinerunid=p&jobType=Command", nil); list.count("value") != 2 {
		t.Errorf("the steps by their property: %s", list.Raw)
	}
	w.must("PUT", ws+"/jobs/short", pipelineOf(object{"a": step()}))
	if err := w.conduct(&life{}, "short"); err != nil {
		t.Fatal(err)
	}
	if size, err := w.logs.Size(jobID("short"), "head"); err != nil || size == 0 {
		t.Errorf("the log has %d bytes: %v", size, err)
	}
	w.must("DELETE", ws+"/jobs/short", nil)
	for range 500 {
		if size, _ := w.logs.Size(jobID("short"), "head"); size == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if size, _ := w.logs.Size(jobID("short"), "head"); size != 0 {
		t.Errorf("the log outlives the pipeline: %d bytes", size)
	}
	refused(t, "another job in its place", w.do("PUT", ws+"/jobs/p", pipelineOf(diamond())), 409, "JobImmutable", "properties.")
	w.submit("x-y", "task run")
	refused(t, "a step that is there already", w.do("PUT", ws+"/jobs/x", pipelineOf(object{"y": step()})), 409, "JobExists", "x-y", "step y")
}

// A job that somebody else puts where a step's is to be is not taken for the step's, and nobody can say of a job that it is one.
func TestStepsThatOthersSubmit(t *testing.T) {
	w := newWorkers(t)
	w.must("PUT", ws+"/jobs/p", pipelineOf(object{
		"first":  object{"type": "command", "command": "task run", "environment_id": "azureml:task:1", "outputs": object{"made": object{}}},
		"second": object{"type": "command", "command": "task ${{inputs.made}}", "environment_id": "azureml:task:1", "inputs": object{"made": "${{parent.jobs.first.outputs.made}}"}},
	}))
	for _, name := range []string{"azureml.pipelinerunid", "azureml.stepname"} {
		body := command(object{"properties": object{name: "p"}})
		refused(t, "a job that says it is a step", w.do("PUT", ws+"/jobs/p-second", body), 400, "InvalidJob", name)
	}
	w.submit("p-second", "task run")
	if err := w.conduct(&life{}, "p"); err != nil {
		t.Fatal(err)
	}
	whole := w.must("GET", ws+"/jobs/p", nil)
	if whole.text("properties.status") != "Failed" || !strings.Contains(whole.text("properties.error.message"), "not this step's") {
		t.Errorf("the pipeline: %s", whole.Raw)
	}
	// One that is put in the place of a step's while it runs is not taken for it either.
	w.holds["first"] = true
	w.must("PUT", ws+"/jobs/q", pipelineOf(object{"first": step()}))
	done := make(chan error, 1)
	go func() { done <- w.conduct(&life{}, "q") }()
	for w.do("GET", ws+"/jobs/q-first", nil).Status != 200 {
		time.Sleep(time.Millisecond)
	}
	w.replaced("q-first")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	whole = w.must("GET", ws+"/jobs/q", nil)
	if whole.text("properties.status") != "Failed" || !strings.Contains(whole.text("properties.error.message"), "was deleted") {
		t.Errorf("the pipeline: %s", whole.Raw)
	}
}

// mark writes a state into a job, as a run would.
func (w *workers) mark(name, status string) {
	w.t.Helper()
	w.edit(name, func(properties object) { properties["status"] = status })
}

// replaced puts another job, which has completed, in the place of one, in one change, as the quickest of strangers would.
func (w *workers) replaced(name string) {
	w.t.Helper()
	w.edit(name, func(properties object) {
		delete(properties, "stepOf")
		delete(properties, "properties")
		properties["status"] = "Completed"
	})
}

func (w *workers) edit(name string, change func(properties object)) {
	w.t.Helper()
	for {
		doc, err := w.store.Get(context.Background(), jobID(name).Key())
		if err != nil {
			w.t.Fatal(err)
		}
		var r object
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			w.t.Fatal(err)
		}
		change(r["properties"].(object))
		body, err := json.Marshal(r)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.store.Apply(context.Background(), store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag}); err == nil {
			return
		}
	}
}

// Wherever a server is killed, the next one brings the pipeline to the end that it would have had, and no step runs twice.
func TestPipelinesSurviveEveryCrash(t *testing.T) {
	every := 1
	if testing.Short() {
		every = 3
	}
	for _, after := range []bool{false, true} {
		for end := 1; ; end += every {
			what := fmt.Sprintf("killed at call %d (after it: %t)", end, after)
			w := newWorkers(t)
			w.must("PUT", ws+"/jobs/p", pipelineOf(diamond()))
			first := &life{end: end, after: after}
			err := w.conduct(first, "p")
			if first.killed == (err == nil) && w.status("p") != "Completed" {
				t.Fatalf("%s: %v", what, err)
			}
			if err := w.conduct(&life{}, "p"); err != nil {
				t.Errorf("%s: the next server says %v", what, err)
			}
			w.want("p", "Completed", map[string]string{"a": "Completed", "b": "Completed", "c": "Completed", "d": "Completed"})
			slices.Sort(w.ended[1:3])
			if !slices.Equal(w.ended, []string{"a", "b", "c", "d"}) {
				t.Errorf("%s: the steps ended as %v", what, w.ended)
			}
			if !first.killed {
				if end < 8 {
					t.Errorf("a whole pipeline takes %d calls", end)
				}
				break
			}
		}
	}
}

// A failed step stops the pipeline, or, where that is asked for, only what reads of it. Trying again runs what did not complete, and reads
// the rest from where it is.
func TestPipelineFailureAndRetry(t *testing.T) {
	w := newWorkers(t)
	w.fails["b"] = true
	w.holds["c"] = true
	jobs := diamond()
	jobs["a"].(object)["outputs"] = object{"made": object{"uri": "${{parent.outputs.first}}"}}
	w.must("PUT", ws+"/jobs/p", pipelineOf(jobs, object{"outputs": object{"first": object{}}}))
	if err := w.conduct(&life{}, "p"); err != nil {
		t.Fatal(err)
	}
	w.want("p", "Failed", map[string]string{"a": "Completed", "b": "Failed", "c": "Canceled"})
	whole := w.must("GET", ws+"/jobs/p", nil)
	if whole.text("properties.error.code") != "StepFailed" || !strings.Contains(whole.text("properties.error.message"), "The step b (job p-b) failed: It exited with 1") {
		t.Errorf("the pipeline: %s", whole.Raw)
	}
	w.fails, w.holds = map[string]bool{}, map[string]bool{}
	again := w.must("POST", ws+"/jobs/p/retry", object{"name": "q"})
	if again.text("properties.outputs.first.uri") != whole.text("properties.outputs.first.uri") {
		t.Errorf("the output of what is not run again: %s", again.Raw)
	}
	w.ended = nil
	if err := w.conduct(&life{}, "q"); err != nil {
		t.Fatal(err)
	}
	w.want("q", "Completed", map[string]string{"b": "Completed", "c": "Completed", "d": "Completed"})
	if b := w.must("GET", ws+"/jobs/q-b", nil); b.text("properties.inputs.from_a.uri") != whole.text("properties.outputs.first.uri") {
		t.Errorf("a step that reads what was there: %s", b.Raw)
	}
	// Where the job of a step is gone, the step runs again, and with it all that reads of it.
	w.must("DELETE", ws+"/jobs/q-b", nil)
	w.must("POST", ws+"/jobs/q/retry", object{"name": "r"})
	if err := w.conduct(&life{}, "r"); err != nil {
		t.Fatal(err)
	}
	w.want("r", "Completed", map[string]string{"b": "Completed", "d": "Completed"})
	if d := w.must("GET", ws+"/jobs/r-d", nil); !strings.Contains(d.text("properties.inputs.from_c.uri"), "/q-c/") || !strings.Contains(d.text("properties.inputs.from_b.uri"), "/r-b/") {
		t.Errorf("what the last step reads: %s", d.Raw)
	}

	// Where somebody put another job in the place of a step's, the step runs again; what is reused a second time is known still.
	w.must("DELETE", ws+"/jobs/r-b", nil)
	w.submit("r-b", "task run")
	w.mark("r-b", "Completed")
	w.must("POST", ws+"/jobs/r/retry", object{"name": "u"})
	if err := w.conduct(&life{}, "u"); err != nil {
		t.Fatal(err)
	}
	w.want("u", "Completed", map[string]string{"b": "Completed", "d": "Completed"})
	if d := w.must("GET", ws+"/jobs/u-d", nil); !strings.Contains(d.text("properties.inputs.from_c.uri"), "/q-c/") || !strings.Contains(d.text("properties.inputs.from_b.uri"), "/u-b/") {
		t.Errorf("what the last step reads: %s", d.Raw)
	}

	w.fails["b"] = true
	w.must("PUT", ws+"/jobs/s", pipelineOf(diamond(), object{"settings": object{"defaultComputeId": "cpu", "continueOnStepFailure": true}}))
	if err := w.conduct(&life{}, "s"); err != nil {
		t.Fatal(err)
	}
	w.want("s", "Failed", map[string]string{"a": "Completed", "b": "Failed", "c": "Completed"})
	// What may not be submitted any more fails, and says why.
	w.fails["b"] = false
	who := w.person("scientist")
	role := w.grant(who, roleDataScientist, ws)
	if got := w.as(who, "PUT", ws+"/jobs/t", pipelineOf(diamond())); got.Status != 201 {
		t.Fatalf("a data scientist: %d %s", got.Status, got.Raw)
	}
	w.must("DELETE", role, nil)
	if err := w.conduct(&life{}, "t"); err != nil {
		t.Fatal(err)
	}
	w.want("t", "Failed", map[string]string{})
	if got := w.must("GET", ws+"/jobs/t", nil); !strings.Contains(got.text("properties.error.message"), "jobs/write") {
		t.Errorf("without the right: %s", got.Raw)
	}
}

const roleDataScientist = "f6c7c914-8db3-469d-8ca1-694a8f32e121"

// Cancelling a pipeline, or deleting it, stops its steps.
func TestPipelineCancel(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		w := newWorkers(t)
		w.holds["b"] = true
		w.must("PUT", ws+"/jobs/p", pipelineOf(diamond()))
		done := make(chan error, 1)
		go func() { done <- w.conduct(&life{}, "p") }()
		for w.steps("p")["c"] != "Completed" {
			time.Sleep(time.Millisecond)
		}
		if w.status("p") != "Running" {
			t.Errorf("the pipeline is %s", w.status("p"))
		}
		if deleted {
			w.must("DELETE", ws+"/jobs/p", nil)
		} else {
			if got := w.send(w.owner, "POST", ws+"/jobs/p/cancel", nil); got.Status != http.StatusAccepted {
				t.Errorf("cancel: %d %s", got.Status, got.Raw)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.work()
		if got := w.steps("p"); got["b"] != "Canceled" || got["d"] != "" || got["c"] != "Completed" {
			t.Errorf("the steps: %v", got)
		}
		if !deleted && w.status("p") != "Canceled" {
			t.Errorf("the pipeline is %s", w.status("p"))
		}
	}
}

// A pipeline is checked whole before anything of it begins, and a refusal says which step it is about.
func TestPipelineRefusals(t *testing.T) {
	w := newWorkers(t)
	with := func(name string, change object) object {
		jobs := diamond()
		jobs[name] = and(jobs[name].(object), change)
		return pipelineOf(jobs)
	}
	from := func(text string) object { return object{"inputs": object{"x": text}} }
	for _, c := range []struct {
		what  string
		body  object
		code  string
		wants []string
	}{
		{"no steps", pipelineOf(object{}), "InvalidPipeline", []string{"properties.jobs"}},
		{"a name", pipelineOf(object{"a-b": step()}), "InvalidPipeline", []string{"properties.jobs.a-b"}},
		{"names that differ in case", pipelineOf(object{"a": step(), "A": step()}), "InvalidRequestContent", []string{"properties.jobs.a"}},
		{"a cycle", pipelineOf(object{"a": step("c"), "b": step("a"), "c": step("b"), "d": step()}), "PipelineCycle", []string{"a → c → b → a"}},
		{"a step that reads itself", pipelineOf(object{"a": step("a")}), "PipelineCycle", []string{"a → a"}},
		{"an unknown step", with("b", from("${{parent.jobs.z.outputs.made}}")), "InvalidBinding", []string{"properties.jobs.b.inputs.x", `"z"`, "a, b, c, d"}},
		{"an unknown output", with("b", from("${{parent.jobs.a.outputs.z}}")), "InvalidBinding", []string{"step a", "it has made"}},
		{"an unknown input", with("b", from("${{parent.inputs.z}}")), "InvalidBinding", []string{"it has none"}},
		{"an output as an input", with("b", from("${{parent.outputs.z}}")), "InvalidBinding", []string{"parent.outputs.z"}},
		{"a part of a value", with("b", from("x/${{parent.inputs.z}}")), "InvalidBinding", []string{"nothing beside it"}},
		{"an unknown output of the pipeline", with("b", object{"outputs": object{"o": "${{parent.outputs.z}}"}}), "InvalidBinding", []string{"properties.jobs.b.outputs.o"}},
		{"an input as an output", with("d", object{"outputs": object{"o": "${{parent.inputs.z}}"}}), "InvalidBinding", []string{"properties.jobs.d.outputs.o"}},
		{"an output that nobody writes", pipelineOf(diamond(), object{"outputs": object{"o": object{}}}), "InvalidPipeline", []string{"properties.outputs.o", "written by no step"}},
		{"two that write one output", pipelineOf(object{"a": and(step(), object{"outputs": object{"o": "${{parent.outputs.o}}"}}), "b": and(step(), object{"outputs": object{"o": "${{parent.outputs.o}}"}})}, object{"outputs": object{"o": object{}}}), "InvalidBinding", []string{"same output"}},
		{"a step without a command", with("c", object{"command": ""}), "InvalidJob", []string{"properties.jobs.c.command"}},
		{"a step's environment", with("c", object{"environmentId": "azureml:none:1"}), "EnvironmentNotFound", []string{"properties.jobs.c.environmentId"}},
		{"too many nodes", with("c", object{"resources": object{"instanceCount": 9}}), "TooManyNodes", []string{"properties.jobs.c.resources.instanceCount"}},
		{"a kind of steps", with("c", object{"type": "sweep"}), "JobTypeNotSupported", []string{"properties.jobs.c.type"}},
		{"a field", with("c", object{"comand": "x"}), "InvalidPipeline", []string{"properties.jobs.c.comand"}},
		{"no compute", pipelineOf(diamond(), object{"settings": nil}), "ComputeRequired", []string{"properties.jobs.a.computeId"}},
		{"a setting", pipelineOf(diamond(), object{"settings": object{"on_init": "x"}}), "NotSupported", []string{"properties.settings.onInit"}},
		{"a datastore", pipelineOf(diamond(), object{"settings": object{"default_datastore": "azureml:mine"}}), "NotSupported", []string{"defaultDatastore"}},
		{"a command of its own", pipelineOf(diamond(), object{"command": "x"}), "InvalidPipeline", []string{"properties.command"}},
		{"an input without a type", pipelineOf(diamond(), object{"inputs": object{"x": object{}}}), "InvalidJob", []string{"properties.inputs.x"}},
		{"files for nobody", pipelineOf(diamond(), object{"identity": object{"identityType": "AMLToken"}}), "IdentityRequired", []string{"properties.jobs.a.outputs.made"}},
	} {
		got := w.do("PUT", ws+"/jobs/bad", c.body)
		status := map[string]int{"EnvironmentNotFound": 404}[c.code]
		if status == 0 {
			status = 400
		}
		refused(t, c.what, got, status, c.code, c.wants...)
	}
	if list := w.must("GET", ws+"/jobs?listViewType=All", nil); list.count("value") != 0 {
		t.Errorf("jobs of what was refused: %s", list.Raw)
	}
	who := w.person("submitter")
	w.grant(who, w.role("Jobs", string(jobID("x").Type())+"/*"), ws)
	refused(t, "who may not see the compute", w.as(who, "PUT", ws+"/jobs/bad", pipelineOf(diamond())), 403, "LinkedAuthorizationFailed", "computes/read", "environments/read")
	if _, err := w.store.Get(t.Context(), jobID("bad").Key()); resource.KindOf(err) != resource.NotFound {
		t.Errorf("what was refused is there: %v", err)
	}
}
