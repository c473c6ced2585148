package graph

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const (
	clockSkew  = 5 * time.Minute // how far a client's clock may run ahead
	minKeyBits = 2048
)

type passwordView struct {
	CustomKeyIdentifier *string   `json:"customKeyIdentifier"`
	DisplayName         *string   `json:"displayName"`
	End                 time.Time `json:"endDateTime"`
	Hint                string    `json:"hint"`
	KeyID               string    `json:"keyId"`
	SecretText          *string   `json:"secretText"` // only in the answer to addPassword
	Start               time.Time `json:"startDateTime"`
}

func viewPassword(p identity.PasswordCredential) passwordView {
	return passwordView{DisplayName: orNull(p.DisplayName), End: p.End, Hint: p.Hint, KeyID: p.KeyID, Start: p.Start}
}

func viewPasswords(list []identity.PasswordCredential) []passwordView {
	out := make([]passwordView, len(list))
	for i, p := range list {
		out[i] = viewPassword(p)
	}
	return out
}

type keyView struct {
	CustomKeyIdentifier string    `json:"customKeyIdentifier"` // the certificate's SHA-1, in hex
	DisplayName         *string   `json:"displayName"`
	End                 time.Time `json:"endDateTime"`
	Key                 *string   `json:"key"` // never shown in lists, nor here
	KeyID               string    `json:"keyId"`
	Start               time.Time `json:"startDateTime"`
	Type                string    `json:"type"`
	Usage               string    `json:"usage"`
}

func viewKeys(list []identity.KeyCredential) []keyView {
	out := make([]keyView, len(list))
	for i, k := range list {
		out[i] = keyView{CustomKeyIdentifier: strings.ToUpper(hex.EncodeToString(k.ThumbprintSHA1)), DisplayName: orNull(k.DisplayName), End: k.End, KeyID: k.KeyID,
			Start: k.Start, Type: "AsymmetricX509Cert", Usage: "Verify"}
	}
	return out
}

type addedPassword struct {
	annotations
	passwordView
}

// addPassword makes a secret and answers it, once.
func (s *Server) addPassword(ctx context.Context, q *request, a identity.ApplicationObject) (answer, error) {
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	credential, err := f.object("passwordCredential")
	if err != nil {
		return answer{}, err
	}
	if err := f.done(); err != nil {
		return answer{}, err
	}
	name, end := "", time.Time{}
	if credential != nil {
		if name, _, err = credential.text("displayName"); err != nil {
			return answer{}, err
		}
		if end, err = credential.time("endDateTime"); err != nil {
			return answer{}, err
		}
		start, err := credential.time("startDateTime")
		if err != nil {
			return answer{}, err
		}
		if start.After(s.Clock().Add(clockSkew)) {
			return answer{}, resource.Invalidf(badRequest, "passwordCredential.startDateTime %s is in the future; a secret of this directory counts from now on.",
				start.Format(time.RFC3339)).At("passwordCredential.startDateTime")
		}
		if err := credential.done("customKeyIdentifier", "hint", "keyId", "secretText"); err != nil {
			return answer{}, err
		}
	}
	secret, made, err := s.Directory.AddPassword(ctx, a.ID, name, end)
	if err != nil {
		return answer{}, err
	}
	shown := viewPassword(made)
	shown.SecretText = &secret
	return answer{body: addedPassword{annotations{Context: q.base() + "/$metadata#microsoft.graph.passwordCredential"}, shown}}, nil
}

func (s *Server) removePassword(ctx context.Context, q *request, a identity.ApplicationObject) (answer, error) {
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	keyID, err := f.required("keyId")
	if err != nil {
		return answer{}, err
	}
	if err := f.done(); err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.RemovePassword(ctx, a.ID, keyID)
}

// newKeys is the list of certificates that an application shall have.
type newKeys struct {
	kept  []string // ids of those that it has
	added []newKey
}

type newKey struct {
	name string
	der  []byte
}

