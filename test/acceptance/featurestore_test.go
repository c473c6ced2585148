package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/alvara-ml/alvara/access"
	frauddata "github.com/alvara-ml/alvara/examples/fraud"
	"github.com/alvara-ml/alvara/test/testenv"
)

// filled is a world whose source holds a small fraud data set, with the sets transactions:1 (both stores) and spending:1
// (not materialized).
func filled(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t)
	data := t.TempDir()
	if err := frauddata.Generate(context.Background(), data, frauddata.Size{Transactions: 4_000, Accounts: 50, Observations: 200}, 3, nil); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(data, frauddata.Transactions, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.must(w.admin.Send("PUT", w.sourceURL+"/transactions/"+filepath.Base(file), testenv.Storage, content))
	}
	w.register("spent", "1", "OnlineAndOffline", sums)
	w.register("spending", "1", "None", sums)
	return w, filepath.Join(data, frauddata.Observations)
}

// sums is a specification of window aggregations.
const sums = `
source:
  type: parquet
  path: wasbs://data@fraudsource.blob.core.windows.net/transactions/*.parquet
  timestamp_column: {name: timestamp}
feature_transformation:
  transformation_expression:
    - {feature: spent, aggregation: sum, column: transactionAmount, window: {length: 3, unit: days}}
    - {feature: times, aggregation: count, window: {length: 3, unit: days}}
features:
  - {name: spent, type: double}
  - {name: times, type: long}
index_columns:
  - {name: accountID, type: string}
`

func (w *world) register(name, version, stores, specification string) {
	w.must(w.admin.Do("PUT", w.version(name, version), map[string]any{"properties": map[string]any{
		"entities": []string{"azureml:account:1"}, "materializationSettings": map[string]any{"storeType": stores},
		"specification": map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": specification}},
	}}))
}

func (w *world) version(name, version string) string {
	return w.store + "/featuresets/" + name + "/versions/" + version
}

// backfill runs a backfill as somebody and waits for its jobs; it gives the last job.
func (w *world) backfill(t *testing.T, u *testenv.User, name, start, end string, more ...map[string]any) testenv.Answer {
	t.Helper()
	body := backfillBody(start, end)
	for _, part := range more {
		for key, value := range part {
			body[key] = value
		}
	}
	answer := u.Do("POST", w.version(name, "1")+"/backfill", body)
	if answer.Status != http.StatusOK {
		t.Fatalf("backfill: %d %s", answer.Status, answer.Raw)
	}
	ids, _ := answer.Get("jobIds").([]any)
	if len(ids) == 0 {
		t.Fatalf("the backfill started no job: %s", answer.Raw)
	}
	var job testenv.Answer
	for _, id := range ids {
		job = w.wait(t, id.(string))
	}
	return job
}

