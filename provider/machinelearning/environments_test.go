package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
)

const conda = "name: pydata\nchannels:\n- conda-forge\ndependencies:\n- python=3.8\n- pip:\n  - numpy\n"

// Environments have versions and a latest one; a version is an image as it is, an image with a conda file, or a
// Dockerfile's folder.
func TestEnvironments(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	base := ws + "/environments/train"
	for version, properties := range map[string]object{
		"1": {"image": "fraudacr.azurecr.io/base/train:1.2", "tags": object{"a": "b"}},
		"2": {"image": "127.0.0.1:5000/train@sha256:" + strings.Repeat("a", 64), "condaFile": conda},
		"7": {"build": object{"contextUri": "https://acct.blob.core.windows.net/data/ctx/"}, "inferenceConfig": object{"scoringRoute": object{"path": "/score", "port": 8080}}},
	} {
		got := w.do("PUT", base+"/versions/"+version, object{"properties": properties})
		if got.Status != 201 || got.text("properties.environmentType") != "UserCreated" || got.text("properties.osType") != "Linux" || got.text("properties.provisioningState") != "Succeeded" {
			t.Errorf("version %s: %d %s", version, got.Status, got.Raw)
		}
	}
	if got := w.must("GET", base+"/versions/7", nil); got.text("properties.build.dockerfilePath") != "Dockerfile" {
		t.Errorf("the Dockerfile: %s", got.Raw)
	}
	w.must("PUT", base+"/versions/8", object{"properties": object{"image": "a"}})
	if got := w.must("GET", base, nil); got.text("properties.latestVersion") != "8" || got.text("properties.nextVersion") != "9" {
		t.Errorf("the environment: %s", got.Raw)
	}
	// What it consists of stays, the rest changes.
	for field, value := range map[string]any{"image": "other:1", "condaFile": conda, "build": object{"contextUri": "https://x/y"}} {
		refused(t, "another "+field, w.do("PATCH", base+"/versions/1", object{"properties": object{field: value}}), 409, "VersionImmutable", "properties."+field)
	}
	got := w.must("PATCH", base+"/versions/1", object{"properties": object{"description": "more", "isArchived": true}})
	if got.text("properties.description") != "more" || got.text("properties.stage") != "Archived" || got.text("properties.tags.a") != "b" {
		t.Errorf("the update: %s", got.Raw)
	}
	if list := w.must("GET", base+"/versions", nil); list.count("value") != 3 {
		t.Errorf("the list without what is archived: %s", list.Raw)
	}
	if list := w.must("GET", base+"/versions?listViewType=All", nil); list.count("value") != 4 {
		t.Errorf("the list of all: %s", list.Raw)
	}
	who := w.person("scientist")
	refused(t, "a stranger", w.as(who, "PUT", base+"/versions/9", object{"properties": object{"image": "a"}}), 403, "AuthorizationFailed", "environments/versions/write")
	w.grant(who, access.RoleMLDataScientist, ws)
	if got := w.as(who, "PUT", base+"/versions/9", object{"properties": object{"image": "a"}}); got.Status != 201 {
		t.Errorf("a data scientist: %d %s", got.Status, got.Raw)
	}
	w.must("DELETE", base+"/versions/9", nil)
}

func TestEnvironmentRefusals(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	build := func(uri, dockerfile string) object {
		return object{"build": object{"contextUri": uri, "dockerfilePath": dockerfile}}
	}
	for _, c := range []struct {
		what       string
		properties object
		code, want string
	}{
		{"nothing", object{}, "InvalidEnvironment", "properties.image"},
		{"both", object{"image": "a", "build": object{"contextUri": "https://x/y"}}, "InvalidEnvironment", "properties.build"},
		{"a conda file for a Dockerfile", object{"condaFile": conda, "build": object{"contextUri": "https://x/y"}}, "InvalidEnvironment", "properties.condaFile"},
		{"no reference", object{"image": "a b"}, "InvalidEnvironment", "a b"},
		{"a short digest", object{"image": "a@sha256:12"}, "InvalidEnvironment", "properties.image"},
		{"no YAML", object{"image": "a", "condaFile": "{{"}, "InvalidCondaFile", "properties.condaFile"},
		{"no dependencies", object{"image": "a", "condaFile": "name: x"}, "InvalidCondaFile", "dependencies"},
		{"a local folder", build("./ctx", ""), "InvalidEnvironment", "contextUri"},
		{"a Dockerfile elsewhere", build("https://x/y", "../Dockerfile"), "InvalidEnvironment", "dockerfilePath"},
		{"Windows", object{"image": "a", "osType": "Windows"}, "NotSupported", "properties.osType"},
		{"rebuilds", object{"image": "a", "autoRebuild": "OnBaseImageUpdate"}, "NotSupported", "properties.autoRebuild"},
		{"an unknown route", object{"image": "a", "inferenceConfig": object{"homeRoute": object{"path": "/", "port": 1}}}, "InvalidEnvironment", "homeRoute"},
		{"a port", object{"image": "a", "inferenceConfig": object{"scoringRoute": object{"path": "/", "port": 0}}}, "InvalidEnvironment", "scoringRoute"},
		{"an unknown stage", object{"image": "a", "stage": "Dead"}, "InvalidStage", "Dead"},
		{"an unknown field", object{"images": "a"}, "InvalidRequestContent", "images"},
	} {
		refused(t, c.what, w.do("PUT", ws+"/environments/train/versions/1", object{"properties": c.properties}), 400, c.code, c.want)
	}
	refused(t, "a name", w.do("PUT", ws+"/environments/a.b/versions/1", object{"properties": object{"image": "a"}}), 400, "InvalidResourceName", "a.b")
}
