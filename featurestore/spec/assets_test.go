package spec

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

const (
	container = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acct/blobServices/default/containers/offline"
	identity  = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mat"
	guid      = "11111111-2222-3333-4444-55555555AbCd"
)

// TestFeatureStoreFile reads a store with all that may be brought along (FS-04, J9).
func TestFeatureStoreFile(t *testing.T) {
	got, err := ParseFeatureStore("fs.yaml", []byte(`$schema: http://azureml/sdk-2-0/FeatureStore.json
name: my-store
location: local
display_name: My store
description: for tests
tags: {team: fraud, level: 3, shared: true}
resource_group: rg
compute_runtime:
  spark_runtime_version: 3.4
offline_store:
  type: azure_data_lake_gen2
  target: `+container+`
online_store: {type: Pebble}
materialization_identity:
  client_id: `+guid+`
  resource_id: `+identity+`
identity: {type: "system_assigned, user_assigned", user_assigned_identities: [{resource_id: `+identity+`}]}
storage_account: /subscriptions/s/resourcegroups/rg/providers/microsoft.storage/storageaccounts/acct
public_network_access: enabled
`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "my-store" || got.Location != "local" || got.DisplayName != "My store" || got.Description != "for tests" ||
		got.ResourceGroup != "rg" || got.SparkRuntimeVersion != "3.4" || got.PublicNetworkAccess != "Enabled" {
		t.Errorf("got %+v", got)
	}
	if want := map[string]string{"team": "fraud", "level": "3", "shared": "true"}; !reflect.DeepEqual(got.Tags, want) {
		t.Errorf("tags are %v", got.Tags)
	}
	if got.OfflineStore.Target.String() != container || got.OnlineStore.Type != "pebble" || !got.OnlineStore.Target.IsRoot() {
		t.Errorf("stores are %+v, %+v", got.OfflineStore, got.OnlineStore)
	}
	if m := got.MaterializationIdentity; m.ClientID != strings.ToLower(guid) || m.ResourceID.String() != identity {
		t.Errorf("the materialization identity is %+v", m)
	}
	if i := got.Identity; !i.System || len(i.UserAssigned) != 1 || i.UserAssigned[0].Name() != "mat" {
		t.Errorf("the identity is %+v", i)
	}
	if got.StorageAccount.Name() != "acct" || !got.KeyVault.IsRoot() {
		t.Errorf("resources are %s, %s", got.StorageAccount, got.KeyVault)
	}
	keyed, err := ParseFeatureStore("fs.yaml", []byte("name: s\nidentity:\n  type: user_assigned\n  user_assigned_identities:\n    "+identity+": {}\n"))
	if err != nil || len(keyed.Identity.UserAssigned) != 1 || keyed.Identity.System {
		t.Errorf("identities as keys: %+v, %v", keyed, err)
	}
}

// TestAssetFaults shows the clear error for each kind of asset file.
func TestAssetFaults(t *testing.T) {
	store := func(text string) error { _, err := ParseFeatureStore("f.yaml", []byte(text)); return err }
	entity := func(text string) error { _, err := ParseEntity("f.yaml", []byte(text)); return err }
	set := func(text string) error { _, err := ParseFeatureSet("f.yaml", []byte(text)); return err }
	update := func(text string) error { _, err := ParseFeatureSetUpdate("f.yaml", []byte(text)); return err }
	retrieval := func(text string) error { _, err := ParseRetrievalSpec("f.yaml", []byte(text)); return err }
	const setHead = "name: t\nversion: 1\nspecification: {path: ./spec}\nentities: [azureml:account:1]\nmaterialization_settings: "
	const storeHead = "serialization_version: 2\nfeature_stores:\n  - uri: azureml://subscriptions/s/resourcegroups/rg/workspaces/fs\n    location: local\n    workspace_id: " + guid + "\n    features: "
	cases := []struct {
		name  string
		parse func(string) error
		text  string
		want  []string
	}{
		{"store without name", store, "location: x\n", []string{"f.yaml:1:1: name is missing"}},
		{"store name", store, "name: a:b\n", []string{`name: the name "a:b" is not allowed`}},
		{"offline type", store, "name: a\noffline_store: {type: s3, target: " + container + "}\n", []string{`offline_store.type is "s3"`}},
		{"offline target", store, "name: a\noffline_store: {type: azure_data_lake_gen2, target: " + identity + "}\n", []string{"is not the id of a resource of type Microsoft.Storage"}},
		{"offline target malformed", store, "name: a\noffline_store: {type: azure_data_lake_gen2, target: x}\n", []string{"offline_store.target: the id \"x\" does not start with '/'"}},
		{"redis without target", store, "name: a\nonline_store: {type: redis}\n", []string{"online_store.target is missing"}},
		{"pebble with target", store, "name: a\nonline_store: {type: pebble, target: x}\n", []string{"has none"}},
		{"identity guid", store, "name: a\nmaterialization_identity: {client_id: x}\n", []string{"a GUID was expected"}},
		{"identity empty", store, "name: a\nmaterialization_identity: {}\n", []string{"names no identity"}},
		{"user identity missing", store, "name: a\nidentity: {type: user_assigned}\n", []string{"needs at least one identity"}},
		{"user identity unasked", store, "name: a\nidentity: {type: system_assigned, user_assigned_identities: [" + identity + "]}\n", []string{"but identity.type is system_assigned"}},
		{"tags", store, "name: a\ntags: [x]\n", []string{"tags is a list; a mapping of fields was expected"}},
		{"duplicate tag", store, "name: a\ntags: {x: 1, x: 2}\n", []string{"tags.x is given twice"}},
		{"entity", entity, "name: account\nstage: Draft\nindex_columns: [{name: a, type: string}, {name: A, type: x}]\n",
			[]string{"version is missing", `stage is "Draft"; expected Development, Production, Archived`, `"A" is taken already`, `"x"; expected string`}},
		{"set", set, "name: t\nversion: 1\nentitys: []\n", []string{"specification is missing", "entities is missing", `did you mean "entities"?`}},
		{"set without path", set, "name: t\nversion: 1\nspecification: {}\nentities: [account:1, 'azureml:ACCOUNT:2', x]\n",
			[]string{"specification.path is missing", `the entity "ACCOUNT" is listed already`, `the reference "x" is malformed`}},
		{"zero ttl", set, setHead + "{online_ttl: {days: 0}}\n", []string{"online_ttl is zero"}},
		{"ttl", set, setHead + "{online_ttl: 30d}\n", []string{`"30d" is not a duration`}},
		{"enabled", set, setHead + "{offline_enabled: yes}\n", []string{"offline_enabled is text; true or false was expected"}},
		{"schedule", set, setHead + "{schedule: {type: cron, frequency: Fortnight, interval: 0, start_time: soon}}\n",
			[]string{`type is "cron"`, `frequency is "Fortnight"`, "interval is 0; expected 1", `"soon" is not a point in time`}},
		{"notification", set, setHead + "{notification: {email_on: [JobStarted], emails: [x]}}\n", []string{`"JobStarted"`, `emails[0] is "x"; an e-mail`}},
		{"instance", set, setHead + "{resource: {instance: x}}\n", []string{`did you mean "instance_type"?`}},
		{"update", update, "stage: Gone\n", []string{`stage is "Gone"`}},
		{"retrieval version", retrieval, "serialization_version: 3\nfeature_stores: []\n", []string{"serialization_version is 3", "feature_stores is empty"}},
		{"retrieval both", retrieval, storeHead + "[{feature_name: a, feature_set: s:1}]\nfeaturestores: [{}]\n", []string{"are both given", "uri is missing", "location is missing", "workspace_id is missing", "features is missing"}},
		{"retrieval none", retrieval, "serialization_version: 2\n", []string{"feature_stores is missing"}},
		{"retrieval set", retrieval, storeHead + "[{feature_name: a, feature_set: s}]\n", []string{`"s" is malformed`}},
		{"retrieval twice", retrieval, storeHead + "[{feature_name: a, feature_set: s:1}, {feature_name: A, feature_set: S:1}]\n", []string{"is listed already"}},
		{"retrieval uri", retrieval, strings.Replace(storeHead, "workspaces", "stores", 1) + "[{feature_name: a, feature_set: s:1}]\n", []string{"expected azureml://subscriptions/id"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { checkFaults(t, c.parse(c.text), c.want) })
	}
}

// TestFeatureSetFile reads the tutorial's asset with all settings (FS-11, FS-12).
func TestFeatureSetFile(t *testing.T) {
	got, err := ParseFeatureSet("set.yaml", []byte(`name: transactions
version: 1
description: |
  rolling
specification: {path: ./spec}
entities: # keys
  - azureml:account:1
tags: {data_type: nonPII}
materialization_settings:
  offline_enabled: true
  online_enabled: false
  online_ttl: P1DT12H
  schedule: {type: recurrence, frequency: hour, interval: 3, start_time: "2023-04-15T04:30:00"}
  notification: {email_on: [JobFailed, jobcancelled], emails: [a@b.example]}
  resource: {instance_type: Standard_E8s_v3}
  spark_configuration: {spark.driver.cores: 4}
`))
	if err != nil {
		t.Fatal(err)
	}
	yes, no, ttl := true, false, 36*time.Hour
	want := &FeatureSet{Name: "transactions", Version: "1", Description: "rolling\n", SpecificationPath: "./spec",
		Entities: []VersionRef{{"account", "1"}}, Stage: Development, Tags: map[string]string{"data_type": "nonPII"},
		Materialization: &MaterializationSettings{OfflineEnabled: &yes, OnlineEnabled: &no, OnlineTTL: &ttl,
			Schedule:     &Schedule{Frequency: "Hour", Interval: 3, TimeZone: "UTC", StartTime: time.Date(2023, 4, 15, 4, 30, 0, 0, time.UTC)},
			Notification: &Notification{EmailOn: []string{"JobFailed", "JobCancelled"}, Emails: []string{"a@b.example"}},
			InstanceType: "Standard_E8s_v3", SparkConfiguration: map[string]string{"spark.driver.cores": "4"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if every, ok := got.Materialization.Schedule.Every(); !ok || every != 3*time.Hour {
		t.Errorf("every %s", every)
	}
	if _, ok := (Schedule{Frequency: "Month", Interval: 1}).Every(); ok {
		t.Error("a month has no fixed length")
	}
	updated, err := ParseFeatureSetUpdate("set.yaml", []byte("materialization_settings: {online_enabled: true, online_ttl: {days: 2}}\n"))
	if err != nil || updated.Name != "" || updated.Stage != "" || updated.Materialization.OfflineEnabled != nil ||
		!*updated.Materialization.OnlineEnabled || *updated.Materialization.OnlineTTL != 48*time.Hour {
		t.Errorf("update: %+v, %v", updated, err)
	}
}

func TestEntityFile(t *testing.T) {
	got, err := ParseEntity("e.yaml", []byte("name: account\nversion: '01'\nstage: production\nindex_columns:\n  - {name: accountID, type: String}\n"))
	want := &Entity{Name: "account", Version: "01", Stage: Production, IndexColumns: []Column{{Name: "accountID", Type: String}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestCheckEntities shows that a set's key is its entities' key (FS-01).
func TestCheckEntities(t *testing.T) {
	s := &FeatureSetSpec{IndexColumns: []Column{{Name: "Site", Type: String}, {Name: "device", Type: Long}}}
	site := Entity{Name: "site", Version: "1", IndexColumns: []Column{{Name: "site", Type: String}}}
	device := Entity{Name: "device", Version: "2", IndexColumns: []Column{{Name: "device", Type: Long}}}
	checkFaults(t, s.CheckEntities([]Entity{site, device}), nil)
	checkFaults(t, s.CheckEntities([]Entity{site}), []string{`"device" belongs to none`})
	device.IndexColumns = []Column{{Name: "device", Type: Integer}, {Name: "port", Type: Integer}}
	checkFaults(t, s.CheckEntities([]Entity{site, device}), []string{
		`"device" has the type long, and integer in the entity device:2`, `"port" of the entity device:2 is missing`})
}

// TestSecondsWindow shows that a window finer than minutes gets a lookback that can be written (J6).
func TestSecondsWindow(t *testing.T) {
	text := minimalYAML + "feature_transformation: {transformation_expression: [{feature: amount, aggregation: count, window: {length: 90, unit: Second}}]}\n"
	s, err := Parse(map[string][]byte{FileName: []byte(text)})
	if err != nil || s.SourceLookback != 2*time.Minute || s.Aggregations[0].Window != 90*time.Second {
		t.Fatalf("%+v, %v", s, err)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Parse(files); err != nil || !reflect.DeepEqual(s, back) {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestRetrievalSpec reads both spellings and writes the newer one (FS-16).
func TestRetrievalSpec(t *testing.T) {
	const newer = `serialization_version: 2
feature_stores:
  - uri: azureml://subscriptions/s/resourcegroups/rg/workspaces/fs
    location: local
    workspace_id: "11111111-2222-3333-4444-55555555abcd"
    features:
      - feature_name: accountAge
        feature_set: accounts:1
      - feature_name: amount
        feature_set: transactions:1.0
`
	older := strings.NewReplacer("version: 2", "version: 1", "feature_stores", "featurestores", "resourcegroups", "resourceGroups").Replace(newer)
	for _, text := range []string{newer, older} {
		got, err := ParseRetrievalSpec("r.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		want := []FeatureRef{{Set: "accounts", Version: "1", Feature: "accountAge"}, {Set: "transactions", Version: "1.0", Feature: "amount"}}
		id := resource.MustParseID("/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fs")
		if len(got.Stores) != 1 || !got.Stores[0].Store.Equal(id) || !reflect.DeepEqual(got.Stores[0].Features, want) {
			t.Errorf("got %+v", got)
		}
		if written, err := got.MarshalYAML(); err != nil || string(written) != newer {
			t.Errorf("%v\n%s", err, written)
		}
	}
}
