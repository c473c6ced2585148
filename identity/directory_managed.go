package identity

import (
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/google/uuid"
)

const typeUserAssigned = resource.Type("Microsoft.ManagedIdentity/userAssignedIdentities")

// ManagedIdentity names the principal behind a managed identity.
type ManagedIdentity struct {
	PrincipalID string // object id of its service principal
	ClientID    string
	TenantID    string
}

// ManagedIdentityOps makes a new principal for the identity of a resource and the changes that create it, for the provider
// to commit together with its own document. Each call gives new ids: an identity that is made again is somebody else.
// The resource is a user-assigned identity itself, or the one that a system-assigned identity belongs to.
func (d *Directory) ManagedIdentityOps(resourceID resource.ID, displayName string) (ManagedIdentity, []store.Op, error) {
	if err := checkDisplayName(displayName); err != nil {
		return ManagedIdentity{}, nil, err
	}
	explicit := "isExplicit=False"
	if resourceID.Type().Is(typeUserAssigned) {
		explicit = "isExplicit=True"
	}
	service := ServicePrincipalObject{
		ID: uuid.NewString(), AppID: uuid.NewString(), DisplayName: displayName, ServicePrincipalType: TypeManagedIdentity,
		AccountEnabled: true, Created: d.clock().UTC(),
		AlternativeNames: []string{explicit, resourceID.String()}, ResourceID: resourceID.String(),
	}
	op, err := put(kindServices, service.ID, service, store.None)
	if err != nil {
		return ManagedIdentity{}, nil, err
	}
	return ManagedIdentity{PrincipalID: service.ID, ClientID: service.AppID, TenantID: d.tenantID}, []store.Op{op}, nil
}

// RemoveOps gives the changes that remove a managed identity's principal, for the provider to commit together with its
// own. Its tokens are refused from then on. A principal that is gone already needs no change. Group memberships that
// name it are left to be ignored.
func (d *Directory) RemoveOps(principalID string) []store.Op {
	id := strings.ToLower(principalID)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.services[id] == nil {
		return nil
	}
	return []store.Op{store.Delete{Key: key(kindServices, id)}}
}

// SetFederatedCredentialsOps gives the change that replaces the federated credentials of a user-assigned identity. It
// fails with PreconditionFailed when the principal is changed in between.
func (d *Directory) SetFederatedCredentialsOps(principalID string, credentials []FederatedCredential) ([]store.Op, error) {
	if err := checkFederated(credentials); err != nil {
		return nil, err
	}
	id := strings.ToLower(principalID)
	d.mu.RLock()
	e := d.services[id]
	d.mu.RUnlock()
	if e == nil {
		return nil, absent(principalID)
	}
	service := clone(&e.object)
	if service.ServicePrincipalType != TypeManagedIdentity {
		return nil, resource.Invalidf("Request_BadRequest", "%s is an application's service principal; set the credentials on its application.", principalID)
	}
	service.FederatedCredentials = slices.Clone(credentials)
	op, err := put(kindServices, id, service, e.etag)
	if err != nil {
		return nil, err
	}
	return []store.Op{op}, nil
}

// FindByResourceID finds the principal of the managed identity that a resource carries.
func (d *Directory) FindByResourceID(resourceID string) (Principal, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, e := range d.services {
		if e.object.ResourceID != "" && strings.EqualFold(e.object.ResourceID, resourceID) {
			p, _, ok := d.find(id)
			return p, ok
		}
	}
	return Principal{}, false
}
