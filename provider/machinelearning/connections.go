package machinelearning

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Connection is the properties of a workspace connection: how something outside of the workspace is reached.
type Connection struct {
	Category       string            `json:"category"`
	AuthType       string            `json:"authType"`
	Target         string            `json:"target,omitempty"`
	Credentials    map[string]any    `json:"credentials,omitempty"` // without what is secret
	Value          any               `json:"value,omitempty"`       // the older form of Credentials: an object, or its JSON as a string
	ValueFormat    string            `json:"valueFormat,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	IsSharedToAll  bool              `json:"isSharedToAll"`
	SharedUserList []string          `json:"sharedUserList,omitempty"`
	ExpiryTime     string            `json:"expiryTime,omitempty"`
	Group          string            `json:"group,omitempty"`

	// Sealed is what is secret, sealed for this connection. No caller sets it or sees it.
	Sealed []byte `json:"sealed,omitempty"`
}

var categoryName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// Connections declares connections. What is secret in them is sealed, and shown by listsecrets alone. Connections that name
// an identity hold no secret (BX-01, MI-11); a feature store takes no others.
func (d Deps) Connections() arm.Type {
	return arm.Define(arm.Spec[Connection]{
		Type: connectionType, APIVersions: apiVersions, Created: 200, Name: assetName, NameRule: assetNameRule,
		Listed:   connectionsListed,
		Validate: d.validateConnection,
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Connection]) {
			r.Properties.Sealed = nil
			r.Properties.inOlderForm()
		},
		Actions: []arm.Action[Connection]{{
			Name: "listsecrets", Permission: string(connectionType) + "/listsecrets/action", Run: d.listSecrets,
		}},
	})
}

func (d Deps) validateConnection(ctx context.Context, change *arm.Change[Connection]) error {
	p := &change.Next.Properties
	p.Sealed = nil
	if err := p.readOlderForm(change.Body); err != nil {
		return err
	}
	if p.Category == "" {
		return resource.Invalidf("InvalidConnection", "properties.category is missing; what is connected was expected, such as ContainerRegistry or PythonFeed").At("properties.category")
	}
	if !categoryName.MatchString(p.Category) {
		return resource.Invalidf("InvalidConnection", "properties.category is %q; a word such as ContainerRegistry was expected", p.Category).At("properties.category")
	}
	if len(p.SharedUserList) > 0 {
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.sharedUserList: who may use a connection is decided by roles, on the connection or above it; leave the field out").At("properties.sharedUserList")
	}
	auth, err := authOf(p.AuthType)
	if err != nil {
		return err
	}
	p.AuthType = auth.name
	if auth.secret() {
		if workspace, err := workspaceOf(ctx, change.Call, change.Next.ID.Parent()); err != nil {
			return err
		} else if isStore(workspace, nil) {
			return resource.Errorf(resource.Unsupported, "ConnectionAuthNotSupported", "properties.authType is %q; ManagedIdentity, AAD, RegistryConnection or None was expected: a feature store's connections carry no secrets", p.AuthType).At("properties.authType")
		}
	}
	secrets, err := auth.split(p)
	if err != nil {
		return err
	}
	if err := checkConnectionIdentity(ctx, change.Call, p); err != nil {
		return err
	}
	return d.seal(change, auth, secrets)
}

// seal seals the secrets of a connection. A patch that gives none keeps those that there are, while they stay with the
// same target: else who may write a connection and not read its secrets could send them elsewhere.
func (d Deps) seal(change *arm.Change[Connection], auth auth, secrets map[string]any) error {
	p := &change.Next.Properties
	if !auth.secret() {
		return nil
	}
	if len(secrets) == 0 && change.Prev != nil && change.Method == "PATCH" {
		if old := change.Prev.Properties; old.Sealed != nil && old.Target == p.Target && strings.EqualFold(old.Category, p.Category) && old.AuthType == p.AuthType {
			p.Sealed = old.Sealed
			return nil
		}
	}
	for _, field := range auth.fields {
		if _, given := secrets[field.name]; field.secret && !field.optional && !given {
			return resource.Invalidf("InvalidConnection", "properties.credentials.%s is missing; a connection with the authType %s has one, and it is given again when the target changes", field.name, p.AuthType).At("properties.credentials." + field.name)
		}
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	p.Sealed, err = d.Sealer.Seal(text, sealedFor(change.Next.ID))
	return err
}

func sealedFor(id resource.ID) []byte { return []byte(id.Key() + "/credentials") }

// listSecrets shows a connection with its credentials.
func (d Deps) listSecrets(_ context.Context, _ *arm.Call, r *arm.Resource[Connection]) (any, error) {
	p := r.Properties
	if p.Sealed != nil {
		text, err := d.Sealer.Open(p.Sealed, sealedFor(r.ID))
		if err != nil {
			return nil, err
		}
		all := make(map[string]any, len(p.Credentials)+1)
		for name, value := range p.Credentials {
			all[name] = value
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
		p.Credentials, p.Sealed = all, nil
	}
	p.inOlderForm()
	return map[string]any{"id": r.ID, "name": r.Name, "type": r.Type, "properties": p}, nil
}
