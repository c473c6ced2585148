// Package provider_test tests the resource manager with all of its providers, in the process and without other planes:
// the whole surface of resources, on the store that a test chooses.
package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/provider/containerregistry"
	"github.com/alvara-ml/alvara/provider/containerservice"
	"github.com/alvara-ml/alvara/provider/insights"
	"github.com/alvara-ml/alvara/provider/keyvault"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/provider/managedidentity"
	"github.com/alvara-ml/alvara/provider/operationalinsights"
	"github.com/alvara-ml/alvara/provider/resources"
	"github.com/alvara-ml/alvara/provider/storage"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
)

const (
	tenant       = "11111111-1111-1111-1111-111111111111"
	subscription = "/subscriptions/22222222-2222-2222-2222-222222222222"
	group        = subscription + "/resourceGroups/rg"
	fs           = group + "/providers/Microsoft.MachineLearningServices/workspaces/fs"
	setVersion   = fs + "/featuresets/transactions/versions/1"
)

// world is a resource manager with somebody who owns everything.
type world struct {
	t         testing.TB
	store     store.Store
	live      *access.Live
	directory *identity.Directory
	manager   *arm.Manager
	storage   *storage.Catalog
	records   *records
	runner    *runner
	types     []arm.Type

	mu      sync.Mutex
	dropped []string // containers' bytes and versions' online rows that were forgotten
	dropErr error    // what forgetting gives
	owner   string
}

// records is an audit log in memory.
type records struct {
	mu   sync.Mutex
	list []audit.Record
}

func (r *records) Record(_ context.Context, record audit.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, record)
	return nil
}

// take gives the records since the last take.
func (r *records) take() []audit.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.list
	r.list = nil
	return out
}

// runner carries no order out, and says what it is told to say.
type runner struct {
	mu     sync.Mutex
	orders []materialize.Order
	err    error
	hold   chan struct{} // when it is set, an order waits for it or for its own end
}

func (r *runner) Run(ctx context.Context, order materialize.Order, _ func(string)) (materialize.Result, error) {
	r.mu.Lock()
	r.orders = append(r.orders, order)
	err, hold := r.err, r.hold
	r.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return materialize.Result{}, ctx.Err()
		}
	}
	return materialize.Result{Rows: 1}, err
}

func (r *runner) set(err error, hold chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.hold = err, hold
}

// Authenticate takes an object id for a token.
func (w *world) Authenticate(_ context.Context, token, _ string) (identity.Principal, error) {
	principal, known := w.directory.Active(token)
	if !known {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationToken", "the token is of nobody")
	}
	return principal, nil
}

// newWorld is a world on a store in memory, with a group.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := openWorld(t, mem.New(mem.WithRetryDelay(func(int) time.Duration { return 5 * time.Millisecond })))
	w.must("PUT", group, map[string]any{"location": "local"})
	return w
}

