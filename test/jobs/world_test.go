package jobs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/test/testenv"
)

type object = map[string]any

// world is a server with a workspace, a registry that holds an image, and an environment that names it.
type world struct {
	t     *testing.T
	env   *testenv.Env
	admin *testenv.User
	group, ws, registry,
	host, image string
	storage string // the workspace's storage account
}

// newWorld makes a world on a server. own makes the registry the workspace's own.
func newWorld(t *testing.T, env *testenv.Env, own bool) *world {
	t.Helper()
	if can := sandbox.Check(); !can.Ready() {
		t.Skipf("jobs cannot be run in sandboxes on this machine: %v", can.Lacks)
	}
	w := &world{t: t, env: env, admin: env.Admin(), group: env.Group("jobs")}
	w.must("PUT", w.group, object{"location": "local"})
	w.registry = w.group + "/providers/Microsoft.ContainerRegistry/registries/images"
	w.host = w.must("PUT", w.registry, object{"location": "local", "sku": object{"name": "Premium"}, "properties": object{}}).Text("properties.loginServer")
	w.image = w.host + "/team/task:1"
	w.push(w.image)
	w.ws = w.group + "/providers/Microsoft.MachineLearningServices/workspaces/ws"
	properties := object{}
	if own {
		properties["containerRegistry"] = w.registry
	}
	made := w.must("PUT", w.ws, object{"location": "local", "identity": object{"type": "SystemAssigned"}, "properties": properties})
	w.storage = made.Text("properties.storageAccount")
	w.must("PUT", w.ws+"/environments/task/versions/1", object{"properties": object{"image": w.image}})
	return w
}

func (w *world) must(method, path string, body any) testenv.Answer {
	w.t.Helper()
	got := w.admin.Do(method, path, body)
	if got.Status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Raw)
	}
	return got
}

// push pushes an image that holds nothing but the task.
func (w *world) push(reference string) {
	w.t.Helper()
	program, err := os.ReadFile(testenv.StaticTool(w.t, "github.com/alvara-ml/alvara/test/jobs/testdata/task"))
	if err != nil {
		w.t.Fatal(err)
	}
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	for _, step := range []func() error{
		func() error {
			return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/task", Mode: 0o755, Size: int64(len(program))})
		},
		func() error { _, err := archive.Write(program); return err },
		archive.Close,
	} {
		if err := step(); err != nil {
			w.t.Fatal(err)
		}
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		w.t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config.Env = "linux", runtime.GOARCH, []string{"PATH=/bin"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		w.t.Fatal(err)
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(ref, image, w.admin.Remote(w.host)...); err != nil {
		w.t.Fatal(err)
	}
}

// identity makes a user-assigned identity and gives its id, its client id and its object id.
func (w *world) identity(name string) (id, client, principal string) {
	w.t.Helper()
	id = w.group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
	made := w.must("PUT", id, object{"location": "local"})
	return id, made.Text("properties.clientId"), made.Text("properties.principalId")
}

// cluster makes a compute with an identity, and gives the object id of its system-assigned one.
func (w *world) cluster(name string, identity object, nodes int) string {
	w.t.Helper()
	body := object{"location": "local", "properties": object{"computeType": "AmlCompute", "properties": object{"scaleSettings": object{"maxNodeCount": nodes}}}}
	if identity != nil {
		body["identity"] = identity
	}
	return w.must("PUT", w.ws+"/computes/"+name, body).Text("identity.principalId")
}

// ready makes a cluster named cpu, whose identity may pull the image: it comes after the workspace's registry (MI-05).
func (w *world) ready() (principal string) {
	w.t.Helper()
	return w.cluster("cpu", object{"type": "SystemAssigned"}, 4)
}

// job is the body of a command job.
func job(command string, more object) object {
	properties := object{"jobType": "Command", "command": command, "environmentId": "azureml:task:1", "computeId": "azureml:cpu"}
	for name, value := range more {
		properties[name] = value
	}
	return object{"properties": properties}
}

// submit submits a job and gives its id.
func (w *world) submit(name, command string, more object) string {
	w.t.Helper()
	id := w.ws + "/jobs/" + name
	if got := w.must("PUT", id, job(command, more)); got.Status != 201 {
		w.t.Fatalf("a new job is answered with %d", got.Status)
	}
	return id
}

// patience is how long a loaded machine may take for anything.
const patience = 2 * time.Minute

// until waits for a state of a job.
func (w *world) until(id string, states ...string) testenv.Answer {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := w.must("GET", id, nil)
		now := got.Text("properties.status")
		for _, state := range states {
			if now == state {
				return got
			}
		}
		over := now == "Completed" || now == "Failed" || now == "Canceled"
		if over || time.Now().After(end) {
			w.t.Fatalf("%s is %s; want %v: %s\n%s", id, now, states, got.Raw, w.log(id))
		}
	}
}

// ended waits for the end of a job, which must be as it is wanted.
func (w *world) ended(id, state string) testenv.Answer {
	w.t.Helper()
	return w.until(id, state)
}

// log is the whole log of a job until now.
func (w *world) log(id string) string {
	w.t.Helper()
	var all strings.Builder
	for offset := "0"; ; {
		got := w.must("GET", id+"/logs?offset="+offset, nil)
		next := got.Header.Get("x-alvara-next-offset")
		all.Write(got.Raw)
		if next == offset {
			return all.String()
		}
		offset = next
	}
}

// run submits a job and waits for its end.
func (w *world) run(name, state, command string, more object) (ended testenv.Answer, log string) {
	w.t.Helper()
	id := w.submit(name, command, more)
	ended = w.ended(id, state)
	return ended, w.log(id)
}

func (w *world) has(what, text string, wants ...string) {
	w.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			w.t.Errorf("%s does not have %q:\n%s", what, want, text)
		}
	}
}

// file writes a blob of the workspace's own container as the administrator, and gives its place in the datastore.
func (w *world) file(name, text string) (uri string) {
	w.t.Helper()
	got := w.must("GET", w.ws+"/datastores/workspaceblobstore", nil)
	url := fmt.Sprintf("%s/%s/%s/%s", w.env.Server.Endpoints.Blob, got.Text("properties.accountName"), got.Text("properties.containerName"), name)
	if answer := w.admin.Send("PUT", url, testenv.Storage, text); answer.Status != 201 {
		w.t.Fatalf("writing %s: %d %s", url, answer.Status, answer.Raw)
	}
	return "azureml://datastores/workspaceblobstore/paths/" + name
}
