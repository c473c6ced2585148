package machinelearning_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const (
	roleOperator = "f1a07417-d97a-45cb-824c-7a7467783830" // Managed Identity Operator
	roleAcrPull  = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
)

// buildWorld has a workspace, a private registry with a base image, and an identity that may pull there.
func buildWorld(t *testing.T) (w *world, principal, puller, client string) {
	t.Helper()
	w = newWorld(t)
	principal = w.must("PUT", ws, object{}).text("identity.principalId")
	w.must("PUT", registries+"private", object{"location": "local"})
	w.images.push("private", "base/train:1", "a")
	puller, pullerPrincipal := w.identity("puller")
	w.grant(pullerPrincipal, roleAcrPull, registries+"private")
	w.grant(principal, roleOperator, puller)
	return w, principal, puller, w.must("GET", puller, nil).text("properties.clientId")
}

func (w *world) environment(version string, properties object) string {
	w.t.Helper()
	id := ws + "/environments/train/versions/" + version
	w.must("PUT", id, object{"properties": properties})
	return id
}

// The build is a run in the workspace's own registry, scheduled as the workspace's identity, which pushes as itself and pulls the
// base image as the identity of the connection (MI-03, MI-11).
func TestEnvironmentBuild(t *testing.T) {
	w, principal, puller, client := buildWorld(t)
	w.must("PUT", ws+"/connections/private", object{"properties": object{
		"category": "ContainerRegistry", "authType": "ManagedIdentity", "target": "https://Private.example:5000/v2", "credentials": object{"resourceId": puller, "clientId": client},
	}})
	first := w.environment("1", object{"image": "private.example:5000/base/train:1", "condaFile": conda, "imageBuild": object{"state": "Succeeded", "image": "evil:1"}})
	if got := w.must("GET", first, nil); got.text("properties.imageBuild.state") != "NotBuilt" || got.text("properties.imageBuild.image") != "" {
		t.Errorf("a caller set the build: %s", got.Raw)
	}
	built := w.must("POST", first+"/build", nil)
	runs := w.images.scheduled()
	if len(runs) != 1 || built.text("state") != "Queued" || built.text("runId") != "cr1" || !strings.Contains(built.text("image"), ":5000/azureml/azureml_") {
		t.Fatalf("%d runs: %s", len(runs), built.Raw)
	}
	custom, _ := runs[0].get("credentials.customRegistries").(object)
	if entry, _ := custom["private.example:5000"].(object); runs[0].text("caller") != principal || runs[0].text("credentials.sourceRegistry.identity") != "[caller]" || len(custom) != 1 || entry["identity"] != puller {
		t.Errorf("the run: %v", runs[0].Body)
	}
	own := w.must("GET", ws, nil).text("properties.containerRegistry")
	if got := w.must("GET", own, nil); got.get("properties.adminUserEnabled") != true || built.text("registry") != own {
		t.Errorf("MI-03: the registry %s, the build %s", got.Raw, built.Raw)
	}
	run := resource.MustParseID(own).Child("runs", "cr1")

	// What has become of the run is what the environment shows; the same content waits for it.
	w.images.setRun(run, "Running")
	second := w.environment("2", object{"image": "private.example:5000/base/train:1", "condaFile": conda})
	if got := w.must("POST", second+"/build", nil); got.text("runId") != "cr1" || got.text("state") != "Running" || len(w.images.scheduled()) != 1 {
		t.Errorf("the same content: %s", got.Raw)
	}
	w.images.setRun(run, "Failed")
	if got := w.must("GET", second, nil); got.text("properties.imageBuild.state") != "Failed" || got.text("properties.imageBuild.message") != "it broke" {
		t.Errorf("the failed run: %s", got.Raw)
	}
	// A run that failed is repeated; one whose image is there is not.
	if got := w.must("POST", second+"/build", nil); got.text("runId") != "cr2" {
		t.Errorf("after a failure: %s", got.Raw)
	}
	w.images.setRun(resource.MustParseID(own).Child("runs", "cr2"), "Succeeded")
	repository := strings.TrimPrefix(built.text("image"), hostName(resource.MustParseID(own).Name())+"/")
	w.images.push(resource.MustParseID(own).Name(), repository, "e")
	for _, id := range []string{first, second} {
		if got := w.must("POST", id+"/build", nil); got.text("state") != "Succeeded" || !strings.HasPrefix(got.text("digest"), "sha256:ee") || len(w.images.scheduled()) != 2 {
			t.Errorf("%s when the image is there: %s", id, got.Raw)
		}
	}
	// The base image's digest is part of the content, and so is the conda file.
	w.images.push("private", "base/train:1", "b")
	if got := w.must("POST", first+"/build", nil); got.text("image") == built.text("image") || got.text("runId") != "cr3" {
		t.Errorf("another base image: %s", got.Raw)
	}
	// An update of what may change leaves the build alone.
	if got := w.must("PATCH", first, object{"properties": object{"description": "more", "imageBuild": object{"state": "Failed"}}}); got.text("properties.imageBuild.runId") != "cr3" {
		t.Errorf("an update: %s", got.Raw)
	}
}

