package jobs

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

const dataScientist = "f6c7c914-8db3-469d-8ca1-694a8f32e121"

// holder reads whose token a job has shown.
func (w *world) holder(log string) string {
	w.t.Helper()
	_, claims, _ := strings.Cut(log, "claims ")
	claims, _, _ = strings.Cut(claims, "\n")
	text, err := base64.RawURLEncoding.DecodeString(claims)
	var who struct{ OID string }
	if err != nil || json.Unmarshal(text, &who) != nil || who.OID == "" {
		w.t.Fatalf("the log has no token: %s", log)
	}
	return who.OID
}

// refused fails unless an answer refuses in a certain way.
func refused(t *testing.T, what string, got testenv.Answer, status int, code string, wants ...string) {
	t.Helper()
	if got.Status != status || got.Code() != code {
		t.Errorf("%s: %d %s; want %d %s", what, got.Status, got.Raw, status, code)
		return
	}
	for _, want := range wants {
		if !strings.Contains(got.Message(), want) {
			t.Errorf("%s: the message does not say %q: %s", what, want, got.Message())
		}
	}
}

// MI-05, MI-09, MI-20: the image is used as it is, pulled as the compute's identity, and the code gets tokens of the identity that the
// job says, and of no other.
func TestJobIdentities(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	system := w.ready()
	one, oneClient, oneObject := w.identity("one")
	two, twoClient, twoObject := w.identity("two")
	_, strangeClient, _ := w.identity("strange")
	w.cluster("users", object{"type": "UserAssigned", "userAssignedIdentities": object{one: object{}, two: object{}}}, 2)
	w.admin.Grant(oneObject, access.RoleAcrPull, w.registry)
	w.admin.Grant(twoObject, access.RoleAcrPull, w.registry)
	w.cluster("bare", nil, 1)

	submitter := w.env.ServicePrincipal("submitter")
	w.admin.Grant(submitter.ObjectID, dataScientist, w.ws)

	on := func(compute string, identity object) object {
		more := object{"computeId": "azureml:" + compute}
		if identity != nil {
			more["identity"] = identity
		}
		return more
	}
	for name, c := range map[string]struct {
		command string
		more    object
		want    string
	}{
		"the-computes": {"task token", on("cpu", nil), system},
		"managed":      {"task token", on("cpu", object{"identityType": "Managed"}), system},
		"by-client":    {"task token", on("users", object{"identityType": "managed", "clientId": strings.ToUpper(twoClient)}), twoObject},
		"by-object":    {"task token", on("users", object{"identityType": "Managed", "objectId": oneObject}), oneObject},
		"by-resource":  {"task token", on("users", object{"identityType": "Managed", "resourceId": two}), twoObject},
		"default":      {"task token", on("users", nil), oneObject},
		"asks-another": {"task token " + twoClient, on("users", nil), twoObject},
	} {
		ended, log := w.run(name, "Completed", c.command, c.more)
		if got := w.holder(log); got != c.want {
			t.Errorf("%s: the token is of %s; want %s", name, got, c.want)
		}
		if ended.Text("properties.identity.identityType") != "Managed" {
			t.Errorf("%s: %s", name, ended.Raw)
		}
	}
	if got := submitter.Do("PUT", w.ws+"/jobs/mine", job("task token", object{"identity": object{"identityType": "UserIdentity"}})); got.Status != 201 {
		t.Fatalf("a data scientist may not submit: %s", got.Raw)
	}
	w.ended(w.ws+"/jobs/mine", "Completed")
	if got := w.holder(w.log(w.ws + "/jobs/mine")); got != submitter.ObjectID {
		t.Errorf("a job of the submitter's identity has a token of %s; want %s", got, submitter.ObjectID)
	}

	// What was not given is not to be had.
	ended, log := w.run("other", "Failed", "task token "+strangeClient, on("users", nil))
	w.has("the log of a job that asks for a strange identity", log, "error:")
	if ended.Text("properties.error.code") != "UserProcessFailed" {
		t.Errorf("a command that fails ends the job so: %s", ended.Raw)
	}
	_, log = w.run("picked", "Failed", "task token "+oneClient, on("users", object{"identityType": "Managed", "clientId": twoClient}))
	w.has("the log of a job that runs as the other identity", log, "error:")
	_, log = w.run("nobody", "Failed", "task token", on("cpu", object{"identityType": "AMLToken"}))
	w.has("the log of a job that is nobody", log, "there is no identity endpoint")

	put := func(more object) testenv.Answer {
		return w.admin.Do("PUT", w.ws+"/jobs/refused", job("task say", more))
	}
	refused(t, "another's client id", put(on("users", object{"identityType": "Managed", "clientId": strangeClient})), 400, "IdentityNotOfCompute", strangeClient, oneClient, "identity assign")
	refused(t, "no identity to be", put(on("bare", object{"identityType": "Managed"})), 400, "ComputeIdentityMissing", "alvara ml computetarget amlcompute identity assign", "UserIdentity")
	refused(t, "nobody reads", put(object{"computeId": "azureml:bare", "inputs": object{"x": object{"jobInputType": "uri_file", "uri": "azureml://datastores/workspaceblobstore/paths/x"}}}), 400, "IdentityRequired", "properties.inputs.x")
	refused(t, "an id for a person", put(on("cpu", object{"identityType": "UserIdentity", "clientId": oneClient})), 400, "InvalidIdentity")
	if got := w.admin.Do("GET", w.ws+"/jobs/refused", nil); got.Status != 404 {
		t.Errorf("a refused job is there: %s", got.Raw)
	}

	// Who may not submit is told so; who may not see the compute is not told about it.
	reader := w.env.ServicePrincipal("reader")
	w.admin.Grant(reader.ObjectID, access.RoleReader, w.ws)
	refused(t, "a reader submits", reader.Do("PUT", w.ws+"/jobs/refused", job("task say", nil)), 403, "AuthorizationFailed", "workspaces/jobs/write")
}

