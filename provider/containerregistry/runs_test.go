package containerregistry_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// source uploads a source and gives its path.
func (w *world) source(registry string) string {
	w.t.Helper()
	got := w.must("POST", registry+"/listBuildSourceUploadUrl", nil)
	path := got.text("relativePath")
	if path == "" || !strings.Contains(got.text("uploadUrl"), path) {
		w.t.Fatalf("the upload URL is %s", got.Raw)
	}
	return path
}

// request gives the request of a build as `az acr build` sends it, with some fields changed; nil takes a field out.
func (w *world) request(registry string, changes map[string]any) map[string]any {
	w.t.Helper()
	body := map[string]any{
		"type": "DockerBuildRequest", "imageNames": []string{"app:v1"}, "isPushEnabled": true, "noCache": false, "dockerFilePath": "Dockerfile", "timeout": 600,
		"platform": map[string]any{"os": "Linux", "architecture": "amd64"}, "isArchiveEnabled": false, "sourceLocation": w.source(registry),
	}
	maps.Copy(body, changes)
	maps.DeleteFunc(body, func(_ string, value any) bool { return value == nil })
	return body
}

func (w *world) schedule(changes map[string]any) string {
	w.t.Helper()
	got := w.do("POST", fraud+"/scheduleRun", w.request(fraud, changes))
	if got.Status != 200 {
		w.t.Fatalf("scheduling: %d %s", got.Status, got.Raw)
	}
	return got.text("id")
}

// until waits for a run to come into one of some states.
func (w *world) until(run string, states ...string) answer {
	w.t.Helper()
	var got answer
	for range 3000 {
		if got = w.must("GET", run, nil); slices.Contains(states, got.text("properties.status")) {
			return got
		}
		wait()
	}
	w.t.Fatalf("the run does not become %q: %s", states, got.Raw)
	return got
}

func (w *world) ended(run string) answer {
	w.t.Helper()
	return w.until(run, "Succeeded", "Failed", "Canceled", "Error", "Timeout")
}

