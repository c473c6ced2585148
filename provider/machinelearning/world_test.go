// Package machinelearning_test tests workspaces and what lies in them through the resource manager, in the process and on
// a store in memory.
package machinelearning_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/provider/containerservice"
	"github.com/alvara-ml/alvara/provider/insights"
	"github.com/alvara-ml/alvara/provider/keyvault"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/provider/managedidentity"
	"github.com/alvara-ml/alvara/provider/operationalinsights"
	"github.com/alvara-ml/alvara/provider/resources"
	"github.com/alvara-ml/alvara/provider/storage"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
)

const (
	tenant       = "11111111-1111-1111-1111-111111111111"
	subscription = "/subscriptions/22222222-2222-2222-2222-222222222222"
	group        = subscription + "/resourceGroups/rg"
	workspaces   = group + "/providers/Microsoft.MachineLearningServices/workspaces/"
	ws           = workspaces + "ws"
	identities   = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
	registries   = group + "/providers/Microsoft.ContainerRegistry/registries/"
	definitions  = "/providers/Microsoft.Authorization/roleDefinitions/"
	assignments  = "/providers/Microsoft.Authorization/roleAssignments/"

	roleKeyVaultAdministrator = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
)

// object is a JSON object.
type object = map[string]any

// world is a resource manager with somebody who owns everything. An object id is its holder's token.
type world struct {
	t         testing.TB
	store     *mem.Store
	directory *identity.Directory
	manager   *arm.Manager
	owner     string
	images    *fakeImages
	serving   servingWorld
	deps      machinelearning.Deps
	nodes     *machinelearning.NodeScheduler
	later     atomic.Int64 // by how many nanoseconds the clock of the nodes is ahead
}

type silent struct{}

func (silent) Record(context.Context, audit.Record) error { return nil }

// Authenticate takes an object id for a token.
func (w *world) Authenticate(_ context.Context, token, _ string) (identity.Principal, error) {
	principal, known := w.directory.Active(token)
	if !known {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationToken", "the token is of nobody")
	}
	return principal, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, store: mem.New(mem.WithRetryDelay(func(int) time.Duration { return 5 * time.Millisecond }))}
	w.images = &fakeImages{world: w, digests: map[string]string{}}
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	check(authorization.Follow(w.store, live))
	var err error
	w.directory, err = identity.OpenDirectory(w.store, tenant, time.Now)
	check(err)
	sealer, err := identity.OpenSealer(filepath.Join(t.TempDir(), "key"))
	check(err)
	accounts := storage.Deps{
		Sealer:    sealer,
		Endpoints: func(account string) (string, string) { return "https://blob/" + account, "https://dfs/" + account },
		Drop:      func(context.Context, string) error { return nil },
	}
	w.nodes, err = machinelearning.OpenNodes(w.store, 100, func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) })
	check(err)
	w.deps = machinelearning.Deps{
		Sealer: sealer, Nodes: w.nodes, DiscoveryURL: "https://discovery", Registries: w.images, Read: w.images.read, List: w.images.list, Open: w.images.open,
		Runner: &machinelearning.JobRunner{}, EndpointDeps: machinelearning.EndpointDeps{ClusterPrincipal: w.directory.FindByClientID},
	}
	w.deps.EndpointDeps = w.openServing()
	types := append([]arm.Type{
		resources.Groups(), authorization.Definitions(), authorization.Assignments(), managedidentity.Identities(),
		accounts.Accounts(), storage.Services(), accounts.Containers(), keyvault.Vaults(), insights.Components(), operationalinsights.Workspaces(),
		containerservice.Deps{Directory: w.directory}.Clusters(),
		// What a workspace needs of a registry: to be there, to have its name alone, to say whether its admin user is enabled, and to
		// take builds.
		arm.Define(arm.Spec[object]{Type: "Microsoft.ContainerRegistry/registries", Tracked: true, GlobalName: true, Actions: w.images.actions()}),
	}, w.deps.Types()...)
	w.manager = arm.New(arm.Config{
		Store: w.store, Guard: &guard.Guard{Access: live, Audit: silent{}, Clock: time.Now}, Authenticator: w, Identities: w.directory,
		Clock: time.Now, Log: slog.New(slog.DiscardHandler), Tenant: tenant,
	}, types, arm.OperationViews())
	check(w.startServing())
	check(w.store.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.store.Close(ctx)
	})
	w.owner = w.person("owner")
	ops, err := resources.SubscriptionOps(resource.MustParseID(subscription), "Test")
	check(err)
	grant, err := authorization.Grant(uuid.NewString(), access.RoleOwner, w.owner, "User", resource.Root, w.owner, time.Now())
	check(err)
	_, err = w.store.Apply(t.Context(), append(ops, grant)...)
	check(err)
	w.must("PUT", group, object{"location": "local"})
	return w
}

