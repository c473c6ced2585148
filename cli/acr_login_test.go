package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

const challengeHeader = `Bearer realm="https://HOST/oauth2/token",service="HOST",scope="repository:scorer:pull"`

// registryRoutes are the token services of a registry that knows one user with the password pw, and everybody with an Entra token.
func registryRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /v2/": says(401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, "WWW-Authenticate", `Bearer realm="https://HOST/oauth2/token",service="HOST"`),
		"POST /oauth2/exchange": func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("access_token") != "entra for https://containerregistry.azure.net" {
				says(401, `{"errors":[{"code":"UNAUTHORIZED","message":"the token is not for registries"}]}`)(w, r)
				return
			}
			fmt.Fprint(w, `{"refresh_token":"refresh1"}`)
		},
		"POST /oauth2/token": func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("refresh_token") != "refresh1" {
				says(401, `{"errors":[{"code":"UNAUTHORIZED","message":"sign in again"}]}`)(w, r)
				return
			}
			fmt.Fprintf(w, `{"access_token":"access for %s"}`, r.FormValue("scope"))
		},
		"GET /oauth2/token": func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "fraudacr" || password != "pw" {
				says(401, `{"errors":[{"code":"UNAUTHORIZED","message":"the user name or the password is wrong"}]}`)(w, r)
				return
			}
			fmt.Fprintf(w, `{"access_token":"admin for %s"}`, r.URL.Query().Get("scope"))
		},
	}
}

