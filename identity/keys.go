package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alvara-ml/alvara/store"
)

const (
	kindKeys   = "identity/signingkeys"
	signingBit = 2048
)

// KeysConfig is what signing keys need.
type KeysConfig struct {
	Store         store.Store
	Sealer        Sealer
	Clock         func() time.Time // nil: time.Now
	SigningPeriod time.Duration    // how long one key signs; 0: 30 days
	PublishAhead  time.Duration    // how long a key is published before it signs; 0: 24 hours
	KeepAfter     time.Duration    // how long a key verifies after it signed last, at least the longest token; 0: 24 hours
}

// Keys are the RSA keys that tokens are signed with. The private keys lie in the store, sealed. A key passes through three
// states: published but not yet signing, so that verifiers learn of it in time; signing; and verifying only, until the
// last token that it signed has expired. All methods may be called concurrently.
type Keys struct {
	config   KeysConfig
	rotation sync.Mutex // held while keys are made or removed
	current  atomic.Pointer[keySet]
}

type keySet struct {
	keys   []*signingKey // ordered by the time from which they sign
	serial uint64        // grows with every change
}

type signingKey struct {
	id      string
	private *rsa.PrivateKey
	from    time.Time // signs from then on, until the next one does
	header  string    // encoded JOSE header of an access token
}

type storedKey struct {
	ID     string    `json:"kid"`
	From   time.Time `json:"signsFrom"`
	Sealed []byte    `json:"sealed"` // PKCS #8, sealed under the document's key
}

