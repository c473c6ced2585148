package identity

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// goodClaims are the claims of a token that is allowed.
func (w *world) goodClaims(principalID string) map[string]any {
	now := w.clock.Now()
	return map[string]any{
		"aud": armAudience, "iss": w.server.URL + "/" + testTenant + "/", "tid": testTenant, "oid": principalID, "sub": principalID,
		"idtyp": "app", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "ver": "1.0",
	}
}

// FS-01, FS-02: known false allows of other implementations.
func TestTokensThatAreRefused(t *testing.T) {
	w := newWorld(t)
	_, service, _ := w.app("ci")
	own := w.keys.signer()
	stranger := testKeys()[1]
	claims := w.goodClaims(service.ID)
	with := func(name string, value any) map[string]any {
		c := w.goodClaims(service.ID)
		delete(c, name)
		if value != nil {
			c[name] = value
		}
		return c
	}
	ours := func(c map[string]any) string {
		token, err := w.keys.sign(c)
		w.must(err)
		return token
	}
	b64 := func(v any) string {
		raw, err := json.Marshal(v)
		w.must(err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	now := w.clock.Now()
	good := ours(claims)
	w.wantAllowed(good, "arm", service.ID)
	parts := strings.Split(good, ".")
	jwk := jose.JSONWebKey{Key: &stranger.PublicKey, KeyID: own.id, Algorithm: "RS256"}
	invalid, audience, tenant, expired := "InvalidAuthenticationToken", "InvalidAuthenticationTokenAudience", "InvalidAuthenticationTokenTenant", "ExpiredAuthenticationToken"
	for name, c := range map[string]struct{ token, code string }{
		"nothing":                 {"", "AuthenticationFailed"},
		"rubbish":                 {"a.b.c", invalid},
		"padded signature":        {good + "=", invalid},
		"line break at the end":   {good + "\n", invalid},
		"two parts":               {parts[0] + "." + parts[1], invalid},
		"JSON serialization":      {fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]), invalid},
		"no signature":            {parts[0] + "." + parts[1] + ".", invalid},
		"alg none":                {b64(map[string]string{"alg": "none", "typ": "JWT"}) + "." + b64(claims) + ".", invalid},
		"alg NoNe, old signature": {b64(map[string]string{"alg": "NoNe", "kid": own.id}) + "." + parts[1] + "." + parts[2], invalid},
		"changed claims":          {parts[0] + "." + b64(with("oid", otherTenant)) + "." + parts[2], invalid},
		"HS256 with public key":   {hs256WithPublicKey(t, &own.private.PublicKey, own.id, claims), invalid},
		"HS256 with modulus":      {signJWT(t, jose.HS256, own.private.N.Bytes(), map[string]any{"kid": own.id}, claims), invalid},
		"PS256 with own key":      {signJWT(t, jose.PS256, own.private, map[string]any{"kid": own.id}, claims), invalid},
		"stranger's key, our kid": {signJWT(t, jose.RS256, stranger, map[string]any{"kid": own.id}, claims), invalid},
		"stranger's kid":          {signJWT(t, jose.RS256, stranger, map[string]any{"kid": "stranger"}, claims), invalid},
		"our key, wrong kid":      {signJWT(t, jose.RS256, own.private, map[string]any{"kid": "wrong"}, claims), invalid},
		"our key, another header": {signJWT(t, jose.RS256, own.private, map[string]any{"kid": own.id}, claims), invalid},
		"our key, no kid":         {signJWT(t, jose.RS256, own.private, nil, claims), invalid},
		"embedded jwk":            {signJWT(t, jose.RS256, stranger, map[string]any{"kid": own.id, "jwk": jwk}, claims), invalid},
		"foreign jku":             {signJWT(t, jose.RS256, stranger, map[string]any{"kid": "k", "jku": "https://evil.example/keys"}, claims), invalid},
		"crit":                    {signJWT(t, jose.RS256, own.private, map[string]any{"kid": own.id, "crit": []string{"exp"}}, claims), invalid},
		"b64":                     {signJWT(t, jose.RS256, own.private, map[string]any{"kid": own.id, "b64": true}, claims), invalid},
		"storage's token":         {ours(with("aud", "https://storage.azure.com/")), audience},
		"unknown audience":        {ours(with("aud", "https://example.org")), audience},
		"no audience":             {ours(with("aud", nil)), audience},
		"another tenant":          {ours(with("tid", otherTenant)), tenant},
		"no tenant":               {ours(with("tid", nil)), tenant},
		"foreign issuer":          {ours(with("iss", "https://sts.windows.net/"+testTenant+"/")), invalid},
		"issuer of the tenant":    {ours(with("iss", w.server.URL+"/"+otherTenant+"/")), invalid},
		"no issuer":               {ours(with("iss", nil)), invalid},
		"expired":                 {ours(with("exp", now.Add(-61*time.Second).Unix())), expired},
		"no exp":                  {ours(with("exp", nil)), invalid},
		"exp as text":             {ours(with("exp", "9999999999")), invalid},
		"not yet valid":           {ours(with("nbf", now.Add(2*time.Minute).Unix())), invalid},
		"no nbf":                  {ours(with("nbf", nil)), invalid},
		"no oid":                  {ours(with("oid", nil)), invalid},
		"id token":                {ours(with("idtyp", nil)), invalid},
		"unknown principal":       {ours(with("oid", otherTenant)), invalid},
		"too long":                {good + strings.Repeat("A", maxToken), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			local := *w
			local.t = t
			local.wantRefused(c.token, "arm", c.code)
			local.wantRefused(c.token, "arm", c.code) // what was refused once is not remembered as good
		})
	}
	w.wantRefused(good, "storage", audience)
	w.wantRefused(good, "nothing", audience)
	w.wantAllowed(ours(with("exp", now.Add(-59*time.Second).Unix())), "arm", service.ID)
	w.wantAllowed(ours(with("nbf", now.Add(59*time.Second).Unix())), "arm", service.ID)
}

