package pull_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// plane is a registry that takes access tokens of identities, as Azure's do. Its tokens are words that say what they are.
type plane struct {
	*httptest.Server
	host  string
	realm string // where its challenge sends to; "" is itself

	mu     sync.Mutex
	grants map[string]string // identity → "pull" or "push pull"
	heard  []string          // every credential that arrived
	gets   map[string]int    // of blobs
	fake   http.Handler      // answers instead, without asking who
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	p := &plane{grants: map[string]string{}, gets: map[string]int{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := r.ParseForm(); err == nil {
			p.heard = append(append(p.heard, r.PostForm["access_token"]...), r.PostForm["refresh_token"]...)
		}
		if auth := r.Header.Get("Authorization"); auth != "" {
			p.heard = append(p.heard, auth)
		}
		p.answer(w, r, inner)
	}))
	t.Cleanup(p.Close)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.host = strings.TrimPrefix(p.URL, "https://")
	return p
}

func (p *plane) answer(w http.ResponseWriter, r *http.Request, inner http.Handler) {
	say := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch {
	case r.URL.Path == "/oauth2/exchange":
		who, ok := strings.CutPrefix(r.PostForm.Get("access_token"), "entra-")
		if !ok || r.PostForm.Get("service") != p.host {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		say(map[string]string{"refresh_token": "refresh-" + who})
		return
	case r.URL.Path == "/oauth2/token":
		who := strings.TrimPrefix(r.PostForm.Get("refresh_token"), "refresh-")
		say(map[string]string{"access_token": "access-" + who})
		return
	case p.fake != nil:
		p.fake.ServeHTTP(w, r)
		return
	}
	who, known := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer access-")
	need := "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		need = "push"
	}
	if !known {
		realm := p.realm
		if realm == "" {
			realm = p.URL + "/oauth2/token"
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="`+p.host+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path != "/v2/" && !strings.Contains(p.grants[who], need) {
		w.WriteHeader(http.StatusForbidden)
		say(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": "no right to " + need}}})
		return
	}
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		p.gets[r.URL.Path]++
	}
	inner.ServeHTTP(w, r)
}

func (p *plane) grant(who, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grants[who] = what
}

// registries speak to planes as an identity.
func registries(t testing.TB, store *layer.Store, identity string, own ...*plane) *pull.Registries {
	t.Helper()
	r := &pull.Registries{
		Credentials: map[string]pull.Credential{}, Store: store, Proofs: filepath.Join(store.Dir, "proofs"),
		Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Token: func(_ context.Context, who string) (string, error) {
			if who == "gone" {
				return "", resource.Errorf(resource.Unauthenticated, "ManagedIdentityUnavailable", "it was deleted.")
			}
			return "entra-" + who, nil
		},
	}
	for _, p := range own {
		r.Own = append(r.Own, p.host)
		r.Credentials[p.host] = pull.Credential{Identity: identity, Principal: "object-of-" + identity}
		r.Transport = p.Client().Transport
	}
	return r
}

func newStore(t testing.TB) *layer.Store {
	owners := layer.Owners{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Size: 1}
	return &layer.Store{Dir: t.TempDir(), Owners: owners, Clock: time.Now}
}

// sample is an image for this machine.
func sample(t testing.TB) v1.Image {
	t.Helper()
	made, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	file, err := made.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	if made, err = mutate.ConfigFile(made, file); err != nil {
		t.Fatal(err)
	}
	return made
}

func forbidden(t *testing.T, err error, says ...string) {
	t.Helper()
	e, ok := resource.AsError(err)
	if !ok || e.Kind != resource.Forbidden {
		t.Fatalf("error %v; want Forbidden", err)
	}
	for _, word := range says {
		if !strings.Contains(e.Message, word) {
			t.Errorf("the message lacks %q: %s", word, e.Message)
		}
	}
}

// MI-12: without AcrPull a pull is refused, with who, where, and the cure; once granted it succeeds; taken away it is refused.
func TestIdentity(t *testing.T) {
	ctx := context.Background()
	p := newPlane(t)
	store := newStore(t)
	app, writer := registries(t, store, "app", p), registries(t, store, "writer", p)
	reference := p.host + "/team/app:1"
	forbidden(t, writer.Push(ctx, reference, sample(t)), "object-of-writer", "AcrPush", p.host, "role assignment create")
	p.grant("writer", "push pull")
	if err := writer.Push(ctx, reference, sample(t)); err != nil {
		t.Fatal(err)
	}
	_, err := app.Resolve(ctx, reference)
	forbidden(t, err, "object-of-app", "AcrPull", p.host, "team/app", "no right to pull", "role assignment create")
	p.grant("app", "pull")
	image, err := app.Resolve(ctx, reference)
	if err != nil {
		t.Fatal(err)
	}
	held, err := image.Hold(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	held.Release()
	p.grant("app", "")
	_, err = image.Hold(ctx, 0) // it lies unpacked here
	forbidden(t, err, "object-of-app", "AcrPull")
	_, err = registries(t, store, "gone", p).Resolve(ctx, reference)
	if resource.KindOf(err) != resource.Unauthenticated || !strings.Contains(err.Error(), "it was deleted") {
		t.Errorf("an identity without a token: %v", err)
	}
}

// A layer that lies here is not fetched again from where it is proven.
func TestFetchedOnce(t *testing.T) {
	ctx := context.Background()
	p := newPlane(t)
	p.grant("app", "push pull")
	r := registries(t, newStore(t), "app", p)
	if err := r.Push(ctx, p.host+"/a:1", sample(t)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		image, err := r.Resolve(ctx, p.host+"/a:1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range image.Layers {
			held, err := image.Hold(ctx, i)
			if err != nil {
				t.Fatal(err)
			}
			held.Release()
		}
	}
	for path, n := range p.gets {
		if digest := path[strings.LastIndex(path, "/")+1:]; n > 1 && !strings.Contains(path, "manifests") && isLayer(t, r, p, digest) {
			t.Errorf("%s was fetched %d times", path, n)
		}
	}
}

func isLayer(t *testing.T, r *pull.Registries, p *plane, digest string) bool {
	t.Helper()
	image, err := r.Resolve(context.Background(), p.host+"/a:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range image.Layers {
		if h, err := l.Digest(); err == nil && h.String() == digest {
			return true
		}
	}
	return false
}

// Tokens of identities go to no host that is not trusted: not because a build names one, and not because a registry sends there.
func TestTokensStay(t *testing.T) {
	ctx := context.Background()
	good, evil := newPlane(t), newPlane(t)
	r := registries(t, newStore(t), "app", good)
	r.Credentials[evil.host] = pull.Credential{Identity: "app", Principal: "object-of-app"}
	_, err := r.Resolve(ctx, evil.host+"/x:1")
	forbidden(t, err, "object-of-app", evil.host, "trust")
	good.realm = evil.URL + "/oauth2/token"
	_, err = r.Resolve(ctx, good.host+"/x:1")
	if err == nil {
		t.Error("a registry that sends elsewhere for tokens was followed")
	}
	good.realm = ""
	good.fake = http.RedirectHandler(evil.URL+"/v2/", http.StatusTemporaryRedirect)
	if _, err := r.Resolve(ctx, good.host+"/x:1"); err == nil {
		t.Error("a registry that leads elsewhere was followed")
	}
	if len(evil.heard) > 0 {
		t.Errorf("the other host heard %q", evil.heard)
	}
}

// Nobody gets a private layer by naming its digest at another host, even one that says that it has everything.
func TestLayersNeedProof(t *testing.T) {
	ctx := context.Background()
	good, evil := newPlane(t), newPlane(t)
	good.grant("app", "push pull")
	store := newStore(t)
	r := registries(t, store, "app", good)
	private := sample(t)
	if err := r.Push(ctx, good.host+"/private:1", private); err != nil {
		t.Fatal(err)
	}
	image, err := r.Resolve(ctx, good.host+"/private:1")
	if err != nil {
		t.Fatal(err)
	}
	held, err := image.Hold(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	held.Release()
	// The other host knows manifest and configuration, answers every HEAD, and has no layer.
	manifest, _ := private.RawManifest()
	config, _ := private.RawConfigFile()
	evil.fake = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parsed, _ := private.Manifest()
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", string(parsed.MediaType))
			_, _ = w.Write(manifest)
		case strings.HasSuffix(r.URL.Path, parsed.Config.Digest.String()):
			_, _ = w.Write(config)
		case r.Method == http.MethodGet && r.URL.Path != "/v2/":
			_, _ = io.Copy(w, bytes.NewReader(make([]byte, 100)))
		}
	})
	thief := registries(t, store, "thief")
	thief.Transport, thief.Own = evil.Client().Transport, []string{good.host}
	stolen, err := thief.Resolve(ctx, evil.host+"/mine:1")
	if err != nil {
		t.Fatal(err)
	}
	if held, err := stolen.Hold(ctx, 0); err == nil {
		held.Release()
		t.Fatal("a private layer was had by naming its digest")
	}
	// Nor on an own host by an identity that may not read it there.
	other := registries(t, store, "thief", good)
	if _, err := other.Resolve(ctx, good.host+"/private:1"); resource.KindOf(err) != resource.Forbidden {
		t.Errorf("error %v; want Forbidden", err)
	}
}

func TestNoSuchImage(t *testing.T) {
	p := newPlane(t)
	p.grant("app", "pull")
	r := registries(t, newStore(t), "app", p)
	if _, err := r.Resolve(context.Background(), p.host+"/none:1"); resource.KindOf(err) != resource.NotFound {
		t.Errorf("error %v; want NotFound", err)
	}
	if _, err := r.Resolve(context.Background(), "UPPER/case"); resource.KindOf(err) != resource.Invalid {
		t.Errorf("error %v; want Invalid", err)
	}
	p.Close()
	if _, err := r.Resolve(context.Background(), p.host+"/none:1"); resource.KindOf(err) != resource.Unavailable || errors.Is(err, context.Canceled) {
		t.Errorf("error %v; want Unavailable", err)
	}
}
