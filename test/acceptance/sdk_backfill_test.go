package acceptance

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/featurestore/materialize/materializetest"
	"github.com/alvara-ml/alvara/test/testenv"
)

const (
	transactionRows = 150 // one every 37 minutes, of five accounts in turn
	transactionSeed = 3
)

var firstDay = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)

// amount is what materializetest.TransactionRows writes into row i.
func amount(i int) float64 { return float64((i*7 + transactionSeed*13) % 101) }

// newSource uploads a parquet file of transactions and registers a set over it, materialized online and offline.
func newSource(t *testing.T) *fraud {
	t.Helper()
	f := newFraud(t)
	file := materializetest.Write(t, filepath.Join(t.TempDir(), "part.parquet"), materializetest.TransactionRows(transactionRows, transactionSeed))
	content := done(os.Open(file))(t)
	defer func() { _ = content.Close() }()
	done(f.developer.blobs(f.endpoint).UploadFile(t.Context(), "data", "transactions/part.parquet", content, nil))(t)
	f.entity("account", "1")
	f.specify("specs/transactions")
	polled(f.developer.learning().NewFeaturesetVersionsClient().BeginCreateOrUpdate(t.Context(), "rg", "fs", "transactions", "1",
		setAt(f.endpoint+"data/specs/transactions", armmachinelearning.MaterializationStoreTypeOnlineAndOffline), nil))(t)
	return f
}

func (f *fraud) backfill(request armmachinelearning.FeaturesetVersionBackfillRequest) []string {
	f.t.Helper()
	made := polled(f.developer.learning().NewFeaturesetVersionsClient().BeginBackfill(f.t.Context(), "rg", "fs", "transactions", "1", request, nil))(f.t)
	var ids []string
	for _, id := range made.JobIDs {
		ids = append(ids, *id)
	}
	return ids
}

// ended waits until a job has ended.
func (f *fraud) ended(id string) *armmachinelearning.SparkJob {
	f.t.Helper()
	jobs := f.consumer.learning().NewJobsClient()
	for deadline := time.Now().Add(patience); ; time.Sleep(30 * time.Millisecond) {
		got := done(jobs.Get(f.t.Context(), "rg", "fs", id, nil))(f.t)
		job, isSpark := got.Properties.(*armmachinelearning.SparkJob)
		if !isSpark {
			f.t.Fatalf("the job is a %T", got.Properties)
		}
		switch *job.Status {
		case armmachinelearning.JobStatusCompleted, armmachinelearning.JobStatusFailed, armmachinelearning.JobStatusCanceled:
			return job
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the job is still %s", *job.Status)
		}
	}
}

// failure is why a job failed; the SDK's type has no field for it.
func (f *fraud) failure(id string) string {
	return f.admin.Do("GET", *f.store.ID+"/jobs/"+id, nil).Text("properties.error.message")
}

// online reads the amounts of accounts, NaN where there is none.
func (f *fraud) online(c *client, accounts ...string) ([]float64, testenv.Answer) {
	f.t.Helper()
	answer := c.user.Send("POST", f.env.Server.Endpoints.Features+*f.store.ID+"/online", testenv.Features, map[string]any{
		"features": []string{"transactions:1"}, "keys": map[string]any{"accountID": accounts},
	})
	var body struct {
		Rows []struct {
			Amount *float64 `json:"amount"`
		} `json:"rows"`
	}
	if answer.Status == 200 {
		if err := json.Unmarshal(answer.Raw, &body); err != nil {
			f.t.Fatal(err)
		}
	}
	var out []float64
	for _, row := range body.Rows {
		if row.Amount == nil {
			out = append(out, math.NaN())
			continue
		}
		out = append(out, *row.Amount)
	}
	return out, answer
}

