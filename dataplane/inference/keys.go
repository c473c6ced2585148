package inference

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// byKey admits whoever has one of the endpoint's keys.
func (s *Server) byKey(ctx context.Context, q *request) error {
	given := q.bearer()
	if given == "" {
		return resource.Errorf(resource.Unauthenticated, "InvalidAuthentication", "The endpoint %s is called with one of its keys, as Authorization: Bearer KEY.", q.endpoint.ID.Name())
	}
	keys, err := q.endpoint.Keys()
	if err != nil {
		return err
	}
	known := 0
	for _, key := range keys {
		if key != "" {
			known |= subtle.ConstantTimeCompare([]byte(key), []byte(given))
		}
	}
	if err := s.KeyUsed(ctx, KeyUse{Endpoint: q.endpoint.ID, Path: q.path, Allowed: known == 1, RequestID: q.id, Client: q.client}); err != nil {
		return err
	}
	if known != 1 {
		return resource.Errorf(resource.Unauthenticated, "InvalidAuthentication", "The key is none of the endpoint %s; it may have been renewed.", q.endpoint.ID.Name())
	}
	return nil
}

// tokenLifetime is how long a token of an endpoint is good.
const tokenLifetime = time.Hour

// Tokens makes and verifies the tokens of endpoints: each names a principal, for one endpoint and a while. What the principal may is
// asked with every request.
type Tokens struct {
	Key   []byte // of the signature
	Clock func() time.Time
}

type claims struct {
	Endpoint  string `json:"e"`
	Principal string `json:"p"`
	Expiry    int64  `json:"x"` // seconds since 1970
}

// Issue makes a token.
func (t *Tokens) Issue(endpoint resource.ID, principal string) (token string, expiry time.Time) {
	expiry = t.Clock().Add(tokenLifetime).Truncate(time.Second)
	text, _ := json.Marshal(claims{endpoint.Key(), principal, expiry.Unix()}) // texts always marshal
	payload := base64.RawURLEncoding.EncodeToString(text)
	return payload + "." + t.sign(payload), expiry
}

func (t *Tokens) sign(payload string) string {
	mac := hmac.New(sha256.New, t.Key)
	mac.Write([]byte("endpoint token\n" + payload))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Verify gives the principal of a token. Errors: Unauthenticated.
func (t *Tokens) Verify(token string, endpoint resource.ID) (principal string, err error) {
	refused := func(why string) error {
		return resource.Errorf(resource.Unauthenticated, "InvalidAuthentication", "The token %s; get one with: alvara ml online-endpoint get-credentials -n %s -w %s -g %s", why, endpoint.Name(), endpoint.Parent().Name(), endpoint.ResourceGroup())
	}
	payload, signature, _ := strings.Cut(token, ".")
	if token == "" {
		return "", refused("is missing")
	}
	if !hmac.Equal([]byte(signature), []byte(t.sign(payload))) {
		return "", refused("is not one of this endpoint")
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	var c claims
	if err != nil || json.Unmarshal(text, &c) != nil || c.Endpoint != endpoint.Key() {
		return "", refused("is not one of this endpoint")
	}
	if !t.Clock().Before(time.Unix(c.Expiry, 0)) {
		return "", refused("has expired")
	}
	return c.Principal, nil
}
