package machinelearning

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/inference"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// EndpointCatalog is the gateway's view of online endpoints: a projection that follows the store, so that a share, a key or an authMode
// counts from the next request on.
type EndpointCatalog struct {
	deps Deps

	mu          sync.RWMutex
	byName      map[string]*inference.Endpoint          // by name in lower case
	resources   map[string]arm.Resource[OnlineEndpoint] // by key
	deployments map[string]map[string]resource.ID       // by the endpoint's key, by name in lower case
}

var _ inference.Catalog = (*EndpointCatalog)(nil)

// OpenEndpointCatalog follows the store.
func OpenEndpointCatalog(st store.Store, deps Deps) (*EndpointCatalog, error) {
	c := &EndpointCatalog{deps: deps, byName: map[string]*inference.Endpoint{}, resources: map[string]arm.Resource[OnlineEndpoint]{}, deployments: map[string]map[string]resource.ID{}}
	return c, st.Follow([]string{endpointType.Key(), deploymentType.Key()}, c.follow)
}

func (c *EndpointCatalog) follow(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		if change.Kind == deploymentType.Key() {
			c.followDeployment(change)
			continue
		}
		var r arm.Resource[OnlineEndpoint]
		if json.Unmarshal(change.Body, &r) != nil {
			continue
		}
		delete(c.resources, change.Key)
		delete(c.byName, strings.ToLower(r.Name))
		if !change.Deleted {
			c.resources[change.Key] = r
			c.make(change.Key)
		}
	}
}

func (c *EndpointCatalog) followDeployment(change store.Change) {
	var r struct {
		ID resource.ID `json:"id"`
	}
	if json.Unmarshal(change.Body, &r) != nil {
		return
	}
	owner, name := r.ID.Parent().Key(), strings.ToLower(r.ID.Name())
	if c.deployments[owner] == nil {
		c.deployments[owner] = map[string]resource.ID{}
	}
	if _, known := c.deployments[owner][name]; known != change.Deleted {
		return // written again: nothing that counts here
	}
	if change.Deleted {
		delete(c.deployments[owner], name)
	} else {
		c.deployments[owner][name] = r.ID
	}
	if len(c.deployments[owner]) == 0 {
		delete(c.deployments, owner)
	}
	c.make(owner)
}

// make makes an endpoint of what is known of it. Requests may have the one before, which stays as it is.
func (c *EndpointCatalog) make(key string) {
	r, known := c.resources[key]
	if !known {
		return
	}
	p := r.Properties
	made := &inference.Endpoint{ID: r.ID, AuthMode: inference.AuthMode(p.AuthMode), Deployments: maps.Clone(c.deployments[key])}
	for name, percent := range p.Traffic {
		if _, there := made.Deployments[strings.ToLower(name)]; there && percent > 0 {
			made.Traffic = append(made.Traffic, inference.Share{Deployment: strings.ToLower(name), Percent: percent})
		}
	}
	slices.SortFunc(made.Traffic, func(a, b inference.Share) int { return strings.Compare(a.Deployment, b.Deployment) })
	made.Keys = sync.OnceValues(func() ([]string, error) {
		keys, err := c.deps.openKeys(r.ID, &p)
		return []string{keys.PrimaryKey, keys.SecondaryKey}, err
	})
	c.byName[strings.ToLower(r.Name)] = made
}

// Endpoint finds an endpoint by its name.
func (c *EndpointCatalog) Endpoint(_ context.Context, name string) (*inference.Endpoint, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := c.byName[strings.ToLower(name)]
	if found == nil {
		return nil, resource.NotFoundf("EndpointNotFound", "There is no online endpoint %.100q at this address.", name)
	}
	return found, nil
}

// Names are the names of all endpoints, in lower case.
func (c *EndpointCatalog) Names() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.byName))
}
