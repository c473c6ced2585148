package provider_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/resource"
)

// examples gives, for every declared type, an item of it that is there, and a body that writes it again; nil where
// nothing can be written. A type without an example fails the test.
func examples(w *world) map[string]struct {
	id   string
	body any
} {
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	uami := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uami"
	guid := w.role("Looker", []string{"*/read"}, nil)
	who := w.person("holder")
	out := map[string]struct {
		id   string
		body any
	}{}
	add := func(id string, body any) {
		if body != nil {
			w.must("PUT", id, body)
		}
		out[resource.MustParseID(id).Type().Key()] = struct {
			id   string
			body any
		}{id, body}
	}
	located := map[string]any{"location": "local"}
	add(group, located)
	add(group+definitions+guid, roleBody("Looker", []string{group}, []string{"*/read"}, nil))
	add(group+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(), grantBody(who, guid))
	add(uami, located)
	add(uami+"/federatedIdentityCredentials/cred", map[string]any{"properties": map[string]any{"issuer": "https://i.example", "subject": "s"}})
	add(account, located)
	add(account+"/blobServices/default", map[string]any{})
	add(account+"/blobServices/default/containers/data", map[string]any{})
	add(group+"/providers/Microsoft.KeyVault/vaults/vault", located)
	add(group+"/providers/Microsoft.ContainerRegistry/registries/registry", map[string]any{"location": "local", "sku": map[string]any{"name": "Basic"}})
	run := w.must("POST", group+"/providers/Microsoft.ContainerRegistry/registries/registry/scheduleRun", map[string]any{
		"type": "DockerBuildRequest", "dockerFilePath": "Dockerfile", "sourceLocation": "source/context.tar.gz", "isPushEnabled": false,
		"platform": map[string]any{"os": "Linux"}, "credentials": map[string]any{"sourceRegistry": map[string]any{"loginMode": "None"}},
	})
	add(run.text("id"), nil)
	add(group+"/providers/Microsoft.Insights/components/insights", located)
	add(group+"/providers/Microsoft.OperationalInsights/workspaces/logs", located)
	add(fs, map[string]any{"kind": "FeatureStore"})
	add(fs+"/datastores/ds", map[string]any{"properties": map[string]any{"datastoreType": "AzureBlob", "accountName": "acct", "containerName": "data"}})
	add(fs+"/connections/conn", map[string]any{"properties": map[string]any{"category": "ADLSGen2", "authType": "AAD"}})
	add(fs+"/environments/train/versions/1", map[string]any{"properties": map[string]any{"image": "train:1"}})
	add(fs+"/environments/train", map[string]any{})
	for plural, field := range map[string]string{"codes": "codeUri", "data": "dataUri", "models": "modelUri"} {
		add(fs+"/"+plural+"/thing/versions/1", map[string]any{"properties": map[string]any{field: "azureml://datastores/ds/paths/thing"}})
		add(fs+"/"+plural+"/thing", map[string]any{})
	}
	add(group+"/providers/Microsoft.ContainerService/managedClusters/cluster", located)
	w.must("PUT", mlw, map[string]any{})
	w.must("PUT", mlw+"/environments/serve/versions/1", map[string]any{"properties": map[string]any{"image": "serve:1"}})
	add(mlw+"/onlineEndpoints/fraud", map[string]any{"properties": map[string]any{"authMode": "AADToken"}})
	add(mlw+"/onlineEndpoints/fraud/deployments/blue", map[string]any{"properties": map[string]any{"endpointComputeType": "Managed", "environmentId": "azureml:serve:1"}})
	add(fs+"/computes/cpu", map[string]any{"properties": map[string]any{"computeType": "AmlCompute"}})
	add(fs+"/featurestoreEntities/account/versions/1", entityBody())
	add(fs+"/featurestoreEntities/account", map[string]any{})
	add(setVersion, setBody("Offline"))
	add(fs+"/featuresets/transactions", map[string]any{})
	add(setVersion+"/features/amount", nil)
	job := w.backfill(backfillOf("2025-04-01", "2025-04-02")).get("jobIds").([]any)[0].(string)
	w.ended(job)
	add(fs+"/jobs/"+job, nil)
	return out
}