func TestRememberedTokensStillExpireAndFollowTheDirectory(t *testing.T) {
	w := newWorld(t)
	user := w.user("ann@alvara.test", "")
	set, err := w.service.IssueLocal(w.ctx, user.ID, ClientAzureCLI, armAudience)
	w.must(err)
	if p := w.wantAllowed(set.AccessToken, "arm", user.ID); p.Type != User || p.Name != "ann@alvara.test" || len(p.Groups) != 0 {
		t.Fatalf("the principal is %+v", p)
	}
	outer, err := w.directory.CreateGroup(w.ctx, "outer", "")
	w.must(err)
	inner, err := w.directory.CreateGroup(w.ctx, "inner", "")
	w.must(err)
	w.must(w.directory.AddMember(w.ctx, outer.ID, inner.ID))
	w.must(w.directory.AddMember(w.ctx, inner.ID, user.ID))
	want := []string{inner.ID, outer.ID}
	slices.Sort(want)
	if p := w.wantAllowed(set.AccessToken, "arm", user.ID); !slices.Equal(p.Groups, want) {
		t.Fatalf("the groups are %v, want %v", p.Groups, want)
	}
	w.must(w.directory.RemoveMember(w.ctx, outer.ID, inner.ID))
	if p := w.wantAllowed(set.AccessToken, "arm", user.ID); !slices.Equal(p.Groups, []string{inner.ID}) {
		t.Fatalf("after removal the groups are %v", p.Groups)
	}
	off, on := false, true
	_, err = w.directory.UpdateUser(w.ctx, user.ID, UserUpdate{AccountEnabled: &off})
	w.must(err)
	w.wantRefused(set.AccessToken, "arm", "InvalidAuthenticationToken")
	_, err = w.directory.UpdateUser(w.ctx, user.ID, UserUpdate{AccountEnabled: &on})
	w.must(err)
	w.wantAllowed(set.AccessToken, "arm", user.ID)
	w.clock.advance(80 * time.Minute)
	w.wantRefused(set.AccessToken, "arm", "ExpiredAuthenticationToken")
	if len(w.auth.verified) != 0 {
		t.Fatal("an expired token is remembered")
	}
	w.clock.advance(-80 * time.Minute)
	w.must(w.directory.DeleteUser(w.ctx, user.ID))
	w.wantRefused(set.AccessToken, "arm", "InvalidAuthenticationToken")
}

