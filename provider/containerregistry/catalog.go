package containerregistry

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/registry"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Events are told of registries that come and go, one after the other, before the request that made or deleted the
// registry is answered; a registry that is deleted and made again is closed and opened. Those that are there already come
// first. They must not call the store; they may call the catalog. Either may be nil.
type Events struct {
	Opened func(r registry.Registry, port int)
	Closed func(r registry.Registry)
}

// Catalog is the registry plane's view of the registries: a projection that follows the store.
type Catalog struct {
	deps   Deps
	events Events

	mu         sync.RWMutex
	registries map[string]*entry // by name
}

type entry struct {
	registry.Registry
	own Own
}

var _ registry.Catalog = (*Catalog)(nil)

// OpenCatalog follows the store. Registries that an earlier version of the server stored without what it keeps for itself
// are completed first.
func OpenCatalog(ctx context.Context, st store.Store, deps Deps, events Events) (*Catalog, error) {
	if err := deps.complete(ctx, st); err != nil {
		return nil, err
	}
	c := &Catalog{deps: deps, events: events, registries: map[string]*entry{}}
	return c, st.Follow([]string{registryType.Key()}, c.follow)
}

func (c *Catalog) follow(changes []store.Change) {
	for _, change := range changes {
		id, err := resource.ParseID(change.Key)
		if err != nil {
			continue
		}
		var next *entry
		if !change.Deleted {
			next = c.deps.entry(change.Body)
		}
		name := strings.ToLower(id.Name())
		c.mu.Lock()
		prev := c.registries[name]
		delete(c.registries, name)
		if next != nil {
			c.registries[name] = next
		}
		c.mu.Unlock()
		if next != nil && prev != nil && next.Key == prev.Key {
			continue
		}
		if prev != nil && c.events.Closed != nil {
			c.events.Closed(prev.Registry)
		}
		if next != nil && c.events.Opened != nil {
			c.events.Opened(next.Registry, next.own.Port)
		}
	}
}

// entry reads a stored registry; nil when it cannot be read.
func (d Deps) entry(body []byte) *entry {
	var r arm.Resource[Registry]
	if json.Unmarshal(body, &r) != nil || r.Properties.Own == nil {
		return nil
	}
	name, own := strings.ToLower(r.Name), *r.Properties.Own
	tier, err := readSKU(r.SKU)
	if err != nil {
		tier.Name = "Basic"
	}
	return &entry{own: own, Registry: registry.Registry{
		ID: r.ID, Name: name, Key: own.Key, LoginServer: d.LoginServer(name, own.Port), AdminEnabled: own.Generation != "",
		Quota: quotas[tier.Name].bytes, RetentionDays: r.Properties.Policies.days(),
	}}
}

func (c *Catalog) find(name string) (*entry, error) {
	c.mu.RLock()
	found := c.registries[strings.ToLower(name)]
	c.mu.RUnlock()
	if found == nil {
		return nil, resource.NotFoundf("ResourceNotFound", "there is no container registry %q", name)
	}
	return found, nil
}

// Registry finds a registry by name.
func (c *Catalog) Registry(_ context.Context, name string) (registry.Registry, error) {
	found, err := c.find(name)
	if err != nil {
		return registry.Registry{}, err
	}
	return found.Registry, nil
}

// CheckPassword checks a password of the admin user.
func (c *Catalog) CheckPassword(_ context.Context, name, password string) (string, error) {
	found, err := c.find(name)
	if err != nil {
		return "", err
	}
	if found.own.Generation == "" {
		return "", resource.Errorf(resource.Unauthenticated, "Unauthorized", "the admin user of the registry %s is off; sign in with an identity: alvara acr login -n %s", found.Name, found.Name)
	}
	right, err := c.deps.isPassword(found.ID, &found.own, password)
	if err != nil {
		return "", err
	}
	if !right {
		return "", resource.Errorf(resource.Unauthenticated, "Unauthorized", "the password is none of the admin user's of the registry %s", found.Name)
	}
	return found.own.Generation, nil
}

// Generation tells which passwords are the present ones.
func (c *Catalog) Generation(_ context.Context, name string) (string, error) {
	found, err := c.find(name)
	if err != nil {
		return "", err
	}
	return found.own.Generation, nil
}

// LoginServers are the addresses of all registries.
func (c *Catalog) LoginServers() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]string, 0, len(c.registries))
	for _, r := range c.registries {
		out = append(out, r.LoginServer)
	}
	return out
}

// All are the registries that there are, in no order.
func (c *Catalog) All() []registry.Registry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]registry.Registry, 0, len(c.registries))
	for _, r := range c.registries {
		out = append(out, r.Registry)
	}
	return out
}
