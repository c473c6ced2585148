package profile

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/alvara-ml/alvara/cli/wire"
)

func environment(pairs ...string) func(string) string {
	values := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return values[name] }
}

func twoServers() *Profile {
	p := &Profile{}
	for _, server := range []string{"https://a", "https://b"} {
		session := &Session{Kind: Refresh, User: User{"admin", "user"}, Tenant: "T" + server, Endpoints: Endpoints{Authority: server, ResourceManager: server + "/rm"}}
		p.SignIn(session, []Account{{ID: "1" + server, Name: "one"}, {ID: "2" + server, Name: "two"}})
	}
	return p
}

func TestWhoACommandWorksAs(t *testing.T) {
	for _, c := range []struct {
		name         string
		env          func(string) string
		subscription string
		want, rm     string
	}{
		{"the default account", environment(), "", "1https://b", "https://b/rm"},
		{"a subscription by name, of the sign-in in use", environment(), "two", "2https://b", "https://b/rm"},
		{"a subscription by id", environment(), "2HTTPS://B", "2https://b", "https://b/rm"},
		{"the environment's server", environment("AZURE_AUTHORITY_HOST", "https://a/"), "", "1https://a", "https://a/rm"},
		{"the environment's subscription", environment("AZURE_SUBSCRIPTION_ID", "2https://a"), "", "2https://a", "https://a/rm"},
		{"the flag wins over the environment", environment("AZURE_SUBSCRIPTION_ID", "2https://a"), "1https://b", "1https://b", "https://b/rm"},
		{"the environment's endpoint wins", environment("ALVARA_ENDPOINT", "https://c/"), "", "1https://b", "https://c"},
		{"a subscription that nobody listed, at the signed-in server", environment("AZURE_AUTHORITY_HOST", "https://a", "AZURE_SUBSCRIPTION_ID", "new"), "", "new", "https://a/rm"},
		{"a secret in the environment wins over the profile", environment("AZURE_CLIENT_ID", "c", "AZURE_CLIENT_SECRET", "s", "ALVARA_ENDPOINT", "https://c", "AZURE_SUBSCRIPTION_ID", "s1"), "", "s1", "https://c"},
		{"a job's identity endpoint wins over the profile", environment("IDENTITY_ENDPOINT", "http://x", "ALVARA_ENDPOINT", "https://c"), "s2", "s2", "https://c"},
	} {
		active, err := Resolve(twoServers(), c.env, c.subscription)
		if err != nil || active.Subscription != c.want || active.Endpoints.ResourceManager != c.rm {
			t.Errorf("%s: got %+v, %v", c.name, active, err)
		}
	}
	for _, c := range []struct {
		profile      *Profile
		env          func(string) string
		subscription string
		want         string
	}{
		{&Profile{}, environment(), "", "alvara login --local"},
		{twoServers(), environment("AZURE_AUTHORITY_HOST", "https://c"), "", "https://c"},
		{twoServers(), environment(), "nosuch", "nosuch"},
	} {
		_, err := Resolve(c.profile, c.env, c.subscription)
		var nobody *NotSignedIn
		if !errors.As(err, &nobody) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestSignInReplacesAndSignOutForgets(t *testing.T) {
	p := twoServers()
	again := &Session{User: User{"ADMIN", "user"}, Tenant: "Thttps://a", Endpoints: Endpoints{Authority: "https://a", Subscription: "9"}}
	p.SignIn(again, []Account{{ID: "8"}, {ID: "9"}})
	if len(p.Sessions) != 2 || len(p.Accounts) != 4 || p.Default().ID != "9" {
		t.Fatalf("got %+v", p.Accounts)
	}
	p.SignOut(again.Key())
	if len(p.Sessions) != 1 || len(p.Accounts) != 2 || p.Default() == nil {
		t.Fatalf("got %+v", p.Accounts)
	}
}

func TestTheProfileIsPrivateAndWhole(t *testing.T) {
	store := Store{Dir: filepath.Join(t.TempDir(), "config")}
	if p, err := store.Load(); err != nil || len(p.Accounts) != 0 {
		t.Fatal(p, err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			err := store.Update(func(p *Profile) error {
				p.SignIn(&Session{User: User{Name: fmt.Sprint(i)}}, []Account{{ID: fmt.Sprint(i)}})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	p, err := store.Load()
	if err != nil || len(p.Accounts) != 8 {
		t.Fatalf("%d of 8 concurrent sign-ins are kept, %v", len(p.Accounts), err)
	}
	if err := store.Update(func(p *Profile) error { p.Accounts = nil; return errors.New("no") }); err == nil {
		t.Fatal("the error was lost")
	}
	if p, _ := store.Load(); len(p.Accounts) != 8 {
		t.Fatal("a failed update was written")
	}
	info, err := os.Stat(filepath.Join(store.Dir, "profile.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(store.Dir, "profile.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(); err == nil || !strings.Contains(err.Error(), "alvara login") {
		t.Fatalf("got %v", err)
	}
}

// tokenService answers token requests and keeps the forms.
func tokenService(t *testing.T) (*httptest.Server, *[]url.Values) {
	t.Helper()
	forms := &[]url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/ten/oauth2/v2.0/token" {
			t.Errorf("asked %s", r.URL.Path)
		}
		*forms = append(*forms, r.Form)
		if r.Form.Get("client_secret") == "wrong" {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
			return
		}
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"a%d","refresh_token":"r%d"}`, len(*forms), len(*forms))
	}))
	t.Cleanup(server.Close)
	return server, forms
}

func TestTokensAreRenewedAndKept(t *testing.T) {
	server, forms := tokenService(t)
	store := Store{Dir: t.TempDir()}
	session := &Session{Kind: Refresh, User: User{"admin", "user"}, Tenant: "ten", RefreshToken: "r0", Endpoints: Endpoints{Authority: server.URL}}
	if err := store.Update(func(p *Profile) error { p.SignIn(session, []Account{{ID: "s"}}); return nil }); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	issuer := func() *Issuer {
		p, err := store.Load()
		if err != nil {
			t.Fatal(err)
		}
		active, err := Resolve(p, environment(), "")
		if err != nil {
			t.Fatal(err)
		}
		return &Issuer{Active: active, Store: store, HTTP: server.Client(), Env: environment(), Now: func() time.Time { return now }}
	}
	get := func(resource, want string) {
		t.Helper()
		token, err := issuer().Token(context.Background(), resource)
		if err != nil || token.AccessToken != want {
			t.Fatalf("%s: got %+v, %v; want %s", resource, token, err, want)
		}
	}
	get(ResourceManager, "a1")
	get(ResourceManager, "a1") // from the profile, by another process
	get(Storage, "a2")
	now = now.Add(59 * time.Minute) // inside the margin
	get(ResourceManager, "a3")
	if got := (*forms)[1]; got.Get("refresh_token") != "r1" || got.Get("scope") != "https://storage.azure.com/.default offline_access" || got.Get("client_id") != PublicClient {
		t.Errorf("the second request was %v", got)
	}
	if got := (*forms)[2].Get("refresh_token"); got != "r2" {
		t.Errorf("an old refresh token, %s, was used", got)
	}
}

func TestServicePrincipalsProveThemselves(t *testing.T) {
	server, forms := tokenService(t)
	dir := t.TempDir()
	key, certificate := certificateFile(t, filepath.Join(dir, "sp.pem"))
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte("outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(env ...string) error {
		read := environment(append(env, "AZURE_CLIENT_ID", "app", "AZURE_TENANT_ID", "ten", "AZURE_AUTHORITY_HOST", server.URL+"/")...)
		active, err := Resolve(&Profile{}, read, "")
		if err != nil {
			t.Fatal(err)
		}
		issuer := &Issuer{Active: active, HTTP: server.Client(), Env: read, Now: time.Now}
		_, err = issuer.Token(context.Background(), ResourceManager)
		return err
	}
	if err := ask("AZURE_CLIENT_SECRET", "s"); err != nil {
		t.Fatal(err)
	}
	if got := (*forms)[0]; got.Get("grant_type") != "client_credentials" || got.Get("client_secret") != "s" || got.Get("scope") != "https://management.azure.com/.default" {
		t.Errorf("got %v", got)
	}
	var refused *wire.Error
	if err := ask("AZURE_CLIENT_SECRET", "wrong"); !errors.As(err, &refused) || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("got %v", err)
	}
	if err := ask("AZURE_FEDERATED_TOKEN_FILE", tokenFile); err != nil {
		t.Fatal(err)
	}
	if got := (*forms)[2].Get("client_assertion"); got != "outside" {
		t.Errorf("got %q", got)
	}
	if err := ask("AZURE_CLIENT_CERTIFICATE_PATH", filepath.Join(dir, "sp.pem")); err != nil {
		t.Fatal(err)
	}
	signed, err := jwt.ParseSigned((*forms)[3].Get("client_assertion"), []jose.SignatureAlgorithm{jose.PS256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := signed.Claims(&key.PublicKey, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Issuer != "app" || claims.Subject != "app" || claims.Audience[0] != server.URL+"/ten/oauth2/v2.0/token" || signed.Headers[0].ExtraHeaders["x5t#S256"] == nil || len(certificate) == 0 {
		t.Errorf("got %+v with %+v", claims, signed.Headers)
	}
}

func certificateFile(t *testing.T, path string) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return key, der
}

func TestManagedIdentityEndpointInBothForms(t *testing.T) {
	var asked *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		if r.Header.Get("X-Identity-Header") != "h" && r.Header.Get("Secret") != "h" {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":"unauthorized","error_description":"bad header"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"mi","expires_on":"%d"}`, time.Now().Add(time.Hour).Unix())
	}))
	defer server.Close()
	ask := func(env ...string) (Token, error) {
		read := environment(env...)
		active, err := Resolve(&Profile{}, read, "")
		if err != nil {
			t.Fatal(err)
		}
		return (&Issuer{Active: active, HTTP: server.Client(), Env: read, Now: time.Now}).Token(context.Background(), Storage)
	}
	token, err := ask("IDENTITY_ENDPOINT", server.URL+"/token", "IDENTITY_HEADER", "h", "AZURE_CLIENT_ID", "c")
	if err != nil || token.AccessToken != "mi" || time.Until(token.ExpiresOn) < 50*time.Minute {
		t.Fatalf("got %+v, %v", token, err)
	}
	if q := asked.URL.Query(); q.Get("client_id") != "c" || q.Get("resource") != "https://storage.azure.com" || q.Get("api-version") != "2019-08-01" {
		t.Errorf("asked %v", q)
	}
	if _, err = ask("MSI_ENDPOINT", server.URL, "MSI_SECRET", "h", "DEFAULT_IDENTITY_CLIENT_ID", "d"); err != nil {
		t.Fatal(err)
	}
	if q := asked.URL.Query(); q.Get("clientid") != "d" || q.Get("api-version") != "2017-09-01" {
		t.Errorf("asked %v", q)
	}
	if _, err = ask("IDENTITY_ENDPOINT", server.URL, "IDENTITY_HEADER", "wrong"); err == nil || !strings.Contains(err.Error(), "bad header") {
		t.Errorf("got %v", err)
	}
}

func TestLocalSignInGoesThroughTheSocket(t *testing.T) {
	dir := t.TempDir()
	if _, err := Local(t.Context(), dir, time.Now()); err == nil || !strings.Contains(err.Error(), "alvara serve") {
		t.Fatalf("got %v", err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "alvara.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/login" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		// {"upn":"admin@alvara.local","tid":"ten"}
		fmt.Fprint(w, `{"access_token":"e30.eyJ1cG4iOiJhZG1pbkBhbHZhcmEubG9jYWwiLCJ0aWQiOiJ0ZW4ifQ.x","refresh_token":"r","expires_in":3599,"tenant":"ten","endpoints":{"resourceManager":"https://127.0.0.1:1/","authority":"https://127.0.0.1:1","caFile":"tls/bundle.pem"}}`)
	})}
	go func() { _ = server.Serve(listener) }() // ends with the test
	t.Cleanup(func() { _ = server.Close() })
	session, err := Local(t.Context(), dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if session.User.Name != "admin@alvara.local" || session.RefreshToken != "r" || session.Endpoints.ResourceManager != "https://127.0.0.1:1" ||
		session.Endpoints.CAFile != filepath.Join(dir, "tls/bundle.pem") || session.Tokens[ResourceManager].AccessToken == "" {
		t.Fatalf("got %+v", session)
	}
}

func TestEndpointsFromTheDataFolderAndTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadEndpoints(dir); err == nil || !strings.Contains(err.Error(), "alvara serve") {
		t.Fatalf("got %v", err)
	}
	text, err := json.Marshal(Endpoints{ResourceManager: "https://rm/", Authority: "https://a", Tenant: "t", Subscription: "s", Blob: "https://b", CAFile: "tls/ca.pem"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "endpoints.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := ReadEndpoints(dir)
	if err != nil || e.ResourceManager != "https://rm" || e.CAFile != filepath.Join(dir, "tls/ca.pem") {
		t.Fatalf("got %+v, %v", e, err)
	}
	over := e.Overlay(environment("ALVARA_BLOB_ENDPOINT", "https://other/", "SSL_CERT_FILE", "/x"))
	if over.Blob != "https://other" || over.CAFile != e.CAFile || over.Authority != "https://a" {
		t.Fatalf("got %+v", over)
	}
	if _, err := over.Transport(environment("SSL_CERT_FILE", "/x")); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Fatalf("got %v", err)
	}
}
