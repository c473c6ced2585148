package identity

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/go-jose/go-jose/v4"
)

// foreignIssuer is an OpenID provider outside of the server, such as a Kubernetes cluster's.
type outsideIssuer struct {
	server *httptest.Server
	asked  atomic.Int32
	name   atomic.Value // what it calls itself
	set    atomic.Value // its keys
}

func newOutsideIssuer(t *testing.T) *outsideIssuer {
	o := &outsideIssuer{}
	mux := http.NewServeMux()
	o.server = httptest.NewTLSServer(mux)
	t.Cleanup(o.server.Close)
	o.name.Store(o.server.URL)
	o.set.Store(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &testKeys()[2].PublicKey, KeyID: "outside", Algorithm: "RS256", Use: "sig"}}})
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		o.asked.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": o.name.Load(), "jwks_uri": o.server.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(o.set.Load()) })
	return o
}

func (o *outsideIssuer) claims(w *world) map[string]any {
	now := w.clock.Now()
	return map[string]any{
		"iss": o.server.URL, "sub": "system:serviceaccount:ns:sa", "aud": []string{tokenExchange},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func (o *outsideIssuer) sign(t *testing.T, claims any) string {
	return signJWT(t, jose.RS256, testKeys()[2], map[string]any{"kid": "outside"}, claims)
}

func TestFederatedTokensStandForApplicationsAndIdentities(t *testing.T) {
	outside := newOutsideIssuer(t)
	w := newWorld(t, func(c *Config) { c.HTTPClient = outside.server.Client() })
	credential := FederatedCredential{Name: "k8s", Issuer: outside.server.URL, Subject: "system:serviceaccount:ns:sa", Audiences: []string{tokenExchange}}
	application, service, _ := w.app("workload")
	w.must(w.directory.SetFederatedCredentials(w.ctx, application.AppID, []FederatedCredential{credential}))
	identity, _ := w.managed("workload-identity")
	ops, err := w.directory.SetFederatedCredentialsOps(identity.PrincipalID, []FederatedCredential{credential})
	w.must(err)
	_, err = w.store.Apply(w.ctx, ops...)
	w.must(err)
	token := outside.sign(t, outside.claims(w))
	w.wantAllowed(w.token(v2Path, assertionForm(application.AppID, token)), "arm", service.ID)
	got := w.token(v2Path, assertionForm(identity.ClientID, token))
	if p := w.wantAllowed(got, "arm", identity.PrincipalID); p.ResourceID == "" {
		t.Fatalf("the principal is %+v", p)
	}
	if claimsOf(t, got)["xms_mirid"] == nil {
		t.Fatal("the token has no xms_mirid")
	}
	if n := outside.asked.Load(); n != 1 {
		t.Fatalf("the issuer was asked %d times", n)
	}
}

func TestFederatedTokensThatAreRefused(t *testing.T) {
	outside := newOutsideIssuer(t)
	w := newWorld(t, func(c *Config) { c.HTTPClient = outside.server.Client() })
	application, _, _ := w.app("workload")
	credential := FederatedCredential{Name: "k8s", Issuer: outside.server.URL, Subject: "system:serviceaccount:ns:sa", Audiences: []string{tokenExchange}}
	w.must(w.directory.SetFederatedCredentials(w.ctx, application.AppID, []FederatedCredential{credential}))
	with := func(name string, value any) map[string]any {
		claims := outside.claims(w)
		delete(claims, name)
		if value != nil {
			claims[name] = value
		}
		return claims
	}
	refused := func(name, token string, code int) {
		t.Run(name, func(t *testing.T) {
			local := *w
			local.t = t
			status, answer := local.post(v2Path, assertionForm(application.AppID, token))
			local.wantCode(status, answer, code)
		})
	}
	refused("another issuer", outside.sign(t, with("iss", "https://evil.example")), codeFederationUnmatched)
	refused("issuer with a slash", outside.sign(t, with("iss", outside.server.URL+"/")), codeFederationUnmatched)
	refused("another subject", outside.sign(t, with("sub", "system:serviceaccount:ns:other")), codeFederationUnmatched)
	refused("another audience", outside.sign(t, with("aud", "api://other")), codeFederationUnmatched)
	refused("no audience", outside.sign(t, with("aud", nil)), codeFederationUnmatched)
	if n := outside.asked.Load(); n != 0 {
		t.Fatalf("the issuer was asked %d times for tokens that match nothing", n)
	}
	refused("expired", outside.sign(t, with("exp", w.clock.Now().Add(-time.Hour).Unix())), codeAssertionTime)
	refused("no exp", outside.sign(t, with("exp", nil)), codeAssertionTime)
	refused("stranger's key", signJWT(t, jose.RS256, testKeys()[1], map[string]any{"kid": "outside"}, outside.claims(w)), codeAssertionKey)
	refused("embedded key", signJWT(t, jose.RS256, testKeys()[1], map[string]any{"kid": "outside", "jwk": jose.JSONWebKey{Key: &testKeys()[1].PublicKey, KeyID: "outside"}}, outside.claims(w)), codeAssertionKey)
	w.clock.advance(time.Minute)
	refused("unknown kid", signJWT(t, jose.RS256, testKeys()[2], map[string]any{"kid": "other"}, outside.claims(w)), codeAssertionKey)
	asked := outside.asked.Load()
	refused("unknown kid again", signJWT(t, jose.RS256, testKeys()[2], map[string]any{"kid": "third"}, outside.claims(w)), codeAssertionKey)
	if outside.asked.Load() != asked {
		t.Fatal("every unknown key id makes the server ask the issuer")
	}
	w.clock.advance(2 * time.Hour)
	outside.name.Store("https://somebody.else")
	refused("issuer that calls itself otherwise", outside.sign(t, outside.claims(w)), codeFederationKeys)
}

func TestOurOwnTokensFederate(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.HTTPClient = &http.Client{Transport: noNetwork{}} })
	application, service, _ := w.app("app")
	identity, _ := w.managed("mi")
	w.must(w.directory.SetFederatedCredentials(w.ctx, application.AppID, []FederatedCredential{{
		Name: "mi", Issuer: w.server.URL + "/" + testTenant + "/v2.0", Subject: identity.PrincipalID, Audiences: []string{tokenExchange},
	}}))
	set, err := w.service.IssueManaged(w.ctx, identity.PrincipalID, tokenExchange)
	w.must(err)
	w.wantAllowed(w.token(v2Path, assertionForm(application.AppID, set.AccessToken)), "arm", service.ID)
	// A token for another resource must not do.
	other, err := w.service.IssueManaged(w.ctx, identity.PrincipalID, armAudience)
	w.must(err)
	status, answer := w.post(v2Path, assertionForm(application.AppID, other.AccessToken))
	w.wantCode(status, answer, codeFederationUnmatched)
	_, err = w.store.Apply(w.ctx, w.directory.RemoveOps(identity.PrincipalID)...)
	w.must(err)
	status, answer = w.post(v2Path, assertionForm(application.AppID, set.AccessToken))
	w.wantCode(status, answer, codeFederationUnmatched)
}

