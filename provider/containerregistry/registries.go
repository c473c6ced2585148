package containerregistry

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Registry is the properties of a registry.
type Registry struct {
	LoginServer              string          `json:"loginServer,omitempty"`
	CreationDate             string          `json:"creationDate,omitempty"`
	AdminUserEnabled         bool            `json:"adminUserEnabled"` // off unless somebody turns it on (BX-01)
	AnonymousPullEnabled     bool            `json:"anonymousPullEnabled"`
	DataEndpointEnabled      bool            `json:"dataEndpointEnabled"`
	DataEndpointHostNames    []string        `json:"dataEndpointHostNames,omitempty"`
	PublicNetworkAccess      string          `json:"publicNetworkAccess,omitempty"`
	NetworkRuleBypassOptions string          `json:"networkRuleBypassOptions,omitempty"`
	NetworkRuleSet           *NetworkRuleSet `json:"networkRuleSet,omitempty"`
	ZoneRedundancy           string          `json:"zoneRedundancy,omitempty"`
	Encryption               *Encryption     `json:"encryption,omitempty"`
	Policies                 *Policies       `json:"policies,omitempty"`
	RoleAssignmentMode       string          `json:"roleAssignmentMode,omitempty"`
	Own                      *Own            `json:"own,omitempty"` // never shown, and never taken from a request
}

// Own is what the server keeps of a registry for itself.
type Own struct {
	Key        string `json:"key"`                  // this incarnation; names its content
	Port       int    `json:"port,omitempty"`       // of its own listener; 0 where registries have host names
	Passwords  []byte `json:"passwords,omitempty"`  // of the admin user, two, sealed; none while it is off
	Generation string `json:"generation,omitempty"` // changes with the passwords; "" while the admin user is off
}

// NetworkRuleSet says from where a registry may be reached.
type NetworkRuleSet struct {
	DefaultAction string           `json:"defaultAction"`
	IPRules       []map[string]any `json:"ipRules,omitempty"`
}

// Encryption is how content is encrypted with a key of the customer's.
type Encryption struct {
	Status             string         `json:"status,omitempty"`
	KeyVaultProperties map[string]any `json:"keyVaultProperties,omitempty"`
}

// Registries declares registries.
func (d Deps) Registries() arm.Type {
	return arm.Define(arm.Spec[Registry]{
		Type: registryType, Tracked: true, Identities: true, GlobalName: true, APIVersions: apiVersions,
		Name: registryName, NameRule: registryNameRule,
		Validate: d.validate,
		Unique: func(r *arm.Resource[Registry]) string {
			if r.Properties.Own == nil || r.Properties.Own.Port == 0 {
				return ""
			}
			return fmt.Sprintf("port:%d", r.Properties.Own.Port) // no registry is called so: names have no colon
		},
		Present: d.present,
		Deleted: d.deleted,
		Actions: []arm.Action[Registry]{
			{Name: "listCredentials", Run: d.listCredentials},
			{Name: "regenerateCredential", Run: d.regenerateCredential},
			{Name: "listUsages", Method: "GET", Permission: string(registryType) + "/listUsages/read", Run: d.listUsages},
			{Name: "listBuildSourceUploadUrl", Run: d.uploadURL},
			{Name: "scheduleRun", Run: d.schedule},
		},
	})
}

var registryName = regexp.MustCompile(`^[A-Za-z0-9]{5,50}$`)

const registryNameRule = "5 to 50 letters and digits"

// validate checks the fields and sets what only the service sets.
func (d Deps) validate(ctx context.Context, change *arm.Change[Registry]) error {
	sku, err := readSKU(change.Next.SKU)
	if err != nil {
		return err
	}
	change.Next.SKU = sku.raw()
	var prev Registry
	if change.Prev != nil {
		prev = change.Prev.Properties
	}
	p := &change.Next.Properties
	now := change.Manager.Clock().UTC()
	if err := p.check(prev, now); err != nil {
		return err
	}
	p.LoginServer, p.DataEndpointHostNames = "", nil
	if p.CreationDate = prev.CreationDate; p.CreationDate == "" {
		p.CreationDate = now.Format(timeFormat)
	}
	if prev.Own != nil {
		own := *prev.Own
		p.Own = &own
	} else {
		ports, err := usedPorts(ctx, change.Manager.Store)
		if err != nil {
			return err
		}
		p.Own = &Own{Key: uuid.NewString()}
		if p.Own.Port, err = d.freePort(ctx, ports); err != nil {
			return err
		}
	}
	return d.admin(change.Next.ID, p.Own, p.AdminUserEnabled)
}

// admin turns the admin user on or off: it has passwords while it is on, and none at all while it is off (BX-01). Those
// that it has had once never hold again.
func (d Deps) admin(id resource.ID, own *Own, on bool) error {
	switch {
	case !on:
		own.Passwords, own.Generation = nil, ""
		return nil
	case own.Generation != "":
		return nil
	}
	return d.setPasswords(id, own, newPassword(), newPassword())
}

// timeFormat is how the service writes times.
const timeFormat = "2006-01-02T15:04:05.0000000Z"

func (d Deps) present(_ context.Context, _ *arm.Call, r *arm.Resource[Registry]) {
	if own := r.Properties.Own; own != nil {
		r.Properties.LoginServer = d.LoginServer(strings.ToLower(r.Name), own.Port)
	}
	r.Properties.Own = nil
}

// deleted ends the runs, whose documents went with the registry's, and forgets what the registry held.
func (d Deps) deleted(ctx context.Context, r *arm.Resource[Registry]) error {
	d.stop(r.ID)
	if r.Properties.Own == nil {
		return nil
	}
	return d.Drop(ctx, r.Properties.Own.Key)
}
