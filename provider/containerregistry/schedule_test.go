package containerregistry_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/image"
)

func TestRunRequests(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	custom := func(host string, entry any) map[string]any {
		return map[string]any{"credentials": map[string]any{"customRegistries": map[string]any{host: entry}}}
	}
	for _, c := range []struct {
		what    string
		changes map[string]any
		code    string
		wants   []string
	}{
		{"a task in a text", map[string]any{"type": "EncodedTaskRunRequest", "encodedTaskContent": "x"}, "NotSupported", []string{"EncodedTaskRunRequest", "DockerBuildRequest"}},
		{"a task in a file", map[string]any{"type": "FileTaskRunRequest", "taskFilePath": "acb.yaml"}, "NotSupported", []string{"FileTaskRunRequest"}},
		{"a stored task", map[string]any{"type": "TaskRunRequest", "taskId": "t"}, "NotSupported", []string{"TaskRunRequest"}},
		{"no type", map[string]any{"type": nil}, "InvalidRunRequest", []string{"type", "DockerBuildRequest was expected"}},
		{"an unknown field", map[string]any{"imageName": "app"}, "InvalidRequestContent", []string{"imageName"}},
		{"an agent pool", map[string]any{"agentPoolName": "p"}, "NotSupported", []string{"agentPoolName"}},
		{"a log artifact", map[string]any{"logTemplate": "t"}, "NotSupported", []string{"logTemplate"}},
		{"no Dockerfile", map[string]any{"dockerFilePath": nil}, "InvalidRunRequest", []string{"dockerFilePath"}},
		{"no platform", map[string]any{"platform": nil}, "InvalidRunRequest", []string{"platform"}},
		{"Windows", map[string]any{"platform": map[string]any{"os": "Windows"}}, "NotSupported", []string{"platform.os", "Windows"}},
		{"an unknown system", map[string]any{"platform": map[string]any{"os": "Plan9"}}, "InvalidRequestContent", []string{"Plan9"}},
		{"an unknown processor", map[string]any{"platform": map[string]any{"os": "Linux", "architecture": "riscv"}}, "InvalidRunRequest", []string{"riscv"}},
		{"an unknown variant", map[string]any{"platform": map[string]any{"os": "Linux", "variant": "v9"}}, "InvalidRunRequest", []string{"v9"}},
		{"no source", map[string]any{"sourceLocation": nil}, "InvalidRunRequest", []string{"sourceLocation", "listBuildSourceUploadUrl"}},
		{"a git source", map[string]any{"sourceLocation": "https://github.com/x/y.git#main"}, "NotSupported", []string{"sourceLocation", "git"}},
		{"a git source over ssh", map[string]any{"sourceLocation": "git@github.com:x/y.git"}, "NotSupported", nil},
		{"a source nobody uploaded", map[string]any{"sourceLocation": "source/x.tar.gz"}, "InvalidRunRequest", []string{"source/x.tar.gz", "nothing was uploaded"}},
		{"a source elsewhere", map[string]any{"sourceLocation": "source/../../x"}, "InvalidRunRequest", []string{"sourceLocation"}},
		{"an absolute source", map[string]any{"sourceLocation": "/etc/passwd"}, "InvalidRunRequest", nil},
		{"a source with a query", map[string]any{"sourceLocation": "source/x?sig=1"}, "InvalidRunRequest", nil},
		{"a negative timeout", map[string]any{"timeout": -1}, "InvalidRunRequest", []string{"timeout", "28800"}},
		{"a long timeout", map[string]any{"timeout": 28801}, "InvalidRunRequest", []string{"28801"}},
		{"too many processors", map[string]any{"agentConfiguration": map[string]any{"cpu": 65}}, "InvalidRunRequest", []string{"agentConfiguration.cpu"}},
		{"no images to push", map[string]any{"imageNames": []string{}}, "InvalidRunRequest", []string{"imageNames", "isPushEnabled"}},
		{"too many images", map[string]any{"imageNames": slices.Repeat([]string{"app"}, 101)}, "InvalidRunRequest", []string{"101"}},
		{"a bad argument", map[string]any{"arguments": []any{map[string]any{"name": "A=B", "value": "x"}}}, "InvalidRunRequest", []string{"arguments", "A=B"}},
		{"an empty image", map[string]any{"imageNames": []string{""}}, "InvalidImageName", nil},
		{"a digest", map[string]any{"imageNames": []string{"app@" + digest}}, "InvalidImageName", []string{"digest"}},
		{"a bad tag", map[string]any{"imageNames": []string{"app:-x"}}, "InvalidImageName", []string{"-x"}},
		{"dots", map[string]any{"imageNames": []string{"../app"}}, "InvalidImageName", nil},
		{"a long name", map[string]any{"imageNames": []string{strings.Repeat("a", 256)}}, "InvalidImageName", []string{"255"}},
		{"an unknown template", map[string]any{"imageNames": []string{"app:{{.Run.Branch}}"}}, "NotSupported", []string{"{{.Run.Branch}}", "{{.Run.ID}}"}},
		{"another registry", map[string]any{"imageNames": []string{"other.azurecr.io/app:v1"}}, "InvalidRunRequest", []string{"other.azurecr.io", "customRegistries"}},
		{"another port", map[string]any{"imageNames": []string{"127.0.0.1:50002/app:v1"}}, "InvalidRunRequest", []string{"127.0.0.1:50002"}},
		{"another registry without a push", map[string]any{"imageNames": []string{"other.azurecr.io/app:v1"}, "isPushEnabled": false}, "InvalidRunRequest", []string{"other.azurecr.io"}},
		{"a registry with neither", custom("other.example.com", map[string]any{}), "InvalidRunRequest", []string{"customRegistries[other.example.com]", "identity"}},
		{"a registry that is null", custom("other.example.com", nil), "InvalidRunRequest", []string{"other.example.com"}},
		{"a registry that is a URL", custom("https://other.example.com", map[string]any{"identity": "[system]"}), "InvalidRunRequest", []string{"without https://"}},
		{"both at once", custom("other.example.com", map[string]any{"identity": "[system]", "userName": map[string]any{"type": "Opaque", "value": "u"}}), "InvalidRunRequest", []string{"leave one of them out"}},
		{"a name without a password", custom("other.example.com", map[string]any{"userName": map[string]any{"type": "Opaque", "value": "u"}}), "InvalidRunRequest", []string{"password"}},
		{"a vault", custom("other.example.com", map[string]any{"userName": map[string]any{"type": "Opaque", "value": "u"}, "password": map[string]any{"type": "Vaultsecret", "value": "https://v"}}), "NotSupported", []string{"password.type"}},
		{"an identity's token for a stranger", custom("other.example.com", map[string]any{"identity": "[system]"}), "InvalidRunRequest", []string{"no registry of this server", "--trust-registry other.example.com"}},
		{"an unknown mode", map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"loginMode": "Some"}}}, "InvalidRequestContent", []string{"loginMode"}},
		{"a push without signing in", map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"loginMode": "None"}}}, "InvalidRunRequest", []string{"loginMode", "isPushEnabled"}},
		{"an identity for no sign-in", map[string]any{"isPushEnabled": false, "credentials": map[string]any{"sourceRegistry": map[string]any{"loginMode": "None", "identity": "[system]"}}}, "InvalidRunRequest", nil},
		{"the caller", map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"identity": "[caller]"}}}, "NotSupported", []string{"caller"}},
	} {
		refused(t, c.what, w.do("POST", fraud+"/scheduleRun", w.request(fraud, c.changes)), 400, c.code, c.wants...)
	}
	refused(t, "no body", w.do("POST", fraud+"/scheduleRun", nil), 400, "InvalidRequestContent", "no body")
	if got := w.must("GET", fraud+"/runs", nil).names(); len(got) != 0 {
		t.Errorf("after refusals there are runs %q", got)
	}
	refused(t, "a source of another registry", w.do("POST", fraud+"/scheduleRun", func() any {
		w.must("PUT", registries+"other", with(nil))
		return w.request(registries+"other", nil)
	}()), 400, "InvalidRunRequest", "nothing was uploaded")
	for what, changes := range map[string]map[string]any{
		"no push":             {"isPushEnabled": false, "imageNames": nil},
		"nothing about pushs": {"isPushEnabled": nil, "imageNames": nil},
		"no sign-in":          {"isPushEnabled": false, "credentials": map[string]any{"sourceRegistry": map[string]any{"loginMode": "none"}}},
		"null credentials":    {"credentials": map[string]any{"sourceRegistry": nil, "customRegistries": nil}},
		"the host":            {"imageNames": []string{"127.0.0.1:50001/app:{{.Run.Date}}"}},
		"the template host":   {"imageNames": []string{"{{.Run.Registry}}/app-{{ .Run.OS }}:{{.Run.Architecture}}"}},
	} {
		if got := w.ended(w.schedule(changes)); got.text("properties.status") != "Succeeded" {
			t.Errorf("%s: %s", what, got.Raw)
		}
	}
}

