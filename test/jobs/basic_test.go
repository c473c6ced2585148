package jobs

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

// A job's words, what it measures and what it leaves, and what may change about it afterwards.
func TestJob(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.ready()
	hello := object{
		"inputs":               object{"who": object{"jobInputType": "literal", "value": "world"}},
		"environmentVariables": object{"GREETING": "hi ${{inputs.who}}"}, "tags": object{"of": "tests"},
	}
	const command = "task say hello ${{ inputs.who }} then env GREETING then env AZUREML_RUN_ID then metric loss 0.5 then metric loss 0.25 then write outputs/model/weights.bin 1 2 3"
	ended, log := w.run("hello", "Completed", command, hello)
	id := ended.Text("id")
	w.has("the log", log, "\nhello world\nGREETING=hi world\nAZUREML_RUN_ID=hello\n")
	if !strings.HasSuffix(log, "The job is completed.\n") {
		t.Errorf("the log does not end with the job: %s", log)
	}
	properties, _ := ended.Get("properties.properties").(object)
	for name, want := range map[string]string{"alvara.isolation": "sandbox", "alvara.exitCode": "0", "alvara.nodes": "1", "alvara.attempt": "1", "alvara.image": w.image} {
		if properties[name] != want {
			t.Errorf("%s is %v; want %s", name, properties[name], want)
		}
	}
	if digest, _ := properties["alvara.imageDigest"].(string); !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("the digest is %q", digest)
	}
	if ended.Text("properties.startTime") == "" || ended.Text("properties.endTime") < ended.Text("properties.startTime") {
		t.Errorf("the job has run from %s to %s", ended.Text("properties.startTime"), ended.Text("properties.endTime"))
	}
	for _, hidden := range []string{`"run":`, `"work":`, `"parts":`, "submitter"} {
		if strings.Contains(string(ended.Raw), hidden) {
			t.Errorf("the job shows %s", hidden)
		}
	}
	metrics := w.must("GET", id+"/metrics", nil)
	if list, _ := metrics.Get("value").([]any); len(list) != 2 || list[1].(object)["value"] != 0.25 {
		t.Errorf("the metrics are %s", metrics.Raw)
	}
	if more := w.must("GET", id+"/metrics?offset=28", nil); !strings.Contains(string(more.Raw), `"value":0.25`) || strings.Contains(string(more.Raw), `"value":0.5}`) {
		t.Errorf("the metrics from the second on are %s", more.Raw)
	}
	w.has("the artifacts", string(w.must("GET", id+"/artifacts", nil).Raw), `{"path":"outputs/model/weights.bin","size":5}`)
	if content := w.must("GET", id+"/artifacts/content?path=outputs/model/weights.bin", nil); string(content.Raw) != "1 2 3" || content.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("the artifact is %q %v", content.Raw, content.Header)
	}
	for _, path := range []string{"outputs/none", "outputs/../code/x", "/etc/passwd", "model/weights.bin"} {
		refused(t, path, w.admin.Do("GET", id+"/artifacts/content?path="+path, nil), 404, "ArtifactNotFound")
	}
	for _, name := range []string{"none", "a%00b", "%2e%2e", "a%0Ab"} { // names that no job can have are answered like those that none has
		refused(t, name, w.admin.Do("GET", id[:strings.LastIndex(id, "/")+1]+name+"/artifacts/content?path=x", nil), 404, "ResourceNotFound")
	}
	refused(t, "a negative offset", w.admin.Do("GET", id+"/logs?offset=-1", nil), 400, "InvalidParameter")
	refused(t, "a node that is not there", w.admin.Do("GET", id+"/logs?node=1", nil), 400, "InvalidParameter", "1 nodes")
	if node := w.must("GET", id+"/logs?node=0", nil); !strings.HasPrefix(string(node.Raw), "hello world\n") || strings.Contains(string(node.Raw), "completed") {
		t.Errorf("the node has written %q", node.Raw)
	}
	if rest := w.must("GET", id+"/logs?follow=true&offset=5", nil); string(rest.Raw) != log[5:] {
		t.Errorf("following from 5 gives %q", rest.Raw)
	}

	// What was left is in the workspace's datastore too.
	artifacts := w.must("GET", w.ws+"/datastores/workspaceartifactstore", nil)
	base := w.env.Server.Endpoints.Blob + "/" + artifacts.Text("properties.accountName") + "/" + artifacts.Text("properties.containerName") + "/ExperimentRun/dcid.hello/"
	w.admin.Grant(w.must("GET", w.ws, nil).Text("identity.principalId"), access.RoleReader, w.ws)
	reader := w.env.ServicePrincipal("auditor")
	w.admin.Grant(reader.ObjectID, access.RoleStorageBlobDataReader, w.storage)
	for name, want := range map[string]string{"outputs/model/weights.bin": "1 2 3", "user_logs/std_log.txt": "hello world\nGREETING=hi world\nAZUREML_RUN_ID=hello\n"} {
		if got := reader.Send("GET", base+name, testenv.Storage, nil); string(got.Raw) != want {
			t.Errorf("%s is %d %q", name, got.Status, got.Raw)
		}
	}

	// The same again is the same; another command is another job.
	if again := w.admin.Do("PUT", id, job(command, hello)); again.Status != 200 || again.Text("properties.status") != "Completed" {
		t.Errorf("the same job again: %d %s", again.Status, again.Raw)
	}
	refused(t, "another command", w.admin.Do("PUT", id, job("task say bye", hello)), 409, "JobImmutable", "properties.command")
	changed := w.must("PATCH", id, object{"properties": object{"description": "a test", "tags": object{"of": "nobody"}, "isArchived": true}})
	if changed.Text("properties.description") != "a test" || changed.Text("properties.tags.of") != "nobody" || changed.Text("properties.command") != command {
		t.Errorf("the words of the job are %s", changed.Raw)
	}
	count := func(query string) int {
		list, _ := w.must("GET", w.ws+"/jobs?"+query, nil).Get("value").([]any)
		return len(list)
	}
	for query, want := range map[string]int{"listViewType=ActiveOnly": 0, "listViewType=ArchivedOnly": 1, "listViewType=All&tag=of=nobody&status=Completed": 1, "listViewType=All&status=Failed": 0, "listViewType=All&jobType=Pipeline": 0} {
		if got := count(query); got != want {
			t.Errorf("the list %s has %d jobs; want %d", query, got, want)
		}
	}
	if gone := w.admin.Do("DELETE", id, nil); gone.Status != 200 {
		t.Errorf("deleting: %d %s", gone.Status, gone.Raw)
	}
	_, log = w.run("hello", "Completed", "task say again", nil)
	if strings.Contains(log, "world") {
		t.Errorf("a job of the same name has the old one's log: %s", log)
	}
}