// completed waits for the end of a run's log.
func (w *world) completed(name string) (lines []string, outcome string) {
	w.t.Helper()
	for range 3000 {
		if lines, outcome = w.log(w.key("fraudacr"), name); outcome != "" {
			return lines, outcome
		}
		wait()
	}
	w.t.Fatalf("the log of %s is not complete: %q", name, lines)
	return nil, ""
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	principal := w.withRegistry().text("identity.principalId")
	begun, carryOn := make(chan struct{}), make(chan struct{})
	w.build.set(func(_ context.Context, order image.Order, log func(string)) (image.Result, error) {
		log("Step 1/1 : FROM scratch")
		close(begun)
		<-carryOn
		return pushed(order), nil
	})
	body := w.request(fraud, map[string]any{
		"imageNames": []string{"Team/app", "app:v1", "{{.Run.RegistryName}}/app:{{.Run.ID}}", "app:v1"}, "target": "final", "noCache": true, "isArchiveEnabled": true,
		"arguments":          []any{map[string]any{"type": "Argument", "name": "VERSION", "value": "1", "isSecret": false}, map[string]any{"name": "TOKEN", "value": "hunter2", "isSecret": true}},
		"agentConfiguration": map[string]any{"cpu": 2}, "platform": map[string]any{"os": "linux", "architecture": "arm64", "variant": "v8"}, "dockerFilePath": "build/Dockerfile",
	})
	refused(t, "an upper-case repository", w.do("POST", fraud+"/scheduleRun", body), 400, "InvalidImageName", "Team/app")
	body["imageNames"] = []string{"team/app", "app:v1", "{{.Run.RegistryName}}/app:{{.Run.ID}}", "app:v1"}
	got := w.do("POST", fraud+"/scheduleRun", body)
	if got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Raw)
	}
	run := got.text("id")
	for path, want := range map[string]any{
		"id": fraud + "/runs/cr1", "name": "cr1", "type": "Microsoft.ContainerRegistry/registries/runs", "properties.runId": "cr1", "properties.status": "Queued",
		"properties.runType": "QuickBuild", "properties.platform.os": "Linux", "properties.platform.architecture": "arm64", "properties.agentConfiguration.cpu": 2.0,
		"properties.isArchiveEnabled": true, "properties.provisioningState": "Succeeded", "properties.sourceRegistryAuth": "Default", "properties.work": nil, "properties.startTime": nil,
	} {
		if have := got.get(path); have != want {
			t.Errorf("%s is %v; want %v", path, have, want)
		}
	}
	<-begun
	if now := w.until(run, "Running"); now.text("properties.startTime") == "" || now.get("properties.finishTime") != nil {
		t.Errorf("running, it is %s", now.Raw)
	}
	doc, err := w.store.Get(t.Context(), resource.MustParseID(run).Key())
	if err != nil || strings.Contains(string(doc.Body), "hunter2") || !strings.Contains(string(doc.Body), `"secrets"`) {
		t.Errorf("the document is %s, %v", doc.Body, err)
	}
	order, who := w.build.last()
	key, server := w.key("fraudacr"), "127.0.0.1:50001"
	wantImages := []string{server + "/team/app:latest", server + "/app:v1", server + "/fraudacr/app:cr1"}
	if !slices.Equal(order.Images, wantImages) || !order.Push || !order.NoCache || order.Run != "cr1" || order.Dockerfile != "build/Dockerfile" || order.Target != "final" || order.Platform != "linux/arm64/v8" || order.CacheScope != key {
		t.Errorf("the order is %+v", order)
	}
	if want := []image.Argument{{Name: "VERSION", Value: "1"}, {Name: "TOKEN", Value: "hunter2", Secret: true}}; !slices.Equal(order.Arguments, want) {
		t.Errorf("the arguments are %+v", order.Arguments)
	}
	if order.Limits.CPUs != 2 || order.Limits.MemoryBytes != 1<<30 || order.Limits.Time < 600*time.Second || order.Network {
		t.Errorf("the limits are %+v", order.Limits)
	}
	if want := (image.Credential{ClientID: "system", Principal: principal}); len(order.Credentials) != 1 || order.Credentials[server] != want {
		t.Errorf("the credentials are %+v", order.Credentials)
	}
	if who.ID != run || who.Default != principal || !slices.Equal(who.Identities, []string{principal}) {
		t.Errorf("it runs as %+v", who)
	}
	if !slices.Equal(order.OwnHosts, []string{server}) || !strings.Contains(order.Source, key+"/"+body["sourceLocation"].(string)+"?sig=10m") {
		t.Errorf("the hosts are %q, the source is %s", order.OwnHosts, order.Source)
	}
	close(carryOn)
	end := w.ended(run)
	if end.text("properties.status") != "Succeeded" || end.text("properties.finishTime") == "" || end.get("properties.runErrorMessage") != nil {
		t.Errorf("at its end it is %s", end.Raw)
	}
	outputs, _ := end.get("properties.outputImages").([]any)
	if len(outputs) != 3 {
		t.Fatalf("the outputs are %v", outputs)
	}
	if want := map[string]any{"registry": server, "repository": "fraudacr/app", "tag": "cr1", "digest": digest}; !maps.Equal(outputs[2].(map[string]any), want) {
		t.Errorf("the last output is %v", outputs[2])
	}
	lines, outcome := w.completed("cr1")
	if text := strings.Join(lines, "\n"); outcome != "successful" || !strings.Contains(text, "Step 1/1") || !strings.Contains(text, "cr1: succeeded") || strings.Contains(text, "hunter2") {
		t.Errorf("the log ended %q and says %q", outcome, lines)
	}
	if doc, _ := w.store.Get(t.Context(), resource.MustParseID(run).Key()); strings.Contains(string(doc.Body), `"secrets"`) {
		t.Error("the run has ended, and its secrets are still there")
	}
	if link := w.must("POST", run+"/listLogSasUrl", nil).text("logLink"); !strings.Contains(link, key+"/logs/cr1") {
		t.Errorf("the log is at %s", link)
	}
}