// OpenKeys reads the signing keys, and makes the first one when there is none.
func OpenKeys(ctx context.Context, config KeysConfig) (*Keys, error) {
	if config.Clock == nil {
		config.Clock = time.Now
	}
	setDefault(&config.SigningPeriod, 30*24*time.Hour)
	setDefault(&config.PublishAhead, 24*time.Hour)
	setDefault(&config.KeepAfter, 24*time.Hour)
	if config.PublishAhead > config.SigningPeriod {
		return nil, fmt.Errorf("identity: a key would be published %v ahead and sign for only %v", config.PublishAhead, config.SigningPeriod)
	}
	k := &Keys{config: config}
	documents, err := config.Store.List(ctx, store.Query{Kind: kindKeys})
	if err != nil {
		return nil, fmt.Errorf("identity: read the signing keys: %w", err)
	}
	var keys []*signingKey
	for _, document := range documents {
		loaded, err := k.load(document)
		if err != nil {
			return nil, err
		}
		keys = append(keys, loaded)
	}
	k.set(keys)
	if len(keys) == 0 {
		return k, k.add(ctx, config.Clock())
	}
	return k, k.Maintain(ctx)
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

func (k *Keys) load(document store.Document) (*signingKey, error) {
	var stored storedKey
	if err := json.Unmarshal(document.Body, &stored); err != nil {
		return nil, fmt.Errorf("identity: signing key %s: %w", document.Key, err)
	}
	der, err := k.config.Sealer.Open(stored.Sealed, []byte(document.Key))
	if err != nil {
		return nil, fmt.Errorf("identity: signing key %s cannot be opened with this master keyset; restore the keyset that belongs to this data: %w", document.Key, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("identity: signing key %s: %w", document.Key, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok || keyID(&private.PublicKey) != stored.ID {
		return nil, fmt.Errorf("identity: signing key %s is not the RSA key that it is named for", document.Key)
	}
	return newSigningKey(private, stored.From), nil
}

func newSigningKey(private *rsa.PrivateKey, from time.Time) *signingKey {
	private.Precompute()
	id := keyID(&private.PublicKey)
	return &signingKey{id: id, private: private, from: from, header: encodeHeader(id)}
}

func (k *Keys) set(keys []*signingKey) {
	slices.SortFunc(keys, func(a, b *signingKey) int { return a.from.Compare(b.from) })
	next := &keySet{keys: keys, serial: 1}
	if old := k.current.Load(); old != nil {
		next.serial = old.serial + 1
	}
	k.current.Store(next)
}

// add makes a key that signs from a time on.
func (k *Keys) add(ctx context.Context, from time.Time) error {
	private, err := rsa.GenerateKey(rand.Reader, signingBit)
	if err != nil {
		return fmt.Errorf("identity: make a signing key: %w", err)
	}
	made := newSigningKey(private, from.UTC())
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("identity: make a signing key: %w", err)
	}
	name := keyDocument(made.id)
	sealed, err := k.config.Sealer.Seal(der, []byte(name))
	if err != nil {
		return fmt.Errorf("identity: seal a signing key: %w", err)
	}
	body, err := json.Marshal(storedKey{ID: made.id, From: made.from, Sealed: sealed})
	if err != nil {
		return fmt.Errorf("identity: store a signing key: %w", err)
	}
	if _, err := k.config.Store.Apply(ctx, store.Put{Key: name, Kind: kindKeys, Body: body, IfMatch: store.None}); err != nil {
		return fmt.Errorf("identity: store a signing key: %w", err)
	}
	k.set(append(slices.Clone(k.current.Load().keys), made))
	return nil
}

// Rotate publishes a new key, which signs after the publish-ahead time. When one is waiting already it does nothing.
func (k *Keys) Rotate(ctx context.Context) error {
	k.rotation.Lock()
	defer k.rotation.Unlock()
	return k.rotate(ctx)
}

func (k *Keys) rotate(ctx context.Context) error {
	now := k.config.Clock()
	keys := k.current.Load().keys
	if len(keys) > 0 && keys[len(keys)-1].from.After(now) {
		return nil
	}
	return k.add(ctx, now.Add(k.config.PublishAhead))
}

// Maintain publishes the next key when the present one nears its end, and removes keys whose last token has expired. Call
// it about once an hour.
func (k *Keys) Maintain(ctx context.Context) error {
	k.rotation.Lock()
	defer k.rotation.Unlock()
	now := k.config.Clock()
	keys := k.current.Load().keys
	var kept []*signingKey
	for i, key := range keys {
		if i+1 < len(keys) && now.After(keys[i+1].from.Add(k.config.KeepAfter)) {
			_, err := k.config.Store.Apply(ctx, store.Delete{Key: keyDocument(key.id)})
			if err != nil {
				return fmt.Errorf("identity: remove the signing key %s: %w", key.id, err)
			}
			continue
		}
		kept = append(kept, key)
	}
	if len(kept) < len(keys) {
		k.set(kept)
	}
	if !now.Before(kept[len(kept)-1].from.Add(k.config.SigningPeriod - k.config.PublishAhead)) {
		return k.rotate(ctx)
	}
	return nil
}

// signer is the key that signs now.
func (k *Keys) signer() *signingKey {
	keys, now := k.current.Load().keys, k.config.Clock()
	for i := len(keys) - 1; i > 0; i-- {
		if !keys[i].from.After(now) {
			return keys[i]
		}
	}
	return keys[0]
}

// withHeader finds the key that tokens with this encoded header are signed with.
func (k *Keys) withHeader(header string) (*signingKey, bool) {
	for _, key := range k.current.Load().keys {
		if key.header == header {
			return key, true
		}
	}
	return nil, false
}

// serial tells whether the set of keys has changed.
func (k *Keys) serial() uint64 { return k.current.Load().serial }

// JWKS is the JSON Web Key Set (RFC 7517) of all keys that verify, those that do not sign yet included.
func (k *Keys) JWKS() []byte {
	type jwk struct {
		Type      string `json:"kty"`
		Use       string `json:"use"`
		ID        string `json:"kid"`
		X5T       string `json:"x5t"`
		Algorithm string `json:"alg"`
		N         string `json:"n"`
		E         string `json:"e"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, key := range k.current.Load().keys {
		n, e := encodeKey(&key.private.PublicKey)
		set.Keys = append(set.Keys, jwk{Type: "RSA", Use: "sig", ID: key.id, X5T: key.id, Algorithm: "RS256", N: n, E: e})
	}
	body, err := json.Marshal(set)
	if err != nil {
		panic(err) // strings only
	}
	return body
}

// keyID is the thumbprint of a key (RFC 7638).
func keyID(public *rsa.PublicKey) string {
	n, e := encodeKey(public)
	sum := sha256.Sum256([]byte(`{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func encodeKey(public *rsa.PublicKey) (n, e string) {
	return base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes())
}

func encodeHeader(kid string) string {
	header := `{"typ":"JWT","alg":"RS256","x5t":"` + kid + `","kid":"` + kid + `"}`
	return base64.RawURLEncoding.EncodeToString([]byte(header))
}

// keyDocument is the key of a signing key's document: store keys are lower-case, so the id cannot stand there as it is.
func keyDocument(id string) string {
	sum := sha256.Sum256([]byte(id))
	return fmt.Sprintf("/%s/%x", kindKeys, sum[:16])
}

// errNoKey is returned for a token that none of our keys signed.
var errNoKey = errors.New("identity: no such signing key")

// isJWT wants three parts and no white space, which decoders skip.
func isJWT(token string) bool {
	return strings.Count(token, ".") == 2 && !strings.ContainsAny(token, " \t\r\n")
}
