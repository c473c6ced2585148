package storage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Catalog is the blob plane's view of accounts and containers: a projection that follows the store.
type Catalog struct {
	store store.Store
	deps  Deps
	clock func() time.Time

	// Remove deletes a resource with all that lies on it, unless another one needs it: the resource manager's Remove.
	// Set it before the plane serves.
	Remove func(ctx context.Context, id resource.ID) error

	mu         sync.RWMutex
	accounts   map[string]*arm.Resource[Account]     // by name
	containers map[string]map[string]*blob.Container // by account and name
}

var _ blob.Catalog = (*Catalog)(nil)

// OpenCatalog follows the store.
func OpenCatalog(st store.Store, deps Deps, clock func() time.Time) (*Catalog, error) {
	c := &Catalog{store: st, deps: deps, clock: clock, accounts: map[string]*arm.Resource[Account]{}, containers: map[string]map[string]*blob.Container{}}
	return c, st.Follow([]string{accountType.Key(), containerType.Key()}, c.follow)
}

func (c *Catalog) follow(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		id, err := resource.ParseID(change.Key)
		if err != nil {
			continue
		}
		if change.Kind == accountType.Key() {
			delete(c.accounts, id.Name())
			var r arm.Resource[Account]
			if !change.Deleted && json.Unmarshal(change.Body, &r) == nil {
				c.accounts[id.Name()] = &r
			}
			continue
		}
		account := accountOf(id)
		delete(c.containers[account], id.Name())
		var r arm.Resource[Container]
		if change.Deleted || json.Unmarshal(change.Body, &r) != nil {
			continue
		}
		if c.containers[account] == nil {
			c.containers[account] = map[string]*blob.Container{}
		}
		c.containers[account][id.Name()] = &blob.Container{
			ID: r.ID, Account: account, Name: id.Name(), Key: r.Properties.Incarnation, ETag: change.ETag, Modified: change.Modified, Metadata: r.Properties.Metadata,
		}
	}
}

// accountOf is the account in a container's id.
func accountOf(container resource.ID) string {
	return strings.ToLower(container.Parent().Parent().Name())
}

// Names are the names of all accounts, in no order.
func (c *Catalog) Names() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.accounts))
}

// Account finds an account by name.
func (c *Catalog) Account(_ context.Context, name string) (blob.Account, error) {
	c.mu.RLock()
	r := c.accounts[strings.ToLower(name)]
	c.mu.RUnlock()
	if r == nil {
		return blob.Account{}, resource.NotFoundf("ResourceNotFound", "there is no storage account %q", name)
	}
	account := blob.Account{ID: r.ID, Name: strings.ToLower(r.Name), AllowSharedKey: r.Properties.AllowSharedKeyAccess}
	if !account.AllowSharedKey {
		return account, nil
	}
	keys, err := c.deps.open(r.ID, r.Properties.SealedKeys)
	if err != nil {
		return blob.Account{}, err
	}
	for _, key := range keys {
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			return blob.Account{}, err
		}
		account.Keys = append(account.Keys, raw)
	}
	return account, nil
}

// Container finds a container.
func (c *Catalog) Container(_ context.Context, account, name string) (blob.Container, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if found := c.containers[strings.ToLower(account)][name]; found != nil {
		return *found, nil
	}
	return blob.Container{}, resource.NotFoundf("ContainerNotFound", "The specified container does not exist.")
}

// Containers lists the containers of an account by name.
func (c *Catalog) Containers(_ context.Context, account, prefix, after string, limit int) ([]blob.Container, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []blob.Container
	for name, container := range c.containers[strings.ToLower(account)] {
		if strings.HasPrefix(name, prefix) && name > after {
			out = append(out, *container)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, nil
}

// CreateContainer makes a container as the blob plane is asked to.
func (c *Catalog) CreateContainer(ctx context.Context, account, name string, metadata map[string]string) (blob.Container, error) {
	owner, err := c.Account(ctx, account)
	if err != nil {
		return blob.Container{}, err
	}
	id := owner.ID.Child("blobServices/default/containers", name)
	put, err := arm.Document(&arm.Resource[Container]{ID: id, Name: name, Type: containerType, Properties: Container{PublicAccess: "None", Metadata: metadata, Incarnation: uuid.NewString()}})
	if err != nil {
		return blob.Container{}, err
	}
	put.IfMatch = store.None
	if _, err := c.store.Apply(ctx, put, store.Expect{Key: id.Parent().Key(), IfMatch: store.Any}); err != nil {
		if resource.KindOf(err) == resource.PreconditionFailed {
			return blob.Container{}, resource.NotFoundf("ResourceNotFound", "there is no storage account %q", account)
		}
		if resource.KindOf(err) == resource.Conflict {
			return blob.Container{}, resource.Conflictf("ContainerAlreadyExists", "The specified container already exists.")
		}
		return blob.Container{}, err
	}
	return c.Container(ctx, account, name)
}

// SetContainerMetadata replaces a container's metadata.
func (c *Catalog) SetContainerMetadata(ctx context.Context, account, name string, metadata map[string]string) (blob.Container, error) {
	found, err := c.Container(ctx, account, name)
	if err != nil {
		return blob.Container{}, err
	}
	doc, err := c.store.Get(ctx, found.ID.Key())
	if err != nil {
		return blob.Container{}, err
	}
	var r arm.Resource[Container]
	if err := json.Unmarshal(doc.Body, &r); err != nil {
		return blob.Container{}, err
	}
	r.Properties.Metadata = metadata
	put, err := arm.Document(&r)
	if err != nil {
		return blob.Container{}, err
	}
	put.IfMatch = doc.ETag
	if _, err := c.store.Apply(ctx, put); err != nil {
		return blob.Container{}, err
	}
	return c.Container(ctx, account, name)
}

// DeleteContainer removes a container with the roles assigned on it. Whoever needs the container as a resource forbids it.
func (c *Catalog) DeleteContainer(ctx context.Context, account, name string) error {
	found, err := c.Container(ctx, account, name)
	if err != nil {
		return err
	}
	return c.Remove(ctx, found.ID)
}
