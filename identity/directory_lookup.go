package identity

import (
	"sort"
	"strings"
)

// Lookup finds a user, group or service principal by object id, enabled or not, with its groups filled in. The slice of
// groups is shared and must not be changed.
func (d *Directory) Lookup(objectID string) (Principal, bool) {
	p, _, ok := d.lookup(objectID)
	return p, ok
}

// Active is Lookup for those who may act: users and service principals that exist and are enabled.
func (d *Directory) Active(objectID string) (Principal, bool) {
	p, active, ok := d.lookup(objectID)
	return p, ok && active
}

func (d *Directory) lookup(id string) (principal Principal, active, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if p, active, ok := d.find(id); ok {
		return p, active, true
	}
	return d.find(strings.ToLower(id))
}

// find resolves a lower-case id. The caller holds mu, so a principal that is remembered here cannot be outdated: whoever
// changes a membership needs the lock to itself.
func (d *Directory) find(id string) (principal Principal, active, ok bool) {
	if e := d.services[id]; e != nil {
		return remembered(d, e, id, servicePrincipal), e.object.AccountEnabled, true
	}
	if e := d.users[id]; e != nil {
		return remembered(d, e, id, userPrincipal), e.object.AccountEnabled, true
	}
	if e := d.groups[id]; e != nil {
		return remembered(d, e, id, groupPrincipal), false, true
	}
	return Principal{}, false, false
}

func remembered[T any](d *Directory, e *entry[T], id string, describe func(*T) Principal) Principal {
	if r := e.resolved.Load(); r != nil && r.generation == d.generation {
		return r.principal
	}
	r := &resolved{generation: d.generation, principal: describe(&e.object)}
	r.principal.ID, r.principal.TenantID, r.principal.Groups = id, d.tenantID, d.closure(id)
	e.resolved.Store(r)
	return r.principal
}

func servicePrincipal(s *ServicePrincipalObject) Principal {
	return Principal{Type: ServicePrincipal, ClientID: s.AppID, Name: s.DisplayName, ResourceID: s.ResourceID}
}

func userPrincipal(u *UserObject) Principal { return Principal{Type: User, Name: u.UserPrincipalName} }

func groupPrincipal(g *GroupObject) Principal { return Principal{Type: Group, Name: g.DisplayName} }

// FindByClientID finds the service principal of a client id.
func (d *Directory) FindByClientID(clientID string) (Principal, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.byClientID[strings.ToLower(clientID)]
	if !ok {
		return Principal{}, false
	}
	p, _, ok := d.find(id)
	return p, ok
}

// FindByUPN finds a user by user principal name, in any case.
func (d *Directory) FindByUPN(upn string) (Principal, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.byUPN[strings.ToLower(upn)]
	if !ok {
		return Principal{}, false
	}
	p, _, ok := d.find(id)
	return p, ok
}

// FindByName finds principals of every type by display name, in any case, ordered by object id.
func (d *Directory) FindByName(displayName string) []Principal {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []string
	for id, e := range d.users {
		if strings.EqualFold(e.object.DisplayName, displayName) {
			ids = append(ids, id)
		}
	}
	for id, e := range d.groups {
		if strings.EqualFold(e.object.DisplayName, displayName) {
			ids = append(ids, id)
		}
	}
	for id, e := range d.services {
		if strings.EqualFold(e.object.DisplayName, displayName) {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	found := make([]Principal, 0, len(ids))
	for _, id := range ids {
		p, _, _ := d.find(id)
		found = append(found, p)
	}
	return found
}

// Search finds whom an --assignee means: by object id, client id, user principal name, or service principal name. When
// none of them fits it looks for the display name, where several may answer.
func (d *Directory) Search(assignee string) []Principal {
	assignee = strings.TrimSpace(assignee)
	if p, ok := d.Lookup(assignee); ok {
		return []Principal{p}
	}
	if p, ok := d.FindByClientID(assignee); ok {
		return []Principal{p}
	}
	if p, ok := d.FindByUPN(assignee); ok {
		return []Principal{p}
	}
	if service, ok := d.FindByServicePrincipalName(assignee); ok {
		if p, ok := d.Lookup(service.ID); ok {
			return []Principal{p}
		}
	}
	return d.FindByName(assignee)
}