// TestIdentityRules (MI-11): a run acts as the registry's own identity, or as a user-assigned one that is the registry's or
// that the caller may assign.
func TestIdentityRules(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", fraud, with(nil))
	uami := w.must("PUT", builder, map[string]any{"location": "local"})
	client, principal := uami.text("properties.clientId"), uami.text("properties.principalId")
	as := func(identity string) map[string]any {
		return map[string]any{"credentials": map[string]any{"sourceRegistry": map[string]any{"loginMode": "Default", "identity": identity}}}
	}
	ask := func(who, identity string) answer {
		t.Helper()
		changes := as(identity)
		if identity == "" {
			changes = nil
		}
		return w.as(who, "POST", fraud+"/scheduleRun", w.request(fraud, changes))
	}
	cure := "alvara acr identity assign -n fraudacr -g rg --identities '[system]'"
	refused(t, "no identity", ask(w.owner, ""), 400, "IdentityNotFound", "fraudacr", cure)
	refused(t, "[system] without one", ask(w.owner, "[System]"), 400, "IdentityNotFound", cure)
	refused(t, "an unknown client id", ask(w.owner, uuid.NewString()), 400, "IdentityNotFound", "client id")
	refused(t, "an identity that is not there", ask(w.owner, builder+"2"), 400, "FailedIdentityOperation", "builder2")
	refused(t, "another resource", ask(w.owner, fraud), 400, "InvalidIdentityId", "credentials.sourceRegistry.identity")
	refused(t, "a name", ask(w.owner, "builder"), 400, "InvalidIdentity", `"builder"`, "[system]")

	runner := w.person("runner")
	w.grant(runner, "b24988ac-6180-42a0-ab88-20f7382dd24c", fraud) // Contributor on the registry
	for _, name := range []string{builder, strings.ToUpper(builder), client} {
		refused(t, "MI-11: "+name+" without a role on it", ask(runner, name), 403, "AuthorizationFailed", arm.AssignAction, "Managed Identity Operator")
	}
	refused(t, "one that is not there, without a role on it", ask(runner, builder+"2"), 403, "AuthorizationFailed", arm.AssignAction)
	w.grant(runner, "f1a07417-d97a-45cb-824c-7a7467783830", builder) // Managed Identity Operator
	for _, name := range []string{builder, strings.ToUpper(client)} {
		got := ask(runner, name)
		if got.Status != 200 {
			t.Fatalf("%s: %d %s", name, got.Status, got.Raw)
		}
		w.ended(got.text("id"))
		order, who := w.build.last()
		if want := (image.Credential{ClientID: client, Principal: principal}); order.Credentials["127.0.0.1:50001"] != want {
			t.Errorf("%s: the credentials are %+v", name, order.Credentials)
		}
		if !slices.Equal(who.Identities, []string{principal}) || who.Default != "" {
			t.Errorf("%s: it runs as %+v", name, who)
		}
	}

	// One of the registry's own needs no more than the registry.
	other := w.person("other")
	w.grant(other, "b24988ac-6180-42a0-ab88-20f7382dd24c", fraud)
	w.must("PATCH", fraud, map[string]any{"identity": map[string]any{"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": map[string]any{builder: map[string]any{}}}})
	for _, name := range []string{builder, client, "[system]", ""} {
		if got := ask(other, name); got.Status != 200 {
			t.Errorf("the registry's own %q: %d %s", name, got.Status, got.Raw)
		}
	}
	// Made again under the same name it is another one, which the registry was not given.
	w.must("DELETE", builder, nil)
	refused(t, "an identity that was deleted", ask(other, builder), 403, "AuthorizationFailed", arm.AssignAction)
	again := w.must("PUT", builder, map[string]any{"location": "local"})
	refused(t, "an identity that was made again", ask(other, builder), 403, "AuthorizationFailed", arm.AssignAction)
	refused(t, "its old client id", ask(other, client), 403, "AuthorizationFailed", arm.AssignAction)
	refused(t, "its new client id", ask(other, again.text("properties.clientId")), 403, "AuthorizationFailed", arm.AssignAction)
	refused(t, "without a role on the registry", w.as(w.person("stranger"), "POST", fraud+"/scheduleRun", w.request(fraud, nil)), 403, "AuthorizationFailed", "registries/scheduleRun/action")
}

