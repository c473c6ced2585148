package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // x5t is defined as a SHA-1
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/google/uuid"
)

const (
	defaultSecretLifetime = 2 * 365 * 24 * time.Hour
	maxFederated          = 20 // per application or identity, as the original has it
)

// CreateApplication registers an application. It acts once a service principal is created for it.
func (d *Directory) CreateApplication(ctx context.Context, displayName string) (ApplicationObject, error) {
	if err := checkDisplayName(displayName); err != nil {
		return ApplicationObject{}, err
	}
	application := ApplicationObject{
		ID: uuid.NewString(), AppID: uuid.NewString(), DisplayName: displayName, Created: d.clock().UTC(),
	}
	op, err := put(kindApplications, application.ID, application, store.None)
	if err != nil {
		return ApplicationObject{}, err
	}
	if _, err := d.store.Apply(ctx, op); err != nil {
		return ApplicationObject{}, err
	}
	return application, nil
}

// UpdateApplication changes an application's names and flags: displayName, identifierUris, isFallbackPublicClient. Ids and
// credentials stay as they are.
func (d *Directory) UpdateApplication(ctx context.Context, id string, change func(*ApplicationObject)) (ApplicationObject, error) {
	id = d.applicationID(id)
	return edit(ctx, d, d.applications, kindApplications, id, func(a *ApplicationObject) error {
		changed := clone(a)
		change(&changed)
		if err := checkDisplayName(changed.DisplayName); err != nil {
			return err
		}
		for _, uri := range changed.IdentifierURIs {
			if holder, ok := d.FindByServicePrincipalName(uri); ok && holder.AppID != a.AppID {
				return resource.Conflictf("Request_MultipleObjectsWithSameKeyValue",
					"Another object with the same value for property identifierUris already exists: %q; choose another one.", uri).At("identifierUris")
			}
		}
		a.DisplayName, a.IdentifierURIs, a.PublicClient = changed.DisplayName, changed.IdentifierURIs, changed.PublicClient
		return nil
	})
}

// DeleteApplication removes an application and its service principal. Its tokens are refused from then on.
func (d *Directory) DeleteApplication(ctx context.Context, idOrAppID string) error {
	application, ok := d.Application(idOrAppID)
	if !ok {
		return absent(idOrAppID)
	}
	if service, ok := d.FindByClientID(application.AppID); ok {
		if err := d.remove(ctx, kindServices, service.ID); err != nil && resource.KindOf(err) != resource.NotFound {
			return err
		}
	}
	return d.remove(ctx, kindApplications, application.ID)
}

// Application finds an application by object id or client id.
func (d *Directory) Application(idOrAppID string) (ApplicationObject, bool) {
	return get(d, d.applications, d.applicationID(idOrAppID))
}

// Applications lists all applications, ordered by object id.
func (d *Directory) Applications() []ApplicationObject { return list(d, d.applications) }

func (d *Directory) applicationID(idOrAppID string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	lower := strings.ToLower(idOrAppID)
	if id, ok := d.byAppID[lower]; ok {
		return id
	}
	return lower
}

// AddPassword makes a client secret and returns it, once. A zero end is two years from now.
func (d *Directory) AddPassword(ctx context.Context, idOrAppID, displayName string, end time.Time) (secret string, credential PasswordCredential, err error) {
	now := d.clock().UTC()
	if end.IsZero() {
		end = now.Add(defaultSecretLifetime)
	}
	if !end.After(now) {
		return "", PasswordCredential{}, resource.Invalidf("Request_BadRequest", "endDateTime %s is not in the future.", end.Format(time.RFC3339)).At("endDateTime")
	}
	secret = newSecret()
	hash := sha256.Sum256([]byte(secret))
	credential = PasswordCredential{
		KeyID: uuid.NewString(), DisplayName: displayName, Hint: secret[:3], Start: now, End: end.UTC(), Hash: hash[:],
	}
	_, err = edit(ctx, d, d.applications, kindApplications, d.applicationID(idOrAppID), func(a *ApplicationObject) error {
		a.Passwords = append(a.Passwords, credential)
		return nil
	})
	if err != nil {
		return "", PasswordCredential{}, err
	}
	return secret, credential, nil
}

