package machinelearning_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const endpoint = ws + "/onlineEndpoints/fraud"

// stored writes a resource as if it had been made, for what the doctor reads and this world has no other use for.
func (w *world) stored(id string, body object) {
	w.t.Helper()
	at := resource.MustParseID(id)
	body["id"], body["name"], body["type"], body["state"] = id, at.Name(), at.Type(), "Succeeded"
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Apply(w.t.Context(), store.Put{Key: at.Key(), Kind: at.Type().Key(), Body: text}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unstored(id string) {
	w.t.Helper()
	if _, err := w.store.Apply(w.t.Context(), store.Delete{Key: resource.MustParseID(id).Key()}); err != nil {
		w.t.Fatal(err)
	}
}

// The roles of an endpoint's identity, its keys, and what it holds beyond them.
func TestDoctorOnEndpoints(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	account := w.must("GET", ws, nil).text("properties.storageAccount")
	principal := w.must("PUT", endpoint, object{"location": "local", "properties": object{"authMode": "AADToken"}}).text("identity.principalId")
	w.none("EndpointRoleMissing")
	for _, scope := range []string{registries + "byo", account} {
		for id := range assignmentsAt(w, scope) {
			if w.must("GET", id, nil).text("properties.principalId") == principal {
				w.must("DELETE", id, nil)
			}
		}
		f := w.one("EndpointRoleMissing", "error", endpoint, principal, map[string]string{account: "Storage Blob Data Reader on " + account, registries + "byo": "AcrPull on " + registries + "byo"}[scope])
		role := map[string]string{account: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", registries + "byo": access.RoleAcrPull}[scope]
		if !strings.Contains(f.cures()[0], scope) {
			t.Errorf("the cure: %v", f.cures())
		}
		w.grant(principal, role, scope)
		w.none("EndpointRoleMissing")
	}
	w.none("EndpointKeysEnabled")
	w.must("PATCH", endpoint, object{"properties": object{"authMode": "Key"}})
	f := w.one("EndpointKeysEnabled", "warning", endpoint, "alvara ml online-endpoint update -n fraud --set auth_mode=aad_token -w ws -g rg")
	if f.get("manual") != true {
		t.Errorf("callers are shut out by itself: %v", f.Body)
	}
	w.must("PATCH", endpoint, object{"properties": object{"authMode": "AADToken"}})
	w.none("EndpointKeysEnabled")
	broad := w.grant(principal, access.RoleContributor, group)
	w.one("GrantTooBroad", "warning", endpoint, "The endpoint fraud")
	w.must("DELETE", broad, nil)
	w.none("GrantTooBroad")
}

// The user-assigned identity of an endpoint that was deleted.
func TestDoctorOnIdentitiesOfEndpoints(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	one, _ := w.identity("one")
	w.must("PUT", endpoint, object{"location": "local", "identity": users("UserAssigned", one), "properties": object{"authMode": "AADToken"}})
	w.none("EndpointIdentityGone")
	if got := w.found(w.owner, "EndpointRoleMissing"); len(got) != 2 { // nobody grants roles to what is brought along
		t.Errorf("a user-assigned identity without roles: %v", got)
	}
	w.must("DELETE", one, nil)
	w.one("EndpointIdentityGone", "error", endpoint, one, "alvara ml online-endpoint delete -n fraud --yes -w ws -g rg")
	w.none("EndpointRoleMissing")
}

// MI-14: a deployment on container instances needs the admin user, and an endpoint that has no others pulls as nobody else.
func TestDoctorOnContainerInstances(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.must("PUT", endpoint, object{"location": "local", "properties": object{"authMode": "AADToken"}})
	w.stored(endpoint+"/deployments/blue", object{"properties": object{"endpointComputeType": "ContainerInstance"}})
	f := w.one("AdminUserDisabled", "error", registries+"byo", "the deployment fraud/blue on container instances", "alvara acr update -n byo -g rg --admin-enabled true")
	if f.get("manual") != true {
		t.Errorf("a password is turned on by itself: %v", f.Body)
	}
	w.must("PATCH", registries+"byo", object{"properties": object{"adminUserEnabled": true}})
	w.none("AdminUserDisabled")
	w.one("AdminUserNeeded", "info", registries+"byo", "the deployment fraud/blue on container instances")
	w.unstored(endpoint + "/deployments/blue")
	w.one("AdminUserEnabled", "warning", registries+"byo")
}

// MI-13: the service principal of a cluster, and clusters that have none.
func TestDoctorOnClusters(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	application, err := w.directory.CreateApplication(t.Context(), "cluster")
	if err != nil {
		t.Fatal(err)
	}
	service, err := w.directory.CreateServicePrincipal(t.Context(), application.AppID)
	if err != nil {
		t.Fatal(err)
	}
	cluster := group + "/providers/Microsoft.ContainerService/managedClusters/k8s"
	of := func(client string) {
		w.stored(cluster, object{"properties": object{"servicePrincipalProfile": object{"clientId": client}}})
	}
	of(application.AppID)
	w.stored(ws+"/computes/k8s", object{"properties": object{"computeType": "Kubernetes", "isAttachedCompute": true, "resourceId": cluster, "properties": object{}}})
	w.grantAsSaid(w.one("ClusterCannotPull", "error", ws+"/computes/k8s", service.ID, "AcrPull on "+registries+"byo"))
	w.none("ClusterCannotPull")
	of("msi")
	w.one("ClusterCannotServe", "error", ws+"/computes/k8s", "managed identity", "service principal")
	of("5963f50c-7c43-405c-af7e-53294de76abd")
	w.one("ClusterCannotServe", "error", ws+"/computes/k8s", "not in the directory any more")
	w.unstored(cluster)
	w.one("ClusterCannotServe", "error", ws+"/computes/k8s", "does not exist")
	of(application.AppID)
	w.none("ClusterCannotServe")
	w.must("PUT", ws+"/computes/arc", object{"properties": object{"computeType": "Kubernetes", "resourceId": group + "/providers/Microsoft.Kubernetes/connectedClusters/arc", "properties": object{}}})
	w.one("ClusterCannotServe", "warning", ws+"/computes/arc", "alvara ml compute update -n arc --identity-type SystemAssigned -w ws -g rg")
	w.must("PATCH", ws+"/computes/arc", object{"properties": object{}, "identity": system()})
	w.none("ClusterCannotServe")
	w.none("ComputeWithoutIdentity") // it pulls as its service principal
}
