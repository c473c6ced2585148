package acceptance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/test/testenv"
)

// TestCrashOfBackfills kills the server, and with it the workers, at random moments of backfills. Every job that was
// acknowledged comes to its end, the ledger says Complete, and what is stored equals what is computed from the source.
// Readers beside the crashes, and crashes of the worker alone, are tested in featurestore/materialize.
func TestCrashOfBackfills(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	w, observations := filled(t)
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, w.source[:strings.Index(w.source, "/blobServices")])
	w.admin.Grant(w.admin.PrincipalID(), access.RoleStorageBlobDataReader, w.group)
	w.env.Stop()

	var jobs []string
	resumed := 0
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := range rounds {
		child := testenv.StartChild(t, w.env.Dir)
		admin := child.Env.Admin()
		from := start.AddDate(0, (round*2)%42, 0)
		answer, err := admin.Try("POST", w.version("spent", "1")+"/backfill", map[string]any{
			"featureWindow":          map[string]any{"featureWindowStart": from.Format(time.RFC3339), "featureWindowEnd": from.AddDate(0, 4, 0).Format(time.RFC3339)},
			"dataAvailabilityStatus": []string{"None", "Incomplete", "Complete"},
		})
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("round %d: %d %s %v", round, answer.Status, answer.Raw, err)
		}
		ids, _ := answer.Get("jobIds").([]any)
		for _, id := range ids {
			jobs = append(jobs, fmt.Sprint(id))
		}
		time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
		for _, id := range ids {
			if job, err := admin.Try("GET", w.store+"/jobs/"+fmt.Sprint(id), nil); err == nil && job.Text("properties.status") != "Completed" {
				resumed++
			}
		}
		child.Kill()
	}
	child := testenv.StartChild(t, w.env.Dir)
	after := *w
	after.env, after.admin = child.Env, child.Env.Admin()
	for _, id := range jobs {
		if job := after.wait(t, id); job.Text("properties.status") != "Completed" {
			t.Errorf("job %s: %s", id, job.Raw)
		}
	}
	last := after.backfill(t, after.admin, "spent", "2020-01-01", "2023-07-01", map[string]any{"dataAvailabilityStatus": []string{"None", "Incomplete", "Complete"}})
	if last.Text("properties.status") != "Completed" {
		t.Fatalf("the last backfill: %s", last.Raw)
	}
	t.Logf("%d rounds, %d jobs, %d of them cut off", rounds, len(jobs), resumed)
	if resumed == 0 {
		t.Error("no job was cut off: the test shows nothing")
	}
	intervals := after.admin.Do("GET", w.version("spent", "1")+"/dataIntervals", nil)
	for _, store := range []string{"offline", "online"} {
		list, _ := intervals.Get(store).([]any)
		if len(list) != 1 || list[0].(map[string]any)["status"] != "Complete" {
			t.Errorf("%s: %s", store, intervals.Raw)
		}
	}
	got := after.retrieve(t, after.admin, observations, "csv", "a=spending:1", "b=spent:1")
	if got.Status != http.StatusOK {
		t.Fatalf("retrieval: %d %.400s", got.Status, got.Raw)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(got.Raw)), "\n")[1:] {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if n := len(fields); fields[n-1] != fields[n-3] || fields[n-2] != fields[n-4] {
			t.Fatalf("what is stored differs from what is computed: %s", line)
		}
	}
}

// Stopping a server in good order costs a job none of its attempts: stopped more often than it may be tried, it still
// comes to its end.
func TestShutdownOfBackfills(t *testing.T) {
	w, _ := filled(t)
	w.admin.Grant(w.identity, access.RoleStorageBlobDataReader, w.source[:strings.Index(w.source, "/blobServices")])
	answer := w.must(w.admin.Do("POST", w.version("spent", "1")+"/backfill", backfillBody("2020-01-01", "2023-07-01")))
	ids, _ := answer.Get("jobIds").([]any)
	after := *w
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		after.env.Stop()
		after.env = testenv.StartIn(t, app.Config{DataDir: w.env.Dir, PasswordGrant: true})
		after.admin = after.env.Admin()
	}
	if job := after.wait(t, fmt.Sprint(ids[0])); job.Text("properties.status") != "Completed" {
		t.Errorf("after five stops: %s", job.Raw)
	}
}
