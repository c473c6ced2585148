package identity

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDiscoveryNamesTheServicesOwnAddresses(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range []string{testTenant, strings.ToUpper(testTenant), "organizations", "common", "adfs"} {
		status, answer := w.get("/" + tenant + "/v2.0/.well-known/openid-configuration")
		base := w.server.URL + "/" + strings.ToLower(tenant)
		if status != 200 || answer["issuer"] != w.server.URL+"/"+testTenant+"/v2.0" || answer["token_endpoint"] != base+"/oauth2/v2.0/token" ||
			answer["jwks_uri"] != base+"/discovery/v2.0/keys" || answer["authorization_endpoint"] == nil {
			t.Fatalf("%s: %d %v", tenant, status, answer)
		}
		status, answer = w.get("/" + tenant + "/.well-known/openid-configuration")
		if status != 200 || answer["issuer"] != w.server.URL+"/"+testTenant+"/" || answer["token_endpoint"] != base+"/oauth2/token" {
			t.Fatalf("v1, %s: %d %v", tenant, status, answer)
		}
	}
	status, answer := w.get("/" + testTenant + "/discovery/keys")
	if keys := answer["keys"].([]any); status != 200 || len(keys) != 1 || keys[0].(map[string]any)["d"] != nil {
		t.Fatalf("the keys are %d %v", status, answer)
	}
	for _, path := range []string{"/v2.0/.well-known/openid-configuration", "/discovery/v2.0/keys"} {
		status, answer := w.get("/" + otherTenant + path)
		w.wantCode(status, answer, codeTenantUnknown)
	}
	status, answer = w.get("/nothing/here")
	w.wantCode(status, answer, codePathUnknown)
}

func TestInstanceDiscoveryAndUserRealm(t *testing.T) {
	w := newWorld(t)
	ask := func(endpoint, version string) (int, map[string]any) {
		return w.get("/common/discovery/instance?api-version=" + version + "&authorization_endpoint=" + url.QueryEscape(endpoint))
	}
	want := w.server.URL + "/" + testTenant + "/v2.0/.well-known/openid-configuration"
	for _, version := range []string{"1.0", "1.1"} {
		// Clients drop the port.
		for _, endpoint := range []string{w.server.URL, "https://127.0.0.1"} {
			status, answer := ask(endpoint+"/"+testTenant+"/oauth2/v2.0/authorize", version)
			if status != 200 || answer["tenant_discovery_endpoint"] != want || (answer["metadata"] != nil) != (version == "1.1") {
				t.Fatalf("%s %s: %d %v", version, endpoint, status, answer)
			}
		}
	}
	status, answer := ask("https://evil.example/"+testTenant+"/oauth2/v2.0/authorize", "1.1")
	w.wantCode(status, answer, codeInstanceUnknown)
	status, answer = ask(w.server.URL+"/"+otherTenant+"/oauth2/v2.0/authorize", "1.1")
	w.wantCode(status, answer, codeTenantUnknown)
	status, answer = ask(w.server.URL+"/common", "3")
	w.wantCode(status, answer, codeParameterMissing)
	status, answer = w.get("/common/UserRealm/Ann@alvara.test?api-version=1.0")
	if status != 200 || answer["account_type"] != "Managed" || answer["domain_name"] != "alvara.test" {
		t.Fatalf("user realm: %d %v", status, answer)
	}
}

func TestAliasesNameTheirOwnAddresses(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Aliases = []string{"https://login.alvara.test"} })
	request, err := http.NewRequest(http.MethodGet, w.server.URL+"/common/v2.0/.well-known/openid-configuration", nil)
	w.must(err)
	request.Host = "login.alvara.test"
	response, err := w.server.Client().Do(request)
	w.must(err)
	if _, answer := w.read(response); answer["token_endpoint"] != "https://login.alvara.test/common/oauth2/v2.0/token" ||
		answer["issuer"] != "https://login.alvara.test/"+testTenant+"/v2.0" {
		t.Fatalf("the answer is %v", answer)
	}
	application, service, secret := w.app("a")
	request, err = http.NewRequest(http.MethodPost, w.server.URL+v2Path, strings.NewReader(secretForm(application, secret, armAudience+".default").Encode()))
	w.must(err)
	request.Host = "login.alvara.test"
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err = w.server.Client().Do(request)
	w.must(err)
	_, answer := w.read(response)
	token := answer["access_token"].(string)
	if iss := claimsOf(t, token)["iss"]; iss != "https://login.alvara.test/"+testTenant+"/v2.0" {
		t.Fatalf("iss is %v", iss)
	}
	w.wantAllowed(token, "arm", service.ID)
}