// person makes a user and gives the object id.
func (w *world) person(name string) string {
	w.t.Helper()
	user, err := w.directory.CreateUser(context.Background(), identity.NewUser{UserPrincipalName: name + "@alvara.local", DisplayName: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return user.ID
}

// who is the principal of an object id.
func (w *world) who(id string) identity.Principal {
	w.t.Helper()
	principal, known := w.directory.Lookup(id)
	if !known {
		w.t.Fatalf("there is no %s", id)
	}
	return principal
}

// answer is what came back.
type answer struct {
	Status int
	Header http.Header
	Raw    string
	Body   object
}

func (a answer) get(path string) any {
	var value any = a.Body
	for _, name := range strings.Split(path, ".") {
		o, ok := value.(object)
		if !ok {
			return nil
		}
		value = o[name]
	}
	return value
}

func (a answer) text(path string) string { text, _ := a.get(path).(string); return text }

func (a answer) count(path string) int { list, _ := a.get(path).([]any); return len(list) }

// send sends a request as somebody.
func (w *world) send(who, method, path string, body any) answer {
	w.t.Helper()
	text := ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(encoded)
	}
	if !strings.Contains(path, "api-version") {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "api-version=2024-04-01"
	}
	request := httptest.NewRequest(method, "https://example.com"+strings.TrimPrefix(path, "https://example.com"), strings.NewReader(text))
	request.Header.Set("Authorization", "Bearer "+who)
	recorder := httptest.NewRecorder()
	w.manager.ServeHTTP(recorder, request)
	result := answer{Status: recorder.Code, Header: recorder.Header(), Raw: recorder.Body.String()}
	_ = json.Unmarshal(recorder.Body.Bytes(), &result.Body) // some answers are empty
	return result
}

// as sends a request as somebody and waits for the end of an operation.
func (w *world) as(who, method, path string, body any) answer {
	w.t.Helper()
	first := w.send(who, method, path, body)
	status := first.Header.Get("Azure-AsyncOperation")
	if status == "" {
		return first
	}
	for range 2000 {
		now := w.send(who, "GET", status, nil)
		switch now.text("status") {
		case "InProgress":
			time.Sleep(2 * time.Millisecond)
		case "Succeeded", "Failed":
			return w.send(who, "GET", first.Header.Get("Location"), nil)
		default:
			w.t.Fatalf("%s %s: the operation answers %d %s", method, path, now.Status, now.Raw)
		}
	}
	w.t.Fatalf("%s %s does not end", method, path)
	return first
}

func (w *world) do(method, path string, body any) answer {
	w.t.Helper()
	return w.as(w.owner, method, path, body)
}

func (w *world) must(method, path string, body any) answer {
	w.t.Helper()
	got := w.do(method, path, body)
	if got.Status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Raw)
	}
	return got
}

// grant gives a role and returns the assignment's id.
func (w *world) grant(principal, role, scope string) string {
	w.t.Helper()
	id := scope + assignments + uuid.NewString()
	w.must("PUT", id, object{"properties": object{"roleDefinitionId": definitions + role, "principalId": principal}})
	return id
}

// role makes a custom role and gives its GUID.
func (w *world) role(name string, actions ...string) string {
	w.t.Helper()
	guid := uuid.NewString()
	w.must("PUT", group+definitions+guid, object{"properties": object{
		"roleName": name, "type": "CustomRole", "assignableScopes": []string{group}, "permissions": []any{object{"actions": actions}},
	}})
	return guid
}

// identity makes a user-assigned identity and gives its id and its principal.
func (w *world) identity(name string) (id, principal string) {
	w.t.Helper()
	return identities + name, w.must("PUT", identities+name, object{}).text("properties.principalId")
}

// roles lists the names of the roles that a principal holds exactly at a scope.
func (w *world) roles(principal, scope string) map[string]bool {
	w.t.Helper()
	out := map[string]bool{}
	got := w.must("GET", scope+strings.TrimSuffix(assignments, "/")+"?$filter=principalId%20eq%20'"+principal+"'", nil)
	list, _ := got.get("value").([]any)
	for _, item := range list {
		p := answer{Body: item.(object)}
		if strings.EqualFold(p.text("properties.scope"), scope) {
			id := p.text("properties.roleDefinitionId")
			out[id[strings.LastIndex(id, "/")+1:]] = true
		}
	}
	return out
}

// refused fails unless a request was refused in a certain way. Each want must be in the message or the target.
func refused(t testing.TB, what string, got answer, status int, code string, wants ...string) {
	t.Helper()
	if got.Status != status || got.text("error.code") != code {
		t.Errorf("%s: answered %d %s; want %d %s", what, got.Status, got.Raw, status, code)
		return
	}
	for _, want := range wants {
		if !strings.Contains(got.text("error.message")+got.text("error.target"), want) {
			t.Errorf("%s: the message does not say %q: %s", what, want, got.text("error.message"))
		}
	}
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// users is the identity of a resource with these user-assigned identities.
func users(kind string, ids ...string) object {
	held := object{}
	for _, id := range ids {
		held[id] = object{}
	}
	out := object{"type": kind}
	if len(ids) > 0 {
		out["userAssignedIdentities"] = held
	}
	return out
}
