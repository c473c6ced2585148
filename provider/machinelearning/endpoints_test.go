package machinelearning_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/dataplane/inference"
)

const roleBlobReader = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"

// MI-03, MI-20: an endpoint is an operation that needs a registry, and works as an identity of its own, which gets its roles.
func TestEndpointHasAnIdentity(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	first := w.send(w.owner, "PUT", fraudAt, object{"properties": object{}})
	if first.Status != 201 || first.Header.Get("Azure-AsyncOperation") == "" {
		t.Fatalf("create: %d %s", first.Status, first.Raw)
	}
	got := w.settledAt(fraudAt)
	registry := w.must("GET", ws, nil).text("properties.containerRegistry")
	if registry == "" || w.must("GET", registry, nil).get("properties.adminUserEnabled") != true {
		t.Errorf("the registry is %q", registry)
	}
	storage := w.must("GET", ws, nil).text("properties.storageAccount")
	principal := got.text("identity.principalId")
	if got.text("properties.provisioningState") != "Succeeded" || got.text("properties.authMode") != "AADToken" || got.text("properties.scoringUri") != "https://inference/fraud/score" ||
		got.text("properties.swaggerUri") != "https://inference/fraud/swagger.json" || got.text("properties.publicNetworkAccess") != "Enabled" || got.text("location") == "" ||
		!w.roles(principal, registry)[access.RoleAcrPull] || !w.roles(principal, storage)[roleBlobReader] {
		t.Errorf("the endpoint: %s; on the registry %v, on the storage %v", got.Raw, w.roles(principal, registry), w.roles(principal, storage))
	}
	id, _ := w.identity("another")
	refused(t, "another identity", w.do("PUT", fraudAt, object{"identity": users("UserAssigned", id), "properties": object{}}), 400, "IdentityChangeNotSupported")
	if got := w.must("PATCH", fraudAt, object{"properties": object{"description": "d"}}); got.text("identity.principalId") != principal || got.text("properties.description") != "d" {
		t.Errorf("patched: %s", got.Raw)
	}
	// Its name is a host name, and taken everywhere.
	w.must("PUT", workspaces+"other", object{})
	if got := w.do("PUT", workspaces+"other/onlineEndpoints/Fraud", object{"properties": object{}}); got.Status != 409 {
		t.Errorf("the same name in another workspace: %d %s", got.Status, got.Raw)
	}
}

// Roles that the creator may not give are listed, and given with any write of somebody who may.
func TestEndpointMissingGrants(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	scientist := w.person("scientist")
	w.grant(scientist, dataScientistRole, ws)
	w.as(scientist, "PUT", fraudAt, object{"properties": object{}})
	got := w.settledAt(fraudAt)
	if got.count("properties.missingGrants") != 2 || !strings.Contains(got.Raw, "AcrPull on "+registries+"byo") {
		t.Fatalf("made by somebody without the right to assign roles: %s", got.Raw)
	}
	refused(t, "a deployment whose image cannot be pulled", w.do("PUT", blue, deployment("Managed", "1", nil)), 403, "EndpointIdentityLacksRole", "AcrPull", "alvara role assignment create --assignee "+got.text("identity.principalId"))
	w.must("PATCH", fraudAt, object{"tags": object{"a": "b"}})
	if got := w.settledAt(fraudAt); got.get("properties.missingGrants") != nil {
		t.Errorf("after the owner wrote it: %s", got.Raw)
	}
	w.must("PUT", blue, deployment("Managed", "1", nil))
	if got := w.settledAt(blue); got.text("properties.provisioningState") != "Succeeded" {
		t.Errorf("the deployment: %s", got.Raw)
	}
}

const dataScientistRole = "f6c7c914-8db3-469d-8ca1-694a8f32e121"