func (w *world) wait(t *testing.T, id string) testenv.Answer {
	t.Helper()
	for range 1200 {
		job := w.admin.Do("GET", w.store+"/jobs/"+id, nil)
		switch job.Text("properties.status") {
		case "Completed", "Failed", "Canceled":
			return job
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the job %s does not end", id)
	return testenv.Answer{}
}

func (w *world) online(u *testenv.User, features []string, accounts ...string) testenv.Answer {
	return u.Send("POST", w.env.Server.Endpoints.Features+w.store+"/online", testenv.Features, map[string]any{"features": features, "keys": map[string]any{"accountID": accounts}})
}

func (w *world) retrieve(t *testing.T, u *testenv.User, observations, format string, features ...string) testenv.Answer {
	t.Helper()
	content, err := os.ReadFile(observations)
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{"features": features, "timestampColumn": {"timestamp"}, "format": {format}}
	return u.Send("POST", w.env.Server.Endpoints.Features+w.store+"/offline?"+query.Encode(), testenv.Features, content)
}

// FS-08, MI-20: the job runs as the identity, each missing grant makes it fail with that reason, and the grant heals it.
func TestMaterializationRunsAsItsIdentity(t *testing.T) {
	w, _ := filled(t)
	account := w.source[:strings.Index(w.source, "/blobServices")]
	job := w.backfill(t, w.admin, "spent", "2021-01-01", "2021-02-01")
	if job.Text("properties.status") != "Failed" || !strings.Contains(job.Text("properties.error.message"), "blobs/read") || !strings.Contains(job.Text("properties.error.message"), w.identity) {
		t.Fatalf("without a role on the source: %s", job.Raw)
	}
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, account)
	if job = w.backfill(t, w.admin, "spent", "2021-01-01", "2021-02-01"); job.Text("properties.status") != "Completed" || rowsOf(job) == "" || rowsOf(job) == "0" {
		t.Fatalf("with the role: %s", job.Raw)
	}
	for _, missing := range []struct{ role, scope, action string }{
		{access.RoleStorageBlobDataContributor, w.offline, "blobs/"},
		{access.RoleMLDataScientist, w.store, "featuresets/action"},
	} {
		assignment := w.assignment(t, w.identity, missing.role, missing.scope)
		w.must(w.admin.Do("DELETE", assignment, nil))
		if job = w.backfill(t, w.admin, "spent", "2021-02-01", "2021-03-01", map[string]any{"dataAvailabilityStatus": []string{"None", "Incomplete", "Complete"}}); job.Text("properties.status") != "Failed" || !strings.Contains(job.Text("properties.error.message"), missing.action) {
			t.Errorf("without %s: %s", missing.role, job.Raw)
		}
		w.admin.Grant(w.identity, missing.role, missing.scope)
	}
	if job = w.backfill(t, w.admin, "spent", "2021-02-01", "2021-03-01"); job.Text("properties.status") != "Completed" {
		t.Fatalf("with all roles again: %s", job.Raw)
	}
	intervals := w.admin.Do("GET", w.version("spent", "1")+"/dataIntervals", nil)
	for _, store := range []string{"offline", "online"} {
		list, _ := intervals.Get(store).([]any)
		if len(list) != 1 || list[0].(map[string]any)["status"] != "Complete" {
			t.Errorf("%s: %s", store, intervals.Raw)
		}
	}
}

func rowsOf(job testenv.Answer) string {
	properties, _ := job.Get("properties.properties").(map[string]any)
	rows, _ := properties["alvara.rows"].(string)
	return rows
}

func (w *world) assignment(t *testing.T, principal, role, scope string) string {
	t.Helper()
	list := w.admin.Do("GET", scope+"/providers/Microsoft.Authorization/roleAssignments?$filter="+url.QueryEscape("principalId eq '"+principal+"'"), nil)
	values, _ := list.Get("value").([]any)
	for _, value := range values {
		item := testenv.Answer{Body: value.(map[string]any)}
		if strings.HasSuffix(item.Text("properties.roleDefinitionId"), role) && strings.EqualFold(item.Text("properties.scope"), scope) {
			return item.Text("id")
		}
	}
	t.Fatalf("%s does not hold %s on %s: %s", principal, role, scope, list.Raw)
	return ""
}

// FS-05, FS-15: retrieval through the server runs with the caller's rights, in three formats; before materialization is
// enabled it computes from the source, afterwards it reads the store only.
func TestRetrievalThroughTheServer(t *testing.T) {
	w, observations := filled(t)
	account := w.source[:strings.Index(w.source, "/blobServices")]
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, account)
	if job := w.backfill(t, w.admin, "spent", "2020-01-01", "2023-07-01"); job.Text("properties.status") != "Completed" {
		t.Fatalf("backfill: %s", job.Raw)
	}
	consumer := w.env.ServicePrincipal("consumer")
	w.admin.Grant(consumer.ObjectID, w.admin.Role("Consumer", w.group, consumerActions, nil), w.store)
	if got := w.retrieve(t, consumer, observations, "csv", "spent:1"); got.Status != http.StatusForbidden || !strings.Contains(got.Message(), "blobs/read") {
		t.Fatalf("without a role on the data: %d %s", got.Status, got.Raw)
	}
	offline := w.admin.Grant(consumer.ObjectID, access.RoleStorageBlobDataReader, w.offline)
	got := w.retrieve(t, consumer, observations, "csv", "spent:1:times", "spent:1:spent")
	header, _, _ := strings.Cut(string(got.Raw), "\n")
	if got.Status != http.StatusOK || !strings.HasSuffix(strings.TrimSpace(header), "physicalItemCount,times,spent") || strings.Count(string(got.Raw), "\n") != 201 {
		t.Fatalf("csv: %d %.300s", got.Status, got.Raw)
	}
	if got = w.retrieve(t, consumer, observations, "parquet", "spent:1"); got.Status != http.StatusOK || !bytes.HasPrefix(got.Raw, []byte("PAR1")) {
		t.Errorf("parquet: %d %.100s", got.Status, got.Raw)
	}
	got = w.retrieve(t, consumer, observations, "arrow", "spent:1")
	reader, err := ipc.NewReader(bytes.NewReader(got.Raw))
	if err != nil {
		t.Fatalf("arrow: %d %.200s: %v", got.Status, got.Raw, err)
	}
	defer reader.Release()
	if reader.Schema().NumFields() != 12 {
		t.Errorf("arrow: %v", reader.Schema())
	}
	// Not materialized: the source is read, and that takes a role there.
	if got = w.retrieve(t, consumer, observations, "csv", "spending:1"); got.Status != http.StatusForbidden {
		t.Errorf("without a role on the source: %d %.300s", got.Status, got.Raw)
	}
	w.admin.Grant(consumer.ObjectID, access.RoleStorageBlobDataReader, account)
	computed := w.retrieve(t, consumer, observations, "csv", "a=spending:1", "b=spent:1")
	if computed.Status != http.StatusOK {
		t.Fatalf("from the source: %d %.300s", computed.Status, computed.Raw)
	}
	lines := strings.Split(strings.TrimSpace(string(computed.Raw)), "\n")
	for _, line := range lines[1:] { // J6, J1: what is computed on the way equals what was materialized
		fields := strings.Split(strings.TrimSpace(line), ",")
		if n := len(fields); fields[n-1] != fields[n-3] {
			t.Fatalf("computed and materialized counts differ: %s\n%s", lines[0], line)
		}
	}
	if got = w.retrieve(t, consumer, observations, "csv", "spending:1", "spent:1"); got.Status != http.StatusBadRequest || !strings.Contains(got.Message(), "spent") {
		t.Errorf("two features of one name: %d %s", got.Status, got.Raw)
	}
	w.must(w.admin.Do("DELETE", offline, nil))
	if got = w.retrieve(t, consumer, observations, "csv", "spent:1"); got.Status != http.StatusForbidden {
		t.Errorf("after revocation: %d %.200s", got.Status, got.Raw)
	}
	if got = w.retrieve(t, w.env.ServicePrincipal("nobody"), observations, "csv", "spent:1"); got.Status != http.StatusForbidden {
		t.Errorf("nobody: %d %.200s", got.Status, got.Raw)
	}
}

