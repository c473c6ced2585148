package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/alvara-ml/alvara/access"
)

const blobs = "azureml://datastores/workspaceblobstore/paths/"

// assets are the types of assets, each with the smallest content of a version.
var assets = []struct {
	plural, uri string
	content     object
}{
	{"codes", "codeUri", object{"codeUri": blobs + "code/"}},
	{"data", "dataUri", object{"dataUri": blobs + "rows.csv", "dataType": "URI_FILE"}},
	{"models", "modelUri", object{"modelUri": blobs + "model/", "modelType": "mlflow_model"}},
}

func and(all ...object) object {
	out := object{}
	for _, one := range all {
		for name, value := range one {
			out[name] = value
		}
	}
	return out
}

// Every type of assets has containers, versions that never change in what they consist of, stages, lists, and rights.
func TestAssets(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	for _, asset := range assets {
		base := ws + "/" + asset.plural + "/thing"
		put := func(version string, more object) answer {
			return w.do("PUT", base+"/versions/"+version, object{"properties": and(asset.content, more)})
		}
		made := put("1", object{"tags": object{"a": "b"}, "properties": object{"hash_sha256": "ab", "alvara.featureSets": "forged", "own": "1"}})
		if made.Status != 201 || made.text("properties.stage") != "Development" || made.text("systemData.createdBy") == "" || made.text("properties.provisioningState") != "Succeeded" {
			t.Errorf("%s: %d %s", asset.plural, made.Status, made.Raw)
		}
		if made.get("properties.properties").(object)["alvara.featureSets"] != nil || made.text("properties.properties.own") != "1" {
			t.Errorf("%s: what only the server writes: %s", asset.plural, made.Raw)
		}
		if got := put("3", nil); got.Status != 201 || got.get("properties.isAnonymous") != false {
			t.Errorf("%s 3: %s", asset.plural, got.Raw)
		}
		if got := w.must("GET", base, nil); got.text("properties.latestVersion") != "3" || got.text("properties.nextVersion") != "4" {
			t.Errorf("%s: the container: %s", asset.plural, got.Raw)
		}
		// The same again is no change; anything else in the content is refused.
		if got := put("1", object{"description": "again"}); got.Status != 200 || got.text("properties.description") != "again" || got.get("properties.tags") != nil {
			t.Errorf("%s again: %d %s", asset.plural, got.Status, got.Raw)
		}
		for field, value := range map[string]any{asset.uri: blobs + "other/", "dataType": "mltable", "modelType": "triton_model", "jobName": "j", "flavors": object{"f": object{}}} {
			if _, has := asset.content[field]; has || (asset.plural == "models" && field != "dataType") {
				refused(t, asset.plural+" with another "+field, w.do("PATCH", base+"/versions/1", object{"properties": object{field: value}}), 409, "VersionImmutable", "properties."+field)
			}
		}
		got := w.must("PATCH", base+"/versions/1", object{"properties": object{"isArchived": true, "properties": object{"own": nil, "hash_sha256": "ab"}}})
		if got.text("properties.stage") != "Archived" || got.text("properties."+asset.uri) != asset.content[asset.uri] || got.text("properties.properties.own") != "" {
			t.Errorf("%s archived: %s", asset.plural, got.Raw)
		}
		for query, count := range map[string]int{"": 1, "?listViewType=All": 2, "?listViewType=ArchivedOnly": 1, "?listViewType=All&hash=ab": 1, "?listViewType=All&hash=cd": 0, "?hash=ab": 0} {
			if list := w.must("GET", base+"/versions"+query, nil); list.count("value") != count {
				t.Errorf("%s: the list with %q has %d; want %d", asset.plural, query, list.count("value"), count)
			}
		}
		numbered := w.must("PUT", ws+"/"+asset.plural+"/numbered/versions/1", object{"properties": and(asset.content, object{"properties": object{"hash_version": 2, "yes": true, "text": "2"}})})
		if p := "properties.properties."; numbered.text(p+"hash_version") != "2" || numbered.text(p+"yes") != "true" || numbered.text(p+"text") != "2" {
			t.Errorf("%s with numbers: %s", asset.plural, numbered.Raw)
		}
		refused(t, "a list", w.do("PUT", ws+"/"+asset.plural+"/numbered/versions/2", object{"properties": and(asset.content, object{"properties": object{"own": []int{1}}})}), 400, "InvalidRequestContent", "properties.properties.own", "a string was expected")
		refused(t, "a number", w.do("PUT", ws+"/"+asset.plural+"/numbered/versions/2", object{"properties": and(asset.content, object{"description": 1})}), 400, "InvalidRequestContent", "properties.description is a number")
		// Clients look for what they have uploaded before under a name that is not there yet.
		if list := w.must("GET", ws+"/"+asset.plural+"/nothing/versions?hash=ab", nil); list.count("value") != 0 {
			t.Errorf("%s: %s", asset.plural, list.Raw)
		}
		refused(t, "what is not there", w.do("GET", ws+"/"+asset.plural+"/nothing/versions", nil), 404, "ParentResourceNotFound")
		if asset.plural == "models" && !strings.Contains(string(got.Raw), `"flavors":{}`) {
			t.Errorf("clients go through the flavors: %s", got.Raw)
		}
		who := w.person("scientist-" + asset.plural)
		refused(t, "a stranger", w.as(who, "PUT", base+"/versions/9", object{"properties": asset.content}), 403, "AuthorizationFailed", asset.plural+"/versions/write")
		w.grant(who, access.RoleMLDataScientist, ws)
		if got := w.as(who, "PUT", base+"/versions/9", object{"properties": asset.content}); got.Status != 201 {
			t.Errorf("%s of a data scientist: %d %s", asset.plural, got.Status, got.Raw)
		}
		w.must("DELETE", base+"/versions/9", nil)
		w.must("DELETE", base, nil)
	}
}