func TestListRuns(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.build.set(func(_ context.Context, order image.Order, _ func(string)) (image.Result, error) {
		if order.Target == "broken" {
			return image.Result{}, resource.Invalidf("BuildFailed", "Dockerfile:3: RUN false ended with the exit code 1.")
		}
		return pushed(order), nil
	})
	for i := range 12 {
		changes := map[string]any{"imageNames": []string{fmt.Sprintf("app%d", i+1)}}
		if i == 3 {
			changes["target"] = "broken"
		}
		w.ended(w.schedule(changes))
	}
	w.must("PATCH", fraud+"/runs/cr5", map[string]any{"isArchiveEnabled": true})
	created := w.must("GET", fraud+"/runs/cr6", nil).text("properties.createTime")
	list := func(query string) []string {
		t.Helper()
		return w.must("GET", fraud+"/runs"+query, nil).names()
	}
	for query, want := range map[string][]string{
		"?$top=3": {"cr12", "cr11", "cr10"}, "?$filter=Status eq 'Failed'": {"cr4"}, "?$filter=status eq 'FAILED' and RunId eq 'cr4'": {"cr4"},
		"?$filter=RunId eq 'cr2'": {"cr2"}, "?$filter=IsArchiveEnabled eq true": {"cr5"}, "?$filter=RunType eq 'AutoBuild'": nil,
		"?$filter=contains(OutputImageManifests, 'app7@" + digest + "')": {"cr7"}, "?$filter=TaskName eq 'x'": nil, "?$filter=Status ne 'Succeeded'": {"cr4"},
		"?$filter=CreateTime lt " + created: {"cr5", "cr4", "cr3", "cr2", "cr1"}, "?$filter=CreateTime le '" + created + "' and CreateTime ge " + created: {"cr6"},
		"?$top=2&$filter=FinishTime gt 2001-01-01T00:00:00Z": {"cr12", "cr11"}, "?$filter=AgentPoolName eq ''&$top=1": {"cr12"}, "?$filter=OutputImageManifests eq 'x'": nil,
	} {
		if got := list(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q", query, got)
		}
	}
	if got := list(""); len(got) != 12 || got[0] != "cr12" || got[11] != "cr1" {
		t.Errorf("all are %q", got)
	}
	for query, want := range map[string]string{
		"?$filter=Branch eq 'x'": "Branch", "?$filter=Status": "Status", "?$filter=Status eq 'x' or Status eq 'y'": "joined by and", "?$filter=Status gt 'x'": "gt",
		"?$filter=CreateTime gt 'yesterday'": "yesterday", "?$filter=contains(CreateTime, '2')": "contains", "?$filter=Status eq 'x' and ": "at",
	} {
		refused(t, query, w.do("GET", fraud+"/runs"+query, nil), 400, "InvalidFilter", want)
	}
	refused(t, "a bad number", w.do("GET", fraud+"/runs?$top=0", nil), 400, "InvalidParameter", "$top")
	refused(t, "a registry that is not there", w.do("GET", registries+"nothing/runs", nil), 404, "ParentResourceNotFound")
	refused(t, "a run that is not there", w.do("GET", fraud+"/runs/cr99", nil), 404, "ResourceNotFound", "cr99")
	reader, stranger := w.person("reader"), w.person("stranger")
	w.grant(reader, "acdd72a7-3385-48ef-bd42-f606fba81ae7", fraud+"/runs/cr2") // Reader of one run
	if got := w.as(reader, "GET", fraud+"/runs?$top=1", nil); !slices.Equal(got.names(), []string{"cr2"}) {
		t.Errorf("who may read one run sees %s", got.Raw)
	}
	refused(t, "a stranger", w.as(stranger, "GET", fraud+"/runs", nil), 403, "AuthorizationFailed", "registries/runs/read")
}

