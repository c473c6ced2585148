package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store"
)

func passwordForm(upn, word string) url.Values {
	return url.Values{
		"grant_type": {"password"}, "client_id": {ClientAzureCLI}, "username": {upn}, "password": {word}, "client_info": {"1"},
		"scope": {"https://management.core.windows.net//.default openid offline_access profile"},
	}
}

func refreshForm(token any) url.Values {
	text, _ := token.(string)
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {ClientAzureCLI}, "refresh_token": {text}, "scope": {"https://storage.azure.com/.default offline_access"}}
}

func withPasswords(c *Config) { c.PasswordGrant = true }

func TestPasswordGrantIsOffUnlessTurnedOn(t *testing.T) {
	w := newWorld(t)
	w.user("ann@alvara.test", "correct horse")
	status, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	w.wantCode(status, answer, codeGrantUnsupported)
}

func TestPasswordSignInAnswersWhatMSALReads(t *testing.T) {
	w := newWorld(t, withPasswords)
	user := w.user("ann@alvara.test", "correct horse")
	status, answer := w.post("/organizations/oauth2/v2.0/token", passwordForm("Ann@Alvara.test", "correct horse"))
	if status != 200 || answer["foci"] != "1" || answer["refresh_token"] == nil {
		t.Fatalf("%d %v", status, answer)
	}
	raw, err := base64.RawURLEncoding.DecodeString(answer["client_info"].(string))
	w.must(err)
	var info map[string]string
	w.must(json.Unmarshal(raw, &info))
	if info["uid"] != user.ID || info["utid"] != testTenant {
		t.Fatalf("client_info is %v", info)
	}
	id := claimsOf(t, answer["id_token"].(string))
	for name, want := range map[string]any{"aud": ClientAzureCLI, "tid": testTenant, "oid": user.ID, "preferred_username": "ann@alvara.test", "ver": "2.0", "name": user.DisplayName} {
		if id[name] != want {
			t.Errorf("id_token %s is %v, want %v", name, id[name], want)
		}
	}
	access := claimsOf(t, answer["access_token"].(string))
	for name, want := range map[string]any{"idtyp": "user", "upn": "ann@alvara.test", "preferred_username": "ann@alvara.test", "scp": "user_impersonation", "azpacr": "0"} {
		if access[name] != want {
			t.Errorf("access token %s is %v, want %v", name, access[name], want)
		}
	}
	w.wantAllowed(answer["access_token"].(string), "arm", user.ID)

	off := false
	_, err = w.directory.UpdateUser(w.ctx, user.ID, UserUpdate{AccountEnabled: &off})
	w.must(err)
	status, answer = w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	w.wantCode(status, answer, codeUserDisabled)
	w.user("nopassword@alvara.test", "")
	status, answer = w.post(v2Path, passwordForm("nopassword@alvara.test", "anything at all"))
	w.wantCode(status, answer, codePasswordWrong)
}

func TestRefreshTokensRotateAndReuseEndsTheSession(t *testing.T) {
	w := newWorld(t, withPasswords)
	user := w.user("ann@alvara.test", "correct horse")
	_, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	first := answer["refresh_token"]
	status, answer := w.post(v2Path, refreshForm(first))
	second := answer["refresh_token"]
	if status != 200 || second == nil || second == first {
		t.Fatalf("%d %v", status, answer)
	}
	w.wantAllowed(answer["access_token"].(string), "storage", user.ID)
	// Another process of the same client may use the old token a moment later.
	if status, answer := w.post(v2Path, refreshForm(first)); status != 200 {
		t.Fatalf("within the grace: %d %v", status, answer)
	}
	w.clock.advance(2 * time.Minute)
	status, answer = w.post(v2Path, refreshForm(first))
	w.wantCode(status, answer, codeSessionRevoked)
	status, answer = w.post(v2Path, refreshForm(second))
	w.wantCode(status, answer, codeRefreshInvalid)
}

