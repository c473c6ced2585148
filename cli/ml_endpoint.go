package cli

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const endpointColumns = "[].{Name:name, AuthMode:auth_mode, State:provisioning_state, Traffic:traffic_text, ScoringURI:scoring_uri}"

type endpointGroup struct {
	Create         endpointCreate      `cmd:"" help:"Create an online endpoint: an address, and who may call it." example:"alvara ml online-endpoint create -n fraud -w ws -g rg1 ;; alvara ml online-endpoint create -f endpoint.yml -w ws -g rg1"`
	Show           endpointShow        `cmd:"" help:"Show an endpoint." example:"alvara ml online-endpoint show -n fraud -w ws -g rg1 --query scoring_uri -o tsv"`
	List           endpointList        `cmd:"" help:"List endpoints." example:"alvara ml online-endpoint list -w ws -g rg1 -o table"`
	Update         endpointUpdate      `cmd:"" help:"Change an endpoint, such as how requests are parted among its deployments." example:"alvara ml online-endpoint update -n fraud -w ws -g rg1 --traffic 'blue=90 green=10'"`
	Delete         endpointDelete      `cmd:"" help:"Delete an endpoint with its deployments." example:"alvara ml online-endpoint delete -n fraud -w ws -g rg1 --yes"`
	Invoke         endpointInvoke      `cmd:"" help:"Send a request to an endpoint, or to one of its deployments." example:"alvara ml online-endpoint invoke -n fraud -w ws -g rg1 --request-file sample.json ;; alvara ml online-endpoint invoke -n fraud --deployment-name green -w ws -g rg1 -r sample.json"`
	GetCredentials endpointCredentials `cmd:"" name:"get-credentials" help:"Show what opens an endpoint: a token, or its keys where they are turned on." example:"alvara ml online-endpoint get-credentials -n fraud -w ws -g rg1 --query accessToken -o tsv"`
	RegenerateKeys endpointRegenerate  `cmd:"" name:"regenerate-keys" help:"Renew one of an endpoint's keys." example:"alvara ml online-endpoint regenerate-keys -n fraud -w ws -g rg1 --key-type primary"`
}

// endpointName names an endpoint.
type endpointName struct {
	Name string `short:"n" required:"" help:"Name of the endpoint."`
	inWorkspace
}

func (e *endpointName) path(c *Call) (string, error) {
	path, err := e.inWorkspace.path(c)
	return path + "/onlineEndpoints/" + segment(e.Name), err
}

func (e *endpointName) get(c *Call) (path string, found *document.Object, err error) {
	if path, err = e.path(c); err != nil {
		return "", nil, err
	}
	found, err = c.arm(http.MethodGet, path, machineLearnAPI, nil)
	return path, found, err
}

