package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
)

func clusterBody(identity object, more object) object {
	properties := object{"vmSize": "STANDARD_DS3_v2", "scaleSettings": object{"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S"}}
	for name, value := range more {
		properties[name] = value
	}
	body := object{"location": "local", "properties": object{"computeType": "AmlCompute", "properties": properties}}
	if identity != nil {
		body["identity"] = identity
	}
	return body
}

func system() object { return object{"type": "SystemAssigned"} }

// withRegistry makes a workspace that works with a registry.
func (w *world) withRegistry() {
	w.t.Helper()
	w.must("PUT", registries+"byo", object{})
	w.must("PUT", ws, object{"properties": object{"containerRegistry": registries + "byo"}})
}

// MI-05: a cluster with a system-assigned identity may pull from the workspace's registry.
func TestClusterIsGrantedAcrPull(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	first := w.send(w.owner, "PUT", ws+"/computes/cpu", clusterBody(system(), nil))
	if first.Status != 201 || first.Header.Get("Azure-AsyncOperation") == "" || first.text("properties.provisioningState") != "Creating" {
		t.Fatalf("create: %d %s", first.Status, first.Raw)
	}
	got := w.do("GET", ws+"/computes/cpu", nil)
	for got.text("properties.provisioningState") == "Creating" {
		got = w.do("GET", ws+"/computes/cpu", nil)
	}
	if got.text("properties.provisioningState") != "Succeeded" || got.get("properties.missingGrants") != nil {
		t.Fatalf("the cluster: %s", got.Raw)
	}
	principal := got.text("identity.principalId")
	if held := w.roles(principal, registries+"byo"); !held[access.RoleAcrPull] || len(held) != 1 {
		t.Errorf("on the registry the cluster's identity holds %v", held)
	}
	// It has no nodes, and says so.
	if got.get("properties.properties.currentNodeCount") != 0.0 || got.get("properties.properties.targetNodeCount") != 0.0 || got.text("properties.properties.allocationState") != "Steady" ||
		got.get("properties.isAttachedCompute") != false || got.get("properties.disableLocalAuth") != true || got.text("properties.createdOn") == "" {
		t.Errorf("the cluster: %s", got.Raw)
	}
	if nodes := w.must("POST", ws+"/computes/cpu/listNodes", nil); nodes.count("nodes") != 0 {
		t.Errorf("nodes: %s", nodes.Raw)
	}
	for _, word := range []string{"start", "stop", "restart"} {
		refused(t, word, w.do("POST", ws+"/computes/cpu/"+word, nil), 400, "ComputeOperationNotSupported", "AmlCompute")
	}
	refused(t, "keys", w.do("POST", ws+"/computes/cpu/listKeys", nil), 403, "KeyBasedAuthenticationNotPermitted", "identity")
	refused(t, "detach what is not attached", w.do("DELETE", ws+"/computes/cpu?underlyingResourceAction=Detach", nil), 400, "InvalidParameter", "Delete was expected")
	w.must("DELETE", ws+"/computes/cpu?underlyingResourceAction=Delete", nil)
	if _, known := w.directory.Lookup(principal); known {
		t.Error("the identity outlives the cluster")
	}
}

// MI-06: a cluster that is older than the registry gets no role there, not with a later write either; one assignment
// cures that.
func TestClusterBeforeTheRegistry(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	first := w.send(w.owner, "PUT", ws+"/computes/cpu", clusterBody(system(), nil))
	if first.Status != 201 || first.Header.Get("Azure-AsyncOperation") != "" || first.text("properties.provisioningState") != "Succeeded" {
		t.Fatalf("create: %d %s", first.Status, first.Raw)
	}
	principal := first.text("identity.principalId")
	w.must("PUT", registries+"byo", object{})
	w.must("PATCH", ws, object{"properties": object{"containerRegistry": registries + "byo"}})
	w.must("PATCH", ws+"/computes/cpu", object{"properties": object{"description": "later"}})
	w.must("PUT", ws+"/computes/cpu", clusterBody(nil, nil))
	if held := w.roles(principal, registries+"byo"); len(held) != 0 {
		t.Errorf("on the registry the cluster's identity holds %v", held)
	}
	diagnosed := func() bool {
		return strings.Contains(w.must("POST", ws+"/diagnose", object{}).Raw, "alvara role assignment create --assignee "+principal+` --role \"AcrPull\"`)
	}
	if !diagnosed() {
		t.Error("the diagnosis does not name the cure")
	}
	w.grant(principal, access.RoleAcrPull, registries+"byo")
	if diagnosed() {
		t.Error("the diagnosis names what is cured")
	}
	// A newer one beside it gets its role; so does an identity that comes into being later.
	newer := w.must("PUT", ws+"/computes/newer", clusterBody(system(), nil)).text("identity.principalId")
	w.must("PUT", ws+"/computes/none", clusterBody(nil, nil))
	later := w.must("PATCH", ws+"/computes/none", object{"identity": system()}).text("identity.principalId")
	for _, who := range []string{newer, later} {
		if held := w.roles(who, registries+"byo"); !held[access.RoleAcrPull] {
			t.Errorf("on the registry %s holds %v", who, held)
		}
	}
}

