package graph

import (
	"context"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// serviceView shows a service principal. Its credentials are those of its application: there are no others.
type serviceView struct {
	annotations
	ID               string         `json:"id"`
	AccountEnabled   bool           `json:"accountEnabled"`
	AlternativeNames []string       `json:"alternativeNames"`
	AppDisplayName   string         `json:"appDisplayName"`
	AppID            string         `json:"appId"`
	AppOwner         string         `json:"appOwnerOrganizationId"`
	Created          time.Time      `json:"createdDateTime"`
	DisplayName      string         `json:"displayName"`
	Names            []string       `json:"servicePrincipalNames"`
	Type             string         `json:"servicePrincipalType"`
	SignInAudience   *string        `json:"signInAudience"`
	Tags             []string       `json:"tags"`
	Keys             []keyView      `json:"keyCredentials"`
	Passwords        []passwordView `json:"passwordCredentials"`
}

func viewService(d *identity.Directory, p *identity.ServicePrincipalObject) view {
	v := &serviceView{
		annotations: annotations{Type: "#microsoft.graph.servicePrincipal"}, ID: p.ID, AccountEnabled: p.AccountEnabled,
		AlternativeNames: append([]string{}, p.AlternativeNames...), AppDisplayName: p.DisplayName, AppID: p.AppID, AppOwner: d.TenantID(),
		Created: p.Created, DisplayName: p.DisplayName, Names: d.ServicePrincipalNames(*p), Type: p.ServicePrincipalType, Tags: []string{},
		Keys: []keyView{}, Passwords: []passwordView{},
	}
	if p.ServicePrincipalType == identity.TypeApplication {
		v.SignInAudience = orNull("AzureADMyOrg")
		if a, ok := d.Application(p.AppID); ok {
			v.AppDisplayName, v.Keys, v.Passwords = a.DisplayName, viewKeys(a.Keys), viewPasswords(a.Passwords)
		}
	}
	return v
}

var services = &entity[identity.ServicePrincipalObject]{
	properties: map[string]kind{"id": text, "appId": text, "displayName": text, "servicePrincipalType": text, "accountEnabled": flag,
		"servicePrincipalNames": texts, "alternativeNames": texts, "tags": texts},
	value: func(d *identity.Directory, p *identity.ServicePrincipalObject, property string) any {
		switch property {
		case "id":
			return p.ID
		case "appId":
			return p.AppID
		case "displayName":
			return p.DisplayName
		case "servicePrincipalType":
			return p.ServicePrincipalType
		case "accountEnabled":
			return p.AccountEnabled
		case "servicePrincipalNames":
			return d.ServicePrincipalNames(*p)
		case "alternativeNames":
			return p.AlternativeNames
		}
		return nil
	},
	id:   func(p *identity.ServicePrincipalObject) string { return p.ID },
	view: viewService,
}

// serviceIgnored are the properties that Graph's service principals have and this directory keeps nothing of.
var serviceIgnored = []string{
	"addIns", "appRoleAssignmentRequired", "appRoles", "alternativeNames", "customSecurityAttributes", "description", "disabledByMicrosoftStatus", "homepage",
	"info", "loginUrl", "logoutUrl", "notes", "notificationEmailAddresses", "oauth2PermissionScopes", "owners@odata.bind",
	"preferredSingleSignOnMode", "preferredTokenSigningKeyThumbprint", "replyUrls", "samlSingleSignOnSettings", "tags", "tokenEncryptionKeyId",
}

func listServices(s *Server, _ context.Context, q *request) (answer, error) {
	return listed(s, q, services, "servicePrincipals", false, s.Directory.ServicePrincipals, func(property, value string) ([]identity.ServicePrincipalObject, bool) {
		switch property {
		case "servicePrincipalNames":
			return one(s.Directory.FindByServicePrincipalName(value)), true
		case "appId", "id":
			return one(s.Directory.ServicePrincipal(value)), true
		}
		return nil, false
	})
}

// service finds the service principal that the path names by object id, or by servicePrincipals(appId='…').
func (s *Server) service(q *request) (identity.ServicePrincipalObject, error) {
	at := q.at[0]
	p, ok := s.Directory.ServicePrincipal(at.value)
	if !ok || !named(at, p.ID, p.AppID) {
		return identity.ServicePrincipalObject{}, absent(at.value)
	}
	return p, nil
}

// changeable finds a service principal that may be changed here, and the application that its credentials belong to.
func (s *Server) changeable(q *request) (identity.ServicePrincipalObject, identity.ApplicationObject, error) {
	p, err := s.service(q)
	if err != nil {
		return p, identity.ApplicationObject{}, err
	}
	if p.ServicePrincipalType != identity.TypeApplication {
		return p, identity.ApplicationObject{}, resource.Invalidf(badRequest,
			"The service principal %s belongs to the managed identity %s and cannot be changed here; change or delete that resource instead.", p.ID, p.ResourceID)
	}
	a, ok := s.Directory.Application(p.AppID)
	if !ok {
		return p, a, absent(p.AppID)
	}
	return p, a, nil
}

func getService(s *Server, _ context.Context, q *request) (answer, error) {
	p, err := s.service(q)
	if err != nil {
		return answer{}, err
	}
	return q.single(viewService(s.Directory, &p), "servicePrincipals", false)
}

// serviceSettings reads what can be said of a service principal besides its application.
func serviceSettings(f *fields, a identity.ApplicationObject) (enabled *bool, err error) {
	value, given, err := f.flag("accountEnabled")
	if err != nil {
		return nil, err
	}
	if given {
		enabled = &value
	}
	name, given, err := f.text("displayName")
	if err != nil {
		return nil, err
	}
	if given && name != a.DisplayName {
		return nil, resource.Invalidf(badRequest, "displayName of a service principal is that of its application; change /applications/%s.", a.ID).At("displayName")
	}
	kind, given, err := f.text("servicePrincipalType")
	if err != nil {
		return nil, err
	}
	if given && kind != identity.TypeApplication {
		return nil, resource.Invalidf(badRequest, "servicePrincipalType must be %s; managed identities are made with the resource that carries them.", identity.TypeApplication).At("servicePrincipalType")
	}
	return enabled, nil
}

func createService(s *Server, ctx context.Context, q *request) (answer, error) {
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	appID, err := f.required("appId")
	if err != nil {
		return answer{}, err
	}
	a, _ := s.Directory.Application(appID)
	enabled, err := serviceSettings(f, a)
	if err != nil {
		return answer{}, err
	}
	if err := f.done(serviceIgnored...); err != nil {
		return answer{}, err
	}
	made, err := s.Directory.CreateServicePrincipal(ctx, appID)
	if err != nil {
		return answer{}, err
	}
	if enabled != nil && !*enabled {
		if err := s.Directory.SetServicePrincipalEnabled(ctx, made.ID, false); err != nil {
			return answer{}, err
		}
		made.AccountEnabled = false
	}
	return q.created(viewService(s.Directory, &made), "servicePrincipals", made.ID)
}

func updateService(s *Server, ctx context.Context, q *request) (answer, error) {
	p, a, err := s.changeable(q)
	if err != nil {
		return answer{}, err
	}
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	enabled, err := serviceSettings(f, a)
	if err != nil {
		return answer{}, err
	}
	keys, err := readKeys(f)
	if err != nil {
		return answer{}, err
	}
	if err := keys.check(a.Keys); err != nil {
		return answer{}, err
	}
	if err := f.done(serviceIgnored...); err != nil {
		return answer{}, err
	}
	if err := s.replaceKeys(ctx, a, keys); err != nil || enabled == nil {
		return answer{}, err
	}
	return answer{}, s.Directory.SetServicePrincipalEnabled(ctx, p.ID, *enabled)
}

func deleteService(s *Server, ctx context.Context, q *request) (answer, error) {
	p, err := s.service(q)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.DeleteServicePrincipal(ctx, p.ID)
}

func addServicePassword(s *Server, ctx context.Context, q *request) (answer, error) {
	_, a, err := s.changeable(q)
	if err != nil {
		return answer{}, err
	}
	return s.addPassword(ctx, q, a)
}

func removeServicePassword(s *Server, ctx context.Context, q *request) (answer, error) {
	_, a, err := s.changeable(q)
	if err != nil {
		return answer{}, err
	}
	return s.removePassword(ctx, q, a)
}

func serviceOwners(s *Server, ctx context.Context, q *request) (answer, error) {
	if _, err := s.service(q); err != nil {
		return answer{}, err
	}
	return owned(s, ctx, q)
}
