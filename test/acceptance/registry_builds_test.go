package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/test/testenv"
)

// buildWorld is a server with a registry that builds, and a second one that holds the image to build upon.
type buildWorld struct {
	*registryWorld
	system string // object id of the building registry's own identity

	basesID, bases string // the second registry, and its login server
	base           string // the image in it
	builder        string // id of a user-assigned identity
	builderClient  string
	builderObject  string
}

func needSandbox(t *testing.T) {
	t.Helper()
	if can := sandbox.Check(); !can.Ready() {
		t.Skipf("images cannot be built on this machine: %v", can.Lacks)
	}
}

func newBuilds(t *testing.T) *buildWorld {
	t.Helper()
	needSandbox(t)
	w := &buildWorld{registryWorld: newRegistry(t, "builds")}
	got := mustDo(t, w.admin, "PATCH", w.id, map[string]any{"identity": map[string]any{"type": "SystemAssigned"}})
	w.system = got.Text("identity.principalId")
	w.basesID, w.bases = w.create(t, "bases")
	w.base = w.bases + "/base/shell:1"
	pushBase(t, w.base, w.admin.Remote(w.bases))
	w.builder = w.env.Group("images") + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"
	made := mustDo(t, w.admin, "PUT", w.builder, map[string]any{"location": "local"})
	w.builderClient, w.builderObject = made.Text("properties.clientId"), made.Text("properties.principalId")
	return w
}

// trusted gives the identities of the world all that builds need.
func (w *buildWorld) trusted() *buildWorld {
	w.admin.Grant(w.builderObject, access.RoleAcrPull, w.basesID)
	w.admin.Grant(w.system, access.RoleAcrPush, w.id)
	return w
}

// pushBase pushes an image that holds a shell of a few commands.
func pushBase(t *testing.T, reference string, options []remote.Option) {
	t.Helper()
	program, err := os.ReadFile(testenv.StaticTool(t, "github.com/alvara-ml/alvara/test/acceptance/testdata/shell"))
	if err != nil {
		t.Fatal(err)
	}
	packed := packed(t, map[string]string{"bin/sh": string(program), "etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n"})
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, made)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config.Env = "linux", runtime.GOARCH, []string{"PATH=/bin"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, options...); err != nil {
		t.Fatal(err)
	}
}

// packed is a tar.gz of files.
func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// uploadSource uploads the source of a build and gives the path by which the request for it names it.
func uploadSource(t *testing.T, env *testenv.Env, u *testenv.User, registry string, files map[string]string) string {
	t.Helper()
	place := mustDo(t, u, "POST", registry+"/listBuildSourceUploadUrl", nil)
	request, err := http.NewRequestWithContext(t.Context(), "PUT", place.Text("uploadUrl"), bytes.NewReader(packed(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("x-ms-blob-type", "BlockBlob")
	answer, err := env.HTTP.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("the upload of a source: %s", answer.Status)
	}
	return place.Text("relativePath")
}

// buildRequest is what scheduleRun takes; changes are made to it.
func buildRequest(source, image string, changes map[string]any) map[string]any {
	request := map[string]any{
		"type": "DockerBuildRequest", "dockerFilePath": "Dockerfile", "platform": map[string]any{"os": "Linux"}, "sourceLocation": source,
		"imageNames": []string{image}, "isPushEnabled": true,
	}
	maps.Copy(request, changes)
	return request
}

// asBuilder is the credential map with which a build pulls its base as the user-assigned identity, by whatever name.
func (w *buildWorld) asBuilder(identity string) map[string]any {
	return map[string]any{"credentials": map[string]any{"customRegistries": map[string]any{w.bases: map[string]any{"identity": identity}}}}
}

// schedule queues a build of a Dockerfile, in which @base is the base image, as the admin, unless somebody else is named. The
// context holds one more file, whose text can be among the changes.
func (w *buildWorld) schedule(t *testing.T, dockerfile, image string, changes map[string]any, who ...*testenv.User) testenv.Answer {
	t.Helper()
	u := w.admin
	if len(who) > 0 {
		u = who[0]
	}
	file, given := changes["file"].(string) // not a part of the request
	if !given {
		file = "content"
	}
	source := uploadSource(t, w.env, w.admin, w.id, map[string]string{"Dockerfile": strings.ReplaceAll(dockerfile, "@base", w.base), "file": file})
	request := buildRequest(source, image, w.asBuilder(w.builderClient))
	maps.Copy(request, changes)
	delete(request, "file")
	return u.Do("POST", w.id+"/scheduleRun", request)
}

// build is schedule, and waits until the run has ended.
func (w *buildWorld) build(t *testing.T, dockerfile, image string, changes map[string]any, who ...*testenv.User) testenv.Answer {
	t.Helper()
	got := w.schedule(t, dockerfile, image, changes, who...)
	if got.Status != 200 {
		t.Fatalf("scheduleRun: %d %s", got.Status, got.Raw)
	}
	return runEnded(t, w.admin, got.Text("id"))
}

const runPatience = time.Minute

// runEnded waits until a run has ended.
func runEnded(t *testing.T, u *testenv.User, run string) testenv.Answer {
	t.Helper()
	for until := time.Now().Add(runPatience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		switch got := mustDo(t, u, "GET", run, nil); got.Text("properties.status") {
		case "Queued", "Started", "Running":
		default:
			return got
		}
	}
	t.Fatalf("the run does not end: %s", u.Do("GET", run, nil).Raw)
	return testenv.Answer{}
}

// runLog follows the log of a run to its end, and gives it with the outcome that its metadata tells.
func runLog(t *testing.T, env *testenv.Env, u *testenv.User, run string) (text, outcome string) {
	t.Helper()
	link := mustDo(t, u, "POST", run+"/listLogSasUrl", nil).Text("logLink")
	for until := time.Now().Add(runPatience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		answer, err := env.HTTP.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("the log: %s %s %v", answer.Status, content, err)
		}
		if outcome = answer.Header.Get("x-ms-meta-Complete"); outcome != "" {
			return string(content), outcome
		}
	}
	t.Fatalf("the log of %s does not end", run)
	return "", ""
}

// image pulls an image and checks every byte of it.
func (w *buildWorld) image(t *testing.T, reference string, who *testenv.User) v1.Image {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref, who.Remote(ref.Context().RegistryStr())...)
	if err == nil {
		err = validate.Image(image)
	}
	if err != nil {
		t.Fatalf("%s: %v", reference, err)
	}
	return image
}

