package machinelearning_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
)

// Everything that names a place in storage is read in one way, by jobs, deployments, assets and environments alike.
func TestPlaces(t *testing.T) {
	w := newWorld(t)
	made := w.must("PUT", ws, object{})
	account := made.text("properties.storageAccount")
	account = account[strings.LastIndex(account, "/")+1:]
	container := account + "/azureml-blobstore-" + made.text("properties.workspaceId") + "/"
	put := func(path string, properties object) {
		t.Helper()
		w.must("PUT", ws+"/"+path, object{"properties": properties})
	}
	put("codes/src/versions/1", object{"codeUri": blobs + "src"})
	put("data/rows/versions/1", object{"dataUri": blobs + "old.csv", "dataType": "uri_file"})
	put("data/rows/versions/2", object{"dataUri": "wasbs://data@acct.blob.core.windows.net/ctx/rows", "dataType": "uri_folder"})
	put("data/rows/versions/3", object{"dataUri": blobs + "hidden.csv", "dataType": "uri_file", "isArchived": true})
	put("data/both/versions/1", object{"dataUri": blobs + "both.csv", "dataType": "mltable"})
	put("models/both/versions/1", object{"modelUri": blobs + "model.bin"})
	put("models/folder/versions/1", object{"modelUri": "https://acct.blob.core.windows.net/data/ctx/m"})
	w.images.put("m/weights", "x")
	w.writeJob("j", object{"outputs": object{"model": object{"uri": "azureml://datastores/${{default_datastore}}/paths/o/${{name}}/model"}, "plain": object{"jobOutputType": "uri_folder"}, "none": nil}})
	put("models/made/versions/1", object{"modelUri": "azureml://jobs/j/outputs/model", "modelType": "mlflow_model"})
	if got := w.must("GET", ws+"/models/made/versions/1", nil); got.text("properties.jobName") != "j" {
		t.Errorf("the model of a job: %s", got.Raw)
	}
	call := &arm.Call{Who: w.who(w.owner), Manager: w.manager}
	deps := machinelearning.Deps{List: w.images.list}
	long := "azureml:/" + strings.Replace(ws, "providers/Microsoft.MachineLearningServices/", "", 1) + "/datastores/workspaceblobstore/paths/a/b"
	for text, want := range map[string]string{
		blobs + "a/b":  container + "a/b",
		blobs + "a/b/": container + "a/b (folder)",
		blobs:          container + " (folder)",
		strings.Replace(long, "resourceGroups", "resourcegroups", 1): container + "a/b",
		"azureml://datastores/workspaceartifactstore/paths/x":        account + "/azureml/x",
		"https://acct.blob.core.windows.net/data/x%20y":              "acct/data/x y",
		"https://127.0.0.1:8443/acct/data/ctx":                       "acct/data/ctx (folder)",
		"https://acct.blob.local:8443/data/":                         "acct/data/ (folder)",
		"wasbs://data@acct.blob.core.windows.net/ctx/m":              "acct/data/ctx/m (folder)",
		"abfss://data@acct.dfs.core.windows.net/ctx/m/weights":       "acct/data/ctx/m/weights",
		"azureml:src:1":                                      container + "src (folder) code codes/src/1",
		"azureml:rows:1":                                     container + "old.csv uri_file data/rows/1",
		"AzureML:rows@LATEST":                                "acct/data/ctx/rows (folder) uri_folder data/rows/2",
		"azureml:rows:3":                                     container + "hidden.csv uri_file data/rows/3",
		"azureml:both:1":                                     container + "both.csv (folder) mltable data/both/1",
		"models|azureml:both:1":                              container + "model.bin custom_model models/both/1",
		"azureml:folder:1":                                   "acct/data/ctx/m (folder) custom_model models/folder/1",
		ws + "/models/both/versions/1":                       container + "model.bin custom_model models/both/1",
		"azureml:" + ws + "/data/rows/versions/1":            container + "old.csv uri_file data/rows/1",
		"azureml://jobs/j/outputs/model":                     container + "o/j/model (folder)",
		"azureml://jobs/j/outputs/model/paths/part/x":        container + "o/j/model/part/x",
		"azureml://jobs/j/outputs/plain/":                    container + "azureml/j/plain (folder)",
		"azureml://jobs/j/outputs/artifacts/paths/outputs/m": account + "/azureml/ExperimentRun/dcid.j/outputs/m",
		"runs:/j/outputs/m":                                  account + "/azureml/ExperimentRun/dcid.j/outputs/m",
		"azureml:made:1":                                     container + "o/j/model (folder) mlflow_model models/made/1",
	} {
		kind, text, chosen := strings.Cut(text, "|")
		var types []resource.Type
		if chosen {
			types = append(types, resource.Type("Microsoft.MachineLearningServices/workspaces/"+kind))
		} else {
			text = kind
		}
		at, err := machinelearning.ResolveAsset(t.Context(), deps, call, resource.MustParseID(ws), text, types...)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := at.Account + "/" + at.Container + "/" + at.Path
		if at.Folder {
			got += " (folder)"
		}
		if at.Kind != "" {
			got += fmt.Sprintf(" %s %s", at.Kind, strings.Replace(strings.TrimPrefix(at.Asset.String(), ws+"/"), "versions/", "", 1))
		}
		if got != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
	for text, code := range map[string]string{
		"":                                    "InvalidURI",
		"rows.csv":                            "InvalidURI",
		"ftp://x/y":                           "InvalidURI",
		"azureml:rows":                        "InvalidAsset",
		"azureml:rows@newest":                 "InvalidAsset",
		"azureml:ro ws:1":                     "InvalidAsset",
		"azureml:rows:9":                      "AssetNotFound",
		"azureml:none@latest":                 "AssetNotFound",
		"models|azureml:rows:1":               "AssetNotFound",
		"/subscriptions/x":                    "InvalidAsset",
		ws + "/computes/cpu":                  "InvalidAsset",
		workspaces + "o/data/d/versions/1":    "InvalidAsset",
		ws + "/data/none/versions/1":          "ResourceNotFound",
		"azureml://datastores/none/paths/x":   "DatastoreNotFound",
		"azureml://datastores/x":              "InvalidURI",
		"azureml://jobs/none/outputs/model":   "ResourceNotFound",
		"azureml://jobs/j/outputs/other":      "OutputNotFound",
		"azureml://registries/r/models/m/1":   "InvalidURI",
		"https://acct.blob.core.windows.net/": "InvalidURI",
	} {
		kind, text, chosen := strings.Cut(text, "|")
		var types []resource.Type
		if chosen {
			types = append(types, resource.Type("Microsoft.MachineLearningServices/workspaces/"+kind))
		} else {
			text = kind
		}
		_, err := machinelearning.ResolveAsset(t.Context(), deps, call, resource.MustParseID(ws), text, types...)
		if e, ok := resource.AsError(err); !ok || e.Code != code {
			t.Errorf("%s: %v; want %s", text, err, code)
		}
	}
	// Assets are read as the caller.
	who := w.person("nobody")
	call.Who = w.who(who)
	if _, err := machinelearning.ResolveAsset(t.Context(), deps, call, resource.MustParseID(ws), "azureml:rows:1"); resource.KindOf(err) != resource.Forbidden {
		t.Errorf("an asset that the caller may not read: %v", err)
	}
	w.grant(who, access.RoleReader, ws)
	if _, err := machinelearning.ResolveAsset(t.Context(), deps, call, resource.MustParseID(ws), "azureml:rows:1"); err != nil {
		t.Errorf("with the right: %v", err)
	}
}
