package identity

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type managedWorld struct {
	*world
	runs     *Runs
	endpoint *httptest.Server
	first    ManagedIdentity
	second   ManagedIdentity
	outside  ManagedIdentity
	firstID  string
	secret   string
}

func newManagedWorld(t *testing.T) *managedWorld {
	w := &managedWorld{world: newWorld(t), runs: NewRuns()}
	first, id := w.managed("first")
	w.first, w.firstID = first, id.String()
	w.second, _ = w.managed("second")
	w.outside, _ = w.managed("outside")
	w.secret = w.runs.Register(Run{ID: "job1", Identities: []string{w.first.PrincipalID, w.second.PrincipalID}, Default: w.first.PrincipalID})
	w.endpoint = httptest.NewServer(&ManagedEndpoint{Service: w.service, Runs: w.runs})
	t.Cleanup(w.endpoint.Close)
	return w
}

func (w *managedWorld) ask(query string, headers ...string) (int, map[string]any) {
	w.t.Helper()
	request, err := http.NewRequest(http.MethodGet, w.endpoint.URL+"/msi/token?"+query, nil)
	w.must(err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := w.endpoint.Client().Do(request)
	w.must(err)
	return w.read(response)
}

const appService = "api-version=2019-08-01&resource=" + "https%3A%2F%2Fmanagement.azure.com%2F"

// MI-20
func TestManagedIdentityEndpointInBothForms(t *testing.T) {
	w := newManagedWorld(t)
	for _, c := range []struct {
		query  string
		header string
		want   ManagedIdentity
	}{
		{appService, "X-IDENTITY-HEADER", w.first},
		{appService + "&client_id=" + w.second.ClientID, "X-IDENTITY-HEADER", w.second},
		{appService + "&client_id=" + strings.ToUpper(w.second.ClientID), "X-IDENTITY-HEADER", w.second},
		{appService + "&object_id=" + w.second.PrincipalID, "X-IDENTITY-HEADER", w.second},
		{appService + "&principal_id=" + w.first.PrincipalID, "X-IDENTITY-HEADER", w.first},
		{appService + "&mi_res_id=" + url.QueryEscape(strings.ToLower(w.firstID)), "X-IDENTITY-HEADER", w.first},
		{"api-version=2017-09-01&resource=https://management.azure.com/", "secret", w.first},
		{"api-version=2017-09-01&resource=https://management.azure.com/&clientid=" + w.second.ClientID, "secret", w.second},
		{"api-version=2017-09-01&resource=https://management.azure.com/&clientid=", "secret", w.first},
	} {
		status, answer := w.ask(c.query, c.header, w.secret)
		if status != 200 || answer["token_type"] != "Bearer" || answer["client_id"] != c.want.ClientID || answer["resource"] != armAudience {
			t.Fatalf("%s: %d %v", c.query, status, answer)
		}
		if _, ok := answer["expires_on"].(string); !ok {
			t.Errorf("expires_on is %T", answer["expires_on"])
		}
		token := answer["access_token"].(string)
		w.wantAllowed(token, "arm", c.want.PrincipalID)
		claims := claimsOf(t, token)
		if claims["tid"] != testTenant || claims["oid"] != c.want.PrincipalID || claims["xms_mirid"] == nil || claims["idtyp"] != "app" {
			t.Errorf("the claims are %v", claims)
		}
		if life := claims["exp"].(float64) - claims["iat"].(float64); life != (30 * time.Minute).Seconds() {
			t.Errorf("the token lives for %v seconds", life)
		}
	}
}

func TestManagedIdentityEndpointRefuses(t *testing.T) {
	w := newManagedWorld(t)
	stranger := w.runs.Register(Run{ID: "job2", Identities: []string{w.outside.PrincipalID}})
	undecided := w.runs.Register(Run{ID: "job3", Identities: []string{w.first.PrincipalID, w.second.PrincipalID}})
	ended := w.runs.Register(Run{ID: "job4", Identities: []string{w.first.PrincipalID}})
	w.runs.Unregister(ended)
	for name, c := range map[string]struct {
		query   string
		headers []string
		status  int
	}{
		"no secret":             {appService, nil, 401},
		"wrong secret":          {appService, []string{"X-IDENTITY-HEADER", w.secret + "x"}, 401},
		"empty secret":          {appService, []string{"X-IDENTITY-HEADER", ""}, 401},
		"ended run":             {appService, []string{"X-IDENTITY-HEADER", ended}, 401},
		"unknown client id":     {appService + "&client_id=" + otherTenant, []string{"X-IDENTITY-HEADER", w.secret}, 400},
		"another run's":         {appService + "&client_id=" + w.outside.ClientID, []string{"X-IDENTITY-HEADER", w.secret}, 400},
		"another run's, by id":  {appService + "&mi_res_id=" + url.QueryEscape(w.firstID), []string{"X-IDENTITY-HEADER", stranger}, 400},
		"two selections":        {appService + "&client_id=" + w.first.ClientID + "&object_id=" + w.first.PrincipalID, []string{"X-IDENTITY-HEADER", w.secret}, 400},
		"no default":            {appService, []string{"X-IDENTITY-HEADER", undecided}, 400},
		"no resource":           {"api-version=2019-08-01", []string{"X-IDENTITY-HEADER", w.secret}, 400},
		"unknown resource":      {"api-version=2019-08-01&resource=https://example.org", []string{"X-IDENTITY-HEADER", w.secret}, 400},
		"no api-version":        {"resource=https://management.azure.com/", []string{"X-IDENTITY-HEADER", w.secret}, 400},
		"forwarded":             {appService, []string{"X-IDENTITY-HEADER", w.secret, "X-Forwarded-For", "10.0.0.1"}, 400},
		"forwarded, other form": {appService, []string{"X-IDENTITY-HEADER", w.secret, "Forwarded", "for=10.0.0.1"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			local := *w.world
			local.t = t
			request, err := http.NewRequest(http.MethodGet, w.endpoint.URL+"/msi/token?"+c.query, nil)
			local.must(err)
			for i := 0; i < len(c.headers); i += 2 {
				request.Header.Set(c.headers[i], c.headers[i+1])
			}
			response, err := w.endpoint.Client().Do(request)
			local.must(err)
			status, answer := local.read(response)
			if message, _ := answer["message"].(string); status != c.status || message == "" || answer["access_token"] != nil {
				t.Fatalf("%d %v; want %d", status, answer, c.status)
			}
		})
	}
	response, err := w.endpoint.Client().Post(w.endpoint.URL+"/msi/token?"+appService, "", nil)
	w.must(err)
	if status, _ := w.read(response); status != 401 {
		t.Fatalf("POST without a secret answers %d", status)
	}
	_, err = w.store.Apply(w.ctx, w.directory.RemoveOps(w.first.PrincipalID)...)
	w.must(err)
	if status, answer := w.ask(appService, "X-IDENTITY-HEADER", w.secret); status != 400 {
		t.Fatalf("a deleted identity: %d %v", status, answer)
	}
}

func TestEnvNamesBothForms(t *testing.T) {
	env := Env("http://127.0.0.1:8445/", "s", "c")
	want := []string{"IDENTITY_ENDPOINT=http://127.0.0.1:8445/msi/token", "IDENTITY_HEADER=s", "MSI_ENDPOINT=http://127.0.0.1:8445/msi/token", "MSI_SECRET=s", "DEFAULT_IDENTITY_CLIENT_ID=c"}
	if !slices.Equal(env, want) {
		t.Fatalf("%q", env)
	}
	if len(Env("http://x", "s", "")) != 4 {
		t.Fatal("an empty client id is written")
	}
}

// MI-20: a run with an address of its own gets tokens there and nowhere else; the secrets of others are worth nothing there, and
// a server that starts again lets it go on.
func TestBoundRun(t *testing.T) {
	w := newManagedWorld(t)
	run := Run{ID: "bound", Identities: []string{w.first.PrincipalID}, Bound: true}
	secret := w.runs.Register(run)
	other := w.runs.Register(Run{ID: "neighbour", Identities: []string{w.second.PrincipalID}, Bound: true})
	everybody := &ManagedEndpoint{Service: w.service, Runs: w.runs}
	ask := func(at *ManagedEndpoint, secret string, headers ...string) int {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/msi/token?"+appService, nil)
		r.Header.Set("X-IDENTITY-HEADER", secret)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer := httptest.NewRecorder()
		at.ServeHTTP(answer, r)
		return answer.Code
	}
	own := everybody.For("bound")
	for name, c := range map[string]struct {
		at     *ManagedEndpoint
		secret string
		want   int
	}{
		"own":                   {own, secret, 200},
		"at everybody's":        {everybody, secret, 401},
		"at another's":          {everybody.For("neighbour"), secret, 401},
		"another's":             {own, other, 401},
		"one that is not bound": {own, w.secret, 401},
		"not bound, by its id":  {everybody.For("job1"), w.secret, 401},
	} {
		if got := ask(c.at, c.secret); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	for _, header := range []string{"Via", "X-Forwarded-Host", "x-forwarded-for", "Forwarded"} {
		if got := ask(own, secret, header, "x"); got != 400 {
			t.Errorf("with %s: %d", header, got)
		}
	}
	if got := ask(own, "", "Metadata", "true"); got != 401 {
		t.Errorf("as to a virtual machine's endpoint: %d", got)
	}
	later := &ManagedEndpoint{Service: w.service, Runs: NewRuns()}
	if got := ask(later.For("bound"), secret); got != 401 {
		t.Errorf("before it is restored: %d", got)
	}
	later.Runs.Restore(secret, run)
	if got := ask(later.For("bound"), secret); got != 200 {
		t.Errorf("restored: %d", got)
	}
}

// A run that acts as the user who started it gets the user's tokens.
func TestManagedIdentityEndpointForUsers(t *testing.T) {
	w := newManagedWorld(t)
	user := w.user("submitter@example.com", "Pa55word!-long").ID
	secret := w.runs.Register(Run{ID: "job9", Identities: []string{user}})
	status, answer := w.ask(appService, "X-IDENTITY-HEADER", secret)
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	token := answer["access_token"].(string)
	w.wantAllowed(token, "arm", user)
	if claims := claimsOf(t, token); claims["idtyp"] != "user" || claims["appid"] != MachineLearning || claims["upn"] == nil {
		t.Errorf("the claims are %v", claims)
	}
}