// FS-08, FS-12, MI-20, BX-08: data and specification uploaded with azblob, a backfill that fails because the
// materialization identity may not read the source, the role given, the same job repeated, its values read by whom it
// concerns.
func TestSDKBackfill(t *testing.T) {
	f := newSource(t)
	ctx, jobs := t.Context(), f.consumer.learning().NewJobsClient()
	versions := f.developer.learning().NewFeaturesetVersionsClient()
	whole := window(firstDay, firstDay.AddDate(0, 0, 4))

	err := ended(versions.BeginBackfill(ctx, "rg", "fs", "transactions", "1", armmachinelearning.FeaturesetVersionBackfillRequest{}, nil))(t)
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Fatalf("a first backfill without bounds gives %v", err)
	}
	err = ended(versions.BeginBackfill(ctx, "rg", "fs", "transactions", "1", window(firstDay.AddDate(0, 0, 1), firstDay), nil))(t)
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Fatalf("a window that ends before it starts gives %v", err)
	}

	whole.DisplayName, whole.Tags, whole.Properties = ptr("first days"), map[string]*string{"why": ptr("test")}, map[string]*string{"ticket": ptr("7")}
	first := f.backfill(whole)
	if len(first) != 1 {
		t.Fatalf("one window gives %d jobs", len(first))
	}
	if again := f.backfill(whole); len(again) != 0 && *f.ended(first[0]).Status != armmachinelearning.JobStatusFailed {
		t.Fatalf("the same window was given to %v while %v has it", again, first)
	}
	job := f.ended(first[0])
	if *job.Status != armmachinelearning.JobStatusFailed || *job.DisplayName != "first days" || *job.Tags["why"] != "test" || *job.Properties["ticket"] != "7" || *job.Properties["azureml.FeatureSetName"] != "transactions" {
		t.Fatalf("the job ended as %s: %+v", *job.Status, *job)
	}
	if reason := f.failure(first[0]); !strings.Contains(reason, "blobs/read") || !strings.Contains(reason, "fraudsource") {
		t.Fatalf("the job failed because of %q; it should name the missing role's action and the account", reason)
	}

	identity := done(f.owner.identities().NewUserAssignedIdentitiesClient().Get(ctx, "rg", "fs-jobs", nil))(t)
	f.admin.Grant(*identity.Properties.PrincipalID, access.RoleStorageBlobDataReader, f.env.Group("rg")+"/providers/Microsoft.Storage/storageAccounts/fraudsource")
	repeated := f.backfill(armmachinelearning.FeaturesetVersionBackfillRequest{JobID: &first[0]})
	if len(repeated) == 0 { // the second request above has taken the window over
		repeated = f.backfill(whole)
	}
	for _, id := range repeated {
		if job := f.ended(id); *job.Status != armmachinelearning.JobStatusCompleted {
			t.Fatalf("with the role, the job ended as %s: %s", *job.Status, f.failure(id))
		}
	}
	if complete := f.backfill(whole); len(complete) != 0 {
		t.Fatalf("what is complete is computed again, by %v", complete)
	}

	list := func(options armmachinelearning.JobsClientListOptions) []*armmachinelearning.JobBase {
		return paged(t, jobs.NewListPager("rg", "fs", &options), func(p armmachinelearning.JobsClientListResponse) []*armmachinelearning.JobBase { return p.Value })
	}
	if n := len(list(armmachinelearning.JobsClientListOptions{JobType: ptr("Spark"), Properties: ptr("azureml.FeatureSetName=transactions,azureml.FeatureSetVersion=1"), ListViewType: ptr(armmachinelearning.ListViewTypeActiveOnly)})); n < 2 {
		t.Fatalf("%d jobs of the set are listed", n)
	}
	if found := list(armmachinelearning.JobsClientListOptions{Tag: ptr("why"), Properties: ptr("ticket=7")}); len(found) == 0 {
		t.Fatal("the job is not found by its tag and property")
	} else if by := found[0].SystemData; by == nil || *by.CreatedBy != "developer" || by.CreatedAt.IsZero() {
		t.Fatalf("the job was created by %+v", by)
	}
	if found := list(armmachinelearning.JobsClientListOptions{Properties: ptr("azureml.FeatureSetName=others")}); len(found) != 0 {
		t.Fatalf("another set has %d jobs", len(found))
	}
	_, err = f.stranger.learning().NewJobsClient().Get(ctx, "rg", "fs", first[0], nil)
	forbidden(t, "a stranger reading a job", err, ml+"jobs/read")
	refused(t, "cancelling what has ended", ended(f.developer.learning().NewJobsClient().BeginCancel(ctx, "rg", "fs", first[0], nil))(t), 400, "JobAlreadyEnded")

	// Online, each account has its last row. Whoever may read the set's values reads them, on the set alone (FS-19).
	if _, answer := f.online(f.consumer, "A0"); answer.Status != 403 {
		t.Fatalf("a consumer without the data role gets %d %s", answer.Status, answer.Raw)
	}
	f.admin.Grant(f.consumer.user.ObjectID, access.RoleStorageBlobDataReader, *f.store.ID+"/featuresets/transactions/versions/1")
	want := []float64{amount(transactionRows - 5), amount(transactionRows - 4), math.NaN(), amount(transactionRows - 1)}
	if got, answer := f.online(f.consumer, "A0", "A1", "nobody", "A4"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("online are %v, want %v: %s", got, want, answer.Raw)
	}
	if _, answer := f.online(f.stranger, "A0"); answer.Status != 403 {
		t.Fatalf("a stranger gets %d %s", answer.Status, answer.Raw)
	}

	// Offline, the files are the identity's own, and readable by who holds a data role on their container.
	offline := done(f.owner.learning().NewWorkspaceConnectionsClient().Get(ctx, "rg", "fs", *f.store.Properties.FeatureStoreSettings.OfflineStoreConnectionName, nil))(t).
		Properties.(*armmachinelearning.ManagedIdentityAuthTypeWorkspaceConnectionProperties)
	parts := strings.Split(*offline.Target, "/")
	account := done(f.owner.storage().NewAccountsClient().GetProperties(ctx, "rg", parts[8], nil))(t)
	files := func(c *client) ([]*container.BlobItem, error) {
		pager := c.blobs(*account.Properties.PrimaryEndpoints.Blob).NewListBlobsFlatPager(parts[len(parts)-1], nil)
		return pages(ctx, pager, func(p azblob.ListBlobsFlatResponse) []*container.BlobItem { return p.Segment.BlobItems })
	}
	_, err = files(f.developer)
	refused(t, "a developer without a role on the offline store", err, 403, "AuthorizationPermissionMismatch")
	f.admin.Grant(f.developer.user.ObjectID, access.RoleStorageBlobDataReader, *offline.Target)
	if found := names(done(files(f.developer))(t), func(b *container.BlobItem) *string { return b.Name }); !strings.Contains(found, ".parquet") {
		t.Fatalf("the offline store holds %q", found)
	}
}