// MI-11, MI-12: a build pulls its base and pushes its image as the identities that the request names. Whatever is missing is
// told in words that name who lacks what, and once it is given the build succeeds.
func TestBuildsByIdentity(t *testing.T) {
	w := newBuilds(t)
	const dockerfile = "FROM @base\nCOPY file /file\nRUN write /made by a command"
	caller, pusher := w.env.ServicePrincipal("caller"), w.env.ServicePrincipal("pusher")
	w.admin.Grant(caller.ObjectID, access.RoleContributor, w.id)
	w.admin.Grant(pusher.ObjectID, access.RoleAcrPush, w.id)

	isRefused := func(what string, got testenv.Answer, status int, code string, words ...string) {
		t.Helper()
		if got.Status != status || got.Code() != code {
			t.Errorf("%s: %d %s, want %d %s", what, got.Status, got.Raw, status, code)
		}
		for _, word := range words {
			if !strings.Contains(got.Message(), word) {
				t.Errorf("%s: the message lacks %q: %s", what, word, got.Message())
			}
		}
	}
	isRefused("AcrPush schedules", w.schedule(t, dockerfile, "app:1", nil, pusher), 403, "AuthorizationFailed", "Microsoft.ContainerRegistry/registries/scheduleRun/action")
	isRefused("AcrPush uploads a source", pusher.Do("POST", w.id+"/listBuildSourceUploadUrl", nil), 403, "AuthorizationFailed", "listBuildSourceUploadUrl/action")
	isRefused("an identity that the caller may not assign, by client id", w.schedule(t, dockerfile, "app:1", nil, caller), 403, "AuthorizationFailed", "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", "builder")
	isRefused("the same by resource id", w.schedule(t, dockerfile, "app:1", w.asBuilder(w.builder), caller), 403, "AuthorizationFailed", "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action")
	isRefused("an unknown client id", w.schedule(t, dockerfile, "app:1", w.asBuilder("11111111-1111-1111-1111-111111111111")), 400, "IdentityNotFound", "alvara identity show")
	if got := w.schedule(t, dockerfile, "app:1", w.asBuilder(w.builder+"-absent")); got.Status != 400 || !strings.Contains(got.Message(), "builder-absent") {
		t.Errorf("an unknown resource id: %d %s", got.Status, got.Raw)
	}
	if runs, _ := mustDo(t, w.admin, "GET", w.id+"/runs", nil).Get("value").([]any); len(runs) != 0 {
		t.Errorf("what was refused left %d runs", len(runs))
	}

	operator := w.admin.Grant(caller.ObjectID, access.RoleManagedIdentityOperator, w.builder)
	fails := func(what string, run testenv.Answer, words ...string) {
		t.Helper()
		message := run.Text("properties.runErrorMessage")
		if run.Text("properties.status") != "Failed" || run.Get("properties.outputImages") != nil {
			t.Errorf("%s: %s", what, run.Raw)
		}
		text, outcome := runLog(t, w.env, caller, run.Text("id"))
		for _, word := range words {
			if !strings.Contains(message, word) || !strings.Contains(text, word) {
				t.Errorf("%s: message or log lack %q: %s\n%s", what, word, message, text)
			}
		}
		if outcome != "failed" {
			t.Errorf("%s: the log ends as %q", what, outcome)
		}
	}
	// All that is missing is in one refusal, before anything is run.
	fails("no AcrPull on the base", w.build(t, dockerfile, "app:1", nil, caller), w.builderObject+" lacks AcrPull on the registry "+w.bases, "base/shell", "alvara role assignment create",
		w.system+" lacks AcrPush on the registry "+w.loginServer)
	w.admin.Grant(w.builderObject, access.RoleAcrPull, w.basesID)
	fails("no AcrPush on the registry itself", w.build(t, dockerfile, "app:1", nil, caller), w.system+" lacks AcrPush on the registry "+w.loginServer, "app")
	w.admin.Grant(w.system, access.RoleAcrPush, w.id)
	run := w.build(t, dockerfile, "app:1", nil, caller)
	outputs, _ := run.Get("properties.outputImages").([]any)
	if run.Text("properties.status") != "Succeeded" || len(outputs) != 1 {
		t.Fatalf("with every grant: %s", run.Raw)
	}
	image := w.image(t, w.loginServer+"/app:1", pusher)
	if digest, err := image.Digest(); err != nil || outputs[0].(map[string]any)["digest"] != digest.String() {
		t.Errorf("the run says %v, the tag is %s (%v)", outputs, digest, err)
	}
	if text, outcome := runLog(t, w.env, caller, run.Text("id")); outcome != "successful" || !strings.Contains(text, "RUN write /made by a command") || !strings.Contains(text, "Successfully tagged") {
		t.Errorf("the log ends as %q:\n%s", outcome, text)
	}

	// A credential that is named for the registry itself is used in place of the default one, even where that could do more (MI-12).
	both := map[string]any{"credentials": map[string]any{"customRegistries": map[string]any{
		w.bases: map[string]any{"identity": w.builderClient}, w.loginServer: map[string]any{"identity": w.builder}}}}
	fails("the named identity has no AcrPush", w.build(t, dockerfile, "app:named", both, caller), w.builderObject+" lacks AcrPush on the registry "+w.loginServer)
	w.admin.Grant(w.builderObject, access.RoleAcrPush, w.id)
	if run := w.build(t, dockerfile, "app:named", both, caller); run.Text("properties.status") != "Succeeded" {
		t.Errorf("the named identity has AcrPush: %s", run.Raw)
	}
	// Without a word about the base's registry nobody is sent there.
	none := map[string]any{"credentials": map[string]any{}}
	fails("no credential for the base", w.build(t, dockerfile, "app:none", none, caller), "no credential for it", w.bases)

	// Whoever may no longer assign the identity may still use the one that the registry itself has (MI-11).
	mustDo(t, w.admin, "DELETE", operator, nil)
	isRefused("the identity is not the registry's", w.schedule(t, dockerfile, "app:2", nil, caller), 403, "AuthorizationFailed", "assign/action")
	mustDo(t, w.admin, "PATCH", w.id, map[string]any{"identity": map[string]any{"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": map[string]any{w.builder: map[string]any{}}}})
	if run := w.build(t, dockerfile, "app:2", nil, caller); run.Text("properties.status") != "Succeeded" {
		t.Errorf("the identity is the registry's: %s", run.Raw)
	}
	mustDo(t, w.admin, "PATCH", w.basesID, map[string]any{"identity": map[string]any{"type": "None"}})
	source := uploadSource(t, w.env, w.admin, w.basesID, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /"})
	isRefused("a registry without an identity", w.admin.Do("POST", w.basesID+"/scheduleRun", buildRequest(source, "app:1", nil)), 400, "IdentityNotFound", "alvara acr identity assign", "AcrPush")
}

// MI-11: a command of a build sees its root alone: no network, no address of the server, no token, no file of it, no process.
func TestBuildWalls(t *testing.T) {
	w := newBuilds(t).trusted()
	e := w.env.Server.Endpoints
	places := []string{
		w.env.Dir, filepath.Join(w.env.Dir, "master.key"), filepath.Join(w.env.Dir, "alvara.sock"), "/proc/1/root" + w.env.Dir, "/work", "/Dockerfile", "/context", "/run", "/var", "/home",
		e.ResourceManager, e.Identity + "/msi/token?api-version=2019-08-01&resource=https://containerregistry.azure.net", "https://" + w.loginServer + "/v2/", w.bases, "169.254.169.254:80",
	}
	if len(places) < 10 || e.Identity == "" {
		t.Fatalf("the places are %v", places)
	}
	run := w.build(t, "FROM @base\nCOPY file /places\nRUN look /places", "app:1", map[string]any{"file": strings.Join(places, " ")})
	text, _ := runLog(t, w.env, w.admin, run.Text("id"))
	if run.Text("properties.status") != "Succeeded" || !strings.Contains(text, "looked") {
		t.Fatalf("%s\n%s", run.Raw, text)
	}
	said := text[strings.Index(text, "environment ["):]
	for _, secret := range []string{"REACHED", "IDENTITY_", "MSI_", "ALVARA", "eyJ", "acceptance", w.env.Dir, "/tmp/"} {
		if strings.Contains(said, secret) {
			t.Errorf("the command sees %q", secret)
		}
	}
	if n := strings.Count(said, "\nnetwork "); n > 1 {
		t.Errorf("the command has %d network devices, and one without a way out was expected", n)
	}
	if t.Failed() {
		t.Log(said)
	}
	if !strings.Contains(text, "Isolation") {
		t.Errorf("the log does not name what is around commands:\n%s", text[:min(len(text), 2000)])
	}
}

// The same source gives the same image, whether a step is taken from the cache, run again, or run beside another build.
func TestBuildsAreReproducible(t *testing.T) {
	w := newBuilds(t).trusted()
	const dockerfile = "FROM @base\nCOPY file /a/file\nRUN write /made 1\nENV A=b\nWORKDIR /work\nRUN write two 2"
	digest := func(run testenv.Answer) string {
		t.Helper()
		outputs, _ := run.Get("properties.outputImages").([]any)
		if run.Text("properties.status") != "Succeeded" || len(outputs) != 1 {
			t.Fatalf("%s", run.Raw)
		}
		return outputs[0].(map[string]any)["digest"].(string)
	}
	fresh := func() map[string]any { return map[string]any{"noCache": true} }
	first := digest(w.build(t, dockerfile, "app:1", fresh()))
	if again := digest(w.build(t, dockerfile, "app:again", fresh())); again != first {
		t.Errorf("the same source gives %s and %s", first, again)
	}
	var runs []string
	for i := range 2 {
		got := w.schedule(t, dockerfile, fmt.Sprintf("app:beside%d", i), fresh())
		if got.Status != 200 {
			t.Fatalf("%d %s", got.Status, got.Raw)
		}
		runs = append(runs, got.Text("id"))
	}
	for _, run := range runs {
		if beside := digest(runEnded(t, w.admin, run)); beside != first {
			t.Errorf("beside another build the source gives %s and not %s", beside, first)
		}
	}
	run := w.build(t, dockerfile, "app:cached", nil)
	if cached := digest(run); cached != first {
		t.Errorf("from the cache the source gives %s and not %s", cached, first)
	}
	if other := digest(w.build(t, dockerfile+" and", "app:other", nil)); other == first {
		t.Error("another command gives the same image")
	}
}

// How builds end that do not succeed: by their own fault, by their timeout, and by who cancels them.
func TestBuildsThatEnd(t *testing.T) {
	w := newBuilds(t).trusted()
	for _, c := range []struct {
		what, dockerfile string
		changes          map[string]any
		status, outcome  string
		message          []string
		log              []string
	}{
		{"a command that fails", "FROM @base\nRUN echo the last words && fail 42\nRUN echo never", nil, "Failed", "failed", []string{"non-zero code: 42"}, []string{"the last words", "non-zero code: 42"}},
		{"a program that is not there", "FROM @base\nRUN [\"/absent\"]", nil, "Failed", "failed", []string{"/absent"}, nil},
		{"a timeout", "FROM @base\nRUN sleep 50", map[string]any{"timeout": 3}, "Timeout", "timedout", []string{"timeout of 3 seconds"}, []string{"RUN sleep 50"}},
		{"a base that is not there", "FROM " + w.bases + "/base/absent:1", nil, "Failed", "failed", []string{"base/absent"}, nil},
	} {
		began := time.Now()
		run := w.build(t, c.dockerfile, "app:1", c.changes)
		text, outcome := runLog(t, w.env, w.admin, run.Text("id"))
		if run.Text("properties.status") != c.status || outcome != c.outcome || time.Since(began) > 30*time.Second {
			t.Errorf("%s: after %s the log ends as %q: %s", c.what, time.Since(began), outcome, run.Raw)
		}
		for _, word := range c.message {
			if !strings.Contains(run.Text("properties.runErrorMessage"), word) {
				t.Errorf("%s: the message lacks %q: %s", c.what, word, run.Raw)
			}
		}
		for _, word := range c.log {
			if !strings.Contains(text, word) {
				t.Errorf("%s: the log lacks %q:\n%s", c.what, word, text)
			}
		}
		if strings.Contains(text, "never") {
			t.Errorf("%s: the build went on:\n%s", c.what, text)
		}
	}
	got := w.schedule(t, "FROM @base\nRUN sleep 50", "app:canceled", nil)
	run := got.Text("id")
	w.running(t, run)
	began := time.Now()
	if got := w.admin.Do("POST", run+"/cancel", nil); got.Status != 200 && got.Status != 202 {
		t.Errorf("cancel: %d %s", got.Status, got.Raw)
	}
	ended := runEnded(t, w.admin, run)
	if _, outcome := runLog(t, w.env, w.admin, run); ended.Text("properties.status") != "Canceled" || outcome != "canceled" || time.Since(began) > 20*time.Second {
		t.Errorf("after %s the log ends as %q: %s", time.Since(began), outcome, ended.Raw)
	}
	if got := w.admin.Do("POST", run+"/cancel", nil); got.Status != 409 {
		t.Errorf("cancel of what has ended: %d %s", got.Status, got.Raw)
	}
}

// running waits until a run's command is under way.
func (w *buildWorld) running(t *testing.T, run string) {
	t.Helper()
	for until := time.Now().Add(runPatience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if got := w.admin.Do("GET", run, nil); got.Text("properties.status") == "Running" {
			return
		}
	}
	t.Fatalf("%s does not begin", run)
}

// A secret build argument reaches the command, and is neither in the log, nor in what is shown of the run, nor in the image, nor,
// readable, in the database.
func TestSecretsOfBuilds(t *testing.T) {
	w := newBuilds(t).trusted()
	const secret = "s3cr3t-of-the-build"
	run := w.build(t, "FROM @base\nARG TOKEN\nARG OPEN\nRUN write /length ${TOKEN}x && echo the secret is $TOKEN and $OPEN", "app:1",
		map[string]any{"arguments": []any{map[string]any{"name": "TOKEN", "value": secret, "isSecret": true}, map[string]any{"name": "OPEN", "value": "everybody-knows"}}})
	text, _ := runLog(t, w.env, w.admin, run.Text("id"))
	if !strings.Contains(text, "the secret is *** and everybody-knows") {
		t.Errorf("the command's words are not in the log:\n%s", text)
	}
	run = w.build(t, "FROM @base\nARG TOKEN\nRUN echo $TOKEN\nRUN echo a", "app:1", map[string]any{"arguments": []any{map[string]any{"name": "TOKEN", "value": secret, "isSecret": true}}})
	if run.Text("properties.status") != "Succeeded" {
		t.Fatalf("%s", run.Raw)
	}
	more, _ := runLog(t, w.env, w.admin, run.Text("id"))
	config, err := w.image(t, w.loginServer+"/app:1", w.admin).RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for where, content := range map[string]string{"the log": text + more, "the run": string(run.Raw), "the image": string(config)} {
		if strings.Contains(content, secret) {
			t.Errorf("the secret is in %s:\n%s", where, content)
		}
	}
	w.env.Stop()
	for _, file := range []string{"alvara.db", "alvara.db-wal"} {
		if content, err := os.ReadFile(filepath.Join(w.env.Dir, file)); err == nil && bytes.Contains(content, []byte(secret)) {
			t.Errorf("the secret is in %s", file)
		}
	}
}
