package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
)

// FuzzPath: whatever the path is, what comes out of the parser is what the grammars allow, and it names the same path.
func FuzzPath(f *testing.F) {
	for _, c := range protocol {
		f.Add(c.method, c.path)
	}
	for _, path := range []string{"/v2/tags/list/tags/list", "/v2/manifests/manifests/manifests", "/acr/v1/a/_tags/b/_manifests/c", "/v2/a/blobs/uploads/blobs/uploads/", "/acr/v1/", "/v2", "/oauth2/token/", "/v2/a/manifests/sha256:%20"} {
		f.Add("GET", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		at, err := parsePath(method, &url.URL{Path: path})
		if err != nil {
			if kind := resource.KindOf(err); kind != resource.Invalid && kind != resource.NotFound && kind != resource.Unsupported {
				t.Fatalf("%q: an error of the kind %d: %v", path, kind, err)
			}
			return
		}
		for _, form := range []string{
			"/v2/", "/v2", "/v2/_catalog", "/acr/v1/_catalog", "/oauth2/token", "/oauth2/token/", "/oauth2/exchange", "/oauth2/exchange/",
			"/v2/{r}/tags/list", "/v2/{r}/manifests/{ref}", "/v2/{r}/blobs/{d}", "/v2/{r}/referrers/{d}", "/v2/{r}/blobs/uploads", "/v2/{r}/blobs/uploads/", "/v2/{r}/blobs/uploads/{u}",
			"/acr/v1/{r}", "/acr/v1/{r}/_tags", "/acr/v1/{r}/_tags/{ref}", "/acr/v1/{r}/_manifests", "/acr/v1/{r}/_manifests/{d}",
		} {
			again := strings.NewReplacer("{r}", at.repository, "{ref}", at.reference, "{d}", at.digest, "{u}", at.upload).Replace(form)
			if again == path {
				scope := RepositoryScope(alpha(), at.repository)
				if at.repository != "" && (strings.Contains(at.repository, "..") || scope.Name() != strings.ReplaceAll(at.repository, "/", ":")) {
					t.Fatalf("%q gives the repository %q", path, at.repository)
				}
				return
			}
		}
		t.Fatalf("%q is read as %+v", path, at)
	})
}

// A connection that breaks off in the middle of a chunk leaves an upload that can be resumed.
func TestBrokenChunk(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "AcrPush", alpha())
	header := w.as("somebody", "team/app")
	at := w.must(202, call{method: "POST", path: "/v2/team/app/blobs/uploads/", header: header}).header.Get("Location")
	connection, err := tls.Dial("tcp", w.http["alpha"].Listener.Addr().String(), w.http["alpha"].Client().Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(connection, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 12\r\n\r\nhello", at, header.Get("Authorization"))
	if err := connection.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answered, _ := io.ReadAll(connection) // the server may have nothing to say to who is gone
	if text := string(answered); text != "" && !strings.Contains(text, "SIZE_INVALID") {
		t.Errorf("the answer is %s", text)
	}
	_ = connection.Close()
	status := w.must(204, call{method: "GET", path: at, header: header})
	if got := status.header.Get("Range"); got != "0-4" {
		t.Fatalf("the upload is at %s", got)
	}
	if a := w.do(call{method: "PUT", path: at + "?digest=" + worldDigest, header: with(header, "Content-Range", "5-11"), body: []byte(", world")}); a.status != 201 {
		t.Errorf("resumed: %d %s", a.status, a.body)
	}
}

// Headers of great length are refused, and nothing falls over.
func TestHugeHeaders(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		header http.Header
		status int
	}{
		"a long token":      {bearer(strings.Repeat("a", 100<<10)), 401},
		"a long password":   {basic("alpha", strings.Repeat("a", 100<<10)), 401},
		"no base64":         {http.Header{"Authorization": {"Basic ~~~"}}, 401},
		"two megabytes":     {http.Header{"X-Long": {strings.Repeat("a", 2<<20)}}, 431},
		"a scheme of blank": {http.Header{"Authorization": {" "}}, 401},
	} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", w.http["alpha"].URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = c.header
		response, err := w.http["alpha"].Client().Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: %d, expected %d", name, response.StatusCode, c.status)
		}
	}
}

