package acceptance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/test/testenv"
)

const ml = "Microsoft.MachineLearningServices/workspaces/"

// The document's minimal custom roles (FS-03, FS-06, FS-07).
var (
	adminActions = []string{
		ml + "featurestores/read", ml + "featurestores/write", ml + "featurestores/delete", "Microsoft.Authorization/roleAssignments/write",
	}
	provisioningActions = []string{
		"Microsoft.Storage/storageAccounts/write", "Microsoft.Storage/storageAccounts/blobServices/containers/write", "Microsoft.Insights/components/write",
		"Microsoft.KeyVault/vaults/write", "Microsoft.ContainerRegistry/registries/write", "Microsoft.OperationalInsights/workspaces/write",
		"Microsoft.ManagedIdentity/userAssignedIdentities/write",
	}
	consumerActions = []string{
		ml + "featurestores/read", ml + "featuresets/read", ml + "featurestoreentities/read", ml + "datastores/listSecrets/action", ml + "jobs/read",
	}
	developerActions = append(slices.Clone(consumerActions),
		ml+"featuresets/write", ml+"featuresets/delete", ml+"featuresets/action",
		ml+"featurestoreentities/write", ml+"featurestoreentities/delete", ml+"featurestoreentities/action")
)

// world is a feature store with a source, and somebody for each of the document's roles.
type world struct {
	env             *testenv.Env
	admin           *testenv.User
	group           string
	store           string
	offline, source string // container ids
	offlineURL      string // of the container on the blob plane
	sourceURL       string
	identity        string // principal id of the materialization identity
	actors          map[string]*testenv.User
	order           []string
}

const specification = `
source:
  type: parquet
  path: %s/transactions/*.parquet
  timestamp_column:
    name: timestamp
features:
  - name: amount
    type: double
index_columns:
  - name: accountID
    type: string
`

func newWorld(t *testing.T) *world {
	t.Helper()
	env := testenv.StartIn(t, app.Config{DataDir: testenv.Folder(t), PasswordGrant: true})
	w := &world{env: env, admin: env.Admin(), group: env.Group("rg"), actors: map[string]*testenv.User{}}
	w.must(w.admin.Do("PUT", w.group, map[string]any{"location": "local"}))
	w.store = w.group + "/providers/Microsoft.MachineLearningServices/workspaces/fs"
	made := w.must(w.admin.Do("PUT", w.store, map[string]any{"location": "local", "kind": "FeatureStore", "properties": map[string]any{}}))
	w.offline, w.identity = made.Text("properties.offlineStore.target"), made.Text("properties.materializationIdentity.principalId")
	offlineAccount := w.must(w.admin.Do("GET", made.Text("properties.storageAccount"), nil))
	w.offlineURL = offlineAccount.Text("properties.primaryEndpoints.blob") + w.offline[strings.LastIndex(w.offline, "/")+1:]
	account := w.group + "/providers/Microsoft.Storage/storageAccounts/fraudsource"
	source := w.must(w.admin.Do("PUT", account, map[string]any{"location": "local", "properties": map[string]any{}}))
	w.source = account + "/blobServices/default/containers/data"
	w.must(w.admin.Do("PUT", w.source, map[string]any{}))
	w.sourceURL = source.Text("properties.primaryEndpoints.blob") + "data"
	w.admin.Grant(w.admin.PrincipalID(), access.RoleStorageBlobDataContributor, w.group)
	for _, container := range []string{w.sourceURL, w.offlineURL} {
		w.must(w.admin.Send("PUT", container+"/seed.txt", testenv.Storage, "seed"))
	}
	w.must(w.admin.Do("PUT", w.store+"/featurestoreEntities/account/versions/1", entityBody()))
	w.must(w.admin.Do("PUT", w.store+"/featuresets/transactions/versions/1", w.setBody("OnlineAndOffline")))
	return w
}

func entityBody() map[string]any {
	return map[string]any{"properties": map[string]any{"indexColumns": []any{map[string]any{"columnName": "accountID", "dataType": "String"}}}}
}

func (w *world) setBody(storeType string) map[string]any {
	return map[string]any{"properties": map[string]any{
		"entities": []string{"azureml:account:1"}, "materializationSettings": map[string]any{"storeType": storeType},
		"specification": map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": fmt.Sprintf(specification, "wasbs://data@fraudsource.blob.core.windows.net")}},
	}}
}

func (w *world) must(answer testenv.Answer) testenv.Answer {
	if answer.Status >= 300 {
		panic(fmt.Sprintf("preparing the world: %d %s", answer.Status, answer.Raw))
	}
	return answer
}

