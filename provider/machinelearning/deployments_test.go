package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/workload"
)

func (w *world) withEndpoint(more object) {
	w.t.Helper()
	w.must("PUT", fraudAt, object{"properties": more})
	if got := w.settledAt(fraudAt); got.text("properties.provisioningState") != "Succeeded" {
		w.t.Fatal(got.Raw)
	}
}

// A deployment is there when its instances are ready: with the digest of its image, its model and code, as the endpoint's identity (MI-20).
func TestDeploy(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.withEndpoint(object{})
	w.images.files = map[string]string{"acct/data/m/model.bin": "m", "acct/data/code/score.py": "c"}
	w.must("PUT", ws+"/datastores/ds", object{"properties": object{"datastoreType": "AzureBlob", "accountName": "acct", "containerName": "data"}})
	w.must("PUT", ws+"/models/m/versions/1", object{"properties": object{"modelUri": "azureml://datastores/ds/paths/m/model.bin"}})
	w.must("PUT", ws+"/codes/c/versions/1", object{"properties": object{"codeUri": "azureml://datastores/ds/paths/code/"}})
	first := w.send(w.owner, "PUT", blue, deployment("Managed", "1", object{
		"model": "azureml:m:1", "codeConfiguration": object{"codeId": ws + "/codes/c/versions/1", "scoringScript": "./score.py"}, "environmentVariables": object{"A": "b"},
	}))
	if first.Status != 201 || first.Header.Get("Azure-AsyncOperation") == "" {
		t.Fatalf("create: %d %s", first.Status, first.Raw)
	}
	got := w.settledAt(blue)
	if got.text("properties.provisioningState") != "Succeeded" || got.get("properties.instances.ready") != 1.0 || got.text("properties.requestSettings.requestTimeout") != "PT5S" {
		t.Fatalf("the deployment: %s", got.Raw)
	}
	order := w.serving.machine.Launches()[0]
	env := strings.Join(order.Env, " ")
	principal := w.must("GET", fraudAt, nil).text("identity.principalId")
	if order.Image != hostName("byo")+"/serve@sha256:"+strings.Repeat("a", 64) || order.Port != 8080 || order.Who.ID != principal || order.Puller.Who.ID != principal ||
		len(order.Inputs) != 1 || order.Inputs[0] != (workload.File{Name: "model.bin", Account: "acct", Container: "data", Path: "m/model.bin"}) ||
		len(order.Code) != 1 || order.Code[0].Path != "code" || !order.Code[0].Folder {
		t.Errorf("the order: %+v", order)
	}
	for _, want := range []string{"A=b", "AZUREML_ENTRY_SCRIPT=score.py", "AZUREML_MODEL_DIR=${{inputs.model.bin/..}}", "AZUREML_ARM_WORKSPACE_NAME=ws"} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment has no %s: %s", want, env)
		}
	}
	if logs := w.must("POST", blue+"/getLogs", object{"tail": 100}); !strings.Contains(logs.text("content"), "serves") {
		t.Errorf("logs: %s", logs.Raw)
	}
	refused(t, "too many lines", w.do("POST", blue+"/getLogs", object{"tail": 0}), 400, "InvalidParameter", "tail")
	if skus := w.must("GET", blue+"/skus", nil); skus.count("value") != 1 {
		t.Errorf("skus: %s", skus.Raw)
	}
	// What it runs cannot go away below it.
	if got := w.do("DELETE", ws+"/codes/c/versions/1", nil); got.Status != 409 {
		t.Errorf("its code was deleted: %d %s", got.Status, got.Raw)
	}
	w.must("PATCH", blue, object{"sku": object{"capacity": 3}})
	if got := w.settledAt(blue); got.get("properties.instances.ready") != 3.0 {
		t.Errorf("scaled: %s", got.Raw)
	}
	w.must("PUT", blue, deployment("Managed", "2", nil))
	if got := w.settledAt(blue); got.text("properties.provisioningState") != "Succeeded" {
		t.Errorf("updated: %s", got.Raw)
	}
	if all := w.serving.machine.Launches(); !strings.HasSuffix(all[len(all)-1].Image, strings.Repeat("b", 64)) || len(all) != 4 {
		t.Errorf("%d were begun, the last one of %s", len(all), all[len(all)-1].Image)
	}
	w.must("DELETE", blue, nil)
	if w.serving.machine.Kept() != 0 {
		t.Errorf("instances are left: %v", w.serving.machine.Running())
	}
}

