package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
)

const (
	testTenant  = "11111111-2222-3333-4444-555555555555"
	otherTenant = "99999999-2222-3333-4444-555555555555"
	armAudience = "https://management.azure.com/"
)

// testClock is a clock that tests move.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a token service on a TLS server, with everything it stands on.
type world struct {
	t         testing.TB
	ctx       context.Context
	clock     *testClock
	store     store.Store
	sealer    Sealer
	directory *Directory
	keys      *Keys
	service   *Service
	auth      *Authenticator
	server    *httptest.Server
	log       *bytes.Buffer
}

func testResources() []Resource {
	return []Resource{
		{Name: "arm", Identifiers: []string{armAudience, "https://management.core.windows.net/"}},
		{Name: "storage", Identifiers: []string{"https://storage.azure.com/"}, Match: func(id string) bool {
			return strings.HasPrefix(id, "https://") && strings.HasSuffix(strings.TrimSuffix(id, "/"), ".blob.alvara.test")
		}},
		{Name: "graph", Identifiers: []string{"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"}},
	}
}

// template holds one signing key for all worlds, because making one takes long.
var template = sync.OnceValues(func() (string, []store.Document) {
	dir, err := filepath.Abs(testFolder)
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "keyset")
	sealer, err := OpenSealer(path)
	if err != nil {
		panic(err)
	}
	st := mem.New()
	if _, err := OpenKeys(context.Background(), KeysConfig{Store: st, Sealer: sealer, Clock: func() time.Time { return testStart }}); err != nil {
		panic(err)
	}
	documents, err := st.List(context.Background(), store.Query{Kind: kindKeys})
	if err != nil {
		panic(err)
	}
	return path, documents
})

// testStart is close to the real time, because the SDKs look at the real clock.
var testStart = time.Now().Truncate(time.Second)

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	path, documents := template()
	w := &world{t: t, ctx: context.Background(), clock: &testClock{now: testStart}, log: &bytes.Buffer{}}
	var err error
	w.sealer, err = OpenSealer(path)
	w.must(err)
	w.store = mem.New(mem.WithClock(w.clock.Now))
	for _, document := range documents {
		_, err := w.store.Apply(w.ctx, store.Put{Key: document.Key, Kind: document.Kind, Body: document.Body})
		w.must(err)
	}
	w.open(change...)
	return w
}

// open starts the service on the store, as a restart does.
func (w *world) open(change ...func(*Config)) {
	w.t.Helper()
	var err error
	w.directory, err = OpenDirectory(w.store, testTenant, w.clock.Now)
	w.must(err)
	w.keys, err = OpenKeys(w.ctx, KeysConfig{Store: w.store, Sealer: w.sealer, Clock: w.clock.Now})
	w.must(err)
	mux := http.NewServeMux()
	w.server = httptest.NewUnstartedServer(mux)
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.server.StartTLS()
	w.t.Cleanup(w.server.Close)
	config := Config{
		Authority: w.server.URL, Directory: w.directory, Keys: w.keys, Store: w.store, Resources: testResources(),
		Clock: w.clock.Now, Log: slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, nil)),
	}
	for _, f := range change {
		f(&config)
	}
	w.service, err = NewService(config)
	w.must(err)
	mux.Handle("/", w.service)
	w.auth, err = w.service.Authenticator()
	w.must(err)
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// app makes an application with a service principal and a secret.
func (w *world) app(name string) (application ApplicationObject, service ServicePrincipalObject, secret string) {
	w.t.Helper()
	application, err := w.directory.CreateApplication(w.ctx, name)
	w.must(err)
	service, err = w.directory.CreateServicePrincipal(w.ctx, application.AppID)
	w.must(err)
	secret, _, err = w.directory.AddPassword(w.ctx, application.ID, "first", time.Time{})
	w.must(err)
	return application, service, secret
}

func (w *world) user(upn, password string) UserObject {
	w.t.Helper()
	user, err := w.directory.CreateUser(w.ctx, NewUser{UserPrincipalName: upn, DisplayName: "User " + upn, Password: password})
	w.must(err)
	return user
}

// managed makes a user-assigned identity, as its provider does.
func (w *world) managed(name string) (ManagedIdentity, resource.ID) {
	w.t.Helper()
	id := resource.MustParseID("/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name)
	identity, ops, err := w.directory.ManagedIdentityOps(id, name)
	w.must(err)
	_, err = w.store.Apply(w.ctx, ops...)
	w.must(err)
	return identity, id
}

// post sends a token request and reads the answer.
func (w *world) post(path string, form url.Values) (int, map[string]any) {
	w.t.Helper()
	response, err := w.server.Client().PostForm(w.server.URL+path, form)
	w.must(err)
	return w.read(response)
}

func (w *world) get(path string) (int, map[string]any) {
	w.t.Helper()
	response, err := w.server.Client().Get(w.server.URL + path)
	w.must(err)
	return w.read(response)
}

func (w *world) read(response *http.Response) (int, map[string]any) {
	w.t.Helper()
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	w.must(json.NewDecoder(response.Body).Decode(&answer))
	return response.StatusCode, answer
}

const (
	v1Path = "/" + testTenant + "/oauth2/token"
	v2Path = "/" + testTenant + "/oauth2/v2.0/token"
)

func secretForm(application ApplicationObject, secret, scope string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {application.AppID}, "client_secret": {secret}, "scope": {scope}}
}

// wantCode fails unless the answer is a refusal with the code, in the original's shape.
func (w *world) wantCode(status int, answer map[string]any, code int) {
	w.t.Helper()
	codes, _ := answer["error_codes"].([]any)
	if len(codes) != 1 || int(codes[0].(float64)) != code {
		w.t.Fatalf("the answer is %d %v; want the code %d", status, answer, code)
	}
	word, wantStatus := answerFor(code)
	if status != wantStatus || answer["error"] != word {
		w.t.Fatalf("the answer is %d %v; want %d %s", status, answer["error"], wantStatus, word)
	}
	description, _ := answer["error_description"].(string)
	for _, part := range []string{"AADSTS", " Trace ID: ", " Correlation ID: ", " Timestamp: "} {
		if !strings.Contains(description, part) {
			w.t.Fatalf("the description %q has no %q", description, part)
		}
	}
}

// token gets an access token and fails when it is refused.
func (w *world) token(path string, form url.Values) string {
	w.t.Helper()
	status, answer := w.post(path, form)
	if status != http.StatusOK {
		w.t.Fatalf("%s answers %d %v", path, status, answer)
	}
	return answer["access_token"].(string)
}

func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// wantRefused fails unless the authenticator refuses the token with the code.
func (w *world) wantRefused(token, resourceName, code string) {
	w.t.Helper()
	principal, err := w.auth.Authenticate(w.ctx, token, resourceName)
	refused, ok := resource.AsError(err)
	if !ok || refused.Kind != resource.Unauthenticated || refused.Code != code {
		w.t.Fatalf("Authenticate gives %+v, %v; want a refusal %s", principal, err, code)
	}
}

func (w *world) wantAllowed(token, resourceName, principalID string) Principal {
	w.t.Helper()
	principal, err := w.auth.Authenticate(w.ctx, token, resourceName)
	if err != nil || principal.ID != principalID {
		w.t.Fatalf("Authenticate gives %+v, %v; want %s", principal, err, principalID)
	}
	return principal
}
