package acceptance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/alvara-ml/alvara/access"
)

// fraud is a feature store with a source of data, and who works with it.
type fraud struct {
	*azure
	store                         *armmachinelearning.Workspace
	endpoint                      string // of the account with the sources and specifications
	developer, consumer, stranger *client
}

func newFraud(t *testing.T) *fraud {
	t.Helper()
	f := &fraud{azure: newAzure(t)}
	f.group("rg")
	f.endpoint = f.account("rg", "fraudsource", "data")
	f.store = f.azure.store("rg", "fs")
	f.developer, f.consumer, f.stranger = f.principal("developer"), f.principal("consumer"), f.principal("stranger")
	account := f.env.Group("rg") + "/providers/Microsoft.Storage/storageAccounts/fraudsource"
	f.admin.Grant(f.developer.user.ObjectID, access.RoleMLDataScientist, *f.store.ID)
	f.admin.Grant(f.developer.user.ObjectID, access.RoleStorageBlobDataContributor, account)
	f.admin.Grant(f.consumer.user.ObjectID, f.admin.Role("Feature set consumer", f.env.Group("rg"), consumerActions, nil), *f.store.ID)
	return f
}

// upload puts a file into the container data, as the developer.
func (f *fraud) upload(name, content string) {
	f.t.Helper()
	done(f.developer.blobs(f.endpoint).UploadBuffer(f.t.Context(), "data", name, []byte(content), nil))(f.t)
}

// specify uploads a specification whose features are read as they are from a folder of parquet files.
func (f *fraud) specify(folder string) {
	f.t.Helper()
	f.upload(folder+"/FeatureSetSpec.yaml", fmt.Sprintf(specification, "wasbs://data@fraudsource.blob.core.windows.net"))
}

func (f *fraud) entity(name, version string) {
	f.t.Helper()
	polled(f.developer.learning().NewFeaturestoreEntityVersionsClient().BeginCreateOrUpdate(f.t.Context(), "rg", "fs", name, version, accountEntity(), nil))(f.t)
}

func accountEntity() armmachinelearning.FeaturestoreEntityVersion {
	return armmachinelearning.FeaturestoreEntityVersion{Properties: &armmachinelearning.FeaturestoreEntityVersionProperties{
		Description: ptr("An account"), Stage: ptr("Development"), Tags: map[string]*string{"domain": ptr("fraud")},
		IndexColumns: []*armmachinelearning.IndexColumn{{ColumnName: ptr("accountID"), DataType: ptr(armmachinelearning.FeatureDataTypeString)}},
	}}
}

func setAt(path string, stores armmachinelearning.MaterializationStoreType) armmachinelearning.FeaturesetVersion {
	return armmachinelearning.FeaturesetVersion{Properties: &armmachinelearning.FeaturesetVersionProperties{
		Description: ptr("Transactions"), Stage: ptr("Development"), Entities: []*string{ptr("azureml:account:1")}, Tags: map[string]*string{"owner": ptr("risk")},
		Specification: &armmachinelearning.FeaturesetSpecification{Path: &path},
		MaterializationSettings: &armmachinelearning.MaterializationSettings{
			StoreType: &stores, Resource: &armmachinelearning.MaterializationComputeResource{InstanceType: ptr("Standard_E4s_v3")},
			SparkConfiguration: map[string]*string{"spark.driver.cores": ptr("2")},
			Schedule: &armmachinelearning.RecurrenceTrigger{
				TriggerType: ptr(armmachinelearning.TriggerTypeRecurrence), Frequency: ptr(armmachinelearning.RecurrenceFrequencyDay), Interval: ptr(int32(1)), TimeZone: ptr("UTC"),
			},
		},
	}}
}