func TestChangeRun(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	run := w.schedule(nil)
	w.ended(run)
	before := w.must("GET", run, nil)
	for _, body := range []map[string]any{{"isArchiveEnabled": true}, {"properties": map[string]any{"isArchiveEnabled": false}}} {
		got := w.do("PATCH", run, body)
		if want := body["isArchiveEnabled"] == true; got.Status != 200 || got.get("properties.isArchiveEnabled") != want || got.text("properties.status") != "Succeeded" {
			t.Errorf("%v: %d %s", body, got.Status, got.Raw)
		}
	}
	if after := w.must("PATCH", run, map[string]any{}); after.text("properties.createTime") != before.text("properties.createTime") || after.get("properties.isArchiveEnabled") != false {
		t.Errorf("an empty change: %s", after.Raw)
	}
	refused(t, "another field", w.do("PATCH", run, map[string]any{"status": "Failed"}), 400, "InvalidRequestContent", "status")
	refused(t, "a PUT", w.do("PUT", run, map[string]any{}), 405, "MethodNotAllowed", "scheduleRun")
	refused(t, "a PUT of a new one", w.do("PUT", fraud+"/runs/cr77", map[string]any{}), 405, "MethodNotAllowed")
	refused(t, "a deletion", w.do("DELETE", run, nil), 405, "MethodNotAllowed", "goes with")
	reader := w.person("reader")
	w.grant(reader, "acdd72a7-3385-48ef-bd42-f606fba81ae7", fraud)
	refused(t, "a reader changes", w.as(reader, "PATCH", run, map[string]any{"isArchiveEnabled": true}), 403, "AuthorizationFailed", "registries/runs/write")
	refused(t, "a reader cancels", w.as(reader, "POST", run+"/cancel", nil), 403, "AuthorizationFailed", "registries/runs/cancel/action")
	refused(t, "a reader reads the log", w.as(reader, "POST", run+"/listLogSasUrl", nil), 403, "AuthorizationFailed", "registries/runs/listLogSasUrl/action")
}

// TestRunsAreBounded: of the runs that have ended the newest 1000 are kept, and as many of those to archive.
func TestRunsAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many runs")
	}
	w := newWorld(t)
	w.withRegistry()
	first := w.schedule(nil)
	w.ended(first)
	doc, err := w.store.Get(t.Context(), resource.MustParseID(first).Key())
	if err != nil {
		t.Fatal(err)
	}
	var ops []store.Op
	add := func(n int, archived bool) {
		text := strings.NewReplacer(`cr1"`, fmt.Sprintf(`cr%d"`, n), `"sequence":1,`, fmt.Sprintf(`"sequence":%d,`, n), `"isArchiveEnabled":false`, fmt.Sprintf(`"isArchiveEnabled":%t`, archived)).Replace(string(doc.Body))
		ops = append(ops, store.Put{Key: resource.MustParseID(fmt.Sprintf("%s/runs/cr%d", fraud, n)).Key(), Kind: doc.Kind, Body: []byte(text)})
	}
	for n := 2; n <= 1005; n++ {
		add(n, false)
	}
	for n := 1006; n <= 1010; n++ {
		add(n, true)
	}
	if _, err := w.store.Apply(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
	next := w.schedule(nil)
	if !strings.HasSuffix(next, "/cr1011") {
		t.Errorf("the next one is %s", next)
	}
	w.ended(next)
	if got := w.must("GET", fraud+"/runs", nil).names(); len(got) != 1005 || got[len(got)-1] != "cr7" {
		t.Errorf("there are %d runs, and the oldest is %s", len(got), got[len(got)-1])
	}
	if slices.Sort(w.forgot); len(w.forgot) != 6 || !strings.HasPrefix(w.forgot[0], "cr1 source/") {
		t.Errorf("forgotten are %q", w.forgot)
	}
}
