package retrieval_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/engine/duckdb"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	. "github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/featurestore/online"
	"github.com/alvara-ml/alvara/featurestore/retrieval"
	"github.com/alvara-ml/alvara/resource"
)

var store = resource.MustParseID("/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fs")

const consumer = "consumer"

// world is a stack with sources and a resource manager that knows two feature sets.
type world struct {
	t testing.TB
	*Stack

	mu        sync.Mutex
	resources map[string]any // by lower-case id
	refused   map[string]bool
	asked     []string
	online    func(body []byte) (int, any)
}

const rowsOfSource = 600 // a bit more than 15 days

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, Stack: New(t), resources: map[string]any{}, refused: map[string]bool{}}
	w.Upload(t, Sources, "tx/part-0.parquet", Write(t, filepath.Join(t.TempDir(), "s.parquet"), TransactionRows(rowsOfSource, 1)))
	w.Upload(t, Sources, "accounts/accounts.csv", Write(t, filepath.Join(t.TempDir(), "a.csv"), AccountRows))
	w.register("transactions", Transactions, "None")
	w.register("accounts", Accounts, "None")
	w.put(store, map[string]any{"offlineStore": map[string]any{"type": "azure_data_lake_gen2", "target": ContainerID(Offline)}})
	w.put(store.Child("datastores", "sources"), map[string]any{"datastoreType": "AzureBlob", "accountName": Account, "containerName": Sources})
	w.Manager.HandleFunc("GET /subscriptions/", w.get)
	w.Manager.HandleFunc("POST /features"+store.String()+"/online", w.readOnline)
	if err := w.Plane.Set([]online.Column{{Name: "accountID", Type: online.String}},
		[]online.Column{{Name: "sum1d", Type: online.Double}, {Name: "count3d", Type: online.Long}}, "timestamp"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) put(id resource.ID, properties any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resources[id.Key()] = map[string]any{"id": id, "properties": properties}
}

func versionOf(set string) resource.ID {
	return store.Child("featuresets", set).Child("versions", "1")
}

func (w *world) register(name, spec, storeType string) {
	w.put(versionOf(name), map[string]any{
		"specification":           map[string]any{"content": map[string]string{"FeatureSetSpec.yaml": spec}},
		"materializationSettings": map[string]any{"storeType": storeType},
	})
}

func (w *world) get(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := strings.ToLower(r.URL.Path)
	w.asked = append(w.asked, key)
	status, answer := http.StatusOK, w.resources[key]
	fail := func(code int, name, message string) {
		status, answer = code, map[string]any{"error": map[string]string{"code": name, "message": message}}
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+Token(consumer, retrieval.ManagementAudience):
		fail(401, "InvalidAuthenticationToken", "The token is for somebody else.")
	case w.refused[key]:
		fail(403, "AuthorizationFailed", "The client 'consumer' does not have authorization to perform action 'featuresets/read' over scope '"+key+"'.")
	case r.URL.Query().Get("api-version") == "":
		fail(400, "MissingApiVersionParameter", "no api-version")
	case answer == nil:
		fail(404, "ResourceNotFound", "The resource '"+r.URL.Path+"' was not found.")
	}
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(answer)
}

func (w *world) retriever() *retrieval.Retriever {
	return &retrieval.Retriever{
		ResourceManager: w.URL(), Blob: w.Blob, Features: w.Features, HTTP: w.HTTP, Credential: Credential(consumer),
		Engine: &duckdb.Engine{}, Scratch: w.t.TempDir(),
	}
}

// materialize makes [start, end) of the transactions in the offline store.
func (w *world) materialize(start, end time.Time) {
	w.t.Helper()
	version := versionOf("transactions")
	worker := &materialize.Worker{Blob: w.Blob, Features: w.Features, HTTP: w.HTTP, Credential: Credential(Worker), Engine: &duckdb.Engine{}, Scratch: w.t.TempDir()}
	_, err := worker.Run(context.Background(), materialize.Order{
		Job: store.Child("jobs", "j"+strconv.FormatInt(start.Unix(), 10)), Version: version, Spec: map[string]string{"FeatureSetSpec.yaml": Transactions},
		Source: materialize.Location{Account: Account, Container: Sources, Path: "tx/*.parquet"},
		Target: materialize.Location{Account: Account, Container: Offline, Path: materialize.OfflinePrefix(version)},
		Start:  start, End: end, Offline: true, Identity: Worker, Limits: engine.Limits{Threads: 1},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// observations are rows around the time of the sources: some before and after them, some with keys that nobody has, some
// at the very instant of a row, and null keys.
const observationRows = `SELECT i AS n, CASE WHEN i % 17 = 0 THEN NULL ELSE 'A' || (i % 7) END AS "accountID",
	CASE WHEN i % 3 = 0 THEN TIMESTAMP '2023-01-01' + to_minutes((i % 500) * 37) + to_minutes(20)
	ELSE TIMESTAMP '2022-12-30' + to_seconds((i * 7919) % 1900000) END AS seen FROM range(300) r(i)`

func (w *world) observations() string {
	return Write(w.t, filepath.Join(w.t.TempDir(), "observations.parquet"), observationRows)
}

// row is a feature row of the oracle.
type row struct {
	at     int64 // microseconds
	values []string
}

// transactions computes the features of all transactions by the rules, by account.
func (w *world) transactions() map[string][]row {
	w.t.Helper()
	return byKey(Query(w.t, fmt.Sprintf(`WITH s AS (%s) SELECT a."accountID", epoch_us(a."timestamp"),
		(SELECT sum(b.amount) FROM s b WHERE b."accountID" = a."accountID" AND b."timestamp" <= a."timestamp" AND b."timestamp" >= a."timestamp" - INTERVAL 1 DAY),
		(SELECT count(*) FROM s b WHERE b."accountID" = a."accountID" AND b."timestamp" <= a."timestamp" AND b."timestamp" >= a."timestamp" - INTERVAL 3 DAY)
		FROM s a`, TransactionRows(rowsOfSource, 1))))
}

func (w *world) accounts() map[string][]row {
	w.t.Helper()
	return byKey(Query(w.t, `SELECT "accountID", epoch_us("timestamp"), "accountAge", country FROM (`+AccountRows+`)`))
}

func byKey(lines []string) map[string][]row {
	out := map[string][]row{}
	for _, line := range lines {
		f := strings.Split(line, "|")
		at, _ := strconv.ParseInt(f[1], 10, 64)
		out[f[0]] = append(out[f[0]], row{at, f[2:]})
	}
	return out
}

// latest is the point-in-time rule: the newest row in [t − lookback, t − delay]; a negative lookback is unbounded.
func latest(rows []row, at int64, lookback, delay time.Duration, columns int) []string {
	var best *row
	for i, r := range rows {
		if r.at <= at-delay.Microseconds() && (lookback < 0 || r.at >= at-lookback.Microseconds()) && (best == nil || r.at > best.at) {
			best = &rows[i]
		}
	}
	if best == nil {
		return strings.Split(strings.Repeat("NULL|", columns-1)+"NULL", "|")
	}
	return best.values
}

// day is a day of January 2023.
func day(n int) time.Time { return time.Date(2023, 1, n, 0, 0, 0, 0, time.UTC) }

func always(time.Time) bool { return true }
