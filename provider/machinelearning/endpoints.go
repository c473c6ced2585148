package machinelearning

import (
	"context"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// OnlineEndpoint is the properties of an online endpoint: an address, who may call it, and how its requests are parted among its
// deployments.
type OnlineEndpoint struct {
	AuthMode    string            `json:"authMode"`          // AADToken, AMLToken or Key
	Compute     string            `json:"compute,omitempty"` // id of the attached cluster, for deployments of the type Kubernetes
	Description string            `json:"description,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
	// Traffic is the share of each deployment in percent, by name: all zero, or a hundred together.
	Traffic             map[string]int `json:"traffic"`
	MirrorTraffic       map[string]int `json:"mirrorTraffic,omitempty"` // refused
	PublicNetworkAccess string         `json:"publicNetworkAccess"`
	Keys                *EndpointKeys  `json:"keys,omitempty"` // refused: the server makes them, and listKeys shows them
	ScoringURI          string         `json:"scoringUri,omitempty"`
	SwaggerURI          string         `json:"swaggerUri,omitempty"`
	// MissingGrants are the roles that the system-assigned identity is to hold and that nobody who wrote the endpoint could give.
	MissingGrants []string `json:"missingGrants,omitempty"`

	// Sealed is the keys, sealed for this endpoint, where authMode is Key. No caller sets it or sees it.
	Sealed []byte `json:"sealed,omitempty"`
}

// EndpointKeys are the two keys of an endpoint whose authMode is Key.
type EndpointKeys struct {
	PrimaryKey   string `json:"primaryKey"`
	SecondaryKey string `json:"secondaryKey"`
}

// How callers of an endpoint say who they are.
const (
	authEntra = "AADToken"
	authToken = "AMLToken"
	authKey   = "Key"
)

const endpointNameRule = "3 to 32 letters, digits or '-', beginning with a letter and not ending in '-'"

var endpointName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]$`)

// OnlineEndpoints declares online endpoints. Their names are host names, and so they are unique.
func (d Deps) OnlineEndpoints() arm.Type {
	return arm.Define(arm.Spec[OnlineEndpoint]{
		Type: endpointType, Identities: true, APIVersions: apiVersions, Followed: true, Strict: true, GlobalName: true,
		Name: endpointName, NameRule: endpointNameRule,
		Listed:    endpointsListed,
		Validate:  d.validateEndpoint,
		Provision: provisionEndpoint,
		NeedsProvision: func(change *arm.Change[OnlineEndpoint]) bool {
			return change.Prev == nil || len(change.Next.Properties.MissingGrants) > 0
		},
		References: endpointReferences,
		Present:    d.presentEndpoint,
		Actions: []arm.Action[OnlineEndpoint]{
			{Name: "listKeys", Run: d.endpointKeys},
			{Name: "regenerateKeys", Run: d.regenerateKeys, Status: 202},
			{Name: "token", Run: d.endpointToken},
		},
	})
}

func (d Deps) validateEndpoint(ctx context.Context, change *arm.Change[OnlineEndpoint]) error {
	p := &change.Next.Properties
	workspace, err := workspaceOf(ctx, change.Call, change.Next.ID.Parent())
	if err != nil {
		return err
	}
	if isStore(workspace, nil) {
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s is a feature store, where nothing is deployed; make the endpoint in a workspace of the kind Default", workspace.Name)
	}
	if change.Next.Location == "" {
		change.Next.Location = workspace.Location
	}
	if err := refuseOfEndpoint(p); err != nil {
		return err
	}
	if err := checkEndpointIdentity(change); err != nil {
		return err
	}
	if err := settleAuth(p, change.Prev); err != nil {
		return err
	}
	if err := settleEndpointCompute(ctx, change); err != nil {
		return err
	}
	if err := d.settleTraffic(ctx, change); err != nil {
		return err
	}
	p.ScoringURI, p.SwaggerURI, p.MissingGrants = "", "", nil
	if change.Prev != nil {
		p.MissingGrants = change.Prev.Properties.MissingGrants
	}
	return d.settleKeys(change)
}

// refuseOfEndpoint refuses by name what would be promised and not kept.
func refuseOfEndpoint(p *OnlineEndpoint) error {
	switch {
	case len(p.MirrorTraffic) > 0:
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.mirrorTraffic: requests are not copied to other deployments; call one by its name with the header azureml-model-deployment, and leave the field out").At("properties.mirrorTraffic")
	case p.Keys != nil:
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.keys: the server makes the keys of an endpoint whose authMode is Key; leave the field out, and read them with: alvara ml online-endpoint get-credentials").At("properties.keys")
	}
	switch strings.ToLower(p.PublicNetworkAccess) {
	case "", "enabled":
		p.PublicNetworkAccess = "Enabled"
	case "disabled":
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.publicNetworkAccess: there are no private endpoints through which an endpoint without public access would be called; use Enabled").At("properties.publicNetworkAccess")
	default:
		return resource.Invalidf("InvalidPublicNetworkAccess", "properties.publicNetworkAccess is %q; Enabled was expected", p.PublicNetworkAccess).At("properties.publicNetworkAccess")
	}
	return nil
}

// checkEndpointIdentity: an endpoint has one system-assigned identity, which is the default, or user-assigned ones, and keeps what
// it was made with.
func checkEndpointIdentity(change *arm.Change[OnlineEndpoint]) error {
	r := change.Next
	if change.Prev != nil {
		if r.Identity == nil || change.Method == "PATCH" && !strings.Contains(strings.ToLower(string(change.Body)), `"identity"`) {
			r.Identity = change.Prev.Identity
			return nil
		}
		if !sameIdentities(r.Identity, change.Prev.Identity) {
			return resource.Invalidf("IdentityChangeNotSupported", "identity is another than the one that the endpoint was made with; an endpoint keeps its identity: make another endpoint").At("identity")
		}
		return nil
	}
	if r.Identity == nil {
		r.Identity = &arm.Identity{Type: "SystemAssigned"}
	}
	switch {
	case r.Identity.HasSystem() && len(r.Identity.UserAssigned) > 0:
		return resource.Invalidf("InvalidIdentity", "identity.type is %q; an endpoint has a system-assigned identity or user-assigned ones, not both", r.Identity.Type).At("identity.type")
	case !r.Identity.HasSystem() && len(r.Identity.UserAssigned) == 0:
		return resource.Invalidf("InvalidIdentity", "identity.type is %q; an endpoint works as an identity: SystemAssigned or UserAssigned was expected", r.Identity.Type).At("identity.type")
	}
	return nil
}

func sameIdentities(next, prev *arm.Identity) bool {
	if next.HasSystem() != prev.HasSystem() || prev == nil || len(next.UserAssigned) != len(prev.UserAssigned) {
		return false
	}
	for text := range next.UserAssigned {
		if id, err := resource.ParseID(text); err != nil || !prev.Has(id) {
			return false
		}
	}
	return true
}

func settleAuth(p *OnlineEndpoint, prev *arm.Resource[OnlineEndpoint]) error {
	if p.AuthMode == "" && prev != nil {
		p.AuthMode = prev.Properties.AuthMode
	}
	switch strings.ToLower(p.AuthMode) {
	case "", "aadtoken", "aad_token":
		p.AuthMode = authEntra
	case "amltoken", "aml_token":
		p.AuthMode = authToken
	case "key":
		p.AuthMode = authKey
	default:
		return resource.Invalidf("InvalidAuthMode", "properties.authMode is %q; %s, %s or %s was expected", p.AuthMode, authEntra, authToken, authKey).At("properties.authMode")
	}
	return nil
}

// settleEndpointCompute checks the cluster that an endpoint stands on, which stays.
func settleEndpointCompute(ctx context.Context, change *arm.Change[OnlineEndpoint]) error {
	const field = "properties.compute"
	p := &change.Next.Properties
	if change.Prev != nil {
		old := change.Prev.Properties.Compute
		if p.Compute != "" && !strings.EqualFold(p.Compute, old) {
			return resource.Invalidf("EndpointPropertyImmutable", "%s is '%s' and the endpoint was made with '%s'; it cannot be changed", field, p.Compute, old).At(field)
		}
		p.Compute = old
		return nil
	}
	if p.Compute == "" {
		return nil
	}
	id, err := computeNamed(p.Compute, change.Next.ID.Parent())
	if err != nil {
		return err
	}
	compute, err := computeOf(ctx, change.Call, id)
	if err != nil {
		return inField(field, err)
	}
	if !compute.Properties.isKubernetes() {
		return resource.Invalidf("InvalidCompute", "%s names '%s', which is of the type %s; an AKS or Kubernetes compute was expected. Deployments of the type Managed need no compute", field, id.Name(), compute.Properties.ComputeType).At(field)
	}
	p.Compute = id.String()
	return nil
}

func endpointReferences(_ *arm.Call, r *arm.Resource[OnlineEndpoint]) []resource.ID {
	if id, err := resource.ParseID(r.Properties.Compute); err == nil && r.Properties.Compute != "" {
		return []resource.ID{id}
	}
	return nil
}

// presentEndpoint shows an endpoint with its address, and with what its identity still lacks at this moment.
func (d Deps) presentEndpoint(_ context.Context, call *arm.Call, r *arm.Resource[OnlineEndpoint]) {
	p := &r.Properties
	p.Sealed = nil
	if p.Traffic == nil {
		p.Traffic = map[string]int{}
	}
	if d.EndpointURL != nil {
		base := d.EndpointURL(r.Name)
		p.ScoringURI, p.SwaggerURI = base+"score", base+"swagger.json"
	}
	p.MissingGrants = stillMissing(call, r.Identity, p.MissingGrants)
}

// endpointsListed reads the query of the list of endpoints: name, computeType is not regarded, and tags.
func endpointsListed(call *arm.Call) (func(*arm.Resource[OnlineEndpoint]) bool, error) {
	name, tags := call.QueryValue("name"), pairsOf(call.QueryValue("tags"))
	return func(r *arm.Resource[OnlineEndpoint]) bool {
		return (name == "" || strings.EqualFold(name, r.Name)) && tags.in(r.Tags)
	}, nil
}

// provisionEndpoint makes sure that there is a registry, which an endpoint is an operation that needs (MI-03), and gives the
// system-assigned identity its roles, as the caller. It may run again.
func provisionEndpoint(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineEndpoint]) ([]store.Op, error) {
	registry, err := ensureRegistry(ctx, call, r.ID.Parent())
	if err != nil || !r.Identity.HasSystem() {
		return nil, err
	}
	workspace, err := workspaceOf(ctx, call, r.ID.Parent())
	if err != nil {
		return nil, err
	}
	grants := []grant{{acrPull, registry}}
	if storage, err := resource.ParseID(workspace.Properties.StorageAccount); err == nil && workspace.Properties.StorageAccount != "" {
		grants = append(grants, grant{blobReader, storage})
	}
	var wanted []grant
	for _, g := range grants {
		if !g.heldBy(call, r.Identity.PrincipalID) {
			wanted = append(wanted, g)
		}
	}
	r.Properties.MissingGrants, err = giveRoles(ctx, call, r.Identity.PrincipalID, wanted)
	return nil, err
}