// Whatever a client gives as the place to go on from is a place in the order of names, and never a fault of the server.
func TestOddPlacesInLists(t *testing.T) {
	w := newWorld(t)
	w.grant("owner", "Owner", resource.Root)
	header := w.as("owner", "team/app")
	w.pushImage(header, "team/app", "v1", "")
	for _, path := range []string{"/v2/_catalog", "/acr/v1/_catalog", "/v2/team/app/tags/list", "/acr/v1/team/app/_tags", "/acr/v1/team/app/_manifests"} {
		for _, last := range []string{"", "A", "zzz", "../..", "a/", "/", "%", "\x00", "\xff\xfe", "a:b", strings.Repeat("x", 5000), "team/app", "v1"} {
			for _, n := range []string{"", "&n=1", "&n=1000000"} {
				a := w.do(call{method: "GET", path: path + "?last=" + url.QueryEscape(last) + n, header: header})
				if a.status != 200 && a.status != 400 {
					t.Errorf("%s after %.20q%s: %d %s", path, last, n, a.status, a.body)
				}
			}
		}
	}
}

// Ten clients push one tag at once: each is answered, the tag is one of theirs, whole, and every manifest is there.
func TestTenClientsPushOneTag(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "AcrPush", alpha())
	header := w.as("somebody", "team/app")
	pushed := make([][]byte, 10)
	var clients sync.WaitGroup
	for i := range pushed {
		clients.Go(func() {
			config, layer := []byte("{}"), []byte(fmt.Sprint("layer ", i))
			for _, blob := range [][]byte{config, layer} {
				if a := w.do(call{method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + digestOf(blob), header: header, body: blob}); a.status != 201 {
					t.Errorf("client %d: %d %s", i, a.status, a.body)
				}
			}
			pushed[i] = manifestOf(config, layer)
			for range 5 {
				if a := w.do(call{method: "PUT", path: "/v2/team/app/manifests/latest", header: with(header, "Content-Type", manifestType), body: pushed[i]}); a.status != 201 {
					t.Errorf("client %d: %d %s", i, a.status, a.body)
				}
				if a := w.do(call{method: "GET", path: "/v2/team/app/manifests/latest", header: header}); a.status != 200 || digestOf(a.body) != a.header.Get("Docker-Content-Digest") {
					t.Errorf("client %d pulls: %d %s", i, a.status, a.body)
				}
			}
		})
	}
	clients.Wait()
	last, found := w.must(200, call{method: "GET", path: "/v2/team/app/manifests/latest", header: header}), false
	for _, manifest := range pushed {
		found = found || string(manifest) == string(last.body)
		w.must(200, call{method: "GET", path: "/v2/team/app/manifests/" + digestOf(manifest), header: header})
	}
	if !found {
		t.Errorf("the tag is none of what was pushed: %s", last.body)
	}
}

// With a domain the host name says which registry is meant.
func TestByHost(t *testing.T) {
	w := newWorld(t)
	handler := w.server.ByHost("Example.org")
	for host, status := range map[string]int{
		"alpha.cr.example.org": 401, "ALPHA.cr.example.org:5000": 401, "beta.cr.example.org:443": 401,
		"gamma.cr.example.org": 404, "cr.example.org": 404, "alpha.example.org": 404, "x.alpha.cr.example.org": 404, "alpha": 404, ".cr.example.org": 404, "": 404,
	} {
		request := httptest.NewRequest("GET", "/v2/", nil)
		request.Host = host
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code != status {
			t.Errorf("%q: %d, expected %d", host, recorder.Code, status)
		}
		name, _, _ := strings.Cut(strings.ToLower(host), ".")
		if status == 401 && !strings.Contains(recorder.Header().Get("WWW-Authenticate"), w.catalog.registries[name].LoginServer) {
			t.Errorf("%q: %s", host, recorder.Header().Get("WWW-Authenticate"))
		}
	}
}

// What one registry has another one has not, not even to mount.
func TestRegistriesAreApart(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Owner", resource.Root)
	w.pushImage(w.as("somebody", "team/app"), "team/app", "v1", "one")
	header := bearer(w.token("beta", "somebody", "repository:team/app:*", "repository:team/copy:*", "registry:catalog:*"))
	w.must(404, call{method: "GET", path: "/v2/team/app/manifests/v1", registry: "beta", header: header})
	w.must(404, call{method: "GET", path: "/v2/team/app/blobs/" + digestOf([]byte("layer one")), registry: "beta", header: header})
	w.must(202, call{method: "POST", path: "/v2/team/copy/blobs/uploads/?from=team/app&mount=" + digestOf([]byte("layer one")), registry: "beta", header: header})
	if a := w.must(200, call{method: "GET", path: "/v2/_catalog", registry: "beta", header: header}); string(a.body) != `{"repositories":[]}` {
		t.Errorf("beta lists %s", a.body)
	}
	w.catalog.change("alpha", func(r *Registry) { r.Key += "2" }) // deleted and made again
	w.must(404, call{method: "GET", path: "/v2/team/app/manifests/v1", header: w.as("somebody", "team/app")})
}