// MI-03 and MI-06: the first job of a workspace without a registry makes it. A cluster that was there before, and any registry that
// nobody granted, refuses the pull by names; one role assignment cures it at once.
func TestJobPullRefused(t *testing.T) {
	w := newWorld(t, testenv.Start(t), false)
	principal := w.cluster("cpu", object{"type": "SystemAssigned"}, 1)
	if got := w.must("GET", w.ws, nil).Text("properties.containerRegistry"); got != "" {
		t.Fatalf("the workspace has the registry %s before anything needs one", got)
	}
	id := w.submit("first", "task say hello", nil)
	own := w.must("GET", w.ws, nil).Text("properties.containerRegistry")
	if own == "" {
		t.Fatal("MI-03: the workspace has no registry after its first job was accepted")
	}
	if admin := w.must("GET", own, nil).Get("properties.adminUserEnabled"); admin != true {
		t.Errorf("MI-03: the admin user of the registry is %v", admin)
	}
	failed := w.ended(id, "Failed")
	if code := failed.Text("properties.error.code"); code != "ImagePullForbidden" {
		t.Errorf("MI-06: the code is %q", code)
	}
	w.has("MI-06: the refusal", failed.Text("properties.error.message"), principal, "AcrPull", w.registry, "alvara role assignment create --assignee "+principal)
	w.has("the log", w.log(id), "AcrPull")

	w.admin.Grant(principal, access.RoleAcrPull, w.registry)
	again := w.must("POST", id+"/retry", nil)
	if again.Status != 201 || again.Text("name") != "first-retry-1" {
		t.Errorf("the retry is answered with %d %s", again.Status, again.Raw)
	}
	ended := w.ended(again.Text("id"), "Completed")
	if properties, _ := ended.Get("properties.properties").(object); properties["alvara.retryOf"] != "first" {
		t.Errorf("a retried job says %v", properties)
	}
	if ended.Text("properties.displayName") != "first-retry-1" {
		t.Errorf("a retried job is called %s", ended.Text("properties.displayName"))
	}
}

// A compute without an identity pulls with the password of its registry's admin user alone, and only while that is enabled.
func TestJobAdminPull(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.cluster("cpu", nil, 1)
	failed, _ := w.run("off", "Failed", "task say hello", nil)
	w.has("the refusal", failed.Text("properties.error.message"), "no identity", "admin user is not enabled", "identity assign")
	w.must("PATCH", w.registry, object{"properties": object{"adminUserEnabled": true}})
	_, log := w.run("on", "Completed", "task say hello then env IDENTITY_ENDPOINT", nil)
	w.has("the log", log, "hello", "IDENTITY_ENDPOINT=\n")
	password := w.must("POST", w.registry+"/listCredentials", nil)
	list, _ := password.Get("passwords").([]any)
	for _, one := range list {
		if value, _ := one.(object)["value"].(string); value == "" || strings.Contains(log, value) {
			t.Error("the log has the password of the admin user")
		}
	}
}

// MI-10: an image that only the compute may pull cannot be built upon, and the refusal says what to do instead.
func TestJobBuildRefused(t *testing.T) {
	w := newWorld(t, testenv.Start(t), false)
	principal := w.cluster("cpu", object{"type": "SystemAssigned"}, 1)
	w.admin.Grant(principal, access.RoleAcrPull, w.registry)
	w.must("PUT", w.ws+"/environments/built/versions/1", object{"properties": object{"image": w.image, "condaFile": "dependencies:\n- python=3.12\n"}})
	failed, _ := w.run("built", "Failed", "task say hello", object{"environmentId": "azureml:built@latest"})
	if code := failed.Text("properties.error.code"); code != "BaseImageIdentityMissing" {
		t.Errorf("MI-10: %s", failed.Raw)
	}
	w.has("MI-10: the refusal", failed.Text("properties.error.message"), "When only the compute may pull the image, use the image as it is")
	_, log := w.run("as-it-is", "Completed", "task say hello", nil)
	w.has("MI-09: the log", log, "hello")
}