// FS-01, FS-09, FS-11: entities and their versions.
func TestSDKEntities(t *testing.T) {
	f := newFraud(t)
	ctx := t.Context()
	containers, versions := f.developer.learning().NewFeaturestoreEntityContainersClient(), f.developer.learning().NewFeaturestoreEntityVersionsClient()
	made := polled(containers.BeginCreateOrUpdate(ctx, "rg", "fs", "account", armmachinelearning.FeaturestoreEntityContainer{Properties: &armmachinelearning.FeaturestoreEntityContainerProperties{Description: ptr("Accounts")}}, nil))(t)
	if *made.Properties.Description != "Accounts" || *made.Properties.NextVersion != "1" {
		t.Fatalf("the container is %+v", *made.Properties)
	}
	f.entity("account", "1")
	f.entity("account", "2")
	f.entity("customer", "1")
	if got := done(containers.GetEntity(ctx, "rg", "fs", "account", nil))(t); *got.Properties.LatestVersion != "2" || *got.Properties.NextVersion != "3" {
		t.Fatalf("the container is %+v", *got.Properties)
	}
	listed := paged(t, containers.NewListPager("rg", "fs", &armmachinelearning.FeaturestoreEntityContainersClientListOptions{PageSize: ptr(int32(1))}), func(p armmachinelearning.FeaturestoreEntityContainersClientListResponse) []*armmachinelearning.FeaturestoreEntityContainer {
		return p.Value
	})
	if got := names(listed, func(c *armmachinelearning.FeaturestoreEntityContainer) *string { return c.Name }); got != "account customer" {
		t.Fatalf("the entities are %q", got)
	}
	got := done(versions.Get(ctx, "rg", "fs", "account", "1", nil))(t)
	column := got.Properties.IndexColumns[0]
	if *column.ColumnName != "accountID" || *column.DataType != armmachinelearning.FeatureDataTypeString || *got.Properties.Stage != "Development" || *got.Properties.IsArchived || *got.Properties.ProvisioningState != armmachinelearning.AssetProvisioningStateSucceeded {
		t.Fatalf("the version is %+v", *got.Properties)
	}
	other := accountEntity()
	other.Properties.IndexColumns[0].ColumnName = ptr("customerID")
	refused(t, "other columns", ended(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "account", "1", other, nil))(t), 409, "VersionImmutable")
	none := accountEntity()
	none.Properties.IndexColumns = nil
	refused(t, "no columns", ended(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "account", "3", none, nil))(t), 400, "InvalidEntity")
	odd := accountEntity()
	odd.Properties.IndexColumns[0].DataType = ptr(armmachinelearning.FeatureDataType("Decimal"))
	refused(t, "a type that is not there", ended(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "account", "3", odd, nil))(t), 400, "InvalidEntity")
	archived := accountEntity()
	archived.Properties.Stage, archived.Properties.IsArchived = nil, ptr(true)
	polled(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "account", "1", archived, nil))(t)
	for view, want := range map[armmachinelearning.ListViewType]string{armmachinelearning.ListViewTypeActiveOnly: "2", armmachinelearning.ListViewTypeArchivedOnly: "1", armmachinelearning.ListViewTypeAll: "1 2"} {
		found := paged(t, versions.NewListPager("rg", "fs", "account", &armmachinelearning.FeaturestoreEntityVersionsClientListOptions{ListViewType: &view}), func(p armmachinelearning.FeaturestoreEntityVersionsClientListResponse) []*armmachinelearning.FeaturestoreEntityVersion {
			return p.Value
		})
		if got := names(found, func(v *armmachinelearning.FeaturestoreEntityVersion) *string { return v.Name }); got != want {
			t.Errorf("%s lists %q, want %q", view, got, want)
		}
	}

	reading := f.consumer.learning().NewFeaturestoreEntityVersionsClient()
	done(reading.Get(ctx, "rg", "fs", "account", "2", nil))(t)
	forbidden(t, "a consumer writing", ended(reading.BeginCreateOrUpdate(ctx, "rg", "fs", "account", "9", accountEntity(), nil))(t), ml+"featurestoreEntities/write")
	forbidden(t, "a consumer deleting", ended(reading.BeginDelete(ctx, "rg", "fs", "account", "2", nil))(t), ml+"featurestoreEntities/delete")
	_, err := f.stranger.learning().NewFeaturestoreEntityVersionsClient().Get(ctx, "rg", "fs", "account", "2", nil)
	forbidden(t, "a stranger reading", err, ml+"featurestoreEntities/read")
	polled(versions.BeginDelete(ctx, "rg", "fs", "account", "2", nil))(t)
	_, err = versions.Get(ctx, "rg", "fs", "account", "2", nil)
	refused(t, "a deleted version", err, 404, "ResourceNotFound")
	polled(containers.BeginDelete(ctx, "rg", "fs", "customer", nil))(t)
}

