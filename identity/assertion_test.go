package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// testKeys are RSA keys that tests sign with; making them takes long.
var testKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func certificateOf(t testing.TB, key *rsa.PrivateKey, notAfter time.Time) []byte {
	t.Helper()
	from := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: testStart.Add(-time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, from, from, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// signJWT signs claims with any algorithm, key and headers.
func signJWT(t testing.TB, algorithm jose.SignatureAlgorithm, key any, headers map[string]any, claims any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range headers {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func assertionForm(clientID, assertion string) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {clientID}, "scope": {armAudience + ".default"},
		"client_assertion_type": {assertionType}, "client_assertion": {assertion},
	}
}

type certificateWorld struct {
	*world
	application ApplicationObject
	principal   ServicePrincipalObject
	key         *rsa.PrivateKey
	der         []byte
	credential  KeyCredential
}

func newCertificateWorld(t *testing.T, change ...func(*Config)) *certificateWorld {
	w := &certificateWorld{world: newWorld(t, change...), key: testKeys()[0]}
	w.application, w.principal, _ = w.app("certified")
	w.der = certificateOf(t, w.key, testStart.Add(365*24*time.Hour))
	var err error
	w.credential, err = w.directory.AddCertificate(w.ctx, w.application.ID, "", w.der)
	w.must(err)
	return w
}

func (w *certificateWorld) claims() map[string]any {
	now := w.clock.Now()
	return map[string]any{
		"iss": w.application.AppID, "sub": w.application.AppID, "aud": w.server.URL + v2Path, "jti": uuid.NewString(),
		"nbf": now.Unix(), "iat": float64(now.Unix()) + 0.25, "exp": now.Add(10 * time.Minute).Unix(),
	}
}

func x5t(der []byte) map[string]any {
	sum := sha1.Sum(der)
	return map[string]any{"x5t": base64.RawURLEncoding.EncodeToString(sum[:])}
}

func x5tS256(der []byte) map[string]any {
	sum := sha256.Sum256(der)
	return map[string]any{"x5t#S256": base64.StdEncoding.EncodeToString(sum[:])} // as MSAL for Go writes it
}

func TestCertificateAssertions(t *testing.T) {
	w := newCertificateWorld(t)
	for _, c := range []struct {
		algorithm jose.SignatureAlgorithm
		headers   map[string]any
		audience  string
	}{
		{jose.RS256, x5t(w.der), v2Path}, {jose.PS256, x5tS256(w.der), v2Path}, {jose.PS256, x5t(w.der), v1Path},
		{jose.RS256, x5tS256(w.der), "/" + testTenant + "/v2.0"}, {jose.RS256, x5t(w.der), "/" + testTenant + "/"}, {jose.RS256, x5t(w.der), "/organizations/oauth2/v2.0/token"},
	} {
		claims := w.claims()
		claims["aud"] = w.server.URL + c.audience
		token := w.token(v2Path, assertionForm(w.application.AppID, signJWT(t, c.algorithm, w.key, c.headers, claims)))
		w.wantAllowed(token, "arm", w.principal.ID)
		if proof := claimsOf(t, token)["azpacr"]; proof != "2" {
			t.Fatalf("azpacr is %v", proof)
		}
	}
	// The client id may be left out; the assertion has it.
	form := assertionForm("", signJWT(t, jose.RS256, w.key, x5t(w.der), w.claims()))
	form.Del("client_id")
	w.wantAllowed(w.token(v2Path, form), "arm", w.principal.ID)
}

func TestCertificateAssertionsThatAreRefused(t *testing.T) {
	w := newCertificateWorld(t)
	stranger := testKeys()[1]
	strangerDER := certificateOf(t, stranger, testStart.Add(time.Hour))
	other, _, _ := w.app("other")
	with := func(name string, value any) map[string]any {
		claims := w.claims()
		delete(claims, name)
		if value != nil {
			claims[name] = value
		}
		return claims
	}
	merge := func(a, b map[string]any) map[string]any {
		out := map[string]any{}
		for k, v := range a {
			out[k] = v
		}
		for k, v := range b {
			out[k] = v
		}
		return out
	}
	jwk := jose.JSONWebKey{Key: &stranger.PublicKey, KeyID: "k", Algorithm: "RS256"}
	now := w.clock.Now()
	for name, c := range map[string]struct {
		token string
		code  int
	}{
		"unregistered certificate":   {signJWT(t, jose.RS256, stranger, x5t(strangerDER), w.claims()), codeAssertionKey},
		"stranger's key, own x5t":    {signJWT(t, jose.RS256, stranger, x5t(w.der), w.claims()), codeAssertionKey},
		"no x5t":                     {signJWT(t, jose.RS256, w.key, nil, w.claims()), codeAssertionKey},
		"kid only":                   {signJWT(t, jose.RS256, w.key, map[string]any{"kid": w.credential.KeyID}, w.claims()), codeAssertionKey},
		"thumbprints that disagree":  {signJWT(t, jose.RS256, w.key, merge(x5t(w.der), x5tS256(strangerDER)), w.claims()), codeAssertionKey},
		"embedded jwk":               {signJWT(t, jose.RS256, stranger, merge(x5t(w.der), map[string]any{"jwk": jwk}), w.claims()), codeAssertionKey},
		"jku":                        {signJWT(t, jose.RS256, stranger, merge(x5t(w.der), map[string]any{"jku": "https://evil.example/keys"}), w.claims()), codeAssertionKey},
		"x5u":                        {signJWT(t, jose.RS256, stranger, merge(x5t(w.der), map[string]any{"x5u": "https://evil.example/cert"}), w.claims()), codeAssertionKey},
		"x5c":                        {signJWT(t, jose.RS256, stranger, merge(x5t(w.der), map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(strangerDER)}}), w.claims()), codeAssertionKey},
		"HS256 with the certificate": {signJWT(t, jose.HS256, w.der, x5t(w.der), w.claims()), codeAssertionType},
		"RS512":                      {signJWT(t, jose.RS512, w.key, x5t(w.der), w.claims()), codeAssertionType},
		"another client's":           {signJWT(t, jose.RS256, w.key, x5t(w.der), with("sub", other.AppID)), codeAssertionClient},
		"foreign audience":           {signJWT(t, jose.RS256, w.key, x5t(w.der), with("aud", "https://login.microsoftonline.com/"+testTenant+"/oauth2/v2.0/token")), codeAssertionAudience},
		"another tenant's audience":  {signJWT(t, jose.RS256, w.key, x5t(w.der), with("aud", w.server.URL+"/"+otherTenant+"/oauth2/v2.0/token")), codeAssertionAudience},
		"no audience":                {signJWT(t, jose.RS256, w.key, x5t(w.der), with("aud", nil)), codeAssertionAudience},
		"expired":                    {signJWT(t, jose.RS256, w.key, x5t(w.der), with("exp", now.Add(-2*time.Minute).Unix())), codeAssertionTime},
		"no exp":                     {signJWT(t, jose.RS256, w.key, x5t(w.der), with("exp", nil)), codeAssertionTime},
		"exp too far":                {signJWT(t, jose.RS256, w.key, x5t(w.der), with("exp", now.Add(30*time.Hour).Unix())), codeAssertionTime},
		"not yet valid":              {signJWT(t, jose.RS256, w.key, x5t(w.der), with("nbf", now.Add(5*time.Minute).Unix())), codeAssertionTime},
		"no jti":                     {signJWT(t, jose.RS256, w.key, x5t(w.der), with("jti", nil)), codeAssertionType},
	} {
		t.Run(name, func(t *testing.T) {
			local := *w.world
			local.t = t
			status, answer := local.post(v2Path, assertionForm(w.application.AppID, c.token))
			local.wantCode(status, answer, c.code)
		})
	}
	good := signJWT(t, jose.RS256, w.key, x5t(w.der), w.claims())
	status, answer := w.post(v2Path, assertionForm(other.AppID, good))
	w.wantCode(status, answer, codeFederationUnmatched)
	w.token(v2Path, assertionForm(w.application.AppID, good))
	w.must(w.directory.RemoveCertificate(w.ctx, w.application.AppID, w.credential.KeyID))
	status, answer = w.post(v2Path, assertionForm(w.application.AppID, signJWT(t, jose.RS256, w.key, x5t(w.der), w.claims())))
	w.wantCode(status, answer, codeAssertionKey)
}

