package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const maxToken = 16 << 10 // bytes; a token of ours has about one kilobyte

// sign makes a compact JWS of the claims with the key that signs now, always RS256.
func (k *Keys) sign(claims any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	key := k.signer()
	b64 := base64.RawURLEncoding
	token := make([]byte, 0, len(key.header)+1+b64.EncodedLen(len(body))+1+b64.EncodedLen(signingBit/8))
	token = append(append(token, key.header...), '.')
	token = b64.AppendEncode(token, body)
	sum := sha256.Sum256(token)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.private, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return string(b64.AppendEncode(append(token, '.'), signature)), nil
}

// parseJWS reads a compact JWS that uses one of the algorithms. Headers that would bring a key along (jwk, jku, x5c, x5u)
// are read and never used; headers that change what is signed (b64) or must be understood (crit) are refused.
func parseJWS(token string, algorithms ...jose.SignatureAlgorithm) (*jose.JSONWebSignature, jose.Header, error) {
	if len(token) > maxToken {
		return nil, jose.Header{}, fmt.Errorf("the token has %d bytes; at most %d are allowed", len(token), maxToken)
	}
	if !isJWT(token) {
		return nil, jose.Header{}, errors.New("the token is not a JSON Web Token of three parts")
	}
	parsed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, jose.Header{}, err
	}
	if len(parsed.Signatures) != 1 {
		return nil, jose.Header{}, errors.New("the token has no single signature")
	}
	header := parsed.Signatures[0].Protected
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, present := header.ExtraHeaders[name]; present {
			return nil, jose.Header{}, fmt.Errorf("the token's header has %q, which is not supported", name)
		}
	}
	return parsed, header, nil
}

// verifyOwn checks that one of our keys signed the token, and reads its claims. The header must be, byte for byte, the one
// that we write for one of our keys: nothing that a stranger puts there, such as another algorithm or a key of his own, is
// ever looked at.
func (k *Keys) verifyOwn(token string, claims any) error {
	if len(token) > maxToken {
		return fmt.Errorf("the token has %d bytes; at most %d are allowed", len(token), maxToken)
	}
	if !isJWT(token) {
		return errors.New("the token is not a JSON Web Token of three parts")
	}
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	key, ok := k.withHeader(token[:first])
	if !ok {
		return errNoKey
	}
	b64 := base64.RawURLEncoding.Strict()
	signature, err := b64.DecodeString(token[last+1:])
	if err != nil {
		return fmt.Errorf("the signature: %w", err)
	}
	sum := sha256.Sum256([]byte(token[:last]))
	if err := rsa.VerifyPKCS1v15(&key.private.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return err
	}
	payload, err := b64.DecodeString(token[first+1 : last])
	if err != nil {
		return fmt.Errorf("the claims: %w", err)
	}
	return json.Unmarshal(payload, claims)
}

// numericDate is a time in a token: seconds since 1970, which some clients write with a fraction.
type numericDate int64

func (d *numericDate) UnmarshalJSON(raw []byte) error {
	var seconds float64
	if err := json.Unmarshal(raw, &seconds); err != nil {
		return err
	}
	if math.IsNaN(seconds) || seconds < 0 || seconds > 1<<40 {
		return fmt.Errorf("%s is not a time in seconds", raw)
	}
	*d = numericDate(seconds)
	return nil
}

func (d numericDate) time() time.Time { return time.Unix(int64(d), 0) }

// audience is one string or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil {
		return errors.New("aud is neither a string nor a list of strings")
	}
	*a = many
	return nil
}
