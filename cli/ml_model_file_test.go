package cli

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/cli/document"
)

func TestAssetsOfFiles(t *testing.T) {
	for _, c := range []struct {
		kind       assetKind
		text, want string
	}{
		{modelAssets, "path: ./model", `{"modelType":"custom_model","modelUri":"azureml://uploaded/model/"}`},
		{modelAssets, "path: azureml://jobs/j/outputs/model\ntype: mlflow_model\nstage: Production\ntags: {a: 1}\nflavors: {python_function: {loader: x}}",
			`{"modelType":"mlflow_model","modelUri":"azureml://jobs/j/outputs/model","stage":"Production","flavors":{"python_function":{"loader":"x"}},"tags":{"a":"1"}}`},
		{modelAssets, "path: runs:/j/model/", `{"modelType":"custom_model","modelUri":"azureml://jobs/j/outputs/artifacts/paths/model/"}`},
		{dataAssets, "path: a.csv", `{"dataType":"uri_file","dataUri":"azureml://uploaded/a.csv"}`},
		{dataAssets, "path: ./folder\ndescription: d", `{"dataType":"uri_folder","dataUri":"azureml://uploaded/folder/","description":"d"}`},
		{dataAssets, "path: https://a.blob.core.windows.net/c/x.csv\ntype: uri_file", `{"dataType":"uri_file","dataUri":"https://a.blob.core.windows.net/c/x.csv"}`},
	} {
		given, err := document.DecodeYAML([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := jobFile{folder: "folder", assets: named{}}.asset(c.kind, "the asset", given)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		sameJSON(t, got, c.want)
	}
	for text, want := range map[string]string{
		"name: a": "has no path", "path: x\ntype: csv": `type is "csv"`, "path: x\nkind: y": "kind is unknown", "path: folder\ntype: uri_file": "say type: uri_folder", "path: x.csv\ntype: mltable": "is a file",
	} {
		given, err := document.DecodeYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (jobFile{folder: "folder", assets: named{}}).asset(dataAssets, "the data", given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v and %v", text, got, err)
		}
	}
}

// A model that stands in a deployment's file is registered under its name, or under one made of its content.
func TestModelsOfDeployments(t *testing.T) {
	read := func(given any) string {
		got, err := jobFile{folder: "folder", assets: named{}}.model("model", given)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(got, testWorkspace+"/models/")
	}
	if got := read("azureml:fraud:3"); got != "fraud/versions/3" {
		t.Error(got)
	}
	if got := read(document.New("name", "fraud", "path", "./model")); got != "fraud/versions/1" {
		t.Error(got)
	}
	first, again, other := read("./model"), read(document.New("path", "./model", "type", "custom_model")), read("./other")
	if first != again || first == other || len(first) != 32+len("/versions/1") {
		t.Errorf("%s, %s, %s", first, again, other)
	}
}
