package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

func basic(user, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
}

// ping tells with which status /v2/ answers to a header.
func (w *world) ping(registry string, header http.Header) int {
	w.t.Helper()
	return w.do(call{method: "GET", path: "/v2/", registry: registry, header: header}).status
}

// Each 401 says where a token is to be had, for whom and for what, in the form that clients can read.
func TestChallenges(t *testing.T) {
	w := newWorld(t)
	host := w.catalog.registries["alpha"].LoginServer
	begin := fmt.Sprintf(`Bearer realm="https://%s/oauth2/token",service="%s"`, host, host)
	narrow := w.token("alpha", "somebody", "repository:other:pull")
	for _, c := range []struct {
		method, path string
		header       http.Header
		want         string
	}{
		{"GET", "/v2/", nil, begin},
		{"GET", "/v2/", bearer("no.token.atall"), begin + `,error="invalid_token"`},
		{"GET", "/v2/team/app/manifests/v1", nil, begin + `,scope="repository:team/app:pull"`},
		{"PUT", "/v2/team/app/manifests/v1", nil, begin + `,scope="repository:team/app:pull,push"`},
		{"DELETE", "/v2/team/app/manifests/v1", nil, begin + `,scope="repository:team/app:delete"`},
		{"POST", "/v2/team/app/blobs/uploads/?mount=" + noDigest + "&from=other", nil, begin + `,scope="repository:team/app:pull,push repository:other:pull"`},
		{"GET", "/v2/_catalog", nil, begin + `,scope="registry:catalog:*"`},
		{"GET", "/acr/v1/_catalog", nil, begin + `,scope="registry:catalog:*"`},
		{"GET", "/acr/v1/team/app", nil, begin + `,scope="repository:team/app:metadata_read"`},
		{"PATCH", "/acr/v1/team/app/_tags/v1", nil, begin + `,scope="repository:team/app:metadata_write"`},
		{"GET", "/v2/team/app/manifests/v1", bearer(narrow), begin + `,scope="repository:team/app:pull",error="insufficient_scope"`},
		{"GET", "/v2/team/app/manifests/v1", http.Header{"Authorization": {"Digest x"}}, begin + `,scope="repository:team/app:pull",error="invalid_token"`},
		{"GET", "/oauth2/token", nil, `Basic realm="` + host + `"`},
	} {
		a := w.do(call{method: c.method, path: c.path, header: c.header})
		if got := a.header.Get("WWW-Authenticate"); a.status != 401 || got != c.want || a.codes() != "UNAUTHORIZED" {
			t.Errorf("%s %s: %d %s\n%s, expected\n%s", c.method, c.path, a.status, a.body, got, c.want)
		}
	}
}

