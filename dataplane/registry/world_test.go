package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
)

const tenant = "11111111-2222-4333-8444-555555555555"

// keys are shared by all tests of the package: making them takes long, and they hold nothing of a test.
var keys *identity.Keys

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "registry-test-*")
	if err != nil {
		panic(err)
	}
	sealer, err := identity.OpenSealer(filepath.Join(dir, "master.key"))
	if err != nil {
		panic(err)
	}
	if keys, err = identity.OpenKeys(context.Background(), identity.KeysConfig{Store: mem.New(), Sealer: sealer}); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// catalog is a Catalog in memory.
type catalog struct {
	mu         sync.Mutex
	registries map[string]*Registry
	passwords  map[string][]string
	renewed    map[string]int
}

func (c *catalog) Registry(_ context.Context, name string) (Registry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.registries[strings.ToLower(name)]
	if !ok {
		return Registry{}, resource.NotFoundf("ResourceNotFound", "there is no registry %q", name)
	}
	return *r, nil
}

func (c *catalog) CheckPassword(ctx context.Context, name, password string) (string, error) {
	generation, err := c.Generation(ctx, name)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.passwords[name] {
		if generation != "" && one == password {
			return generation, nil
		}
	}
	return "", resource.Errorf(resource.Unauthenticated, "WrongPassword", "no")
}

func (c *catalog) Generation(_ context.Context, name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.registries[name]
	if !ok {
		return "", resource.NotFoundf("ResourceNotFound", "there is no registry %q", name)
	}
	if !r.AdminEnabled {
		return "", nil
	}
	return fmt.Sprintf("%d?~", c.renewed[name]), nil
}

// change changes a registry as its provider would.
func (c *catalog) change(name string, change func(*Registry)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.registries[name])
	c.renewed[name]++
}

// tokens is an authenticator whose tokens read "audience:object id".
type tokens struct{ directory *identity.Directory }

func (a tokens) Authenticate(_ context.Context, token, resourceName string) (identity.Principal, error) {
	audience, id, _ := strings.Cut(token, ":")
	if audience != resourceName {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationTokenAudience", "the token is for %q", audience)
	}
	who, ok := a.directory.Active(id)
	if !ok {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationToken", "nobody has the id %q", id)
	}
	return who, nil
}

// world is two registries, alpha and beta, over a folder, each on a TLS listener of its own, and a directory of people.
type world struct {
	t         testing.TB
	now       time.Time
	catalog   *catalog
	directory *identity.Directory
	live      *access.Live
	audit     *audit.Memory
	engine    *content.Engine
	server    *Server
	http      map[string]*httptest.Server
	people    map[string]string // object ids by name
}

func registryID(name string) resource.ID {
	return resource.MustParseID("/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.ContainerRegistry/registries/" + name)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Now(), audit: &audit.Memory{}, http: map[string]*httptest.Server{}, people: map[string]string{},
		catalog: &catalog{registries: map[string]*Registry{}, passwords: map[string][]string{}, renewed: map[string]int{}},
		live:    access.NewLive(access.Catalogue(), access.BuiltIn()...),
	}
	clock := func() time.Time { return w.now }
	st := mem.New()
	var err error
	if w.directory, err = identity.OpenDirectory(st, tenant, clock); err != nil {
		t.Fatal(err)
	}
	if w.engine, err = content.OpenDisk(t.Context(), t.TempDir(), content.Options{Store: st, Clock: clock}); err != nil {
		t.Fatal(err)
	}
	w.server = &Server{
		Catalog: w.catalog, Content: w.engine, Guard: &guard.Guard{Access: w.live, Audit: w.audit, Clock: clock}, Authenticator: tokens{w.directory},
		Keys: keys, Lookup: w.directory.Active, Audit: w.audit, Clock: clock, Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	for _, name := range []string{"alpha", "beta"} {
		listener := httptest.NewTLSServer(w.server.Handler(name))
		t.Cleanup(listener.Close)
		w.http[name] = listener
		w.catalog.registries[name] = &Registry{ID: registryID(name), Name: name, Key: uuid.NewString(), LoginServer: strings.TrimPrefix(listener.URL, "https://")}
		w.catalog.passwords[name] = []string{"one-" + name, "two-" + name}
	}
	return w
}

