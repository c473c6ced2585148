package graph

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/identity"
)

// The filters are those that the Azure CLI sends, letter by letter.
func TestFiltersOfTheAzureCLI(t *testing.T) {
	w := newWorld(t)
	application, service := w.application("it's a pipeline")
	if _, err := w.directory.UpdateApplication(w.ctx, application.ID, func(a *identity.ApplicationObject) { a.IdentifierURIs = []string{"api://fraud"} }); err != nil {
		t.Fatal(err)
	}
	managed := w.managedIdentity("mat")
	group := w.group("consumers")
	w.group("consumers-2")
	for _, c := range []struct{ path, filter, want string }{
		{"/servicePrincipals", "servicePrincipalNames/any(c:c eq '" + application.AppID + "')", service.ID},
		{"/servicePrincipals", "servicePrincipalNames/any(c:c eq '" + strings.ToUpper(application.AppID) + "')", service.ID},
		{"/servicePrincipals", "servicePrincipalNames/any(c:c eq 'api://fraud')", service.ID},
		{"/servicePrincipals", "servicePrincipalNames/any(c:c eq '" + managed.ClientID + "')", managed.PrincipalID},
		{"/servicePrincipals", "servicePrincipalNames/any(c:c eq '" + service.ID + "')", ""},
		{"/servicePrincipals", "appId eq '" + application.AppID + "'", service.ID},
		{"/servicePrincipals", "appId eq '" + service.ID + "'", ""},
		{"/servicePrincipals", "displayName eq 'it''s a pipeline'", service.ID},
		{"/servicePrincipals", "startswith(displayName,'it''s')", service.ID},
		{"/servicePrincipals", "servicePrincipalType eq 'ManagedIdentity'", managed.PrincipalID},
		{"/servicePrincipals", "alternativeNames/any(c:c eq '" + identityID + "')", managed.PrincipalID},
		{"/applications", "appId eq '" + application.AppID + "'", application.ID},
		{"/applications", "appId eq '" + application.ID + "'", ""},
		{"/applications", "identifierUris/any(s:s eq 'api://fraud')", application.ID},
		{"/applications", "startswith(displayName,'it''s a')", application.ID},
		{"/users", "userPrincipalName eq 'OWNER@example.org'", w.owner.ID},
		{"/users", "userPrincipalName eq '" + w.owner.ID + "'", ""},
		{"/users", "startswith(displayName,'own')", w.owner.ID},
		{"/users", "displayName eq 'Owner'", w.owner.ID},
		{"/groups", "displayName eq 'consumers'", group.ID},
		{"/groups", "startswith(displayName,'nobody')", ""},
	} {
		if got := w.list(c.path, c.filter).column("id"); got != c.want {
			t.Errorf("%s %s gives %q, want %q", c.path, c.filter, got, c.want)
		}
	}
}

