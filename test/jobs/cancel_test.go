package jobs

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/test/testenv"
)

// waitsFor waits until the log of a job has a text.
func (w *world) waitsFor(id, text string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), "GET", w.env.Server.Endpoints.ResourceManager+id+"/logs?follow=true&api-version=2024-04-01", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.admin.Token("https://management.azure.com/"))
	answer, err := w.env.HTTP.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var all strings.Builder
	part := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := answer.Body.Read(part)
		all.Write(part[:n])
		if err == io.EOF || err != nil {
			w.t.Fatalf("the log ended without %q: %v %s", text, err, all.String())
		}
	}
}

// A job is canceled while it waits and while it runs; deleting one ends it too.
func TestJobCancel(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.cluster("cpu", object{"type": "SystemAssigned"}, 1)
	running := w.submit("running", "task term", nil)
	w.waitsFor(running, "waiting")
	w.until(running, "Running")
	waiting := w.submit("waiting", "task say hello", nil)
	last := w.submit("last", "task say hello", nil)
	w.until(waiting, "Queued")

	if got := w.must("POST", waiting+"/cancel", nil); got.Status != 202 || got.Header.Get("Location") == "" {
		t.Errorf("cancel is answered with %d %v", got.Status, got.Header)
	}
	if got := w.ended(waiting, "Canceled"); got.Text("properties.startTime") != "" {
		t.Errorf("a job that was canceled while it waited has begun: %s", got.Raw)
	}
	w.must("POST", running+"/cancel", nil)
	w.ended(running, "Canceled")
	w.has("the log", w.log(running), "waiting\n", "saved\n", "The job is canceled")
	refused(t, "a second cancel", w.admin.Do("POST", running+"/cancel", nil), 400, "JobAlreadyEnded", "Canceled")
	w.ended(last, "Completed") // its node is free again

	doomed := w.submit("doomed", "task sleep 1h", nil)
	w.waitsFor(doomed, "sleeping")
	if got := w.admin.Do("DELETE", doomed, nil); got.Status != 200 {
		t.Errorf("deleting a job that runs: %d %s", got.Status, got.Raw)
	}
	w.run("after", "Completed", "task say hello", nil) // and again
}

// What runs goes on while the server is gone, and is taken up again; what waits, goes on waiting. Nothing runs twice.
func TestJobsOutliveTheServer(t *testing.T) {
	dir := testenv.Folder(t)
	child := testenv.StartChild(t, dir)
	w := newWorld(t, child.Env, true)
	w.cluster("cpu", object{"type": "SystemAssigned"}, 1)
	running := w.submit("running", "task say begun then sleep 4s then say over then token", nil)
	waiting := w.submit("waiting", "task say begun", nil)
	doomed := w.submit("doomed", "task say begun", nil)
	w.waitsFor(running, "sleeping")
	child.Kill()
	child = testenv.StartChild(t, dir)
	w.env, w.admin = child.Env, child.Env.Admin()
	w.must("POST", doomed+"/cancel", nil)
	if now := w.until(running, "Running", "Completed"); now.Text("properties.status") == "Running" {
		if next := w.must("GET", waiting, nil); next.Text("properties.status") != "Queued" {
			t.Errorf("the only node is in use, and the next job is %s", next.Text("properties.status"))
		}
	}
	w.ended(running, "Completed")
	log := w.log(running)
	w.has("the log", log, "begun\nsleeping\nover\nclaims ")
	if strings.Count(log, "begun") != 1 {
		t.Errorf("the job was begun more than once: %s", log)
	}
	w.ended(waiting, "Completed")
	w.ended(doomed, "Canceled")
	if log := w.log(doomed); strings.Contains(log, "begun") {
		t.Errorf("a job that was canceled while it waited has run: %s", log)
	}
	child.Kill()
	child = testenv.StartChild(t, dir)
	w.env, w.admin = child.Env, child.Env.Admin()
	if again := w.log(running); again != log {
		t.Errorf("after another restart the log is %q; want %q", again, log)
	}
}
