package machinelearning

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Datastore is the properties of a datastore: a name for a storage container. It is reached by the identity of whoever
// reads it, never by a stored key (MI-20).
type Datastore struct {
	DatastoreType                 string            `json:"datastoreType"` // AzureBlob or AzureDataLakeGen2
	AccountName                   string            `json:"accountName,omitempty"`
	ContainerName                 string            `json:"containerName,omitempty"`
	Filesystem                    string            `json:"filesystem,omitempty"`
	Endpoint                      string            `json:"endpoint,omitempty"`
	Protocol                      string            `json:"protocol,omitempty"`
	SubscriptionID                string            `json:"subscriptionId,omitempty"`
	ResourceGroup                 string            `json:"resourceGroup,omitempty"`
	ServiceDataAccessAuthIdentity string            `json:"serviceDataAccessAuthIdentity,omitempty"`
	Description                   string            `json:"description,omitempty"`
	Tags                          map[string]string `json:"tags,omitempty"`
	Properties                    map[string]string `json:"properties,omitempty"`
	Credentials                   map[string]any    `json:"credentials,omitempty"`
	IsDefault                     bool              `json:"isDefault"`
}

// Datastores declares datastores.
func (d Deps) Datastores() arm.Type {
	return arm.Define(arm.Spec[Datastore]{
		Type: datastoreType, APIVersions: apiVersions, Strict: true,
		Name: assetName, NameRule: assetNameRule,
		Validate: validateDatastore,
		Listed:   datastoresListed,
		Actions: []arm.Action[Datastore]{{
			Name: "listSecrets", Permission: string(datastoreType) + "/listSecrets/action",
			Run: func(_ context.Context, _ *arm.Call, r *arm.Resource[Datastore]) (any, error) {
				// There is no secret behind a datastore: who may read the container reads it with a token of its own.
				return map[string]any{"secretsType": "None"}, nil
			},
		}},
	})
}

func validateDatastore(_ context.Context, change *arm.Change[Datastore]) error {
	p := &change.Next.Properties
	switch strings.ToLower(p.DatastoreType) {
	case "azureblob":
		p.DatastoreType = "AzureBlob"
	case "azuredatalakegen2":
		p.DatastoreType = "AzureDataLakeGen2"
		if p.ContainerName == "" {
			p.ContainerName = p.Filesystem
		}
	default:
		return resource.Invalidf("InvalidDatastoreType", "properties.datastoreType is %q; AzureBlob or AzureDataLakeGen2 was expected", p.DatastoreType).At("properties.datastoreType")
	}
	if p.AccountName == "" || p.ContainerName == "" {
		return resource.Invalidf("InvalidDatastore", "properties.accountName and properties.containerName must both be given").At("properties.accountName")
	}
	if kind, _ := p.Credentials["credentialsType"].(string); kind != "" && kind != "None" {
		return resource.Errorf(resource.Unsupported, "DatastoreCredentialsNotSupported", "properties.credentials.credentialsType is %q; a datastore keeps no secret here, use None and grant a role on the container to who reads it", kind).At("properties.credentials.credentialsType")
	}
	p.Credentials = map[string]any{"credentialsType": "None"}
	return nil
}