// TestEveryType (BX-05, BX-06): for every declared type and every verb, a stranger is refused with the action named, a
// record of the refusal and of the owner's request is written, and a wrong api-version is refused.
func TestEveryType(t *testing.T) {
	w := newWorld(t)
	stranger := w.person("stranger")
	all := examples(w)
	operations := w.manager.Operations()
	for _, kind := range w.manager.Types() {
		t.Run(string(kind), func(t *testing.T) {
			example, ok := all[kind.Key()]
			if !ok {
				t.Fatal("there is no example of this type")
			}
			collection := example.id[:strings.LastIndex(example.id, "/")]
			requests := []struct {
				verb, method, path string
				body               any
			}{{"read", "GET", example.id, nil}, {"read", "HEAD", example.id, nil}, {"read", "GET", collection, nil}}
			if example.body != nil {
				requests = append(requests, []struct {
					verb, method, path string
					body               any
				}{{"write", "PATCH", example.id, map[string]any{}}, {"write", "PUT", example.id, example.body}, {"delete", "DELETE", example.id, nil}}...)
			}
			for _, r := range requests {
				before := w.contents()
				w.records.take()
				got := w.send(stranger, r.method, r.path, r.body)
				record := last(w.records.take())
				switch {
				case got.Status != 403:
					t.Errorf("%s %s by a stranger: %d %s", r.method, r.path, got.Status, got.Raw)
				case r.method != "HEAD" && (!strings.Contains(got.message(), "'"+record.Action+"'") || !strings.HasSuffix(record.Action, "/"+r.verb)):
					t.Errorf("%s %s by a stranger names another action than %s: %s", r.method, r.path, record.Action, got.Raw)
				case record.Allowed || record.Principal != stranger || record.Reason == "":
					t.Errorf("%s %s by a stranger is recorded as %+v", r.method, r.path, record)
				case !slices.ContainsFunc(operations, func(o string) bool { return strings.EqualFold(o, record.Action) }):
					t.Errorf("%s is asked for and not among the operations", record.Action)
				}
				w.unchanged(before, "a refusal")
				refused(t, "a wrong api-version", w.send(w.owner, r.method, r.path+"?api-version=1", r.body), 400, "InvalidApiVersionParameter")
				if r.method == "DELETE" {
					continue
				}
				w.records.take()
				if got := w.do(r.method, r.path, r.body); got.Status >= 300 {
					t.Errorf("%s %s by the owner: %d %s", r.method, r.path, got.Status, got.Raw)
				}
				if !slices.ContainsFunc(w.records.take(), func(a audit.Record) bool {
					return a.Allowed && a.Principal == w.owner && strings.HasSuffix(a.Action, "/"+r.verb) && a.Role == "Owner" && a.Assignment != ""
				}) {
					t.Errorf("%s %s by the owner leaves no record", r.method, r.path)
				}
			}
		})
	}
	const registry = group + "/providers/Microsoft.ContainerRegistry/registries/registry"
	for _, action := range []struct{ path, action string }{
		{setVersion + "/backfill", ml + "featuresets/action"}, {fs + "/datastores/ds/listSecrets", ml + "datastores/listSecrets/action"},
		{fs + "/connections/conn/listsecrets", ml + "connections/listsecrets/action"},
		{fs + "/diagnose", ml + "diagnose/read"}, {fs + "/resyncKeys", ml + "resynckeys/action"}, {fs + "/computes/cpu/start", ml + "computes/start/action"},
		{mlw + "/onlineEndpoints/fraud/listKeys", ml + "onlineEndpoints/listKeys/action"}, {mlw + "/onlineEndpoints/fraud/regenerateKeys", ml + "onlineEndpoints/regenerateKeys/action"},
		{mlw + "/onlineEndpoints/fraud/token", ml + "onlineEndpoints/token/action"}, {mlw + "/onlineEndpoints/fraud/deployments/blue/getLogs", ml + "onlineEndpoints/deployments/getLogs/action"},
		{group + "/providers/Microsoft.Storage/storageAccounts/acct/listKeys", "Microsoft.Storage/storageAccounts/listKeys/action"},
		{group + "/providers/Microsoft.Storage/storageAccounts/acct/regenerateKey", "Microsoft.Storage/storageAccounts/regeneratekey/action"},
		{registry + "/listCredentials", "Microsoft.ContainerRegistry/registries/listCredentials/action"},
		{registry + "/regenerateCredential", "Microsoft.ContainerRegistry/registries/regenerateCredential/action"},
		{registry + "/listBuildSourceUploadUrl", "Microsoft.ContainerRegistry/registries/listBuildSourceUploadUrl/action"},
		{registry + "/scheduleRun", "Microsoft.ContainerRegistry/registries/scheduleRun/action"},
		{registry + "/runs/cr1/listLogSasUrl", "Microsoft.ContainerRegistry/registries/runs/listLogSasUrl/action"},
		{registry + "/runs/cr1/cancel", "Microsoft.ContainerRegistry/registries/runs/cancel/action"},
	} {
		refused(t, action.path, w.as(stranger, "POST", action.path, nil), 403, "AuthorizationFailed", action.action)
	}
}

func last(records []audit.Record) audit.Record {
	if len(records) == 0 {
		return audit.Record{}
	}
	return records[len(records)-1]
}