// What is missing or wrong is refused before there is a registry or a run (MI-10, MI-11, MI-12).
func TestEnvironmentBuildRefusals(t *testing.T) {
	w, principal, puller, client := buildWorld(t)
	other, otherPrincipal := w.identity("other")
	otherClient := w.must("GET", other, nil).text("properties.clientId")
	image := "private.example:5000/base/train:1"
	names := object{"resourceId": puller, "clientId": client}
	bad := func(what string, properties object, code string, wants ...string) {
		t.Helper()
		refused(t, what, w.do("PUT", ws+"/environments/bad/versions/1", object{"properties": properties}), 400, code, wants...)
	}
	bad("an image as it is", object{"image": image, "registryIdentity": names}, "InvalidEnvironment", "as the identity of the compute")
	bad("no client id", object{"image": image, "condaFile": conda, "registryIdentity": object{"resourceId": puller}}, "InvalidEnvironment", "clientId")
	bad("another client id", object{"image": image, "condaFile": conda, "registryIdentity": object{"resourceId": puller, "clientId": otherClient}}, "ClientIdMismatch", "registryIdentity.clientId")
	bad("no identity", object{"image": image, "condaFile": conda, "registryIdentity": object{"resourceId": ws, "clientId": client}}, "InvalidResourceId", "registryIdentity.resourceId")

	plain := w.environment("1", object{"image": image, "condaFile": conda})
	refused(t, "MI-10: nobody may pull", w.do("POST", plain+"/build", nil), 403, "BaseImageIdentityMissing", "private.example:5000", principal, "identity of the compute", "ml connection create")
	w.must("PUT", ws+"/connections/password", object{"properties": object{
		"category": "ContainerRegistry", "authType": "UsernamePassword", "target": "private.example:5000", "credentials": object{"username": "a", "password": "b"},
	}})
	if got := w.do("POST", plain+"/build", nil); got.text("error.code") != "ConnectionAuthNotSupported" || !strings.Contains(got.Raw, "password") {
		t.Errorf("a connection with a password: %s", got.Raw)
	}
	// The environment's own identity wins over the connection (MI-12), and needs all that a connection's does.
	mine := w.environment("2", object{"image": image, "condaFile": conda, "registryIdentity": object{"resourceId": other, "clientId": otherClient}})
	refused(t, "MI-12: no operator", w.do("POST", mine+"/build", nil), 403, "BuildIdentityLacksRole", "registryIdentity", `"Managed Identity Operator" --scope `+other)
	w.grant(principal, roleOperator, other)
	refused(t, "MI-12: no AcrPull", w.do("POST", mine+"/build", nil), 403, "BuildIdentityLacksRole", otherPrincipal, `"AcrPull" --scope `+registries+"private")
	w.grant(otherPrincipal, roleAcrPull, registries+"private")
	absent := w.environment("3", object{"image": "private.example:5000/base/none:1", "condaFile": conda, "registryIdentity": object{"resourceId": other, "clientId": otherClient}})
	refused(t, "no such base", w.do("POST", absent+"/build", nil), 404, "BaseImageNotFound", "base/none:1")
	refused(t, "another registryIdentity", w.do("PATCH", mine, object{"properties": object{"registryIdentity": names}}), 409, "VersionImmutable", "registryIdentity")

	if got := w.must("GET", ws, nil); got.text("properties.containerRegistry") != "" || len(w.images.scheduled()) != 0 {
		t.Errorf("a refused build left %s and %d runs", got.Raw, len(w.images.scheduled()))
	}
	refused(t, "a reader", w.as(w.person("reader"), "POST", mine+"/build", nil), 403, "AuthorizationFailed", "environments/build/action")
	if got := w.must("POST", mine+"/build", nil); got.text("state") != "Queued" {
		t.Errorf("MI-12: %s", got.Raw)
	}
	// Made anew, the identity is another one, which nobody gave to the environment.
	w.must("DELETE", other, nil)
	w.identity("other")
	refused(t, "an identity that was made anew", w.do("POST", mine+"/build", nil), 400, "IdentityNotFound", "registryIdentity", "other")
}