// The role is given with the creator's rights. Who may not give it still makes the cluster, which says what is missing
// for as long as it is.
func TestClusterOfWhoMayNotGrant(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	who := w.person("operator")
	w.grant(who, w.role("Computes", "Microsoft.MachineLearningServices/workspaces/computes/*"), ws)
	got := w.as(who, "PUT", ws+"/computes/cpu", clusterBody(system(), nil))
	missing := "AcrPull on " + registries + "byo"
	if got.text("properties.provisioningState") != "Succeeded" || got.count("properties.missingGrants") != 1 || !strings.Contains(got.Raw, missing) {
		t.Fatalf("create: %d %s", got.Status, got.Raw)
	}
	principal := got.text("identity.principalId")
	// Nobody says by himself that nothing is missing.
	w.as(who, "PATCH", ws+"/computes/cpu", object{"properties": object{"missingGrants": nil}})
	if got := w.must("GET", ws+"/computes/cpu", nil); got.count("properties.missingGrants") != 1 {
		t.Errorf("after a patch: %s", got.Raw)
	}
	id := w.grant(principal, access.RoleAcrPull, registries+"byo")
	if got := w.must("GET", ws+"/computes/cpu", nil); got.get("properties.missingGrants") != nil {
		t.Errorf("after the grant: %s", got.Raw)
	}
	w.must("DELETE", id, nil)
	if got := w.must("PATCH", ws+"/computes/cpu", object{"properties": object{"description": "by the owner"}}); got.get("properties.missingGrants") != nil {
		t.Errorf("after the owner's write: %s", got.Raw)
	}
	if held := w.roles(principal, registries+"byo"); !held[access.RoleAcrPull] {
		t.Errorf("after the owner's write the identity holds %v", held)
	}
	// No grant is made for what the caller says is missing.
	w.must("PUT", registries+"other", object{})
	w.must("PATCH", ws+"/computes/cpu", object{"properties": object{"missingGrants": []string{"AcrPull on " + registries + "other"}}})
	if held := w.roles(principal, registries+"other"); len(held) != 0 {
		t.Errorf("on another registry the identity holds %v", held)
	}
}

// MI-07, MI-18: identities are assigned and removed by patches as the older client sends them, by who may assign them.
func TestClusterIdentities(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	one, principal := w.identity("one")
	two, _ := w.identity("two")
	old := w.must("PUT", ws+"/computes/cpu", clusterBody(system(), nil)).text("identity.principalId")
	assign := func(who string, identity object) answer {
		return w.as(who, "PATCH", ws+"/computes/cpu", object{"location": "local", "properties": object{}, "identity": identity})
	}
	operator := w.person("operator")
	w.grant(operator, w.role("Computes", "Microsoft.MachineLearningServices/workspaces/computes/*"), ws)
	refused(t, "without a right on the identity", assign(operator, users("UserAssigned", one)), 403, "LinkedAuthorizationFailed", arm.AssignAction, one)
	w.grant(operator, access.RoleManagedIdentityOperator, one)
	got := assign(operator, users("UserAssigned", one))
	held, _ := got.get("identity.userAssignedIdentities").(object)
	if entry, _ := held[one].(object); got.Status != 200 || entry["principalId"] != principal || got.get("identity.principalId") != nil {
		t.Fatalf("assign: %d %s", got.Status, got.Raw)
	}
	if _, known := w.directory.Lookup(old); known {
		t.Error("the system-assigned identity is left")
	}
	if got.get("properties.missingGrants") != nil {
		t.Errorf("a role is missing for an identity that is given none: %s", got.Raw)
	}
	got = assign(w.owner, users("UserAssigned", two))
	if held, _ := got.get("identity.userAssignedIdentities").(object); got.Status != 200 || len(held) != 2 {
		t.Errorf("one more: %d %s", got.Status, got.Raw)
	}
	got = assign(w.owner, object{"type": "UserAssigned", "userAssignedIdentities": object{one: nil}})
	if held, _ := got.get("identity.userAssignedIdentities").(object); got.Status != 200 || len(held) != 1 || held[two] == nil {
		t.Errorf("one less: %d %s", got.Status, got.Raw)
	}
	// The older client encodes the body of a removal twice.
	w.must("PATCH", ws+"/computes/cpu", object{"identity": users("UserAssigned", one)})
	got = w.do("PATCH", ws+"/computes/cpu", `{"location":"local","identity":{"type":"UserAssigned","userAssignedIdentities":{"`+one+`":null}}}`)
	if held, _ := got.get("identity.userAssignedIdentities").(object); got.Status != 200 || len(held) != 1 || held[two] == nil {
		t.Errorf("one less, encoded twice: %d %s", got.Status, got.Raw)
	}
	refused(t, "a name twice, encoded twice", w.do("PATCH", ws+"/computes/cpu", `{"a":1,"A":2}`), 400, "InvalidRequestContent", "duplicate")
	refused(t, "both kinds", assign(w.owner, users("SystemAssigned,UserAssigned", one)), 400, "InvalidIdentity", "not both")
	refused(t, "two for an instance", w.do("PUT", ws+"/computes/mine", object{"identity": users("UserAssigned", one, two), "properties": object{"computeType": "ComputeInstance"}}), 400, "InvalidIdentity", "at most")
	if got = assign(w.owner, object{"type": "None"}); got.Status != 200 || got.get("identity.userAssignedIdentities") != nil {
		t.Errorf("none: %d %s", got.Status, got.Raw)
	}
}

