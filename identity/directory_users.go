package identity

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/google/uuid"
)

// NewUser is what a user is created from.
type NewUser struct {
	UserPrincipalName string // required
	DisplayName       string // required
	MailNickname      string // "" takes the name before the @
	Password          string // "" for none: the user cannot sign in by password
	Disabled          bool
}

// UserUpdate changes the fields that are not nil.
type UserUpdate struct {
	UserPrincipalName *string
	DisplayName       *string
	MailNickname      *string
	AccountEnabled    *bool
	Password          *string // "" removes it
}

// CreateUser adds a user.
func (d *Directory) CreateUser(ctx context.Context, from NewUser) (UserObject, error) {
	now := d.clock().UTC()
	user := UserObject{
		ID: uuid.NewString(), UserPrincipalName: from.UserPrincipalName, DisplayName: from.DisplayName,
		MailNickname: from.MailNickname, AccountEnabled: !from.Disabled, Created: now, SessionsValidFrom: now,
	}
	if user.MailNickname == "" {
		user.MailNickname, _, _ = strings.Cut(user.UserPrincipalName, "@")
	}
	if err := checkUser(user); err != nil {
		return UserObject{}, err
	}
	if from.Password != "" {
		hash, err := hashPassword(from.Password)
		if err != nil {
			return UserObject{}, err
		}
		user.PasswordHash = hash
	}
	d.write.Lock()
	defer d.write.Unlock()
	if err := d.checkUPNFree(user.UserPrincipalName, ""); err != nil {
		return UserObject{}, err
	}
	op, err := put(kindUsers, user.ID, user, store.None)
	if err != nil {
		return UserObject{}, err
	}
	if _, err := d.store.Apply(ctx, op); err != nil {
		return UserObject{}, err
	}
	return user, nil
}

// UpdateUser changes a user. Disabling one, or changing the password, ends all sessions: refresh tokens issued before
// stay refused even when the user is enabled again.
func (d *Directory) UpdateUser(ctx context.Context, idOrUPN string, update UserUpdate) (UserObject, error) {
	found, ok := d.User(idOrUPN)
	if !ok {
		return UserObject{}, absent(idOrUPN)
	}
	return edit(ctx, d, d.users, kindUsers, found.ID, func(user *UserObject) error {
		if update.UserPrincipalName != nil {
			if err := d.checkUPNFree(*update.UserPrincipalName, user.ID); err != nil {
				return err
			}
			user.UserPrincipalName = *update.UserPrincipalName
		}
		if update.DisplayName != nil {
			user.DisplayName = *update.DisplayName
		}
		if update.MailNickname != nil {
			user.MailNickname = *update.MailNickname
		}
		if update.AccountEnabled != nil {
			if user.AccountEnabled && !*update.AccountEnabled {
				user.SessionsValidFrom = d.clock().UTC()
			}
			user.AccountEnabled = *update.AccountEnabled
		}
		if update.Password != nil {
			user.PasswordHash, user.SessionsValidFrom = "", d.clock().UTC()
			if *update.Password != "" {
				hash, err := hashPassword(*update.Password)
				if err != nil {
					return err
				}
				user.PasswordHash = hash
			}
		}
		return checkUser(*user)
	})
}

// DeleteUser removes a user, also from all groups. The user's tokens are refused from then on.
func (d *Directory) DeleteUser(ctx context.Context, idOrUPN string) error {
	user, ok := d.User(idOrUPN)
	if !ok {
		return absent(idOrUPN)
	}
	return d.remove(ctx, kindUsers, user.ID)
}

// User finds a user by object id or user principal name, in any case.
func (d *Directory) User(idOrUPN string) (UserObject, bool) {
	if user, ok := get(d, d.users, idOrUPN); ok {
		return user, true
	}
	d.mu.RLock()
	id, ok := d.byUPN[strings.ToLower(idOrUPN)]
	d.mu.RUnlock()
	if !ok {
		return UserObject{}, false
	}
	return get(d, d.users, id)
}

// Users lists all users, ordered by object id.
func (d *Directory) Users() []UserObject { return list(d, d.users) }

func (d *Directory) checkUPNFree(upn, except string) error {
	d.mu.RLock()
	holder, taken := d.byUPN[strings.ToLower(upn)]
	d.mu.RUnlock()
	if taken && holder != except {
		return resource.Conflictf("Request_MultipleObjectsWithSameKeyValue",
			"Another object with the same value for property userPrincipalName already exists: %q; choose another name.", upn).At("userPrincipalName")
	}
	return nil
}

func checkUser(user UserObject) error {
	name, domain, ok := strings.Cut(user.UserPrincipalName, "@")
	if !ok || name == "" || domain == "" || len(user.UserPrincipalName) > 113 ||
		strings.ContainsFunc(user.UserPrincipalName, func(r rune) bool { return r <= ' ' || r == '/' || r == '\\' || r == 0x7f }) || strings.Contains(domain, "@") {
		return resource.Invalidf("Request_BadRequest",
			"userPrincipalName %q must have the form name@domain, without spaces or slashes, with at most 113 characters.", user.UserPrincipalName).At("userPrincipalName")
	}
	return checkDisplayName(user.DisplayName)
}