// RemovePassword takes a client secret away; it is refused from then on.
func (d *Directory) RemovePassword(ctx context.Context, idOrAppID, keyID string) error {
	_, err := edit(ctx, d, d.applications, kindApplications, d.applicationID(idOrAppID), func(a *ApplicationObject) error {
		before := len(a.Passwords)
		a.Passwords = slices.DeleteFunc(a.Passwords, func(p PasswordCredential) bool { return sameID(p.KeyID, keyID) })
		if len(a.Passwords) == before {
			return resource.NotFoundf("Request_ResourceNotFound", "No password credential found with keyId %s.", keyID).At("keyId")
		}
		return nil
	})
	return err
}

// AddCertificate registers a certificate (X.509 in DER, with an RSA key of at least 2048 bits) to sign client assertions.
func (d *Directory) AddCertificate(ctx context.Context, idOrAppID, displayName string, der []byte) (KeyCredential, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return KeyCredential{}, resource.Invalidf("Request_BadRequest", "key is not an X.509 certificate in DER form: %v.", err).At("key")
	}
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < 2048 {
		return KeyCredential{}, resource.Invalidf("Request_BadRequest", "key must hold a certificate with an RSA key of at least 2048 bits.").At("key")
	}
	short, long := sha1.Sum(der), sha256.Sum256(der) //nolint:gosec // x5t is defined as a SHA-1
	credential := KeyCredential{
		KeyID: uuid.NewString(), DisplayName: displayName, Certificate: der, ThumbprintSHA1: short[:], ThumbprintSHA256: long[:],
		Start: certificate.NotBefore.UTC(), End: certificate.NotAfter.UTC(),
	}
	_, err = edit(ctx, d, d.applications, kindApplications, d.applicationID(idOrAppID), func(a *ApplicationObject) error {
		a.Keys = append(a.Keys, credential)
		return nil
	})
	return credential, err
}

// RemoveCertificate takes a certificate away; assertions that it signed are refused from then on.
func (d *Directory) RemoveCertificate(ctx context.Context, idOrAppID, keyID string) error {
	_, err := edit(ctx, d, d.applications, kindApplications, d.applicationID(idOrAppID), func(a *ApplicationObject) error {
		before := len(a.Keys)
		a.Keys = slices.DeleteFunc(a.Keys, func(k KeyCredential) bool { return sameID(k.KeyID, keyID) })
		if len(a.Keys) == before {
			return resource.NotFoundf("Request_ResourceNotFound", "No key credential found with keyId %s.", keyID).At("keyId")
		}
		return nil
	})
	return err
}

// SetFederatedCredentials replaces an application's federated credentials.
func (d *Directory) SetFederatedCredentials(ctx context.Context, idOrAppID string, credentials []FederatedCredential) error {
	if err := checkFederated(credentials); err != nil {
		return err
	}
	_, err := edit(ctx, d, d.applications, kindApplications, d.applicationID(idOrAppID), func(a *ApplicationObject) error {
		a.FederatedCredentials = slices.Clone(credentials)
		return nil
	})
	return err
}

// checkFederated applies the rules of federated credentials; each is compared exactly with a token's claims later.
func checkFederated(credentials []FederatedCredential) error {
	if len(credentials) > maxFederated {
		return resource.Invalidf("Request_BadRequest", "there are %d federated credentials; at most %d are allowed.", len(credentials), maxFederated)
	}
	for i, c := range credentials {
		switch {
		case c.Name == "":
			return resource.Invalidf("Request_BadRequest", "a federated credential must have a name.").At("name")
		case !strings.HasPrefix(c.Issuer, "https://") || len(c.Issuer) == len("https://"):
			return resource.Invalidf("Request_BadRequest", "issuer %q of federated credential %q must be an https:// address.", c.Issuer, c.Name).At("issuer")
		case c.Subject == "":
			return resource.Invalidf("Request_BadRequest", "federated credential %q must name a subject.", c.Name).At("subject")
		case len(c.Audiences) == 0 || slices.Contains(c.Audiences, ""):
			return resource.Invalidf("Request_BadRequest", "federated credential %q must name an audience, mostly api://AzureADTokenExchange.", c.Name).At("audiences")
		}
		for _, other := range credentials[:i] {
			if other.Issuer == c.Issuer && other.Subject == c.Subject {
				return resource.Conflictf("Request_MultipleObjectsWithSameKeyValue",
					"the federated credentials %q and %q have the same issuer and subject; each pair may occur once.", other.Name, c.Name)
			}
		}
	}
	return nil
}

// newSecret makes a secret that begins with a letter or digit: command lines take a leading '-' for a flag.
func newSecret() string {
	for {
		if secret := randomText(30); secret[0] != '-' && secret[0] != '_' {
			return secret
		}
	}
}

// randomText gives n random bytes as URL-safe text.
func randomText(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}
