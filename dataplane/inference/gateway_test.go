package inference_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/inference"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/serving/servingtest"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
	"github.com/alvara-ml/alvara/workload"
)

const dataScientist = "f6c7c914-8db3-469d-8ca1-694a8f32e121"

var endpointID = resource.MustParseID("/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws/onlineEndpoints/fraud")

// world is a gateway in front of one endpoint with two deployments, whose instances answer with what they were asked.
type world struct {
	t        *testing.T
	endpoint *inference.Endpoint
	keys     []string
	store    *mem.Store
	server   *inference.Server
	address  string

	mu      sync.Mutex
	records []audit.Record
	uses    []inference.KeyUse
	handle  func(w http.ResponseWriter, r *http.Request, image string)
}

func (w *world) Record(_ context.Context, record audit.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, record)
	return nil
}

func (w *world) Endpoint(_ context.Context, name string) (*inference.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name != "fraud" {
		return nil, resource.NotFoundf("EndpointNotFound", "there is no endpoint %q", name)
	}
	copied := *w.endpoint
	return &copied, nil
}

// Authenticate takes "NAME AUDIENCE" for a token.
func (w *world) Authenticate(_ context.Context, token, audience string) (identity.Principal, error) {
	name, held, _ := strings.Cut(token, "@")
	if name == "" || held != audience {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationTokenAudience", "wrong audience")
	}
	return person(name), nil
}

func person(name string) identity.Principal {
	return identity.Principal{ID: uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String(), Type: identity.User, Name: name}
}

func (w *world) Order(_ context.Context, _ string, template json.RawMessage) (workload.Order, error) {
	var image string
	err := json.Unmarshal(template, &image)
	return workload.Order{Image: image}, err
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: mem.New(), keys: []string{"first-key", "second-key"}}
	w.endpoint = &inference.Endpoint{ID: endpointID, AuthMode: inference.Entra, Deployments: map[string]resource.ID{}, Keys: func() ([]string, error) { return w.keys, nil }}
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	if err := authorization.Follow(w.store, live); err != nil {
		t.Fatal(err)
	}
	machine := servingtest.NewLauncher(func(order workload.Order) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			handle := w.handle
			w.mu.Unlock()
			if handle != nil && r.URL.Path != "/healthy" {
				handle(rw, r, order.Image)
				return
			}
			text, _ := io.ReadAll(r.Body) // of a test
			_ = json.NewEncoder(rw).Encode(map[string]any{"image": order.Image, "path": r.URL.RequestURI(), "method": r.Method, "body": string(text), "headers": r.Header})
		})
	})
	control := &serving.Controller{Launcher: machine, Orders: w, Records: &servingtest.Records{}, Journal: &servingtest.Journal{}, Clock: time.Now, Log: slog.New(slog.DiscardHandler), Quick: time.Millisecond}
	if err := control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = control.Close() })
	for _, name := range []string{"blue", "green"} {
		id := endpointID.Child("deployments", name)
		w.endpoint.Deployments[name] = id
		template, _ := json.Marshal(name)
		probe := serving.Probe{Path: "/healthy", Period: time.Minute, Timeout: time.Minute, Failures: 1, Successes: 1}
		err := control.Roll(t.Context(), id.Key(), serving.Revision{
			ID: name, Template: template, Scale: serving.Scale{Min: 1}, Requests: serving.Requests{Path: "/v1/predict", Concurrency: 4, Timeout: time.Minute},
			Probes: serving.Probes{Startup: probe, Live: probe, Ready: probe},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.endpoint.Deployments["down"] = endpointID.Child("deployments", "down")
	w.endpoint.Traffic = []inference.Share{{Deployment: "blue", Percent: 100}}
	choose := rand.New(rand.NewPCG(1, 2))
	w.server = &inference.Server{
		Domain: "ml.example", Authority: "https://login", Catalog: w, Backends: control, Guard: &guard.Guard{Access: live, Audit: w, Clock: time.Now}, Authenticator: w,
		Tokens: &inference.Tokens{Key: []byte("k"), Clock: time.Now}, Lookup: func(id string) (identity.Principal, bool) { return person("ann"), id == person("ann").ID },
		KeyUsed: func(_ context.Context, use inference.KeyUse) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.uses = append(w.uses, use)
			return nil
		},
		Choose: func(n int) int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return choose.IntN(n)
		},
		Clock: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	listening := httptest.NewServer(w.server)
	t.Cleanup(listening.Close)
	w.address = listening.URL
	return w
}

// grant gives somebody a role on the endpoint, and a function that takes it away.
func (w *world) grant(name, role string) (revoke func()) {
	w.t.Helper()
	put, err := authorization.Grant(uuid.NewString(), role, person(name).ID, "User", endpointID, "test", time.Now())
	if err == nil {
		_, err = w.store.Apply(w.t.Context(), put)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if _, err := w.store.Apply(w.t.Context(), store.Delete{Key: put.Key}); err != nil {
			w.t.Fatal(err)
		}
	}
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (w *world) send(token, path string, change func(*http.Request)) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.address+path, strings.NewReader(`{"x":1}`))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if change != nil {
		change(r)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }() // only read
	text, err := io.ReadAll(got.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := answer{status: got.StatusCode, header: got.Header, raw: string(text)}
	_ = json.Unmarshal(text, &out.body) // some are no JSON
	return out
}

func (w *world) last() audit.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.records) == 0 {
		return audit.Record{}
	}
	return w.records[len(w.records)-1]
}