func TestAssetRefusals(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	for _, c := range []struct {
		what, at         string
		properties       object
		code, want, more string
	}{
		{"no place", "codes/a/versions/1", object{}, "InvalidAsset", "properties.codeUri", "missing"},
		{"a local folder", "codes/a/versions/1", object{"codeUri": "./src"}, "InvalidAsset", "properties.codeUri", "no scheme"},
		{"a pattern", "data/a/versions/1", object{"dataUri": blobs + "*.csv"}, "InvalidAsset", "properties.dataUri", "pattern"},
		{"a signature", "data/a/versions/1", object{"dataUri": "https://acct.blob.core.windows.net/c/p?sig=x"}, "InvalidAsset", "properties.dataUri", "query"},
		{"a type", "data/a/versions/1", object{"dataUri": blobs + "x", "dataType": "table"}, "InvalidAsset", "properties.dataType", "mltable"},
		{"references", "data/a/versions/1", object{"dataUri": blobs + "x", "referencedUris": []string{"x"}}, "InvalidAsset", "properties.referencedUris", "mltable"},
		{"a model's type", "models/a/versions/1", object{"modelUri": blobs + "x", "modelType": "onnx"}, "InvalidAsset", "properties.modelType", "triton_model"},
		{"a stage", "models/a/versions/1", object{"modelUri": blobs + "x", "stage": "Dead"}, "InvalidStage", "properties.stage", "Dead"},
		{"a field", "models/a/versions/1", object{"modelUri": blobs + "x", "path": "y"}, "InvalidRequestContent", "path", ""},
		{"a name", "models/a.b/versions/1", object{"modelUri": blobs + "x"}, "InvalidResourceName", "a.b", ""},
		{"the word for the newest", "models/a/versions/Latest", object{"modelUri": blobs + "x"}, "InvalidResourceName", "Latest", ""},
		{"no such datastore", "models/a/versions/1", object{"modelUri": "azureml://datastores/none/paths/x"}, "DatastoreNotFound", "properties.modelUri", "none"},
		{"the datastore of another", "data/a/versions/1", object{"dataUri": "azureml:/" + strings.Replace(workspaces, "providers/Microsoft.MachineLearningServices/", "", 1) + "other/datastores/workspaceblobstore/paths/x"}, "DatastoreNotFound", "properties.dataUri", "other"},
	} {
		refused(t, c.what, w.do("PUT", ws+"/"+c.at, object{"properties": c.properties}), 400, c.code, c.want, c.more)
	}
	refused(t, "no such job", w.do("PUT", ws+"/models/a/versions/1", object{"properties": object{"modelUri": "azureml://jobs/none/outputs/model"}}), 404, "ResourceNotFound", "none")
	refused(t, "no workspace", w.do("PUT", workspaces+"none/models/a/versions/1", object{"properties": object{"modelUri": blobs + "x"}}), 404, "ParentResourceNotFound", "none")
}