// FS-07, FS-09, FS-11: the developer's life cycle of a feature set, its specification read from where the developer has
// uploaded it, in every form of path; the consumer only reads.
func TestSDKFeatureSets(t *testing.T) {
	f := newFraud(t)
	ctx := t.Context()
	containers, versions := f.developer.learning().NewFeaturesetContainersClient(), f.developer.learning().NewFeaturesetVersionsClient()
	f.entity("account", "1")
	f.specify("specs/transactions")
	done(f.owner.learning().NewDatastoresClient().CreateOrUpdate(ctx, "rg", "fs", "sources", armmachinelearning.Datastore{Properties: &armmachinelearning.AzureBlobDatastore{
		DatastoreType: ptr(armmachinelearning.DatastoreTypeAzureBlob), AccountName: ptr("fraudsource"), ContainerName: ptr("data"),
		Credentials: &armmachinelearning.NoneDatastoreCredentials{CredentialsType: ptr(armmachinelearning.CredentialsTypeNone)},
	}}, nil))(t)
	for version, path := range map[string]string{
		"1": f.endpoint + "data/specs/transactions",
		"2": "azureml://datastores/sources/paths/specs/transactions",
		"3": "wasbs://data@fraudsource.blob.core.windows.net/specs/transactions",
		"4": "https://fraudsource.blob.core.windows.net/data/specs/transactions/",
		"5": "abfss://data@fraudsource.dfs.core.windows.net/specs/transactions",
		"6": "azureml://subscriptions/" + f.subscription + "/resourcegroups/rg/workspaces/fs/datastores/sources/paths/specs/transactions",
	} {
		made := polled(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "transactions", version, setAt(path, armmachinelearning.MaterializationStoreTypeNone), nil))(t)
		if p := made.Properties; *p.Specification.Path != path || *p.Entities[0] != "azureml:account:1" || *p.Stage != "Development" || *p.ProvisioningState != armmachinelearning.AssetProvisioningStateSucceeded {
			t.Fatalf("%s: made %+v", path, *p)
		}
	}
	got := done(versions.Get(ctx, "rg", "fs", "transactions", "1", nil))(t)
	settings := got.Properties.MaterializationSettings
	trigger := settings.Schedule
	if *settings.StoreType != armmachinelearning.MaterializationStoreTypeNone || *settings.Resource.InstanceType != "Standard_E4s_v3" || *settings.SparkConfiguration["spark.driver.cores"] != "2" || *trigger.Frequency != armmachinelearning.RecurrenceFrequencyDay || *trigger.Interval != 1 {
		t.Fatalf("the settings are %+v", *settings)
	}
	if c := done(containers.GetEntity(ctx, "rg", "fs", "transactions", nil))(t); *c.Properties.NextVersion != "7" {
		t.Fatalf("the next version is %s", *c.Properties.NextVersion)
	}
	listed := paged(t, containers.NewListPager("rg", "fs", nil), func(p armmachinelearning.FeaturesetContainersClientListResponse) []*armmachinelearning.FeaturesetContainer {
		return p.Value
	})
	if got := names(listed, func(c *armmachinelearning.FeaturesetContainer) *string { return c.Name }); got != "transactions" {
		t.Fatalf("the sets are %q", got)
	}

	// Features follow from the specification.
	features := f.consumer.learning().NewFeaturesClient()
	found := paged(t, features.NewListPager("rg", "fs", "transactions", "1", nil), func(p armmachinelearning.FeaturesClientListResponse) []*armmachinelearning.Feature { return p.Value })
	if got := names(found, func(f *armmachinelearning.Feature) *string { return f.Properties.FeatureName }); got != "amount" || *found[0].Properties.DataType != armmachinelearning.FeatureDataTypeDouble {
		t.Fatalf("the features are %q", got)
	}
	done(features.Get(ctx, "rg", "fs", "transactions", "1", "amount", nil))(t)
	_, err := features.Get(ctx, "rg", "fs", "transactions", "1", "absent", nil)
	refused(t, "an absent feature", err, 404, "ResourceNotFound")

	// What is read can be changed and sent back: description, tags and stage change, what it computes does not.
	changed := got.FeaturesetVersion
	changed.Properties.Description, changed.Properties.Stage, changed.Properties.IsArchived = ptr("changed"), ptr("Production"), nil
	updated := polled(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "transactions", "1", changed, nil))(t)
	if *updated.Properties.Description != "changed" || *updated.Properties.Stage != "Production" {
		t.Fatalf("updated to %+v", *updated.Properties)
	}
	f.specify("specs/others")
	elsewhere := setAt(f.endpoint+"data/specs/others", armmachinelearning.MaterializationStoreTypeNone)
	refused(t, "another specification", ended(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "transactions", "1", elsewhere, nil))(t), 409, "VersionImmutable")

	list := func(options *armmachinelearning.FeaturesetVersionsClientListOptions) string {
		found := paged(t, versions.NewListPager("rg", "fs", "transactions", options), func(p armmachinelearning.FeaturesetVersionsClientListResponse) []*armmachinelearning.FeaturesetVersion {
			return p.Value
		})
		return names(found, func(v *armmachinelearning.FeaturesetVersion) *string { return v.Name })
	}
	// Archived by the flag, and by the stage; restored by the flag.
	stage := func(version string, change func(*armmachinelearning.FeaturesetVersionProperties)) armmachinelearning.FeaturesetVersionProperties {
		v := done(versions.Get(ctx, "rg", "fs", "transactions", version, nil))(t).FeaturesetVersion
		change(v.Properties)
		return *polled(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "transactions", version, v, nil))(t).Properties
	}
	if p := stage("2", func(p *armmachinelearning.FeaturesetVersionProperties) { p.IsArchived = ptr(true) }); *p.Stage != "Archived" || !*p.IsArchived {
		t.Fatalf("archived by the flag: %s, %v", *p.Stage, *p.IsArchived)
	}
	if p := stage("3", func(p *armmachinelearning.FeaturesetVersionProperties) { p.Stage = ptr("Archived") }); *p.Stage != "Archived" || !*p.IsArchived {
		t.Fatalf("archived by the stage: %s, %v", *p.Stage, *p.IsArchived)
	}
	for want, options := range map[string]*armmachinelearning.FeaturesetVersionsClientListOptions{
		"1 4 5 6":     {PageSize: ptr(int32(1))},
		"2 3":         {ListViewType: ptr(armmachinelearning.ListViewTypeArchivedOnly)},
		"1 2 3 4 5 6": {ListViewType: ptr(armmachinelearning.ListViewTypeAll)},
		"1":           {Stage: ptr("Production")},
		"4":           {Version: ptr("4"), Tags: ptr("owner=risk")},
		"":            {Tags: ptr("owner=somebody")},
	} {
		if got := list(options); got != want {
			t.Errorf("listed %q, want %q", got, want)
		}
	}
	if p := stage("2", func(p *armmachinelearning.FeaturesetVersionProperties) { p.IsArchived = ptr(false) }); *p.Stage != "Development" || *p.IsArchived {
		t.Fatalf("restored by the flag: %s, %v", *p.Stage, *p.IsArchived)
	}

	// What cannot be registered, and why.
	f.upload("specs/broken/FeatureSetSpec.yaml", "source: [")
	for what, c := range map[string]struct {
		path   string
		change func(*armmachinelearning.FeaturesetVersionProperties)
		status int
		code   string
	}{
		"nothing at the path":        {f.endpoint + "data/specs/absent", nil, 400, "SpecificationNotFound"},
		"a datastore that is absent": {"azureml://datastores/absent/paths/specs/transactions", nil, 400, "DatastoreNotFound"},
		"another store's datastore":  {"azureml://subscriptions/" + f.subscription + "/resourcegroups/rg/workspaces/other/datastores/sources/paths/specs/transactions", nil, 400, "DatastoreNotFound"},
		"a path that is none":        {"c:/specs", nil, 400, "InvalidSpecificationPath"},
		"an entity that is absent": {f.endpoint + "data/specs/transactions", func(p *armmachinelearning.FeaturesetVersionProperties) {
			p.Entities = []*string{ptr("azureml:absent:1")}
		}, 400, "EntityNotFound"},
		"no entity":   {f.endpoint + "data/specs/transactions", func(p *armmachinelearning.FeaturesetVersionProperties) { p.Entities = nil }, 400, "EntitiesRequired"},
		"a bad stage": {f.endpoint + "data/specs/transactions", func(p *armmachinelearning.FeaturesetVersionProperties) { p.Stage = ptr("Testing") }, 400, "InvalidStage"},
		"a bad store type": {f.endpoint + "data/specs/transactions", func(p *armmachinelearning.FeaturesetVersionProperties) {
			p.MaterializationSettings.StoreType = ptr(armmachinelearning.MaterializationStoreType("Cloud"))
		}, 400, "InvalidStoreType"},
	} {
		body := setAt(c.path, armmachinelearning.MaterializationStoreTypeNone)
		if c.change != nil {
			c.change(body.Properties)
		}
		refused(t, what, ended(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "refused", "1", body, nil))(t), c.status, c.code)
	}
	if err := ended(versions.BeginCreateOrUpdate(ctx, "rg", "fs", "refused", "1", setAt(f.endpoint+"data/specs/broken", armmachinelearning.MaterializationStoreTypeNone), nil))(t); err == nil || !strings.Contains(err.Error(), "FeatureSetSpec.yaml") {
		t.Fatalf("a specification that cannot be read gives %v", err)
	}
	_, err = containers.GetEntity(ctx, "rg", "fs", "refused", nil)
	refused(t, "the container of what was refused", err, 404, "ResourceNotFound")

	// The specification is read with the rights of who registers it.
	blind := f.principal("blind")
	f.admin.Grant(blind.user.ObjectID, access.RoleMLDataScientist, *f.store.ID)
	body := setAt(f.endpoint+"data/specs/transactions", armmachinelearning.MaterializationStoreTypeNone)
	err = ended(blind.learning().NewFeaturesetVersionsClient().BeginCreateOrUpdate(ctx, "rg", "fs", "blind", "1", body, nil))(t)
	forbidden(t, "registering what one may not read", err, "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read")
	reading := f.consumer.learning().NewFeaturesetVersionsClient()
	done(reading.Get(ctx, "rg", "fs", "transactions", "1", nil))(t)
	forbidden(t, "a consumer writing", ended(reading.BeginCreateOrUpdate(ctx, "rg", "fs", "transactions", "9", body, nil))(t), ml+"featuresets/write")
	forbidden(t, "a consumer deleting", ended(reading.BeginDelete(ctx, "rg", "fs", "transactions", "1", nil))(t), ml+"featuresets/delete")
	forbidden(t, "a consumer backfilling", ended(reading.BeginBackfill(ctx, "rg", "fs", "transactions", "1", window(time.Now(), time.Now().Add(time.Hour)), nil))(t), ml+"featuresets/action")
	_, err = f.stranger.learning().NewFeaturesetVersionsClient().Get(ctx, "rg", "fs", "transactions", "1", nil)
	forbidden(t, "a stranger reading", err, ml+"featuresets/read")
	_, err = f.stranger.learning().NewFeaturesClient().Get(ctx, "rg", "fs", "transactions", "1", "amount", nil)
	forbidden(t, "a stranger reading features", err, ml+"featuresets/read")

	err = ended(f.developer.learning().NewFeaturestoreEntityVersionsClient().BeginDelete(ctx, "rg", "fs", "account", "1", nil))(t)
	refused(t, "deleting an entity that sets need", err, 409, "ResourceInUse")
	polled(versions.BeginDelete(ctx, "rg", "fs", "transactions", "1", nil))(t)
	_, err = versions.Get(ctx, "rg", "fs", "transactions", "1", nil)
	refused(t, "a deleted version", err, 404, "ResourceNotFound")
	polled(containers.BeginDelete(ctx, "rg", "fs", "transactions", nil))(t)
	_, err = versions.Get(ctx, "rg", "fs", "transactions", "2", nil)
	if e := refused(t, "a version of a deleted set", err, 404, "ResourceNotFound"); !strings.Contains(e.Error(), "workspaces/fs/featuresets/transactions/versions/2'") {
		t.Fatalf("the error does not say what was not found: %v", e)
	}
}

func window(start, end time.Time) armmachinelearning.FeaturesetVersionBackfillRequest {
	return armmachinelearning.FeaturesetVersionBackfillRequest{FeatureWindow: &armmachinelearning.FeatureWindow{FeatureWindowStart: &start, FeatureWindowEnd: &end}}
}