// A push that exceeds the quota is refused with the reason, and nothing of it is there.
func TestQuota(t *testing.T) {
	w := newWorld(t)
	w.catalog.change("alpha", func(r *Registry) { r.Quota = 1000 })
	w.grant("somebody", "Owner", resource.Root)
	header := w.as("somebody", "team/app")
	large := []byte(strings.Repeat("x", 1001))
	if a := w.do(call{method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + digestOf(large), header: header, body: large}); a.status != 403 || a.codes() != "QUOTA_EXCEEDED" {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.must(404, call{method: "HEAD", path: "/v2/team/app/blobs/" + digestOf(large), header: header})
	w.pushBlob(header, "team/app", []byte("small"))
}

// A condition on the repository's name holds for that name alone.
func TestConditionOnTheRepository(t *testing.T) {
	w := newWorld(t)
	w.grant("root", "Owner", resource.Root)
	everything := w.as("root", "team/app", "team/other")
	w.pushImage(everything, "team/app", "v1", "one")
	w.pushImage(everything, "team/other", "v1", "one")
	id := w.grant("somebody", "Container Registry Repository Reader", alpha())
	w.condition(id, `@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'team/app'`)
	header := w.as("somebody", "team/app", "team/other")
	w.must(200, call{method: "GET", path: "/v2/team/app/manifests/v1", header: header})
	w.must(403, call{method: "GET", path: "/v2/team/other/manifests/v1", header: header})
	if a := w.must(200, call{method: "GET", path: "/v2/_catalog", header: header}); string(a.body) != `{"repositories":["team/app"]}` {
		t.Errorf("the list is %s", a.body)
	}
}

// What cannot be recorded does not happen, whoever asks.
func TestNothingWithoutARecord(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Owner", resource.Root)
	w.catalog.change("alpha", func(r *Registry) { r.AdminEnabled = true })
	header := w.as("somebody", "team/app")
	w.pushImage(header, "team/app", "v1", "")
	w.server.Audit = broken{}
	w.server.Guard = &guard.Guard{Access: w.live, Audit: broken{}, Clock: w.server.Clock}
	for name, header := range map[string]http.Header{"a role": header, "the admin user": basic("alpha", "one-alpha")} {
		for _, path := range []string{"/v2/team/app/manifests/v1", "/v2/_catalog"} {
			if a := w.do(call{method: "GET", path: path, header: header}); a.status != 503 || strings.Contains(string(a.body), "full") {
				t.Errorf("%s: %s: %d %s", name, path, a.status, a.body)
			}
		}
	}
}

type broken struct{}

func (broken) Record(context.Context, audit.Record) error { return errors.New("the disk is full") }

// condition puts a condition on an assignment.
func (w *world) condition(id resource.ID, text string) {
	w.t.Helper()
	parsed, err := condition.Parse(text)
	if err != nil {
		w.t.Fatal(err)
	}
	changed := *w.live.Snapshot().Assignment(id)
	changed.Condition = parsed
	w.live.Apply(access.PutAssignment{Assignment: changed})
}

// FuzzScopes: whatever is asked for, a token carries names of repositories and known actions only, and never more than was
// asked for.
func FuzzScopes(f *testing.F) {
	for _, text := range []string{"repository:a/b:pull,push", "registry:catalog:*", "repository:a:metadataRead artifact-repository:b:pull", "repository:a:b:pull", ":::", "repository::pull", "registry:x:*", "repository:a:admin"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scopes, err := parseScopes([]string{text})
		if err != nil {
			if resource.KindOf(err) != resource.Invalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, scope := range scopes {
			if scope.Type == "repository" && content.CheckRepositoryName(scope.Name) != nil || scope.Type == "registry" && scope.Name != "catalog" ||
				scope.Type != "repository" && scope.Type != "registry" || !strings.Contains(text, scope.Type+":"+scope.Name+":") {
				t.Fatalf("%q gives %+v", text, scope)
			}
			for _, action := range scope.Actions {
				if !slices.Contains([]string{"pull", "push", "delete", "metadata_read", "metadata_write", "*"}, action) || !strings.Contains(text, strings.Split(action, "_")[0]) {
					t.Fatalf("%q gives the action %q", text, action)
				}
			}
		}
	})
}
