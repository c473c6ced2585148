package launch_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/sandboxed"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
	"github.com/alvara-ml/alvara/workload"
	"github.com/alvara-ml/alvara/workload/launch"
)

const envProbe = "LAUNCH_TEST_PROBE" // the test program, when it is built already

var probe string

// The program of the tests is the supervisor of its runs, and the first process of its sandboxes, before this begins.
func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if probe = os.Getenv(envProbe); probe != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "probe")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	probe = filepath.Join(folder, "probe")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", probe, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		panic(err)
	}
	return m.Run()
}

// world is a registry, storage and a token service, and a folder for runs.
type world struct {
	t         testing.TB
	kind      string
	dir       string
	files     *files
	registry  *plane
	directory *identity.Directory
	service   *identity.Service
	image     string // reference
	ann, ben  identity.Principal
	plane     job.Forward // that every run reaches
	launcher  *launch.Launcher
}

var registryID = resource.MustParseID("/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/reg")

func newWorld(t testing.TB, kind string) *world {
	t.Helper()
	if can := sandbox.Check(); kind == local.Sandbox && !can.Ready() {
		t.Skipf("this machine cannot run sandboxes: %v", can.Lacks)
	}
	w := &world{t: t, kind: kind, dir: t.TempDir(), files: &files{content: map[string][]byte{}, grants: map[string]string{}}, registry: newPlane(t)}
	if w.longDir(); kind == local.Sandbox {
		w.image = w.push("app:1", &v1.Config{Env: []string{"PATH=/bin", "OF=image"}, Entrypoint: []string{"probe"}, Cmd: []string{"say", "of the image"}, WorkingDir: "/srv"})
	}
	w.identities()
	w.plane = w.listen("plane")
	w.launcher = w.open()
	return w
}

// longDir makes paths that are longer than sockets' addresses may be.
func (w *world) longDir() {
	w.dir = filepath.Join(w.dir, strings.Repeat("long-", 20))
	w.must(os.MkdirAll(w.dir, 0o755))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) identities() {
	documents := mem.New()
	sealer, err := identity.OpenSealer(filepath.Join(w.dir, "master.key"))
	w.must(err)
	w.directory, err = identity.OpenDirectory(documents, "11111111-2222-3333-4444-555555555555", time.Now)
	w.must(err)
	keys, err := identity.OpenKeys(w.t.Context(), identity.KeysConfig{Store: documents, Sealer: sealer, Clock: time.Now})
	w.must(err)
	w.service, err = identity.NewService(identity.Config{
		Authority: "https://login.example.org", Directory: w.directory, Keys: keys, Store: documents, Clock: time.Now,
		Resources: []identity.Resource{{Name: "arm", Identifiers: []string{"https://management.azure.com/"}}},
	})
	w.must(err)
	for i, into := range []*identity.Principal{&w.ann, &w.ben} {
		id := resource.MustParseID(fmt.Sprintf("/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id%d", i))
		made, ops, err := w.directory.ManagedIdentityOps(id, id.Name())
		w.must(err)
		_, err = documents.Apply(w.t.Context(), ops...)
		w.must(err)
		*into, _ = w.directory.Lookup(made.PrincipalID)
		w.registry.grant(into.ID, "pull")
		w.files.grant(into.ID, "rw")
	}
}

// open makes a launcher on the same folders, as another server would have, with its own endpoint for identities.
func (w *world) open() *launch.Launcher {
	w.t.Helper()
	endpoint := &identity.ManagedEndpoint{Service: w.service, Runs: identity.NewRuns()}
	server := httptest.NewServer(endpoint)
	w.t.Cleanup(server.Close)
	ca := filepath.Join(w.dir, "bundle.pem")
	w.must(os.WriteFile(ca, []byte("authorities"), 0o644))
	l := &launch.Launcher{
		Backend: &local.Backend{Dir: filepath.Join(w.dir, "life"), Kind: w.kind, Clock: time.Now, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil))},
		Dir:     filepath.Join(w.dir, "files"), Proofs: filepath.Join(w.dir, "proofs"),
		Layers: &layer.Store{Dir: filepath.Join(w.dir, "layers"), Owners: sandboxed.Owners(), Clock: time.Now},
		Registries: launch.Registries{
			Transport: w.registry.Client().Transport,
			Own: func(context.Context) (map[string]resource.ID, error) {
				return map[string]resource.ID{w.registry.host: registryID}, nil
			},
			Token: func(_ context.Context, principal string) (string, error) { return "entra-" + principal, nil },
		},
		Files: w.files, Identity: endpoint, IdentityURL: server.URL, Planes: []job.Forward{w.plane}, CAFile: ca,
		Hosts: func(context.Context) ([]string, error) { return []string{"management.example.org"}, nil },
		Env:   func(ca string) []string { return []string{"SSL_CERT_FILE=" + ca} },
		Log:   slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	}
	w.t.Cleanup(func() { w.must(l.Close()) })
	return l
}