// Requests are parted among what serves, and what gets requests is not deleted.
func TestDeploymentTraffic(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.withEndpoint(object{})
	w.must("PUT", blue, deployment("Managed", "1", nil))
	w.must("PUT", green, deployment("Managed", "2", nil))
	traffic := func(shares object) answer {
		return w.do("PATCH", fraudAt, object{"properties": object{"traffic": shares}})
	}
	refused(t, "too little", traffic(object{"blue": 50}), 400, "InvalidTraffic", "50 percent")
	refused(t, "one that is not there", traffic(object{"red": 100}), 400, "DeploymentNotReady", "red")
	if got := traffic(object{"blue": 90, "green": 10}); got.Status != 200 || got.get("properties.traffic.blue") != 90.0 {
		t.Fatalf("%d %s", got.Status, got.Raw)
	}
	known, err := w.serving.catalog.Endpoint(t.Context(), "fraud")
	if err != nil || len(known.Traffic) != 2 || known.Traffic[0].Deployment != "blue" || known.Traffic[0].Percent != 90 || known.Deployments["green"].Name() != "green" {
		t.Errorf("the gateway knows %+v, %v", known, err)
	}
	refused(t, "deleting what gets requests", w.do("DELETE", green, nil), 409, "DeploymentHasTraffic", "alvara ml online-endpoint update -n fraud", "green=0")
	if got := traffic(object{"blue": 100, "green": 0}); got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Raw)
	}
	w.must("DELETE", green, nil)
	// A write that says nothing of traffic leaves it.
	if got := w.must("PUT", fraudAt, object{"properties": object{"description": "x"}}); got.get("properties.traffic.blue") != 100.0 {
		t.Errorf("after another write: %s", got.Raw)
	}
	w.must("DELETE", fraudAt, nil)
	if w.serving.machine.Kept() != 0 {
		t.Errorf("instances are left: %v", w.serving.machine.Running())
	}
}

// A deployment that fails says why; what served before goes on.
func TestDeploymentFails(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.withEndpoint(object{})
	w.must("PUT", blue, deployment("Managed", "1", nil))
	w.must("PUT", ws+"/environments/gone/versions/1", object{"properties": object{"image": hostName("byo") + "/gone:1"}})
	refused(t, "an image that is not there", w.do("PUT", blue, deployment("Managed", "1", object{"environmentId": "azureml:gone:1"})), 404, "ImageNotFound", "gone:1")
	got := w.must("GET", blue, nil)
	if got.text("properties.provisioningState") != "Failed" || got.text("properties.provisioningError.code") != "ImageNotFound" || got.get("properties.instances.ready") != 1.0 {
		t.Errorf("the deployment: %s", got.Raw)
	}
	// What it names and is not there is refused before anything is made, by name and by id, for a new one and an old one.
	for _, at := range []string{green, blue} {
		for field, texts := range map[string][]string{
			"EnvironmentNotFound properties.environmentId":     {"azureml:serve:9", ws + "/environments/serve/versions/9"},
			"ModelNotFound properties.model":                   {"azureml:x:1", "azureml:x@latest", ws + "/models/x/versions/1"},
			"CodeNotFound properties.codeConfiguration.codeId": {"azureml:x:1", ws + "/codes/x/versions/1"},
		} {
			code, name, _ := strings.Cut(field, " ")
			for _, text := range texts {
				more := object{strings.TrimPrefix(name, "properties."): text}
				if code == "CodeNotFound" {
					more = object{"codeConfiguration": object{"codeId": text, "scoringScript": "score.py"}}
				}
				refused(t, text, w.do("PUT", at, deployment("Managed", "1", more)), 404, code, name, text)
			}
		}
	}
	if got := w.do("GET", green, nil); got.Status != 404 {
		t.Errorf("a deployment of nothing is there: %s", got.Raw)
	}
	w.must("PUT", blue, deployment("Managed", "2", nil)) // and a good one serves again
	if got := w.settledAt(blue); got.text("properties.provisioningState") != "Succeeded" {
		t.Errorf("the deployment: %s", got.Raw)
	}
}

