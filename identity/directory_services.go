package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/google/uuid"
)

// CreateServicePrincipal makes the principal that an application acts as. A second one for the same application is a
// Conflict.
func (d *Directory) CreateServicePrincipal(ctx context.Context, appID string) (ServicePrincipalObject, error) {
	d.write.Lock()
	defer d.write.Unlock()
	application, ok := d.Application(appID)
	if !ok || !sameID(application.AppID, appID) {
		return ServicePrincipalObject{}, resource.Invalidf("Request_BadRequest",
			"The appId '%s' of the service principal does not reference a valid application object; create the application first.", appID).At("appId")
	}
	if _, exists := d.FindByClientID(appID); exists {
		return ServicePrincipalObject{}, resource.Conflictf("Request_MultipleObjectsWithSameKeyValue",
			"The service principal cannot be created: the appId '%s' has one already.", appID).At("appId")
	}
	service := ServicePrincipalObject{
		ID: uuid.NewString(), AppID: application.AppID, DisplayName: application.DisplayName,
		ServicePrincipalType: TypeApplication, AccountEnabled: true, Created: d.clock().UTC(),
	}
	op, err := put(kindServices, service.ID, service, store.None)
	if err != nil {
		return ServicePrincipalObject{}, err
	}
	if _, err := d.store.Apply(ctx, op); err != nil {
		return ServicePrincipalObject{}, err
	}
	return service, nil
}

// SetServicePrincipalEnabled turns a service principal on or off; its tokens are refused while it is off.
func (d *Directory) SetServicePrincipalEnabled(ctx context.Context, id string, enabled bool) error {
	_, err := edit(ctx, d, d.services, kindServices, id, func(s *ServicePrincipalObject) error {
		s.AccountEnabled = enabled
		return nil
	})
	return err
}

// DeleteServicePrincipal removes an application's service principal. Those of managed identities go with the resource
// that carries them, and are refused here.
func (d *Directory) DeleteServicePrincipal(ctx context.Context, id string) error {
	service, ok := d.ServicePrincipal(id)
	if !ok {
		return absent(id)
	}
	if service.ServicePrincipalType == TypeManagedIdentity {
		return resource.Invalidf("Request_BadRequest",
			"The service principal %s belongs to the managed identity %s; delete that resource instead.", id, service.ResourceID)
	}
	return d.remove(ctx, kindServices, service.ID)
}

// ServicePrincipal finds a service principal by object id or client id.
func (d *Directory) ServicePrincipal(idOrClientID string) (ServicePrincipalObject, bool) {
	d.mu.RLock()
	id, ok := d.byClientID[strings.ToLower(idOrClientID)]
	d.mu.RUnlock()
	if !ok {
		id = idOrClientID
	}
	return get(d, d.services, id)
}

// ServicePrincipals lists all service principals, ordered by object id.
func (d *Directory) ServicePrincipals() []ServicePrincipalObject { return list(d, d.services) }

// ServicePrincipalNames gives the names that a service principal answers to: its client id and its application's
// identifier URIs.
func (d *Directory) ServicePrincipalNames(service ServicePrincipalObject) []string {
	names := []string{service.AppID}
	if application, ok := d.Application(service.AppID); ok {
		names = append(names, application.IdentifierURIs...)
	}
	return names
}

// FindByServicePrincipalName finds a service principal by client id or identifier URI, in any case.
func (d *Directory) FindByServicePrincipalName(name string) (ServicePrincipalObject, bool) {
	if p, ok := d.FindByClientID(name); ok {
		return get(d, d.services, p.ID)
	}
	d.mu.RLock()
	appID := ""
	for _, e := range d.applications {
		if slices.ContainsFunc(e.object.IdentifierURIs, func(uri string) bool { return strings.EqualFold(uri, name) }) {
			appID = e.object.AppID
			break
		}
	}
	id := d.byClientID[appID]
	d.mu.RUnlock()
	return get(d, d.services, id)
}
