package machinelearning

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/features"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Catalog is the data planes' view of feature stores: a projection that follows the store.
type Catalog struct {
	mu       sync.RWMutex
	versions map[string]*version        // by the version's key
	stores   map[string]resource.ID     // offline container, by the feature store's key
	owners   map[string]map[string]bool // the feature stores' keys, by their offline container's key
	ids      map[string]resource.ID     // the feature stores' ids, by key
}

// version is a feature set version as it was registered; its set is made when it is first asked for.
type version struct {
	resource arm.Resource[FeatureSetVersion]
	set      *features.Set
}

var _ features.Catalog = (*Catalog)(nil)

// OpenCatalog follows the store.
func OpenCatalog(st store.Store) (*Catalog, error) {
	c := &Catalog{versions: map[string]*version{}, stores: map[string]resource.ID{}, owners: map[string]map[string]bool{}, ids: map[string]resource.ID{}}
	return c, st.Follow([]string{featureSetVersion.Key(), workspaceType.Key()}, c.follow)
}

func (c *Catalog) follow(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		if change.Kind == workspaceType.Key() {
			c.followStore(change)
			continue
		}
		delete(c.versions, change.Key)
		v := &version{}
		if !change.Deleted && json.Unmarshal(change.Body, &v.resource) == nil {
			c.versions[change.Key] = v
		}
	}
}

func (c *Catalog) followStore(change store.Change) {
	if container, known := c.stores[change.Key]; known {
		delete(c.owners[container.Key()], change.Key)
		delete(c.stores, change.Key)
		delete(c.ids, change.Key)
	}
	for _, v := range c.versions { // what was made of the old container is made anew
		v.set = nil
	}
	var r arm.Resource[Workspace]
	if change.Deleted || json.Unmarshal(change.Body, &r) != nil || r.Properties.OfflineStore == nil {
		return
	}
	container, err := resource.ParseID(r.Properties.OfflineStore.Target)
	if err != nil {
		return
	}
	c.stores[change.Key], c.ids[change.Key] = container, r.ID
	if c.owners[container.Key()] == nil {
		c.owners[container.Key()] = map[string]bool{}
	}
	c.owners[container.Key()][change.Key] = true
}

// Set finds a feature set version.
func (c *Catalog) Set(_ context.Context, owner resource.ID, name, number string) (*features.Set, error) {
	key := owner.Child("featuresets", name).Child("versions", number).Key()
	c.mu.RLock()
	v := c.versions[key]
	container, provisioned := c.stores[owner.Key()]
	var set *features.Set
	if v != nil {
		set = v.set
	}
	c.mu.RUnlock()
	switch {
	case v == nil:
		return nil, resource.NotFoundf("FeatureSetNotFound", "The feature store %s has no feature set %s:%s.", owner.Name(), name, number)
	case !provisioned:
		return nil, resource.Invalidf("UserError", "The feature store %s is not fully provisioned.", owner.Name())
	case set != nil:
		return set, nil
	}
	made, err := newSet(&v.resource, container)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions[key] == v && c.stores[owner.Key()].Equal(container) {
		v.set = made
	}
	return made, nil
}

func newSet(r *arm.Resource[FeatureSetVersion], container resource.ID) (*features.Set, error) {
	parsed, ttl, err := r.Properties.Parsed()
	if err != nil {
		return nil, err
	}
	schema, err := online.NewSchema(onlineColumns(parsed.IndexColumns), onlineColumns(parsed.Features))
	if err != nil {
		return nil, err
	}
	_, materialized := r.Properties.Materialized()
	return &features.Set{Version: r.ID, Container: container, Schema: schema, Online: materialized, TTL: ttl}, nil
}

func onlineColumns(columns []spec.Column) []online.Column {
	out := make([]online.Column, len(columns))
	for i, column := range columns {
		out[i] = online.Column{Name: column.Name, Type: online.Type(column.Type)}
	}
	return out
}

// Owners gives the feature set version, in each feature store that keeps its offline data in a container, to which a path
// there belongs: a role on the feature set reaches its rows (FS-19). A path that does not name a version whole, such as
// the prefix of a wider listing, belongs to none.
func (c *Catalog) Owners(container resource.ID, path string) []resource.ID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []resource.ID
	for key := range c.owners[container.Key()] {
		rest, ours := strings.CutPrefix(path, materialize.StorePrefix(c.ids[key])+"featuresets/")
		if !ours {
			continue
		}
		name, rest, _ := strings.Cut(rest, "/")
		number, _, whole := strings.Cut(rest, "/")
		if !whole || name == "" || number == "" {
			continue
		}
		if v := c.versions[c.ids[key].Child("featuresets", name).Child("versions", number).Key()]; v != nil {
			out = append(out, v.resource.ID)
		}
	}
	return out
}