func TestClientCredentialsInBothForms(t *testing.T) {
	w := newWorld(t)
	application, service, secret := w.app("ci")

	form := secretForm(application, secret, "https://management.azure.com//.default openid offline_access profile")
	form.Set("client_info", "1")
	form.Set("claims", `{"access_token":{"xms_cc":{"values":["CP1"]}}}`)
	status, answer := w.post(v2Path, form)
	if status != 200 || answer["token_type"] != "Bearer" || answer["scope"] != form.Get("scope") || answer["refresh_token"] != nil || answer["id_token"] != nil {
		t.Fatalf("v2: %d %v", status, answer)
	}
	if seconds, ok := answer["expires_in"].(float64); !ok || seconds < 3600 || seconds > 4500 {
		t.Fatalf("expires_in is %v", answer["expires_in"])
	}
	token := answer["access_token"].(string)
	claims := claimsOf(t, token)
	for name, want := range map[string]any{
		"iss": w.server.URL + "/" + testTenant + "/v2.0", "aud": "https://management.azure.com/", "tid": testTenant, "oid": service.ID,
		"sub": service.ID, "azp": application.AppID, "azpacr": "1", "idtyp": "app", "ver": "2.0", "upn": nil, "scp": nil, "xms_mirid": nil,
	} {
		if claims[name] != want {
			t.Errorf("v2 claim %s is %v, want %v", name, claims[name], want)
		}
	}
	w.wantAllowed(token, "arm", service.ID)

	form = secretForm(application, secret, "")
	form.Del("scope")
	form.Set("resource", "https://management.core.windows.net")
	status, answer = w.post(v1Path, form)
	if status != 200 || answer["resource"] != "https://management.core.windows.net" || answer["scope"] != nil {
		t.Fatalf("v1: %d %v", status, answer)
	}
	for _, name := range []string{"expires_in", "ext_expires_in", "expires_on", "not_before"} {
		if _, ok := answer[name].(string); !ok {
			t.Errorf("v1 %s is %T", name, answer[name])
		}
	}
	claims = claimsOf(t, answer["access_token"].(string))
	for name, want := range map[string]any{
		"iss": w.server.URL + "/" + testTenant + "/", "aud": "https://management.core.windows.net", "appid": application.AppID, "appidacr": "1", "ver": "1.0",
	} {
		if claims[name] != want {
			t.Errorf("v1 claim %s is %v, want %v", name, claims[name], want)
		}
	}
	w.wantAllowed(answer["access_token"].(string), "arm", service.ID)

	// The secret may come in the header, and tokens may be asked for other resources.
	form = url.Values{"grant_type": {"client_credentials"}, "scope": {"https://acc1.blob.alvara.test/.default"}}
	request, err := http.NewRequest(http.MethodPost, w.server.URL+v2Path, strings.NewReader(form.Encode()))
	w.must(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(application.AppID, secret)
	response, err := w.server.Client().Do(request)
	w.must(err)
	status, answer = w.read(response)
	if status != 200 {
		t.Fatalf("basic: %d %v", status, answer)
	}
	w.wantAllowed(answer["access_token"].(string), "storage", service.ID)
}

func TestScopesAreEchoedAndAudiencesKeptAsAsked(t *testing.T) {
	w := newWorld(t)
	application, _, secret := w.app("ci")
	for scope, audience := range map[string]string{
		"https://management.azure.com/.default":                 "https://management.azure.com",
		"https://management.azure.com//.default":                "https://management.azure.com/",
		"HTTPS://Management.azure.com/.default":                 "HTTPS://Management.azure.com",
		"00000003-0000-0000-c000-000000000000/.default":         "00000003-0000-0000-c000-000000000000",
		"api://AzureADTokenExchange/.default":                   "api://AzureADTokenExchange",
		"https://storage.azure.com/.default openid":             "https://storage.azure.com",
		"https://a.blob.alvara.test/.default offline_access":    "https://a.blob.alvara.test",
		"https://management.azure.com/.default email   profile": "https://management.azure.com",
	} {
		status, answer := w.post(v2Path, secretForm(application, secret, scope))
		if status != 200 || answer["scope"] != scope {
			t.Fatalf("%s: %d %v", scope, status, answer)
		}
		if aud := claimsOf(t, answer["access_token"].(string))["aud"]; aud != audience {
			t.Errorf("%s gives aud %v, want %v", scope, aud, audience)
		}
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PasswordGrant = true })
	application, _, secret := w.app("ci")
	disabled, disabledSP, disabledSecret := w.app("off")
	w.must(w.directory.SetServicePrincipalEnabled(w.ctx, disabledSP.ID, false))
	w.user("ann@alvara.test", "correct horse")
	scope := armAudience + ".default"
	with := func(changes ...string) url.Values {
		form := secretForm(application, secret, scope)
		for i := 0; i < len(changes); i += 2 {
			form.Del(changes[i])
			if changes[i+1] != "" {
				form.Set(changes[i], changes[i+1])
			}
		}
		return form
	}
	password := func(name, word string) url.Values {
		return url.Values{"grant_type": {"password"}, "client_id": {ClientAzureCLI}, "username": {name}, "password": {word}, "scope": {scope}}
	}
	twice := with()
	twice.Add("client_id", otherTenant)
	cases := []struct {
		name string
		path string
		form url.Values
		code int
	}{
		{"another tenant", "/" + otherTenant + "/oauth2/v2.0/token", with(), codeTenantUnknown},
		{"no grant", v2Path, with("grant_type", ""), codeParameterMissing},
		{"unknown grant", v2Path, with("grant_type", "device_code"), codeGrantUnsupported},
		{"no client", v2Path, with("client_id", ""), codeParameterMissing},
		{"unknown client", v2Path, with("client_id", otherTenant), codeClientUnknown},
		{"application's object id as client id", v2Path, with("client_id", application.ID), codeClientUnknown},
		{"no proof", v2Path, with("client_secret", ""), codeClientUnproven},
		{"wrong secret", v2Path, with("client_secret", secret+"x"), codeSecretWrong},
		{"another application's secret", v2Path, with("client_secret", disabledSecret), codeSecretWrong},
		{"secret and assertion", v2Path, with("client_assertion", "x"), codeBodyMalformed},
		{"malformed assertion", v2Path, with("client_secret", "", "client_assertion", "x", "client_assertion_type", assertionType), codeAssertionType},
		{"unknown assertion type", v2Path, with("client_secret", "", "client_assertion", "x", "client_assertion_type", "saml"), codeAssertionType},
		{"disabled service principal", v2Path, secretForm(disabled, disabledSecret, scope), codeClientDisabled},
		{"no scope", v2Path, with("scope", ""), codeParameterMissing},
		{"no resource", v1Path, with("scope", ""), codeParameterMissing},
		{"only openid", v2Path, with("scope", "openid profile"), codeScopeInvalid},
		{"not .default", v2Path, with("scope", armAudience+"user_impersonation"), codeScopeNotDefault},
		{"two resources", v2Path, with("scope", scope+" https://storage.azure.com/.default"), codeScopeInvalid},
		{"unknown resource", v2Path, with("scope", "https://example.org/.default"), codeResourceUnknown},
		{"a host that only ends alike", v2Path, with("scope", "https://evil-management.azure.com/.default"), codeResourceUnknown},
		{"unknown resource, v1", v1Path, with("scope", "", "resource", "https://example.org"), codeResourceUnknown},
		{"resource in v2", v2Path, with("scope", "", "resource", armAudience), codeParameterRefused},
		{"a parameter twice", v2Path, twice, codeBodyMalformed},
		{"public client for itself", v2Path, with("client_id", ClientAzureCLI, "client_secret", ""), codeClientUnproven},
		{"public client with a secret", v2Path, with("client_id", ClientAzureCLI), codeClientPublic},
		{"wrong password", v2Path, password("ann@alvara.test", "wrong horse"), codePasswordWrong},
		{"unknown user", v2Path, password("nobody@alvara.test", "correct horse"), codePasswordWrong},
		{"no password", v2Path, password("ann@alvara.test", ""), codeParameterMissing},
		{"password by a confidential client without proof", v2Path, func() url.Values {
			form := password("ann@alvara.test", "correct horse")
			form.Set("client_id", application.AppID)
			return form
		}(), codeClientUnproven},
		{"invalid refresh token", v2Path, url.Values{"grant_type": {"refresh_token"}, "client_id": {ClientAzureCLI}, "refresh_token": {"1.a.b"}}, codeRefreshInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			local := *w
			local.t = t
			status, answer := local.post(c.path, c.form)
			local.wantCode(status, answer, c.code)
		})
	}
	if strings.Contains(w.log.String(), secret) || strings.Contains(w.log.String(), "horse") {
		t.Fatal("the log holds a secret")
	}
}