// The folder of a Dockerfile: what it begins with and copies from is pulled, each of its files is content, and what cannot be
// built is refused before it is queued.
func TestEnvironmentFolders(t *testing.T) {
	w, principal, _, _ := buildWorld(t)
	w.grant(principal, roleAcrPull, registries+"private")
	w.images.push("private", "tools:2", "c")
	build := func(version, dockerfile string) answer {
		t.Helper()
		id := w.environment(version, object{"build": object{"contextUri": "https://acct.blob.core.windows.net/data/ctx", "dockerfilePath": dockerfile}})
		return w.do("POST", id+"/build", nil)
	}
	refused(t, "an empty folder", build("1", ""), 404, "DockerfileNotFound", "files: 0")
	w.images.put("a/Dockerfile", "FROM private.example:5000/base/train:1 AS one\nFROM scratch\nCOPY --from=private.example:5000/tools:2 / /\nCOPY --from=one / /\nCOPY data /\n")
	w.images.put("data", "1")
	w.images.put("bad", "FROM private.example:5000/base/train:1\nADD https://example.com/x /\n")
	w.images.put("huge", "FROM scratch\n#"+strings.Repeat("x", 1<<20))
	w.images.put("elsewhere", "FROM docker.io/library/python:3\n")
	refused(t, "a Dockerfile that is not there", build("2", ""), 404, "DockerfileNotFound", `"Dockerfile"`, "files: 5")
	refused(t, "a long one", build("3", "huge"), 413, "DockerfileTooLarge", "huge")
	if got := build("4", "bad"); got.Status != 400 || !strings.Contains(got.Raw, "line 2") {
		t.Errorf("what is not offered: %d %s", got.Status, got.Raw)
	}
	delete(w.images.files, "acct/data/ctx/huge")
	first := build("5", "a/Dockerfile")
	if first.Status != 200 || first.text("state") != "Queued" {
		t.Fatalf("the build: %d %s", first.Status, first.Raw)
	}
	run := w.images.scheduled()[0]
	custom, _ := run.get("credentials.customRegistries").(object)
	if entry, _ := custom["private.example:5000"].(object); entry["identity"] != "[caller]" || run.text("dockerFilePath") != "a/Dockerfile" {
		t.Errorf("the run: %v", run.Body)
	}
	seen := map[string]string{first.text("image"): "the first"}
	again := func(what string) {
		t.Helper()
		got := w.do("POST", ws+"/environments/train/versions/5/build", nil)
		if other := seen[got.text("image")]; got.Status != 200 || other != "" {
			t.Errorf("%s has the image of %s: %s", what, other, got.Raw)
		}
		seen[got.text("image")] = what
	}
	w.images.put("data", "2")
	again("another file")
	w.images.push("private", "tools:2", "d")
	again("another image that is copied from")
	if got := build("6", "elsewhere"); got.Status != 200 {
		t.Errorf("a base from elsewhere: %d %s", got.Status, got.Raw)
	}
	runs := w.images.scheduled()
	if custom, _ := runs[len(runs)-1].get("credentials.customRegistries").(object); len(custom) != 0 {
		t.Errorf("it signs in to %v", custom)
	}
	refused(t, "the folder of nobody", w.do("POST", w.environment("7", object{"build": object{"contextUri": "azureml://datastores/none/paths/ctx"}})+"/build", nil), 400, "DatastoreNotFound", "none")
}

