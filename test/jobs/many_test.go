package jobs

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/test/testenv"
)

// Many short jobs, submitted at once, all run and end; the log of each is its own.
func TestManyJobs(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.cluster("cpu", object{"type": "SystemAssigned"}, 16)
	count := 60
	if testing.Short() {
		count = 20
	}
	begun := time.Now()
	for i := range count {
		w.submit(fmt.Sprintf("job%d", i), fmt.Sprintf("task say the number %d", i), nil)
	}
	submitted := time.Since(begun)
	for i := range count {
		id := fmt.Sprintf("%s/jobs/job%d", w.ws, i)
		w.ended(id, "Completed")
		w.has(id, w.log(id), fmt.Sprintf("\nthe number %d\n", i))
	}
	t.Logf("%d jobs: submitted in %v, ended in %v", count, submitted, time.Since(begun))
}

// Whoever follows a log gets all of it, as it is written, to its end.
func TestFollow(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.ready()
	id := w.submit("steady", "task rate 1024 5", nil)
	w.until(id, "Running", "Completed")
	request, err := http.NewRequestWithContext(t.Context(), "GET", w.env.Server.Endpoints.ResourceManager+id+"/logs?follow=true&api-version=2024-04-01", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.admin.Token("https://management.azure.com/"))
	answer, err := w.env.HTTP.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var all strings.Builder
	n, err := io.Copy(&all, answer.Body)
	if err != nil || n < 5_000_000 || !strings.HasSuffix(all.String(), "The job is completed.\n") {
		t.Fatalf("the log has %d bytes: %v", n, err)
	}
	if whole := w.log(id); whole != all.String() {
		t.Errorf("what was followed has %d bytes, and the log has %d", n, len(whole))
	}
}