func TestDeploymentRules(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.withEndpoint(object{})
	for _, c := range []struct {
		name, kind string
		properties object
		code, want string
	}{
		{"an unknown type", "Batch", nil, "InvalidDeployment", "Managed, Kubernetes or ContainerInstance"},
		{"no environment", "Managed", object{"environmentId": ""}, "InvalidDeployment", "environmentId"},
		{"a mount path", "Managed", object{"modelMountPath": "/m"}, "NotSupported", "modelMountPath"},
		{"insights", "Managed", object{"appInsightsEnabled": true}, "NotSupported", "get-logs"},
		{"a collector", "Managed", object{"dataCollector": object{"collections": object{}}}, "NotSupported", "dataCollector"},
		{"a script elsewhere", "Managed", object{"codeConfiguration": object{"codeId": "azureml:c:1", "scoringScript": "../x"}}, "InvalidDeployment", "scoringScript"},
		{"no code", "Managed", object{"codeConfiguration": object{"scoringScript": "x"}}, "InvalidDeployment", "codeId"},
		{"a long timeout", "Managed", object{"requestSettings": object{"requestTimeout": "PT10M"}}, "InvalidDeployment", "PT180S"},
		{"no duration", "Managed", object{"requestSettings": object{"maxQueueWait": "5s"}}, "InvalidDeployment", "ISO 8601"},
		{"no concurrency", "Managed", object{"requestSettings": object{"maxConcurrentRequestsPerInstance": -1}}, "InvalidDeployment", "1 to 10000"},
		{"a probe without a period", "Managed", object{"livenessProbe": object{"period": "PT0S"}}, "InvalidDeployment", "livenessProbe.period"},
		{"needs of a managed one", "Managed", object{"containerResourceRequirements": object{"containerResourceLimits": object{"cpu": "1"}}}, "NotSupported", "containerResourceRequirements"},
		{"no quantity", "Kubernetes", object{"containerResourceRequirements": object{"containerResourceLimits": object{"cpu": "much"}}}, "InvalidDeployment", "500m"},
		{"a GPU", "Kubernetes", object{"containerResourceRequirements": object{"containerResourceLimits": object{"gpu": "1"}}}, "NotSupported", "gpu"},
		{"no type of scale", "Managed", object{"scaleSettings": object{"scaleType": "Magic"}}, "InvalidDeployment", "TargetUtilization"},
		{"fewer than the least", "Managed", object{"scaleSettings": object{"scaleType": "TargetUtilization", "minInstances": 3, "maxInstances": 2}}, "InvalidDeployment", "maxInstances"},
		{"a variable without a name", "Managed", object{"environmentVariables": object{"a b": "c"}}, "InvalidDeployment", "a b"},
		{"Kubernetes without a cluster", "Kubernetes", nil, "ComputeRequired", "names no cluster"},
	} {
		refused(t, c.name, w.do("PUT", blue, deployment(c.kind, "1", c.properties)), 400, c.code, c.want)
		w.do("DELETE", blue, nil)
	}
	body := deployment("Managed", "1", nil)
	body["sku"] = object{"name": "Default", "capacity": 0}
	refused(t, "no instance", w.do("PUT", blue, body), 400, "InvalidDeployment", "sku.capacity")
	w.must("PUT", blue, deployment("Managed", "1", nil))
	refused(t, "another type", w.do("PUT", blue, deployment("aci", "1", nil)), 400, "InvalidDeployment", "cannot be changed")
}

// MI-14: container instances pull as the admin user of the workspace's registry: refused while that is off, and again when it is turned
// off afterwards.
func TestContainerInstanceNeedsTheAdminUser(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.withEndpoint(object{})
	refused(t, "while the admin user is off", w.do("PUT", blue, deployment("ACI", "1", nil)), 400, "AdminUserDisabled",
		"alvara acr update -n byo --admin-enabled true", "Managed or Kubernetes")
	if n := len(w.serving.machine.Launches()); n != 0 {
		t.Fatalf("%d were begun", n)
	}
	w.must("PATCH", registries+"byo", object{"properties": object{"adminUserEnabled": true}})
	w.must("PUT", blue, deployment("ACI", "1", nil))
	if got := w.settledAt(blue); got.text("properties.provisioningState") != "Succeeded" || got.text("properties.endpointComputeType") != "ContainerInstance" {
		t.Fatalf("with it: %s", got.Raw)
	}
	if order := w.serving.machine.Launches()[0]; order.Puller.Username != "byo" || order.Puller.Password != "the password of byo" || order.Puller.Who.ID != "" {
		t.Errorf("the order: %+v", order)
	}
	w.must("PATCH", registries+"byo", object{"properties": object{"adminUserEnabled": false}})
	refused(t, "more of them", w.do("PATCH", blue, object{"sku": object{"capacity": 2}}), 400, "AdminUserDisabled")
	w.serving.machine.Crash(w.serving.machine.Running()[0])
	told := func() string {
		return w.must("GET", blue, nil).text("properties.instances.message")
	}
	w.eventually("the reason is told", func() bool { return strings.Contains(told(), "admin user of the registry byo, and that is disabled") })
	w.must("PATCH", registries+"byo", object{"properties": object{"adminUserEnabled": true}})
	w.eventually("it is cured", func() bool { return w.must("GET", blue, nil).get("properties.instances.ready") == 1.0 })
}

