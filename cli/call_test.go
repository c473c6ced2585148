package cli

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A command that is stopped while it waits says that the operation goes on, and how it is looked at.
func TestCommandsThatAreStoppedWhileTheyWait(t *testing.T) {
	endpoint := fakeWorkspace + "/onlineEndpoints/fraud"
	var stop context.CancelFunc
	waits := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Azure-AsyncOperation", "https://"+r.Host+"/operation")
		says(202, `{"properties":{"provisioningState":"Creating"}}`)(w, r)
	}
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + endpoint:                                    says(200, `{"name":"fraud","location":"west","properties":{"authMode":"Key"}}`),
		"PUT " + endpoint:                                    waits,
		"PUT " + endpoint + "/deployments/blue":              waits,
		"PUT " + fakeWorkspace + "/computes/cpu":             waits,
		"POST " + fakeWorkspace + "/computes/cpu/stop":       waits,
		"DELETE " + fakeWorkspace + "/onlineEndpoints/fraud": waits,
		"GET /operation": func(w http.ResponseWriter, r *http.Request) {
			stop()
			says(200, `{"status":"Running"}`)(w, r)
		},
	})
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"blue.yml": "name: blue\nenvironment: azureml:a:1\n"})
	for line, want := range map[string]string{
		"online-endpoint create -n fraud":                                             "writing endpoint fraud goes on at the server; its state: alvara resource show --ids " + endpoint + " --query",
		"online-endpoint delete -n fraud --yes":                                       "deleting endpoint fraud goes on",
		"compute create -n cpu --type AmlCompute":                                     "alvara resource show --ids " + fakeWorkspace + "/computes/cpu --query properties.provisioningState -o tsv",
		"compute stop -n cpu":                                                         "alvara resource show --ids " + fakeWorkspace + "/computes/cpu --query",
		"online-deployment create -e fraud -f " + filepath.Join(dir, "blue.yml") + "": "alvara resource show --ids " + endpoint + "/deployments/blue --query",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stop = cancel
		code, _, stderr := p.run(ctx, "ml "+line+" -w ws -g rg1")
		if code != 130 || !strings.Contains(stderr, want) || !strings.HasSuffix(stderr, "ERROR: stopped\n") {
			t.Errorf("%s: %d, %s", line, code, stderr)
		}
		cancel()
	}
}

// A write that meets another operation is told how that one is looked at.
func TestWritesThatMeetAnotherOperation(t *testing.T) {
	endpoint := fakeWorkspace + "/onlineEndpoints/fraud"
	p := newPlant(t, map[string]http.HandlerFunc{
		"PUT " + endpoint: says(409, `{"error":{"code":"AnotherOperationInProgress","message":"wait until it has ended."}}`),
	})
	code, _, stderr := p.run(t.Context(), "ml online-endpoint create -n fraud -w ws -g rg1")
	if code != ExitError || !strings.Contains(stderr, "(AnotherOperationInProgress)") || !strings.Contains(stderr, "Try: alvara resource show --ids "+endpoint+" --query properties.provisioningState -o tsv") {
		t.Errorf("%d, %s", code, stderr)
	}
}