// cast makes somebody for every role of the document, and of every kind of principal (FS-02).
func (w *world) cast() {
	a := w.admin
	account := func(container string) string { return container[:strings.Index(container, "/blobServices")] }
	reader := func(principal string) {
		a.Grant(principal, access.RoleStorageBlobDataReader, account(w.source))
		a.Grant(principal, access.RoleStorageBlobDataReader, account(w.offline))
	}
	add := func(name string, user *testenv.User) *testenv.User {
		w.actors[name] = user
		w.order = append(w.order, name)
		return user
	}
	u := add("admin built-in", w.env.ServicePrincipal("admin-builtin"))
	a.Grant(u.ObjectID, access.RoleContributor, w.group)
	a.Grant(u.ObjectID, access.RoleUserAccessAdministrator, w.group)
	u = add("admin custom", w.env.Person("admin-custom"))
	a.Grant(u.ObjectID, a.Role("Feature store admin", w.group, append(slices.Clone(adminActions), provisioningActions...), nil), w.group)
	a.Grant(u.ObjectID, access.RoleManagedIdentityOperator, w.group)
	u = add("developer built-in", w.env.ServicePrincipal("developer-builtin"))
	a.Grant(u.ObjectID, access.RoleMLDataScientist, w.store)
	reader(u.ObjectID)
	u = add("developer custom", w.env.Person("developer-custom"))
	a.Grant(u.ObjectID, a.Role("Feature set developer", w.group, developerActions, nil), w.store)
	reader(u.ObjectID)
	u = add("consumer built-in", w.env.ServicePrincipal("consumer-builtin"))
	a.Grant(u.ObjectID, access.RoleMLDataScientist, w.store)
	reader(u.ObjectID)
	u = add("consumer custom", w.env.ServicePrincipal("consumer-custom"))
	consumer := a.Role("Feature set consumer", w.group, consumerActions, nil)
	a.Grant(u.ObjectID, consumer, w.store)
	reader(u.ObjectID)
	add("materialization identity", w.env.ManagedIdentity(w.identity))
	a.Grant(w.identity, access.RoleStorageBlobDataReader, account(w.source))
	u = add("user in a group", w.env.Person("member"))
	group := w.env.Group2(u)
	a.Grant(group, consumer, w.store)
	reader(group)
	add("nobody", w.env.ServicePrincipal("nobody"))
}

// operation is one thing to do on a plane. It gets a name that nobody used before. allowed lists who may.
type operation struct {
	name    string
	prepare func(w *world, name string)
	act     func(w *world, u *testenv.User, name string) testenv.Answer
	allowed string // the columns of the matrix, below
}

// The columns: A admin built-in, a admin custom, D developer built-in, d developer custom, C consumer built-in, c consumer
// custom, M materialization identity, G user in a group (with the custom consumer's role), n nobody.
const columns = "AaDdCcMGn"

