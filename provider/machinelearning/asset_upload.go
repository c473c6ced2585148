package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

const (
	blobStore       = "workspaceblobstore"     // the datastore for what people upload
	artifactStore   = "workspaceartifactstore" // the datastore for what jobs leave behind
	temporaryUpload = "TemporaryBlobReference"
)

// startUpload names a folder of the workspace's own datastore, of nobody else's content, to upload an asset's content to. The
// version need not exist. A pendingUploadId that was given before gives the same folder again. There is no signature
// in the answer: who uploads needs a role on the container, and brings a token of its own.
func startUpload(ctx context.Context, call *arm.Call, version resource.ID) (any, error) {
	var request struct {
		ID   string `json:"pendingUploadId"`
		Type string `json:"pendingUploadType"`
	}
	if len(call.Body) > 0 {
		if err := json.Unmarshal(call.Body, &request); err != nil {
			return nil, resource.Invalidf("InvalidRequestContent", "the request body is no JSON object with pendingUploadType: %v", err)
		}
	}
	if request.Type != "" && !strings.EqualFold(request.Type, temporaryUpload) && !strings.EqualFold(request.Type, "None") {
		return nil, resource.Invalidf("InvalidParameter", "pendingUploadType is %q; %s was expected", request.Type, temporaryUpload).At("pendingUploadType")
	}
	id := uuid.New()
	if request.ID != "" {
		var err error
		if id, err = uuid.Parse(request.ID); err != nil {
			return nil, resource.Invalidf("InvalidParameter", "pendingUploadId is %q; a GUID was expected, or nothing", request.ID).At("pendingUploadId")
		}
	}
	workspace, err := workspaceOf(ctx, call, version.Parent().Parent())
	if resource.KindOf(err) == resource.NotFound {
		return nil, resource.NotFoundf("ParentResourceNotFound", "The workspace '%s' could not be found.", version.Parent().Parent())
	}
	if err != nil {
		return nil, err
	}
	place, err := datastorePlace(ctx, call, workspace.ID, "the workspace", blobStore)
	if err != nil {
		return nil, err
	}
	account, err := resource.ParseID(workspace.Properties.StorageAccount)
	if err != nil {
		return nil, err
	}
	endpoint, err := blobEndpoint(ctx, call, account)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"pendingUploadId": id.String(), "pendingUploadType": temporaryUpload, "folder": "LocalUpload/" + id.String(),
		"blobReferenceForConsumption": map[string]any{
			// azure-ai-ml puts a folder that it names for the content below the container, and takes this for the container's URL.
			"blobUri": endpoint + place.Container, "storageAccountArmId": account,
			// Clients read a URL with a signature out of the credential and know of no other kind. Where it is empty, azure-ai-ml
			// uploads to the workspace's datastore with a token instead.
			"credential": map[string]any{"credentialType": "SAS", "sasUri": ""},
		},
	}, nil
}

// blobEndpoint is the URL of an account's blobs, ending in a slash.
func blobEndpoint(ctx context.Context, call *arm.Call, account resource.ID) (string, error) {
	doc, err := call.Manager.Store.Get(ctx, account.Key())
	if err != nil {
		return "", err
	}
	shown, err := call.Manager.Present(ctx, call, doc)
	if err != nil {
		return "", err
	}
	properties, _ := shown["properties"].(map[string]any)
	endpoints, _ := properties["primaryEndpoints"].(map[string]any)
	blob, _ := endpoints["blob"].(string)
	return blob, nil
}