// Code is read as the submitter; inputs and outputs as the job's identity.
func TestJobFiles(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	principal := w.ready()
	w.admin.Grant(w.admin.PrincipalID(), access.RoleStorageBlobDataContributor, w.storage)
	w.file("data/a.txt", "alpha")
	w.file("data/deep/b.txt", "beta")
	w.file("src/config.txt", "the code")
	account := w.must("GET", w.ws+"/datastores/workspaceblobstore", nil)
	url := w.env.Server.Endpoints.Blob + "/" + account.Text("properties.accountName") + "/" + account.Text("properties.containerName")
	w.must("PUT", w.ws+"/codes/src/versions/1", object{"properties": object{"codeUri": url + "/src"}})
	w.must("PUT", w.ws+"/data/table/versions/1", object{"properties": object{"dataType": "uri_folder", "dataUri": "azureml://datastores/workspaceblobstore/paths/data/"}})
	files := object{
		"codeId": "azureml:src:1",
		"inputs": object{
			"one":  object{"jobInputType": "uri_file", "uri": url + "/data/a.txt"},
			"all":  object{"jobInputType": "uri_folder", "uri": "azureml:table@latest", "mode": "ReadOnlyMount"},
			"name": object{"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/data", "mode": "Direct"},
		},
		"outputs": object{"made": object{"jobOutputType": "uri_folder"}, "file": object{"jobOutputType": "uri_file", "uri": "azureml://datastores/workspaceblobstore/paths/made/one.txt"}},
	}
	const command = "task cat config.txt then cat ${{inputs.one}} then cat ${{inputs.all}}/deep/b.txt then say ${{inputs.name}} then write ${{outputs.made}}/x/y.txt gamma then write ${{outputs.file}} delta"
	failed, _ := w.run("unread", "Failed", command, files)
	w.has("the refusal", failed.Text("properties.error.message"), principal, "Storage Blob Data")
	w.admin.Grant(principal, access.RoleStorageBlobDataContributor, w.storage)
	ended, log := w.run("read", "Completed", command, files)
	w.has("the log", log, "the code\nalpha\nbeta\nazureml://datastores/workspaceblobstore/paths/data\n")
	if uri := ended.Text("properties.outputs.made.uri"); uri != "azureml://datastores/workspaceblobstore/paths/azureml/read/made/" {
		t.Errorf("the output is at %s", uri)
	}
	for path, want := range map[string]string{"azureml/read/made/x/y.txt": "gamma", "made/one.txt": "delta"} {
		if got := w.admin.Send("GET", url+"/"+path, testenv.Storage, nil); string(got.Raw) != want {
			t.Errorf("%s is %d %q", path, got.Status, got.Raw)
		}
	}
	// One job reads what another wrote.
	_, log = w.run("next", "Completed", "task cat ${{inputs.made}}/x/y.txt", object{"inputs": object{"made": object{"jobInputType": "uri_folder", "uri": "azureml://jobs/read/outputs/made"}}})
	w.has("the next job's log", log, "gamma")

	// Who may not read the code does not get it read by the job.
	submitter := w.env.ServicePrincipal("submitter")
	w.admin.Grant(submitter.ObjectID, dataScientist, w.ws)
	if got := submitter.Do("PUT", w.ws+"/jobs/theirs", job("task cat config.txt", object{"codeId": "azureml:src:1"})); got.Status != 201 {
		t.Fatalf("submitting: %s", got.Raw)
	}
	failed = w.ended(w.ws+"/jobs/theirs", "Failed")
	w.has("the refusal", failed.Text("properties.error.message"), submitter.ObjectID)

	put := func(more object) testenv.Answer {
		return w.admin.Do("PUT", w.ws+"/jobs/refused", job("task say", more))
	}
	refused(t, "no such datastore", put(object{"inputs": object{"x": object{"jobInputType": "uri_file", "uri": "azureml://datastores/none/paths/x"}}}), 400, "DatastoreNotFound", "none")
	refused(t, "no such asset", put(object{"inputs": object{"x": object{"jobInputType": "uri_file", "uri": "azureml:none:1"}}}), 404, "AssetNotFound", "properties.inputs.x.uri")
	refused(t, "no such code", put(object{"codeId": "azureml:none:1"}), 404, "AssetNotFound", "properties.codeId")
	refused(t, "no such environment", put(object{"environmentId": "azureml:none:1"}), 404, "EnvironmentNotFound", "none:1")
	refused(t, "no such compute", put(object{"computeId": "none"}), 404, "ComputeNotFound", "none")
}
