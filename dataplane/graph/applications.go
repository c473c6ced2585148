package graph

import (
	"context"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

type applicationView struct {
	annotations
	ID             string         `json:"id"`
	AppID          string         `json:"appId"`
	Created        time.Time      `json:"createdDateTime"`
	DisplayName    string         `json:"displayName"`
	IdentifierURIs []string       `json:"identifierUris"`
	PublicClient   *bool          `json:"isFallbackPublicClient"`
	SignInAudience string         `json:"signInAudience"`
	Keys           []keyView      `json:"keyCredentials"`
	Passwords      []passwordView `json:"passwordCredentials"`
}

func viewApplication(_ *identity.Directory, a *identity.ApplicationObject) view {
	v := &applicationView{
		annotations: annotations{Type: "#microsoft.graph.application"}, ID: a.ID, AppID: a.AppID, Created: a.Created,
		DisplayName: a.DisplayName, IdentifierURIs: append([]string{}, a.IdentifierURIs...), SignInAudience: "AzureADMyOrg",
		Keys: viewKeys(a.Keys), Passwords: viewPasswords(a.Passwords),
	}
	if a.PublicClient {
		v.PublicClient = &a.PublicClient
	}
	return v
}

var applications = &entity[identity.ApplicationObject]{
	properties: map[string]kind{"id": text, "appId": text, "displayName": text, "signInAudience": text, "identifierUris": texts},
	value: func(_ *identity.Directory, a *identity.ApplicationObject, property string) any {
		switch property {
		case "id":
			return a.ID
		case "appId":
			return a.AppID
		case "displayName":
			return a.DisplayName
		case "signInAudience":
			return "AzureADMyOrg"
		case "identifierUris":
			return a.IdentifierURIs
		}
		return nil
	},
	id:   func(a *identity.ApplicationObject) string { return a.ID },
	view: viewApplication,
}

// applicationIgnored are the properties that Graph's applications have and this directory keeps nothing of.
var applicationIgnored = []string{
	"addIns", "api", "appRoles", "defaultRedirectUri", "description", "groupMembershipClaims", "info", "isDeviceOnlyAuthSupported", "logo",
	"nativeAuthenticationApisEnabled", "notes", "oauth2RequirePostResponse", "optionalClaims", "owners@odata.bind", "parentalControlSettings", "publicClient",
	"requestSignatureVerification", "requiredResourceAccess", "samlMetadataUrl", "serviceManagementReference", "servicePrincipalLockConfiguration",
	"spa", "tags", "tokenEncryptionKeyId", "verifiedPublisher", "web",
}

func listApplications(s *Server, _ context.Context, q *request) (answer, error) {
	return listed(s, q, applications, "applications", false, s.Directory.Applications, func(property, value string) ([]identity.ApplicationObject, bool) {
		if property != "appId" && property != "id" {
			return nil, false
		}
		return one(s.Directory.Application(value)), true
	})
}

// application finds the application that the path names by object id, or by applications(appId='…').
func (s *Server) application(q *request) (identity.ApplicationObject, error) {
	at := q.at[0]
	a, ok := s.Directory.Application(at.value)
	if !ok || !named(at, a.ID, a.AppID) {
		return identity.ApplicationObject{}, absent(at.value)
	}
	return a, nil
}

// named tells whether a variable names the object with that id and client id.
func named(at variable, id, appID string) bool {
	if at.key == "" {
		return strings.EqualFold(at.value, id)
	}
	return strings.EqualFold(at.key, "appId") && strings.EqualFold(at.value, appID)
}

func getApplication(s *Server, _ context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	return q.single(viewApplication(s.Directory, &a), "applications", false)
}

// applicationFields is what a body says about an application.
type applicationFields struct {
	displayName    *string
	identifierURIs []string
	public         *bool
	keys           *newKeys // nil when the body says nothing of certificates
}

func readApplication(q *request, creating bool) (applicationFields, error) {
	var out applicationFields
	f, err := readBody(q.http)
	if err != nil {
		return out, err
	}
	name, given, err := f.text("displayName")
	if err != nil {
		return out, err
	}
	if given {
		out.displayName = &name
	} else if creating {
		return out, resource.Invalidf(badRequest, "A value is required for property 'displayName' of the request body.").At("displayName")
	}
	uris, given, err := f.texts("identifierUris")
	if err != nil {
		return out, err
	}
	if given {
		out.identifierURIs = append([]string{}, uris...)
	}
	public, given, err := f.flag("isFallbackPublicClient")
	if err != nil {
		return out, err
	}
	if given {
		out.public = &public
	}
	audience, given, err := f.text("signInAudience")
	if err != nil {
		return out, err
	}
	if given && audience != "AzureADMyOrg" {
		return out, resource.Invalidf(badRequest, "signInAudience '%s' is not offered: this directory has one tenant, so it is AzureADMyOrg.", audience).At("signInAudience")
	}
	if out.keys, err = readKeys(f); err != nil {
		return out, err
	}
	if passwords, _, err := f.objects("passwordCredentials"); err != nil || len(passwords) > 0 {
		if err == nil {
			err = resource.Invalidf(badRequest, "passwordCredentials cannot be set here: the directory makes the secret; use addPassword and removePassword.").At("passwordCredentials")
		}
		return out, err
	}
	return out, f.done(applicationIgnored...)
}

func (a applicationFields) apply(to *identity.ApplicationObject) {
	if a.displayName != nil {
		to.DisplayName = *a.displayName
	}
	if a.identifierURIs != nil {
		to.IdentifierURIs = a.identifierURIs
	}
	if a.public != nil {
		to.PublicClient = *a.public
	}
}

func createApplication(s *Server, ctx context.Context, q *request) (answer, error) {
	given, err := readApplication(q, true)
	if err != nil {
		return answer{}, err
	}
	if err := given.keys.check(nil); err != nil {
		return answer{}, err
	}
	made, err := s.Directory.CreateApplication(ctx, *given.displayName)
	if err != nil {
		return answer{}, err
	}
	if err := s.finish(ctx, made, given); err != nil {
		// What is half made must not stay: the caller was told that it was refused.
		if undo := s.Directory.DeleteApplication(context.WithoutCancel(ctx), made.ID); undo != nil {
			s.Log.Error("graph: an application that could not be completed stays", "application", made.ID, "error", undo)
		}
		return answer{}, err
	}
	made, _ = s.Directory.Application(made.ID)
	return q.created(viewApplication(s.Directory, &made), "applications", made.ID)
}

// finish writes what a body says to an application that exists.
func (s *Server) finish(ctx context.Context, a identity.ApplicationObject, given applicationFields) error {
	if given.displayName != nil || given.identifierURIs != nil || given.public != nil {
		if _, err := s.Directory.UpdateApplication(ctx, a.ID, given.apply); err != nil {
			return err
		}
	}
	return s.replaceKeys(ctx, a, given.keys)
}

func updateApplication(s *Server, ctx context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	given, err := readApplication(q, false)
	if err != nil {
		return answer{}, err
	}
	if err := given.keys.check(a.Keys); err != nil {
		return answer{}, err
	}
	return answer{}, s.finish(ctx, a, given)
}

func deleteApplication(s *Server, ctx context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.DeleteApplication(ctx, a.ID)
}

func addApplicationPassword(s *Server, ctx context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	return s.addPassword(ctx, q, a)
}

func removeApplicationPassword(s *Server, ctx context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	return s.removePassword(ctx, q, a)
}

func applicationOwners(s *Server, ctx context.Context, q *request) (answer, error) {
	if _, err := s.application(q); err != nil {
		return answer{}, err
	}
	return owned(s, ctx, q)
}