// MI-18: whoever gives an endpoint an identity may assign it.
func TestEndpointUserIdentity(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	id, principal := w.identity("serve")
	scientist := w.person("scientist")
	w.grant(scientist, dataScientistRole, ws)
	body := object{"identity": users("UserAssigned", id), "properties": object{}}
	refused(t, "without Managed Identity Operator", w.as(scientist, "PUT", fraudAt, body), 403, "LinkedAuthorizationFailed", arm.AssignAction)
	w.grant(scientist, "f1a07417-d97a-45cb-824c-7a7467783830", id)
	w.as(scientist, "PUT", fraudAt, body)
	if got := w.settledAt(fraudAt); got.text("identity.type") != "UserAssigned" || got.get("properties.missingGrants") != nil {
		t.Fatalf("the endpoint: %s", got.Raw)
	}
	refused(t, "an identity without AcrPull", w.do("PUT", blue, deployment("Managed", "1", nil)), 403, "EndpointIdentityLacksRole", principal, "AcrPull")
	w.grant(principal, access.RoleAcrPull, registries+"byo")
	w.must("PUT", blue, deployment("Managed", "1", nil))
	order := w.serving.machine.Launches()[0]
	if order.Puller.Who.ID != principal || order.Puller.Password != "" || order.Who.ID != principal || len(order.Tokens) != 1 || order.Tokens[0] != principal || order.ClientID == "" {
		t.Errorf("the order: %+v", order)
	}
}

func TestEndpointRules(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.must("PUT", fraudAt, object{"properties": object{}})
	w.settledAt(fraudAt)
	w.must("PUT", ws+"/computes/cpu", clusterBody(nil, nil))
	for _, c := range []struct {
		name       string
		properties object
		code, want string
	}{
		{"mirrored traffic", object{"mirrorTraffic": object{"blue": 10}}, "NotSupported", "mirrorTraffic"},
		{"keys of the caller's", object{"keys": object{"primaryKey": "x"}}, "NotSupported", "properties.keys"},
		{"no public access", object{"publicNetworkAccess": "Disabled"}, "NotSupported", "publicNetworkAccess"},
		{"an unknown mode", object{"authMode": "Password"}, "InvalidAuthMode", "AMLToken"},
		{"an unknown field", object{"colour": "red"}, "InvalidRequestContent", "colour"},
		{"a compute that is not there", object{"compute": "k8s"}, "ComputeNotFound", "properties.compute: The compute"},
		{"a compute without Kubernetes", object{"compute": "cpu"}, "InvalidCompute", "AmlCompute"},
		{"a compute elsewhere", object{"compute": workspaces + "x/computes/k"}, "InvalidCompute", "workspace ws"},
		{"half of the traffic", object{"traffic": object{"blue": 50}}, "DeploymentNotReady", "alvara ml online-deployment create -n blue"},
		{"traffic below nothing", object{"traffic": object{"blue": -1}}, "InvalidTraffic", "0 to 100"},
	} {
		refused(t, c.name, w.do("PUT", ws+"/onlineEndpoints/new", object{"properties": c.properties}), 400, c.code, c.want)
	}
	refused(t, "both kinds of identities", w.do("PUT", ws+"/onlineEndpoints/new", object{"identity": users("SystemAssigned,UserAssigned", func() string { id, _ := w.identity("user"); return id }()), "properties": object{}}), 400, "InvalidIdentity", "not both")
	refused(t, "no identity", w.do("PUT", ws+"/onlineEndpoints/new", object{"identity": object{"type": "None"}, "properties": object{}}), 400, "InvalidIdentity")
	for _, name := range []string{"ab", "1abc", "abc-", strings.Repeat("a", 33)} {
		if got := w.do("PUT", ws+"/onlineEndpoints/"+name, object{"properties": object{}}); got.Status != 400 {
			t.Errorf("the name %q: %d %s", name, got.Status, got.Raw)
		}
	}
}

