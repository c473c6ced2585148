package machinelearning_test

import (
	"context"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

// MI-11: what set_connection sends, with and without properties around it, is kept, and read again in both forms.
func TestRegistryConnections(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	id, _ := w.identity("puller")
	client := w.must("GET", id, nil).text("properties.clientId")
	value := `{"ResourceId":"` + id + `","ClientId":"` + client + `"}`
	older := object{"name": "privateAcr", "category": "ACR", "target": "private.azurecr.io", "authType": "RegistryConnection", "value": value}
	for name, body := range map[string]object{
		"bare": older, "wrapped": {"properties": older}, "object": {"properties": object{"category": "ACR", "target": "private.azurecr.io", "authType": "registryconnection", "value": object{"ResourceId": id, "ClientId": client}}},
		// What azureml-core makes of the dictionary of set_connection (MI-11, MI-19).
		"python": {"name": "privateAcr", "properties": object{"category": "ACR", "target": "private.azurecr.io", "authType": "RegistryConnection", "value": `{'ResourceId': '` + id + `', 'ClientId': '` + client + `'}`}},
	} {
		path := ws + "/connections/privateAcr"
		got := w.do("PUT", path, body)
		if got.Status != 200 || got.text("properties.authType") != "RegistryConnection" || got.text("properties.category") != "ACR" ||
			got.text("properties.credentials.resourceId") != id || got.text("properties.credentials.clientId") != client || !strings.Contains(got.text("properties.value"), `"ResourceId":"`+id) {
			t.Errorf("%s: %d %s", name, got.Status, got.Raw)
		}
		w.must("DELETE", path, nil)
	}
	newer := func(resourceID, clientID string) object {
		return object{"properties": object{"category": "ContainerRegistry", "target": "https://private.azurecr.io", "authType": "ManagedIdentity", "credentials": object{"resourceId": resourceID, "clientId": clientID}}}
	}
	if got := w.do("PUT", ws+"/connections/newer", newer(id, client)); got.Status != 200 || got.text("properties.credentials.clientId") != client || got.get("properties.value") != nil {
		t.Errorf("the newer form: %d %s", got.Status, got.Raw)
	}
	// An update in the older form changes what it says, and one that sends back what it read in both forms, too.
	other, _ := w.identity("other")
	otherClient := w.must("GET", other, nil).text("properties.clientId")
	path := ws + "/connections/privateAcr"
	w.must("PUT", path, older)
	patched := w.do("PATCH", path, object{"properties": object{"value": object{"ResourceId": other, "ClientId": otherClient}}})
	if patched.Status != 200 || patched.text("properties.credentials.clientId") != otherClient || !strings.Contains(patched.text("properties.value"), otherClient) {
		t.Errorf("an update in the older form: %d %s", patched.Status, patched.Raw)
	}
	read := w.must("GET", path, nil).Body
	read["properties"].(object)["credentials"] = object{"resourceId": id, "clientId": client}
	if got := w.do("PUT", path, read); got.Status != 200 || !strings.Contains(got.text("properties.value"), client) {
		t.Errorf("what was read, changed: %d %s", got.Status, got.Raw)
	}
	for what, c := range map[string]struct {
		body       object
		code, want string
	}{
		"an identity that is not there": {newer(identities+"none", client), "FailedIdentityOperation", "alvara identity create"},
		"another's client id":           {newer(id, tenant), "ClientIdMismatch", "properties.credentials.clientId"},
		"no client id":                  {newer(id, ""), "InvalidConnection", "properties.credentials.clientId"},
		"an id of something else":       {newer(ws, client), "InvalidResourceId", "properties.credentials.resourceId"},
		"a value that is none":          {object{"properties": object{"category": "ACR", "target": "x", "authType": "RegistryConnection", "value": "{"}}, "InvalidConnection", "properties.value"},
		"Python that is not flat":       {object{"properties": object{"category": "ACR", "target": "x", "authType": "RegistryConnection", "value": `{'ResourceId': 'a\'b', 'ClientId': None}`}}, "InvalidConnection", "properties.value"},
		"a field of another way":        {object{"properties": object{"category": "ACR", "target": "x", "authType": "RegistryConnection", "value": object{"Password": "x"}}}, "InvalidConnection", "Password"},
		"another category":              {object{"properties": object{"category": "Git", "target": "x", "authType": "RegistryConnection", "value": value}}, "InvalidConnection", "properties.category"},
		"no category":                   {object{"properties": object{"authType": "None"}}, "InvalidConnection", "properties.category"},
		"an unknown way":                {object{"properties": object{"category": "Git", "authType": "Magic"}}, "ConnectionAuthNotSupported", "Magic"},
	} {
		refused(t, what, w.do("PUT", ws+"/connections/bad", c.body), 400, c.code, c.want)
	}
}

// Secrets are sealed where they are kept, and shown to those alone who may list them.
func TestConnectionSecrets(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	path := ws + "/connections/feed"
	body := func(target string, credentials object) object {
		properties := object{"category": "PythonFeed", "target": target, "authType": "UsernamePassword", "metadata": object{"a": "b"}}
		if credentials != nil {
			properties["credentials"] = credentials
		}
		return object{"properties": properties}
	}
	const secret = "hunter2-hunter2"
	made := w.must("PUT", path, body("https://feed", object{"username": "me", "password": secret}))
	for what, got := range map[string]answer{"create": made, "get": w.must("GET", path, nil), "list": w.must("GET", ws+"/connections", nil)} {
		if strings.Contains(got.Raw, secret) || strings.Contains(got.Raw, "ealed") || !strings.Contains(got.Raw, `"username":"me"`) {
			t.Errorf("%s shows %s", what, got.Raw)
		}
	}
	doc, err := w.store.Get(context.Background(), resource.MustParseID(path).Key())
	if err != nil || strings.Contains(string(doc.Body), secret) {
		t.Errorf("the document (%v): %s", err, doc.Body)
	}
	revealed := func(what, want string) {
		t.Helper()
		if got := w.do("POST", path+"/listsecrets", nil); got.Status != 200 || got.text("properties.credentials.password") != want || got.text("properties.credentials.username") != "me" || strings.Contains(got.Raw, "ealed") {
			t.Errorf("%s: %d %s", what, got.Status, got.Raw)
		}
	}
	revealed("created", secret)
	reader := w.person("reader")
	w.grant(reader, access.RoleReader, ws)
	refused(t, "a reader lists secrets", w.as(reader, "POST", path+"/listsecrets", nil), 403, "AuthorizationFailed", "connections/listsecrets/action")
	if got := w.as(reader, "GET", path, nil); got.Status != 200 {
		t.Errorf("a reader reads: %d %s", got.Status, got.Raw)
	}
	// A writer who may not see the secret cannot send it elsewhere, nor put in what somebody else has sealed.
	writer := w.person("writer")
	w.grant(writer, w.role("Writer of connections", "Microsoft.MachineLearningServices/workspaces/connections/write", "Microsoft.MachineLearningServices/workspaces/connections/read"), ws)
	if got := w.as(writer, "PATCH", path, object{"properties": object{"metadata": object{"c": "d"}}}); got.Status != 200 {
		t.Errorf("a patch of something else: %d %s", got.Status, got.Raw)
	}
	revealed("patched", secret)
	for what, got := range map[string]answer{
		"another target":     w.as(writer, "PATCH", path, object{"properties": object{"target": "https://thief"}}),
		"a replacement":      w.as(writer, "PUT", path, body("https://thief", object{"username": "me"})),
		"the same, anew":     w.as(writer, "PUT", path, body("https://feed", object{"username": "me"})),
		"something sealed":   w.as(writer, "PUT", path, object{"properties": object{"category": "PythonFeed", "target": "https://thief", "authType": "PAT", "sealed": "AAAA"}}),
		"another way for it": w.as(writer, "PATCH", path, object{"properties": object{"authType": "PAT"}}),
	} {
		refused(t, what, got, 400, "InvalidConnection", "properties.credentials.")
	}
	revealed("after all that", secret)
	w.must("PATCH", path, object{"properties": object{"credentials": object{"password": "new"}}})
	revealed("renewed", "new")
}

// Each way to authenticate takes its own fields; a feature store takes those without secrets (BX-01).
func TestConnectionForms(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", workspaces+"fs", object{"kind": "FeatureStore"})
	forms := map[string]object{
		"None": nil, "AAD": nil, "ManagedIdentity": nil,
		"PAT": {"pat": "x"}, "UsernamePassword": {"username": "u", "password": "p", "securityToken": "t"}, "SAS": {"sas": "x"}, "AccountKey": {"key": "x"}, "ApiKey": {"key": "x"},
		"AccessKey": {"accessKeyId": "a", "secretAccessKey": "s"}, "ServicePrincipal": {"clientId": "c", "tenantId": "t", "clientSecret": "s"}, "CustomKeys": {"keys": object{"a": "b"}},
	}
	for auth, credentials := range forms {
		properties := object{"category": "AzureBlob", "target": "x", "authType": auth}
		if credentials != nil {
			properties["credentials"] = credentials
		}
		path := "/connections/" + strings.ToLower(auth)
		if got := w.do("PUT", ws+path, object{"properties": properties}); got.Status != 200 {
			t.Errorf("%s: %d %s", auth, got.Status, got.Raw)
			continue
		}
		secrets := w.must("POST", ws+path+"/listsecrets", nil)
		for field, value := range credentials {
			if text, isText := value.(string); isText && secrets.text("properties.credentials."+field) != text {
				t.Errorf("%s: listsecrets shows %s", auth, secrets.Raw)
			}
		}
		got := w.do("PUT", workspaces+"fs"+path, object{"properties": properties})
		if credentials == nil && got.Status != 200 {
			t.Errorf("%s in a feature store: %d %s", auth, got.Status, got.Raw)
		} else if credentials != nil {
			refused(t, auth+" in a feature store", got, 400, "ConnectionAuthNotSupported", "carry no secrets")
		}
		if credentials != nil {
			delete(properties, "credentials")
			refused(t, auth+" without credentials", w.do("PUT", ws+"/connections/without", object{"properties": properties}), 400, "InvalidConnection", "properties.credentials.")
		}
	}
	if got := w.must("GET", ws+"/connections?category=azureblob", nil); got.count("value") != len(forms) {
		t.Errorf("the list: %s", got.Raw)
	}
	refused(t, "named users", w.do("PUT", ws+"/connections/x", object{"properties": object{"category": "Git", "authType": "None", "sharedUserList": []string{"me"}}}), 400, "NotSupported", "roles")
}
