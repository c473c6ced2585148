package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// assetKind is a type of assets whose content is a file or a folder.
type assetKind struct {
	collection string   // as the wire calls it
	word       string   // as people do
	uri, kind  string   // the properties of where it lies, and of what it is
	types      []string // the first is what nothing means
	more       []string // fields of its files beside those that both have
}

var (
	modelAssets = assetKind{collection: "models", word: "model", uri: "modelUri", kind: "modelType", types: []string{"custom_model", "mlflow_model", "triton_model"}, more: []string{"flavors", "stage"}}
	dataAssets  = assetKind{collection: "data", word: "data", uri: "dataUri", kind: "dataType", types: []string{"uri_folder", "uri_file", "mltable"}}
)

func (k assetKind) fields() []string {
	return append([]string{"name", "version", "path", "type", "description", "tags", "properties"}, k.more...)
}

// asset is a version of an asset on the wire. A file or a folder of this machine is uploaded.
func (f jobFile) asset(k assetKind, where string, given *document.Object) (*document.Object, error) {
	if err := knownFields(where, given, k.fields()...); err != nil {
		return nil, err
	}
	kind := strings.ToLower(given.Text("type"))
	if kind != "" && !slices.Contains(k.types, kind) {
		return nil, usagef("%s: type is %q; one of these was expected: %s", where, given.Text("type"), strings.Join(k.types, ", "))
	}
	path := given.Text("path")
	if path == "" {
		return nil, usagef("%s has no path; a file or a folder of this machine or a URI was expected, such as azureml://jobs/JOB/outputs/artifacts/paths/FOLDER/", where)
	}
	if rest, run := strings.CutPrefix(path, "runs:/"); run { // runs:/JOB/PATH, as mlflow names what a run left
		job, below, _ := strings.Cut(rest, "/")
		path = "azureml://jobs/" + job + "/outputs/artifacts/paths/" + below
	}
	if localPath(path) {
		uri, folder, err := f.assets.local(where+": path", f.path(path))
		if err != nil {
			return nil, err
		}
		switch {
		case k.collection == dataAssets.collection && kind == "" && !folder:
			kind = "uri_file"
		case kind == "uri_file" && folder:
			return nil, usagef("%s is a uri_file, and %s is a folder; say type: uri_folder", where, path)
		case (kind == "uri_folder" || kind == "mltable" || kind == "mlflow_model") && !folder:
			return nil, usagef("%s is a %s, and %s is a file", where, kind, path)
		}
		path = uri
	}
	out := document.New(k.kind, first(kind, k.types[0]), k.uri, assetReference(path)).SetIf("description", given.Text("description")).SetIf("stage", given.Text("stage")).
		SetIf("flavors", given.Object("flavors"))
	for _, field := range []string{"tags", "properties"} {
		texts, err := textsOf(where, field, given)
		if err != nil {
			return nil, err
		}
		out.SetIf(field, texts)
	}
	return out, nil
}

// model gives the id of a model of a deployment's file: a version that there is, or what a mapping says, which is registered.
func (f jobFile) model(what string, given any) (string, error) {
	inline, ok := given.(*document.Object)
	if text, isText := given.(string); isText {
		if !localPath(text) {
			return f.assets.version(what, "models", text)
		}
		inline, ok = document.New("path", text), true
	}
	if !ok {
		return "", usagef("%s is %v; azureml:NAME:VERSION, azureml:NAME@latest or a mapping with path was expected", what, given)
	}
	properties, err := f.asset(modelAssets, what, inline)
	if err != nil {
		return "", err
	}
	name, version := inline.Text("name"), inline.Text("version")
	if name == "" {
		// The name comes from the content, so that the same model is registered once.
		sum := sha256.Sum256([]byte(properties.Text("modelType") + " " + properties.Text("modelUri")))
		name, version = hex.EncodeToString(sum[:16]), "1"
		properties.Set("isAnonymous", true)
	}
	return f.assets.register(modelAssets.collection, name, first(version, "1"), properties)
}

// document is a version of the asset as it is shown.
func (k assetKind) document(version *document.Object) *document.Object {
	if version == nil {
		return nil
	}
	name, number := nameAndVersion(version)
	p := version.Object("properties")
	out := document.New("name", name, "version", number, "type", p.Get(k.kind), "path", p.Get(k.uri), "description", p.Get("description"), "tags", p.Get("tags"),
		"properties", p.Get("properties"))
	return out.SetIf("flavors", p.Object("flavors")).SetIf("job_name", p.Text("jobName")).Set("stage", p.Get("stage")).Set("is_archived", p.Get("isArchived")).
		Set("id", version.Get("id")).Set("creation_context", creation(version))
}