// MI-13: attaching or making an AKS cluster gives its service principal AcrPull on the workspace's registry, and deployments on it pull as it;
// a cluster that is brought along and works as a managed identity is refused.
func TestAKS(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	app, err := w.directory.CreateApplication(t.Context(), "nodes")
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := w.directory.CreateServicePrincipal(t.Context(), app.AppID)
	if err != nil {
		t.Fatal(err)
	}
	w.must("PUT", clusters+"own", object{"location": "local", "properties": object{"servicePrincipalProfile": object{"clientId": app.AppID, "secret": "s3cret"}}})
	w.must("PUT", clusters+"managed", object{"location": "local", "identity": system(), "properties": object{}})
	if doc, err := w.store.Get(t.Context(), strings.ToLower(clusters+"own")); err != nil || strings.Contains(string(doc.Body), "s3cret") {
		t.Errorf("the secret of the service principal is kept: %s, %v", doc.Body, err)
	}
	refused(t, "a cluster of nobody", w.do("PUT", clusters+"other", object{"location": "local", "properties": object{"servicePrincipalProfile": object{"clientId": tenant}}}), 400, "ServicePrincipalNotFound", "alvara ad sp create-for-rbac")
	refused(t, "a cluster of two", w.do("PUT", clusters+"other", object{"location": "local", "identity": system(), "properties": object{"servicePrincipalProfile": object{"clientId": app.AppID}}}), 400, "InvalidParameter", "one of them")
	refused(t, "a cluster's credentials", w.do("POST", clusters+"own/listClusterUserCredential", nil), 400, "NotSupported", "no Kubernetes behind")
	attach := func(kind, cluster string) object {
		return object{"properties": object{"computeType": kind, "resourceId": clusters + cluster}}
	}
	for _, kind := range []string{"AKS", "Kubernetes"} {
		refused(t, kind+" with a managed identity", w.do("PUT", ws+"/computes/bad", attach(kind, "managed")), 400, "ClusterUsesManagedIdentity", "service principal", "alvara aks create")
		refused(t, kind+" that is not there", w.do("PUT", ws+"/computes/bad", attach(kind, "none")), 400, "ClusterNotFound", "none")
	}
	contributor := w.person("contributor")
	w.grant(contributor, "b24988ac-6180-42a0-ab88-20f7382dd24c", ws)
	refused(t, "by whoever is not the cluster's administrator", w.as(contributor, "PUT", ws+"/computes/k8s", attach("AKS", "own")), 403, "LinkedAuthorizationFailed", "listClusterAdminCredential/action")
	w.must("PUT", ws+"/computes/k8s", attach("AKS", "own"))
	if got := w.settledAt(ws + "/computes/k8s"); got.text("properties.provisioningState") != "Succeeded" || got.get("properties.missingGrants") != nil || got.text("properties.properties.clusterFqdn") == "" ||
		!w.roles(nodes.ID, registries+"byo")[access.RoleAcrPull] {
		t.Fatalf("attached: %s, the service principal holds %v", got.Raw, w.roles(nodes.ID, registries+"byo"))
	}
	w.withEndpoint(object{"compute": "k8s"})
	w.must("PUT", blue, deployment("Kubernetes", "1", nil))
	order := w.serving.machine.Launches()[0]
	if principal := w.must("GET", fraudAt, nil).text("identity.principalId"); order.Puller.Who.ID != nodes.ID || order.Who.ID != principal || order.Tokens[0] != principal {
		t.Errorf("the order: %+v", order)
	}
	if got := w.do("DELETE", ws+"/computes/k8s", nil); got.Status != 409 {
		t.Errorf("the compute was deleted below its endpoint: %d %s", got.Status, got.Raw)
	}
	// One that is made.
	w.must("PUT", ws+"/computes/made", object{"properties": object{"computeType": "AKS", "properties": object{"agentCount": 2}}})
	got := w.settledAt(ws + "/computes/made")
	cluster := w.must("GET", got.text("properties.resourceId"), nil)
	client := cluster.text("properties.servicePrincipalProfile.clientId")
	who, known := w.directory.FindByClientID(client)
	if !known || !w.roles(who.ID, registries+"byo")[access.RoleAcrPull] || cluster.get("properties.agentPoolProfiles").([]any)[0].(object)["count"] != 2.0 {
		t.Errorf("made: %s, the cluster %s", got.Raw, cluster.Raw)
	}
	w.must("PUT", ws+"/computes/made", object{"properties": object{"computeType": "AKS"}})
	w.must("DELETE", ws+"/computes/made?underlyingResourceAction=Detach", nil)
	w.must("DELETE", cluster.text("id"), nil)
	if _, known := w.directory.FindByClientID(client); known {
		t.Error("the service principal stays when its cluster is gone")
	}
}

// MI-03, MI-13: attaching is an operation that needs a registry.
func TestAKSMakesTheRegistry(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", ws+"/computes/made", object{"properties": object{"computeType": "AKS"}})
	if got := w.settledAt(ws + "/computes/made"); got.text("properties.provisioningState") != "Succeeded" || got.get("properties.missingGrants") != nil {
		t.Errorf("the compute: %s", got.Raw)
	}
	if w.must("GET", ws, nil).text("properties.containerRegistry") == "" {
		t.Error("there is no registry")
	}
}
