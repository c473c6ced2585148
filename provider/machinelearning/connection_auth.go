package machinelearning

import (
	"context"
	"encoding/json"
	"sort"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// auth is a way to authenticate by which a connection is used, with the fields of its credentials.
type auth struct {
	name   string
	fields []credential
}

type credential struct {
	name             string
	secret, optional bool
}

// registryConnection is the older form of a managed identity that reads a container registry.
const registryConnection = "RegistryConnection"

var auths = []auth{
	{"None", nil},
	{"AAD", nil},
	{"ManagedIdentity", []credential{{name: "clientId", optional: true}, {name: "resourceId", optional: true}}},
	{registryConnection, []credential{{name: "clientId"}, {name: "resourceId"}}},
	{"PAT", []credential{{name: "pat", secret: true}}},
	{"UsernamePassword", []credential{{name: "username"}, {name: "password", secret: true}, {name: "securityToken", secret: true, optional: true}}},
	{"SAS", []credential{{name: "sas", secret: true}}},
	{"AccountKey", []credential{{name: "key", secret: true}}},
	{"ApiKey", []credential{{name: "key", secret: true}}},
	{"AccessKey", []credential{{name: "accessKeyId"}, {name: "secretAccessKey", secret: true}}},
	{"ServicePrincipal", []credential{{name: "clientId"}, {name: "tenantId"}, {name: "clientSecret", secret: true}}},
	{"CustomKeys", []credential{{name: "keys", secret: true}}},
}

func authOf(name string) (auth, error) {
	var names []string
	for _, a := range auths {
		if strings.EqualFold(a.name, name) {
			return a, nil
		}
		names = append(names, a.name)
	}
	return auth{}, resource.Errorf(resource.Unsupported, "ConnectionAuthNotSupported", "properties.authType is %q; one of these was expected: %s", name, strings.Join(names, ", ")).At("properties.authType")
}

// secret tells whether its credentials hold something secret.
func (a auth) secret() bool {
	for _, field := range a.fields {
		if field.secret {
			return true
		}
	}
	return false
}

// split takes what is secret out of a connection's credentials. Fields are known in any case.
func (a auth) split(p *Connection) (map[string]any, error) {
	plain, secrets := map[string]any{}, map[string]any{}
	names := make([]string, 0, len(p.Credentials))
	for name := range p.Credentials {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		field, value := a.field(name), p.Credentials[name]
		at := "properties.credentials." + name
		if field == nil {
			return nil, resource.Invalidf("InvalidConnection", "%s: credentials of the authType %s have no field %q%s", at, a.name, name, a.expected()).At(at)
		}
		if value == nil {
			continue
		}
		if _, isText := value.(string); !isText && field.name != "keys" {
			return nil, resource.Invalidf("InvalidConnection", "%s: a string was expected", at).At(at)
		}
		if field.name == "keys" {
			if _, isObject := value.(map[string]any); !isObject {
				return nil, resource.Invalidf("InvalidConnection", "%s: an object of names and values was expected", at).At(at)
			}
		}
		if field.secret {
			secrets[field.name] = value
		} else {
			plain[field.name] = value
		}
	}
	for _, field := range a.fields {
		if _, given := plain[field.name]; !given && !field.secret && !field.optional {
			return nil, resource.Invalidf("InvalidConnection", "properties.credentials.%s is missing; a connection with the authType %s has one", field.name, a.name).At("properties.credentials." + field.name)
		}
	}
	if p.Credentials = plain; len(plain) == 0 {
		p.Credentials = nil
	}
	return secrets, nil
}

func (a auth) field(name string) *credential {
	for i, field := range a.fields {
		if strings.EqualFold(field.name, name) {
			return &a.fields[i]
		}
	}
	return nil
}

func (a auth) expected() string {
	if len(a.fields) == 0 {
		return ""
	}
	names := make([]string, len(a.fields))
	for i, field := range a.fields {
		names[i] = field.name
	}
	return "; known are " + strings.Join(names, ", ")
}

// readOlderForm understands what older clients send: the fields of a connection without properties around them, and the
// credentials as a value that is JSON in a string.
func (p *Connection) readOlderForm(body []byte) error {
	var sent struct {
		Properties *struct {
			Credentials json.RawMessage `json:"credentials"`
		} `json:"properties"`
		Credentials json.RawMessage `json:"credentials"`
	}
	if err := json.Unmarshal(body, &sent); err == nil && sent.Properties == nil && p.Category == "" {
		if err := json.Unmarshal(body, p); err != nil {
			return resource.Invalidf("InvalidRequestContent", "the connection cannot be read: %v", err)
		}
		p.Sealed = nil
	}
	value := p.Value
	p.Value, p.ValueFormat = nil, ""
	if sent.Properties != nil && sent.Credentials == nil {
		sent.Credentials = sent.Properties.Credentials
	}
	if value == nil || (p.Credentials != nil && len(sent.Credentials) > 0 && string(sent.Credentials) != "null") {
		return nil
	}
	p.Credentials = nil
	switch given := value.(type) {
	case map[string]any:
		p.Credentials = given
		return nil
	case string:
		if err := json.Unmarshal([]byte(given), &p.Credentials); err == nil {
			return nil
		}
		if p.Credentials = readPythonDict(given); p.Credentials != nil {
			return nil
		}
	}
	return resource.Invalidf("InvalidConnection", `properties.value: an object, or the JSON of one in a string, was expected, such as {"ResourceId":"…","ClientId":"…"}`).At("properties.value")
}

// inOlderForm adds the value that older clients read beside the credentials.
func (p *Connection) inOlderForm() {
	if p.AuthType != registryConnection {
		return
	}
	text, _ := json.Marshal(map[string]any{"ResourceId": p.Credentials["resourceId"], "ClientId": p.Credentials["clientId"]}) // two strings
	p.Value, p.ValueFormat = string(text), "JSON"
}

// checkConnectionIdentity makes sure that the identity which a connection names is there, and that its two names agree. A
// container registry that is read by identity needs both (MI-11). Whether the identity may read the target is decided when
// it does.
func checkConnectionIdentity(ctx context.Context, call *arm.Call, p *Connection) error {
	if p.AuthType != "ManagedIdentity" && p.AuthType != registryConnection {
		return nil
	}
	registry := strings.EqualFold(p.Category, "ContainerRegistry") || strings.EqualFold(p.Category, "ACR")
	if p.AuthType == registryConnection && !registry {
		return resource.Invalidf("InvalidConnection", "properties.category is %q; connections with the authType %s are of the category ACR", p.Category, registryConnection).At("properties.category")
	}
	text, _ := p.Credentials["resourceId"].(string)
	client, _ := p.Credentials["clientId"].(string)
	if registry {
		for field, value := range map[string]string{"target": p.Target, "credentials.resourceId": text, "credentials.clientId": client} {
			if value == "" {
				return resource.Invalidf("InvalidConnection", "properties.%s is missing; a container registry that is read by identity has a target, and names the identity by resource id and client id", field).At("properties." + field)
			}
		}
	}
	if text == "" {
		return nil
	}
	return checkIdentityNames(ctx, call, "properties.credentials", text, client)
}

// checkIdentityNames makes sure that a user-assigned identity is there, and that its client id, unless that is "", is the
// one given. parent is the field that has the two.
func checkIdentityNames(ctx context.Context, call *arm.Call, parent, text, client string) error {
	field := parent + ".resourceId"
	id, err := resource.ParseID(text)
	if err != nil || !id.Type().Is(arm.UserAssignedIdentities) {
		return resource.Invalidf("InvalidResourceId", "%s is %q; the id of a %s was expected", field, text, arm.UserAssignedIdentities).At(field)
	}
	who, err := call.Manager.UserAssigned(ctx, id)
	if err != nil {
		return err
	}
	if client != "" && !strings.EqualFold(client, who.ClientID) {
		return resource.Invalidf("ClientIdMismatch", "%s.clientId is %q, and '%s' has another client id; ask for it with: alvara identity show -g %s -n %s --query clientId -o tsv", parent, client, id, id.ResourceGroup(), id.Name()).At(parent + ".clientId")
	}
	return nil
}