// A place to upload to is a folder of the workspace's own datastore that nobody else has, for versions that are not there yet.
func TestPendingUpload(t *testing.T) {
	w := newWorld(t)
	made := w.must("PUT", ws, object{})
	container := "azureml-blobstore-" + made.text("properties.workspaceId")
	account := made.text("properties.storageAccount")
	for _, asset := range assets {
		path := ws + "/" + asset.plural + "/new/versions/1/startPendingUpload"
		first := w.must("POST", path, object{"pendingUploadType": "TemporaryBlobReference"})
		uri, id, folder := first.text("blobReferenceForConsumption.blobUri"), first.text("pendingUploadId"), first.text("folder")
		if uri != "https://blob/"+account[strings.LastIndex(account, "/")+1:]+container || folder != "LocalUpload/"+id || first.text("blobReferenceForConsumption.storageAccountArmId") != account ||
			!strings.Contains(string(first.Raw), `"sasUri":""`) || first.text("pendingUploadType") != "TemporaryBlobReference" {
			t.Errorf("%s: %s", asset.plural, first.Raw)
		}
		if again := w.must("POST", path, nil); again.text("pendingUploadId") == id {
			t.Errorf("%s: the same folder for two", asset.plural)
		}
		if again := w.must("POST", path, object{"pendingUploadId": id}); again.text("folder") != folder {
			t.Errorf("%s: another folder: %s", asset.plural, again.Raw)
		}
		refused(t, "an id", w.do("POST", path, object{"pendingUploadId": "../x"}), 400, "InvalidParameter", "pendingUploadId")
		refused(t, "a type", w.do("POST", path, object{"pendingUploadType": "Disk"}), 400, "InvalidParameter", "pendingUploadType")
		refused(t, "a stranger", w.as(w.person("stranger-"+asset.plural), "POST", path, nil), 403, "AuthorizationFailed", asset.plural+"/versions/write")
		if got := w.do("GET", ws+"/"+asset.plural+"/new", nil); got.Status != 404 {
			t.Errorf("%s: an upload has made %s", asset.plural, got.Raw)
		}
	}
	refused(t, "no workspace", w.do("POST", workspaces+"none/codes/new/versions/1/startPendingUpload", nil), 404, "ParentResourceNotFound", "none")
}

const retrieval = `serialization_version: 2
feature_stores:
- uri: azureml://subscriptions/22222222-2222-2222-2222-222222222222/resourcegroups/rg/workspaces/fs
  location: local
  workspace_id: 33333333-3333-3333-3333-333333333333
  features:
  - feature_name: sum
    feature_set: transactions:1
  - feature_name: count
    feature_set: transactions:1
  - feature_name: age
    feature_set: accounts:2
`

// A model names the feature sets that it was trained on when its folder has a retrieval specification.
func TestModelFeatureSets(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	put := func(version, folder string) answer {
		return w.do("PUT", ws+"/models/fraud/versions/"+version, object{"properties": object{"modelUri": "https://acct.blob.core.windows.net/data/ctx/" + folder}})
	}
	w.images.put("good/feature_retrieval_spec.yaml", retrieval)
	w.images.put("hidden/feature_retrieval_spec.yaml", "secret")
	w.images.put("bad/feature_retrieval_spec.yaml", "feature_stores: 1")
	sets := workspaces + "fs/featuresets/transactions/versions/1," + workspaces + "fs/featuresets/accounts/versions/2"
	property := func(a answer) any {
		properties, _ := a.get("properties.properties").(object)
		return properties["alvara.featureSets"]
	}
	if got := put("1", "good/"); property(got) != sets {
		t.Errorf("the feature sets: %d %s", got.Status, got.Raw)
	}
	for version, folder := range map[string]string{"2": "hidden", "3": "none"} {
		if got := put(version, folder); got.Status != 201 || property(got) != nil {
			t.Errorf("%s: %d %s", folder, got.Status, got.Raw)
		}
	}
	refused(t, "a malformed specification", put("4", "bad"), 400, "InvalidRetrievalSpec", "feature_retrieval_spec.yaml", "properties.modelUri")
	if got := w.must("PATCH", ws+"/models/fraud/versions/1", object{"properties": object{"properties": object{"alvara.featureSets": "x", "own": "1"}}}); property(got) != sets || got.text("properties.properties.own") != "1" {
		t.Errorf("after an update: %s", got.Raw)
	}
}

