package graph

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestUsers(t *testing.T) {
	w := newWorld(t)
	made := w.send(w.owner, "POST", "/users", `{"accountEnabled":true,"displayName":"Ana","mailNickname":"ana","userPrincipalName":"ana@example.org",
		"passwordProfile":{"forceChangePasswordNextSignIn":false,"password":"correct horse battery"},"jobTitle":"Analyst"}`).want(201)
	for _, secret := range []string{"correct horse", "argon2", "assword"} {
		if strings.Contains(made.text+w.log.String()+w.audited(), secret) {
			t.Errorf("%q shows up again", secret)
		}
	}
	w.send(w.owner, "POST", "/users", `{"displayName":"Ana","userPrincipalName":"ANA@example.org"}`).fails(409, "Request_MultipleObjectsWithSameKeyValue", "userPrincipalName")
	path := "/users/ana@example.org"
	before, _ := w.directory.User("ana@example.org")
	w.send(w.owner, "PATCH", path, `{"displayName":"Ana B","mailNickname":"anab","accountEnabled":false,"passwordProfile":{"password":"another good one"}}`).want(204)
	after, _ := w.directory.User("ana@example.org")
	if after.DisplayName != "Ana B" || after.MailNickname != "anab" || after.AccountEnabled || after.PasswordHash == before.PasswordHash {
		t.Errorf("%+v", after)
	}
	if got := w.list("/users", "accountEnabled eq false").column("userPrincipalName"); got != "ana@example.org" {
		t.Errorf("disabled: %s", got)
	}
	w.send(w.owner, "DELETE", path, "").want(204)
	w.send(w.owner, "DELETE", path, "").fails(404, "Request_ResourceNotFound", "ana@example.org")
	service := w.managedIdentity("mat")
	w.raw("graph:"+service.PrincipalID, "GET", "/v1.0/me", "").fails(400, "BadRequest", "delegated")
}