type testLog struct{ t testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// person gives the object id of somebody, who is made when the name is new.
func (w *world) person(name string) string {
	w.t.Helper()
	if id, ok := w.people[name]; ok {
		return id
	}
	user, err := w.directory.CreateUser(w.t.Context(), identity.NewUser{UserPrincipalName: name + "@example.org", DisplayName: name})
	if err != nil {
		w.t.Fatal(err)
	}
	w.people[name] = user.ID
	return user.ID
}

// grant gives somebody a role by its name, and gives the id of the assignment.
func (w *world) grant(name, role string, scope resource.ID) resource.ID {
	w.t.Helper()
	for _, one := range access.BuiltIn() {
		if one.Name != role {
			continue
		}
		id := scope.Extension("Microsoft.Authorization/roleAssignments", uuid.NewString())
		w.live.Apply(access.PutAssignment{Assignment: access.Assignment{ID: id, RoleID: one.ID, PrincipalID: w.person(name), PrincipalType: "User", Scope: scope}})
		return id
	}
	w.t.Fatalf("there is no role %q", role)
	return resource.Root
}

// call is one request, made in-process or over TLS.
type call struct {
	method, path string
	registry     string // alpha when empty
	header       http.Header
	body         []byte
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) codes() string {
	var shape struct {
		Errors []wireError `json:"errors"`
	}
	_ = json.Unmarshal(a.body, &shape)
	var codes []string
	for _, one := range shape.Errors {
		codes = append(codes, one.Code)
	}
	return strings.Join(codes, " ")
}

func (w *world) do(c call) answer {
	w.t.Helper()
	if c.registry == "" {
		c.registry = "alpha"
	}
	listener := w.http[c.registry]
	request, err := http.NewRequestWithContext(w.t.Context(), c.method, listener.URL+c.path, bytes.NewReader(c.body))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range c.header {
		request.Header[name] = values
	}
	response, err := listener.Client().Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		w.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// must is do for requests whose status is known.
func (w *world) must(status int, c call) answer {
	w.t.Helper()
	a := w.do(c)
	if a.status != status {
		w.t.Fatalf("%s %s: %d %s, expected %d", c.method, c.path, a.status, a.body, status)
	}
	return a
}

func (w *world) post(path string, form url.Values) answer {
	w.t.Helper()
	return w.postTo("alpha", path, form)
}

func (w *world) postTo(registry, path string, form url.Values) answer {
	w.t.Helper()
	return w.do(call{method: "POST", path: path, registry: registry, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: []byte(form.Encode())})
}

// refresh signs somebody in to a registry.
func (w *world) refresh(registry, name string) string {
	w.t.Helper()
	a := w.postTo(registry, "/oauth2/exchange", url.Values{
		"grant_type": {"access_token"}, "service": {w.catalog.registries[registry].LoginServer}, "tenant": {tenant}, "access_token": {"registry:" + w.person(name)},
	})
	return w.field(a, "refresh_token")
}

func (w *world) field(a answer, name string) string {
	w.t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(a.body, &fields); err != nil || a.status != 200 {
		w.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	text, _ := fields[name].(string)
	if text == "" {
		w.t.Fatalf("%s has no %s", a.body, name)
	}
	return text
}

// token gets somebody an access token for scopes.
func (w *world) token(registry, name string, scopes ...string) string {
	w.t.Helper()
	return w.field(w.postTo(registry, "/oauth2/token", url.Values{
		"grant_type": {"refresh_token"}, "service": {w.catalog.registries[registry].LoginServer}, "refresh_token": {w.refresh(registry, name)}, "scope": scopes,
	}), "access_token")
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// as gives the header of somebody with a token that carries everything on the repositories.
func (w *world) as(name string, repositories ...string) http.Header {
	w.t.Helper()
	scopes := []string{"registry:catalog:*"}
	for _, repository := range repositories {
		scopes = append(scopes, "repository:"+repository+":*")
	}
	return bearer(w.token("alpha", name, scopes...))
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// with adds headers to a copy of others.
func with(header http.Header, pairs ...string) http.Header {
	header = header.Clone()
	for i := 0; i < len(pairs); i += 2 {
		header.Set(pairs[i], pairs[i+1])
	}
	return header
}

// pushBlob pushes a blob in one request.
func (w *world) pushBlob(header http.Header, repository string, content []byte) string {
	w.t.Helper()
	digest := digestOf(content)
	w.must(201, call{method: "POST", path: "/v2/" + repository + "/blobs/uploads/?digest=" + digest, header: with(header, "Content-Type", "application/octet-stream"), body: content})
	return digest
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// manifestOf makes an image manifest of blobs that are there.
func manifestOf(config, layer []byte, more ...string) []byte {
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]`,
		manifestType, configType, digestOf(config), len(config), layerType, digestOf(layer), len(layer))
	return []byte(text + strings.Join(more, "") + "}")
}

// pushImage pushes a small image and gives its manifest.
func (w *world) pushImage(header http.Header, repository, tag, salt string) []byte {
	w.t.Helper()
	config, layer := []byte(`{"architecture":"amd64","os":"linux","config":{"Labels":{"salt":"`+salt+`"}},"rootfs":{"type":"layers","diff_ids":[]}}`), []byte("layer "+salt)
	w.pushBlob(header, repository, config)
	w.pushBlob(header, repository, layer)
	manifest := manifestOf(config, layer)
	w.must(201, call{method: "PUT", path: "/v2/" + repository + "/manifests/" + tag, header: with(header, "Content-Type", manifestType), body: manifest})
	return manifest
}