func TestOtherComputes(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	user := w.person("user")
	got := w.must("PUT", ws+"/computes/mine", object{"properties": object{"computeType": "computeinstance", "properties": object{
		"personalComputeInstanceSettings": object{"assignedUser": object{"objectId": user, "tenantId": "x"}}, "sshSettings": object{"sshPublicAccess": "Disabled"},
	}}})
	if got.text("properties.properties.state") != "Running" || got.text("properties.properties.vmSize") != "Standard_DS3_v2" || got.text("properties.computeType") != "ComputeInstance" ||
		got.text("properties.properties.personalComputeInstanceSettings.assignedUser.tenantId") != tenant || got.text("location") != "local" || got.text("properties.computeLocation") != "local" {
		t.Errorf("the instance: %s", got.Raw)
	}
	clusterOf := "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/k/providers/Microsoft.Kubernetes/connectedClusters/arc"
	body := func(more object) object {
		return object{"properties": object{"computeType": "Kubernetes", "resourceId": clusterOf, "properties": more}}
	}
	types := object{"small": object{"nodeSelector": object{"pool": "cpu"}, "resources": object{"requests": object{"cpu": "500m", "nvidia.com/gpu": nil}, "limits": object{"memory": "4Gi"}}}}
	got = w.must("PUT", ws+"/computes/k8s", body(object{"namespace": "ml", "defaultInstanceType": "small", "instanceTypes": types}))
	if got.get("properties.isAttachedCompute") != true || got.text("properties.resourceId") != clusterOf || got.text("properties.properties.instanceTypes.small.resources.limits.memory") != "4Gi" {
		t.Errorf("the attached cluster: %s", got.Raw)
	}
	for what, c := range map[string]struct{ body, want string }{
		"a namespace":            {`{"namespace":"ML"}`, "namespace"},
		"another namespace":      {`{"namespace":"other"}`, "namespace"},
		"a password":             {`{"relayConnectionString":"x"}`, "relayConnectionString"},
		"a type's name":          {`{"instanceTypes":{"Large":{}}}`, "Large"},
		"an amount":              {`{"instanceTypes":{"large":{"resources":{"limits":{"memory":"much"}}}}}`, "much"},
		"a default that is none": {`{"defaultInstanceType":"x","instanceTypes":{"small":{}}}`, "defaultInstanceType"},
		"no object":              {`[]`, "properties.properties"},
	} {
		var more any
		decode(t, c.body, &more)
		got := w.do("PATCH", ws+"/computes/k8s", object{"properties": object{"properties": more}})
		if got.Status != 400 || !strings.Contains(got.Raw, c.want) {
			t.Errorf("%s: %d %s", what, got.Status, got.Raw)
		}
	}
	refused(t, "no cluster", w.do("PUT", ws+"/computes/bad", object{"properties": object{"computeType": "Kubernetes"}}), 400, "InvalidResourceId", "connectedClusters")
	refused(t, "delete what is attached", w.do("DELETE", ws+"/computes/k8s?underlyingResourceAction=Delete", nil), 400, "InvalidParameter", "Detach was expected")
	w.must("DELETE", ws+"/computes/k8s?underlyingResourceAction=Detach", nil)
	if list := w.must("GET", ws+"/computes", nil); list.count("value") != 1 {
		t.Errorf("the list: %s", list.Raw)
	}
	w.must("DELETE", ws, nil) // with the computes in it
}

