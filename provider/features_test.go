package provider_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/resource"
)

// FS-11: a version is created, updated, archived, hidden, shown and restored; what it computes never changes.
func TestLifeOfAVersion(t *testing.T) {
	w := newWorld(t)
	w.withStore("None")
	patch := func(properties map[string]any) answer {
		return w.do("PATCH", setVersion, map[string]any{"properties": properties})
	}
	if got := patch(map[string]any{"stage": "Production", "description": "of cards"}); got.Status != 200 || got.text("properties.stage") != "Production" || got.get("properties.isArchived") != false {
		t.Errorf("update: %d %s", got.Status, got.Raw)
	}
	if got := patch(map[string]any{"isArchived": true}); got.text("properties.stage") != "Archived" || got.text("properties.description") != "of cards" {
		t.Errorf("archive: %d %s", got.Status, got.Raw)
	}
	for view, want := range map[string]string{"": "[]", "ArchivedOnly": "[1]", "All": "[1]", "ActiveOnly": "[]"} {
		if got := w.do("GET", fs+"/featuresets/transactions/versions?listViewType="+view, nil); sorted(got.names()) != want {
			t.Errorf("view %q shows %s", view, got.Raw)
		}
	}
	if got := patch(map[string]any{"isArchived": false}); got.text("properties.stage") != "Development" {
		t.Errorf("restore: %d %s", got.Status, got.Raw)
	}
	before := w.contents()
	other := setBody("None")
	other["properties"].(map[string]any)["specification"] = map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": strings.Replace(specification, "amount", "sum", 1)}}
	refused(t, "another specification", w.do("PUT", setVersion, other), 409, "VersionImmutable", "properties.specification")
	refused(t, "other entities", patch(map[string]any{"entities": []string{"azureml:other:1"}}), 409, "VersionImmutable", "properties.entities")
	refused(t, "an unknown stage", patch(map[string]any{"stage": "Retired"}), 400, "InvalidStage", "Retired")
	refused(t, "other index columns", w.do("PATCH", fs+"/featurestoreEntities/account/versions/1", map[string]any{"properties": map[string]any{
		"indexColumns": []any{map[string]any{"columnName": "accountID", "dataType": "Long"}}}}), 409, "VersionImmutable", "indexColumns")
	refused(t, "an entity in use", w.do("DELETE", fs+"/featurestoreEntities/account/versions/1", nil), 409, "ResourceInUse", "featuresets/transactions/versions/1")
	refused(t, "an entity in use, with its container", w.do("DELETE", fs+"/featurestoreEntities/account", nil), 409, "ResourceInUse", "featuresets/transactions/versions/1")
	w.unchanged(before, "refused changes")
	w.must("DELETE", fs+"/featuresets/transactions", nil)
	w.must("DELETE", fs+"/featurestoreEntities/account", nil)
}

func (w *world) intervals(kind string) string {
	w.t.Helper()
	got := w.must("GET", setVersion+"/dataIntervals?start=2025-04-01T04:00:00Z&end=2025-04-06T04:00:00Z", nil)
	var out []string
	list, _ := got.get(kind).([]any)
	for _, item := range list {
		interval := item.(map[string]any)
		start, _ := time.Parse(time.RFC3339, interval["start"].(string))
		end, _ := time.Parse(time.RFC3339, interval["end"].(string))
		out = append(out, fmt.Sprintf("%s %s-%s", interval["status"], start.Format("02T15"), end.Format("02T15")))
	}
	return strings.Join(out, ", ")
}

func (w *world) backfill(body map[string]any) answer {
	w.t.Helper()
	return w.do("POST", setVersion+"/backfill", body)
}

func backfillOf(start, end string, statuses ...string) map[string]any {
	window := map[string]any{}
	if start != "" {
		window["featureWindowStart"] = start
	}
	if end != "" {
		window["featureWindowEnd"] = end
	}
	return map[string]any{"featureWindow": window, "dataAvailabilityStatus": statuses}
}

