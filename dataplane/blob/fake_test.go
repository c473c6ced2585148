package blob_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/disk"
	"github.com/alvara-ml/alvara/dataplane/blob/mem"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const tenant = "11111111-1111-4111-8111-111111111111"

// catalog is a blob.Catalog in memory.
type catalog struct {
	mu         sync.Mutex
	accounts   map[string]blob.Account
	containers map[string]blob.Container // by account/name
	made       int
}

func accountID(name string) resource.ID {
	return resource.MustParseID("/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/" + name)
}

func newCatalog(accounts ...blob.Account) *catalog {
	c := &catalog{accounts: map[string]blob.Account{}, containers: map[string]blob.Container{}}
	for _, a := range accounts {
		a.ID = accountID(a.Name)
		c.accounts[a.Name] = a
	}
	return c
}

func (c *catalog) Account(_ context.Context, name string) (blob.Account, error) {
	a, ok := c.accounts[strings.ToLower(name)]
	if !ok {
		return a, resource.NotFoundf("ResourceNotFound", "no account %q", name)
	}
	return a, nil
}

func (c *catalog) Container(_ context.Context, account, name string) (blob.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.containers[account+"/"+name]
	if !ok {
		return found, resource.NotFoundf("ResourceNotFound", "no container %q", name)
	}
	return found, nil
}

func (c *catalog) Containers(_ context.Context, account, prefix, after string, limit int) ([]blob.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []blob.Container
	for _, one := range c.containers {
		if one.Account == account && strings.HasPrefix(one.Name, prefix) && one.Name > after {
			out = append(out, one)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out[:min(limit, len(out))], nil
}

func (c *catalog) CreateContainer(_ context.Context, account, name string, metadata map[string]string) (blob.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.containers[account+"/"+name]; ok {
		return blob.Container{}, resource.Conflictf("ResourceExists", "there is a container %q", name)
	}
	c.made++
	made := blob.Container{ID: accountID(account).Child("blobServices/default/containers", name), Account: account, Name: name,
		Key: fmt.Sprintf("key-%d", c.made), ETag: fmt.Sprintf("0x%d", c.made), Modified: time.Now(), Metadata: metadata}
	c.containers[account+"/"+name] = made
	return made, nil
}

func (c *catalog) DeleteContainer(_ context.Context, account, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.containers[account+"/"+name]; !ok {
		return resource.NotFoundf("ResourceNotFound", "no container %q", name)
	}
	delete(c.containers, account+"/"+name)
	return nil
}

func (c *catalog) SetContainerMetadata(_ context.Context, account, name string, metadata map[string]string) (blob.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.containers[account+"/"+name]
	if !ok {
		return found, resource.NotFoundf("ResourceNotFound", "no container %q", name)
	}
	c.made++
	found.Metadata, found.ETag, found.Modified = metadata, fmt.Sprintf("0x%d", c.made), time.Now()
	c.containers[account+"/"+name] = found
	return found, nil
}

// guard allows what its rules say, and remembers what it was asked.
type guard struct {
	mu    sync.Mutex
	rules map[string][]rule // by principal
	asked []blob.Access
}

type rule struct {
	scope   resource.ID
	actions []string // "*" at the end stands for the rest
}

func (g *guard) Check(_ context.Context, access blob.Access) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, access)
	for _, r := range g.rules[access.Who.ID] {
		for _, scope := range access.Scopes {
			if !r.scope.Contains(scope) {
				continue
			}
			for _, action := range r.actions {
				if prefix, wild := strings.CutSuffix(action, "*"); action == access.Action || (wild && strings.HasPrefix(access.Action, prefix)) {
					return nil
				}
			}
		}
	}
	return resource.Forbiddenf("AuthorizationFailed", "%s lacks %s on %s; the role Storage Blob Data Contributor would grant it.",
		access.Who.Name, access.Action, access.Scopes[0])
}

func (g *guard) allow(who string, scope resource.ID, actions ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rules[who] = append(g.rules[who], rule{scope, actions})
}

func (g *guard) revoke(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.rules, who)
}

// tokens takes "token-of-{name}" for the principal of that name.
type tokens struct{}

func principal(name string) identity.Principal {
	return identity.Principal{ID: "id-of-" + name, Type: identity.ServicePrincipal, TenantID: tenant, Name: name}
}

func (tokens) Authenticate(_ context.Context, token, resourceName string) (identity.Principal, error) {
	name, ok := strings.CutPrefix(token, "token-of-")
	if !ok || resourceName != blob.Audience {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationInfo", "the token does not hold")
	}
	return principal(name), nil
}

// world is a server with its fakes.
type world struct {
	*blob.Server
	catalog *catalog
	guard   *guard
	blob    *httptest.Server
	dfs     *httptest.Server
}

var accountKey = []byte("0123456789abcdef0123456789abcdef")

const (
	readerActions = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	everything    = "Microsoft.Storage/*"
)

// objectsOf opens a driver.
func objectsOf(t testing.TB, driver string) blob.Objects {
	t.Helper()
	if driver == "mem" {
		return mem.New(time.Now)
	}
	store, err := disk.Open(disk.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newWorld(t testing.TB, driver string) *world {
	t.Helper()
	w := &world{
		catalog: newCatalog(blob.Account{Name: "acct"}, blob.Account{Name: "other"},
			blob.Account{Name: "keyed", AllowSharedKey: true, Keys: [][]byte{accountKey}}),
		guard: &guard{rules: map[string][]rule{}},
	}
	w.Server = &blob.Server{
		Catalog: w.catalog, Guard: w.guard, Authenticator: tokens{}, Objects: objectsOf(t, driver),
		DelegationKey: []byte("a secret of thirty-two bytes !!!"),
		Lookup: func(id string) (identity.Principal, bool) {
			name, ok := strings.CutPrefix(id, "id-of-")
			return principal(name), ok && name != "gone"
		},
		Authority: "https://login.example/" + tenant + "/oauth2/authorize",
		Domain:    "store.example",
		Clock:     time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	w.guard.allow("id-of-owner", resource.Root, everything)
	w.blob = httptest.NewTLSServer(w.BlobHandler())
	w.dfs = httptest.NewTLSServer(w.DFSHandler())
	t.Cleanup(w.blob.Close)
	t.Cleanup(w.dfs.Close)
	return w
}

var resourceRoot = resource.Root

func containerID(account, name string) resource.ID {
	return accountID(account).Child("blobServices/default/containers", name)
}