// BX-08: assets are managed with Azure's SDK, unmodified.
func TestSDKAssets(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	ctx, factory := t.Context(), w.clients(w.owner)
	codes, data, models := factory.NewCodeVersionsClient(), factory.NewDataVersionsClient(), factory.NewModelVersionsClient()
	upload := got[armmachinelearning.CodeVersionsClientCreateOrGetStartPendingUploadResponse](t)(codes.CreateOrGetStartPendingUpload(ctx, "rg", "ws", "src", "1", armmachinelearning.PendingUploadRequestDto{
		PendingUploadType: ptr(armmachinelearning.PendingUploadTypeTemporaryBlobReference),
	}, nil))
	credential, _ := upload.BlobReferenceForConsumption.Credential.(*armmachinelearning.SASCredentialDto)
	if credential == nil || *credential.SasURI != "" || !strings.HasPrefix(*upload.BlobReferenceForConsumption.BlobURI, "https://") {
		t.Errorf("the upload: %+v", upload.BlobReferenceForConsumption)
	}
	code := got[armmachinelearning.CodeVersionsClientCreateOrUpdateResponse](t)(codes.CreateOrUpdate(ctx, "rg", "ws", "src", "1", armmachinelearning.CodeVersion{
		Properties: &armmachinelearning.CodeVersionProperties{CodeURI: ptr(blobs + "src"), IsAnonymous: ptr(true)},
	}, nil))
	if *code.Properties.CodeURI != blobs+"src" || code.SystemData == nil || !*code.Properties.IsAnonymous || *code.Properties.ProvisioningState != armmachinelearning.AssetProvisioningStateSucceeded {
		t.Errorf("the code: %+v", code)
	}
	for _, properties := range []armmachinelearning.DataVersionBasePropertiesClassification{
		&armmachinelearning.URIFileDataVersion{DataType: ptr(armmachinelearning.DataTypeURIFile), DataURI: ptr(blobs + "f")},
		&armmachinelearning.URIFolderDataVersion{DataType: ptr(armmachinelearning.DataTypeURIFolder), DataURI: ptr(blobs + "d")},
		&armmachinelearning.MLTableData{DataType: ptr(armmachinelearning.DataTypeMltable), DataURI: ptr(blobs + "t"), ReferencedUris: []*string{ptr(blobs + "x")}},
	} {
		base := properties.GetDataVersionBaseProperties()
		made := got[armmachinelearning.DataVersionsClientCreateOrUpdateResponse](t)(data.CreateOrUpdate(ctx, "rg", "ws", string(*base.DataType), "1", armmachinelearning.DataVersionBase{Properties: properties}, nil))
		if back := made.Properties.GetDataVersionBaseProperties(); *back.DataType != *base.DataType || *back.DataURI != *base.DataURI {
			t.Errorf("the data: %+v", back)
		}
	}
	got[armmachinelearning.ModelVersionsClientCreateOrUpdateResponse](t)(models.CreateOrUpdate(ctx, "rg", "ws", "m", "1", armmachinelearning.ModelVersion{Properties: &armmachinelearning.ModelVersionProperties{
		ModelURI: ptr(blobs + "m"), ModelType: ptr("mlflow_model"), Flavors: map[string]*armmachinelearning.FlavorData{"python_function": {Data: map[string]*string{"loader": ptr("x")}}}, Stage: ptr("Production"),
	}}, nil))
	model := got[armmachinelearning.ModelVersionsClientGetResponse](t)(models.Get(ctx, "rg", "ws", "m", "1", nil))
	if *model.Properties.Flavors["python_function"].Data["loader"] != "x" || *model.Properties.Stage != "Production" {
		t.Errorf("the model: %+v", model.Properties)
	}
	container := got[armmachinelearning.ModelContainersClientGetResponse](t)(factory.NewModelContainersClient().Get(ctx, "rg", "ws", "m", nil))
	if *container.Properties.LatestVersion != "1" || *container.Properties.NextVersion != "2" {
		t.Errorf("the container: %+v", container.Properties)
	}
	count := 0
	for pager := models.NewListPager("rg", "ws", "m", nil); pager.More(); {
		count += len(got[armmachinelearning.ModelVersionsClientListResponse](t)(pager.NextPage(ctx)).Value)
	}
	got[armmachinelearning.ModelVersionsClientDeleteResponse](t)(models.Delete(ctx, "rg", "ws", "m", "1", nil))
	if _, err := models.Get(ctx, "rg", "ws", "m", "1", nil); count != 1 || errorCode(err) != "ResourceNotFound" {
		t.Errorf("%d models; after the deletion: %v", count, err)
	}
}

// errorCode is code, for where that word is taken.
func errorCode(err error) string { return code(err) }