func TestExpiredCertificateIsRefused(t *testing.T) {
	w := newCertificateWorld(t)
	w.clock.advance(366 * 24 * time.Hour)
	status, answer := w.post(v2Path, assertionForm(w.application.AppID, signJWT(t, jose.RS256, w.key, x5t(w.der), w.claims())))
	w.wantCode(status, answer, codeAssertionKey)
}

func TestReplayedAssertionsAreRefused(t *testing.T) {
	w := newCertificateWorld(t, func(c *Config) { c.SingleUseAssertions = true })
	claims := w.claims()
	assertion := signJWT(t, jose.RS256, w.key, x5t(w.der), claims)
	w.token(v2Path, assertionForm(w.application.AppID, assertion))
	status, answer := w.post(v2Path, assertionForm(w.application.AppID, assertion))
	w.wantCode(status, answer, codeAssertionReplayed)
	status, answer = w.post(v2Path, assertionForm(w.application.AppID, signJWT(t, jose.PS256, w.key, x5t(w.der), claims)))
	w.wantCode(status, answer, codeAssertionReplayed)
}

// MSAL for Python signs one assertion and sends it once per scope, for nine minutes.
func TestTheSameAssertionServesTheClientThatSentItFirst(t *testing.T) {
	w := newCertificateWorld(t)
	claims := w.claims()
	assertion := signJWT(t, jose.RS256, w.key, x5t(w.der), claims)
	w.token(v2Path, assertionForm(w.application.AppID, assertion))
	w.token(v2Path, assertionForm(w.application.AppID, assertion))
	status, answer := w.post(v2Path, assertionForm(w.application.AppID, signJWT(t, jose.PS256, w.key, x5t(w.der), claims)))
	w.wantCode(status, answer, codeAssertionReplayed)
}

func TestReplays(t *testing.T) {
	r := newReplays(false)
	one, two := [32]byte{1}, [32]byte{2}
	end := testStart.Add(time.Minute)
	for range 2 {
		if !r.use("a", one, "10.0.0.1", end, testStart) {
			t.Fatal("the same assertion from the same address is refused")
		}
	}
	if r.use("a", one, "10.0.0.2", end, testStart) {
		t.Fatal("the same assertion is taken from another address")
	}
	if r.use("a", two, "10.0.0.1", end, testStart) {
		t.Fatal("another assertion with the same jti is taken")
	}
	for i := range 5000 {
		at := testStart.Add(time.Duration(i) * time.Second)
		if !r.use(uuid.NewString(), one, "x", at.Add(time.Minute), at) {
			t.Fatal("a new assertion is refused")
		}
	}
	if len(r.seen) > 2048 {
		t.Fatalf("%d assertions are remembered", len(r.seen))
	}
}

// hs256WithPublicKey is the known attack: the public key as the secret of an HMAC.
func hs256WithPublicKey(t testing.TB, public crypto.PublicKey, kid string, claims any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return signJWT(t, jose.HS256, der, map[string]any{"kid": kid}, claims)
}
