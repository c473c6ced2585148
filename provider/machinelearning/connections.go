package machinelearning

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Connection is the properties of a workspace connection.
type Connection struct {
	Category       string            `json:"category"`
	AuthType       string            `json:"authType"`
	Target         string            `json:"target,omitempty"`
	Credentials    map[string]any    `json:"credentials,omitempty"`
	Value          any               `json:"value,omitempty"`
	ValueFormat    string            `json:"valueFormat,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	IsSharedToAll  bool              `json:"isSharedToAll"`
	SharedUserList []string          `json:"sharedUserList,omitempty"`
	ExpiryTime     string            `json:"expiryTime,omitempty"`
	Group          string            `json:"group,omitempty"`
}

// Connections declares connections. Those that name an identity hold no secret; others are refused, since a feature store
// needs none (BX-01).
func (d Deps) Connections() arm.Type {
	return arm.Define(arm.Spec[Connection]{
		Type: connectionType, APIVersions: apiVersions, Created: 200, Name: assetName, NameRule: assetNameRule,
		Listed: connectionsListed,
		Validate: func(_ context.Context, change *arm.Change[Connection]) error {
			p := &change.Next.Properties
			switch p.AuthType {
			case "ManagedIdentity", "AAD", "None", "RegistryConnection":
			default:
				return resource.Errorf(resource.Unsupported, "ConnectionAuthNotSupported", "properties.authType is %q; ManagedIdentity, AAD, RegistryConnection or None was expected: a feature store's connections carry no secrets", p.AuthType).At("properties.authType")
			}
			if p.Category == "" {
				return resource.Invalidf("InvalidConnection", "properties.category is missing").At("properties.category")
			}
			return nil
		},
		Actions: []arm.Action[Connection]{{
			Name: "listsecrets", Permission: string(connectionType) + "/listsecrets/action",
			Run: func(_ context.Context, _ *arm.Call, r *arm.Resource[Connection]) (any, error) {
				return map[string]any{"id": r.ID, "name": r.Name, "type": r.Type, "properties": r.Properties}, nil
			},
		}},
	})
}
