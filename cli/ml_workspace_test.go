package cli

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/cli/document"
)

// Every command of the document on managed identities is understood as it stands there, and so are the newer forms.
func TestCommandsOfTheDocumentParse(t *testing.T) {
	for _, line := range []string{
		"ml workspace create -w W -g RG -l westeurope --container-registry ID",
		"ml workspace show -n W -g RG", "ml workspace show -w W -g RG --query containerRegistry", "ml workspace show -w W -g RG --query identityPrincipalId",
		"acr update --name R --admin-enabled false",
		"ml computetarget amlcompute identity show --name C -w W -g RG",
		"ml computetarget amlcompute identity assign --name C -w W -g RG --identities ID1 ID2",
		"role assignment create --assignee P --role acrpull --scope /subscriptions/S",
		"role assignment create --assignee P --role managedidentityoperator --scope /subscriptions/S",
		"ml workspace create -w W -g RG --primary-user-assigned-identity ID",
		"ml workspace create --workspace-name W --resource-group RG --keyvault ID --storage-account ID --friendly-name F --exist-ok",
		"ml workspace delete -n W -g RG -y --permanently-delete", "ml workspace sync-keys --name W -g RG", "ml workspace diagnose -n W -g RG",
		"ml computetarget create amlcompute -n C -w W -g RG --min-nodes 0 --max-nodes 4 --vm-size S --assign-identity [system]",
		"ml computetarget amlcompute identity remove --name C -w W -g RG --identities [system]",
		"ml compute create -n C -w W -g RG -t AmlCompute --identity-type UserAssigned --user-assigned-identities ID1,ID2 --tier LowPriority",
		"ml compute update --name C --workspace-name W -g RG --min-instances 1 --idle-time-before-scale-down 300",
		"ml compute delete -n C -w W -g RG --yes --no-wait", "ml connection create -f commandline_test.go -w W -g RG", "ml connection list --workspace-name W -g RG",
	} {
		parser := testParser(t)
		if _, err := parser.Parse(normalize(parser.Model.Node, strings.Fields(line))); err != nil {
			t.Errorf("alvara %s: %v", line, err)
		}
	}
}

// The words of the files and those of the wire become each other.
func TestWordsOfConnections(t *testing.T) {
	for file, wire := range map[string]string{
		"container_registry": "ContainerRegistry", "python_feed": "PythonFeed", "git": "Git", "s3": "S3", "azure_sql_db": "AzureSqlDb", "snowflake": "Snowflake",
		"azure_data_lake_gen2": "ADLSGen2", "pat": "PAT", "sas": "SAS", "aad": "AAD", "username_password": "UsernamePassword", "managed_identity": "ManagedIdentity",
		"access_key": "AccessKey", "registry_connection": "RegistryConnection", "api_key": "ApiKey", "none": "None", "custom": "CustomKeys",
	} {
		if got := categoryOf(file); got != wire {
			t.Errorf("%s becomes %s; want %s", file, got, wire)
		}
		if got := inFile(wire); got != file {
			t.Errorf("%s becomes %s; want %s", wire, got, file)
		}
	}
	if got := camel("secret_access_key"); got != "secretAccessKey" {
		t.Errorf("secret_access_key becomes %s", got)
	}
}

// The identity of a file is read in each of its spellings.
func TestIdentitiesOfFiles(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
	for text, want := range map[string]string{
		"type: system_assigned": `{"type":"SystemAssigned"}`,
		"type: SystemAssigned":  `{"type":"SystemAssigned"}`,
		"type: none":            `{"type":"None"}`,
		"type: user_assigned\nuser_assigned_identities:\n- resource_id: " + id:             `{"type":"UserAssigned","userAssignedIdentities":{"` + id + `":{}}}`,
		"type: user_assigned\nuser_assigned_identities:\n- " + id:                          `{"type":"UserAssigned","userAssignedIdentities":{"` + id + `":{}}}`,
		"type: system_assigned,user_assigned\nuser_assigned_identities:\n  " + id + ": {}": `{"type":"SystemAssigned,UserAssigned","userAssignedIdentities":{"` + id + `":{}}}`,
	} {
		given, err := document.DecodeYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := identityOfFile(given)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if encoded, err := got.MarshalJSON(); err != nil || string(encoded) != want {
			t.Errorf("%q becomes %s; want %s", text, encoded, want)
		}
	}
	for text, want := range map[string]string{
		"type: somebody": "somebody", "type: user_assigned\nuser_assigned_identities:\n- resource_id: identity_resource_id": "identity_resource_id", "kind: x": "kind",
	} {
		given, err := document.DecodeYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := identityOfFile(given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v", text, err)
		}
	}
}