type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, resource.Invalidf("NoNetwork", "%s is asked", r.URL)
}

func TestFederatedCredentialsAreChecked(t *testing.T) {
	w := newWorld(t)
	application, _, _ := w.app("app")
	good := FederatedCredential{Name: "n", Issuer: "https://issuer.test", Subject: "s", Audiences: []string{"a"}}
	for name, change := range map[string]func(*FederatedCredential){
		"name": func(f *FederatedCredential) { f.Name = "" }, "http": func(f *FederatedCredential) { f.Issuer = "http://issuer.test" },
		"subject": func(f *FederatedCredential) { f.Subject = "" }, "audience": func(f *FederatedCredential) { f.Audiences = nil },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			change(&bad)
			wantKind(t, w.directory.SetFederatedCredentials(w.ctx, application.AppID, []FederatedCredential{bad}), resource.Invalid)
		})
	}
	wantKind(t, w.directory.SetFederatedCredentials(w.ctx, application.AppID, []FederatedCredential{good, good}), resource.Conflict)
	wantKind(t, w.directory.SetFederatedCredentials(w.ctx, application.AppID, make([]FederatedCredential, 21)), resource.Invalid)
	_, err := w.directory.SetFederatedCredentialsOps(otherTenant, nil)
	wantKind(t, err, resource.NotFound)
}