// FS-19: a role on one feature set reaches that set, online and offline, and nothing beside it.
func TestRoleOnOneFeatureSet(t *testing.T) {
	w, observations := filled(t)
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, w.source[:strings.Index(w.source, "/blobServices")])
	w.register("other", "1", "OnlineAndOffline", sums)
	for _, set := range []string{"spent", "other"} {
		if job := w.backfill(t, w.admin, set, "2020-01-01", "2023-07-01"); job.Text("properties.status") != "Completed" {
			t.Fatalf("backfill: %s", job.Raw)
		}
	}
	guest := w.env.ServicePrincipal("guest")
	consumer := w.admin.Role("Consumer of one", w.group, consumerActions, nil)
	set := w.store + "/featuresets/spent"
	w.admin.Grant(guest.ObjectID, consumer, set)
	w.admin.Grant(guest.ObjectID, access.RoleStorageBlobDataReader, set)
	if got := w.online(guest, []string{"spent:1"}, "A1", "nobody"); got.Status != http.StatusOK || !strings.Contains(string(got.Raw), `"accountID":"nobody","spent":null,"times":null`) {
		t.Errorf("its set online: %d %s", got.Status, got.Raw)
	}
	if got := w.online(guest, []string{"other:1"}, "A1"); got.Status != http.StatusForbidden {
		t.Errorf("another set online: %d %s", got.Status, got.Raw)
	}
	if got := w.online(guest, []string{"p=spent:1", "other:1"}, "A1"); got.Status != http.StatusForbidden {
		t.Errorf("its set and another: %d %s", got.Status, got.Raw)
	}
	if got := guest.Send("GET", w.offlineURL+"?restype=container&comp=list", testenv.Storage, nil); got.Status != http.StatusForbidden {
		t.Errorf("listing the container: %d %.200s", got.Status, got.Raw)
	}
	// The store itself is read through featurestores/read, which the guest lacks there; with it retrieval works.
	w.admin.Grant(guest.ObjectID, w.admin.Role("Store reader", w.group, []string{ml + "featurestores/read"}, nil), w.store)
	if got := w.retrieve(t, guest, observations, "csv", "spent:1"); got.Status != http.StatusOK {
		t.Errorf("its set offline: %d %.400s", got.Status, got.Raw)
	}
	if got := w.retrieve(t, guest, observations, "csv", "other:1"); got.Status != http.StatusForbidden {
		t.Errorf("another set offline: %d %.200s", got.Status, got.Raw)
	}
}

