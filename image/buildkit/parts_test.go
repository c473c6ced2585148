package buildkit

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/secrets"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/nacl/sign"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
)

// Addresses that can be no daemon's, and those to which secrets would go in the clear, are refused before anything is asked.
func TestCheck(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []image.Daemon{{Address: "unix:///run/buildkit/buildkitd.sock"}, {Address: "tcp://127.0.0.1:1234"}, {Address: "tcp://[::1]:1234"}, {Address: "tcp://localhost:1234"}, {Address: "tcp://builder:1234", TLS: folder}} {
		if err := Check(d); err != nil {
			t.Errorf("%+v: %v", d, err)
		}
	}
	for d, word := range map[image.Daemon]string{
		{}:                                         "unix:///",
		{Address: "/run/sock"}:                     "unix:///",
		{Address: "unix://"}:                       "unix:///",
		{Address: "tcp://host"}:                    "unix:///",
		{Address: "docker-container://name"}:       "unix:///",
		{Address: "tcp://builder:1234"}:            "--buildkit-tls",
		{Address: "unix:///run/sock", TLS: folder}: "leave --buildkit-tls out",
		{Address: "tcp://builder:1234", TLS: folder + "/elsewhere"}: "ca.pem",
	} {
		if err := Check(d); resource.KindOf(err) != resource.Invalid || !strings.Contains(err.Error(), word) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// A daemon that is not there is Unavailable, so that the run's job repeats the build.
func TestNoDaemon(t *testing.T) {
	order := image.Order{Source: "none", CacheScope: "scope"}
	b := New(image.Daemon{Address: "unix://" + filepath.Join(t.TempDir(), "sock")}, image.Means{Dir: t.TempDir()})
	if _, err := b.Build(t.Context(), order, image.Report{}); resource.KindOf(err) != resource.Unavailable {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Build(ctx, order, image.Report{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled build: %v", err)
	}
	if _, err := b.Build(t.Context(), image.Order{CacheScope: "scope"}, image.Report{}); resource.KindOf(err) != resource.Invalid {
		t.Errorf("an order without a source: %v", err)
	}
}

// MI-11: the daemon gets tokens for the hosts that the order gives a credential, made by the host itself, and nothing else:
// no identity's token, none for other hosts, none of a service that somebody else names.
func TestTokens(t *testing.T) {
	var host, elsewhere string
	var stray atomic.Int32
	var first atomic.Bool // only the registry's own tokens are asked for
	first.Store(true)
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" { // a registry that sends to another host for its tokens
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://tokens.example/oauth2/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/oauth2/exchange" && !first.Load() {
			_, _ = w.Write([]byte(`{"refresh_token":"its own"}`))
			return
		}
		stray.Add(1)
	}))
	defer other.Close()
	var scopes []string
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+host+`/oauth2/token",service="`+host+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("/oauth2/exchange", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("access_token") != "identity's" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(`{"refresh_token":"refresh"}`))
	})
	mux.HandleFunc("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("refresh_token") != "refresh" {
			t.Errorf("a token is asked for by %v", r.Form)
		}
		scopes = append(scopes, r.FormValue("scope"))
		_, _ = w.Write([]byte(`{"access_token":"short","expires_in":60}`))
	})
	registry := httptest.NewTLSServer(mux)
	defer registry.Close()
	host, elsewhere = strings.TrimPrefix(registry.URL, "https://"), strings.TrimPrefix(other.URL, "https://")
	order := image.Order{
		OwnHosts: []string{host}, TrustedHosts: []string{elsewhere},
		Credentials: map[string]image.Credential{
			host: {ClientID: "system", Principal: "p"}, elsewhere: {ClientID: "system", Principal: "p"},
			"untrusted.example": {ClientID: "system", Principal: "p"}, "basic.example": {Username: "u", Password: "secret"},
		},
	}
	transport := registry.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true
	asked := 0
	made := func() *tokens {
		s, err := newTokens(order.Registries(transport, func(context.Context, string) (string, error) { asked++; return "identity's", nil }))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, ctx := made(), t.Context()
	for range 2 {
		got, err := s.FetchToken(ctx, &auth.FetchTokenRequest{Host: host, Realm: "https://" + elsewhere + "/steal", Service: "x", Scopes: []string{"repository:app:pull"}})
		if err != nil || got.Token != "short" || got.ExpiresIn != 60 {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if asked != 1 || !slices.Equal(scopes, []string{"repository:app:pull", "repository:app:pull"}) || stray.Load() != 0 {
		t.Errorf("the identity's token was asked for %d times, scopes %q, %d requests elsewhere", asked, scopes, stray.Load())
	}
	if got, err := s.Credentials(ctx, &auth.CredentialsRequest{Host: host}); err != nil || got.Secret != "" || got.Username != "" {
		t.Errorf("the identity's credential is handed over: %v %v", got, err)
	}
	if got, err := s.Credentials(ctx, &auth.CredentialsRequest{Host: "nobody.example"}); err != nil || got.Secret != "" {
		t.Errorf("a host without a credential: %v %v", got, err)
	}
	if got, err := s.Credentials(ctx, &auth.CredentialsRequest{Host: "basic.example"}); err != nil || got.Username != "u" || got.Secret != "secret" {
		t.Errorf("a user and password: %v %v", got, err)
	}
	if _, err := s.GetTokenAuthority(ctx, &auth.GetTokenAuthorityRequest{Host: "nobody.example"}); err == nil {
		t.Error("tokens are promised for a host without a credential")
	}
	if _, err := s.FetchToken(ctx, &auth.FetchTokenRequest{Host: "nobody.example", Realm: registry.URL}); err == nil {
		t.Error("a host without a credential gets a token")
	}
	if err := s.fault(); err != nil {
		t.Errorf("a fault is noted: %v", err)
	}
	first.Store(false)
	for name, words := range map[string]string{"untrusted.example": "RegistryNotTrusted", elsewhere: "RegistryNotTrusted"} {
		s := made()
		if _, err := s.FetchToken(ctx, &auth.FetchTokenRequest{Host: name}); err == nil {
			t.Errorf("%s gets a token", name)
		}
		if known, ok := resource.AsError(s.fault()); !ok || known.Code != words {
			t.Errorf("%s: %v", name, s.fault())
		}
	}
	// A token that the daemon keeps is one build's: another has another key.
	key, err := s.GetTokenAuthority(ctx, &auth.GetTokenAuthorityRequest{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	for same, build := range map[bool]*tokens{true: s, false: made()} {
		answer, err := build.VerifyTokenAuthority(ctx, &auth.VerifyTokenAuthorityRequest{Host: host, Payload: []byte("question")})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := sign.Open(nil, answer.Signed, (*[32]byte)(key.PublicKey)); ok != same {
			t.Errorf("same build %v, proven %v", same, ok)
		}
	}
}

func TestSecrets(t *testing.T) {
	order := image.Order{Arguments: []image.Argument{{Name: "TOKEN", Value: "hush", Secret: true}, {Name: "OPEN", Value: "x"}}}
	for text, refused := range map[string]bool{
		"FROM a\nARG TOKEN": true, "arg OTHER TOKEN=x\nFROM a": true, "FROM a\nARG OPEN\nARG TOKENS": false,
		"FROM a\nRUN <<E\nARG TOKEN\nE": false, "FROM a\nRUN --mount=type=secret,id=TOKEN true": false,
	} {
		if err := readable([]byte(text), order); (resource.KindOf(err) == resource.Unsupported && err != nil) != refused {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := readable(nil, order); resource.KindOf(err) != resource.Invalid {
		t.Errorf("an empty Dockerfile: %v", err)
	}
	v := vault{values: map[string]string{"TOKEN": "hush"}}
	if got, err := v.GetSecret(t.Context(), &secrets.GetSecretRequest{ID: "TOKEN"}); err != nil || string(got.Data) != "hush" {
		t.Errorf("got %v %v", got, err)
	}
	if _, err := v.GetSecret(t.Context(), &secrets.GetSecretRequest{ID: "OPEN"}); err == nil {
		t.Error("what is no secret is given as one")
	}
}

func TestLog(t *testing.T) {
	var lines []string
	order := image.Order{Arguments: []image.Argument{{Name: "S", Value: "hush\ntwo", Secret: true}, {Name: "EMPTY", Secret: true}}}
	l := newLog(order, image.Report{Log: func(line string) { lines = append(lines, line) }})
	begun := time.Unix(100, 0)
	later := begun.Add(1500 * time.Millisecond)
	d := digest.FromString
	base := "[1/2] FROM host:1/base:1@" + d("base").String()
	l.update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: d("run"), Name: "[2/2] RUN echo"}, {Digest: d("base"), Name: base, Started: &begun}}})
	l.update(&client.SolveStatus{
		Vertexes: []*client.Vertex{{Digest: d("base"), Name: base, Started: &begun, Completed: &later}, {Digest: d("run"), Name: "[2/2] RUN echo", Started: &begun}},
		Statuses: []*client.VertexStatus{{ID: "sha256:1", Vertex: d("base"), Current: 5, Total: 5, Started: &begun, Completed: &later}, {ID: "half", Vertex: d("base"), Current: 1, Total: 5}},
		Logs:     []*client.VertexLog{{Vertex: d("run"), Data: []byte("it is hu"), Timestamp: later}},
	})
	l.update(&client.SolveStatus{
		Vertexes: []*client.Vertex{{Digest: d("run"), Started: &begun, Completed: &later, Name: "[2/2] RUN echo"}, {Digest: d("copy"), Name: "[stage-1 2/2] COPY a b", Cached: true, Started: &begun, Completed: &begun}},
		Logs:     []*client.VertexLog{{Vertex: d("run"), Data: []byte("sh\r\nand two"), Timestamp: later}},
		Warnings: []*client.VertexWarning{{Vertex: d("base"), Short: []byte("careful")}},
	})
	l.update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: d("bad"), Name: "[3/3] RUN bad", Started: &begun, Completed: &later, Error: "exit code: 1"}, {Digest: d("run"), Started: &begun, Completed: &later}}})
	want := []string{
		"#1 " + base, "#2 [2/2] RUN echo", "#1 sha256:1 5 / 5 bytes 1.5s done", "#1 DONE 1.5s", "#3 [stage-1 2/2] COPY a b", "#1 WARN: careful",
		"#2 1.500 it is ***", "#2 and ***", "#2 DONE 1.5s", "#3 CACHED", "#4 [3/3] RUN bad", "#4 ERROR: exit code: 1",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the lines are\n%s\nnot\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if l.ran != 1 || l.cached != 1 {
		t.Errorf("%d ran, %d cached", l.ran, l.cached)
	}
	if bases := l.bases(); len(bases) != 1 || bases[0].Reference != "host:1/base:1" || bases[0].Digest != d("base").String() {
		t.Errorf("bases %v", bases)
	}
}

