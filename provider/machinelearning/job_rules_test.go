package machinelearning_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/workload"
)

// command is a command job with some properties changed; nil takes one out.
func command(changes object) object {
	properties := object{"jobType": "Command", "command": "task say hello", "environmentId": "azureml:task:1", "computeId": "cpu"}
	for name, value := range changes {
		if properties[name] = value; value == nil {
			delete(properties, name)
		}
	}
	return object{"properties": properties}
}

// documents are the keys of all that is kept of the workspace.
func (w *jobWorld) documents() string {
	w.t.Helper()
	var all []string
	for _, kind := range w.manager.Types() {
		docs, err := w.store.List(w.t.Context(), store.Query{Kind: kind.Key(), Prefix: strings.ToLower(group)})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, doc := range docs {
			all = append(all, doc.Key+" "+doc.ETag)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// Each rule refuses by its own name, with the field, and changes nothing.
func TestJobRules(t *testing.T) {
	w := newJobs(t)
	w.must("PUT", ws+"/computes/laptop", object{"location": "local", "properties": object{"computeType": "ComputeInstance"}})
	w.must("POST", ws+"/computes/laptop/stop", nil)
	w.must("PUT", workspaces+"other", object{"location": "local", "identity": object{"type": "SystemAssigned"}, "properties": object{}})
	in := func(input object) object { return object{"inputs": object{"x": input}} }
	out := func(output object) object { return object{"outputs": object{"x": output}} }
	resources := func(r object) object { return object{"resources": r} }
	before := w.documents()
	for name, c := range map[string]struct {
		changes object
		status  int
		code    string
		wants   []string
	}{
		"no type":                {object{"jobType": nil}, 400, "InvalidJobType", []string{"Command"}},
		"sweep":                  {object{"jobType": "Sweep"}, 400, "JobTypeNotSupported", []string{"Sweep", "Command"}},
		"automl":                 {object{"jobType": "AutoML"}, 400, "JobTypeNotSupported", []string{"AutoML"}},
		"spark":                  {object{"jobType": "Spark"}, 400, "JobTypeNotSupported", []string{"backfill"}},
		"unknown field":          {object{"comand": "x"}, 400, "", []string{"comand"}},
		"no command":             {object{"command": " "}, 400, "InvalidJob", []string{"properties.command"}},
		"long command":           {object{"command": strings.Repeat("x", 200<<10)}, 413, "CommandTooLong", nil},
		"unknown placeholder":    {object{"command": "task ${{inputs.missing}}"}, 400, "UnknownPlaceholder", []string{"inputs.missing", "none"}},
		"open placeholder":       {object{"command": "task ${{inputs.x"}, 400, "UnknownPlaceholder", nil},
		"placeholder of env":     {object{"environmentVariables": object{"A": "${{outputs.gone}}"}}, 400, "UnknownPlaceholder", []string{"environmentVariables.A", "outputs.gone"}},
		"variable's name":        {object{"environmentVariables": object{"A B": "x"}}, 400, "InvalidJob", []string{"A B"}},
		"own variable":           {object{"environmentVariables": object{"IDENTITY_HEADER": "x"}}, 400, "InvalidJob", []string{"IDENTITY_HEADER"}},
		"no compute":             {object{"computeId": nil}, 400, "ComputeRequired", []string{"properties.computeId"}},
		"local":                  {object{"computeId": "local"}, 400, "NotSupported", []string{"local"}},
		"another's compute":      {object{"computeId": workspaces + "other/computes/cpu"}, 400, "ComputeNotFound", []string{"other"}},
		"no id of a compute":     {object{"computeId": ws + "/jobs/cpu"}, 400, "InvalidResourceId", nil},
		"absent compute":         {object{"computeId": "azureml:none"}, 404, "ComputeNotFound", []string{"none"}},
		"stopped":                {object{"computeId": "laptop"}, 409, "ComputeNotRunning", []string{"compute start"}},
		"too many nodes":         {resources(object{"instanceCount": 2}), 400, "TooManyNodes", nil},
		"negative nodes":         {resources(object{"instanceCount": -1}), 400, "InvalidJob", []string{"instanceCount"}},
		"docker":                 {resources(object{"dockerArgs": "--privileged"}), 400, "NotSupported", []string{"dockerArgs"}},
		"shared memory":          {resources(object{"shmSize": "much"}), 400, "InvalidJob", []string{"shmSize"}},
		"memory":                 {resources(object{"properties": object{"memory": "lots"}}), 400, "InvalidJob", []string{"memory"}},
		"little memory":          {resources(object{"properties": object{"memory": "1k"}}), 400, "InvalidJob", []string{"memory"}},
		"cpu":                    {resources(object{"properties": object{"cpu": "-1"}}), 400, "InvalidJob", []string{"cpu"}},
		"unknown resource":       {resources(object{"properties": object{"gpu": "1"}}), 400, "InvalidJob", []string{"gpu"}},
		"other size":             {resources(object{"instanceType": "Standard_NC6"}), 400, "InvalidJob", []string{"Standard_NC6"}},
		"timeout":                {object{"limits": object{"timeout": "5 minutes"}}, 400, "InvalidJob", []string{"properties.limits.timeout"}},
		"no timeout":             {object{"limits": object{"timeout": "PT0S"}}, 400, "InvalidJob", []string{"properties.limits.timeout"}},
		"distribution":           {object{"distribution": object{"distributionType": "Ray"}}, 400, "InvalidJob", []string{"Ray"}},
		"processes":              {object{"distribution": object{"distributionType": "PyTorch", "processCountPerInstance": 2}}, 400, "NotSupported", []string{"instanceCount"}},
		"no environment":         {object{"environmentId": nil}, 400, "EnvironmentRequired", nil},
		"environment's version":  {object{"environmentId": "azureml:task"}, 400, "InvalidEnvironment", []string{"azureml:task"}},
		"environment's label":    {object{"environmentId": "azureml:task@stable"}, 400, "InvalidEnvironment", []string{"stable"}},
		"shared registry":        {object{"environmentId": "azureml://registries/azureml/environments/x/versions/1"}, 400, "NotSupported", []string{"registries"}},
		"absent environment":     {object{"environmentId": "azureml:task:2"}, 404, "EnvironmentNotFound", []string{"task:2"}},
		"another's environment":  {object{"environmentId": workspaces + "other/environments/task/versions/1"}, 400, "EnvironmentNotFound", []string{"other"}},
		"identity's type":        {object{"identity": object{"identityType": "Robot"}}, 400, "InvalidIdentity", []string{"Robot"}},
		"id without a type":      {object{"identity": object{"clientId": tenant}}, 400, "InvalidIdentity", []string{"Managed"}},
		"another's identity":     {object{"identity": object{"identityType": "Managed", "clientId": tenant}}, 400, "IdentityNotOfCompute", []string{tenant}},
		"pipeline's field":       {object{"settings": object{"x": 1}}, 400, "InvalidJob", []string{"properties.settings"}},
		"component":              {object{"componentId": "azureml:c:1"}, 400, "NotSupported", []string{"componentId"}},
		"notification":           {object{"notificationSetting": object{"emails": []string{"a@b"}}}, 400, "NotSupported", []string{"notificationSetting"}},
		"priority":               {object{"queueSettings": object{"jobTier": "Premium"}}, 400, "NotSupported", []string{"queueSettings"}},
		"input's name":           {object{"inputs": object{"a b": object{"jobInputType": "literal", "value": "x"}}}, 400, "InvalidJob", []string{"a b"}},
		"no input":               {object{"inputs": object{"x": nil}}, 400, "InvalidJob", []string{"properties.inputs.x"}},
		"input's type":           {in(object{"jobInputType": "table"}), 400, "InvalidAsset", []string{"properties.inputs.x.jobInputType"}},
		"no input's type":        {in(object{"uri": "azureml:a:1"}), 400, "InvalidJob", []string{"jobInputType"}},
		"no uri":                 {in(object{"jobInputType": "uri_file"}), 400, "InvalidJob", []string{"properties.inputs.x.uri"}},
		"input's mode":           {in(object{"jobInputType": "uri_file", "uri": "azureml:a:1", "mode": "ReadWriteMount"}), 400, "NotSupported", []string{"ReadWriteMount"}},
		"input's path":           {in(object{"jobInputType": "uri_file", "uri": "azureml:a:1", "pathOnCompute": "/x"}), 400, "NotSupported", []string{"/alvara/inputs/x"}},
		"pattern":                {in(object{"jobInputType": "uri_file", "uri": "https://acct.blob.core.windows.net/data/*.csv"}), 400, "InvalidURI", []string{"pattern"}},
		"signature":              {in(object{"jobInputType": "uri_file", "uri": "https://acct.blob.core.windows.net/data/a?sig=x"}), 400, "InvalidURI", []string{"signature"}},
		"no datastore":           {in(object{"jobInputType": "uri_folder", "uri": "azureml://datastores/none/paths/x"}), 400, "DatastoreNotFound", []string{"none"}},
		"another's datastore":    {in(object{"jobInputType": "uri_folder", "uri": "azureml:/" + strings.ReplaceAll(strings.ReplaceAll(workspaces, "resourceGroups", "resourcegroups"), "providers/Microsoft.MachineLearningServices/", "") + "other/datastores/workspaceblobstore/paths/x"}), 400, "DatastoreNotFound", []string{"other"}},
		"output's type":          {out(object{"jobOutputType": "table"}), 400, "InvalidAsset", []string{"properties.outputs.x.jobOutputType"}},
		"output's asset":         {out(object{"assetName": "x"}), 400, "NotSupported", []string{"assetName"}},
		"file output at folder":  {out(object{"jobOutputType": "uri_file", "uri": "azureml://datastores/workspaceblobstore/paths/x/"}), 400, "InvalidJob", []string{"uri_folder"}},
		"nobody writes":          {object{"identity": object{"identityType": "AMLToken"}, "outputs": object{"x": object{}}}, 400, "IdentityRequired", []string{"properties.outputs.x"}},
		"code by an absent id":   {object{"codeId": ws + "/codes/none/versions/1"}, 404, "ResourceNotFound", []string{"properties.codeId", "codes/none"}},
		"code by another's name": {object{"codeId": "azureml:data:1"}, 404, "AssetNotFound", []string{"properties.codeId"}},
	} {
		got := w.do("PUT", ws+"/jobs/refused", command(c.changes))
		code := c.code
		if code == "" {
			code = got.text("error.code")
		}
		refused(t, name, got, c.status, code, c.wants...)
	}
	if after := w.documents(); after != before {
		t.Errorf("refused jobs have left something behind:\n%s\nbefore it was:\n%s", after, before)
	}
	refused(t, "a name", w.do("PUT", ws+"/jobs/a.b", command(nil)), 400, "InvalidResourceName")

	// Who may write jobs and may not see what they run on is not told whether it is there.
	writer := w.person("writer")
	w.grant(writer, w.role("job writer", "Microsoft.MachineLearningServices/workspaces/jobs/*"), ws)
	for _, changes := range []object{nil, {"computeId": "none"}, {"environmentId": "azureml:none:1"}} {
		refused(t, fmt.Sprint(changes), w.as(writer, "PUT", ws+"/jobs/refused", command(changes)), 403, "LinkedAuthorizationFailed", "computes/read", "environments/read")
	}
}

// order reads what a job was turned into.
func (w *jobWorld) order(name string) *workload.Order {
	w.t.Helper()
	doc, err := w.store.Get(w.t.Context(), jobID(name).Key())
	if err != nil {
		w.t.Fatal(err)
	}
	var kept arm.Resource[machinelearning.Job]
	decode(w.t, string(doc.Body), &kept)
	return kept.Properties.Run.Order
}

// A command of plain words needs no shell; the others get the image's.
func TestJobCommands(t *testing.T) {
	w := newJobs(t)
	inputs := object{
		"n": object{"jobInputType": "literal", "value": "3"}, "text": object{"jobInputType": "literal", "value": "two words"}, "empty": object{"jobInputType": "literal", "value": ""},
		"evil": object{"jobInputType": "literal", "value": "$(reboot)"}, "data": object{"jobInputType": "uri_folder", "uri": "https://acct.blob.core.windows.net/data/folder", "mode": "ReadOnlyMount"},
	}
	for i, c := range []struct {
		command string
		want    []string // nil: the shell has it
	}{
		{"python train.py --rate 0.1", []string{"python", "train.py", "--rate", "0.1"}},
		{"  python   train.py ", []string{"python", "train.py"}},
		{"python train.py --n=${{ inputs.n }} ${{inputs.data}}/x", []string{"python", "train.py", "--n=${{inputs.n}}", "${{inputs.data}}/x"}},
		{"python train.py $[[--n ${{inputs.n}}]] $[[--gone ${{inputs.gone}}]]", []string{"python", "train.py", "--n", "${{inputs.n}}"}},
		{"python train.py ${{inputs.text}}", nil},
		{"python train.py ${{inputs.empty}}", nil},
		{"python train.py ${{inputs.evil}}", nil},
		{"echo a && echo b", nil}, {"echo $HOME", nil}, {"A=1 python x.py", nil}, {"cd x", nil}, {"export A", nil}, {"echo 'a b'", nil}, {"echo a\necho b", nil}, {"ls *.py", nil}, {"echo ~", nil},
	} {
		name := fmt.Sprintf("job%d", i)
		w.must("PUT", ws+"/jobs/"+name, command(object{"command": c.command, "inputs": inputs}))
		got := w.order(name).Command
		switch {
		case c.want != nil && !slices.Equal(got, c.want):
			t.Errorf("%q is begun as %q; want %q", c.command, got, c.want)
		case c.want == nil && (len(got) != 4 || got[0] != "/bin/sh" || got[3] != strings.TrimSpace(c.command)):
			t.Errorf("%q is begun as %q; want the shell", c.command, got)
		}
	}
}

// An order says all that a job says.
func TestJobOrder(t *testing.T) {
	w := newJobs(t)
	w.must("PUT", ws+"/jobs/full", command(object{
		"computeId": ws + "/computes/CPU", "environmentId": ws + "/environments/task/labels/latest", "experimentName": "tests",
		"inputs": object{
			"file": object{"jobInputType": "uri_file", "uri": "https://127.0.0.1:9000/acct/data/a/b.csv"}, "folder": object{"jobInputType": "URI_FOLDER", "uri": "wasbs://data@acct.blob.core.windows.net/a/"},
			"lake": object{"jobInputType": "mltable", "uri": "abfss://data@acct.dfs.core.windows.net/a", "mode": "download"}, "store": object{"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/a/b"},
			"named": object{"jobInputType": "uri_folder", "uri": "azureml://x", "mode": "Direct"}, "value": object{"jobInputType": "literal", "value": "v"},
		},
		"outputs":              object{"made": object{}, "model": object{"jobOutputType": "custom_model", "uri": "azureml://datastores/workspaceblobstore/paths/models/${{name}}"}, "one": object{"jobOutputType": "uri_file"}},
		"environmentVariables": object{"B": "${{inputs.value}}", "A": "1"},
		"resources":            object{"shmSize": "2g", "properties": object{"memory": "2Gi", "cpu": 1.5}}, "limits": object{"jobLimitsType": "Command", "timeout": "PT1H30M"},
	}))
	order := w.order("full")
	if want := (job.Limits{Timeout: 90 * time.Minute, Memory: 2 << 30, CPUs: 1.5}); order.Limits != want || order.Nodes != 1 {
		t.Errorf("the limits are %+v of %d nodes", order.Limits, order.Nodes)
	}
	container := w.must("GET", ws+"/datastores/workspaceblobstore", nil)
	own, account := container.text("properties.containerName"), container.text("properties.accountName")
	got := map[string]workload.File{}
	for _, file := range slices.Concat(order.Inputs, order.Outputs) {
		got[file.Name] = file
	}
	want := map[string]workload.File{
		"file": {Account: "acct", Container: "data", Path: "a/b.csv"}, "folder": {Account: "acct", Container: "data", Path: "a", Folder: true}, "lake": {Account: "acct", Container: "data", Path: "a", Folder: true},
		"store": {Account: account, Container: own, Path: "a/b", Folder: true}, "made": {Account: account, Container: own, Path: "azureml/full/made", Folder: true},
		"model": {Account: account, Container: own, Path: "models/full", Folder: true}, "one": {Account: account, Container: own, Path: "azureml/full/one"},
	}
	for name, file := range want {
		file.Name = name
		want[name] = file
	}
	if !maps.Equal(got, want) {
		t.Errorf("the files are %+v; want %+v", got, want)
	}
	if want := map[string]string{"inputs.named": "azureml://x", "inputs.value": "v"}; !maps.Equal(order.Values, want) {
		t.Errorf("the values are %v", order.Values)
	}
	env := []string{"A=1", "B=${{inputs.value}}", "AZUREML_RUN_ID=full", "AZUREML_EXPERIMENT_NAME=tests", "AZUREML_ARM_WORKSPACE_NAME=ws", "AZUREML_ARM_RESOURCEGROUP=rg", "AZUREML_ARM_SUBSCRIPTION=" + strings.TrimPrefix(subscription, "/subscriptions/")}
	if !slices.Equal(order.Env, env) {
		t.Errorf("the variables are %q", order.Env)
	}
	if !strings.HasPrefix(order.ID, "full-") || order.Image != "" || order.Who.ResourceID == "" || len(order.Tokens) != 1 || order.Tokens[0] != order.Who.ID {
		t.Errorf("the order is %+v", order)
	}
	shown := w.must("GET", ws+"/jobs/full", nil)
	for field, value := range map[string]string{
		"computeId": ws + "/computes/cpu", "environmentId": ws + "/environments/task/versions/1", "status": "Queued", "identity.identityType": "Managed",
		"outputs.made.uri": "azureml://datastores/workspaceblobstore/paths/azureml/full/made/", "outputs.made.jobOutputType": "uri_folder", "inputs.lake.mode": "Download",
	} {
		if got := shown.text("properties." + field); got != value {
			t.Errorf("%s is %q; want %q", field, got, value)
		}
	}

	// The same, as it is shown and as it was written, is no other job.
	properties := shown.get("properties").(object)
	delete(properties, "provisioningState")
	if again := w.must("PUT", ws+"/jobs/full", object{"properties": properties}); again.Status != 200 {
		t.Errorf("sending back what was shown: %d", again.Status)
	}
	if w.order("full").ID != order.ID {
		t.Error("the job was made anew")
	}
	refused(t, "archiving a job that has not ended", w.do("PATCH", ws+"/jobs/full", object{"properties": object{"isArchived": true}}), 409, "JobNotEnded", "Queued")
	refused(t, "repeating it", w.do("POST", ws+"/jobs/full/retry", nil), 409, "JobNotEnded")

	// Feature stores take none.
	w.must("PUT", workspaces+"fs", object{"location": "local", "kind": "FeatureStore", "properties": object{}})
	refused(t, "a feature store", w.do("PUT", workspaces+"fs/jobs/x", command(nil)), 400, "JobsNotSupported", "Default")
}