// BX-05, BX-06: who holds score/action on the endpoint is answered, who does not is refused with the curing command, and a role that
// is taken away counts from the next request on. All of it is recorded.
func TestWhoMayScore(t *testing.T) {
	w := newWorld(t)
	if got := w.send("", "/fraud/score", nil); got.status != 401 || got.code() == "" || !strings.Contains(got.header.Get("WWW-Authenticate"), "https://ml.azure.com") {
		t.Errorf("without a token: %d %s", got.status, got.raw)
	}
	if got := w.send("ann@storage", "/fraud/score", nil); got.status != 401 || got.code() != "InvalidAuthenticationTokenAudience" {
		t.Errorf("with a token for storage: %d %s", got.status, got.raw)
	}
	if got := w.send("", "/other/score", nil); got.status != 401 {
		t.Errorf("an endpoint that is not there, without a token: %d %s", got.status, got.raw)
	}
	if got := w.send("ann@features", "/other/score", nil); got.status != 404 || got.code() != "EndpointNotFound" {
		t.Errorf("an endpoint that is not there: %d %s", got.status, got.raw)
	}
	got := w.send("ann@features", "/fraud/score", nil)
	if record := w.last(); got.status != 403 || !strings.Contains(got.raw, "onlineEndpoints/score/action") || !strings.Contains(got.raw, "alvara role assignment create") ||
		record.Allowed || record.Plane != "inference" || record.Principal != person("ann").ID || record.Reason == "" {
		t.Errorf("without a role: %d %s, recorded %+v", got.status, got.raw, record)
	}
	revoke := w.grant("ann", dataScientist)
	for _, audience := range []string{"features", "resourceManager"} {
		if got := w.send("ann@"+audience, "/fraud/score", nil); got.status != 200 || got.body["image"] != "blue" {
			t.Errorf("with a role and a token for %s: %d %s", audience, got.status, got.raw)
		}
	}
	if record := w.last(); !record.Allowed || record.Scope != endpointID.String() || record.Role != "AzureML Data Scientist" || record.Target != "/score" {
		t.Errorf("recorded %+v", record)
	}
	revoke()
	if got := w.send("ann@features", "/fraud/score", nil); got.status != 403 {
		t.Errorf("after the role was taken away: %d %s", got.status, got.raw)
	}
	w.grant("bob", access.RoleReader)
	if got := w.send("bob@features", "/fraud/score", nil); got.status != 403 {
		t.Errorf("a reader scores: %d %s", got.status, got.raw)
	}
}

// BX-01: keys open an endpoint only where its authMode is Key, and are recorded; tokens do not open it then.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", dataScientist)
	if got := w.send("first-key", "/fraud/score", nil); got.status != 401 {
		t.Errorf("a key of an endpoint without keys: %d %s", got.status, got.raw)
	}
	w.endpoint.AuthMode = inference.Key
	for token, want := range map[string]int{"first-key": 200, "second-key": 200, "third": 401, "": 401, "ann@features": 401} {
		if got := w.send(token, "/fraud/score", nil); got.status != want {
			t.Errorf("with %q: %d %s", token, got.status, got.raw)
		}
	}
	allowed := 0
	for _, use := range w.uses {
		if use.Allowed {
			allowed++
		}
	}
	if len(w.uses) != 4 || allowed != 2 || !w.uses[0].Endpoint.Equal(endpointID) {
		t.Errorf("recorded are %+v", w.uses)
	}
	w.keys = []string{"", "new"}
	if got := w.send("first-key", "/fraud/score", nil); got.status != 401 {
		t.Errorf("a key that was renewed: %d %s", got.status, got.raw)
	}
	if got := w.send("", "/fraud/score", nil); got.status != 401 {
		t.Errorf("no key where one is empty: %d", got.status)
	}
}