type endpointCreate struct {
	Name     string   `short:"n" help:"Name; may also stand in the file."`
	File     string   `short:"f" type:"existingfile" help:"endpoint.yml; flags win over it."`
	AuthMode string   `name:"auth-mode" help:"How callers say who they are: aad_token, the default, aml_token or key."`
	Set      []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields of the file to set."`
	inWorkspace
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (e *endpointCreate) Run(c *Call) error {
	given := document.New()
	if e.File != "" {
		var err error
		if given, err = readYAML(e.File); err != nil {
			return err
		}
	}
	if err := setInto(given, e.Set); err != nil {
		return err
	}
	given.SetIf("auth_mode", e.AuthMode)
	if err := setTags(given, e.Tags); err != nil {
		return err
	}
	if e.Name = first(e.Name, given.Text("name")); e.Name == "" {
		return usagef("the endpoint has no name: give --name, or name in the file")
	}
	at := endpointName{Name: e.Name, inWorkspace: e.inWorkspace}
	made, err := at.put(c, given, e.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(endpointDocument(made), endpointColumns)
}

// put writes an endpoint as a file has it.
func (e *endpointName) put(c *Call, given *document.Object, noWait bool) (*document.Object, error) {
	path, err := e.path(c)
	if err != nil {
		return nil, err
	}
	base, err := e.inWorkspace.path(c)
	if err != nil {
		return nil, err
	}
	body, err := endpointBody(given, &workspaceAssets{uploader: uploader{call: c, workspace: base}})
	if err != nil {
		return nil, err
	}
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, body, "Writing endpoint "+e.Name, noWait)
	if err != nil {
		return nil, err
	}
	c.warnMissingGrants("endpoint", made)
	return made, nil
}

type endpointShow struct{ endpointName }

func (e *endpointShow) Run(c *Call) error {
	_, found, err := e.get(c)
	if err != nil {
		return err
	}
	return c.PrintColumns(endpointDocument(found), endpointColumns)
}

type endpointList struct{ inWorkspace }

func (e *endpointList) Run(c *Call) error {
	path, err := e.path(c)
	if err != nil {
		return err
	}
	found, err := c.armList(path+"/onlineEndpoints", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := make([]*document.Object, len(found))
	for i, one := range found {
		out[i] = endpointDocument(one)
	}
	return c.PrintColumns(out, endpointColumns)
}

type endpointUpdate struct {
	Name        string   `short:"n" help:"Name; may also stand in the file."`
	File        string   `short:"f" type:"existingfile" help:"endpoint.yml; what it leaves out stays."`
	Traffic     []string `short:"r" sep:"none" placeholder:"DEPLOYMENT=PERCENT" help:"Shares of the deployments in percent, such as 'blue=90 green=10'; those that are not named get 0."`
	Description string   `help:"What the endpoint is for."`
	Set         []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields to set, such as auth_mode=key or traffic.blue=100."`
	inWorkspace
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (e *endpointUpdate) Run(c *Call) error {
	change := document.New()
	if e.File != "" {
		var err error
		if change, err = readYAML(e.File); err != nil {
			return err
		}
	}
	if e.Name = first(e.Name, change.Text("name")); e.Name == "" {
		return usagef("the endpoint has no name: give --name, or name in the file")
	}
	if len(e.Traffic) > 0 {
		traffic, err := trafficOf(e.Traffic)
		if err != nil {
			return err
		}
		change.Set("traffic", traffic)
	}
	change.SetIf("description", e.Description)
	if err := setTags(change, e.Tags); err != nil {
		return err
	}
	if change.Len() == 0 && len(e.Set) == 0 {
		return usagef("nothing to change: give --traffic, --set, --description, --tags or a file")
	}
	at := endpointName{Name: e.Name, inWorkspace: e.inWorkspace}
	_, found, err := at.get(c)
	if err != nil {
		return err
	}
	given := endpointFile(found)
	for _, key := range change.Keys() {
		given.Set(key, change.Get(key))
	}
	if err := setInto(given, e.Set); err != nil {
		return err
	}
	changed, err := at.put(c, given, e.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(endpointDocument(changed), endpointColumns)
}

// trafficOf reads shares such as blue=90 green=10, in one argument or several.
func trafficOf(pairs []string) (*document.Object, error) {
	out := document.New()
	for _, pair := range strings.FieldsFunc(strings.Join(pairs, " "), func(r rune) bool { return r == ' ' || r == ',' }) {
		name, share, ok := strings.Cut(pair, "=")
		percent, err := strconv.Atoi(strings.TrimSuffix(share, "%"))
		if !ok || name == "" || err != nil || percent < 0 || percent > 100 {
			return nil, usagef("--traffic: %q is not of the form DEPLOYMENT=PERCENT, such as blue=90", pair)
		}
		out.Set(name, percent)
	}
	return out, nil
}

type endpointDelete struct {
	endpointName
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (e *endpointDelete) Run(c *Call) error {
	path, err := e.path(c)
	if err != nil {
		return err
	}
	if err := e.confirm(c, "delete the endpoint "+e.Name+" with its deployments"); err != nil {
		return err
	}
	return c.deleteResource(path, machineLearnAPI, "endpoint "+e.Name, e.NoWait)
}

// endpointFields are what an endpoint has in a file.
var endpointFields = []string{"name", "description", "tags", "properties", "auth_mode", "compute", "identity", "traffic", "mirror_traffic", "public_network_access", "location"}

// authModes are the words of files for how callers say who they are.
var authModes = map[string]string{"key": "Key", "aml_token": "AMLToken", "aad_token": "AADToken"}

// endpointBody is an endpoint on the wire.
func endpointBody(given *document.Object, assets assetsOf) (*document.Object, error) {
	const where = "the endpoint"
	if err := knownFields(where, given, endpointFields...); err != nil {
		return nil, err
	}
	mode, ok := authModes[strings.ToLower(first(given.Text("auth_mode"), "aad_token"))]
	if !ok {
		return nil, usagef("auth_mode is %q; aad_token, aml_token or key was expected", given.Text("auth_mode"))
	}
	properties := document.New("authMode", mode).SetIf("description", given.Text("description"))
	texts, err := textsOf(where, "properties", given)
	if err != nil {
		return nil, err
	}
	properties.SetIf("properties", texts)
	if compute := given.Text("compute"); compute != "" {
		id, err := assets.compute("compute", compute)
		if err != nil {
			return nil, err
		}
		properties.Set("compute", id)
	}
	for field, wire := range map[string]string{"traffic": "traffic", "mirror_traffic": "mirrorTraffic"} {
		shares, err := sharesOf(field, given)
		if err != nil {
			return nil, err
		}
		if shares != nil {
			properties.Set(wire, shares)
		}
	}
	properties.SetIf("publicNetworkAccess", given.Text("public_network_access"))
	tags, err := textsOf(where, "tags", given)
	if err != nil {
		return nil, err
	}
	identity, err := identityOfFile(given.Object("identity"))
	if err != nil {
		return nil, err
	}
	body := document.New().SetIf("location", given.Text("location")).SetIf("identity", identity)
	if tags != nil {
		body.Set("tags", tags)
	}
	return body.Set("properties", properties), nil
}

func sharesOf(field string, given *document.Object) (*document.Object, error) {
	value := given.Get(field)
	if value == nil {
		return nil, nil
	}
	from, ok := value.(*document.Object)
	if !ok {
		return nil, usagef("%s is no mapping; lines such as `blue: 90` were expected", field)
	}
	out := document.New()
	for _, name := range from.Keys() {
		if err := wholeNumber(field, from, name, name, 0, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// endpointFile is an endpoint as its file would have it.
func endpointFile(endpoint *document.Object) *document.Object {
	p := endpoint.Object("properties")
	return document.New("name", endpoint.Get("name"), "auth_mode", wordOf(authModes, p.Text("authMode"))).SetIf("location", endpoint.Text("location")).
		SetIf("description", p.Text("description")).SetIf("tags", endpoint.Object("tags")).SetIf("properties", p.Object("properties")).
		SetIf("compute", reference(p.Text("compute"))).SetIf("identity", identityDocument(endpoint.Object("identity"))).
		SetIf("traffic", p.Object("traffic")).SetIf("mirror_traffic", p.Object("mirrorTraffic")).SetIf("public_network_access", p.Text("publicNetworkAccess"))
}

// endpointDocument is an endpoint as it is shown.
func endpointDocument(endpoint *document.Object) *document.Object {
	if endpoint == nil {
		return nil
	}
	p, out := endpoint.Object("properties"), endpointFile(endpoint)
	var shares []string
	traffic := p.Object("traffic")
	for _, name := range traffic.Keys() {
		shares = append(shares, name+"="+traffic.Text(name))
	}
	return out.Set("traffic", traffic).Set("traffic_text", strings.Join(shares, " ")).Set("scoring_uri", p.Get("scoringUri")).Set("openapi_uri", p.Get("swaggerUri")).
		Set("provisioning_state", p.Get("provisioningState")).SetIf("missing_grants", p.List("missingGrants")).Set("kind", kindOfEndpoint(p)).
		Set("id", endpoint.Get("id")).Set("resourceGroup", groupOf(endpoint.Text("id")))
}

func kindOfEndpoint(p *document.Object) string {
	if p.Text("compute") != "" {
		return "K8S"
	}
	return "Managed"
}

// setTags puts the tags of a flag over those of a file.
func setTags(given *document.Object, pairs []string) error {
	tags, err := tagsOf(pairs)
	if err == nil && tags != nil {
		given.Set("tags", tags)
	}
	return err
}

// folderOf is where the paths in a file begin.
func folderOf(file string) string {
	if file == "" {
		return "."
	}
	return filepath.Dir(file)
}
