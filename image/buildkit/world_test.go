package buildkit_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/test/testenv"
)

// world is a server whose builds a daemon carries out, with a registry that builds and one that holds the base image.
type world struct {
	t       *testing.T
	env     *testenv.Env
	admin   *testenv.User
	daemon  *daemon
	id      string // the building registry's
	host    string // and its login server
	system  string // object id of its identity
	basesID string
	bases   string
	base    string // the image in it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	d := newDaemon(t)
	env := testenv.StartIn(t, app.Config{DataDir: testenv.Folder(t), BuildKit: d.address})
	w := &world{t: t, env: env, admin: env.Admin(), daemon: d}
	w.do("PUT", env.Group("images"), map[string]any{"location": "local"})
	w.id, w.host, w.system = w.registry("builds")
	w.basesID, w.bases, _ = w.registry("bases")
	d.start(env.Server.Endpoints.CAFile, w.host, w.bases)
	w.base = w.bases + "/base/shell:1"
	w.pushBase()
	return w
}

// trusted lets the builds pull and push.
func (w *world) trusted() *world {
	w.admin.Grant(w.system, access.RoleAcrPull, w.basesID)
	w.admin.Grant(w.system, access.RoleAcrPush, w.id)
	return w
}

func (w *world) do(method, path string, body any) testenv.Answer {
	w.t.Helper()
	got := w.admin.Do(method, path, body)
	if got.Status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Raw)
	}
	return got
}

func (w *world) registry(called string) (id, host, identity string) {
	id = w.env.Group("images") + "/providers/Microsoft.ContainerRegistry/registries/" + called
	got := w.do("PUT", id, map[string]any{"location": "local", "sku": map[string]any{"name": "Premium"}, "properties": map[string]any{}, "identity": map[string]any{"type": "SystemAssigned"}})
	return id, got.Text("properties.loginServer"), got.Text("identity.principalId")
}

// remote acts as the admin at a registry.
func (w *world) remote(host string) []remote.Option {
	return []remote.Option{remote.WithAuth(authn.FromConfig(authn.AuthConfig{IdentityToken: w.admin.RegistryToken(host)})), remote.WithTransport(w.env.HTTP.Transport)}
}

// pushBase pushes an image whose only program is a shell of a few commands.
func (w *world) pushBase() {
	w.t.Helper()
	program := filepath.Join(w.t.TempDir(), "sh")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "../testdata/tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(program)
	w.must(err)
	packed := w.packed(map[string]string{"bin/sh": string(text), "etc/passwd": "root:x:0:0::/:/bin/sh\n"})
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil })
	w.must(err)
	made, err := mutate.AppendLayers(empty.Image, layer)
	w.must(err)
	config, err := made.ConfigFile()
	w.must(err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	made, err = mutate.ConfigFile(made, config)
	w.must(err)
	ref, err := name.ParseReference(w.base)
	w.must(err)
	w.must(remote.Write(ref, made, w.remote(w.bases)...))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// packed is a tar.gz of files.
func (w *world) packed(files map[string]string) []byte {
	w.t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}
		text, link := strings.CutPrefix(files[name], "link:")
		if link {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, text, 0
		}
		w.must(archive.WriteHeader(h))
		if !link {
			_, err := io.WriteString(archive, text)
			w.must(err)
		}
	}
	w.must(archive.Close())
	w.must(zipped.Close())
	return out.Bytes()
}

// schedule queues a build of a Dockerfile, in which @base is the base image, with changes to the request, and gives the run's id.
func (w *world) schedule(dockerfile string, files map[string]string, changes map[string]any) string {
	w.t.Helper()
	all := map[string]string{"Dockerfile": strings.ReplaceAll(dockerfile, "@base", w.base)}
	maps.Copy(all, files)
	place := w.do("POST", w.id+"/listBuildSourceUploadUrl", nil)
	request, err := http.NewRequestWithContext(w.t.Context(), "PUT", place.Text("uploadUrl"), bytes.NewReader(w.packed(all)))
	w.must(err)
	request.Header.Set("x-ms-blob-type", "BlockBlob")
	answer, err := w.env.HTTP.Do(request)
	w.must(err)
	w.must(answer.Body.Close())
	if answer.StatusCode != http.StatusCreated {
		w.t.Fatalf("upload: %s", answer.Status)
	}
	body := map[string]any{
		"type": "DockerBuildRequest", "dockerFilePath": "Dockerfile", "platform": map[string]any{"os": "Linux"}, "sourceLocation": place.Text("relativePath"),
		"imageNames": []string{"app:1"}, "isPushEnabled": true,
		"credentials": map[string]any{"customRegistries": map[string]any{w.bases: map[string]any{"identity": "[system]"}}},
	}
	maps.Copy(body, changes)
	return w.do("POST", w.id+"/scheduleRun", body).Text("id")
}

// ended waits until a run has ended.
func (w *world) ended(run string) testenv.Answer {
	w.t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		switch got := w.do("GET", run, nil); got.Text("properties.status") {
		case "Queued", "Started", "Running":
		default:
			return got
		}
	}
	w.t.Fatalf("the run does not end: %s", w.do("GET", run, nil).Raw)
	return testenv.Answer{}
}

// log is what the log of a run holds now.
func (w *world) log(run string) string {
	w.t.Helper()
	place := w.admin.Do("POST", run+"/listLogSasUrl", nil)
	if place.Status == http.StatusNotFound {
		return "" // not yet begun
	}
	answer, err := w.env.HTTP.Get(place.Text("logLink"))
	w.must(err)
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	w.must(answer.Body.Close())
	return strings.ReplaceAll(string(text), "\r\n", "\n") // the wire's ends of lines
}

// succeeds is a build that must; it gives the image as its registry has it, and the log.
func (w *world) succeeds(dockerfile string, files map[string]string, changes map[string]any) (v1.Image, string) {
	w.t.Helper()
	run := w.schedule(dockerfile, files, changes)
	got := w.ended(run)
	log := w.log(run)
	if got.Text("properties.status") != "Succeeded" {
		w.t.Fatalf("the build ended %s: %s\n%s", got.Text("properties.status"), got.Raw, log)
	}
	ref, err := name.ParseReference(w.host + "/app:1")
	w.must(err)
	made, err := remote.Image(ref, w.remote(w.host)...)
	w.must(err)
	digest, err := made.Digest()
	w.must(err)
	if !strings.Contains(string(got.Raw), digest.String()) {
		w.t.Errorf("the registry has %s and the run says %s", digest, got.Raw)
	}
	return made, log
}

// fails is a build that must not succeed; it gives the run's message and the log.
func (w *world) fails(dockerfile string, files map[string]string, changes map[string]any, words ...string) string {
	w.t.Helper()
	run := w.schedule(dockerfile, files, changes)
	got := w.ended(run)
	message := got.Text("properties.runErrorMessage")
	if got.Text("properties.status") != "Failed" {
		w.t.Errorf("the build ended %s: %s\n%s", got.Text("properties.status"), message, w.log(run))
	}
	for _, word := range words {
		if !strings.Contains(message, word) {
			w.t.Errorf("the message lacks %q: %s", word, message)
		}
	}
	return message
}

// files gives the regular files in the layers above the base's, by name.
func files(t *testing.T, made v1.Image) map[string]string {
	t.Helper()
	layers, err := made.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, l := range layers[1:] {
		stream, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(stream); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				all[h.Name] = string(text)
			}
			if h.ModTime.Unix() != 0 {
				t.Errorf("%s has the time %s", h.Name, h.ModTime)
			}
		}
		_ = stream.Close()
	}
	return all
}