// Two backfills of one window at once do not mix, and give no window out twice.
func TestRacingBackfills(t *testing.T) {
	w, _ := filled(t)
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, w.source[:strings.Index(w.source, "/blobServices")])
	results := make(chan testenv.Answer, 6)
	for range 6 {
		go func() {
			results <- w.admin.Do("POST", w.version("spent", "1")+"/backfill", backfillBody("2021-01-01", "2021-06-01"))
		}()
	}
	jobs := 0
	for range 6 {
		answer := <-results
		ids, _ := answer.Get("jobIds").([]any)
		if answer.Status != http.StatusOK {
			t.Errorf("backfill: %d %s", answer.Status, answer.Raw)
		}
		for _, id := range ids {
			jobs++
			if job := w.wait(t, fmt.Sprint(id)); job.Text("properties.status") != "Completed" {
				t.Errorf("job: %s", job.Raw)
			}
		}
	}
	if jobs != 1 {
		t.Errorf("%d jobs were started for one window", jobs)
	}
}

// A version that is deleted and made again finds nothing of the old one, offline or online.
func TestRecreatedVersionIsEmpty(t *testing.T) {
	w, observations := filled(t)
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, w.source[:strings.Index(w.source, "/blobServices")])
	w.admin.Grant(w.admin.PrincipalID(), access.RoleStorageBlobDataReader, w.group)
	if job := w.backfill(t, w.admin, "spent", "2020-01-01", "2023-07-01"); job.Text("properties.status") != "Completed" {
		t.Fatalf("backfill: %s", job.Raw)
	}
	if got := w.online(w.admin, []string{"spent:1"}, "A1"); !strings.Contains(string(got.Raw), `"times":`) || strings.Contains(string(got.Raw), `"times":null`) {
		t.Fatalf("before: %s", got.Raw)
	}
	w.must(w.admin.Do("DELETE", w.version("spent", "1"), nil))
	for range 100 { // the old one's rows are forgotten first
		got := w.admin.Do("PUT", w.version("spent", "1"), map[string]any{"properties": map[string]any{
			"entities": []string{"azureml:account:1"}, "materializationSettings": map[string]any{"storeType": "OnlineAndOffline"},
			"specification": map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": sums}},
		}})
		if got.Status < 300 {
			break
		}
		if got.Status != http.StatusConflict {
			t.Fatalf("made again: %d %s", got.Status, got.Raw)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := w.online(w.admin, []string{"spent:1"}, "A1"); !strings.Contains(string(got.Raw), `"times":null`) {
		t.Errorf("online: %s", got.Raw)
	}
	got := w.retrieve(t, w.admin, observations, "csv", "spent:1:times")
	for _, line := range strings.Split(strings.TrimSpace(string(got.Raw)), "\n")[1:] {
		if !strings.HasSuffix(strings.TrimSpace(line), ",") {
			t.Fatalf("offline: %s", line)
		}
	}
}
