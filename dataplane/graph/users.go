package graph

import (
	"context"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

type userView struct {
	annotations
	BusinessPhones    []string  `json:"businessPhones"`
	DisplayName       string    `json:"displayName"`
	GivenName         *string   `json:"givenName"`
	JobTitle          *string   `json:"jobTitle"`
	Mail              *string   `json:"mail"`
	MobilePhone       *string   `json:"mobilePhone"`
	OfficeLocation    *string   `json:"officeLocation"`
	PreferredLanguage *string   `json:"preferredLanguage"`
	Surname           *string   `json:"surname"`
	UserPrincipalName string    `json:"userPrincipalName"`
	ID                string    `json:"id"`
	AccountEnabled    bool      `json:"accountEnabled"`
	MailNickname      string    `json:"mailNickname"`
	UserType          string    `json:"userType"`
	Created           time.Time `json:"createdDateTime"`
}

func viewUser(_ *identity.Directory, u *identity.UserObject) view {
	return &userView{
		annotations: annotations{Type: "#microsoft.graph.user"}, BusinessPhones: []string{}, DisplayName: u.DisplayName,
		UserPrincipalName: u.UserPrincipalName, ID: u.ID, AccountEnabled: u.AccountEnabled, MailNickname: u.MailNickname,
		UserType: "Member", Created: u.Created,
	}
}

var users = &entity[identity.UserObject]{
	properties: map[string]kind{"id": text, "userPrincipalName": text, "displayName": text, "mailNickname": text, "mail": text, "userType": text, "accountEnabled": flag},
	value: func(_ *identity.Directory, u *identity.UserObject, property string) any {
		switch property {
		case "id":
			return u.ID
		case "userPrincipalName":
			return u.UserPrincipalName
		case "displayName":
			return u.DisplayName
		case "mailNickname":
			return u.MailNickname
		case "userType":
			return "Member"
		case "accountEnabled":
			return u.AccountEnabled
		}
		return nil
	},
	id:   func(u *identity.UserObject) string { return u.ID },
	view: viewUser,
}

// userIgnored are the properties that Graph's users have and this directory keeps nothing of.
var userIgnored = []string{
	"aboutMe", "ageGroup", "birthday", "businessPhones", "city", "companyName", "consentProvidedForMinor", "country", "department", "employeeHireDate",
	"employeeId", "employeeOrgData", "employeeType", "faxNumber", "givenName", "hireDate", "interests", "jobTitle", "mail", "mobilePhone", "mySite",
	"officeLocation", "onPremisesExtensionAttributes", "onPremisesImmutableId", "otherMails", "passwordPolicies", "pastProjects", "postalCode",
	"preferredLanguage", "preferredName", "responsibilities", "schools", "showInAddressList", "skills", "state", "streetAddress", "surname",
	"usageLocation", "userType",
}

func listUsers(s *Server, _ context.Context, q *request) (answer, error) {
	return listed(s, q, users, "users", false, s.Directory.Users, func(property, value string) ([]identity.UserObject, bool) {
		if property != "userPrincipalName" && property != "id" {
			return nil, false
		}
		return one(s.Directory.User(value)), true
	})
}

// one makes a list of what was found.
func one[T any](object T, ok bool) []T {
	if !ok {
		return nil
	}
	return []T{object}
}

// user finds the user that the path names by object id or user principal name.
func (s *Server) user(q *request) (identity.UserObject, error) {
	at := q.at[0]
	user, ok := s.Directory.User(at.value)
	if !ok || at.key != "" && !strings.EqualFold(at.key, "userPrincipalName") {
		return user, absent(at.value)
	}
	return user, nil
}

func getUser(s *Server, _ context.Context, q *request) (answer, error) {
	user, err := s.user(q)
	if err != nil {
		return answer{}, err
	}
	return q.single(viewUser(s.Directory, &user), "users", false)
}

func getMe(s *Server, _ context.Context, q *request) (answer, error) {
	user, ok := s.Directory.User(q.who.ID)
	if !ok {
		return answer{}, resource.Invalidf(badPath, "/me request is only valid with delegated authentication flow: '%s' is no user; ask for /servicePrincipals/%s.", q.who.Name, q.who.ID)
	}
	return q.single(viewUser(s.Directory, &user), "users", false)
}

func createUser(s *Server, ctx context.Context, q *request) (answer, error) {
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	from := identity.NewUser{}
	if from.UserPrincipalName, err = f.required("userPrincipalName"); err != nil {
		return answer{}, err
	}
	if from.DisplayName, err = f.required("displayName"); err != nil {
		return answer{}, err
	}
	if from.MailNickname, _, err = f.text("mailNickname"); err != nil {
		return answer{}, err
	}
	enabled, given, err := f.flag("accountEnabled")
	if err != nil {
		return answer{}, err
	}
	from.Disabled = given && !enabled
	password, err := passwordOf(f)
	if err != nil {
		return answer{}, err
	}
	if password != nil {
		from.Password = *password
	}
	if err := f.done(userIgnored...); err != nil {
		return answer{}, err
	}
	user, err := s.Directory.CreateUser(ctx, from)
	if err != nil {
		return answer{}, err
	}
	return q.created(viewUser(s.Directory, &user), "users", user.ID)
}

// passwordOf reads a password profile; nil when there is none.
func passwordOf(f *fields) (*string, error) {
	profile, err := f.object("passwordProfile")
	if err != nil || profile == nil {
		return nil, err
	}
	password, given, err := profile.text("password")
	if err != nil {
		return nil, err
	}
	// Whether the password must be changed on the next sign-in has no meaning here: there is no sign-in page to change it on.
	if err := profile.done("forceChangePasswordNextSignIn", "forceChangePasswordNextSignInWithMfa"); err != nil || !given {
		return nil, err
	}
	if password == "" {
		return nil, resource.Invalidf(badRequest, "The specified password does not comply with password complexity requirements: it is empty.").At("passwordProfile.password")
	}
	return &password, nil
}

func updateUser(s *Server, ctx context.Context, q *request) (answer, error) {
	user, err := s.user(q)
	if err != nil {
		return answer{}, err
	}
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	update := identity.UserUpdate{}
	for name, into := range map[string]**string{"userPrincipalName": &update.UserPrincipalName, "displayName": &update.DisplayName, "mailNickname": &update.MailNickname} {
		value, given, err := f.text(name)
		if err != nil {
			return answer{}, err
		}
		if given {
			*into = &value
		}
	}
	enabled, given, err := f.flag("accountEnabled")
	if err != nil {
		return answer{}, err
	}
	if given {
		update.AccountEnabled = &enabled
	}
	if update.Password, err = passwordOf(f); err != nil {
		return answer{}, err
	}
	if err := f.done(userIgnored...); err != nil {
		return answer{}, err
	}
	_, err = s.Directory.UpdateUser(ctx, user.ID, update)
	return answer{}, err
}

func deleteUser(s *Server, ctx context.Context, q *request) (answer, error) {
	user, err := s.user(q)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.DeleteUser(ctx, user.ID)
}