func TestGroupsGetNoTokens(t *testing.T) {
	w := newWorld(t)
	group, err := w.directory.CreateGroup(w.ctx, "g", "")
	w.must(err)
	_, err = w.service.IssueLocal(w.ctx, group.ID, ClientAzureCLI, armAudience)
	if err == nil {
		t.Fatal("a group signs in")
	}
	token, err := w.keys.sign(w.goodClaims(group.ID))
	w.must(err)
	w.wantRefused(token, "arm", "InvalidAuthenticationToken")
}

func TestIDTokensAreNoAccessTokens(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PasswordGrant = true })
	w.user("ann@alvara.test", "correct horse")
	_, answer := w.post(v2Path, url.Values{
		"grant_type": {"password"}, "client_id": {ClientAzureCLI}, "username": {"ann@alvara.test"}, "password": {"correct horse"},
		"scope": {armAudience + ".default openid"},
	})
	w.wantRefused(answer["id_token"].(string), "arm", "InvalidAuthenticationToken")
}

func TestTheMemoryOfTokensIsBounded(t *testing.T) {
	w := newWorld(t)
	_, service, _ := w.app("ci")
	w.auth.config.Cache = 8
	var tokens []string
	for range 40 {
		set, err := w.service.IssueLocal(w.ctx, service.ID, ClientAzureCLI, armAudience)
		w.must(err)
		tokens = append(tokens, set.AccessToken)
		w.wantAllowed(set.AccessToken, "arm", service.ID)
		if len(w.auth.verified) > 8 {
			t.Fatalf("%d tokens are remembered", len(w.auth.verified))
		}
	}
	for _, token := range tokens {
		w.wantAllowed(token, "arm", service.ID)
	}
}

func TestAuthenticatorIsSafeForConcurrentUse(t *testing.T) {
	w := newWorld(t)
	_, service, _ := w.app("ci")
	w.auth.config.Cache = 4
	var tokens []string
	for range 6 {
		set, err := w.service.IssueLocal(w.ctx, service.ID, ClientAzureCLI, armAudience)
		w.must(err)
		tokens = append(tokens, set.AccessToken)
	}
	group, err := w.directory.CreateGroup(w.ctx, "g", "")
	w.must(err)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 60 {
				if p, err := w.auth.Authenticate(w.ctx, tokens[(i+j)%len(tokens)], "arm"); err != nil || p.ID != service.ID {
					t.Errorf("%+v, %v", p, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := w.directory.AddMember(w.ctx, group.ID, service.ID); err != nil {
				t.Error(err)
			}
			if err := w.directory.RemoveMember(w.ctx, group.ID, service.ID); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		if err := w.keys.Rotate(w.ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}

func FuzzAuthenticate(f *testing.F) {
	w := newWorld(f)
	_, service, _ := w.app("ci")
	set, err := w.service.IssueLocal(w.ctx, service.ID, ClientAzureCLI, armAudience)
	w.must(err)
	good := set.AccessToken
	parts := strings.Split(good, ".")
	f.Add(good)
	f.Add("..")
	f.Add(parts[0] + "." + parts[1] + ".")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","b64":false,"crit":["b64"],"kid":"`+w.keys.signer().id+`"}`)) + "." + parts[1] + "." + parts[2])
	f.Fuzz(func(t *testing.T, token string) {
		auth, err := w.service.Authenticator()
		if err != nil {
			t.Fatal(err)
		}
		p, err := auth.Authenticate(w.ctx, token, "arm")
		if err == nil && token != good {
			t.Fatalf("%q is taken as %+v", token, p)
		}
	})
}
