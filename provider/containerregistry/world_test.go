package containerregistry_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/registry"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/provider/containerregistry"
	"github.com/alvara-ml/alvara/provider/managedidentity"
	"github.com/alvara-ml/alvara/provider/resources"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
)

const (
	tenant         = "11111111-1111-1111-1111-111111111111"
	subscriptionID = "22222222-2222-2222-2222-222222222222"
	subscription   = "/subscriptions/" + subscriptionID
	group          = subscription + "/resourceGroups/rg"
	registries     = group + "/providers/Microsoft.ContainerRegistry/registries/"
	fraud          = registries + "fraudacr"
	builder        = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"
)

// world is a resource manager with registries, somebody who owns everything, and a builder that does as it is told.
type world struct {
	t         testing.TB
	store     store.Store
	sealer    identity.Sealer
	directory *identity.Directory
	manager   *arm.Manager
	catalog   *containerregistry.Catalog
	deps      containerregistry.Deps
	build     *fakeBuilder
	owner     string

	mu       sync.Mutex
	domain   bool
	ports    []int // given out next, before those that nobody has
	nextPort int
	usage    map[string]int64
	uploaded map[string]bool // sources that are there, by key and path
	logs     map[string]*fakeLog
	dropped  []string
	forgot   []string
	events   []string
	told     []error
	logFault error
}

// Authenticate takes an object id for a token.
func (w *world) Authenticate(_ context.Context, token, _ string) (identity.Principal, error) {
	principal, known := w.directory.Active(token)
	if !known {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationToken", "the token is of nobody")
	}
	return principal, nil
}

func newStore() store.Store {
	return mem.New(mem.WithRetryDelay(func(int) time.Duration { return time.Millisecond }))
}

func newWorld(t testing.TB) *world {
	t.Helper()
	sealer, err := identity.OpenSealer(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	w := openWorld(t, newStore(), sealer, 8)
	w.must("PUT", group, map[string]any{"location": "local"})
	return w
}

// openWorld opens a world on a store, which may hold one already. Without workers, runs stay in the queue.
func openWorld(t testing.TB, st store.Store, sealer identity.Sealer, workers int) *world {
	t.Helper()
	w := &world{
		t: t, store: st, sealer: sealer, build: &fakeBuilder{}, nextPort: 50000,
		usage: map[string]int64{}, uploaded: map[string]bool{}, logs: map[string]*fakeLog{},
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	check(authorization.Follow(st, live))
	var err error
	w.directory, err = identity.OpenDirectory(st, tenant, time.Now)
	check(err)
	w.deps = w.newDeps()
	runner := &containerregistry.Runner{
		Store: st, Deps: w.deps, Build: w.build.Build, Clock: time.Now, Limits: image.Limits{MemoryBytes: 1 << 30, CPUs: 4},
		Tell: func(_ resource.ID, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, err)
		},
	}
	w.deps.Cancel = runner.Cancel
	if workers > 0 {
		st.Work(containerregistry.RunJob, workers, runner.Run)
	}
	w.openCatalog()
	views := containerregistry.NameViews()
	views = append(views, arm.OperationViews()...)
	views = append(views, resources.ListingViews()...)
	types := append([]arm.Type{resources.Groups(), authorization.Assignments(), managedidentity.Identities()}, w.deps.Types()...)
	w.manager = arm.New(arm.Config{
		Store: st, Guard: &guard.Guard{Access: live, Audit: auditLog{}, Clock: time.Now}, Authenticator: w, Identities: w.directory,
		Clock: time.Now, Log: slog.New(slog.DiscardHandler), Tenant: tenant,
	}, types, views)
	check(st.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = st.Close(ctx) // what a test left running is cut off
	})
	if owner, known := w.directory.User("owner@alvara.local"); known {
		w.owner = owner.ID
		return w
	}
	w.owner = w.person("owner")
	ops, err := resources.SubscriptionOps(resource.MustParseID(subscription), "Test")
	check(err)
	grant, err := authorization.Grant(uuid.NewString(), access.RoleOwner, w.owner, "User", resource.Root, w.owner, time.Now())
	check(err)
	_, err = st.Apply(t.Context(), append(ops, grant)...)
	check(err)
	return w
}

func (w *world) newDeps() containerregistry.Deps {
	locked := func(change func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		change()
	}
	return containerregistry.Deps{
		Sealer: w.sealer,
		LoginServer: func(name string, port int) string {
			if port == 0 {
				return name + ".cr.example.com"
			}
			return fmt.Sprintf("127.0.0.1:%d", port)
		},
		Port: func(context.Context) (port int, err error) {
			locked(func() {
				switch {
				case w.domain:
				case len(w.ports) > 0:
					port, w.ports = w.ports[0], w.ports[1:]
				default:
					w.nextPort++
					port = w.nextPort
				}
			})
			return port, nil
		},
		TrustedHosts: []string{"Trusted.example.com"},
		Usage: func(_ context.Context, key string) (held int64, err error) {
			locked(func() { held = w.usage[key] })
			return held, nil
		},
		Drop: func(_ context.Context, key string) error {
			locked(func() { w.dropped = append(w.dropped, key) })
			return nil
		},
		Source: func(_ context.Context, key string) (string, string, error) {
			path := "source/" + uuid.NewString() + ".tar.gz"
			locked(func() { w.uploaded[key+"/"+path] = true })
			return "https://blob.example.com/" + key + "/" + path + "?sig=upload", path, nil
		},
		ReadSource: func(_ context.Context, key, path string, valid time.Duration) (url string, err error) {
			locked(func() {
				if url = fmt.Sprintf("https://blob.example.com/%s/%s?sig=%s", key, path, valid); !w.uploaded[key+"/"+path] {
					url, err = "", resource.NotFoundf("BlobNotFound", "there is no %s", path)
				}
			})
			return url, err
		},
		OpenLog: func(_ context.Context, key, run string) (log containerregistry.Log, err error) {
			locked(func() {
				if err = w.logFault; err != nil {
					return
				}
				if w.logs[key+"/"+run] == nil {
					w.logs[key+"/"+run] = &fakeLog{w: w}
				}
				log = w.logs[key+"/"+run]
			})
			return log, err
		},
		LogLink: func(_ context.Context, key, run string) (string, error) {
			return "https://blob.example.com/" + key + "/logs/" + run + "?sig=read", nil
		},
		ForgetRun: func(_ context.Context, _, run, source string) error {
			locked(func() { w.forgot = append(w.forgot, run+" "+source) })
			return nil
		},
	}
}

func (w *world) openCatalog() {
	w.t.Helper()
	var err error
	w.catalog, err = containerregistry.OpenCatalog(context.Background(), w.store, w.deps, containerregistry.Events{
		Opened: func(r registry.Registry, port int) { w.event(fmt.Sprintf("opened %s %d", r.Name, port)) },
		Closed: func(r registry.Registry) { w.event("closed " + r.Name) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) event(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, what)
}

// happened gives what the hooks were told since it was last asked.
func (w *world) happened() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.events
	w.events = nil
	return out
}

func (w *world) log(key, run string) (lines []string, outcome string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if log := w.logs[key+"/"+run]; log != nil {
		return slices.Clone(log.lines), log.outcome
	}
	return nil, ""
}

// person makes a user and gives the object id, which is also the token.
func (w *world) person(name string) string {
	w.t.Helper()
	user, err := w.directory.CreateUser(context.Background(), identity.NewUser{UserPrincipalName: name + "@alvara.local", DisplayName: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return user.ID
}