// The Entra token is exchanged at the registry, and each tool reads the result back from docker's configuration (MI-02, BX-01).
func TestLoginIsReadBackByTheTools(t *testing.T) {
	p := newPlant(t, registryRoutes())
	folder := p.env["DOCKER_CONFIG"]
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "config.json")
	if err := os.WriteFile(config, []byte(`{"auths":{"other.example.org":{"auth":"dTpw"}},"psFormat":"table","experimental":"kept"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := p.ok(t, "acr login -n fraudacr"); out != "Login Succeeded\n" {
		t.Errorf("printed %q", out)
	}
	seen := p.sent()
	if got, want := lines(seen), []string{"GET /subscriptions/sub1/resources", "GET " + registryID, "GET /v2/", "POST /oauth2/exchange"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("sent %q, want %q", got, want)
	}
	form := seen[3].form(t)
	if form.Get("grant_type") != "access_token" || form.Get("service") != p.host() || form.Get("tenant") != "tenant1" {
		t.Errorf("exchanged by %v", form)
	}
	for _, e := range seen[2:] {
		if e.Header.Get("Authorization") != "" {
			t.Errorf("%s %s carries %q", e.Method, e.Path, e.Header.Get("Authorization"))
		}
	}

	// go-containerregistry, and so crane, looks into the process's environment.
	t.Setenv("DOCKER_CONFIG", folder)
	t.Setenv("HOME", t.TempDir())
	registry, err := name.NewRegistry(p.host())
	if err != nil {
		t.Fatal(err)
	}
	found, err := authn.DefaultKeychain.Resolve(registry)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := found.Authorization(); err != nil || got.IdentityToken != "refresh1" || got.Username != tokenUser || got.Password != "" {
		t.Errorf("crane reads %+v, %v", got, err)
	}
	store, err := credentials.NewStore(config, credentials.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Get(context.Background(), p.host()); err != nil || got.RefreshToken != "refresh1" {
		t.Errorf("oras reads %+v, %v", got, err)
	}
	// skopeo and podman (containers/image) take the identity token of an entry whose auth has the form USER:PASSWORD.
	var raw struct {
		Auths        map[string]struct{ Auth, IdentityToken string }
		Experimental string
	}
	text, err := os.ReadFile(config)
	if err == nil {
		err = json.Unmarshal(text, &raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	entry := raw.Auths[p.host()]
	if auth, err := base64.StdEncoding.DecodeString(entry.Auth); err != nil || string(auth) != tokenUser+":" || entry.IdentityToken != "refresh1" {
		t.Errorf("skopeo reads %s, %v", text, err)
	}
	if raw.Auths["other.example.org"].Auth != "dTpw" || !strings.Contains(string(text), "psFormat") {
		t.Errorf("what stood there is gone: %s", text)
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, %v", info.Mode(), err)
	}

	p.ok(t, "acr logout -n fraudacr")
	if got, err := store.Get(context.Background(), "other.example.org"); err != nil || got.Username != "u" {
		t.Errorf("signing out takes the others along: %+v, %v", got, err)
	}
	if text, err := os.ReadFile(config); err != nil || strings.Contains(string(text), p.host()) {
		t.Errorf("still there: %s, %v", text, err)
	}
	if code, _, stderr := p.run(t.Context(), "acr logout -n fraudacr"); code != ExitNotFound || !strings.Contains(stderr, "no sign-in") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestLoginWritesACredentialHelper(t *testing.T) {
	p := newPlant(t, registryRoutes())
	bin := t.TempDir()
	kept := filepath.Join(bin, "kept")
	helper := "#!/bin/sh\nif [ \"$1\" = store ]; then cat > '" + kept + "'; fi\nif [ \"$1\" = get ]; then cat '" + kept + "'; fi\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-fake"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	config := filepath.Join(p.env["DOCKER_CONFIG"], "config.json")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"credHelpers":{%q:"fake"}}`, p.host()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.ok(t, "acr login -n fraudacr -o none")
	text, err := os.ReadFile(config)
	if err != nil || strings.Contains(string(text), "refresh1") {
		t.Errorf("the token is in the file: %s, %v", text, err)
	}
	store, err := credentials.NewStore(config, credentials.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Get(context.Background(), p.host()); err != nil || got.RefreshToken != "refresh1" {
		t.Errorf("oras reads %+v, %v", got, err)
	}
}

func TestExposeTokenWritesNothing(t *testing.T) {
	p := newPlant(t, registryRoutes())
	// The login server itself needs no right to see the resource.
	if got := p.ok(t, "acr login -n HOST --expose-token --query [accessToken,loginServer] -o tsv"); got != "refresh1\n"+p.host()+"\n" {
		t.Errorf("printed %q", got)
	}
	if got := lines(p.sent()); !reflect.DeepEqual(got, []string{"GET /v2/", "POST /oauth2/exchange"}) {
		t.Errorf("sent %q", got)
	}
	if _, err := os.Stat(p.env["DOCKER_CONFIG"]); !os.IsNotExist(err) {
		t.Errorf("docker's folder exists: %v", err)
	}
}

func TestLoginWithTheAdminPassword(t *testing.T) {
	p := newPlant(t, registryRoutes())
	code, _, stderr := p.run(t.Context(), "acr login -n fraudacr -u fraudacr -p wrong")
	if code != ExitError || !strings.Contains(stderr, "(UNAUTHORIZED) the user name or the password is wrong") || strings.Contains(stderr, "alvara login") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(p.env["DOCKER_CONFIG"]); !os.IsNotExist(err) {
		t.Errorf("a password that does not work is kept: %v", err)
	}
	p.ok(t, "acr login -n fraudacr -u fraudacr -p pw")
	store, err := credentials.NewStore(filepath.Join(p.env["DOCKER_CONFIG"], "config.json"), credentials.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Get(context.Background(), p.host()); err != nil || got.Username != "fraudacr" || got.Password != "pw" {
		t.Errorf("oras reads %+v, %v", got, err)
	}
}

func TestOlderPodmanLoginIsNamed(t *testing.T) {
	p := newPlant(t, registryRoutes())
	p.env["XDG_RUNTIME_DIR"] = t.TempDir()
	auth := filepath.Join(p.env["XDG_RUNTIME_DIR"], "containers", "auth.json")
	if err := os.MkdirAll(filepath.Dir(auth), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(auth, fmt.Appendf(nil, `{"auths":{%q:{"auth":"dTpw"}}}`, p.host()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := p.run(t.Context(), "acr login -n fraudacr")
	if code != ExitOK || !strings.Contains(stderr, "podman logout "+p.host()) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestLoginThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		routes map[string]http.HandlerFunc
		line   string
		stderr string
	}{
		"another server is named for tokens": {
			map[string]http.HandlerFunc{"GET /v2/": says(401, "", "WWW-Authenticate", `Bearer realm="https://evil.example.org/oauth2/token",service="HOST"`)},
			"acr login -n fraudacr", "no credential is sent there"},
		"basic authentication alone": {
			map[string]http.HandlerFunc{"GET /v2/": says(401, "", "WWW-Authenticate", `Basic realm="x"`)}, "acr login -n fraudacr", "does not ask for a token"},
		"no registry": {
			map[string]http.HandlerFunc{"GET /v2/": says(200, "{}")}, "acr login -n fraudacr", "nothing to sign in to"},
		"the exchange is refused": {
			map[string]http.HandlerFunc{"POST /oauth2/exchange": says(403, `{"errors":[{"code":"DENIED","message":"the principal is disabled"}]}`)},
			"acr login -n fraudacr", "(DENIED) the principal is disabled"},
		"an answer without a token": {
			map[string]http.HandlerFunc{"POST /oauth2/exchange": says(200, `{}`)}, "acr login -n fraudacr", "answered without a refresh_token"},
		"a login server that is none": {nil, "acr login -n HOST/x", "neither the name of a registry nor a login server"},
		"half a password":             {nil, "acr login -n fraudacr -u fraudacr", "go together"},
		"the resource may not be seen": {
			map[string]http.HandlerFunc{"GET " + registryID: says(403, `{"error":{"code":"AuthorizationFailed","message":"no registries/read"}}`)},
			"acr login -n fraudacr -g rg1", "-n HOST:PORT"},
		"no login server yet": {
			map[string]http.HandlerFunc{"GET " + registryID: says(200, `{"name":"fraudacr","properties":{"provisioningState":"Creating"}}`)},
			"acr login -n fraudacr -g rg1", "Creating"},
	} {
		t.Run(name, func(t *testing.T) {
			routes := registryRoutes()
			for key, handler := range c.routes {
				routes[key] = handler
			}
			p := newPlant(t, routes)
			code, stdout, stderr := p.run(t.Context(), c.line)
			if code == ExitOK || stdout != "" || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			if _, err := os.Stat(p.env["DOCKER_CONFIG"]); !os.IsNotExist(err) {
				t.Errorf("docker's folder exists: %v", err)
			}
		})
	}
}

func TestDockersConfigurationIsNotReplacedWhenDamaged(t *testing.T) {
	p := newPlant(t, registryRoutes())
	config := filepath.Join(p.env["DOCKER_CONFIG"], "config.json")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(`{"auths":`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := p.run(t.Context(), "acr login -n fraudacr")
	if text, err := os.ReadFile(config); code != ExitError || err != nil || string(text) != `{"auths":` || !strings.Contains(stderr, "cannot be read") {
		t.Errorf("exit code %d: %s; the file is %q, %v", code, stderr, text, err)
	}
}

func TestChallenges(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`Bearer realm="https://h/t",service="h",scope="repository:a/b:pull,push"`:     {"realm": "https://h/t", "service": "h", "scope": "repository:a/b:pull,push"},
		`bearer  realm=https://h/t, Service=h`:                                        {"realm": "https://h/t", "service": "h"},
		`Bearer realm="https://h/t",error="invalid_token",error_description="a=b, c"`: {"realm": "https://h/t", "error": "invalid_token", "error_description": "a=b, c"},
		`Basic realm="x"`: {}, ``: {}, `Bearer realm="x`: {}, `Bearer`: {}, `Bearer ,,,`: {},
	} {
		if got := parseChallenge(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %v, want %v", text, got, want)
		}
	}
}