// BX-01: there are keys only where somebody turned them on; they are sealed at rest, renewed one by one, and gone with the mode.
func TestEndpointKeys(t *testing.T) {
	w := newWorld(t)
	w.withImage(false)
	w.must("PUT", fraudAt, object{"properties": object{}})
	w.settledAt(fraudAt)
	refused(t, "keys without the mode", w.do("POST", fraudAt+"/listKeys", nil), 400, "KeyAuthDisabled", "get-access-token --resource https://ml.azure.com")
	refused(t, "renewed without the mode", w.do("POST", fraudAt+"/regenerateKeys", object{"keyType": "Primary"}), 400, "KeyAuthDisabled")
	refused(t, "a token without the mode", w.do("POST", fraudAt+"/token", nil), 400, "TokenAuthDisabled")
	got := w.must("PATCH", fraudAt, object{"properties": object{"authMode": "key"}})
	first := w.must("POST", fraudAt+"/listKeys", nil)
	if strings.Contains(got.Raw, first.text("primaryKey")) || len(first.text("primaryKey")) < 40 || first.text("primaryKey") == first.text("secondaryKey") || got.get("properties.sealed") != nil {
		t.Fatalf("the endpoint %s, its keys %s", got.Raw, first.Raw)
	}
	doc, err := w.store.Get(t.Context(), strings.ToLower(fraudAt))
	if err != nil || strings.Contains(string(doc.Body), first.text("primaryKey")) {
		t.Errorf("the document has the key: %s %v", doc.Body, err)
	}
	reader := w.person("reader")
	w.grant(reader, access.RoleReader, ws)
	refused(t, "keys for a reader", w.as(reader, "POST", fraudAt+"/listKeys", nil), 403, "AuthorizationFailed", "listKeys/action")
	if got := w.send(w.owner, "POST", fraudAt+"/regenerateKeys", object{"keyType": "Secondary"}); got.Status != 202 || got.Header.Get("Location") == "" {
		t.Errorf("renew: %d %s", got.Status, got.Raw)
	}
	second := w.must("POST", fraudAt+"/listKeys", nil)
	if second.text("primaryKey") != first.text("primaryKey") || second.text("secondaryKey") == first.text("secondaryKey") {
		t.Errorf("after one was renewed: %s, before %s", second.Raw, first.Raw)
	}
	refused(t, "an unknown key", w.do("POST", fraudAt+"/regenerateKeys", object{"keyType": "Third"}), 400, "InvalidKeyType")
	refused(t, "a key of the caller's", w.do("POST", fraudAt+"/regenerateKeys", object{"keyType": "Primary", "keyValue": "x"}), 400, "NotSupported")
	known, err := w.serving.catalog.Endpoint(t.Context(), "FRAUD")
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := known.Keys(); err != nil || known.AuthMode != inference.Key || keys[0] != second.text("primaryKey") || keys[1] != second.text("secondaryKey") {
		t.Errorf("the gateway knows %v, %v", keys, err)
	}
	w.must("PATCH", fraudAt, object{"properties": object{"authMode": "AMLToken"}})
	refused(t, "keys after the mode", w.do("POST", fraudAt+"/listKeys", nil), 400, "KeyAuthDisabled")
	token := w.must("POST", fraudAt+"/token", nil)
	if who, err := w.serving.tokens.Verify(token.text("accessToken"), known.ID); err != nil || who != w.owner || token.text("tokenType") != "Bearer" {
		t.Errorf("the token %s is of %s, %v", token.Raw, who, err)
	}
	w.must("PATCH", fraudAt, object{"properties": object{"authMode": "key"}})
	if again := w.must("POST", fraudAt+"/listKeys", nil); again.text("primaryKey") == first.text("primaryKey") {
		t.Error("the old key is good again")
	}
	if got := w.do("DELETE", fraudAt, nil); got.Status != http.StatusOK {
		t.Errorf("delete: %d %s", got.Status, got.Raw)
	}
	if _, err := w.serving.catalog.Endpoint(t.Context(), "fraud"); err == nil {
		t.Error("the gateway still knows it")
	}
}