// MI-02: a registry is entered with an access token of the token service, and no password.
func TestExchange(t *testing.T) {
	w := newWorld(t)
	service, somebody := w.catalog.registries["alpha"].LoginServer, w.person("somebody")
	form := func(pairs ...string) url.Values {
		values := url.Values{"grant_type": {"access_token"}, "service": {service}, "access_token": {"registry:" + somebody}}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	for name, c := range map[string]struct {
		form   url.Values
		status int
	}{
		"for registries":             {form(), 200},
		"for the resource manager":   {form("access_token", "resourceManager:"+somebody), 200},
		"the same grant, other name": {form("grant_type", "access_token_refresh_token"), 200},
		"for something else":         {form("access_token", "storage:"+somebody), 401},
		"of nobody":                  {form("access_token", "registry:"+uuid.NewString()), 401},
		"none":                       {form("access_token", ""), 400},
		"another grant":              {form("grant_type", "refresh_token"), 400},
		"another service":            {form("service", "beta.example.org"), 400},
		"a large form":               {form("tenant", strings.Repeat("x", 100<<10)), 413},
	} {
		if a := w.post("/oauth2/exchange", c.form); a.status != c.status {
			t.Errorf("%s: %d %s, expected %d", name, a.status, a.body, c.status)
		}
	}
	// Clients read the payload with the plain base64 alphabet.
	token := w.field(w.post("/oauth2/exchange", form()), "refresh_token")
	payload := strings.Split(token, ".")[1]
	decoded, err := base64.StdEncoding.DecodeString(payload + strings.Repeat("=", (4-len(payload)%4)%4))
	if err != nil {
		t.Fatalf("the payload is not plain base64: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(decoded, &claims); err != nil {
		t.Fatal(err)
	}
	if lifetime := claims["exp"].(float64) - claims["iat"].(float64); lifetime != refreshLifetime.Seconds() || claims["aud"] != service || claims["sub"] != somebody {
		t.Errorf("the refresh token says %s", decoded)
	}
}

// Every form in which clients ask for an access token.
func TestTokenForms(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "AcrPull", registryID("alpha"))
	w.catalog.change("alpha", func(r *Registry) { r.AdminEnabled = true })
	w.grant("owner", "Owner", resource.Root)
	w.pushImage(w.as("owner", "team/app"), "team/app", "v1", "")
	service, refresh := w.catalog.registries["alpha"].LoginServer, w.refresh("alpha", "somebody")
	scope := "repository:team/app:pull"
	post := func(form url.Values) call {
		return call{method: "POST", path: "/oauth2/token", header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: []byte(form.Encode())}
	}
	get := func(header http.Header, query url.Values) call {
		return call{method: "GET", path: "/oauth2/token?" + query.Encode(), header: header}
	}
	for name, c := range map[string]call{
		"refresh token":                 post(url.Values{"grant_type": {"refresh_token"}, "service": {service}, "refresh_token": {refresh}, "scope": {scope}}),
		"several scopes":                post(url.Values{"grant_type": {"refresh_token"}, "service": {service}, "refresh_token": {refresh}, "scope": {"repository:other:push", scope}}),
		"scopes with blanks":            post(url.Values{"grant_type": {"refresh_token"}, "service": {service}, "refresh_token": {refresh}, "scope": {"repository:other:push " + scope + " artifact-repository:x:pull"}}),
		"a refresh token as a password": post(url.Values{"grant_type": {"password"}, "service": {service}, "username": {NoUser}, "password": {refresh}, "scope": {scope}}),
		"the admin's password":          post(url.Values{"grant_type": {"password"}, "service": {service}, "username": {"alpha"}, "password": {"two-alpha"}, "scope": {scope}}),
		"basic, refresh token":          get(basic(NoUser, refresh), url.Values{"service": {service}, "scope": {scope}, "account": {"x"}}),
		"basic, admin":                  get(basic("alpha", "one-alpha"), url.Values{"service": {service}, "scope": {scope}}),
		"basic, admin, in upper case":   get(basic("Alpha", "one-alpha"), url.Values{"scope": {scope}}),
	} {
		token := w.field(w.do(c), "access_token")
		if a := w.do(call{method: "GET", path: "/v2/team/app/manifests/v1", header: bearer(token)}); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		// SDKs ask for metadata with the tokens that they have, and get another one when that does not do.
		if a := w.do(call{method: "GET", path: "/acr/v1/team/app", header: bearer(token)}); a.status != 401 {
			t.Errorf("%s: metadata with a token to pull: %d", name, a.status)
		}
	}
	for name, c := range map[string]call{
		"no proof":                   get(nil, url.Values{"scope": {scope}}),
		"wrong password":             get(basic("alpha", "one-beta"), url.Values{"scope": {scope}}),
		"empty password":             get(basic("alpha", ""), url.Values{"scope": {scope}}),
		"another user":               get(basic("beta", "one-alpha"), url.Values{"scope": {scope}}),
		"no refresh token":           post(url.Values{"grant_type": {"refresh_token"}, "scope": {scope}}),
		"anonymous":                  post(url.Values{"grant_type": {"password"}, "service": {service}, "refresh_token": {""}, "scope": {scope}}),
		"an access token to refresh": post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.token("alpha", "somebody", scope)}}),
	} {
		if a := w.do(c); a.status != 401 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for name, form := range map[string]url.Values{
		"a scope that is none":   {"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"pull"}},
		"a name that is none":    {"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"repository:Team:pull"}},
		"another service":        {"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "service": {"beta.example.org"}},
		"an unknown grant":       {"grant_type": {"authorization_code"}, "refresh_token": {refresh}},
		"far too many scopes":    {"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {strings.Repeat(scope+" ", 200)}},
		"scopes of great length": {"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {strings.Repeat("repository:"+strings.Repeat("a", 250)+":pull ", 80)}},
	} {
		if a := w.post("/oauth2/token", form); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	offline := w.field(w.do(get(basic(NoUser, refresh), url.Values{"service": {service}, "offline_token": {"true"}})), "refresh_token")
	if offline != refresh {
		t.Error("a client that signed in with a refresh token keeps another one")
	}
}

// A token is good for one registry, one use, its time and its scopes, and not a byte of it can be changed.
func TestTokenBounds(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Owner", resource.Root)
	w.pushImage(w.as("somebody", "team/app", "team/other"), "team/app", "v1", "")
	refresh, full := w.refresh("alpha", "somebody"), w.token("alpha", "somebody", "repository:team/app:*")
	pull := func(header http.Header) int {
		return w.do(call{method: "GET", path: "/v2/team/app/manifests/v1", header: header}).status
	}
	if got := pull(bearer(full)); got != 200 {
		t.Fatalf("a good token: %d", got)
	}
	registry := *w.catalog.registries["alpha"]
	subject := subject{principal: identity.Principal{ID: w.person("somebody")}}
	scopes := []identity.RegistryScope{{Type: "repository", Name: "team/app", Actions: []string{"*"}}}
	sign := func(change func(*Registry), use identity.RegistryTokenUse) string {
		changed := registry
		change(&changed)
		token, err := w.server.issue(changed, subject, use, scopes)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	parts := strings.Split(full, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	for name, token := range map[string]string{
		"a refresh token":      refresh,
		"another audience":     sign(func(r *Registry) { r.LoginServer = "evil.example.org" }, identity.RegistryAccess),
		"an earlier registry":  sign(func(r *Registry) { r.Key = uuid.NewString() }, identity.RegistryAccess),
		"the other registry's": w.token("beta", "somebody", "repository:team/app:*"),
		"without a signature":  none + "." + parts[1] + ".",
		"unsigned, signature":  none + "." + parts[1] + "." + parts[2],
		"no subject": func() string {
			s := subject
			s.principal.ID = ""
			t, _ := w.server.issue(registry, s, identity.RegistryAccess, scopes)
			return t
		}(),
		"an admin's generation": func() string {
			s := subject
			s.admin, s.generation = true, mark("")
			t, _ := w.server.issue(registry, s, identity.RegistryAccess, scopes)
			return t
		}(),
		"empty": "",
	} {
		if got := pull(bearer(token)); got != 401 {
			t.Errorf("%s: %d", name, got)
		}
	}
	for at := 0; at < len(full); at += 7 {
		changed := []byte(full)
		if changed[at] == 'A' {
			changed[at] = 'B'
		} else {
			changed[at] = 'A'
		}
		if got := pull(bearer(string(changed))); got != 401 {
			t.Errorf("with its byte %d changed: %d", at, got)
		}
	}
	if got := w.ping("beta", basic(NoUser, refresh)); got != 401 {
		t.Errorf("a refresh token of another registry: %d", got)
	}
	if got := w.ping("alpha", basic(NoUser, refresh)); got != 200 {
		t.Errorf("a refresh token as password: %d", got)
	}
	if got := w.ping("alpha", basic(NoUser, full)); got != 401 {
		t.Errorf("an access token as password: %d", got)
	}

	narrow := bearer(w.token("alpha", "somebody", "repository:team/app:pull"))
	for path, method := range map[string]string{
		"/v2/team/app/blobs/uploads/": "POST", "/v2/team/app/manifests/v1": "DELETE", "/v2/team/other/tags/list": "GET", "/v2/_catalog": "GET", "/acr/v1/team/app": "PATCH",
	} {
		if a := w.do(call{method: method, path: path, header: narrow}); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
			t.Errorf("a token to pull: %s %s: %d", method, path, a.status)
		}
	}
	if got := pull(narrow); got != 200 {
		t.Errorf("a token to pull pulls: %d", got)
	}

	w.now = w.now.Add(-time.Hour)
	if got := pull(bearer(full)); got != 401 {
		t.Errorf("before its time: %d", got)
	}
	w.now = w.now.Add(time.Hour + accessLifetime)
	if got := pull(bearer(full)); got != 401 {
		t.Errorf("after its time: %d", got)
	}
	if got := w.ping("alpha", basic(NoUser, refresh)); got != 200 {
		t.Errorf("the refresh token lives longer: %d", got)
	}
	w.now = w.now.Add(refreshLifetime)
	if got := w.ping("alpha", basic(NoUser, refresh)); got != 401 {
		t.Errorf("the refresh token after its time: %d", got)
	}
}

// MI-02: whoever loses a role, is disabled or deleted is out with the next request, whatever tokens they hold.
func TestRevocation(t *testing.T) {
	w := newWorld(t)
	w.grant("owner", "Owner", resource.Root)
	w.pushImage(w.as("owner", "team/app"), "team/app", "v1", "")
	assignment := w.grant("somebody", "AcrPull", registryID("alpha"))
	refresh, header := w.refresh("alpha", "somebody"), w.as("somebody", "team/app")
	pull := func() int {
		return w.do(call{method: "GET", path: "/v2/team/app/manifests/v1", header: header}).status
	}
	renew := func() int {
		return w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}).status
	}
	if pull() != 200 || renew() != 200 {
		t.Fatal("AcrPull does not pull")
	}
	w.live.Apply(access.DeleteAssignment{ID: assignment})
	if a := w.do(call{method: "GET", path: "/v2/team/app/manifests/v1", header: header}); a.status != 403 || a.codes() != "DENIED" ||
		!strings.Contains(string(a.body), "AcrPull") || !strings.Contains(string(a.body), ActionPull) {
		t.Errorf("without the role: %d %s", a.status, a.body)
	}

	group, err := w.directory.CreateGroup(t.Context(), "team", "")
	if err != nil {
		t.Fatal(err)
	}
	w.people["team"] = group.ID
	w.grant("team", "AcrPull", registryID("alpha"))
	if got := pull(); got != 403 {
		t.Errorf("before joining the group: %d", got)
	}
	if err := w.directory.AddMember(t.Context(), group.ID, w.person("somebody")); err != nil {
		t.Fatal(err)
	}
	if got := pull(); got != 200 {
		t.Errorf("in the group, with the old token: %d", got)
	}
	enabled := false
	if _, err := w.directory.UpdateUser(t.Context(), w.person("somebody"), identity.UserUpdate{AccountEnabled: &enabled}); err != nil {
		t.Fatal(err)
	}
	if pull() != 401 || renew() != 401 {
		t.Error("a disabled user goes on")
	}
	enabled = true
	if _, err := w.directory.UpdateUser(t.Context(), w.person("somebody"), identity.UserUpdate{AccountEnabled: &enabled}); err != nil {
		t.Fatal(err)
	}
	if got := pull(); got != 200 {
		t.Errorf("enabled again: %d", got)
	}
	if err := w.directory.DeleteUser(t.Context(), w.person("somebody")); err != nil {
		t.Fatal(err)
	}
	if pull() != 401 || renew() != 401 {
		t.Error("a deleted user goes on")
	}
}

// MI-08: the admin user does everything while it is on, each time recorded, and nothing once it is off or its passwords are
// renewed.
func TestAdminUser(t *testing.T) {
	w := newWorld(t)
	header := basic("alpha", "one-alpha")
	if got := w.ping("alpha", header); got != 401 {
		t.Fatalf("off: %d", got)
	}
	w.catalog.change("alpha", func(r *Registry) { r.AdminEnabled = true })
	w.pushImage(header, "team/app", "v1", "")
	token := w.field(w.do(call{method: "GET", path: "/oauth2/token?offline_token=true&scope=repository:team/app:pull,delete", header: header}), "access_token")
	refresh := w.field(w.do(call{method: "GET", path: "/oauth2/token?offline_token=true", header: header}), "refresh_token")
	pull := func(header http.Header) int {
		return w.do(call{method: "GET", path: "/v2/team/app/manifests/v1", header: header}).status
	}
	if pull(bearer(token)) != 200 || pull(header) != 200 || pull(basic(NoUser, refresh)) != 200 {
		t.Error("the admin user cannot pull")
	}
	if got := w.do(call{method: "GET", path: "/v2/_catalog", header: header}).status; got != 200 {
		t.Errorf("catalog: %d", got)
	}
	recorded := 0
	for _, record := range w.audit.Records() {
		if record.Name == "admin user of alpha" && record.Allowed && record.Target == "team/app:v1" && record.Action == ActionPull {
			recorded++
		}
	}
	if recorded != 3 {
		t.Errorf("%d pulls of the admin user are recorded, of 3", recorded)
	}
	w.catalog.change("alpha", func(*Registry) {}) // its passwords are renewed
	if pull(bearer(token)) != 401 || pull(basic(NoUser, refresh)) != 401 {
		t.Error("tokens outlive the passwords")
	}
	token = w.field(w.do(call{method: "GET", path: "/oauth2/token?scope=repository:team/app:pull", header: header}), "access_token")
	w.catalog.change("alpha", func(r *Registry) { r.AdminEnabled = false })
	if pull(bearer(token)) != 401 || pull(header) != 401 {
		t.Error("the admin user goes on though it is off")
	}
	w.catalog.change("alpha", func(r *Registry) { r.AdminEnabled = true })
	if got := pull(bearer(token)); got != 401 {
		t.Errorf("a token from before it was off: %d", got)
	}
}