// matrix is J8: who may do what. The built-in consumer role, AzureML Data Scientist, lets its holder write feature sets,
// as the document says.
var matrix = []operation{
	{"store read", nil, get(""), "AaDdCcMG"},
	{"store update", nil, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("PATCH", w.store, map[string]any{"tags": map[string]any{"by": name}})
	}, "Aa"},
	{"store create", nil, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("PUT", w.sibling(name), map[string]any{"location": "local", "kind": "FeatureStore", "properties": map[string]any{}})
	}, "Aa"},
	{"store delete", func(w *world, name string) {
		w.must(w.admin.Do("PUT", w.sibling(name), map[string]any{"location": "local", "kind": "FeatureStore", "properties": map[string]any{}}))
	}, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("DELETE", w.sibling(name), nil)
	}, "Aa"},
	{"assign a role on the store", nil, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("PUT", w.store+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(), map[string]any{"properties": map[string]any{
			"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + access.RoleReader, "principalId": w.env.ServicePrincipal(name).ObjectID}})
	}, "Aa"},
	{"entity read", nil, get("/featurestoreEntities/account/versions/1"), "ADdCcMG"},
	{"entity list", nil, get("/featurestoreEntities"), "ADdCcMG"},
	{"entity write", nil, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("PUT", w.store+"/featurestoreEntities/"+name+"/versions/1", entityBody())
	}, "ADdCM"},
	{"entity delete", func(w *world, name string) {
		w.must(w.admin.Do("PUT", w.store+"/featurestoreEntities/"+name+"/versions/1", entityBody()))
	}, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("DELETE", w.store+"/featurestoreEntities/"+name+"/versions/1", nil)
	}, "ADdCM"},
	{"set read", nil, get("/featuresets/transactions/versions/1"), "ADdCcMG"},
	{"set list", nil, get("/featuresets/transactions/versions"), "ADdCcMG"},
	{"set features", nil, get("/featuresets/transactions/versions/1/features"), "ADdCcMG"},
	{"set intervals", nil, get("/featuresets/transactions/versions/1/dataIntervals"), "ADdCcMG"},
	{"set write", nil, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("PUT", w.store+"/featuresets/"+name+"/versions/1", w.setBody("None"))
	}, "ADdCM"},
	{"set update", nil, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("PATCH", w.store+"/featuresets/transactions/versions/1", map[string]any{"properties": map[string]any{"description": name}})
	}, "ADdCM"},
	{"set delete", func(w *world, name string) {
		w.must(w.admin.Do("PUT", w.store+"/featuresets/"+name+"/versions/1", w.setBody("None")))
	}, func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Do("DELETE", w.store+"/featuresets/"+name+"/versions/1", nil)
	}, "ADdCM"},
	{"set backfill", nil, func(w *world, u *testenv.User, _ string) testenv.Answer {
		return u.Do("POST", w.store+"/featuresets/transactions/versions/1/backfill", backfillBody("2023-01-01", "2023-01-02"))
	}, "ADdCM"},
	{"datastore secrets", nil, func(w *world, u *testenv.User, _ string) testenv.Answer {
		return u.Do("POST", w.store+"/datastores/offlinestore/listSecrets", nil)
	}, "ADdCcMG"},
	{"jobs read", nil, get("/jobs"), "ADdCcMG"},
	{"source read", nil, blobGet(func(w *world) string { return w.sourceURL }), "DdCcMG"},
	{"source write", nil, blobPut(func(w *world) string { return w.sourceURL }), ""},
	{"offline read", nil, blobGet(func(w *world) string { return w.offlineURL }), "DdCcMG"},
	{"offline list", nil, func(w *world, u *testenv.User, _ string) testenv.Answer {
		return u.Send("GET", w.offlineURL+"?restype=container&comp=list", testenv.Storage, nil)
	}, "DdCcMG"},
	{"offline write", nil, blobPut(func(w *world) string { return w.offlineURL }), "M"},
	{"online read", nil, func(w *world, u *testenv.User, _ string) testenv.Answer {
		return u.Send("POST", w.env.Server.Endpoints.Features+w.store+"/online", testenv.Features, map[string]any{"features": []string{"transactions:1"}, "keys": map[string]any{"accountID": []string{"A1"}}})
	}, "DdCcMG"},
	{"online write", nil, func(w *world, u *testenv.User, _ string) testenv.Answer {
		return u.Send("POST", w.env.Server.Endpoints.Features+w.store+"/featuresets/transactions/versions/1/rows?job=j&start=2023-01-01&end=2023-01-02", testenv.Features, emptyRows())
	}, "M"},
}

func get(path string) func(*world, *testenv.User, string) testenv.Answer {
	return func(w *world, u *testenv.User, _ string) testenv.Answer { return u.Do("GET", w.store+path, nil) }
}

func blobGet(container func(*world) string) func(*world, *testenv.User, string) testenv.Answer {
	return func(w *world, u *testenv.User, _ string) testenv.Answer {
		return u.Send("GET", container(w)+"/seed.txt", testenv.Storage, nil)
	}
}

func blobPut(container func(*world) string) func(*world, *testenv.User, string) testenv.Answer {
	return func(w *world, u *testenv.User, name string) testenv.Answer {
		return u.Send("PUT", container(w)+"/written/"+name, testenv.Storage, "x")
	}
}

func backfillBody(start, end string) map[string]any {
	return map[string]any{"featureWindow": map[string]any{"featureWindowStart": start, "featureWindowEnd": end}}
}

func (w *world) sibling(name string) string {
	return w.group + "/providers/Microsoft.MachineLearningServices/workspaces/" + name
}

// J8, FS-01 … FS-10, BX-05: every cell of the matrix, over TLS and in the process.
func TestAccessMatrix(t *testing.T) {
	w := newWorld(t)
	w.cast()
	inside := w.env.InProcess()
	n := 0
	for _, op := range matrix {
		for i, actor := range w.order {
			allowed := strings.ContainsRune(op.allowed, rune(columns[i]))
			for _, how := range []string{"TLS", "in process"} {
				user := w.actors[actor]
				if how == "in process" {
					user = inside.As(user)
				}
				n++
				name := fmt.Sprintf("m%d", n)
				if op.prepare != nil {
					op.prepare(w, name)
				}
				got := op.act(w, user, name)
				switch {
				case allowed && got.Status >= 300:
					t.Errorf("%s: %s, %s: refused with %d %s", op.name, actor, how, got.Status, got.Raw)
				case !allowed && got.Status != http.StatusForbidden:
					t.Errorf("%s: %s, %s: answered %d %.200s; it must be refused", op.name, actor, how, got.Status, got.Raw)
				case !allowed && !strings.Contains(got.Message(), "/"):
					t.Errorf("%s: %s, %s: the refusal names no action: %s", op.name, actor, how, got.Message())
				}
			}
		}
	}
}