// FS-12: a job is cancelled, waiting or running; its window can be backfilled again.
func TestSDKCancelBackfill(t *testing.T) {
	f := newSource(t)
	identity := done(f.owner.identities().NewUserAssignedIdentitiesClient().Get(t.Context(), "rg", "fs-jobs", nil))(t)
	f.admin.Grant(*identity.Properties.PrincipalID, access.RoleStorageBlobDataReader, f.env.Group("rg"))
	var ids []string
	for day := range 4 {
		ids = append(ids, f.backfill(window(firstDay.AddDate(0, 0, day), firstDay.AddDate(0, 0, day+1)))...)
	}
	last := ids[len(ids)-1]
	forbidden(t, "a consumer cancelling", ended(f.consumer.learning().NewJobsClient().BeginCancel(t.Context(), "rg", "fs", last, nil))(t), ml+"jobs/cancel/action")
	polled(f.developer.learning().NewJobsClient().BeginCancel(t.Context(), "rg", "fs", last, nil))(t)
	if job := f.ended(last); *job.Status != armmachinelearning.JobStatusCanceled {
		t.Fatalf("the cancelled job ended as %s", *job.Status)
	}
	for _, id := range ids[:len(ids)-1] {
		if job := f.ended(id); *job.Status != armmachinelearning.JobStatusCompleted {
			t.Fatalf("a job beside it ended as %s: %s", *job.Status, f.failure(id))
		}
	}
	again := f.backfill(window(firstDay.AddDate(0, 0, 3), firstDay.AddDate(0, 0, 4)))
	if len(again) != 1 || *f.ended(again[0]).Status != armmachinelearning.JobStatusCompleted {
		t.Fatalf("the cancelled window is done again by %v", again)
	}
}