// readKeys reads keyCredentials: entries with a key are certificates in DER (base64), entries without one name a
// certificate that is there by its keyId.
func readKeys(f *fields) (*newKeys, error) {
	list, given, err := f.objects("keyCredentials")
	if err != nil || !given {
		return nil, err
	}
	keys := &newKeys{}
	for _, entry := range list {
		keyID, _, err := entry.text("keyId")
		if err != nil {
			return nil, err
		}
		key, hasKey, err := entry.text("key")
		if err != nil {
			return nil, err
		}
		name, _, err := entry.text("displayName")
		if err != nil {
			return nil, err
		}
		end, err := entry.time("endDateTime")
		if err != nil {
			return nil, err
		}
		for field, want := range map[string]string{"type": "AsymmetricX509Cert", "usage": "Verify"} {
			if value, given, err := entry.text(field); err != nil || given && value != want {
				if err == nil {
					err = resource.Invalidf(badRequest, "keyCredentials.%s must be %s.", field, want).At("keyCredentials." + field)
				}
				return nil, err
			}
		}
		if err := entry.done("customKeyIdentifier", "startDateTime"); err != nil {
			return nil, err
		}
		if !hasKey {
			if keyID == "" {
				return nil, resource.Invalidf(badRequest, "an entry of keyCredentials needs a key (a new certificate) or the keyId of one that is there.").At("keyCredentials")
			}
			keys.kept = append(keys.kept, keyID)
			continue
		}
		der, err := certificate(key, end)
		if err != nil {
			return nil, err
		}
		keys.added = append(keys.added, newKey{name, der})
	}
	return keys, nil
}

// certificate reads a certificate. Its own end is what counts here, so an earlier one is refused rather than forgotten.
func certificate(key string, end time.Time) ([]byte, error) {
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, resource.Invalidf(badRequest, "keyCredentials.key must be a certificate in DER form, as base64: %v.", err).At("keyCredentials.key")
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, resource.Invalidf(badRequest, "keyCredentials.key is not an X.509 certificate in DER form: %v.", err).At("keyCredentials.key")
	}
	// The directory has the same rule; what it would refuse later must not leave half of a request done.
	if public, ok := parsed.PublicKey.(*rsa.PublicKey); !ok || public.N.BitLen() < minKeyBits {
		return nil, resource.Invalidf(badRequest, "keyCredentials.key must hold a certificate with an RSA key of at least %d bits.", minKeyBits).At("keyCredentials.key")
	}
	if !end.IsZero() && end.Before(parsed.NotAfter.Add(-24*time.Hour)) {
		return nil, resource.Invalidf(badRequest, "keyCredentials.endDateTime %s is before the certificate's own end, %s; a certificate counts until its end here: register one that ends earlier, or leave endDateTime out.",
			end.Format(time.RFC3339), parsed.NotAfter.Format(time.RFC3339)).At("keyCredentials.endDateTime")
	}
	return der, nil
}

// check tells whether the certificates to keep are among those that are there.
func (k *newKeys) check(have []identity.KeyCredential) error {
	if k == nil {
		return nil
	}
	for _, id := range k.kept {
		if keyByID(have, id) == nil {
			return resource.Invalidf(badRequest, "keyCredentials: there is no certificate with keyId %s; a new one needs its key.", id).At("keyCredentials.keyId")
		}
	}
	return nil
}

func keyByID(list []identity.KeyCredential, id string) *identity.KeyCredential {
	for i := range list {
		if strings.EqualFold(list[i].KeyID, id) {
			return &list[i]
		}
	}
	return nil
}

// replaceKeys adds the new certificates and then takes those away that are not to be kept, so that there is no moment
// without one. A certificate that is there already stays as it is.
func (s *Server) replaceKeys(ctx context.Context, a identity.ApplicationObject, keys *newKeys) error {
	if keys == nil {
		return nil
	}
	keep := map[string]bool{}
	for _, id := range keys.kept {
		keep[strings.ToLower(id)] = true
	}
	var added []string
	for _, key := range keys.added {
		present := false
		for _, have := range a.Keys {
			if bytes.Equal(have.Certificate, key.der) {
				keep[strings.ToLower(have.KeyID)], present = true, true
			}
		}
		if present {
			continue
		}
		made, err := s.Directory.AddCertificate(ctx, a.ID, key.name, key.der)
		if err != nil {
			for _, id := range added { // all or nothing
				if undo := s.Directory.RemoveCertificate(context.WithoutCancel(ctx), a.ID, id); undo != nil {
					s.Log.Error("graph: a certificate of a refused request stays", "application", a.ID, "key", id, "error", undo)
				}
			}
			return err
		}
		added = append(added, made.KeyID)
	}
	for _, have := range a.Keys {
		if keep[strings.ToLower(have.KeyID)] {
			continue
		}
		if err := s.Directory.RemoveCertificate(ctx, a.ID, have.KeyID); err != nil {
			return err
		}
	}
	return nil
}