func TestRefreshWithoutScopeRenewsTheSameResource(t *testing.T) {
	w := newWorld(t, withPasswords)
	user := w.user("ann@alvara.test", "correct horse")
	_, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	form := refreshForm(answer["refresh_token"])
	form.Del("scope")
	status, answer := w.post(v2Path, form)
	if status != 200 || answer["refresh_token"] == nil {
		t.Fatalf("%d %v", status, answer)
	}
	w.wantAllowed(answer["access_token"].(string), "arm", user.ID)
	form = refreshForm(answer["refresh_token"])
	form.Set("scope", "https://example.org/.default")
	status, answer = w.post(v2Path, form)
	w.wantCode(status, answer, codeResourceUnknown)
}

func TestRefreshTokensAreBoundToTheirClient(t *testing.T) {
	w := newWorld(t, withPasswords)
	w.user("ann@alvara.test", "correct horse")
	application, _, secret := w.app("web")
	form := passwordForm("ann@alvara.test", "correct horse")
	form.Set("client_id", application.AppID)
	form.Set("client_secret", secret)
	status, answer := w.post(v2Path, form)
	if status != 200 || answer["foci"] != nil {
		t.Fatalf("%d %v", status, answer)
	}
	token := answer["refresh_token"]
	status, answer = w.post(v2Path, refreshForm(token)) // as Azure CLI
	w.wantCode(status, answer, codeRefreshInvalid)
	form = refreshForm(token)
	form.Set("client_id", application.AppID)
	status, answer = w.post(v2Path, form)
	w.wantCode(status, answer, codeClientUnproven)
	form.Set("client_secret", secret)
	if status, answer := w.post(v2Path, form); status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	// The tools of one family share theirs.
	_, answer = w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	form = refreshForm(answer["refresh_token"])
	form.Set("client_id", ClientAzurePowerShell)
	if status, answer := w.post(v2Path, form); status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
}

func TestSessionsEndWithTheAccount(t *testing.T) {
	w := newWorld(t, withPasswords)
	signIn := func() (UserObject, any) {
		w.t.Helper()
		user, ok := w.directory.User("ann@alvara.test")
		if !ok {
			user = w.user("ann@alvara.test", "correct horse")
		}
		status, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
		if status != 200 {
			t.Fatalf("%d %v", status, answer)
		}
		w.clock.advance(time.Second)
		return user, answer["refresh_token"]
	}
	off, on, word := false, true, "correct horse"
	user, token := signIn()
	_, err := w.directory.UpdateUser(w.ctx, user.ID, UserUpdate{AccountEnabled: &off})
	w.must(err)
	status, answer := w.post(v2Path, refreshForm(token))
	w.wantCode(status, answer, codeUserDisabled)
	_, err = w.directory.UpdateUser(w.ctx, user.ID, UserUpdate{AccountEnabled: &on})
	w.must(err)
	status, answer = w.post(v2Path, refreshForm(token))
	w.wantCode(status, answer, codeSessionRevoked)

	user, token = signIn()
	_, err = w.directory.UpdateUser(w.ctx, user.ID, UserUpdate{Password: &word})
	w.must(err)
	status, answer = w.post(v2Path, refreshForm(token))
	w.wantCode(status, answer, codeSessionRevoked)

	user, token = signIn()
	w.must(w.directory.DeleteUser(w.ctx, user.ID))
	status, answer = w.post(v2Path, refreshForm(token))
	w.wantCode(status, answer, codeUserUnknown)

	_, token = signIn()
	w.clock.advance(91 * 24 * time.Hour)
	status, answer = w.post(v2Path, refreshForm(token))
	w.wantCode(status, answer, codeRefreshExpired)
	w.must(w.service.Maintain(w.ctx))
	documents, err := w.store.List(w.ctx, store.Query{Kind: kindRefresh})
	w.must(err)
	if len(documents) != 0 {
		t.Fatalf("%d expired refresh tokens are left", len(documents))
	}
}