// Several who want the same image at once get the same one, and the registry is made once.
func TestEnvironmentBuildsAtOnce(t *testing.T) {
	w, _, puller, client := buildWorld(t)
	var ids []string
	for _, version := range []string{"1", "2"} {
		ids = append(ids, w.environment(version, object{"image": "private.example:5000/base/train:1", "condaFile": conda, "registryIdentity": object{"resourceId": puller, "clientId": client}}))
	}
	images := make([]string, 8)
	var wait sync.WaitGroup
	for i := range images {
		wait.Go(func() {
			got := w.do("POST", ids[i%2]+"/build", nil)
			images[i] = got.text("image")
			if got.Status != 200 || images[i] == "" {
				t.Errorf("build %d: %d %s", i, got.Status, got.Raw)
			}
		})
	}
	wait.Wait()
	for _, image := range images {
		if image != images[0] {
			t.Errorf("the images are %q", images)
			break
		}
	}
	if hosts := w.images.Hosts(); len(hosts) != 2 {
		t.Errorf("the registries are %v", hosts)
	}
	if runs := w.images.scheduled(); len(runs) != 1 {
		t.Errorf("%d builds of one content: %v", len(runs), runs)
	}
}

// Who was about to begin a build and died keeps nobody from it for long.
func TestEnvironmentBuildAfterADeath(t *testing.T) {
	w, _, puller, client := buildWorld(t)
	id := w.environment("1", object{"image": "private.example:5000/base/train:1", "condaFile": conda, "registryIdentity": object{"resourceId": puller, "clientId": client}})
	built := w.must("POST", id+"/build", nil)
	image := built.text("image")
	hash := image[strings.LastIndex(image, "_")+1 : strings.LastIndex(image, ":")]
	w.images.setRun(resource.MustParseID(built.text("registry")).Child("runs", "cr1"), "Failed")
	key := resource.MustParseID(ws).Key() + "#build-" + hash
	body := []byte(`{"until":"2001-01-01T00:00:00Z"}`)
	if _, err := w.store.Apply(t.Context(), store.Put{Key: key, Kind: "machinelearning/buildleases", Body: body, IfMatch: store.None}); err != nil {
		t.Fatal(err)
	}
	if got := w.must("POST", id+"/build", nil); got.text("runId") != "cr2" {
		t.Errorf("the build afterwards: %s", got.Raw)
	}
	if _, err := w.store.Get(t.Context(), key); resource.KindOf(err) != resource.NotFound {
		t.Errorf("the lease is left: %v", err)
	}
}