func TestComputeRefusals(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", ws+"/computes/cpu", clusterBody(nil, nil))
	w.must("PUT", ws+"/computes/mine", object{"properties": object{"computeType": "ComputeInstance"}})
	scale := func(min, max int, idle string) object {
		return object{"scaleSettings": object{"minNodeCount": min, "maxNodeCount": max, "nodeIdleTimeBeforeScaleDown": idle}}
	}
	for _, c := range []struct {
		what, name, kind string
		properties       object
		code, want       string
	}{
		{"an unknown type", "new", "Databricks", nil, "ComputeTypeNotSupported", "AmlCompute, ComputeInstance, Kubernetes"},
		{"no type", "new", "", nil, "InvalidComputeType", "properties.computeType"},
		{"a name", "1", "AmlCompute", nil, "InvalidResourceName", "beginning with a letter"},
		{"another type", "cpu", "ComputeInstance", nil, "ComputePropertyImmutable", "properties.computeType"},
		{"another size", "cpu", "AmlCompute", object{"vmSize": "Standard_NC6"}, "ComputePropertyImmutable", "vmSize"},
		{"another priority", "cpu", "AmlCompute", object{"vmPriority": "LowPriority"}, "ComputePropertyImmutable", "vmPriority"},
		{"a size", "new", "AmlCompute", object{"vmSize": "big"}, "InvalidVmSize", "big"},
		{"a priority", "new", "AmlCompute", object{"vmPriority": "urgent"}, "InvalidCompute", "urgent"},
		{"too few", "new", "AmlCompute", scale(-1, 2, ""), "InvalidScaleSettings", "minNodeCount"},
		{"none at all", "new", "AmlCompute", scale(0, 0, ""), "InvalidScaleSettings", "maxNodeCount"},
		{"too many", "new", "AmlCompute", scale(0, 1001, ""), "InvalidScaleSettings", "maxNodeCount"},
		{"more than the most", "new", "AmlCompute", scale(3, 2, ""), "InvalidScaleSettings", "minNodeCount is 3"},
		{"a time", "new", "AmlCompute", scale(0, 1, "soon"), "InvalidScaleSettings", "soon"},
		{"a network", "new", "AmlCompute", object{"subnet": object{"id": "x"}}, "NotSupported", "subnet"},
		{"a sign-in", "new", "AmlCompute", object{"userAccountCredentials": object{"adminUserName": "a"}}, "NotSupported", "userAccountCredentials"},
		{"Windows", "new", "AmlCompute", object{"osType": "Windows"}, "NotSupported", "osType"},
		{"an open port", "new", "AmlCompute", object{"remoteLoginPortPublicAccess": "Enabled"}, "NotSupported", "remoteLoginPortPublicAccess"},
		{"something underneath", "new", "AmlCompute", object{"resourceId": nil, "vmSize": 7}, "InvalidRequestContent", "vmSize"},
		{"schedules", "mine", "ComputeInstance", object{"schedules": object{"computeStartStop": []any{}}}, "NotSupported", "schedules"},
		{"scripts", "mine", "ComputeInstance", object{"setupScripts": object{"scripts": object{}}}, "NotSupported", "setupScripts"},
		{"a way to share", "mine", "ComputeInstance", object{"applicationSharingPolicy": "All"}, "InvalidCompute", "applicationSharingPolicy"},
		{"somebody unknown", "mine", "ComputeInstance", object{"personalComputeInstanceSettings": object{"assignedUser": object{"objectId": tenant}}}, "PrincipalNotFound", "assignedUser"},
		{"a sign-in to an instance", "mine", "ComputeInstance", object{"sshSettings": object{"sshPublicAccess": "Enabled"}}, "NotSupported", "sshSettings"},
		{"a time for an instance", "mine", "ComputeInstance", object{"idleTimeBeforeShutdown": "soon"}, "InvalidCompute", "idleTimeBeforeShutdown"},
	} {
		refused(t, c.what, w.do("PUT", ws+"/computes/"+c.name, object{"properties": object{"computeType": c.kind, "properties": c.properties}}), 400, c.code, c.want)
	}
	if got := w.do("PATCH", ws+"/computes/cpu", object{"properties": object{"properties": scale(1, 7, "PT5M")}}); got.get("properties.properties.scaleSettings.maxNodeCount") != 7.0 || got.text("properties.properties.vmSize") != "STANDARD_DS3_v2" {
		t.Errorf("another scale: %d %s", got.Status, got.Raw)
	}
	refused(t, "a workspace that is not there", w.do("PUT", workspaces+"none/computes/cpu", clusterBody(nil, nil)), 404, "ParentResourceNotFound", "workspaces/none")
}