func TestRequestsThatAreNoForms(t *testing.T) {
	w := newWorld(t)
	response, err := w.server.Client().Post(w.server.URL+v2Path, "application/json", strings.NewReader(`{}`))
	w.must(err)
	status, answer := w.read(response)
	w.wantCode(status, answer, codeBodyMalformed)
	response, err = w.server.Client().Post(w.server.URL+v2Path, "application/x-www-form-urlencoded", strings.NewReader("a="+strings.Repeat("x", maxBody)))
	w.must(err)
	status, answer = w.read(response)
	w.wantCode(status, answer, codeBodyMalformed)
	request, err := http.NewRequest(http.MethodGet, w.server.URL+v2Path+"?grant_type=client_credentials", nil)
	w.must(err)
	correlation := "0f8fad5b-d9cb-469f-a165-70867728950e"
	request.Header.Set("client-request-id", correlation)
	response, err = w.server.Client().Do(request)
	w.must(err)
	status, answer = w.read(response)
	w.wantCode(status, answer, codePathUnknown)
	if answer["correlation_id"] != correlation {
		t.Fatalf("the correlation id is %v", answer["correlation_id"])
	}
	// Parameters count in the body only.
	application, _, secret := w.app("ci")
	response, err = w.server.Client().PostForm(w.server.URL+v2Path+"?"+secretForm(application, secret, armAudience+".default").Encode(), url.Values{"x": {"y"}})
	w.must(err)
	status, answer = w.read(response)
	w.wantCode(status, answer, codeParameterMissing)
}

