package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/google/uuid"
)

// The kinds of document that make up the directory. A document's key is "/" + kind + "/" + object id.
const (
	kindUsers        = "directory/users"
	kindGroups       = "directory/groups"
	kindApplications = "directory/applications"
	kindServices     = "directory/serviceprincipals"
)

// Directory is the register of users, groups, applications and service principals of one tenant. It keeps an index in
// memory that follows the store: a change is in force when the call that made it returns. All methods may be called
// concurrently. What the methods return is the caller's own, except where they say otherwise.
//
// Errors: resource.Error of kind Invalid, NotFound (code "Request_ResourceNotFound") or Conflict (code
// "Request_MultipleObjectsWithSameKeyValue"); anything else is a fault of the store.
type Directory struct {
	store    store.Store
	tenantID string
	clock    func() time.Time

	write sync.Mutex // held while a change is checked and applied, so that uniqueness holds

	mu           sync.RWMutex // guards what follows
	users        map[string]*entry[UserObject]
	groups       map[string]*entry[GroupObject]
	applications map[string]*entry[ApplicationObject]
	services     map[string]*entry[ServicePrincipalObject]
	byUPN        map[string]string              // lower-case user principal name → object id
	byClientID   map[string]string              // client id → service principal's object id
	byAppID      map[string]string              // client id → application's object id
	memberOf     map[string]map[string]struct{} // object id → ids of the groups that name it
	generation   uint64                         // grows when any membership changes
	unreadable   error                          // the first document that could not be read
}

// OpenDirectory reads the directory of a tenant and follows the store from then on. A clock of nil is time.Now.
func OpenDirectory(st store.Store, tenantID string, clock func() time.Time) (*Directory, error) {
	parsed, err := uuid.Parse(tenantID)
	if err != nil {
		return nil, resource.Invalidf("InvalidTenantId", "the tenant id %q is not a GUID", tenantID)
	}
	if clock == nil {
		clock = time.Now
	}
	d := &Directory{
		store: st, tenantID: parsed.String(), clock: clock,
		users: map[string]*entry[UserObject]{}, groups: map[string]*entry[GroupObject]{},
		applications: map[string]*entry[ApplicationObject]{}, services: map[string]*entry[ServicePrincipalObject]{},
		byUPN: map[string]string{}, byClientID: map[string]string{}, byAppID: map[string]string{},
		memberOf: map[string]map[string]struct{}{},
	}
	kinds := []string{kindUsers, kindGroups, kindApplications, kindServices}
	if err := st.Follow(kinds, d.follow); err != nil {
		return nil, fmt.Errorf("directory: follow the store: %w", err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.unreadable != nil {
		return nil, d.unreadable
	}
	return d, nil
}

// TenantID is the tenant that the directory describes.
func (d *Directory) TenantID() string { return d.tenantID }

func (d *Directory) follow(changes []store.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, change := range changes {
		d.index(change)
	}
}

// index takes one change into the index. Nobody but the directory writes these documents; one that cannot be read keeps
// the directory from opening, and later on leaves whom it describes unknown.
func (d *Directory) index(change store.Change) {
	id := change.Key[strings.LastIndexByte(change.Key, '/')+1:]
	switch change.Kind {
	case kindUsers:
		if old := d.users[id]; old != nil {
			delete(d.byUPN, strings.ToLower(old.object.UserPrincipalName))
		}
		if user := keep(d, d.users, id, change); user != nil {
			d.byUPN[strings.ToLower(user.UserPrincipalName)] = id
		}
	case kindGroups:
		if old := d.groups[id]; old != nil {
			for _, member := range old.object.Members {
				delete(d.memberOf[member], id)
				if len(d.memberOf[member]) == 0 {
					delete(d.memberOf, member)
				}
			}
		}
		if group := keep(d, d.groups, id, change); group != nil {
			for _, member := range group.Members {
				if d.memberOf[member] == nil {
					d.memberOf[member] = map[string]struct{}{}
				}
				d.memberOf[member][id] = struct{}{}
			}
		}
		d.generation++
	case kindApplications:
		if old := d.applications[id]; old != nil {
			delete(d.byAppID, old.object.AppID)
		}
		if application := keep(d, d.applications, id, change); application != nil {
			d.byAppID[application.AppID] = id
		}
	case kindServices:
		if old := d.services[id]; old != nil {
			delete(d.byClientID, old.object.AppID)
		}
		if service := keep(d, d.services, id, change); service != nil {
			d.byClientID[service.AppID] = id
		}
	}
}

func keep[T any](d *Directory, entries map[string]*entry[T], id string, change store.Change) *T {
	delete(entries, id)
	if change.Deleted {
		return nil
	}
	e := &entry[T]{etag: change.ETag}
	if err := json.Unmarshal(change.Body, &e.object); err != nil {
		if d.unreadable == nil {
			d.unreadable = fmt.Errorf("directory: the document %s cannot be read: %w", change.Key, err)
		}
		return nil
	}
	entries[id] = e
	return &e.object
}

// clone copies an object, so that what a caller does with it stays with the caller.
func clone[T any](object *T) T {
	var out T
	body, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil {
		panic(fmt.Sprintf("identity: a directory object does not survive JSON: %v", err)) // the types hold plain data only
	}
	return out
}

func list[T any](d *Directory, entries map[string]*entry[T]) []T {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]T, 0, len(entries))
	for _, id := range sortedKeys(entries) {
		out = append(out, clone(&entries[id].object))
	}
	return out
}

func get[T any](d *Directory, entries map[string]*entry[T], id string) (T, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := entries[strings.ToLower(id)]; e != nil {
		return clone(&e.object), true
	}
	var none T
	return none, false
}

// put makes the op that writes an object; etag as in store.Put's IfMatch.
func put(kind, id string, object any, etag string) (store.Op, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("directory: %s %s: %w", kind, id, err)
	}
	return store.Put{Key: key(kind, id), Kind: kind, Body: body, IfMatch: etag}, nil
}

func key(kind, id string) string { return "/" + kind + "/" + id }

// edit changes one object under the write lock.
func edit[T any](ctx context.Context, d *Directory, entries map[string]*entry[T], kind, id string, change func(*T) error) (T, error) {
	d.write.Lock()
	defer d.write.Unlock()
	var none T
	id = strings.ToLower(id)
	d.mu.RLock()
	e := entries[id]
	d.mu.RUnlock()
	if e == nil {
		return none, absent(id)
	}
	object := clone(&e.object)
	if err := change(&object); err != nil {
		return none, err
	}
	op, err := put(kind, id, object, e.etag)
	if err != nil {
		return none, err
	}
	if _, err := d.store.Apply(ctx, op); err != nil {
		return none, err
	}
	return clone(&object), nil
}

func absent(id string) *resource.Error {
	return resource.NotFoundf("Request_ResourceNotFound",
		"Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func checkDisplayName(name string) error {
	if strings.TrimSpace(name) == "" || len(name) > 256 {
		return resource.Invalidf("Request_BadRequest",
			"displayName must have 1 to 256 characters; it has %d.", len(strings.TrimSpace(name))).At("displayName")
	}
	return nil
}
