package identity

import (
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// The tokens of registries and those of the token service are signed with the same keys, and neither is taken for the other.
func TestRegistryTokensAreApart(t *testing.T) {
	w := newWorld(t)
	user := w.user("puller@example.org", "")
	const host = "alpha.cr.example.org"
	claims := RegistryClaims{Use: RegistryAccess, Audience: host, Registry: "key", Subject: user.ID, Scopes: []RegistryScope{{Type: "repository", Name: "a", Actions: []string{"pull"}}}}
	token, err := w.keys.SignRegistry(claims, w.clock.Now(), time.Hour)
	w.must(err)
	got, err := w.keys.VerifyRegistry(token, RegistryAccess, host, w.clock.Now())
	if err != nil || got.Subject != user.ID || got.Registry != "key" || len(got.Scopes) != 1 || got.ID == "" || got.Expires-got.IssuedAt != 3600 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, audience := range testResources() {
		if _, err := w.auth.Authenticate(w.ctx, token, audience.Name); resource.KindOf(err) != resource.Unauthenticated {
			t.Errorf("a registry's token is an access token for %s: %v", audience.Name, err)
		}
	}
	// Even one whose audience is a resource of the token service.
	claims.Audience = testResources()[0].Identifiers[0]
	forged, err := w.keys.SignRegistry(claims, w.clock.Now(), time.Hour)
	w.must(err)
	w.wantRefused(forged, testResources()[0].Name, "InvalidAuthenticationTokenTenant")

	set, err := w.service.IssueLocal(w.ctx, user.ID, "client", testResources()[0].Identifiers[0])
	w.must(err)
	for name, c := range map[string]struct {
		token    string
		use      RegistryTokenUse
		audience string
		at       time.Duration
	}{
		"an access token of the token service": {set.AccessToken, RegistryAccess, testResources()[0].Identifiers[0], 0},
		"the other use":                        {token, RegistryRefresh, host, 0},
		"another audience":                     {token, RegistryAccess, "beta.cr.example.org", 0},
		"no audience":                          {token, RegistryAccess, "", 0},
		"long before its time":                 {token, RegistryAccess, host, -time.Hour},
		"at its end":                           {token, RegistryAccess, host, time.Hour},
		"empty":                                {"", RegistryAccess, host, 0},
	} {
		if _, err := w.keys.VerifyRegistry(c.token, c.use, c.audience, w.clock.Now().Add(c.at)); resource.KindOf(err) != resource.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 200 {
		claims.Scopes = append(claims.Scopes, RegistryScope{Type: "repository", Name: "a-rather-long-name-of-a-repository/with-parts", Actions: []string{"pull"}})
	}
	if _, err := w.keys.SignRegistry(claims, w.clock.Now(), time.Hour); resource.KindOf(err) != resource.Invalid {
		t.Errorf("a token that nobody would take is made: %v", err)
	}
}