// listen tells everybody a word, and gives the way there.
func (w *world) listen(word string) job.Forward {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, word)
			_ = conn.Close()
		}
	}()
	return job.Forward{Inside: listener.Addr().String(), Outside: listener.Addr().String()}
}

var orders atomic.Int64

// order runs steps of the test program as ann.
func (w *world) order(steps ...string) workload.Order {
	program := probe
	if w.kind == local.Sandbox {
		program = "/bin/probe"
	}
	command := []string{program}
	for i, step := range steps {
		if i > 0 {
			command = append(command, "+")
		}
		command = append(command, strings.Fields(step)...)
	}
	return workload.Order{
		ID: fmt.Sprintf("run-%d-%d", os.Getpid(), orders.Add(1)), Image: w.image, Puller: workload.Puller{Who: w.ann}, Who: w.ann, Command: command,
		Limits: job.Limits{Timeout: time.Minute},
	}
}

// launch begins an order, and ends it with the test.
func (w *world) launch(order workload.Order) workload.Launched {
	w.t.Helper()
	run, err := w.launcher.Launch(w.t.Context(), order, func(line string) { w.t.Log(line) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := run.Cancel(ctx); resource.KindOf(err) == resource.NotFound { // forgotten
			return
		}
		if _, err := run.Wait(ctx); err != nil {
			w.t.Error(err)
		}
		w.must(w.launcher.Forget(order.ID))
	})
	return run
}

// run runs an order to its end, and gives what it said. Places below /alvara are named the same in both backends.
func (w *world) run(order workload.Order) (workload.Launched, job.Status, string) {
	w.t.Helper()
	run := w.launch(order)
	status, err := run.Wait(w.t.Context())
	w.must(err)
	return run, status, w.said(run)
}

func (w *world) said(run workload.Launched) string {
	w.t.Helper()
	var text bytes.Buffer
	_, err := run.Logs(w.t.Context(), 0, 0, false, &text)
	w.must(err)
	return text.String()
}

// at is a path inside.
func (w *world) at(order workload.Order, path string) string {
	if w.kind == local.Process {
		return filepath.Join(w.dir, "files", order.ID, path)
	}
	return filepath.Join("/alvara", path)
}

// until waits until a run has said something.
func (w *world) until(run workload.Launched, what string) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(w.said(run), what) {
			return
		}
	}
	w.t.Fatalf("the run never says %s: %s", what, w.said(run))
}

func both(t *testing.T, test func(*testing.T, *world)) {
	for _, kind := range []string{local.Process, local.Sandbox} {
		t.Run(kind, func(t *testing.T) { test(t, newWorld(t, kind)) })
	}
}

func isKind(t testing.TB, err error, kind resource.Kind, says ...string) {
	t.Helper()
	if resource.KindOf(err) != kind {
		t.Errorf("error %v; want %v", err, kind)
		return
	}
	for _, word := range says {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q: %v", word, err)
		}
	}
}