// TestCredentialMap: each registry is spoken to as whom the request says, by host.
func TestCredentialMap(t *testing.T) {
	w := newWorld(t)
	system := w.withRegistry().text("identity.principalId")
	w.must("PUT", registries+"baseacr", with(nil)) // 127.0.0.1:50002
	uami := w.must("PUT", builder, map[string]any{"location": "local"})
	opaque := func(text string) map[string]any { return map[string]any{"type": "Opaque", "value": text} }
	run := w.schedule(map[string]any{
		"imageNames": []string{"app:v1", "127.0.0.1:50002/mirror/app:v1"},
		"credentials": map[string]any{"customRegistries": map[string]any{
			"127.0.0.1:50002":     map[string]any{"identity": uami.text("properties.clientId")},
			"trusted.example.com": map[string]any{"identity": "[system]"},
			"Docker.Example.com":  map[string]any{"userName": opaque("robot"), "password": opaque("hunter2")},
		}},
	})
	end := w.ended(run)
	order, who := w.build.last()
	want := map[string]image.Credential{
		"127.0.0.1:50001":     {ClientID: "system", Principal: system},
		"127.0.0.1:50002":     {ClientID: uami.text("properties.clientId"), Principal: uami.text("properties.principalId")},
		"trusted.example.com": {ClientID: "system", Principal: system},
		"docker.example.com":  {Username: "robot", Password: "hunter2"},
	}
	if !maps.Equal(order.Credentials, want) {
		t.Errorf("the credentials are %+v", order.Credentials)
	}
	if slices.Sort(order.OwnHosts); !slices.Equal(order.OwnHosts, []string{"127.0.0.1:50001", "127.0.0.1:50002"}) || !slices.Equal(order.TrustedHosts, []string{"trusted.example.com"}) {
		t.Errorf("the hosts are %q and %q", order.OwnHosts, order.TrustedHosts)
	}
	ids := []string{system, uami.text("properties.principalId")}
	if slices.Sort(ids); who.Default != system || len(who.Identities) != 2 || !slices.Contains(who.Identities, ids[0]) || !slices.Contains(who.Identities, ids[1]) {
		t.Errorf("it runs as %+v", who)
	}
	if strings.Contains(end.Raw, "hunter2") || len(end.get("properties.customRegistries").([]any)) != 3 {
		t.Errorf("it shows %s", end.Raw)
	}
	// The registry itself may be in the map, too.
	w.ended(w.schedule(map[string]any{"credentials": map[string]any{"customRegistries": map[string]any{"127.0.0.1:50001": map[string]any{"identity": builder}}}}))
	if order, _ := w.build.last(); len(order.Credentials) != 1 || order.Credentials["127.0.0.1:50001"].ClientID != uami.text("properties.clientId") {
		t.Errorf("the credentials are %+v", order.Credentials)
	}
}

func TestTooManyRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many runs")
	}
	w := openWorld(t, newStore(), newWorld(t).sealer, 0) // nobody works
	w.must("PUT", group, map[string]any{"location": "local"})
	w.withRegistry()
	for range 100 {
		w.schedule(nil)
	}
	refused(t, "one more", w.do("POST", fraud+"/scheduleRun", w.request(fraud, nil)), 429, "TooManyRuns", "100 runs")
	if got := w.do("POST", fraud+"/runs/cr50/cancel", nil); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Raw)
	}
	w.schedule(nil)
}

// TestScheduledAtOnce: runs that are scheduled at the same time have numbers of their own.
func TestScheduledAtOnce(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	ids := make(chan string, 16)
	for range cap(ids) {
		body := w.request(fraud, nil)
		go func() { ids <- w.do("POST", fraud+"/scheduleRun", body).text("id") }()
	}
	seen := map[string]bool{}
	for range cap(ids) {
		id := <-ids
		if id == "" || seen[id] {
			t.Fatalf("a run is called %q, and others are %v", id, seen)
		}
		seen[id] = true
		if got := w.ended(id); got.text("properties.status") != "Succeeded" {
			t.Error(got.Raw)
		}
	}
	if !seen[fraud+"/runs/cr16"] {
		t.Errorf("the runs are %v", seen)
	}
}