// A token of an endpoint says who calls; whether that one may is asked each time.
func TestEndpointTokens(t *testing.T) {
	w := newWorld(t)
	w.endpoint.AuthMode = inference.Token
	token, expiry := w.server.Tokens.Issue(endpointID, person("ann").ID)
	if got := w.send(token, "/fraud/score", nil); got.status != 403 {
		t.Errorf("without a role: %d %s", got.status, got.raw)
	}
	revoke := w.grant("ann", dataScientist)
	if got := w.send(token, "/fraud/score", nil); got.status != 200 {
		t.Errorf("with a role: %d %s", got.status, got.raw)
	}
	stranger, _ := w.server.Tokens.Issue(endpointID, person("gone").ID)
	elsewhere, _ := w.server.Tokens.Issue(endpointID.Parent().Child("onlineEndpoints", "other"), person("ann").ID)
	forged, _ := (&inference.Tokens{Key: []byte("x"), Clock: time.Now}).Issue(endpointID, person("ann").ID)
	for name, bad := range map[string]string{"of nobody": stranger, "of another endpoint": elsewhere, "that was forged": forged, "that is none": "x", "of the directory": "ann@features", "that is missing": ""} {
		if got := w.send(bad, "/fraud/score", nil); got.status != 401 {
			t.Errorf("a token %s: %d %s", name, got.status, got.raw)
		}
	}
	w.server.Tokens = &inference.Tokens{Key: []byte("k"), Clock: func() time.Time { return expiry }}
	if got := w.send(token, "/fraud/score", nil); got.status != 401 || !strings.Contains(got.raw, "expired") {
		t.Errorf("a token whose time is over: %d %s", got.status, got.raw)
	}
	revoke()
}

// What the caller shows for who it is does not reach the instance; path, query, body and other headers do.
func TestWhatIsPassedOn(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", dataScientist)
	for _, c := range []struct{ path, host, want string }{
		{"/fraud/score?a=1&b=%2F", "", "/v1/predict?a=1&b=%2F"},
		{"/fraud/swagger.json", "", "/swagger.json"},
		{"/fraud", "", "/"},
		{"/fraud/a%2Fb/../c", "", "/a%2Fb/../c"},
		{"/score", "fraud.inference.ml.example", "/v1/predict"},
		{"/models/1", "FRAUD.inference.ml.example:8443", "/models/1"},
	} {
		got := w.send("ann@features", c.path, func(r *http.Request) {
			r.Host = c.host
			r.Header.Set("X-Mine", "yes")
			r.Header.Set("Connection", "X-Hop")
			r.Header.Set("X-Hop", "no")
			r.Header.Set("X-Forwarded-For", "10.0.0.1")
			r.Header.Set("Azureml-Model-Deployment", "green")
		})
		headers, _ := got.body["headers"].(map[string]any)
		if got.status != 200 || got.body["path"] != c.want || got.body["method"] != "POST" || got.body["body"] != `{"x":1}` || got.body["image"] != "green" {
			t.Errorf("%s: %d %s", c.path, got.status, got.raw)
		}
		for _, name := range []string{"Authorization", "X-Hop", "X-Forwarded-For", "Azureml-Model-Deployment"} {
			if headers[name] != nil {
				t.Errorf("%s: the instance got %s: %v", c.path, name, headers[name])
			}
		}
		if headers["X-Mine"] == nil || got.header.Get("Azureml-Model-Deployment") != "green" || len(got.header.Values("X-Ms-Request-Id")) != 1 {
			t.Errorf("%s: headers %v, answered with %v", c.path, headers, got.header)
		}
	}
}

// Requests are parted by the shares.
func TestTraffic(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", dataScientist)
	w.endpoint.Traffic = []inference.Share{{Deployment: "blue", Percent: 90}, {Deployment: "green", Percent: 10}}
	got := map[any]int{}
	for range 1000 {
		got[w.send("ann@features", "/fraud/score", nil).body["image"]]++
	}
	if got["blue"]+got["green"] != 1000 || got["green"] < 70 || got["green"] > 130 {
		t.Errorf("of 1000 requests got %v", got)
	}
	w.endpoint.Traffic = nil
	if got := w.send("ann@features", "/fraud/score", nil); got.status != 404 || got.code() != "NoTraffic" {
		t.Errorf("without traffic: %d %s", got.status, got.raw)
	}
	named := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("azureml-model-deployment", name) }
	}
	if got := w.send("ann@features", "/fraud/score", named("GREEN")); got.status != 200 || got.body["image"] != "green" {
		t.Errorf("one that is named: %d %s", got.status, got.raw)
	}
	if got := w.send("ann@features", "/fraud/score", named("red")); got.status != 404 || got.code() != "DeploymentNotFound" {
		t.Errorf("one that is not there: %d %s", got.status, got.raw)
	}
	if got := w.send("ann@features", "/fraud/score", named("down")); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("one without instances: %d %s", got.status, got.raw)
	}
}

