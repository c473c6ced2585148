package testenv

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/identity"
)

// ServicePrincipal makes an application that signs in with a secret.
func (e *Env) ServicePrincipal(name string) *User {
	e.t.Helper()
	ctx := context.Background()
	directory := e.Server.Directory()
	application, err := directory.CreateApplication(ctx, name)
	if err != nil {
		e.t.Fatal(err)
	}
	service, err := directory.CreateServicePrincipal(ctx, application.AppID)
	if err != nil {
		e.t.Fatal(err)
	}
	secret, _, err := directory.AddPassword(ctx, application.AppID, "test", time.Now().Add(time.Hour))
	if err != nil {
		e.t.Fatal(err)
	}
	return &User{env: e, Name: name, ObjectID: service.ID, ClientID: application.AppID, Secret: secret, tokens: map[string]string{}}
}

// Person makes a user who signs in by password; the server must have that grant turned on.
func (e *Env) Person(name string) *User {
	e.t.Helper()
	password := uuid.NewString()
	user, err := e.Server.Directory().CreateUser(context.Background(), identity.NewUser{UserPrincipalName: name + "@alvara.local", DisplayName: name, Password: password})
	if err != nil {
		e.t.Fatal(err)
	}
	u := &User{env: e, Name: name, ObjectID: user.ID, tokens: map[string]string{}}
	for _, audience := range []string{managementAudience, storageAudience, featuresAudience, graphAudience} {
		answer, err := e.HTTP.PostForm(e.Server.Endpoints.Authority+"/"+e.Server.Endpoints.Tenant+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"password"}, "client_id": {"04b07795-8ddb-461a-bbee-02f9e1bf7b46"}, "username": {user.UserPrincipalName}, "password": {password}, "scope": {audience + "/.default"},
		})
		if err != nil {
			e.t.Fatal(err)
		}
		u.tokens[audience] = accessToken(e, answer)
	}
	return u
}

// ManagedIdentity acts as a managed identity, with tokens from the identity endpoint as code in a job gets them.
func (e *Env) ManagedIdentity(principalID string) *User {
	e.t.Helper()
	secret := e.Server.Runs().Register(identity.Run{ID: "test", Identities: []string{principalID}, Default: principalID})
	u := &User{env: e, Name: "managed identity", ObjectID: principalID, tokens: map[string]string{}}
	for _, audience := range []string{managementAudience, storageAudience, featuresAudience, graphAudience} {
		request, err := http.NewRequestWithContext(e.t.Context(), "GET", e.Server.Endpoints.Identity+"/msi/token?api-version=2019-08-01&resource="+url.QueryEscape(audience), nil)
		if err != nil {
			e.t.Fatal(err)
		}
		request.Header.Set("X-IDENTITY-HEADER", secret)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			e.t.Fatal(err)
		}
		u.tokens[audience] = accessToken(e, answer)
	}
	return u
}

func accessToken(e *Env, answer *http.Response) string {
	e.t.Helper()
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	parsed := Answer{Raw: text}
	parsed.parse()
	if parsed.Text("access_token") == "" {
		e.t.Fatalf("no token: %s", text)
	}
	return parsed.Text("access_token")
}

// Grant has the admin assign a role, by its GUID, to a principal. It returns the assignment's id.
func (u *User) Grant(principal, role, scope string) string {
	u.env.t.Helper()
	id := strings.TrimSuffix(scope, "/") + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString()
	got := u.Do("PUT", id, map[string]any{"properties": map[string]any{
		"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + role, "principalId": principal,
	}})
	if got.Status != http.StatusCreated {
		u.env.t.Fatalf("grant %s on %s: %d %s", role, scope, got.Status, got.Raw)
	}
	return id
}

// Role has the admin make a custom role that is assignable at a scope, and gives its GUID.
func (u *User) Role(name, scope string, actions, dataActions []string) string {
	u.env.t.Helper()
	guid := uuid.NewString()
	got := u.Do("PUT", scope+"/providers/Microsoft.Authorization/roleDefinitions/"+guid, map[string]any{"properties": map[string]any{
		"roleName": name, "description": name, "type": "CustomRole", "assignableScopes": []string{scope},
		"permissions": []any{map[string]any{"actions": actions, "dataActions": dataActions}},
	}})
	if got.Status != http.StatusCreated {
		u.env.t.Fatalf("role %s: %d %s", name, got.Status, got.Raw)
	}
	return guid
}

// InProcess gives the same environment without the network: requests go straight to the handlers.
func (e *Env) InProcess() *Env {
	copied := *e
	copied.HTTP = &http.Client{Transport: direct(e.Server.Handlers())}
	return &copied
}

// As gives the same user in another environment of the same server.
func (e *Env) As(u *User) *User {
	copied := *u
	copied.env = e
	return &copied
}

type direct map[string]http.Handler

func (d direct) RoundTrip(request *http.Request) (*http.Response, error) {
	handler := d[request.URL.Scheme+"://"+request.URL.Host]
	served := request.Clone(request.Context())
	served.RequestURI, served.RemoteAddr, served.Host = request.URL.RequestURI(), "127.0.0.1:1", request.URL.Host
	if served.Body == nil {
		served.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, served)
	return recorder.Result(), nil
}

// Group2 makes a group in a group with a member, and gives the outer one's object id.
func (e *Env) Group2(member *User) string {
	e.t.Helper()
	ctx := context.Background()
	directory := e.Server.Directory()
	inner, err := directory.CreateGroup(ctx, "inner-"+member.Name, "")
	if err != nil {
		e.t.Fatal(err)
	}
	outer, err := directory.CreateGroup(ctx, "outer-"+member.Name, "")
	if err != nil {
		e.t.Fatal(err)
	}
	for group, object := range map[string]string{outer.ID: inner.ID, inner.ID: member.ObjectID} {
		if err := directory.AddMember(ctx, group, object); err != nil {
			e.t.Fatal(err)
		}
	}
	return outer.ID
}

// PrincipalID is the user's object id; the local administrator's is found in the directory.
func (u *User) PrincipalID() string {
	if u.ObjectID == "" {
		if admin, known := u.env.Server.Directory().User("admin@alvara.local"); known {
			u.ObjectID = admin.ID
		}
	}
	return u.ObjectID
}