// What a daemon says has a kind by which the run ends or is repeated.
func TestExplain(t *testing.T) {
	order := image.Order{Credentials: map[string]image.Credential{"127.0.0.1:7/": {}, "127.0.0.1:7": {ClientID: "system", Principal: "principal"}}, OwnHosts: []string{"127.0.0.1:7"}}
	s := &solve{order: order, registries: order.Registries(nil, nil), log: newLog(image.Order{Arguments: []image.Argument{{Name: "S", Value: "hush", Secret: true}}}, image.Report{})}
	for text, want := range map[string]struct {
		kind  resource.Kind
		words string
	}{
		"process \"/bin/sh -c hush\" did not complete successfully: exit code: 7": {resource.Invalid, "-c ***\" did"},
		"failed to push 127.0.0.1:7/team/app:1: unexpected status: 403 Forbidden": {resource.Forbidden, "principal lacks AcrPush on the registry 127.0.0.1:7 (repository team/app)"},
		"127.0.0.1:7/b:1: pull access denied, repository does not exist":          {resource.Forbidden, "principal lacks AcrPull"},
		"example.com/b:1: failed to authorize: 401 Unauthorized":                  {resource.Forbidden, "no credential"},
		"x509: certificate signed by unknown authority":                           {resource.Conflict, "buildkitd.toml"},
		"dial tcp 127.0.0.1:7: connect: connection refused":                       {resource.Unavailable, "does not reach"},
		"write /x: no space left on device":                                       {resource.Unavailable, "carry the build through"},
		"source \"https://x\" denied by policy":                                   {resource.Unsupported, "--build-network"},
		"security.insecure is not allowed":                                        {resource.Unsupported, "rights"},
		"failed to resolve source metadata for host/x:1: host/x:1: not found":     {resource.NotFound, "host/x:1"},
		"unknown instruction: FORM":                                               {resource.Invalid, "unknown instruction: FORM."},
	} {
		err := s.explain(t.Context(), errors.New("failed to solve: "+text), nil)
		if resource.KindOf(err) != want.kind || !strings.Contains(err.Error(), want.words) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s:\n%v (%v)", text, err, resource.KindOf(err))
		}
	}
	reason := resource.Forbiddenf("RegistryNotTrusted", "no")
	if err := s.explain(t.Context(), errors.New("whatever"), reason); !errors.Is(err, reason) {
		t.Errorf("the reason for which no token was given is lost: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.explain(ctx, errors.New("whatever"), reason); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestPlatforms(t *testing.T) {
	workers := []*client.WorkerInfo{{}}
	workers[0].Platforms = append(workers[0].Platforms, platform("amd64", ""), platform("arm", "v7"))
	for name, ok := range map[string]bool{"": true, "linux": true, "linux/amd64": true, "linux/arm": true, "linux/arm/v7": true, "linux/arm64": false, "windows": false, "windows/amd64": false, "linux/amd64,linux/arm": false} {
		if err := offers(workers, name); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func platform(architecture, variant string) ocispec.Platform {
	return ocispec.Platform{OS: "linux", Architecture: architecture, Variant: variant}
}