func TestRestartKeepsKeysAndRefreshTokens(t *testing.T) {
	w := newWorld(t, withPasswords)
	user := w.user("ann@alvara.test", "correct horse")
	_, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	access, refresh := answer["access_token"].(string), answer["refresh_token"].(string)
	documents, err := w.store.List(w.ctx, store.Query{Kind: kindRefresh})
	w.must(err)
	for _, document := range documents {
		secret := refresh[strings.LastIndexByte(refresh, '.')+1:]
		if strings.Contains(document.Key, secret) || strings.Contains(string(document.Body), secret) {
			t.Fatal("the refresh token lies in the store as it is")
		}
	}
	authority := w.server.URL
	w.open(withPasswords, func(c *Config) { c.Authority = authority })
	w.wantAllowed(access, "arm", user.ID)
	status, answer := w.post(v2Path, refreshForm(refresh))
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	w.wantAllowed(answer["access_token"].(string), "storage", user.ID)
}

func TestConcurrentRefreshesAllSucceed(t *testing.T) {
	w := newWorld(t, withPasswords)
	w.user("ann@alvara.test", "correct horse")
	_, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	token := answer["refresh_token"]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			response, err := w.server.Client().PostForm(w.server.URL+v2Path, refreshForm(token))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != 200 {
				t.Errorf("one of the refreshes answers %d", response.StatusCode)
			}
		})
	}
	wg.Wait()
}

func TestV1PasswordAndRefresh(t *testing.T) {
	w := newWorld(t, withPasswords)
	user := w.user("ann@alvara.test", "correct horse")
	form := passwordForm("ann@alvara.test", "correct horse")
	form.Set("scope", "openid")
	form.Set("resource", "https://management.core.windows.net/")
	status, answer := w.post("/common/oauth2/token", form)
	if status != 200 || answer["refresh_token"] == nil || answer["id_token"] == nil || answer["scope"] != "user_impersonation" {
		t.Fatalf("%d %v", status, answer)
	}
	form = url.Values{"grant_type": {"refresh_token"}, "client_id": {ClientAzureCLI}, "refresh_token": {answer["refresh_token"].(string)}, "resource": {armAudience}}
	status, answer = w.post(v1Path, form)
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	w.wantAllowed(answer["access_token"].(string), "arm", user.ID)
}

func TestPublicApplicationsSignUsersIn(t *testing.T) {
	w := newWorld(t, withPasswords)
	w.user("ann@alvara.test", "correct horse")
	application, _, _ := w.app("desktop")
	_, err := w.directory.UpdateApplication(w.ctx, application.ID, func(a *ApplicationObject) { a.PublicClient = true })
	w.must(err)
	form := passwordForm("ann@alvara.test", "correct horse")
	form.Set("client_id", application.AppID)
	if status, answer := w.post(v2Path, form); status != 200 || answer["refresh_token"] == nil || answer["foci"] != nil {
		t.Fatalf("%d %v", status, answer)
	}
	form = secretForm(application, "", armAudience+".default")
	status, answer := w.post(v2Path, form)
	w.wantCode(status, answer, codeClientUnproven)
}

func TestSessionThatEndsMeanwhileStaysEnded(t *testing.T) {
	w := newWorld(t, withPasswords)
	user := w.user("ann@alvara.test", "correct horse")
	_, answer := w.post(v2Path, passwordForm("ann@alvara.test", "correct horse"))
	for _, again := range []bool{false, true} { // the first use, and another one within the grace
		token, err := w.service.findRefresh(w.ctx, answer["refresh_token"].(string))
		w.must(err)
		if !again {
			_, err := w.service.issueRefresh(w.ctx, subject{principal: Principal{ID: user.ID}, session: token}, ClientAzureCLI, armAudience)
			w.must(err)
			continue
		}
		w.must(w.service.revokeSession(w.ctx, token.session))
		_, err = w.service.issueRefresh(w.ctx, subject{principal: Principal{ID: user.ID}, session: token}, ClientAzureCLI, armAudience)
		var refused *oauthError
		if !errors.As(err, &refused) || refused.code != codeSessionRevoked {
			t.Fatalf("the session goes on: %v", err)
		}
	}
	documents, err := w.store.List(w.ctx, store.Query{Kind: kindRefresh})
	w.must(err)
	if len(documents) != 0 {
		t.Fatalf("%d refresh tokens are left", len(documents))
	}
}