// openWorld opens a world on a store, which may hold one already.
func openWorld(t testing.TB, st store.Store) *world {
	t.Helper()
	w := &world{t: t, store: st, records: &records{}, runner: &runner{}}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.live = access.NewLive(access.Catalogue(), access.BuiltIn()...)
	check(authorization.Follow(st, w.live))
	var err error
	w.directory, err = identity.OpenDirectory(st, tenant, time.Now)
	check(err)
	sealer, err := identity.OpenSealer(filepath.Join(t.TempDir(), "key"))
	check(err)
	deps := storage.Deps{
		Reserved:  "kept",
		Sealer:    sealer,
		Endpoints: func(account string) (string, string) { return "https://blob/" + account, "https://dfs/" + account },
		Drop:      func(_ context.Context, key string) error { return w.drop(key) },
	}
	w.storage, err = storage.OpenCatalog(st, deps, time.Now)
	check(err)
	materializer := &machinelearning.Materializer{
		Store: st, Runner: w.runner, Clock: time.Now, Tell: func(resource.ID, error) {},
		OpenLog: func(resource.ID) (func(string), func() error, error) {
			return func(string) {}, func() error { return nil }, nil
		},
	}
	st.Work(machinelearning.MaterializeJob, 4, materializer.Run)
	nodes, err := machinelearning.OpenNodes(st, 0, time.Now)
	check(err)
	ml := machinelearning.Deps{
		Sealer: sealer, Nodes: nodes,
		Read: func(context.Context, identity.Principal, string, string, string) ([]byte, error) {
			return nil, resource.NotFoundf("BlobNotFound", "no such blob")
		},
		List: func(context.Context, identity.Principal, string, string, string) ([]string, error) { return nil, nil },
		CheckSQL: func(_ context.Context, sql string) error {
			if strings.Contains(sql, "COPY") {
				return resource.Invalidf("InvalidTransformation", "transformation_sql: one SELECT was expected")
			}
			return nil
		},
		DropOnline: func(_ context.Context, version resource.ID) error { return w.drop(version.Key()) },
		Cancel:     materializer.Cancel,
		Log: func(context.Context, resource.ID, int64) ([]byte, int64, error) {
			return []byte("a line\n"), 7, nil
		},
	}
	orders := w.served(&ml)
	var port atomic.Int32
	registries := containerregistry.Deps{
		Sealer:      sealer,
		LoginServer: func(_ string, port int) string { return fmt.Sprintf("127.0.0.1:%d", port) },
		Port:        func(context.Context) (int, error) { return 50000 + int(port.Add(1)), nil },
		Usage:       func(context.Context, string) (int64, error) { return 0, nil },
		Drop:        func(_ context.Context, key string) error { return w.drop(key) },
		Source: func(context.Context, string) (string, string, error) {
			return "https://blob/source/context.tar.gz", "source/context.tar.gz", nil
		},
		ReadSource: func(_ context.Context, _, path string, _ time.Duration) (string, error) {
			return "https://blob/" + path, nil
		},
		OpenLog: func(context.Context, string, string) (containerregistry.Log, error) { return silence{}, nil },
		LogLink: func(_ context.Context, key, run string) (string, error) {
			return "https://blob/" + key + "/" + run, nil
		},
		ForgetRun: func(context.Context, string, string, string) error { return nil },
		Cancel:    func(resource.ID) {},
	}
	w.types = append(append([]arm.Type{
		resources.Groups(), authorization.Definitions(), authorization.Assignments(), managedidentity.Identities(),
		managedidentity.FederatedCredentials(w.directory), deps.Accounts(), storage.Services(), deps.Containers(), keyvault.Vaults(),
		insights.Components(), operationalinsights.Workspaces(), containerservice.Deps{Directory: w.directory}.Clusters(),
	}, registries.Types()...), ml.Types()...)
	var views []arm.View
	for _, some := range [][]arm.View{resources.SubscriptionViews(), resources.ListingViews(), resources.ProviderViews(), deps.NameViews(), containerregistry.NameViews(), arm.OperationViews()} {
		views = append(views, some...)
	}
	w.manager = arm.New(arm.Config{
		Store: st, Guard: &guard.Guard{Access: w.live, Audit: w.records, Clock: time.Now}, Authenticator: w, Identities: w.directory,
		Clock: time.Now, Log: slog.New(slog.DiscardHandler), Tenant: tenant,
	}, w.types, views)
	w.storage.Remove = w.manager.Remove
	orders.Manager = w.manager
	check(st.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = st.Close(ctx) // a test may have closed it
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

// silence is the log of a run that nobody reads.
type silence struct{}

func (silence) Write(string)          {}
func (silence) Complete(string) error { return nil }
func (silence) Close() error          { return nil }

func (w *world) drop(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dropErr != nil {
		return w.dropErr
	}
	w.dropped = append(w.dropped, what)
	return nil
}

func (w *world) failDrops(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropErr = err
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

// answer is what came back.
type answer struct {
	Status int
	Header http.Header
	Raw    string
	Body   map[string]any
}

func (a answer) get(path string) any {
	var value any = a.Body
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func (a answer) text(path string) string { text, _ := a.get(path).(string); return text }

func (a answer) code() string { return a.text("error.code") }

func (a answer) message() string { return a.text("error.message") }

func (a answer) values() []map[string]any {
	list, _ := a.get("value").([]any)
	out := make([]map[string]any, len(list))
	for i, item := range list {
		out[i], _ = item.(map[string]any)
	}
	return out
}

func (a answer) names() []string {
	var out []string
	for _, item := range a.values() {
		name, _ := item["name"].(string)
		out = append(out, name)
	}
	return out
}

// send sends a request as somebody; headers are pairs of names and values.
func (w *world) send(who, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	text := ""
	switch content := body.(type) {
	case nil:
	case string:
		text = content
	default:
		encoded, err := json.Marshal(content)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(encoded)
	}
	if !strings.Contains(path, "api-version") {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + "api-version=2024-04-01"
	}
	path = strings.TrimPrefix(path, "https://example.com")
	request := httptest.NewRequest(method, "https://example.com"+strings.ReplaceAll(path, " ", "%20"), strings.NewReader(text))
	request.Header.Set("Authorization", "Bearer "+who)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.manager.ServeHTTP(recorder, request)
	result := answer{Status: recorder.Code, Header: recorder.Header(), Raw: recorder.Body.String()}
	_ = json.Unmarshal(recorder.Body.Bytes(), &result.Body) // some answers are empty
	return result
}

// as sends a request as somebody and waits for the end of an operation.
func (w *world) as(who, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	first := w.send(who, method, path, body, headers...)
	status := first.Header.Get("Azure-AsyncOperation")
	if first.Status != 202 || status == "" {
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

func (w *world) do(method, path string, body any, headers ...string) answer {
	w.t.Helper()
	return w.as(w.owner, method, path, body, headers...)
}

func (w *world) must(method, path string, body any) answer {
	w.t.Helper()
	got := w.do(method, path, body)
	if got.Status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Raw)
	}
	return got
}

func (w *world) grant(principal, role, scope string) string {
	w.t.Helper()
	id := strings.TrimSuffix(scope, "/") + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString()
	w.must("PUT", id, grantBody(principal, role))
	return id
}

func grantBody(principal, role string) map[string]any {
	return map[string]any{"properties": map[string]any{"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + role, "principalId": principal}}
}

func roleBody(name string, scopes, actions, dataActions []string) map[string]any {
	return map[string]any{"properties": map[string]any{
		"roleName": name, "type": "CustomRole", "assignableScopes": scopes,
		"permissions": []any{map[string]any{"actions": actions, "dataActions": dataActions}},
	}}
}

const definitions = "/providers/Microsoft.Authorization/roleDefinitions/"

// role makes a custom role and gives its GUID.
func (w *world) role(name string, actions, dataActions []string) string {
	w.t.Helper()
	guid := uuid.NewString()
	w.must("PUT", group+definitions+guid, roleBody(name, []string{group}, actions, dataActions))
	return guid
}

const specification = `
source:
  type: parquet
  path: wasbs://data@source.blob.core.windows.net/*.parquet
  timestamp_column:
    name: timestamp
features:
  - name: amount
    type: double
index_columns:
  - name: accountID
    type: string
`

func entityBody() map[string]any {
	return map[string]any{"properties": map[string]any{"indexColumns": []any{map[string]any{"columnName": "accountID", "dataType": "String"}}}}
}

func setBody(storeType string) map[string]any { return setWith(storeType, specification) }

func setWith(storeType, spec string) map[string]any {
	return map[string]any{"properties": map[string]any{
		"entities": []string{"azureml:account:1"}, "materializationSettings": map[string]any{"storeType": storeType},
		"specification": map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": spec}},
	}}
}

// withStore makes a feature store with an entity and, unless storeType is empty, a feature set.
func (w *world) withStore(storeType string) {
	w.t.Helper()
	w.must("PUT", fs, map[string]any{"kind": "FeatureStore"})
	w.must("PUT", fs+"/featurestoreEntities/account/versions/1", entityBody())
	if storeType != "" {
		w.must("PUT", setVersion, setBody(storeType))
	}
}

// contents is everything that the store holds, by key, but what a mere request may leave: operations and the like.
// Operations that are under way end first: what they write is no part of what comes next.
func (w *world) contents() map[string]string {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		out, busy := w.snapshot()
		if !busy || time.Now().After(end) {
			return out
		}
	}
}

// underWay is what a document says of itself while an operation on it is under way.
var underWay = regexp.MustCompile(`"state":"(Creating|Updating|Deleting)"`)

// snapshot is what the store holds at this moment, and whether an operation is under way.
func (w *world) snapshot() (out map[string]string, busy bool) {
	w.t.Helper()
	out = map[string]string{}
	kinds := []string{
		"arm/references", "arm/unique", "arm/deleted", "featurestore/ledgers", "directory/users", "directory/groups",
		"directory/applications", "directory/serviceprincipals", "microsoft.resources/subscriptions",
	}
	for _, t := range w.manager.Types() {
		kinds = append(kinds, t.Key())
	}
	for _, kind := range kinds {
		docs, err := w.store.List(context.Background(), store.Query{Kind: kind})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, doc := range docs {
			out[doc.Key] = doc.ETag + " " + string(doc.Body)
			busy = busy || underWay.Match(doc.Body)
		}
	}
	return out, busy
}

// unchanged fails when the store holds something else than before.
func (w *world) unchanged(before map[string]string, after string) {
	w.t.Helper()
	now := w.contents()
	for key, was := range before {
		if now[key] != was {
			w.t.Errorf("after %s, %s is\n%s\nand was\n%s", after, key, now[key], was)
		}
	}
	for key := range now {
		if _, was := before[key]; !was {
			w.t.Errorf("after %s, there is %s", after, key)
		}
	}
}

// refused fails unless a request was refused in a certain way. Each want must be in the message.
func refused(t testing.TB, what string, got answer, status int, code string, wants ...string) {
	t.Helper()
	if got.Status != status || got.code() != code {
		t.Errorf("%s: answered %d %s; want %d %s", what, got.Status, got.Raw, status, code)
		return
	}
	for _, want := range wants {
		if !strings.Contains(got.message()+got.text("error.target"), want) {
			t.Errorf("%s: the message does not say %q: %s", what, want, got.message())
		}
	}
}

func sorted(list []string) string { slices.Sort(list); return fmt.Sprint(list) }