// The requests of "az ad sp create-for-rbac" in their order (wire facts), and what "az role assignment list" asks after it.
func TestCreateForRBAC(t *testing.T) {
	w := newWorld(t)
	if found := w.list("/applications", "startswith(displayName,'ci')").column("id"); found != "" {
		t.Fatalf("found %s", found)
	}
	application := w.send(w.owner, "POST", "/applications", `{"displayName":"ci","signInAudience":"AzureADMyOrg"}`).want(201)
	if application.header.Get("Location") != w.https("/v1.0/applications/"+application.str("id")) ||
		application.str("@odata.context") != w.https("/v1.0/$metadata#applications/$entity") {
		t.Errorf("%v %s", application.header, application.text)
	}
	service := w.send(w.owner, "POST", "/servicePrincipals", `{"appId":"`+application.str("appId")+`","accountEnabled":true}`).want(201)
	w.send(w.owner, "POST", "/servicePrincipals", `{"appId":"`+application.str("appId")+`"}`).fails(409, "Request_MultipleObjectsWithSameKeyValue", "has one already")
	w.send(w.owner, "POST", "/servicePrincipals", `{"appId":"`+nobody+`"}`).fails(400, "Request_BadRequest", "does not reference")
	password := w.send(w.owner, "POST", "/applications/"+application.str("id")+"/addPassword",
		`{"passwordCredential":{"displayName":"rbac","startDateTime":"2026-03-01T12:00:01Z","endDateTime":"2027-03-01T12:00:01Z"}}`).want(200)
	secret := password.str("secretText")
	if len(secret) < 32 || password.str("hint") != secret[:3] || password.str("endDateTime") != "2027-03-01T12:00:01Z" || password.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s", password.text)
	}
	found := w.list("/servicePrincipals", "servicePrincipalNames/any(c:c eq '"+application.str("appId")+"')")
	if found.column("id") != service.str("id") {
		t.Errorf("%s", found.text)
	}
	again := w.send(w.owner, "GET", "/applications/"+application.str("id"), "").want(200)
	if !strings.Contains(again.text, password.str("keyId")) {
		t.Errorf("%s", again.text)
	}
	for _, text := range []string{found.text, again.text, w.log.String(), w.audited()} {
		if strings.Contains(text, secret) {
			t.Errorf("the secret shows up again in %s", text)
		}
	}
	named := w.send(w.stranger, "POST", "/directoryObjects/getByIds",
		`{"ids":["`+service.str("id")+`","`+w.owner.ID+`","`+nobody+`"],"types":["user","group","servicePrincipal","directoryObjectPartnerReference"]}`)
	if got := named.column("@odata.type"); got != "#microsoft.graph.servicePrincipal #microsoft.graph.user" {
		t.Errorf("getByIds gives %s", got)
	}
	if got := w.send(w.stranger, "POST", "/directoryObjects/getByIds", `{"ids":["`+w.owner.ID+`"],"types":["group"]}`).column("id"); got != "" {
		t.Errorf("getByIds of groups gives %s", got)
	}
}

func (w *world) https(path string) string { return w.http.URL + path }

func (w *world) audited() string {
	text, err := json.Marshal(w.audit.Records())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func TestKeysInPaths(t *testing.T) {
	w := newWorld(t)
	application, service := w.application("pipeline")
	for path, want := range map[string]string{
		"/applications(appId='" + application.AppID + "')":          application.ID,
		"/Applications('" + application.ID + "')":                   application.ID,
		"/servicePrincipals(appId='" + application.AppID + "')":     service.ID,
		"/servicePrincipals(appId=%27" + application.AppID + "%27)": service.ID,
		"/servicePrincipals/" + strings.ToUpper(service.ID):         service.ID,
		"/users/" + url.PathEscape(w.owner.UserPrincipalName):       w.owner.ID,
		"/users('Owner@example.org')":                               w.owner.ID,
		"/directoryObjects/" + service.ID:                           service.ID,
		"/directoryObjects/" + application.ID:                       application.ID,
		"/directoryObjects/" + w.owner.ID:                           w.owner.ID,
	} {
		if got := w.send(w.reader, "GET", path, "").want(200).str("id"); got != want {
			t.Errorf("%s gives %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{
		"/applications/" + application.AppID, "/servicePrincipals/" + application.AppID, "/applications(appId='" + application.ID + "')", "/users/" + nobody,
		"/groups/" + w.owner.ID, "/directoryObjects/" + application.AppID, "/directoryObjects/owner@example.org", "/users/x@example.org/memberOf", "/groups/" + nobody + "/members",
	} {
		w.send(w.reader, "GET", path, "").fails(404, "Request_ResourceNotFound", "does not exist")
	}
	w.send(w.reader, "GET", "/applications(appId=1)", "").fails(400, "BadRequest", "applications(appId='…')")
	w.send(w.reader, "GET", "/policies", "").fails(400, "BadRequest", "Resource not found for the segment 'policies'")
	w.send(w.reader, "PUT", "/users", "{}").fails(405, "Request_BadRequest", "PUT")
	w.raw("graph:"+w.reader.ID, "GET", "/v2.0/users", "").fails(400, "BadRequest", "Invalid version")
}
