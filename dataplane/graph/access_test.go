package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// sample is a request that succeeds for who may send it.
type sample struct {
	method, path, body string
	status             int
}

// samples gives a request for every operation of the table, on objects made for it.
func (w *world) samples() []sample {
	w.t.Helper()
	target := w.user("target" + fmt.Sprint(len(w.directory.Users())))
	inner := w.group("inner", target.ID)
	application, service := w.application("pipeline")
	other, err := w.directory.CreateApplication(w.ctx, "bare")
	if err != nil {
		w.t.Fatal(err)
	}
	_, credential, err := w.directory.AddPassword(w.ctx, application.ID, "old", start.AddDate(1, 0, 0))
	if err != nil {
		w.t.Fatal(err)
	}
	_, second, err := w.directory.AddPassword(w.ctx, application.ID, "older", start.AddDate(1, 0, 0))
	if err != nil {
		w.t.Fatal(err)
	}
	user, group, app, sp := "/users/"+target.ID, "/groups/"+inner.ID, "/applications/"+application.ID, "/servicePrincipals/"+service.ID
	federated := `{"name":"%s","issuer":"https://ci.example.org","subject":"repo:%s","audiences":["api://AzureADTokenExchange"]}`
	list := []sample{
		{"GET", "/me", "", 200}, {"GET", "/me/ownedObjects", "", 200},
		{"GET", "/users", "", 200}, {"GET", user, "", 200},
		{"POST", "/users", fmt.Sprintf(`{"userPrincipalName":"new-%s@example.org","displayName":"New"}`, target.ID), 201},
		{"PATCH", user, `{"displayName":"Renamed"}`, 204},
		{"GET", "/groups", "", 200}, {"GET", group, "", 200}, {"GET", group + "/members", "", 200}, {"GET", group + "/transitiveMembers", "", 200}, {"GET", group + "/owners", "", 200},
		{"POST", "/groups", `{"displayName":"made","mailEnabled":false,"mailNickname":"made","securityEnabled":true}`, 201},
		{"POST", group + "/members/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/` + service.ID + `"}`, 204},
		{"DELETE", group + "/members/" + service.ID + "/$ref", "", 204},
		{"GET", "/applications", "", 200}, {"GET", app, "", 200}, {"GET", app + "/owners", "", 200},
		{"POST", "/applications", `{"displayName":"made"}`, 201},
		{"PATCH", app, `{"displayName":"pipeline2"}`, 204},
		{"POST", app + "/addPassword", `{"passwordCredential":{"displayName":"rbac"}}`, 200},
		{"POST", app + "/removePassword", `{"keyId":"` + credential.KeyID + `"}`, 204},
		{"GET", app + "/federatedIdentityCredentials", "", 200},
		{"POST", app + "/federatedIdentityCredentials", fmt.Sprintf(federated, "ci", "one"), 201},
		{"GET", app + "/federatedIdentityCredentials/ci", "", 200},
		{"PATCH", app + "/federatedIdentityCredentials/ci", `{"subject":"repo:two"}`, 204},
		{"DELETE", app + "/federatedIdentityCredentials/ci", "", 204},
		{"GET", "/servicePrincipals", "", 200}, {"GET", sp, "", 200}, {"GET", sp + "/owners", "", 200},
		{"POST", "/servicePrincipals", `{"appId":"` + other.AppID + `"}`, 201},
		{"PATCH", sp, `{"accountEnabled":false}`, 204},
		{"POST", sp + "/addPassword", `{}`, 200},
		{"POST", sp + "/removePassword", `{"keyId":"` + second.KeyID + `"}`, 204},
		{"GET", "/directoryObjects/" + inner.ID, "", 200},
		{"POST", "/directoryObjects/getByIds", `{"ids":["` + target.ID + `"]}`, 200},
		{"GET", "/organization", "", 200}, {"GET", "/domains", "", 200},
	}
	for _, holder := range []string{"/me", user, group, sp, "/directoryObjects/" + target.ID} {
		list = append(list,
			sample{"GET", holder + "/memberOf", "", 200}, sample{"GET", holder + "/transitiveMemberOf", "", 200},
			sample{"POST", holder + "/checkMemberGroups", `{"groupIds":["` + inner.ID + `"]}`, 200}, sample{"POST", holder + "/checkMemberObjects", `{"ids":[]}`, 200},
			sample{"POST", holder + "/getMemberGroups", `{"securityEnabledOnly":false}`, 200}, sample{"POST", holder + "/getMemberObjects", `{"securityEnabledOnly":true}`, 200})
	}
	return append(list, sample{"DELETE", sp, "", 204}, sample{"DELETE", app, "", 204}, sample{"DELETE", group, "", 204}, sample{"DELETE", user, "", 204})
}

// operationOf finds the row of the table that a request falls under.
func operationOf(t *testing.T, method, path string) *operation {
	t.Helper()
	r, err := http.NewRequest(method, "https://graph.test/v1.0"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &request{http: r}
	if err := q.parse(); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return q.operation
}

// Everybody of the tenant may read, only who has the operation at the root may change, and both are in the audit log.
func TestEveryOperationIsDecidedAndRecorded(t *testing.T) {
	w := newWorld(t)
	asked := map[*operation]bool{}
	for _, who := range []struct {
		name   string
		id     string
		change bool
	}{{"owner", w.owner.ID, true}, {"contributor", w.contributor.ID, true}, {"reader", w.reader.ID, false}, {"stranger", w.stranger.ID, false}} {
		for _, c := range w.samples() {
			o := operationOf(t, c.method, c.path)
			asked[o] = true
			if who.name != "owner" && strings.HasPrefix(o.path, "/applications/{}/federatedIdentityCredentials/{}") && !o.becoming {
				asked[o] = asked[o] || who.name == "owner"
				continue // there is none, because making it was refused
			}
			before := len(w.audit.Records())
			r := w.raw("graph:"+who.id, c.method, "/v1.0"+c.path, c.body)
			records := w.audit.Records()[before:]
			if o.becoming && len(records) == 2 && records[1].Action == assignRoles { // the second right that such a change needs
				if records[1].Allowed != (who.name == "owner") {
					t.Fatalf("%s: %s %s: assigning roles is recorded as allowed: %v", who.name, c.method, c.path, records[1].Allowed)
				}
				if who.name != "owner" {
					r.fails(http.StatusForbidden, "Authorization_RequestDenied", assignRoles)
					continue
				}
				records = records[:1]
			} else if o.becoming && who.change {
				t.Fatalf("%s: %s %s hands roles on, and the right to assign them was not asked for: %+v", who.name, c.method, c.path, records)
			}
			if len(records) != 1 || records[0].Action != o.action || records[0].Principal != who.id || records[0].Scope != "/" ||
				records[0].Plane != "graph" || records[0].Target != "/v1.0"+c.path || records[0].RequestID != r.header.Get("request-id") {
				t.Fatalf("%s: %s %s: recorded %+v", who.name, c.method, c.path, records)
			}
			if o.open || who.change {
				// What a contributor may remove is not there when adding it takes the right to assign roles.
				absent := who.name == "contributor" && c.method == "DELETE" && r.status == http.StatusNotFound
				if (r.status != c.status && !absent) || !records[0].Allowed {
					t.Fatalf("%s: %s %s gives %d, want %d: %s", who.name, c.method, c.path, r.status, c.status, r.text)
				}
				continue
			}
			if records[0].Allowed {
				t.Fatalf("%s: %s %s is recorded as allowed", who.name, c.method, c.path)
			}
			r.fails(http.StatusForbidden, "Authorization_RequestDenied", o.action)
		}
	}
	for _, o := range operations {
		if !asked[o] {
			t.Errorf("no case asks %s %s", o.method, o.path)
		}
	}
}

func TestChangesNeedTheOperationOfTheirKind(t *testing.T) {
	for _, o := range operations {
		want := map[string]string{"users": "users", "groups": "groups", "applications": "applications", "servicePrincipals": "servicePrincipals"}[o.segments[0]]
		verb := "/write"
		if o.method == "DELETE" && len(o.segments) == 2 {
			verb = "/delete"
		}
		if !o.open && o.action != "Microsoft.Directory/"+want+verb {
			t.Errorf("%s %s needs %s", o.method, o.path, o.action)
		}
		if o.open && (o.method != "GET" && o.method != "POST" || !strings.HasSuffix(o.action, "/read")) {
			t.Errorf("%s %s is open", o.method, o.path)
		}
	}
	if got := strings.Join(Actions(), " "); !strings.Contains(got, deleteServices) || len(Actions()) != 8 {
		t.Errorf("actions %s", got)
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	w.raw("graph:"+w.stranger.ID, "GET", "/v1.0/me", "").want(http.StatusOK)
	w.raw("resourceManager:"+w.stranger.ID, "GET", "/beta/me", "").want(http.StatusOK)
	for name, token := range map[string]string{"none": "", "of another plane": "storage:" + w.owner.ID, "of nobody": "graph:" + nobody} {
		for _, path := range []string{"/v1.0/users", "/v1.0/nothing", "/"} {
			r := w.raw(token, "GET", path, "")
			r.fails(http.StatusUnauthorized, "InvalidAuthenticationToken", "")
			if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("token %s: no challenge in %v", name, r.header)
			}
		}
	}
	w.raw("", "GET", "/v1.0/users", "").fails(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty")
	w.send(w.owner, "PATCH", "/users/"+w.stranger.ID, `{"accountEnabled":false}`).want(http.StatusNoContent)
	w.send(w.stranger, "GET", "/me", "").fails(http.StatusUnauthorized, "InvalidAuthenticationToken", "")
	if len(w.audit.Records()) != 4 { // two reads, and a change that needs two rights
		t.Errorf("requests of nobody are recorded as reads: %+v", w.audit.Records())
	}
}

// full is an audit log that takes nothing.
type full struct{}

func (full) Record(context.Context, audit.Record) error {
	return errors.New("disk full: secret detail")
}

func TestNothingIsReadUnrecorded(t *testing.T) {
	w := newWorld(t)
	w.server.Audit = full{}
	r := w.send(w.owner, "GET", "/users", "")
	r.fails(http.StatusServiceUnavailable, "serviceNotAvailable", "nothing is allowed without one")
	if strings.Contains(r.text, "disk full") || !strings.Contains(w.log.String(), "disk full") {
		t.Errorf("the cause belongs in the log alone: %s", r.text)
	}
}

// A managed identity goes with its resource; here it can only be seen.
func TestManagedIdentitiesCannotBeChanged(t *testing.T) {
	w := newWorld(t)
	sp := "/servicePrincipals/" + w.managedIdentity("mat").PrincipalID
	got := w.send(w.stranger, "GET", sp, "").want(http.StatusOK)
	if got.str("servicePrincipalType") != "ManagedIdentity" || !strings.Contains(got.text, identityID) {
		t.Errorf("%s", got.text)
	}
	for _, c := range []sample{
		{"PATCH", sp, `{"accountEnabled":false}`, 0}, {"DELETE", sp, "", 0}, {"POST", sp + "/addPassword", `{}`, 0},
		{"POST", sp + "/removePassword", `{"keyId":"` + nobody + `"}`, 0}, {"PATCH", sp, `{"keyCredentials":[]}`, 0},
	} {
		w.send(w.owner, c.method, c.path, c.body).fails(http.StatusBadRequest, "Request_BadRequest", identityID)
	}
	if after := w.send(w.stranger, "GET", sp, "").want(http.StatusOK); after.text != got.text {
		t.Errorf("changed from %s to %s", got.text, after.text)
	}
}

func (w *world) managedIdentity(name string) identity.ManagedIdentity {
	w.t.Helper()
	id, err := resource.ParseID(identityID)
	if err != nil {
		w.t.Fatal(err)
	}
	m, ops, err := w.directory.ManagedIdentityOps(id, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Apply(w.ctx, ops...); err != nil {
		w.t.Fatal(err)
	}
	return m
}
