package provider_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
)

// Each line of bad input has its clear error, which names what is at fault, and changes nothing.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	w.withStore("Offline")
	who := w.person("somebody")
	newSet := fs + "/featuresets/fresh/versions/1"
	role := group + definitions + uuid.NewString()
	assignment := func(scope string) string {
		return scope + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString()
	}
	replaced := func(old, new string) map[string]any {
		if !strings.Contains(specification, old) {
			t.Fatalf("the specification has no %q", old)
		}
		return setWith("None", strings.Replace(specification, old, new, 1))
	}
	backfill := setVersion + "/backfill"
	account := group + "/providers/Microsoft.Storage/storageAccounts/"
	cases := []struct {
		what, method, path string
		body               any
		status             int
		code               string
		wants              []string
	}{
		{"a specification with an unknown field", "PUT", newSet, replaced("features:", "feature_list: []\nfeatures:"), 400, "", []string{"feature_list"}},
		{"a specification that is no YAML", "PUT", newSet, setWith("None", "{{"), 400, "", []string{"FeatureSetSpec.yaml"}},
		{"a missing index column", "PUT", newSet, replaced("accountID", "customerID"), 400, "", []string{"accountID"}},
		{"an index column of another type", "PUT", newSet, replaced("    type: string", "    type: long"), 400, "IndexColumnTypeMismatch", []string{"accountID", "Long", "String"}},
		{"a feature of an unknown type", "PUT", newSet, replaced("double", "money"), 400, "", []string{"money"}},
		{"SQL that is no SELECT", "PUT", newSet, setWith("None", specification+"feature_transformation:\n  transformation_sql:\n    path: q.sql\n"), 400, "", []string{"q.sql"}},
		{"no specification", "PUT", newSet, map[string]any{"properties": map[string]any{"entities": []string{"azureml:account:1"}}}, 400, "SpecificationRequired", []string{"properties.specification"}},
		{"a specification path that has no files", "PUT", newSet, map[string]any{"properties": map[string]any{"entities": []string{"azureml:account:1"},
			"specification": map[string]any{"path": "wasbs://data@source.blob.core.windows.net/spec"}}}, 400, "SpecificationNotFound", []string{"source.blob.core.windows.net/spec"}},
		{"an unknown entity", "PUT", newSet, map[string]any{"properties": map[string]any{"entities": []string{"azureml:nobody:1"},
			"specification": map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": specification}}}}, 400, "EntityNotFound", []string{"azureml:nobody:1"}},
		{"an entity reference of no form", "PUT", newSet, map[string]any{"properties": map[string]any{"entities": []string{"account"},
			"specification": map[string]any{"content": map[string]any{"FeatureSetSpec.yaml": specification}}}}, 400, "InvalidEntityReference", []string{"account"}},
		{"an unknown property", "PUT", newSet, map[string]any{"properties": map[string]any{"entitys": []string{}}}, 400, "InvalidRequestContent", []string{"entitys"}},
		{"an unknown field of the envelope", "PUT", newSet, map[string]any{"propertys": map[string]any{}}, 400, "InvalidRequestContent", []string{"propertys"}},
		{"a value of the wrong type", "PUT", newSet, map[string]any{"properties": map[string]any{"entities": "account"}}, 400, "InvalidRequestContent", []string{"properties.entities", "array"}},
		{"an unknown store type", "PATCH", setVersion, map[string]any{"properties": map[string]any{"materializationSettings": map[string]any{"storeType": "Tape"}}}, 400, "InvalidStoreType", []string{"Tape"}},
		{"a time to live that is none", "PATCH", setVersion, map[string]any{"properties": map[string]any{"materializationSettings": map[string]any{"onlineTtl": "soon"}}}, 400, "InvalidOnlineTtl", []string{"soon"}},
		{"an entity without columns", "PUT", fs + "/featurestoreEntities/e/versions/1", map[string]any{"properties": map[string]any{}}, 400, "InvalidEntity", []string{"indexColumns"}},
		{"an entity column of no type", "PUT", fs + "/featurestoreEntities/e/versions/1", map[string]any{"properties": map[string]any{"indexColumns": []any{map[string]any{"columnName": "a", "dataType": "Money"}}}}, 400, "InvalidEntity", []string{"indexColumns[0].dataType"}},

		{"a window that ends before it starts", "POST", backfill, backfillOf("2025-04-02", "2025-04-01"), 400, "UserError", []string{"featureWindowEnd", "after its start"}},
		{"the first backfill without bounds", "POST", backfill, map[string]any{}, 400, "UserError", []string{"featureWindowStart", "featureWindowEnd"}},
		{"the first backfill with one bound", "POST", backfill, backfillOf("2025-04-02", ""), 400, "UserError", []string{"featureWindowEnd"}},
		{"a time that is none", "POST", backfill, backfillOf("yesterday", "2025-04-02"), 400, "InvalidTime", []string{"featureWindowStart", "yesterday"}},
		{"an unknown data status", "POST", backfill, backfillOf("2025-04-01", "2025-04-02", "Ready"), 400, "UserError", []string{"Ready"}},
		{"an unknown field of a backfill", "POST", backfill, map[string]any{"window": 1}, 400, "InvalidRequestContent", []string{"window"}},
		{"a memory limit that is none", "POST", backfill, map[string]any{"featureWindow": map[string]any{"featureWindowStart": "2025-04-01", "featureWindowEnd": "2025-04-02"}, "properties": map[string]any{"memoryLimit": "much"}}, 400, "InvalidMemoryLimit", []string{"memoryLimit", "much"}},
		{"a backfill of an array", "POST", backfill, "[]", 400, "InvalidRequestContent", []string{"array"}},

		{"an unknown role", "PUT", assignment(group), grantBody(who, uuid.NewString()), 400, "RoleDefinitionDoesNotExist", []string{"roleDefinitionId"}},
		{"a role that is no id", "PUT", assignment(group), map[string]any{"properties": map[string]any{"roleDefinitionId": "Reader", "principalId": who}}, 400, "InvalidRoleDefinitionId", []string{"Reader"}},
		{"no role", "PUT", assignment(group), map[string]any{"properties": map[string]any{"principalId": who}}, 400, "InvalidRoleDefinitionId", []string{"roleDefinitionId"}},
		{"a principal that is no GUID", "PUT", assignment(group), grantBody("somebody", access.RoleReader), 400, "InvalidPrincipalId", []string{"principalId"}},
		{"a principal of nobody", "PUT", assignment(group), grantBody(uuid.NewString(), access.RoleReader), 400, "PrincipalNotFound", []string{tenant}},
		{"an assignment without a GUID", "PUT", group + "/providers/Microsoft.Authorization/roleAssignments/mine", grantBody(who, access.RoleReader), 400, "InvalidResourceName", []string{"mine", "GUID"}},
		{"an assignment on what is not there", "PUT", assignment(group + "/providers/Microsoft.Storage/storageAccounts/none"), grantBody(who, access.RoleReader), 404, "ResourceNotFound", []string{"storageAccounts/none"}},
		{"a malformed scope", "PUT", assignment(group + "/storageAccounts"), grantBody(who, access.RoleReader), 400, "InvalidResourceId", []string{"storageAccounts"}},
		{"an assignment with a condition", "PUT", assignment(group), map[string]any{"properties": map[string]any{"roleDefinitionId": definitions + access.RoleReader, "principalId": who, "condition": "true"}}, 400, "InvalidCondition", []string{"properties.condition", "column 5"}},
		{"an action with two wildcards", "PUT", role, roleBody("R", []string{group}, []string{"Microsoft.Storage/*/read/*"}, nil), 400, "InvalidActionOrNotAction", []string{"multiple wildcards"}},
		{"a role without scopes", "PUT", role, roleBody("R", nil, []string{"*/read"}, nil), 400, "InvalidAssignableScope", []string{"assignableScopes"}},
		{"a role with the root as its scope", "PUT", role, roleBody("R", []string{"/"}, []string{"*/read"}, nil), 400, "InvalidAssignableScope", []string{"assignableScopes"}},
		{"a role with a malformed scope", "PUT", role, roleBody("R", []string{"rg"}, []string{"*/read"}, nil), 400, "InvalidResourceId", []string{"rg"}},
		{"a role that grants nothing", "PUT", role, roleBody("R", []string{group}, nil, nil), 400, "InvalidRoleDefinitionPermissions", []string{"permissions"}},

		{"invalid JSON", "PUT", account + "acct", "{", 400, "InvalidRequestContent", []string{"not valid JSON"}},
		{"JSON with something behind it", "PUT", account + "acct", "{} {}", 400, "InvalidRequestContent", []string{"more after"}},
		{"a name twice", "PUT", account + "acct", `{"tags":{"a":"1","A":"2"}}`, 400, "InvalidRequestContent", []string{"duplicate JSON property names", "tags.A"}},
		{"a body that is no object", "PUT", account + "acct", `"x"`, 400, "InvalidRequestContent", []string{"a string"}},
		{"no body", "PUT", account + "acct", "", 400, "InvalidRequestContent", []string{"no body"}},
		{"a body that is too large", "PUT", account + "acct", `{"tags":{"a":"` + strings.Repeat("x", 5<<20) + `"}}`, 413, "RequestEntityTooLarge", []string{"4194304"}},
		{"nesting without end", "PUT", account + "acct", strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 400, "InvalidRequestContent", []string{"100 levels"}},
		{"an illegal name", "PUT", account + "Upper", map[string]any{}, 400, "InvalidResourceName", []string{"Upper", "lower-case"}},
		{"a name that contradicts the path", "PUT", account + "acct", map[string]any{"name": "other"}, 400, "InvalidRequestContent", []string{"other", "acct"}},
		{"anonymous access", "PUT", account + "acct", map[string]any{"properties": map[string]any{"allowBlobPublicAccess": true}}, 400, "PublicAccessNotPermitted", []string{"allowBlobPublicAccess"}},
		{"an identity of another type", "PUT", account + "acct", map[string]any{"identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": map[string]any{group: map[string]any{}}}}, 400, "InvalidIdentityId", []string{"userAssignedIdentities"}},
		{"a group that is not there", "PUT", subscription + "/resourceGroups/none/providers/Microsoft.KeyVault/vaults/vault", map[string]any{"location": "local"}, 404, "ResourceGroupNotFound", []string{"none"}},
		{"a subscription that is not there", "PUT", "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg", map[string]any{"location": "local"}, 404, "SubscriptionNotFound", []string{"33333333"}},
		{"a parent that is not there", "PUT", account + "none/blobServices/default/containers/data", map[string]any{}, 404, "ParentResourceNotFound", []string{"storageAccounts/none"}},
		{"a group without a location", "PUT", subscription + "/resourceGroups/new", map[string]any{}, 400, "LocationRequired", []string{"location"}},
		{"a type that nobody declared", "PUT", group + "/providers/Microsoft.Nothing/things/x", map[string]any{}, 404, "InvalidResourceType", []string{"Microsoft.Nothing/things"}},
		{"a workspace of another kind", "PUT", group + "/providers/Microsoft.MachineLearningServices/workspaces/ws", map[string]any{"kind": "Hub"}, 400, "WorkspaceKindNotSupported", []string{"Default", "FeatureStore", "Hub"}},
		{"a store on storage that is not there", "PUT", group + "/providers/Microsoft.MachineLearningServices/workspaces/ws", map[string]any{"kind": "FeatureStore", "properties": map[string]any{"storageAccount": account + "none"}}, 400, "LinkedResourceNotFound", []string{"properties.storageAccount"}},
		{"a datastore with a secret", "PUT", fs + "/datastores/ds", map[string]any{"properties": map[string]any{"datastoreType": "AzureBlob", "accountName": "a", "containerName": "c", "credentials": map[string]any{"credentialsType": "AccountKey"}}}, 400, "DatastoreCredentialsNotSupported", []string{"credentialsType"}},
		{"a federated credential without a subject", "PUT", group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uami/federatedIdentityCredentials/c", map[string]any{"properties": map[string]any{"issuer": "https://i"}}, 400, "InvalidSubject", []string{"properties.subject"}},
		{"a container that a store needs", "DELETE", w.must("GET", fs, nil).text("properties.offlineStore.target"), nil, 409, "ResourceInUse", []string{"workspaces/fs"}},
		{"an account that a store needs", "DELETE", w.must("GET", fs, nil).text("properties.storageAccount"), nil, 409, "ResourceInUse", []string{"workspaces/fs"}},
		{"a blob service", "DELETE", w.must("GET", fs, nil).text("properties.storageAccount") + "/blobServices/default", nil, 405, "MethodNotAllowed", []string{"goes with"}},
		{"a job of no type", "PUT", fs + "/jobs/j", map[string]any{}, 400, "InvalidJobType", []string{"properties.jobType", "Command, Pipeline"}},
		{"a job of a feature store", "PUT", fs + "/jobs/j", map[string]any{"properties": map[string]any{"jobType": "Command", "computeId": "cpu", "environmentId": "azureml:e:1"}}, 400, "JobsNotSupported", []string{"backfills"}},
		{"an unknown action", "POST", fs + "/explode", nil, 404, "InvalidAction", []string{"explode"}},
		{"an unknown filter", "GET", group + "/resources?$filter=colour%20eq%20'x'", nil, 400, "InvalidFilterInQueryString", []string{"colour"}},
		{"a page of nothing", "GET", subscription + "/resourceGroups?$top=0", nil, 400, "InvalidParameter", []string{"$top"}},
		{"an api-version that is none", "GET", group + "?api-version=now", nil, 400, "InvalidApiVersionParameter", []string{"now"}},
	}
	w.must("PUT", group+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uami", map[string]any{})
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			before := w.contents()
			got := w.do(c.method, c.path, c.body)
			if c.code == "" {
				c.code = got.code()
			}
			refused(t, c.what, got, c.status, c.code, c.wants...)
			if got.code() == "" {
				t.Errorf("the answer has no code: %s", got.Raw)
			}
			w.unchanged(before, c.what)
			// Who has no rights learns nothing of what is wrong with the request, and nothing of what is there.
			if c.method != "GET" && c.status != 413 {
				theirs := w.as(who, c.method, c.path, c.body)
				if theirs.Status == 403 || theirs.code() == "InvalidResourceId" || theirs.code() == "InvalidResourceType" || theirs.code() == "MethodNotAllowed" || theirs.code() == "InvalidAction" {
					return
				}
				t.Errorf("a stranger is told %d %s", theirs.Status, theirs.Raw)
			}
		})
	}
}

// Requests without an api-version or a token are refused, well-formed versions of any date are served.
func TestAPIVersions(t *testing.T) {
	w := newWorld(t)
	for version, status := range map[string]int{"": 400, "latest": 400, "2024-04-01x": 400, "2024-4-1": 400, "2015-01-01": 200, "2099-12-31-preview": 200} {
		if got := w.do("GET", group+"?api-version="+version, nil); got.Status != status {
			t.Errorf("%q answers %d", version, got.Status)
		}
	}
	got := w.send("nobody", "GET", group, nil)
	refused(t, "a token of nobody", got, 401, "InvalidAuthenticationToken")
	if challenge := got.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, tenant) {
		t.Errorf("the challenge is %q", challenge)
	}
}