// push makes an image of the test program and gives its reference.
func (w *world) push(repository string, config *v1.Config) string {
	w.t.Helper()
	program, err := os.ReadFile(probe)
	w.must(err)
	var text bytes.Buffer
	archive := tar.NewWriter(&text)
	for _, h := range []tar.Header{
		{Name: "bin/probe", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}, {Name: "srv/", Mode: 0o755, Typeflag: tar.TypeDir},
	} {
		w.must(archive.WriteHeader(&h))
		if h.Size > 0 {
			_, err := archive.Write(program)
			w.must(err)
		}
	}
	w.must(archive.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil })
	w.must(err)
	made, err := mutate.AppendLayers(empty.Image, l, l) // twice, as old tools do
	w.must(err)
	file, err := made.ConfigFile()
	w.must(err)
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, *config
	made, err = mutate.ConfigFile(made, file)
	w.must(err)
	reference, err := name.ParseReference(w.registry.host + "/" + repository)
	w.must(err)
	w.must(remote.Write(reference, made, remote.WithTransport(pushing{w.registry.Client().Transport})))
	return reference.Name()
}

// pushing is somebody who may push.
type pushing struct{ http.RoundTripper }

func (p pushing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer access-pusher")
	return p.RoundTripper.RoundTrip(r)
}

// plane is a registry that takes access tokens of identities. Its tokens are words that say what they are.
type plane struct {
	*httptest.Server
	host string

	mu     sync.Mutex
	grants map[string]string // principal → "pull"
}

func newPlane(t testing.TB) *plane {
	p := &plane{grants: map[string]string{"pusher": "pull push"}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answer(w, r, inner)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(p.Close)
	p.host = strings.TrimPrefix(p.URL, "https://")
	return p
}

func (p *plane) grant(who, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grants[who] = what
}

func (p *plane) answer(w http.ResponseWriter, r *http.Request, inner http.Handler) {
	say := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch r.URL.Path {
	case "/oauth2/exchange":
		say(map[string]string{"refresh_token": strings.Replace(r.PostFormValue("access_token"), "entra-", "refresh-", 1)})
		return
	case "/oauth2/token":
		say(map[string]string{"access_token": "access-" + strings.TrimPrefix(r.FormValue("refresh_token"), "refresh-")})
		return
	}
	who, known := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer access-")
	if user, password, ok := r.BasicAuth(); ok && user == "admin" && password == "pass" {
		who, known = "pusher", true
	}
	if !known {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+p.URL+`/oauth2/token",service="`+p.host+`"`)
		if p.grants["basic"] != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path != "/v2/" && p.grants[who] == "" {
		w.WriteHeader(http.StatusForbidden)
		say(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": "no right to pull"}}})
		return
	}
	inner.ServeHTTP(w, r)
}

// files is storage in memory.
type files struct {
	mu      sync.Mutex
	content map[string][]byte // by account/container/path
	grants  map[string]string // principal → "r", "rw"
}

func (f *files) grant(who, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grants[who] = what
}

// put puts a file into the container c of the account a.
func (f *files) put(path, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content["a/c/"+path] = []byte(text)
}

func (f *files) has(path string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, ok := f.content["a/c/"+path]
	return string(text), ok
}

func (f *files) check(who identity.Principal, need string) error {
	if !strings.Contains(f.grants[who.ID], need) {
		return resource.Forbiddenf("AuthorizationFailed", "%s lacks the role", who.ID)
	}
	return nil
}

func (f *files) List(_ context.Context, who identity.Principal, account, container, folder string, each func(string, int64) error) error {
	f.mu.Lock()
	if err := f.check(who, "r"); err != nil {
		f.mu.Unlock()
		return err
	}
	found := map[string]int64{}
	for name, content := range f.content {
		if below, ok := strings.CutPrefix(name, account+"/"+container+"/"); ok && (folder == "" || strings.HasPrefix(below, folder+"/")) {
			found[below] = int64(len(content))
		}
	}
	f.mu.Unlock()
	for name, size := range found {
		if err := each(name, size); err != nil {
			return err
		}
	}
	return nil
}

func (f *files) Open(_ context.Context, who identity.Principal, account, container, path string) (io.ReadCloser, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(who, "r"); err != nil {
		return nil, 0, err
	}
	content, ok := f.content[account+"/"+container+"/"+path]
	if !ok {
		return nil, 0, resource.NotFoundf("BlobNotFound", "There is no %s.", path)
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

func (f *files) Write(_ context.Context, who identity.Principal, account, container, path string, content io.Reader) error {
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(who, "w"); err != nil {
		return err
	}
	f.content[account+"/"+container+"/"+path] = text
	return nil
}