// jobs starts a backfill, waits until its jobs have ended, and gives their windows and their names.
func (w *world) jobs(body map[string]any) (windows, names []string) {
	w.t.Helper()
	got := w.backfill(body)
	if got.Status >= 300 {
		w.t.Fatalf("backfill %v: %d %s", body, got.Status, got.Raw)
	}
	ids, _ := got.get("jobIds").([]any)
	for _, id := range ids {
		job := w.ended(id.(string))
		names = append(names, id.(string))
		p, _ := job.get("properties.properties").(map[string]any)
		window := fmt.Sprintf("%v..%v %v", p["azureml.FeatureWindowStart"], p["azureml.FeatureWindowEnd"], p["alvara.stores"])
		windows = append(windows, strings.NewReplacer("2025-04-", "", ":00:00Z", "").Replace(window))
	}
	return windows, names
}

func (w *world) ended(job string) answer {
	w.t.Helper()
	for range 2000 {
		got := w.must("GET", fs+"/jobs/"+job, nil)
		switch got.text("properties.status") {
		case "Completed", "Failed", "Canceled":
			return got
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.t.Fatalf("the job %s does not end", job)
	return answer{}
}

var errNoData = resource.NotFoundf("SourceNotFound", "the source has no files")

// FS-12: the worked example: intervals None, Incomplete, None, Complete, None; a backfill of Complete and Incomplete cuts
// across them.
func TestWorkedExampleOfBackfill(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	w.runner.set(errNoData, nil)
	w.jobs(backfillOf("2025-04-02T04:00:00Z", "2025-04-03T04:00:00Z"))
	w.runner.set(nil, nil)
	w.jobs(backfillOf("2025-04-04T04:00:00Z", "2025-04-05T04:00:00Z"))
	if got := w.intervals("offline"); got != "None 01T04-02T04, Incomplete 02T04-03T04, None 03T04-04T04, Complete 04T04-05T04, None 05T04-06T04" {
		t.Fatalf("before: %s", got)
	}
	w.runner.set(errNoData, nil)
	windows, _ := w.jobs(backfillOf("2025-04-02T12:00:00Z", "2025-04-04T12:00:00Z", "Complete", "Incomplete"))
	if got := fmt.Sprint(windows); got != "[02T12..03T04 offline 04T04..04T12 offline]" {
		t.Errorf("jobs: %s", got)
	}
	if got := w.intervals("offline"); got != "None 01T04-02T04, Incomplete 02T04-03T04, None 03T04-04T04, Incomplete 04T04-04T12, Complete 04T12-05T04, None 05T04-06T04" {
		t.Errorf("after a failure: %s", got)
	}
	w.runner.set(nil, nil)
	w.jobs(backfillOf("", "", "incomplete"))
	if got := w.intervals("offline"); got != "None 01T04-02T04, Complete 02T04-03T04, None 03T04-04T04, Complete 04T04-05T04, None 05T04-06T04" {
		t.Errorf("after the rest: %s", got)
	}
	if windows, _ := w.jobs(backfillOf("", "", "Pending")); len(windows) != 0 {
		t.Errorf("Pending is submitted again: %v", windows)
	}
	job := w.ended(w.backfill(backfillOf("2025-04-10", "2025-04-11")).get("jobIds").([]any)[0].(string))
	if job.get("properties.work") != nil || job.text("properties.status") != "Completed" {
		t.Errorf("a job: %s", job.Raw)
	}
	for _, order := range w.runner.orders {
		if order.Identity != w.must("GET", fs, nil).text("properties.materializationIdentity.principalId") {
			t.Errorf("an order runs as %s", order.Identity)
		}
	}
}

// FS-12: a failed job is repeated by its id while its whole window is Incomplete.
func TestBackfillByJob(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	w.runner.set(errNoData, nil)
	_, failed := w.jobs(backfillOf("2025-04-02", "2025-04-03"))
	if job := w.ended(failed[0]); job.text("properties.error.code") != "SourceNotFound" || job.text("properties.error.message") == "" {
		t.Errorf("why the job failed: %s", job.Raw)
	}
	w.runner.set(nil, nil)
	windows, _ := w.jobs(map[string]any{"jobId": failed[0]})
	if fmt.Sprint(windows) != "[02T00..03T00 offline]" {
		t.Errorf("repeated: %v", windows)
	}
	before := w.contents()
	refused(t, "a job whose window is Complete", w.backfill(map[string]any{"jobId": failed[0]}), 400, "UserError", "Complete")
	refused(t, "no such job", w.backfill(map[string]any{"jobId": "nothing"}), 400, "UserError", "nothing")
	refused(t, "a path for a job", w.backfill(map[string]any{"jobId": "x/providers/y"}), 400, "UserError", "jobId")
	w.unchanged(before, "refused backfills")
}

// FS-12: online windows come from what the offline store has, and from nothing else.
func TestOnlineBootstrapsFromOffline(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	w.jobs(backfillOf("2025-04-02", "2025-04-03"))
	w.must("PATCH", setVersion, map[string]any{"properties": map[string]any{"materializationSettings": map[string]any{"storeType": "OnlineAndOffline", "onlineTtl": "P30D"}}})
	w.runner.orders = nil
	windows, _ := w.jobs(backfillOf("2025-04-01", "2025-04-04"))
	if len(windows) != 3 {
		t.Errorf("jobs: %v", windows)
	}
	slices.SortFunc(w.runner.orders, func(a, b materialize.Order) int { return a.Start.Compare(b.Start) })
	for i, o := range w.runner.orders {
		if o.Offline != (i != 1) || !o.Online || o.FromSource || o.OnlineTTL != 30*24*time.Hour {
			t.Errorf("order %d: %+v", i, o)
		}
	}
	// A window that failed offline is not put online by a backfill that leaves it out.
	w.runner.set(errNoData, nil)
	w.jobs(backfillOf("2025-04-05", "2025-04-06"))
	w.runner.set(nil, nil)
	if windows, _ := w.jobs(backfillOf("2025-04-05", "2025-04-07", "None")); len(windows) != 1 || !strings.Contains(windows[0], "06T00") {
		t.Errorf("jobs: %v", windows)
	}
}

// A version that is being materialized stays; its store takes everything along, with the jobs that run.
func TestDeletingWhileMaterializing(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	w.runner.set(nil, make(chan struct{}))
	job := w.backfill(backfillOf("2025-04-02", "2025-04-03")).get("jobIds").([]any)[0].(string)
	refused(t, "a version in use", w.do("DELETE", setVersion, nil), 409, "FeatureSetInUse", job)
	refused(t, "the set", w.do("DELETE", fs+"/featuresets/transactions", nil), 409, "FeatureSetInUse", job)
	refused(t, "another container for the store", w.do("PATCH", fs, map[string]any{"properties": map[string]any{"offlineStore": map[string]any{
		"target": w.must("PUT", w.must("GET", fs, nil).text("properties.storageAccount")+"/blobServices/default/containers/other", map[string]any{}).text("id")}}}), 400, "UserError", "transactions:1")
	if got := w.do("POST", fs+"/jobs/"+job+"/cancel", nil); got.Status >= 300 {
		t.Fatalf("cancel: %d %s", got.Status, got.Raw)
	}
	if got := w.ended(job); got.text("properties.status") != "Canceled" {
		t.Errorf("after cancel: %s", got.Raw)
	}
	if got := w.do("POST", fs+"/jobs/"+job+"/cancel", nil); got.Status != 400 || got.code() != "JobAlreadyEnded" {
		t.Errorf("cancel again: %d %s", got.Status, got.Raw)
	}
	w.must("DELETE", setVersion, nil)
	if !slices.Contains(w.dropped, resource.MustParseID(setVersion).Key()) {
		t.Errorf("the online rows are left; forgotten were %v", w.dropped)
	}
	w.must("PUT", setVersion, setBody("Offline"))
	w.backfill(backfillOf("2025-04-02", "2025-04-03"))
	w.must("DELETE", fs, nil)
	for key := range w.contents() {
		if strings.HasPrefix(key, resource.MustParseID(fs).Key()) || strings.Contains(key, "#ledger") {
			t.Errorf("%s is left", key)
		}
	}
}
