package provider_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/store/sqlite"
)

// Operations and jobs that were accepted survive the end of the process: what was not done yet is done after the next
// start, as the one who asked for it.
func TestOperationsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alvara.db")
	open := func() *world {
		st, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return openWorld(t, st)
	}
	w := open()
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withStore("Offline")
	w.must("PUT", subscription+"/resourceGroups/going", map[string]any{"location": "local"})
	hold := make(chan struct{})
	w.runner.set(nil, hold)
	job := w.backfill(backfillOf("2025-04-02", "2025-04-03")).get("jobIds").([]any)[0].(string)
	for w.must("GET", fs+"/jobs/"+job, nil).text("properties.status") != "Running" {
		time.Sleep(time.Millisecond)
	}
	other := group + "/providers/Microsoft.MachineLearningServices/workspaces/other"
	created := w.send(w.owner, "PUT", other, map[string]any{"kind": "FeatureStore"})
	deleted := w.send(w.owner, "DELETE", subscription+"/resourceGroups/going", nil)
	if created.Status != 202 || deleted.Status != 202 {
		t.Fatalf("accepted: %d %s, %d %s", created.Status, created.Raw, deleted.Status, deleted.Raw)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no time for anything to end
	_ = w.store.Close(ctx)

	w = open()
	for range 2000 {
		if w.do("GET", created.Header.Get("Azure-AsyncOperation"), nil).text("status") != "InProgress" &&
			w.do("GET", deleted.Header.Get("Azure-AsyncOperation"), nil).text("status") != "InProgress" {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if got := w.do("GET", created.Header.Get("Location"), nil); got.text("properties.provisioningState") != "Succeeded" {
		t.Errorf("the store after the restart: %d %s", got.Status, got.Raw)
	}
	if got := w.do("GET", deleted.Header.Get("Location"), nil); got.Status != 200 {
		t.Errorf("the deletion after the restart: %d %s", got.Status, got.Raw)
	}
	if got := w.do("GET", subscription+"/resourceGroups/going", nil); got.Status != 404 {
		t.Errorf("the group after the restart: %d", got.Status)
	}
	if got := w.ended(job); got.text("properties.status") != "Completed" {
		t.Errorf("the job after the restart: %s", got.Raw)
	}
	refused(t, "the operation of somebody else", w.as(w.person("stranger"), "GET", created.Header.Get("Azure-AsyncOperation"), nil), 404, "OperationNotFound")
}

// A fault of the service's own is tried again; a job that keeps failing is Failed, tells no more than it should, and its
// window is Incomplete.
func TestFaultsOfOurs(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	w.runner.set(context.DeadlineExceeded, nil)
	job := w.ended(w.backfill(backfillOf("2025-04-02T04:00:00Z", "2025-04-03T04:00:00Z")).get("jobIds").([]any)[0].(string))
	if job.text("properties.status") != "Failed" || job.text("properties.error.code") != "InternalError" || strings.Contains(job.Raw, "deadline") {
		t.Errorf("the job: %s", job.Raw)
	}
	if n := len(w.runner.orders); n != 3 {
		t.Errorf("%d attempts; want 3", n)
	}
	if got := w.intervals("offline"); !strings.Contains(got, "Incomplete 02T04-03T04") {
		t.Errorf("the ledger: %s", got)
	}
}
