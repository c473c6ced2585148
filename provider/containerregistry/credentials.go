package containerregistry

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// passwordNames are what the two passwords of an admin user are called, in their order.
var passwordNames = []string{"password", "password2"}

func newPassword() string { return rand.Text() + rand.Text() }

// setPasswords seals both passwords and begins a new generation.
func (d Deps) setPasswords(id resource.ID, own *Own, passwords ...string) error {
	sealed, err := d.Sealer.Seal([]byte(strings.Join(passwords, "\n")), sealedFor(id, own))
	own.Passwords, own.Generation = sealed, uuid.NewString()
	return err
}

func (d Deps) passwords(id resource.ID, own *Own) ([]string, error) {
	text, err := d.Sealer.Open(own.Passwords, sealedFor(id, own))
	return strings.Split(string(text), "\n"), err
}

func sealedFor(id resource.ID, own *Own) []byte {
	return []byte(id.Key() + "/" + own.Key + "/passwords")
}

// isPassword compares in a time that tells nothing of the passwords.
func (d Deps) isPassword(id resource.ID, own *Own, password string) (bool, error) {
	all, err := d.passwords(id, own)
	if err != nil {
		return false, err
	}
	same := 0
	for _, one := range all {
		same |= subtle.ConstantTimeCompare([]byte(one), []byte(password))
	}
	return same == 1, nil
}

// adminOff is the refusal of all that needs passwords while there are none.
func adminOff(r *arm.Resource[Registry]) error {
	return resource.Invalidf("UnAuthorizedForCredentialOperations",
		"Cannot perform credential operations for %s as admin user is disabled, so it has no passwords. Sign in with an identity instead: alvara acr login -n %s. Whoever insists on passwords can turn the admin user on: alvara acr update -n %s --admin-enabled true",
		r.ID, r.Name, r.Name)
}

func (d Deps) listCredentials(_ context.Context, _ *arm.Call, r *arm.Resource[Registry]) (any, error) {
	own := r.Properties.Own
	if own == nil || own.Generation == "" {
		return nil, adminOff(r)
	}
	passwords, err := d.passwords(r.ID, own)
	if err != nil {
		return nil, err
	}
	return shownPasswords(r, passwords), nil
}

func shownPasswords(r *arm.Resource[Registry], passwords []string) map[string]any {
	values := make([]any, len(passwords))
	for i, password := range passwords {
		values[i] = map[string]any{"name": passwordNames[i], "value": password}
	}
	return map[string]any{"username": r.Name, "passwords": values}
}

// regenerateCredential renews one password, and ends whatever was signed in with either.
func (d Deps) regenerateCredential(ctx context.Context, call *arm.Call, r *arm.Resource[Registry]) (any, error) {
	for attempt := 0; ; attempt++ {
		shown, err := d.regenerate(ctx, call, r)
		if resource.KindOf(err) != resource.PreconditionFailed || attempt == 20 {
			return shown, err
		}
		// Somebody changed the registry in between: look at it again.
		doc, err := call.Manager.Store.Get(ctx, r.ID.Key())
		if err != nil {
			return nil, err
		}
		r = &arm.Resource[Registry]{}
		if err := json.Unmarshal(doc.Body, r); err != nil {
			return nil, err
		}
		r.ETag = doc.ETag
	}
}

func (d Deps) regenerate(ctx context.Context, call *arm.Call, r *arm.Resource[Registry]) (any, error) {
	own := r.Properties.Own
	if own == nil || own.Generation == "" {
		return nil, adminOff(r)
	}
	var body struct {
		Name string `json:"name"`
	}
	if err := arm.ReadBody(call.Body, &body); err != nil {
		return nil, err
	}
	passwords, err := d.passwords(r.ID, own)
	if err != nil {
		return nil, err
	}
	known := false
	for i, name := range passwordNames {
		if strings.EqualFold(name, body.Name) {
			passwords[i], known = newPassword(), true
		}
	}
	if !known {
		return nil, resource.Invalidf("InvalidPasswordName", "name is %q; password or password2 was expected", body.Name).At("name")
	}
	if err := d.setPasswords(r.ID, own, passwords...); err != nil {
		return nil, err
	}
	put, err := arm.Document(r)
	if err != nil {
		return nil, err
	}
	put.IfMatch = r.ETag
	if _, err := call.Manager.Store.Apply(ctx, put); err != nil {
		return nil, err
	}
	return shownPasswords(r, passwords), nil
}