func TestBodiesAreRead(t *testing.T) {
	w := newWorld(t)
	good := `{"displayName":"A","userPrincipalName":"a@example.org"`
	for body, part := range map[string]string{
		"":                              "Empty Payload",
		"[]":                            "must be a JSON object",
		"null":                          "must be a JSON object",
		good:                            "ends too early",
		good + "}{}":                    "more after",
		good + `,"displayName":"B"}`:    `"displayName" twice`,
		good + `,"\u0064isplayName":1}`: `"displayName" twice`,
		good + `,"shoeSize":44}`:        "'shoeSize'",
		good + `,"DisplayName":"B"}`:    "'DisplayName'",
		good + `,"passwordProfile":{"pasword":"x"}}`:                                "'passwordProfile.pasword'",
		good + `,"passwordProfile":{"password":""}}`:                                "empty",
		good + `,"passwordProfile":{"password":"short"}}`:                           "password must have",
		good + `,"passwordProfile":"x"}`:                                            "passwordProfile must be a JSON object",
		good + `,"accountEnabled":"true"}`:                                          "accountEnabled must be true or false",
		`{"displayName":"A"}`:                                                       "'userPrincipalName'",
		`{"displayName":" ","userPrincipalName":"a@example.org"}`:                   "'displayName'",
		`{"displayName":null,"userPrincipalName":"a@example.org"}`:                  "'displayName'",
		`{"displayName":["A"],"userPrincipalName":"a@example.org"}`:                 "displayName must be a string",
		`{"displayName":"A","userPrincipalName":"a"}`:                               "name@domain",
		good + `,"city":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + "}": "nested deeper",
		good + ",\"city\":\"\xff\"}":                                                "UTF-8",
	} {
		w.send(w.owner, "POST", "/users", body).fails(400, "Request_BadRequest", part)
	}
	w.send(w.owner, "POST", "/users", good+`,"city":"`+strings.Repeat("x", maxBodyBytes)+`"}`).fails(413, "Request_EntityTooLarge", "1048576")
	if len(w.directory.Users()) != 4 {
		t.Error("a refused user was made")
	}
	w.send(w.owner, "POST", "/users", good+`,"@odata.type":"#microsoft.graph.user","city":{"any":[1]},"accountEnabled":null}`).want(201)
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	_, service := w.application("pipeline")
	made := w.send(w.owner, "POST", "/groups", `{"displayName":"readers","mailEnabled":false,"mailNickname":"readers","securityEnabled":true,"description":"who reads",
		"members@odata.bind":["https://graph.microsoft.com/v1.0/users/`+w.stranger.ID+`","https://graph.microsoft.com/v1.0/directoryObjects('`+w.stranger.ID+`')"]}`).want(201)
	path := "/groups/" + made.str("id")
	add := func(address string) reply {
		return w.send(w.owner, "POST", path+"/members/$ref", `{"@odata.id":"`+address+`"}`)
	}
	add(w.https("/v1.0/directoryObjects/" + service.ID)).want(204)
	add("https://graph.microsoft.com/v1.0/directoryObjects/"+service.ID).fails(400, "Request_BadRequest", "already exist")
	add("https://graph.microsoft.com/v1.0/directoryObjects/"+nobody).fails(404, "Request_ResourceNotFound", nobody)
	add("https://graph.microsoft.com/v1.0/directoryObjects/"+made.str("id")).fails(400, "Request_BadRequest", "itself")
	for _, bad := range []string{"x", "https://graph.microsoft.com/v1.0/users/owner@example.org", "https://graph.microsoft.com/v1.0/devices/" + service.ID, "%zz", "https://a/v1.0/directoryObjects"} {
		add(bad).want(400)
	}
	want := []string{w.stranger.ID, service.ID}
	slices.Sort(want)
	if got := w.send(w.reader, "GET", path+"/members", "").column("id"); got != strings.Join(want, " ") {
		t.Errorf("members %s, want %v", got, want)
	}
	outer := w.group("outer", made.str("id"))
	for _, c := range []struct{ path, column, want string }{
		{"/users/" + w.stranger.ID + "/memberOf", "displayName", "readers"},
		{"/groups/" + made.str("id") + "/memberOf", "@odata.type", "#microsoft.graph.group"},
		{"/groups/" + outer.ID + "/members", "id", made.str("id")},
		{"/servicePrincipals/" + service.ID + "/memberOf", "displayName", "readers"},
	} {
		if got := w.send(w.reader, "GET", c.path, "").column(c.column); got != c.want {
			t.Errorf("%s gives %q", c.path, got)
		}
	}
	all := strings.Fields(w.send(w.stranger, "GET", "/me/transitiveMemberOf", "").column("id"))
	if len(all) != 2 || !slices.Contains(all, outer.ID) {
		t.Errorf("transitively in %v", all)
	}
	if got := strings.Fields(w.send(w.stranger, "GET", "/groups/"+outer.ID+"/transitiveMembers", "").column("id")); len(got) != 3 {
		t.Errorf("transitive members %v", got)
	}
	check := func(path, body, want string) {
		t.Helper()
		r := w.send(w.reader, "POST", path, body).want(200)
		if got := fmt.Sprint(r.body["value"]); got != want {
			t.Errorf("%s gives %s, want %s", path, got, want)
		}
	}
	check("/directoryObjects/"+w.stranger.ID+"/checkMemberGroups", `{"groupIds":["`+strings.ToUpper(outer.ID)+`","`+nobody+`"]}`, "["+outer.ID+"]")
	check("/users/"+w.owner.ID+"/checkMemberGroups", `{"groupIds":["`+outer.ID+`"]}`, "[]")
	check("/users/stranger@example.org/getMemberGroups", `{"securityEnabledOnly":true}`, fmt.Sprint(all))
	check("/groups/"+made.str("id")+"/getMemberObjects", `{"securityEnabledOnly":false}`, "["+outer.ID+"]")
	w.send(w.reader, "POST", "/me/checkMemberGroups", `{"groupIds":["x"]}`).fails(400, "Request_BadRequest", "Invalid GUID:x")
	w.send(w.reader, "POST", "/me/checkMemberGroups", `{}`).fails(400, "Request_BadRequest", "'groupIds'")
	w.send(w.reader, "POST", "/me/checkMemberGroups", `{"groupIds":["`+strings.Join(slices.Repeat([]string{nobody}, 21), `","`)+`"]}`).fails(400, "Request_BadRequest", "at most 20")

	w.send(w.owner, "DELETE", path+"/members/"+service.ID+"/$ref", "").want(204)
	w.send(w.owner, "DELETE", path+"/members/"+service.ID+"/$ref", "").fails(404, "Request_ResourceNotFound", service.ID)
	w.send(w.owner, "DELETE", path, "").want(204)
	if got := w.send(w.reader, "GET", "/groups/"+outer.ID+"/members", "").column("id"); got != "" {
		t.Errorf("outer still holds %s", got)
	}
	for _, body := range []string{`{"displayName":"m","mailEnabled":true}`, `{"displayName":"m","groupTypes":["Unified"]}`, `{"displayName":"m","securityEnabled":false}`} {
		w.send(w.owner, "POST", "/groups", body).fails(400, "Request_BadRequest", "security groups")
	}
	w.send(w.owner, "POST", "/groups", `{"displayName":"m","members@odata.bind":["https://graph.microsoft.com/v1.0/users/`+nobody+`"]}`).fails(404, "Request_ResourceNotFound", nobody)
	if got := w.list("/groups", "displayName eq 'm'").column("id"); got != "" {
		t.Errorf("a refused group was made: %s", got)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.group(fmt.Sprintf("team a+b %d", i))
	}
	w.group("other")
	seen, pages := []string{}, 0
	next := w.https("/v1.0/groups?$top=3&$count=true&$select=id,displayName&$filter=startswith(displayName,%27team%20a%2Bb%27)")
	for ; next != ""; pages++ {
		r := w.raw("graph:"+w.stranger.ID, "GET", next, "").want(200)
		if r.body["@odata.count"] != 7.0 {
			t.Errorf("count %v", r.body["@odata.count"])
		}
		value, _ := r.body["value"].([]any)
		for _, v := range value {
			object, _ := v.(map[string]any)
			if len(object) != 2 {
				t.Errorf("selected %v", object)
			}
		}
		seen = append(seen, strings.Fields(r.column("id"))...)
		next = r.str("@odata.nextLink")
	}
	if pages != 3 || len(seen) != 7 || !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != 7 {
		t.Errorf("%d pages with %v", pages, seen)
	}
	if r := w.send(w.stranger, "GET", "/groups?$top=8", "").want(200); r.str("@odata.nextLink") != "" {
		t.Errorf("a page follows the last: %s", r.text)
	}
	for query, part := range map[string]string{"$top=0": "page size", "$top=x": "page size", "$skiptoken=!": "$skiptoken", "$orderby=displayName": "'$orderby'", "$expand=members": "'$expand'", "$search=x": "'$search'"} {
		w.send(w.stranger, "GET", "/groups?"+query, "").fails(400, "Request_BadRequest", part)
	}
	w.send(w.stranger, "GET", "/groups?a=%zz", "").fails(400, "BadRequest", "query")
	w.send(w.stranger, "GET", "/groups?api-version=1.6", "").want(200)
}

var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// certificateText makes a certificate that ends at a time, as keyCredentials carry it.
func certificateText(t *testing.T, serial int64, end time.Time) string {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, serial, end, key)
}

func signed(t *testing.T, serial int64, end time.Time, key crypto.Signer) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: start, NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	end := start.AddDate(2, 0, 0)
	first, second := certificateText(t, 1, end), certificateText(t, 2, end)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(key, more string) string {
		return `{"type":"AsymmetricX509Cert","usage":"Verify","key":"` + key + `"` + more + `}`
	}
	made := w.send(w.owner, "POST", "/applications", `{"displayName":"ci","keyCredentials":[`+entry(first, `,"displayName":"one","endDateTime":"2028-03-01T12:00:00Z"`)+`]}`).want(201)
	path := "/applications/" + made.str("id")
	keys := func() []string {
		a, _ := w.directory.Application(made.str("id"))
		var ids []string
		for _, k := range a.Keys {
			ids = append(ids, k.KeyID)
		}
		return ids
	}
	old := keys()
	patch := func(path, list string) reply {
		return w.send(w.owner, "PATCH", path, `{"keyCredentials":[`+list+`]}`)
	}
	patch(path, `{"keyId":"`+old[0]+`","key":null,"customKeyIdentifier":"x","startDateTime":"2026-03-01T12:00:00Z","type":"AsymmetricX509Cert","usage":"Verify"},`+entry(second, "")).want(204)
	both := keys()
	if len(both) != 2 || both[0] != old[0] {
		t.Fatalf("keys %v, before %v", both, old)
	}
	patch(path, entry(first, "")+","+entry(second, "")).want(204)
	if got := keys(); !slices.Equal(got, both) {
		t.Errorf("the same certificates again: %v, before %v", got, both)
	}
	for list, part := range map[string]string{
		entry("!", ""):    "base64",
		entry("AAAA", ""): "X.509",
		entry(first, `,"endDateTime":"2027-03-01T12:00:00Z"`):                 "certificate's own end",
		`{"keyId":"` + nobody + `"}`:                                          "there is no certificate",
		entry(signed(t, 3, end, curve), ""):                                   "RSA key",
		`{"displayName":"x"}`:                                                 "needs a key",
		`{"type":"X509CertAndPassword","usage":"Sign","key":"` + first + `"}`: "must be",
		entry(first, `,"thumb":1`):                                            "'keyCredentials.thumb'",
	} {
		patch(path, list).fails(400, "Request_BadRequest", part)
	}
	if got := keys(); !slices.Equal(got, both) {
		t.Errorf("a refused change left %v, before %v", got, both)
	}
	w.send(w.owner, "POST", "/servicePrincipals", `{"appId":"`+made.str("appId")+`"}`).want(201)
	service := "/servicePrincipals(appId='" + made.str("appId") + "')"
	patch(service, `{"keyId":"`+both[1]+`"}`).want(204)
	if got := keys(); len(got) != 1 || got[0] != both[1] {
		t.Errorf("through the service principal: %v", got)
	}
	patch(path, "").want(204)
	if got := keys(); len(got) != 0 {
		t.Errorf("left %v", got)
	}
	w.send(w.owner, "POST", "/applications", `{"displayName":"bad","keyCredentials":[{"keyId":"`+nobody+`"}]}`).fails(400, "Request_BadRequest", "there is no certificate")
	w.send(w.owner, "PATCH", path, `{"identifierUris":["api://x"]}`).want(204)
	w.send(w.owner, "POST", "/applications", `{"displayName":"bad","identifierUris":["API://x"]}`).fails(409, "Request_MultipleObjectsWithSameKeyValue", "identifierUris")
	w.send(w.owner, "PATCH", service, `{"accountEnabled":true}`).want(204)
	for _, body := range []string{`{"displayName":"bad","signInAudience":"AzureADMultipleOrgs"}`, `{"displayName":"bad","passwordCredentials":[{"displayName":"x"}]}`, `{"web":{}}`, `{"displayName":"bad","appId":"` + nobody + `"}`} {
		w.send(w.owner, "POST", "/applications", body).want(400)
	}
	if got := w.list("/applications", "displayName eq 'bad'").column("id"); got != "" {
		t.Errorf("a refused application stays: %s", got)
	}
}

func TestPasswords(t *testing.T) {
	w := newWorld(t)
	application, service := w.application("ci")
	path := "/servicePrincipals/" + service.ID
	for range 2 {
		w.send(w.owner, "POST", path+"/addPassword", `{"passwordCredential":{"displayName":"reset"}}`).want(200)
	}
	shown, _ := w.send(w.reader, "GET", path, "").want(200).body["passwordCredentials"].([]any)
	if len(shown) != 2 {
		t.Fatalf("shown %v", shown)
	}
	for _, p := range shown {
		credential, _ := p.(map[string]any)
		id, _ := credential["keyId"].(string)
		if credential["secretText"] != nil {
			t.Errorf("%v", credential)
		}
		w.send(w.owner, "POST", path+"/removePassword", `{"keyId":"`+id+`"}`).want(204)
		w.send(w.owner, "POST", path+"/removePassword", `{"keyId":"`+id+`"}`).fails(404, "Request_ResourceNotFound", id)
	}
	if a, _ := w.directory.Application(application.ID); len(a.Passwords) != 0 {
		t.Errorf("left %v", a.Passwords)
	}
	for body, part := range map[string]string{
		`{"passwordCredential":{"startDateTime":"2026-04-01T00:00:00Z"}}`: "in the future",
		`{"passwordCredential":{"endDateTime":"2025-04-01T00:00:00Z"}}`:   "not in the future",
		`{"passwordCredential":{"endDateTime":"tomorrow"}}`:               "a time such as",
		`{"passwordCredential":{"secret":"mine"}}`:                        "'passwordCredential.secret'",
		`{"displayName":"x"}`: "'displayName'",
	} {
		w.send(w.owner, "POST", "/applications/"+application.ID+"/addPassword", body).fails(400, "Request_BadRequest", part)
	}
}

// Credentials that are added at the same time must all stay.
func TestFederatedCredentials(t *testing.T) {
	w := newWorld(t)
	application, _ := w.application("ci")
	path := "/applications/" + application.ID + "/federatedIdentityCredentials"
	body := func(i int) string {
		return fmt.Sprintf(`{"name":"ci%d","issuer":"https://ci.example.org","subject":"repo:%d","audiences":["api://AzureADTokenExchange"],"description":"d"}`, i, i)
	}
	var wg sync.WaitGroup
	status := make([]int, 8)
	for i := range status {
		wg.Go(func() { status[i] = w.send(w.owner, "POST", path, body(i)).status })
	}
	wg.Wait()
	names := strings.Fields(w.send(w.reader, "GET", path, "").column("name"))
	slices.Sort(names)
	if strings.Join(names, " ") != "ci0 ci1 ci2 ci3 ci4 ci5 ci6 ci7" {
		t.Errorf("%v after %v", names, status)
	}
	w.send(w.owner, "POST", path, body(3)).fails(409, "Request_MultipleObjectsWithSameKeyValue", "ci3")
	w.send(w.owner, "POST", path, `{"name":"x","issuer":"http://ci.example.org","subject":"s","audiences":["a"]}`).fails(400, "Request_BadRequest", "https://")
	w.send(w.owner, "PATCH", path+"/ci3", `{"subject":"repo:changed"}`).want(204)
	w.send(w.owner, "PATCH", path+"/ci3", `{"name":"other"}`).fails(400, "Request_BadRequest", "cannot be changed")
	one := w.send(w.reader, "GET", path+"/ci3", "").want(200)
	if one.str("subject") != "repo:changed" || one.str("issuer") != "https://ci.example.org" {
		t.Errorf("%s", one.text)
	}
	w.send(w.owner, "DELETE", path+"/"+one.str("id"), "").want(204)
	w.send(w.owner, "DELETE", path+"/ci3", "").fails(404, "Request_ResourceNotFound", "ci3")
	if got := strings.Fields(w.send(w.reader, "GET", path, "").column("name")); len(got) != 7 {
		t.Errorf("left %v", got)
	}
}

func TestTenant(t *testing.T) {
	w := newWorld(t)
	if got := w.send(w.stranger, "GET", "/organization", "").column("id"); got != tenant {
		t.Errorf("organization %s", got)
	}
	if got := w.send(w.stranger, "GET", "/domains", "").column("id"); got != "example.org" {
		t.Errorf("domains %s", got)
	}
}