func TestRemovedAndExpiredSecretsAreRefused(t *testing.T) {
	w := newWorld(t)
	application, _, first := w.app("ci")
	scope := armAudience + ".default"
	second, credential, err := w.directory.AddPassword(w.ctx, application.AppID, "second", w.clock.Now().Add(time.Hour))
	w.must(err)
	w.token(v2Path, secretForm(application, first, scope))
	w.token(v2Path, secretForm(application, second, scope))
	w.clock.advance(2 * time.Hour)
	status, answer := w.post(v2Path, secretForm(application, second, scope))
	w.wantCode(status, answer, codeSecretExpired)
	w.must(w.directory.RemovePassword(w.ctx, application.AppID, credential.KeyID))
	status, answer = w.post(v2Path, secretForm(application, second, scope))
	w.wantCode(status, answer, codeSecretWrong)
	w.token(v2Path, secretForm(application, first, scope))
}

func TestHandlesKnowsItsPaths(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{v1Path, v2Path, "/common/discovery/instance", "/common/UserRealm/x", "/organizations/v2.0/.well-known/openid-configuration", "/x/.well-known/openid-configuration"} {
		if !w.service.Handles(path) {
			t.Errorf("%s is not handled", path)
		}
	}
	for _, path := range []string{"/", "/subscriptions/x", "/v1.0/servicePrincipals", "/metadata/endpoints", "/providers/oauth3"} {
		if w.service.Handles(path) {
			t.Errorf("%s is handled", path)
		}
	}
}

func TestServiceNeedsWhatItNeeds(t *testing.T) {
	w := newWorld(t)
	good := w.service.config
	for name, change := range map[string]func(*Config){
		"no directory":        func(c *Config) { c.Directory = nil },
		"no resources":        func(c *Config) { c.Resources = nil },
		"plain http":          func(c *Config) { c.Authority = "http://127.0.0.1" },
		"a path":              func(c *Config) { c.Aliases = []string{"https://host/path"} },
		"tokens outlive keys": func(c *Config) { c.AccessTokenLifetime = 48 * time.Hour },
	} {
		config := good
		config.Resources = slices.Clone(good.Resources)
		change(&config)
		if _, err := NewService(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