// MI-09, MI-10: who says that the dependencies are the user's affair has the image used as it is; who says they are not has one built, and
// is refused when only the compute may pull the base image, with that reason.
func TestUserManagedDependencies(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", registries+"private", object{"location": "local"})
	w.images.push("private", "base/train:1", "a")
	const image = "private.example:5000/base/train:1"
	docker := object{"docker": object{"baseImage": image}}
	for version, properties := range map[string]object{
		"1": {"image": image, "userManagedDependencies": true},
		"2": and(docker, object{"python": object{"userManagedDependencies": true, "condaDependencies": object{"dependencies": []string{"python"}}}}),
		"3": {"docker": object{"baseImage": "base/train:1", "baseImageRegistry": object{"address": "https://private.example:5000", "registryIdentity": nil}}, "python": object{"userManagedDependencies": true}},
	} {
		got := w.must("POST", w.environment(version, properties)+"/build", nil)
		if got.text("state") != "NotNeeded" || got.text("image") != image {
			t.Errorf("version %s: %s", version, got.Raw)
		}
		shown := w.must("GET", ws+"/environments/train/versions/"+version, nil)
		if shown.get("properties.userManagedDependencies") != true || shown.get("properties.docker") != nil || shown.get("properties.python") != nil || shown.get("properties.condaFile") != nil {
			t.Errorf("version %s: %s", version, shown.Raw)
		}
	}
	for version, c := range map[string]struct {
		properties object
		conda      string
	}{
		"4": {object{"image": image, "userManagedDependencies": false}, "- python"},
		"5": {and(docker, object{"python": object{"userManagedDependencies": false, "condaDependencies": object{"name": "mine", "dependencies": []string{"numpy"}}}}), "numpy"},
		"6": {and(docker, object{"python": object{"condaDependencies": object{"name": "mine", "dependencies": []string{"scipy"}}}}), "scipy"},
	} {
		id := w.environment(version, c.properties)
		if shown := w.must("GET", id, nil); !strings.Contains(shown.text("properties.condaFile"), c.conda) {
			t.Errorf("version %s: %s", version, shown.Raw)
		}
		refused(t, "a build of version "+version, w.do("POST", id+"/build", nil), 403, "BaseImageIdentityMissing", "only the compute may pull the image", image)
	}
	put := func(properties object) answer {
		return w.do("PUT", ws+"/environments/train/versions/9", object{"properties": properties})
	}
	refused(t, "packages on what is as it is", put(object{"image": image, "condaFile": conda, "userManagedDependencies": true}), 400, "InvalidEnvironment", "properties.userManagedDependencies", "condaFile")
	refused(t, "a Dockerfile that is as it is", put(object{"build": object{"contextUri": "https://acct.blob.core.windows.net/data/ctx/"}, "userManagedDependencies": true}), 400, "InvalidEnvironment", "properties.build")
	refused(t, "a Dockerfile's text", put(object{"docker": object{"baseDockerfile": "FROM x"}}), 400, "NotSupported", "contextUri")
	refused(t, "two images", put(object{"image": "other:1", "docker": object{"baseImage": image}}), 400, "InvalidEnvironment", "two images")
	refused(t, "a password", put(object{"docker": object{"baseImage": image, "baseImageRegistry": object{"password": "x"}}}), 400, "NotSupported", "registryIdentity")
	refused(t, "no packages", put(and(docker, object{"python": object{"condaDependencies": object{"name": "x"}}})), 400, "InvalidCondaFile", "dependencies")
	patch := func(properties object) answer {
		return w.do("PATCH", ws+"/environments/train/versions/1", object{"properties": properties})
	}
	refused(t, "a change of mind", patch(object{"userManagedDependencies": false}), 409, "VersionImmutable", "userManagedDependencies")
	refused(t, "a change of mind in older words", patch(object{"python": object{"userManagedDependencies": false}}), 409, "VersionImmutable", "python")
	if got := patch(object{"description": "more"}); got.Status != 200 || got.get("properties.userManagedDependencies") != true {
		t.Errorf("an update: %d %s", got.Status, got.Raw)
	}
}

func TestReferencesOfImages(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for text, want := range map[string]string{
		"python":                           " python latest",
		"library/python:3":                 " library/python 3",
		"Host.example/a/b":                 "host.example a/b latest",
		"127.0.0.1:5000/a:1":               "127.0.0.1:5000 a 1",
		"localhost/a@" + digest:            "localhost a " + digest,
		"h.example:1/a/b:2@" + digest:      "h.example:1 a/b " + digest,
		"team/app@" + digest:               " team/app " + digest,
		"fraudacr.azurecr.io/base/train:1": "fraudacr.azurecr.io base/train 1",
	} {
		host, repository, reference := machinelearning.SplitReference(text)
		if got := fmt.Sprint(host, " ", repository, " ", reference); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