// What an instance does wrong is told apart from what the gateway refuses; answers stream.
func TestInstancesThatMisbehave(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", dataScientist)
	release := make(chan struct{})
	set := func(handle func(rw http.ResponseWriter, r *http.Request, image string)) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.handle = handle
	}
	set(func(rw http.ResponseWriter, _ *http.Request, _ string) {
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, "mine")
	})
	if got := w.send("ann@features", "/fraud/score", nil); got.status != 403 || got.raw != "mine" || got.header.Get("ms-azureml-model-error-statuscode") != "403" {
		t.Errorf("a status of its own: %d %s %v", got.status, got.raw, got.header)
	}
	set(func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) })
	if got := w.send("ann@features", "/fraud/score", nil); got.status != 424 || got.code() != "ModelError" {
		t.Errorf("one that breaks off: %d %s", got.status, got.raw)
	}
	set(func(rw http.ResponseWriter, r *http.Request, _ string) {
		_, _ = io.WriteString(rw, "first")
		_ = http.NewResponseController(rw).Flush()
		<-release
		_, _ = io.WriteString(rw, "last")
	})
	r, _ := http.NewRequest(http.MethodGet, w.address+"/fraud/stream", nil)
	r.Header.Set("Authorization", "Bearer ann@features")
	streamed, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 5)
	if _, err := io.ReadFull(streamed.Body, part); err != nil || string(part) != "first" {
		t.Errorf("the first part: %q, %v", part, err)
	}
	// The other places are taken too: the next request finds all busy.
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			w.send("ann@features", "/fraud/stream", func(r *http.Request) { r.Method, r.Body, r.ContentLength = "GET", http.NoBody, 0 })
		})
	}
	full := w.send("ann@features", "/fraud/nothing", func(r *http.Request) { r.Method = http.MethodHead })
	for deadline := time.Now().Add(time.Minute); full.status != 429 && time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		probe, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.address+"/fraud/stream", nil)
		probe.Header.Set("Authorization", "Bearer ann@features")
		if got, err := http.DefaultClient.Do(probe); err == nil {
			full = answer{status: got.StatusCode, header: got.Header}
			_ = got.Body.Close()
		}
		cancel()
	}
	if full.status != 429 || full.header.Get("Retry-After") == "" {
		t.Errorf("when all are busy: %d", full.status)
	}
	close(release)
	rest, _ := io.ReadAll(streamed.Body)
	_ = streamed.Body.Close()
	if string(rest) != "last" {
		t.Errorf("the rest: %q", rest)
	}
	group.Wait()
}

// An instance that takes too long is cut off, and a request that is too large refused.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", dataScientist)
	w.mu.Lock()
	w.handle = func(_ http.ResponseWriter, r *http.Request, _ string) {
		if r.ContentLength < 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		<-r.Context().Done()
	}
	w.mu.Unlock()
	template, _ := json.Marshal("blue")
	probe := serving.Probe{Path: "/healthy", Period: time.Minute, Timeout: time.Minute, Failures: 1, Successes: 1}
	err := w.server.Backends.(*serving.Controller).Roll(t.Context(), endpointID.Child("deployments", "blue").Key(), serving.Revision{
		ID: "blue", Template: template, Scale: serving.Scale{Min: 1}, Requests: serving.Requests{Path: "/", Concurrency: 4, Timeout: 20 * time.Millisecond},
		Probes: serving.Probes{Startup: probe, Live: probe, Ready: probe},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.send("ann@features", "/fraud/score", nil); got.status != 408 || got.code() != "RequestTimeout" {
		t.Errorf("one that takes too long: %d %s", got.status, got.raw)
	}
	green := func(r *http.Request) {
		r.Header.Set("azureml-model-deployment", "green")
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, 101<<20)), -1
	}
	if got := w.send("ann@features", "/fraud/score", green); got.status != 413 {
		t.Errorf("one that brings too much: %d %s", got.status, got.raw)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
